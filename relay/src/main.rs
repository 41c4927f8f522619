//! The command `tribune-relay`.

use std::process::ExitCode;

use tribune_relay::config::Config;
use tribune_relay::{assemble, logging};

fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(instead) => return instead.report(),
    };
    if let Err(error) = logging::init(&config.log, config.log_format) {
        eprintln!("tribune-relay: {error}");
        return ExitCode::FAILURE;
    }
    // The hub, the HTTP side and look-ups share one thread; each shard has its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(assemble::run(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tribune-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

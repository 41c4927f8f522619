//! The command `tribune-relay`.

use std::io::Write as _;
use std::process::ExitCode;

use tribune_relay::assemble::Relay;
use tribune_relay::config::Config;
use tribune_relay::drivers::signals::obey_signals;
use tribune_relay::logging;

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
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tribune-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let relay = Relay::start(config).await?;
    // The signals are obeyed before anybody knows of the relay: unheeded, each of them would end it.
    let signals = tokio::spawn(obey_signals(relay.orders()));
    tokio::task::yield_now().await;
    let mut out = std::io::stdout();
    // Nobody may be reading; the relay runs all the same.
    let _ = writeln!(out, "{}", relay.ready()).and_then(|()| out.flush());
    let outcome = relay.run_until_drained().await;
    signals.abort();
    outcome
}

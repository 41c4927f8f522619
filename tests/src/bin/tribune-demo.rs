//! `tribune-demo`: what Tribune does, shown with real processes in under a minute.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tribune_tests::demo::{Options, Report, run};
use tribune_tests::process::interrupt;

/// A tree of seven relays, two speakers, a question, a heckler and 40 listeners on this machine.
///
/// Exit codes: 0 all is as it should be, 1 a figure is not, 2 it could not be shown.
#[derive(Debug, Parser)]
#[command(name = "tribune-demo", version)]
struct Cli {
    /// Print the result as one JSON object; progress goes to standard error
    #[arg(long)]
    json: bool,
    /// Keep what the processes print, and say where
    #[arg(long)]
    keep: bool,
    /// Directory for the recording
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = end_on_signal() {
        eprintln!("tribune-demo: Ctrl-C cannot be waited for: {error}");
        return ExitCode::from(2);
    }
    let options = Options { json: cli.json, keep: cli.keep, out: cli.out };
    match run(&options) {
        Ok(report) => conclude(&report, cli.json),
        Err(error) => {
            eprintln!("tribune-demo: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn conclude(report: &Report, json: bool) -> ExitCode {
    let faults = report.faults();
    if json {
        let mut value = serde_json::json!(report);
        value["faults"] = serde_json::json!(faults);
        println!("{value}");
    } else {
        println!("\n{report}");
    }
    for fault in &faults {
        eprintln!("tribune-demo: not as it should be: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// On Ctrl-C or SIGTERM every wait ends, and so does everything that was started.
fn end_on_signal() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut terminate = {
        let _guard = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        });
        interrupt();
    });
    Ok(())
}

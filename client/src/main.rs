//! `tribune`: speak, listen and govern a room from a terminal.

use std::process::ExitCode;

fn main() -> ExitCode {
    tribune_client::cli::run(std::env::args_os())
}

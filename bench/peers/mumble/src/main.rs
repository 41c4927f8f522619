//! `peer-mumble`: mumble-server as a contender of `tribune-bench peers`. Speakers and listeners join as
//! mumble's clients do; audio is UDP, sealed for each listener with OCB2-AES128.
//!
//! * [`server`] runs the server
//! * [`messages`], [`control`] are a client's TLS connection; [`ocb2`], [`voice`], [`udp`] its audio
//! * [`meeting`] holds all clients, [`rota`] the schedule of their pings
//! * [`window`] measures

mod control;
mod meeting;
mod messages;
mod ocb2;
mod rota;
mod server;
mod udp;
mod voice;
mod window;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tribune_bench::contender::{MISSING, serve};
use tribune_bench::frame::STAMP_BYTES;

use crate::meeting::{Meeting, SPEAKERS};
use crate::server::Server;

/// Exit code of an error that prevents a measurement.
const PREVENTED: u8 = 2;
/// Longest frame: mumble's packets are 1,024 bytes at most.
const MAX_FRAME_BYTES: i64 = 960;
/// Open files besides the clients' sockets.
const OTHER_FILES: u64 = 64;

/// Starts mumble-server, has listeners join it, and measures a window for each line on standard input.
#[derive(Debug, Parser)]
struct Arguments {
    /// Listeners.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    listeners: u32,
    /// Opus bytes in a frame; one frame every 20 ms.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(STAMP_BYTES as i64..=MAX_FRAME_BYTES))]
    frame_bytes: u16,
    /// How often each listener pings, by UDP and by TCP as mumble's own clients do every 5 s. 0: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    ping_seconds: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(program) = Server::find() else {
        eprintln!("peer-mumble: mumble-server is not installed (in Debian: mumble-server)");
        return ExitCode::from(MISSING);
    };
    let outcome = allow_files(arguments.listeners).and_then(|()| {
        let clients = arguments.listeners + SPEAKERS as u32;
        run(&arguments, Server::start(&program, clients)?)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer-mumble: {error:#}");
            ExitCode::from(PREVENTED)
        }
    }
}

fn run(arguments: &Arguments, server: Server) -> Result<()> {
    let pings = Duration::from_secs(u64::from(arguments.ping_seconds));
    let pings = Some(pings).filter(|period| !period.is_zero());
    let (mut meeting, ready) = Meeting::gather(server, arguments.listeners, pings)?;
    let frame_bytes = usize::from(arguments.frame_bytes);
    serve(ready, |ask| window::measure(&mut meeting, ask, frame_bytes))
}

/// Raises the limit of open files of this process, and so of the server: two sockets per client.
fn allow_files(listeners: u32) -> Result<()> {
    let needed = 2 * (u64::from(listeners) + SPEAKERS as u64) + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < needed) {
        bail!(
            "{listeners} listeners need {needed} open files; the limit (ulimit -Hn) is {maximum}"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })
        .with_context(|| format!("the limit of open files cannot be raised to {needed}"))
}

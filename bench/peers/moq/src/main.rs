//! `peer-moq`: moq-relay as a contender of `tribune-bench peers` ([`tribune_bench::contender`]). Speakers
//! publish one track each of a broadcast; listeners subscribe over a connection each.

mod audience;
mod heard;
mod relay;
mod stage;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use moq_tokio::rustls::CipherSuite;
use moq_tokio::rustls::crypto::ring;
use tribune_bench::accounting::process_memory;
use tribune_bench::contender::{MISSING, Ready, serve};
use tribune_bench::frame::STAMP_BYTES;

use crate::audience::{Audience, AudienceSpec};
use crate::relay::{Relay, find};
use crate::stage::{Delivery, Stage};

/// Exit code of an error that prevents a measurement.
const FAILED: u8 = 2;
/// Largest frame that a datagram of 1,200 bytes always carries.
const MAX_FRAME_BYTES: i64 = 1_000;

/// Measures what listeners cost a moq-relay. Windows are asked for on standard input.
#[derive(Debug, Parser)]
#[command(name = "peer-moq", version)]
struct Args {
    /// Listeners, a QUIC connection each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    listeners: u32,
    /// Bytes in a frame; one frame every 20 ms.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(STAMP_BYTES as i64..=MAX_FRAME_BYTES))]
    frame_bytes: u16,
    /// Frames in a group, which is a QUIC stream.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    frames_per_group: u32,
    /// Send frames as moq-lite datagrams, not in groups.
    #[arg(long, conflicts_with = "frames_per_group")]
    datagrams: bool,
    /// The relay's program [default: moq-relay on the PATH]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Pinned single-threaded workers of the relay [default: its own default, one runtime over all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: Option<u16>,
    /// Threads of listeners [default: the cores of the machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
}

impl Args {
    const fn delivery(&self) -> Delivery {
        if self.datagrams {
            Delivery::Datagrams
        } else {
            Delivery::Groups { frames: self.frames_per_group }
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(program) = find(args.server.as_deref()) else {
        let named = args
            .server
            .as_ref()
            .map_or("moq-relay on the PATH".into(), |path| path.display().to_string());
        eprintln!("{named} is not there: install it as bench/peers/moq/README.md says");
        return ExitCode::from(MISSING);
    };
    match run(&args, &program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(args: &Args, program: &std::path::Path) -> Result<()> {
    offer_one_cipher()?;
    let mut relay = Relay::start(program, args.workers)?;
    let mut stage = Stage::open(&relay, args.delivery(), args.frame_bytes.into())?;
    let cores = std::thread::available_parallelism().context("the number of cores")?;
    let spec = AudienceSpec {
        listeners: args.listeners,
        threads: args.threads.map_or(cores.get(), usize::from),
        delivery: args.delivery(),
    };
    let empty = process_memory(relay.pid())?.resident_bytes;
    let (audience, joining) = Audience::join(&relay, &spec)?;
    let full = process_memory(relay.pid())?.resident_bytes;
    let ready = Ready {
        system: relay.version()?,
        encrypted: "QUIC TLS 1.3, AES-128-GCM".to_owned(),
        lacks: lacks(args.delivery()),
        listeners: args.listeners,
        join_seconds: joining.as_secs_f64(),
        memory_kib_per_listener: full.saturating_sub(empty) as f64
            / 1024.0
            / f64::from(args.listeners),
    };
    serve(ready, |ask| window::measure(ask, &mut relay, &mut stage, &audience))
}

/// Offers only the cipher suite that Tribune's listeners prefer, so that both pay for the same one.
fn offer_one_cipher() -> Result<()> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|it| it.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.install_default().map_err(|_| anyhow!("a TLS provider is installed already"))
}

fn lacks(delivery: Delivery) -> String {
    let carried = match delivery {
        Delivery::Groups { frames: 1 } => "each frame is a QUIC stream, retransmitted when lost",
        Delivery::Groups { .. } => "some frames share a QUIC stream, retransmitted when lost",
        Delivery::Datagrams => "lost frames are neither retransmitted nor repaired",
    };
    format!("does not choose the loudest, no end-to-end encryption here; {carried}")
}

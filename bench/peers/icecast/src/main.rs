//! `peer-icecast`: Icecast, which streams one source to its listeners over TCP, as a contender of
//! `tribune-bench peers` (`tribune_bench::contender`).
//!
//! * [`server`] runs the Icecast process
//! * [`source`] is the speaker
//! * [`audience`] is the listeners
//! * [`pages`] reads and writes Ogg for both

mod audience;
mod pages;
mod server;
mod source;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tribune_bench::accounting::process_memory;
use tribune_bench::contender::{Ask, MISSING, Meter, Percentiles, Ready, Window, serve};
use tribune_bench::frame::{STAMP_BYTES, Schedule};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_OPUS_BYTES};

use crate::audience::Audience;
use crate::server::Server;
use crate::source::{Manner, Source};

/// Speech before and after the measured span: whole pages of either size.
const AROUND: Duration = Duration::from_millis(500);
/// Attempts to start Icecast, which rarely crashes while its first clients connect.
const STARTS: u32 = 3;
/// Pause before memory is read, so that work left over from start and joins is done.
const SETTLE: Duration = Duration::from_millis(500);
/// Time from the start of a window to its first frame.
const LEAD: Duration = Duration::from_millis(100);
/// Open files beside the listeners' connections.
const OTHER_FILES: u64 = 64;

/// Icecast under load.
#[derive(Debug, Parser)]
#[command(name = "peer-icecast", version)]
struct Cli {
    /// Listeners in all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    listeners: u32,
    /// Bytes of a frame; one frame every 20 ms.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(STAMP_BYTES as i64..=MAX_OPUS_BYTES as i64))]
    frame_bytes: u16,
    /// Length of an Ogg page. Icecast sends a page at a time.
    #[arg(long, value_name = "MS", default_value = "20")]
    page_ms: PageLength,
}

/// Length of an Ogg page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PageLength {
    /// A frame: as live as Ogg can be.
    #[value(name = "20")]
    Frame,
    /// Five frames.
    #[value(name = "100")]
    FiveFrames,
}

impl PageLength {
    const fn frames(self) -> u32 {
        match self {
            Self::Frame => 1,
            Self::FiveFrames => 5,
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Some(version) = server::version() else {
        eprintln!("peer-icecast: icecast2 is not installed (Debian's package icecast2)");
        return ExitCode::from(MISSING);
    };
    match run(&cli, &version) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer-icecast: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli, version: &str) -> Result<()> {
    // Icecast inherits the limit.
    allow_open_files(u64::from(cli.listeners) + OTHER_FILES)?;
    let joined = join(cli.listeners)?;
    let frames = cli.page_ms.frames();
    let page_ms = FRAME_PERIOD.as_millis() as u32 * frames;
    let ready = Ready {
        system: format!("{version}, Ogg pages of {page_ms} ms over TCP"),
        encrypted: "nothing".to_owned(),
        lacks: "encryption; more than one speaker; anybody who speaks up from the audience; a way \
                round a lost packet, behind which all later ones wait: players buffer seconds, which \
                the latency here is without"
            .to_owned(),
        listeners: cli.listeners,
        join_seconds: joined.join_seconds,
        memory_kib_per_listener: joined.memory_bytes as f64 / 1024.0 / f64::from(cli.listeners),
    };
    let manner = Manner { frame_bytes: usize::from(cli.frame_bytes), frames_per_page: frames };
    let mut windows = 0;
    serve(ready, |ask| {
        windows += 1;
        let gone = joined.audience.gone();
        ensure!(gone == 0, "{gone} of {} listeners are gone", cli.listeners);
        measure(ask, windows, manner, &joined).map(|window| Window {
            frames_expected: window.frames_expected * u64::from(cli.listeners),
            ..window
        })
    })
}

/// Server, source and listeners, with the cost of the joins. Dropped in this order.
struct Joined {
    audience: Audience,
    source: Source,
    server: Server,
    join_seconds: f64,
    memory_bytes: u64,
}

/// Starts Icecast and joins all; retries with a new process if it crashes meanwhile.
fn join(listeners: u32) -> Result<Joined> {
    let mut starts_left = STARTS;
    loop {
        starts_left -= 1;
        let mut server = Server::start(listeners)?;
        match join_server(&server, listeners) {
            Ok((audience, source, join_seconds, memory_bytes)) => {
                return Ok(Joined { audience, source, server, join_seconds, memory_bytes });
            }
            Err(error) => match server.ended()? {
                Some(status) if starts_left > 0 => {
                    eprintln!("icecast2 has crashed ({status}) and is started again: {error:#}");
                }
                Some(status) => return Err(error.context(format!("icecast2 crashed: {status}"))),
                None => return Err(error),
            },
        }
    }
}

fn join_server(server: &Server, listeners: u32) -> Result<(Audience, Source, f64, u64)> {
    let source = Source::connect(server.address())?;
    std::thread::sleep(SETTLE);
    let before = process_memory(server.pid())?.resident_bytes;
    let began = Instant::now();
    let audience = Audience::join(server.address(), listeners)?;
    let join_seconds = began.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let memory_bytes = process_memory(server.pid())?.resident_bytes.saturating_sub(before);
    Ok((audience, source, join_seconds, memory_bytes))
}

/// Measures a window. The expected frames are those of one listener.
fn measure(ask: Ask, number: u16, manner: Manner, joined: &Joined) -> Result<Window> {
    let Joined { audience, source, server, .. } = joined;
    let Ask { speakers, seconds } = ask;
    ensure!(speakers == 1, "{speakers} speakers are asked for; a stream of Icecast has one source");
    ensure!((1..=1_200).contains(&seconds), "{seconds} seconds are asked for, of 1 to 1200");
    let schedule = schedule(Instant::now() + LEAD, seconds);
    audience.begin(number, schedule)?;
    let sleep_until =
        |then: Instant| std::thread::sleep(then.saturating_duration_since(Instant::now()));
    let (reading, lateness) = std::thread::scope(|scope| {
        let speaking = scope.spawn(|| source.speak(manner, number, &schedule));
        let (from, to) = schedule.span();
        sleep_until(from);
        let meter = Meter::start(&[server.pid()])?;
        sleep_until(to);
        let reading = meter.read()?;
        let lateness =
            speaking.join().map_err(|_| anyhow!("the source's thread has panicked"))??;
        anyhow::Ok((reading, lateness))
    })?;
    let heard = audience.end()?;
    Ok(Window {
        speakers,
        seconds: reading.span.as_secs_f64(),
        frames_expected: u64::from(schedule.measured),
        frames_delivered: heard.frames,
        server_cpu_us: reading.server_cpu.as_secs_f64() * 1e6,
        generator_cpu_us: reading.own_cpu.as_secs_f64() * 1e6,
        others_cores: reading.others.as_secs_f64() / reading.span.as_secs_f64(),
        kernel_drops: reading.drops,
        speaker_late_p99_us: lateness.value_at_quantile(0.99),
        latency_us: Percentiles::of(&heard.latency_us),
    })
}

fn schedule(start: Instant, seconds: u32) -> Schedule {
    let frames = |span: Duration| (span.as_millis() / FRAME_PERIOD.as_millis()) as u32;
    let measured = frames(Duration::from_secs(u64::from(seconds)));
    Schedule { start, before: frames(AROUND), measured, after: frames(AROUND) }
}

fn allow_open_files(needed: u64) -> Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let allowed = maximum.is_none_or(|maximum| maximum >= needed);
    ensure!(allowed, "{needed} open files are needed, and {maximum:?} are allowed (ulimit -Hn)");
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .with_context(|| format!("{needed} open files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_span_has_whole_pages() {
        let schedule = schedule(Instant::now(), 1);
        for page in [PageLength::Frame, PageLength::FiveFrames] {
            let frames = [schedule.before, schedule.measured, schedule.after];
            assert!(frames.iter().all(|frames| frames % page.frames() == 0), "{frames:?}");
        }
    }
}

//! `peer-janus`: Janus, whose streaming plugin forwards one speaker's audio to WebRTC viewers, as a contender
//! of `tribune-bench peers` ([`tribune_bench::contender`]).

mod api;
mod audience;
mod server;
mod speaker;
mod viewer;

use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tribune_bench::accounting::process_memory;
use tribune_bench::contender::{Ask, MISSING, Meter, Percentiles, Ready, Said, Window, say, serve};
use tribune_bench::frame::{STAMP_BYTES, Schedule};

use crate::audience::{Audience, Listen};
use crate::server::{Missing, Server};
use crate::speaker::Speaker;

/// Time from the start of a window to its first frame.
const START_AFTER: Duration = Duration::from_millis(100);
/// Frames per second.
const FRAMES_PER_SECOND: u32 = 50;
/// Frames before the measured ones: half a second.
const FRAMES_BEFORE: u32 = 25;
/// Frames after the measured ones.
const FRAMES_AFTER: u32 = 10;
/// Exit code of an error that prevents a measurement.
const FAILED: u8 = 2;

/// Measures Janus: one speaker, WebRTC viewers.
#[derive(Debug, Parser)]
struct Args {
    /// Viewers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5_000))]
    listeners: u32,
    /// Opus bytes in a frame.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(STAMP_BYTES as i64..=1_000))]
    frame_bytes: u16,
    /// Threads that serve all viewers; 0 is a thread for each viewer, Janus's default.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=64))]
    event_loops: u16,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(if error.is::<Missing>() { MISSING } else { FAILED })
        }
    }
}

fn run(args: &Args) -> Result<()> {
    allow_many_sockets()?;
    let (server, api) = Server::start(args.event_loops)?;
    let before = process_memory(server.pid())?.resident_bytes;
    let began = Instant::now();
    let mut audience = Audience::new(api, server.media());
    audience.join(args.listeners as usize, |joined| say(&Said::Joining { joined }))?;
    let join_seconds = began.elapsed().as_secs_f64();
    let mut testbed = Testbed::open(server, audience, args)?;
    // A first window, since memory of the first audio counts for the listeners too, and all must receive it.
    let rehearsal = testbed.window(Ask { speakers: 1, seconds: 1 })?;
    if rehearsal.frames_delivered == 0 {
        bail!("no viewer hears the speaker");
    }
    let after = process_memory(testbed.server.pid())?.resident_bytes;
    let threads = match args.event_loops {
        0 => "a thread per viewer".to_owned(),
        1 => "1 event loop".to_owned(),
        loops => format!("{loops} event loops"),
    };
    let ready = Ready {
        system: format!("Janus {}, {threads}", testbed.server.version()),
        encrypted:
            "SRTP (AES-256-GCM) from Janus to each viewer, keys by DTLS 1.2; the speaker's RTP \
                    is not"
                .to_owned(),
        lacks:
            "one speaker a mountpoint; no rooms or talking back; no tree of relays; no recovery \
                of lost audio"
                .to_owned(),
        listeners: args.listeners,
        join_seconds,
        memory_kib_per_listener: after.saturating_sub(before) as f64
            / 1024.0
            / f64::from(args.listeners),
    };
    serve(ready, |ask| testbed.window(ask))
}

/// Server with speaker and audience.
struct Testbed {
    // Declared before the server, so that the audience leaves before Janus ends.
    audience: Option<(SyncSender<Listen>, JoinHandle<Result<()>>)>,
    server: Server,
    speaker: Speaker,
    listeners: u32,
    windows: u16,
}

impl Testbed {
    fn open(server: Server, audience: Audience, args: &Args) -> Result<Self> {
        let speaker = Speaker::new(server.mountpoint(), usize::from(args.frame_bytes))?;
        let (asks, asked) = sync_channel(1);
        let thread = std::thread::spawn(move || audience.attend(&asked));
        let audience = Some((asks, thread));
        Ok(Self { audience, server, speaker, listeners: args.listeners, windows: 0 })
    }

    fn window(&mut self, ask: Ask) -> Result<Window> {
        if ask.speakers != 1 {
            bail!("a mountpoint of Janus has one speaker, not {}", ask.speakers);
        }
        self.windows = self.windows.wrapping_add(1);
        let schedule = Schedule {
            start: Instant::now() + START_AFTER,
            before: FRAMES_BEFORE,
            measured: ask.seconds * FRAMES_PER_SECOND,
            after: FRAMES_AFTER,
        };
        let (heard, hears) = sync_channel(1);
        let (asks, _) = self.audience.as_ref().context("the audience has left")?;
        let listen = Listen { window: self.windows, schedule, heard };
        if asks.send(listen).is_err() {
            return Err(self.why_nobody_listens());
        }
        let (window, speaker, pid) = (self.windows, &mut self.speaker, self.server.pid());
        let (lateness_us, reading) = std::thread::scope(|scope| {
            let speaking = scope.spawn(|| speaker.speak(&schedule, window));
            let reading = read_meter(pid, &schedule);
            let lateness_us =
                speaking.join().map_err(|_| anyhow!("the speaker has panicked"))??;
            anyhow::Ok((lateness_us, reading?))
        })?;
        let Ok(heard) = hears.recv() else { return Err(self.why_nobody_listens()) };
        let span = reading.span.as_secs_f64();
        Ok(Window {
            speakers: ask.speakers,
            seconds: span,
            frames_expected: u64::from(schedule.measured) * u64::from(self.listeners),
            frames_delivered: heard.frames,
            server_cpu_us: reading.server_cpu.as_secs_f64() * 1e6,
            generator_cpu_us: reading.own_cpu.as_secs_f64() * 1e6,
            others_cores: reading.others.as_secs_f64() / span,
            kernel_drops: reading.drops,
            speaker_late_p99_us: Percentiles::of(&lateness_us).p99,
            latency_us: Percentiles::of(&heard.latency_us),
        })
    }

    fn why_nobody_listens(&mut self) -> anyhow::Error {
        let ended = self.audience.take().map(|(_, thread)| thread.join());
        match ended {
            Some(Ok(Err(error))) => error,
            Some(Ok(Ok(())) | Err(_)) | None => anyhow!("the audience has ended by itself"),
        }
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if let Some((asks, thread)) = self.audience.take() {
            drop(asks);
            let _ = thread.join();
        }
    }
}

fn read_meter(pid: u32, schedule: &Schedule) -> Result<tribune_bench::contender::Reading> {
    let (from, to) = schedule.span();
    std::thread::sleep(from.saturating_duration_since(Instant::now()));
    let meter = Meter::start(&[pid])?;
    std::thread::sleep(to.saturating_duration_since(Instant::now()));
    meter.read()
}

/// Raises the limit of open files: each viewer is a socket here and a few descriptors in Janus, which
/// inherits it.
fn allow_many_sockets() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("the limit of open files")
}

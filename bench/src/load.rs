//! `tribune-bench load`: a relay, an audience, speakers on a schedule, and what came of it.

use std::io::IsTerminal;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_OPUS_BYTES, MAX_STAGE};
use tribune_relay::config::Fingerprint;
use tribune_relay::tls::ServerTrust;

use crate::crowd::{Audience, Shared, Spoken, Stage, listen, speak};
use crate::process::{RelayProcess, relay_of_this_build};
use crate::report::{Costs, Figures, LoadReport};
use crate::swarm::Target;
use crate::tally::Heard;
use tribune_bench::accounting::{
    Memory, machine_cpu, machine_drops, process_cpu, process_drops, process_memory, thread_cpu,
};
use tribune_bench::frame::{STAMP_BYTES, Schedule};

/// Speech before the measured span, so that windows, acknowledgements and caches settle.
const BEFORE: Duration = Duration::from_secs(2);
/// Speech after it, so that its end is as loud as its middle.
const AFTER: Duration = Duration::from_millis(500);
/// Rest before memory is read, for what joining has left to do.
const SETTLE: Duration = Duration::from_millis(500);
/// Time for the last joins beyond what the rate asks for.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// How often progress is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// How often progress is shown where lines stay, not on a terminal.
const LINE_PERIOD: Duration = Duration::from_secs(5);

/// What to load, and how.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadPlan {
    /// Listeners in all.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) listeners: u32,
    /// Speakers of each room, all talking; the relay passes on its --top-n loudest.
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MAX_STAGE as i64))]
    pub(crate) speakers: u16,
    /// Rooms that the listeners are dealt over.
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) rooms: u16,
    /// Length of the measured span, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_200))]
    pub(crate) seconds: u32,
    /// Opus bytes in a frame; one frame every 20 ms.
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(STAMP_BYTES as i64..=MAX_OPUS_BYTES as i64))]
    pub(crate) frame_bytes: u16,
    /// Joins begun in a second.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) join_rate: u32,
    /// Threads of listeners; the speakers have one of their own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,
    /// Listeners that share a UDP socket, and so an address that the relay sends to.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) per_socket: u32,
    /// Shards of the relay that is started: 1, so that figures per frame are those of one core.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) shards: u8,
    /// The relay's program [default: tribune-relay next to this one]
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    pub(crate) relay: Option<PathBuf>,
    /// A relay that runs already, instead of starting one.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) url: Option<String>,
    /// SHA-256 of that relay's certificate. Without it any certificate will do: a load has no secrets.
    #[arg(long, value_name = "SHA256", requires = "url")]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// The process of that relay on this machine; without it there are no figures of CPU and memory.
    #[arg(long, value_name = "PID", requires = "url")]
    pub(crate) relay_pid: Option<u32>,
}

/// Runs a load from the start of the relay to its end.
///
/// # Errors
/// What prevents the run: no relay, nobody let in, no /proc.
pub(crate) fn run(plan: &LoadPlan) -> Result<LoadReport> {
    let own_relay = match plan.url {
        Some(_) => None,
        None => {
            let program = plan.relay.clone().map_or_else(relay_of_this_build, Ok)?;
            Some(RelayProcess::start(&program, plan.shards)?)
        }
    };
    let target = target(plan, own_relay.as_ref())?;
    let pid = own_relay.as_ref().map(RelayProcess::pid).or(plan.relay_pid);
    let shared = Arc::new(Shared::default());
    let crew = Crew::start(plan, &target, &shared)?;
    let outcome = measure(plan, pid, &shared, crew);
    shared.stop.store(true, Ordering::Relaxed);
    outcome
}

fn target(plan: &LoadPlan, own: Option<&RelayProcess>) -> Result<Target> {
    if let Some(relay) = own {
        let trust = ServerTrust::Pinned(relay.fingerprint());
        return Ok(Target { address: relay.address(), name: "localhost".to_owned(), trust });
    }
    let url = plan.url.as_deref().context("--url names the relay")?;
    let url = url.strip_prefix("tribune://").unwrap_or(url).trim_end_matches('/');
    let mut addresses = url.to_socket_addrs().with_context(|| format!("--url: {url}"))?;
    let address: SocketAddr =
        addresses.next().with_context(|| format!("--url: {url} has no address"))?;
    let name = url.rsplit_once(':').map_or(url, |(host, _)| host);
    let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let trust = plan.fingerprint.map_or(ServerTrust::Anything, ServerTrust::Pinned);
    Ok(Target { address, name, trust })
}

/// The threads of a load.
struct Crew {
    plan: LoadPlan,
    target: Target,
    speakers: JoinHandle<Result<Spoken>>,
    listeners: Vec<JoinHandle<Result<Heard>>>,
}

impl Crew {
    /// Starts the speakers' thread. Listeners come later: the first speaker opens the room.
    fn start(plan: &LoadPlan, target: &Target, shared: &Arc<Shared>) -> Result<Self> {
        let rooms = 0..plan.rooms;
        let stage = Stage {
            target: target.clone(),
            speakers: rooms
                .flat_map(|room| {
                    (0..plan.speakers).map(move |speaker| (room_name(room), room, speaker))
                })
                .collect(),
            frame_bytes: usize::from(plan.frame_bytes),
        };
        let shared = Arc::clone(shared);
        let speakers = std::thread::Builder::new().name("speakers".to_owned());
        let speakers = speakers.spawn(move || speak(&stage, &shared))?;
        Ok(Self { plan: plan.clone(), target: target.clone(), speakers, listeners: Vec::new() })
    }

    fn add_listeners(&mut self, shared: &Arc<Shared>) -> Result<()> {
        let plan = &self.plan;
        let threads = usize::from(plan.threads);
        for thread in 0..threads {
            let own = (thread..plan.listeners as usize).step_by(threads);
            let rooms = own.map(|listener| (listener % usize::from(plan.rooms)) as u16);
            let audience = Audience {
                target: self.target.clone(),
                rooms: rooms.map(|room| (room_name(room), room)).collect(),
                per_socket: plan.per_socket as usize,
                joins_per_second: f64::from(plan.join_rate) / threads as f64,
                speakers: plan.speakers,
            };
            let shared = Arc::clone(shared);
            let builder = std::thread::Builder::new().name(format!("listeners-{thread}"));
            self.listeners.push(builder.spawn(move || listen(&audience, &shared))?);
        }
        Ok(())
    }

    /// Whether a thread has ended, which none does on its own but by an error.
    fn broken(&self) -> bool {
        self.speakers.is_finished() || self.listeners.iter().any(JoinHandle::is_finished)
    }

    fn join(self, shared: &Shared) -> Result<(Spoken, Heard)> {
        shared.stop.store(true, Ordering::Relaxed);
        let spoken =
            self.speakers.join().map_err(|_| anyhow!("the speakers' thread panicked"))??;
        let mut heard = Heard::default();
        for thread in self.listeners {
            heard.merge(thread.join().map_err(|_| anyhow!("a listeners' thread panicked"))??);
        }
        Ok((spoken, heard))
    }
}

/// What the system has counted up to a moment.
struct Snapshot {
    at: Instant,
    relay_cpu: Option<Duration>,
    own_cpu: Duration,
    /// Of each listeners' thread.
    threads_cpu: Vec<Duration>,
    machine_cpu: Duration,
    machine_drops: u64,
    own_drops: u64,
    relay_drops: u64,
    frames: u64,
    datagrams: u64,
}

impl Snapshot {
    fn take(pid: Option<u32>, shared: &Shared) -> Result<Self> {
        let own = std::process::id();
        let threads = shared.listener_threads.lock().map_err(|_| anyhow!("a thread panicked"))?;
        Ok(Self {
            at: Instant::now(),
            relay_cpu: pid.map(process_cpu).transpose()?,
            own_cpu: process_cpu(own)?,
            threads_cpu: threads.iter().map(|thread| thread_cpu(*thread)).collect::<Result<_>>()?,
            machine_cpu: machine_cpu()?,
            machine_drops: machine_drops()?,
            own_drops: process_drops(own)?,
            relay_drops: pid.map(process_drops).transpose()?.unwrap_or(0),
            frames: shared.frames.load(Ordering::Relaxed),
            datagrams: shared.datagrams.load(Ordering::Relaxed),
        })
    }
}

fn measure(
    plan: &LoadPlan,
    pid: Option<u32>,
    shared: &Arc<Shared>,
    mut crew: Crew,
) -> Result<LoadReport> {
    let mut progress = Progress::new();
    let speakers = usize::from(plan.speakers) * usize::from(plan.rooms);
    let speakers_by = Instant::now() + JOIN_PATIENCE;
    wait_for(&mut progress, &crew, shared, speakers_by, |progress| {
        let count = shared.speakers_in.load(Ordering::Relaxed);
        progress.show(&format!("{count} of {speakers} speakers are in"));
        count == speakers
    });
    if shared.speakers_in.load(Ordering::Relaxed) < speakers {
        crew.join(shared)?;
        bail!("not all speakers were let in");
    }
    std::thread::sleep(SETTLE);
    let memory = |pid: Option<u32>| pid.map(process_memory).transpose();
    let (memory_before, cpu_before) = (memory(pid)?, pid.map(process_cpu).transpose()?);

    let listeners = plan.listeners as usize;
    let began = Instant::now();
    crew.add_listeners(shared)?;
    let patience = Duration::from_secs_f64(f64::from(plan.listeners) / f64::from(plan.join_rate));
    wait_for(&mut progress, &crew, shared, began + patience + JOIN_PATIENCE, |progress| {
        let count = shared.listeners_in.load(Ordering::Relaxed);
        progress.show(&format!("{count} of {listeners} listeners are in"));
        count == listeners
    });
    let join_time = began.elapsed();
    let joined = shared.listeners_in.load(Ordering::Relaxed);
    if joined < listeners {
        crew.join(shared)?;
        bail!("only {joined} of {listeners} listeners were let in within {join_time:.0?}");
    }
    std::thread::sleep(SETTLE);
    let (memory_joined, cpu_joined) = (memory(pid)?, pid.map(process_cpu).transpose()?);

    let (first, last) = run_schedule(plan, pid, shared, &crew, &mut progress)?;
    let memory_after = memory(pid)?;
    progress.end();
    let gone = shared.gone.load(Ordering::Relaxed);
    let (spoken, heard) = crew.join(shared)?;
    let joining = Joining {
        took: join_time,
        cpu: cpu_before.zip(cpu_joined).map(|(before, after)| after - before),
        memory: memory_before.zip(memory_joined),
        memory_after,
    };
    Ok(LoadReport::new(plan, figures(plan, &first, &last, &joining, &spoken, &heard, gone)))
}

/// Has the speakers speak, and reads the counters at both ends of the measured span.
fn run_schedule(
    plan: &LoadPlan,
    pid: Option<u32>,
    shared: &Shared,
    crew: &Crew,
    progress: &mut Progress,
) -> Result<(Snapshot, Snapshot)> {
    let frames = |span: Duration| (span.as_millis() / FRAME_PERIOD.as_millis()) as u32;
    let schedule = Schedule {
        start: Instant::now() + SETTLE,
        before: frames(BEFORE),
        measured: frames(Duration::from_secs(u64::from(plan.seconds))),
        after: frames(AFTER),
    };
    shared.schedule.set(schedule).map_err(|_| anyhow!("the schedule is set once"))?;
    let (from, to) = schedule.span();
    std::thread::sleep(from.saturating_duration_since(Instant::now()));
    let first = Snapshot::take(pid, shared)?;
    wait_for(progress, crew, shared, to, |progress| {
        let heard = shared.frames.load(Ordering::Relaxed) - first.frames;
        let elapsed = from.elapsed().as_secs_f64();
        let rate = heard as f64 / elapsed.max(0.001);
        progress.show(&format!("{elapsed:.0} of {} s, {rate:.0} frames/s", plan.seconds));
        false
    });
    let last = Snapshot::take(pid, shared)?;
    std::thread::sleep(schedule.end().saturating_duration_since(Instant::now()));
    Ok((first, last))
}

/// What joining took.
struct Joining {
    took: Duration,
    cpu: Option<Duration>,
    memory: Option<(Memory, Memory)>,
    memory_after: Option<Memory>,
}

fn figures(
    plan: &LoadPlan,
    first: &Snapshot,
    last: &Snapshot,
    joining: &Joining,
    spoken: &Spoken,
    heard: &Heard,
    gone: usize,
) -> Figures {
    let span = last.at - first.at;
    let listeners = u64::from(plan.listeners);
    // Each room has the same speakers, so each listener is owed its share of all frames.
    let expected = spoken.frames / u64::from(plan.rooms) * listeners;
    let relay_cpu = last.relay_cpu.zip(first.relay_cpu).map(|(last, first)| last - first);
    let own_cpu = last.own_cpu - first.own_cpu;
    let threads = last.threads_cpu.iter().zip(&first.threads_cpu);
    let busiest = threads.map(|(last, first)| *last - *first).max().unwrap_or_default();
    let others = (last.machine_cpu - first.machine_cpu)
        .saturating_sub(own_cpu)
        .saturating_sub(relay_cpu.unwrap_or_default());
    Figures {
        span,
        expected,
        delivered: heard.frames,
        duplicates: heard.duplicates,
        foreign: heard.foreign,
        listeners_with_loss: heard.listeners_with_loss,
        lost_before_fanout: spoken.frames.saturating_sub(heard.heard_by_some()),
        unsent: spoken.unsent,
        gone: gone as u64,
        frames_per_datagram: (last.frames - first.frames) as f64
            / (last.datagrams - first.datagrams).max(1) as f64,
        machine_drops: last.machine_drops - first.machine_drops,
        generator_drops: last.own_drops - first.own_drops,
        generator_refused: heard.send_refused,
        relay_drops: last.relay_drops - first.relay_drops,
        datagrams: last.datagrams - first.datagrams,
        costs: Costs {
            frames: last.frames - first.frames,
            relay_cpu,
            generator_cpu: own_cpu,
            busiest_thread: busiest,
            others,
        },
        latency_us: heard.latency_us.clone(),
        lateness_us: spoken.lateness_us.clone(),
        join_time: joining.took,
        join_cpu: joining.cpu,
        memory_before: joining.memory.map(|(before, _)| before.resident_bytes),
        memory_joined: joining.memory.map(|(_, joined)| joined.resident_bytes),
        memory_after: joining.memory_after.map(|memory| memory.resident_bytes),
        memory_peak: joining.memory_after.map(|memory| memory.peak_bytes),
    }
}

fn room_name(room: u16) -> String {
    format!("bench-{room}")
}

/// Looks at `done` again and again: until it is, the time is over, or a thread or somebody is gone.
fn wait_for(
    progress: &mut Progress,
    crew: &Crew,
    shared: &Shared,
    until: Instant,
    mut done: impl FnMut(&mut Progress) -> bool,
) {
    let gone = shared.gone.load(Ordering::Relaxed);
    while !done(progress) && Instant::now() < until && !crew.broken() {
        if shared.schedule.get().is_none() && shared.gone.load(Ordering::Relaxed) > gone {
            return;
        }
        std::thread::sleep(GLANCE.min(until.saturating_duration_since(Instant::now())));
    }
}

/// One line on standard error that says how far a run is.
struct Progress {
    terminal: bool,
    shown: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, text: &str) {
        let period = if self.terminal { GLANCE * 10 } else { LINE_PERIOD };
        if self.shown.is_some_and(|at| at.elapsed() < period) {
            return;
        }
        self.shown = Some(Instant::now());
        if self.terminal {
            eprint!("\r\x1b[K{text}");
        } else {
            eprintln!("{text}");
        }
    }

    fn end(&mut self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

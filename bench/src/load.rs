//! `tribune-bench load`: a relay, an audience, speakers on a schedule, and what came of it.

use std::io::IsTerminal;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tribune_protocol::limits::{MAX_OPUS_BYTES, MAX_STAGE, MAX_TREE_DEPTH, REPORT_PERIOD};
use tribune_relay::config::Fingerprint;
use tribune_relay::tls::ServerTrust;

use crate::crew::{Cast, Crew, Joining, Venue};
use crate::crowd::Shared;
use crate::guests::{Coming, Guests, STORM, Visits};
use crate::origin::OriginReports;
use crate::process::{RelayChain, relay_of_this_build};
use crate::report::{Costs, Figures, LoadReport, StormFigures};
use crate::samples::Samples;
use crate::speech::Spoken;
use crate::swarm::Target;
use crate::tally::{Heard, Round};
use tribune_bench::accounting::{
    machine_cpu, machine_drops, process_cpu, process_drops, process_memory, thread_cpu,
};
use tribune_bench::frame::SENT_STAMP_BYTES;

/// Speech before the measured span, so that windows, acknowledgements and caches settle.
const BEFORE: Duration = Duration::from_secs(2);
/// Speech after it, so that its end is as loud as its middle.
const AFTER: Duration = Duration::from_millis(500);
/// How often progress is shown on a terminal.
const TERMINAL_PERIOD: Duration = Duration::from_millis(200);
/// How often progress is shown where lines stay.
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
    #[arg(long, value_name = "BYTES", default_value_t = 120, value_parser = clap::value_parser!(u16).range(SENT_STAMP_BYTES as i64..=MAX_OPUS_BYTES as i64))]
    pub(crate) frame_bytes: u16,
    /// Joins begun in a second.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) join_rate: u32,
    /// Threads of listeners; the speakers have one of their own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,
    /// Listeners that share a UDP socket, and so an address that the relay sends to.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) per_socket: u32,
    /// Round trip between listeners and relay, in milliseconds: the generator holds their packets for
    /// half of it in both directions. Latencies are taken before that, when a packet comes off its
    /// socket. Speakers are at 0.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    pub(crate) rtt: u16,
    /// Relays in a chain: speakers at the first, listeners at the last, whose costs are reported.
    #[arg(long, value_name = "D", default_value_t = 1, conflicts_with = "url", value_parser = clap::value_parser!(u8).range(1..=MAX_TREE_DEPTH as i64))]
    pub(crate) depth: u8,
    /// Listeners that come and leave each second of the measured span, beside those who stay. Each
    /// stays for a second once it is in; what they hear is not expected of the relay.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "storm", value_parser = clap::value_parser!(u32).range(0..=5_000))]
    pub(crate) churn: u32,
    /// Listeners that join within one second in the middle of the measured span, and stay: the gaps
    /// that this adds for those who are there are reported. Takes a span of at least 2 s.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) storm: u32,
    /// Has speakers and listeners ask for the origin's time as real participants do, each with a wrong
    /// clock of its own; speakers tell when a frame a second was captured, listeners report every 5 s,
    /// guests do not. Compares the latencies that are reported with the moments that the generator
    /// knows, and after the speech with what has come of them at the first relay, if it is started here.
    /// Nothing is played: latencies end at arrival, jitter and buffer are reported as 0, and nothing is
    /// late or made up. Takes a span of at least 5 s.
    #[arg(long)]
    pub(crate) reports: bool,
    /// Draws the distribution of latencies and the CPU over the run.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Shards of each relay that is started: 1, so that figures per frame are those of one core.
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

impl LoadPlan {
    /// Sockets of all listeners.
    pub(crate) fn listener_sockets(&self) -> u32 {
        self.cast().listener_sockets()
    }

    fn cast(&self) -> Cast {
        Cast {
            listeners: self.listeners,
            speakers: self.speakers,
            rooms: self.rooms,
            frame_bytes: self.frame_bytes,
            join_rate: self.join_rate,
            threads: self.threads,
            per_socket: self.per_socket,
            rtt: self.rtt(),
            other_sockets: Coming::sockets(self.churn, false) + Coming::sockets(self.storm, true),
            reports: self.reports,
        }
    }

    fn rtt(&self) -> Duration {
        Duration::from_millis(self.rtt.into())
    }
}

/// Runs a load from the start of the relay to its end.
///
/// # Errors
/// What prevents the run: no relay, nobody let in, no /proc.
pub(crate) fn run(plan: &LoadPlan) -> Result<LoadReport> {
    ensure!(plan.storm == 0 || plan.seconds >= 2, "--storm takes --seconds 2 or more");
    let reports_take = REPORT_PERIOD.as_secs();
    ensure!(
        !plan.reports || u64::from(plan.seconds) >= reports_take,
        "--reports takes --seconds {reports_take} or more"
    );
    let own_relays = match plan.url {
        Some(_) => None,
        None => {
            let program = plan.relay.clone().map_or_else(relay_of_this_build, Ok)?;
            Some(RelayChain::start(&program, plan.shards, plan.depth)?)
        }
    };
    let venue = match &own_relays {
        Some(relays) => Venue::of(relays),
        None => running_relay(plan)?,
    };
    let mut progress = Progress::new();
    let (mut crew, joining) =
        Crew::assemble(&plan.cast(), &venue, &mut |_, text| progress.show(text))?;
    let outcome = measure(plan, &venue, &mut crew, &joining, &mut progress);
    let ended = crew.end();
    let report = outcome?;
    ended?;
    Ok(report)
}

fn running_relay(plan: &LoadPlan) -> Result<Venue> {
    let url = plan.url.as_deref().context("--url names the relay")?;
    let url = url.strip_prefix("tribune://").unwrap_or(url).trim_end_matches('/');
    let mut addresses = url.to_socket_addrs().with_context(|| format!("--url: {url}"))?;
    let address: SocketAddr =
        addresses.next().with_context(|| format!("--url: {url} has no address"))?;
    let name = url.rsplit_once(':').map_or(url, |(host, _)| host);
    let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let trust = plan.fingerprint.map_or(ServerTrust::Anything, ServerTrust::Pinned);
    let target = Target { address, name, trust };
    Ok(Venue {
        root: target.clone(),
        edge: target,
        edge_pid: plan.relay_pid,
        above: Vec::new(),
        root_http: None,
    })
}

/// What the system has counted up to a moment.
#[derive(Debug, Clone)]
struct Snapshot {
    at: Instant,
    relay_cpu: Option<Duration>,
    /// Of the relays above the edge.
    above_cpu: Duration,
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
    fn take(venue: &Venue, shared: &Shared) -> Result<Self> {
        let own = std::process::id();
        let threads = shared.listener_threads.lock();
        let threads = threads.map_err(|_| anyhow::anyhow!("a thread panicked"))?.clone();
        let (mut above_cpu, mut relay_drops) = (Duration::ZERO, 0);
        for pid in &venue.above {
            above_cpu += process_cpu(*pid)?;
            relay_drops += process_drops(*pid)?;
        }
        relay_drops += venue.edge_pid.map(process_drops).transpose()?.unwrap_or(0);
        Ok(Self {
            at: Instant::now(),
            relay_cpu: venue.edge_pid.map(process_cpu).transpose()?,
            above_cpu,
            own_cpu: process_cpu(own)?,
            threads_cpu: threads.iter().map(|thread| thread_cpu(*thread)).collect::<Result<_>>()?,
            machine_cpu: machine_cpu()?,
            machine_drops: machine_drops()?,
            own_drops: process_drops(own)?,
            relay_drops,
            frames: shared.frames.load(Ordering::Relaxed),
            datagrams: shared.datagrams.load(Ordering::Relaxed),
        })
    }
}

fn measure(
    plan: &LoadPlan,
    venue: &Venue,
    crew: &mut Crew,
    joining: &Joining,
    progress: &mut Progress,
) -> Result<LoadReport> {
    let span = Duration::from_secs(u64::from(plan.seconds));
    let mut round = crew.round(BEFORE, span, AFTER);
    round.speakers = plan.speakers;
    round.gaps = plan.storm > 0;
    let (from, to) = round.schedule.span();
    crew.begin(round)?;
    let coming = coming(plan, from, to);
    let guests = coming
        .map(|coming| Guests::invite(coming, &venue.edge, plan.rooms, plan.rtt(), &crew.shared));
    let guests = guests.transpose()?;
    crew.pass(from, &mut |_| ())?;
    let first = Snapshot::take(venue, &crew.shared)?;
    let mut samples = Samples::new(
        venue.edge_pid,
        (first.at, first.relay_cpu.unwrap_or_default(), first.own_cpu),
    );
    crew.pass(to, &mut |shared| {
        let heard = shared.frames.load(Ordering::Relaxed) - first.frames;
        let elapsed = from.elapsed().as_secs_f64();
        let rate = heard as f64 / elapsed.max(0.001);
        progress.show(&format!("{elapsed:.0} of {} s, {rate:.0} frames/s", plan.seconds));
        samples.glance();
    })?;
    let last = Snapshot::take(venue, &crew.shared)?;
    let samples = samples.finish();
    let (spoken, heard) = crew.finish(&round)?;
    let memory_after = venue.edge_pid.map(process_memory).transpose()?;
    let origin_reports = match heard.reported.zip(venue.root_http) {
        Some((reported, http)) => {
            progress.show("reports are on their way up");
            let pause = &mut |until| crew.pass(until, &mut |_| ());
            Some(OriginReports::await_all(http, plan.depth, &reported.first_room, pause)?)
        }
        None => None,
    };
    progress.end();
    let gone = crew.shared.gone();
    crew.end()?;
    let visits = guests.map(Guests::end).transpose()?;
    let storm = match (&heard.gaps, &visits) {
        (Some(gaps), Some(visits)) => {
            Some(StormFigures::new(gaps, storm_second(plan), storm_seconds(plan, from, visits))?)
        }
        (Some(_), None) | (None, _) => None,
    };
    let mut figures = figures(plan, &round, (&first, &last), joining, &spoken, &heard);
    figures.gone = gone as u64;
    figures.memory_after = memory_after.map(|memory| memory.resident_bytes);
    figures.memory_peak = memory_after.map(|memory| memory.peak_bytes);
    (figures.visits, figures.storm, figures.samples) = (visits, storm, samples);
    figures.origin_reports = origin_reports;
    let latency = figures.latency_us.clone();
    let report = LoadReport::new(plan, figures);
    if let Some(path) = &plan.plot {
        crate::plot::write(path, &report, latency.as_ref())?;
    }
    Ok(report)
}

fn coming(plan: &LoadPlan, from: Instant, to: Instant) -> Option<Coming> {
    if plan.storm > 0 {
        let from = from + Duration::from_secs(storm_second(plan) as u64);
        return Some(Coming::Storm { guests: plan.storm, from });
    }
    (plan.churn > 0).then_some(Coming::Churn { per_second: plan.churn, from, to })
}

/// The second of the span in which a storm begins.
const fn storm_second(plan: &LoadPlan) -> usize {
    plan.seconds as usize / 2
}

/// Whole seconds from a storm's beginning until its last guest is in: at least the one in which it
/// begins, at most as many as there are before it.
fn storm_seconds(plan: &LoadPlan, from: Instant, visits: &Visits) -> usize {
    let began = from + Duration::from_secs(storm_second(plan) as u64);
    let took = visits.last_in.map_or(STORM, |last| last.saturating_duration_since(began));
    (took.as_secs_f64().ceil() as usize).clamp(1, storm_second(plan))
}

fn figures(
    plan: &LoadPlan,
    round: &Round,
    (first, last): (&Snapshot, &Snapshot),
    joining: &Joining,
    spoken: &Spoken,
    heard: &Heard,
) -> Figures {
    // Each room has the same speakers, so each listener is owed its share of all frames.
    let expected = spoken.frames / u64::from(plan.rooms) * u64::from(plan.listeners);
    let relay_cpu = last.relay_cpu.zip(first.relay_cpu).map(|(last, first)| last - first);
    let (own_cpu, above_cpu) = (last.own_cpu - first.own_cpu, last.above_cpu - first.above_cpu);
    let threads = last.threads_cpu.iter().zip(&first.threads_cpu);
    let threads: Vec<Duration> = threads.map(|(last, first)| *last - *first).collect();
    let others = (last.machine_cpu - first.machine_cpu)
        .saturating_sub(own_cpu + above_cpu)
        .saturating_sub(relay_cpu.unwrap_or_default());
    debug_assert_eq!(spoken.frames % u64::from(round.schedule.measured), 0);
    Figures {
        span: last.at - first.at,
        expected,
        delivered: heard.frames,
        duplicates: heard.duplicates,
        foreign: heard.foreign,
        listeners_with_loss: heard.listeners_with_loss,
        lost_before_fanout: spoken.frames.saturating_sub(heard.heard_by_some()),
        unsent: spoken.unsent,
        gone: 0,
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
            above_cpu: (plan.depth > 1).then_some(above_cpu),
            generator_cpu: own_cpu,
            listener_threads: threads.iter().sum(),
            busiest_thread: threads.iter().max().copied().unwrap_or_default(),
            others,
        },
        latency_us: heard.latency_us.clone(),
        added_us: heard.added_us.clone(),
        sweeps_us: heard.sweeps_us.clone(),
        lateness_us: spoken.lateness_us.clone(),
        join_time: joining.took,
        join_cpu: joining.cpu,
        memory_before: joining.memory.map(|(before, _)| before.resident_bytes),
        memory_joined: joining.memory.map(|(_, joined)| joined.resident_bytes),
        memory_after: None,
        memory_peak: None,
        visits: None,
        storm: None,
        samples: Vec::new(),
        reported: heard.reported,
        origin_reports: None,
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
        let period = if self.terminal { TERMINAL_PERIOD } else { LINE_PERIOD };
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

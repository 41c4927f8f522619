//! `tribune-bench load`: relays, listeners and speakers on a schedule, and the metrics of one measured span.
//!
//! * [`plan`] has the arguments, [`spec`] the participants and relays that follow from them
//! * [`fleet`] joins everybody and runs rounds; its [`worker`] threads are [`speakers`] and [`listeners`],
//!   which share [`shared`] and follow a [`round`]
//! * [`churn`] adds transient listeners while the others are measured
//! * [`tally`] counts received frames, [`gaps`] silences, [`samples`] the CPU second by second
//! * [`repairs`] has listeners ask for what is lost on purpose; [`turns`] reads what that does to the relay
//! * [`reporting`] has listeners report by inaccurate [`clocks`]; [`origin`] compares that with the origin
//! * [`snapshot`] reads the system's counters; [`metrics`] is the result, [`progress`] the line on a terminal

pub(crate) mod churn;
mod clocks;
pub(crate) mod fleet;
mod gaps;
mod listeners;
pub(crate) mod metrics;
pub(crate) mod origin;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod repairs;
pub(crate) mod reporting;
mod round;
pub(crate) mod samples;
mod shared;
mod snapshot;
mod speakers;
pub(crate) mod spec;
mod tally;
pub(crate) mod turns;
mod worker;

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tribune_bench::accounting::process_memory;
use tribune_protocol::limits::REPORT_PERIOD;
use tribune_relay::tls::ServerTrust;

use self::churn::{STORM, TransientListeners, TransientStats};
use self::fleet::{Fleet, JoinPhase};
use self::metrics::{LoadMetrics, StormMetrics};
use self::origin::OriginReports;
use self::plan::LoadPlan;
use self::progress::Progress;
use self::samples::Samples;
use self::snapshot::Snapshot;
use self::spec::Topology;
use self::turns::Turns;
use crate::pool::target::Target;
use crate::relay_process::{RelayChain, relay_of_this_build};

/// Speech before the measured span, so that windows, acknowledgements and caches settle.
const BEFORE: Duration = Duration::from_secs(2);
/// Speech after the measured span, so that its end carries the same load as its middle.
const AFTER: Duration = Duration::from_millis(500);

/// Runs a load from the start of the relays to their end.
///
/// # Errors
/// No relay, a participant that is not admitted, no /proc.
pub(crate) fn run(plan: &LoadPlan) -> Result<LoadMetrics> {
    ensure!(plan.storm == 0 || plan.seconds >= 2, "--storm takes --seconds 2 or more");
    ensure!(
        plan.web <= plan.listeners,
        "--web takes at most the {} of --listeners",
        plan.listeners
    );
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
    let topology = match &own_relays {
        Some(relays) => Topology::of(relays),
        None => running_relay(plan)?,
    };
    let mut progress = Progress::new();
    let (mut fleet, joining) =
        Fleet::assemble(&plan.spec(), &topology, &mut |_, text| progress.show(text))?;
    let outcome = measure(plan, &topology, &mut fleet, &joining, &mut progress);
    let ended = fleet.end();
    let metrics = outcome?;
    ended?;
    Ok(metrics)
}

fn running_relay(plan: &LoadPlan) -> Result<Topology> {
    let url = plan.url.as_deref().context("--url names the relay")?;
    let url = url.strip_prefix("tribune://").unwrap_or(url).trim_end_matches('/');
    let mut addresses = url.to_socket_addrs().with_context(|| format!("--url: {url}"))?;
    let address: SocketAddr =
        addresses.next().with_context(|| format!("--url: {url} has no address"))?;
    let name = url.rsplit_once(':').map_or(url, |(host, _)| host);
    let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let trust = plan.fingerprint.map_or(ServerTrust::Anything, ServerTrust::Pinned);
    let target = Target { address, name, trust };
    Ok(Topology {
        root: target.clone(),
        edge: target,
        edge_pid: plan.relay_pid,
        edge_http: None,
        above: Vec::new(),
        root_http: None,
    })
}

fn measure(
    plan: &LoadPlan,
    topology: &Topology,
    fleet: &mut Fleet,
    joining: &JoinPhase,
    progress: &mut Progress,
) -> Result<LoadMetrics> {
    let span = Duration::from_secs(u64::from(plan.seconds));
    let mut round = fleet.plan_round(BEFORE, span, AFTER);
    round.speakers = plan.speakers;
    round.gaps = plan.storm > 0;
    let (from, to) = round.schedule.span();
    fleet.begin_round(round)?;
    let transient = plan.arrivals(from, to).map(|arrivals| {
        TransientListeners::start(arrivals, &topology.edge, plan.rooms, plan.rtt(), fleet.shared())
    });
    let transient = transient.transpose()?;
    fleet.run_until(from, &mut |_| ())?;
    let read_turns = || topology.edge_http.map(Turns::read).transpose();
    let first_turns = read_turns()?;
    let first = Snapshot::take(topology, fleet.shared())?;
    let mut samples = Samples::new(
        topology.edge_pid,
        (first.at, first.relay_cpu.unwrap_or_default(), first.own_cpu),
    );
    fleet.run_until(to, &mut |shared| {
        let heard = shared.frames() - first.frames;
        let elapsed = from.elapsed().as_secs_f64();
        let rate = heard as f64 / elapsed.max(0.001);
        progress.show(&format!("{elapsed:.0} of {} s, {rate:.0} frames/s", plan.seconds));
        samples.poll();
    })?;
    let last = Snapshot::take(topology, fleet.shared())?;
    let turns = read_turns()?.zip(first_turns).map(|(last, first)| last.since(&first));
    let samples = samples.finish();
    let (spoken, heard) = fleet.finish_round(&round)?;
    let memory_after = topology.edge_pid.map(process_memory).transpose()?;
    let origin_reports = match heard.reported.zip(topology.root_http) {
        Some((reported, http)) => {
            progress.show("reports are on their way up");
            let pause = &mut |until| fleet.run_until(until, &mut |_| ());
            Some(OriginReports::await_all(http, plan.depth, &reported.first_room, pause)?)
        }
        None => None,
    };
    progress.end();
    let gone = fleet.shared().gone();
    fleet.end()?;
    let transient = transient.map(TransientListeners::end).transpose()?;
    let storm = match (&heard.gaps, &transient) {
        (Some(gaps), Some(transient)) => {
            let seconds = storm_seconds(plan, from, transient);
            Some(StormMetrics::new(gaps, plan.storm_second(), seconds)?)
        }
        (Some(_), None) | (None, _) => None,
    };
    let mut metrics = LoadMetrics::of_span(plan, (&first, &last), joining, &spoken, &heard);
    debug_assert_eq!(spoken.frames % u64::from(round.schedule.measured), 0);
    metrics.gone = gone as u64;
    metrics.memory_after = memory_after.map(|memory| memory.resident_bytes);
    metrics.memory_peak = memory_after.map(|memory| memory.peak_bytes);
    (metrics.transient, metrics.storm, metrics.samples) = (transient, storm, samples);
    (metrics.origin_reports, metrics.turns) = (origin_reports, turns);
    Ok(metrics)
}

/// Whole seconds from a storm's beginning until its last listener is in: at least one, at most as many as
/// the span has before the storm.
fn storm_seconds(plan: &LoadPlan, from: Instant, transient: &TransientStats) -> usize {
    let began = from + Duration::from_secs(plan.storm_second() as u64);
    let took = transient.last_in.map_or(STORM, |last| last.saturating_duration_since(began));
    (took.as_secs_f64().ceil() as usize).clamp(1, plan.storm_second())
}

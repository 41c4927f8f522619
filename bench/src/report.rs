//! Report of a load: metrics, a verdict, and JSON for programs. [`table`] prints it, [`plot`] draws it.

pub(crate) mod plot;
mod sections;
mod table;

use serde::Serialize;
use tribune_bench::accounting::machine;
use tribune_bench::contender::Percentiles;

use self::sections::{Cpu, Delays, Delivery, Joins, Memory, Setup, lost_by_relay};
use crate::load::churn::TransientStats;
use crate::load::metrics::{LoadMetrics, StormMetrics};
use crate::load::origin::OriginReports;
use crate::load::plan::LoadPlan;
use crate::load::reporting::{Reported, ReportedMetrics};
use crate::load::samples::Sample;
use crate::load::turns::TurnMetrics;

/// Share of dropped datagrams above which a run is void.
const VOID_ABOVE: f64 = 0.001;
/// Share of a core above which a thread of the generator may have been the bottleneck.
const BUSY_ABOVE: f64 = 0.9;
/// Lateness of the schedule, and time between two sweeps of the listeners' sockets, above which the same
/// holds: 99th percentile, in microseconds.
const LATE_ABOVE_US: u64 = 5_000;

/// Transient listeners of a churn or of a storm.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TransientReport {
    /// Joins begun.
    pub(crate) begun: u64,
    /// Listeners that were admitted.
    pub(crate) joined: u64,
    /// Listeners that left as planned.
    pub(crate) left: u64,
    /// Listeners that were refused or disconnected.
    pub(crate) failed: u64,
    /// From the start of a join to the relay's `Joined`.
    pub(crate) join_us: Percentiles,
}

impl From<TransientStats> for TransientReport {
    fn from(transient: TransientStats) -> Self {
        let TransientStats { begun, joined, left, failed, join_us, last_in: _ } = transient;
        Self { begun, joined, left, failed, join_us: Percentiles::of(&join_us) }
    }
}

/// Validity of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every frame arrived, but for those that the kernel dropped at the generator's sockets.
    Good,
    /// The kernel or the generator dropped too much to judge the relay.
    Void,
    /// Frames are missing for which the relay is responsible.
    Lost,
}

/// Report of a load. The fields are the JSON; units are in the names.
#[derive(Debug, Serialize)]
pub(crate) struct LoadReport {
    pub(crate) verdict: Verdict,
    /// The run measured the generator, not the relay.
    pub(crate) generator_was_the_limit: bool,
    pub(crate) machine: String,
    #[serde(flatten)]
    pub(crate) setup: Setup,
    #[serde(flatten)]
    pub(crate) delivery: Delivery,
    #[serde(flatten)]
    pub(crate) delays: Delays,
    #[serde(flatten)]
    pub(crate) cpu: Cpu,
    #[serde(flatten)]
    pub(crate) joins: Joins,
    #[serde(flatten)]
    pub(crate) memory: Memory,
    pub(crate) churn: Option<TransientReport>,
    #[serde(rename = "storm_guests")]
    pub(crate) storm_joins: Option<TransientReport>,
    pub(crate) storm: Option<StormMetrics>,
    pub(crate) cpu_by_second: Vec<Sample>,
    /// Turns of the relay that has the listeners, in the measured span.
    pub(crate) relay_turns: Option<TurnMetrics>,
    pub(crate) reported: Option<ReportedMetrics>,
    /// Reports of the first room at the origin.
    pub(crate) origin_reports: Option<OriginReports>,
}

impl LoadReport {
    /// Judges the metrics of a load.
    pub(crate) fn new(plan: &LoadPlan, metrics: LoadMetrics) -> Self {
        let verdict = judge(&metrics);
        let (setup, delivery) = (Setup::new(plan, &metrics), Delivery::new(plan, &metrics));
        let (delays, cpu) = (Delays::new(&metrics), Cpu::new(plan, &metrics));
        let joined = u64::from(plan.listeners);
        let storm_joined = metrics.transient.as_ref().filter(|_| plan.storm > 0);
        let stayed = joined + storm_joined.map_or(0, |storm| storm.joined);
        let (joins, memory) = (Joins::new(plan, &metrics), Memory::new(&metrics, joined, stayed));
        let late_us = delays.speaker_lateness_us.p99.max(delays.generator_sweep_us.p99);
        let transient = metrics.transient.map(TransientReport::from);
        let (churn, storm_joins) =
            if plan.storm > 0 { (None, transient) } else { (transient, None) };
        Self {
            verdict,
            generator_was_the_limit: cpu.generator_busiest_thread_cores > BUSY_ABOVE
                || late_us > LATE_ABOVE_US,
            machine: machine(),
            setup,
            delivery,
            delays,
            cpu,
            joins,
            memory,
            churn,
            storm_joins,
            storm: metrics.storm,
            cpu_by_second: metrics.samples,
            relay_turns: metrics.turns,
            reported: metrics.reported.as_ref().map(Reported::metrics),
            origin_reports: metrics.origin_reports,
        }
    }
}

fn judge(metrics: &LoadMetrics) -> Verdict {
    let drops = metrics.generator_drops + metrics.relay_drops;
    let void = drops as f64 > metrics.datagrams as f64 * VOID_ABOVE || metrics.unsent > 0;
    match (void, lost_by_relay(metrics) > 0 || metrics.foreign > 0 || metrics.gone > 0) {
        (true, _) => Verdict::Void,
        (false, true) => Verdict::Lost,
        (false, false) => Verdict::Good,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tribune_bench::contender::latencies;

    use super::*;
    use crate::load::metrics::CpuCosts;
    use crate::pool::client_pool::Received;

    #[test]
    fn what_the_kernel_dropped_is_not_the_relays_loss() {
        assert_eq!(judge(&metrics(100_000, 100_000, 0)), Verdict::Good);
        assert_eq!(judge(&metrics(100_000, 99_980, 10)), Verdict::Good, "two frames a datagram");
        assert_eq!(judge(&metrics(100_000, 99_979, 10)), Verdict::Lost);
        assert_eq!(lost_by_relay(&metrics(100_000, 99_979, 10)), 1);
        assert_eq!(judge(&metrics(100_000, 99_000, 51)), Verdict::Void);
        assert_eq!(judge(&LoadMetrics { unsent: 1, ..metrics(10, 10, 0) }), Verdict::Void);
        assert_eq!(judge(&LoadMetrics { gone: 1, ..metrics(10, 10, 0) }), Verdict::Lost);
    }

    fn metrics(expected: u64, delivered: u64, generator_drops: u64) -> LoadMetrics {
        LoadMetrics {
            span: Duration::from_secs(1),
            expected,
            delivered,
            duplicates: 0,
            foreign: 0,
            listeners_with_loss: 0,
            lost_before_fanout: 0,
            unsent: 0,
            gone: 0,
            questions: None,
            turns: None,
            frames_per_datagram: 2.0,
            machine_drops: 0,
            generator_drops,
            generator_refused: 0,
            relay_drops: 0,
            datagrams: expected / 2,
            received: Received::default(),
            costs: CpuCosts {
                frames: delivered,
                relay_cpu: None,
                above_cpu: None,
                generator_cpu: Duration::ZERO,
                listener_threads: Duration::ZERO,
                busiest_thread: Duration::ZERO,
                others: Duration::ZERO,
            },
            latency_us: None,
            added_us: None,
            sweeps_us: None,
            lateness_us: latencies().unwrap(),
            join_time: Duration::from_secs(1),
            join_cpu: None,
            memory_before: None,
            memory_joined: None,
            memory_after: None,
            memory_peak: None,
            transient: None,
            storm: None,
            samples: Vec::new(),
            reported: None,
            origin_reports: None,
        }
    }
}

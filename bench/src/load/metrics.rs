//! Metrics of a load, as measured: counts, histograms, CPU and memory. `report` turns them into a report.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;
use tribune_bench::contender::Percentiles;

use super::churn::TransientStats;
use super::fleet::JoinPhase;
use super::gaps::Gaps;
use super::origin::OriginReports;
use super::plan::LoadPlan;
use super::reporting::Reported;
use super::samples::Sample;
use super::snapshot::Snapshot;
use super::speakers::SpeakerStats;
use super::tally::ListenerStats;
use super::turns::TurnMetrics;
use crate::pool::client_pool::Received;

/// Metrics of a run.
#[derive(Debug)]
pub(crate) struct LoadMetrics {
    pub(crate) span: Duration,
    /// Measured frames, times the listeners of their rooms.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) foreign: u64,
    pub(crate) listeners_with_loss: u64,
    /// Measured frames that no listener received.
    pub(crate) lost_before_fanout: u64,
    /// Measured frames that did not leave the generator.
    pub(crate) unsent: u64,
    /// Participants whose connection ended.
    pub(crate) gone: u64,
    /// Questions for missing frames, if packets are lost on purpose.
    pub(crate) questions: Option<u64>,
    /// Turns of the edge, where its metrics can be read.
    pub(crate) turns: Option<TurnMetrics>,
    pub(crate) frames_per_datagram: f64,
    /// Datagrams dropped by the kernel on the whole machine.
    pub(crate) machine_drops: u64,
    /// Datagrams dropped at the generator's own sockets.
    pub(crate) generator_drops: u64,
    /// Packets of listeners that the kernel did not accept, over the whole run.
    pub(crate) generator_refused: u64,
    /// Datagrams dropped at the relays' sockets.
    pub(crate) relay_drops: u64,
    /// Datagrams received between the two CPU readings.
    pub(crate) datagrams: u64,
    /// UDP packets that listeners received between them.
    pub(crate) received: Received,
    pub(crate) costs: CpuCosts,
    /// Time from due to received.
    pub(crate) latency_us: Option<Histogram<u64>>,
    /// Time from sent to received.
    pub(crate) added_us: Option<Histogram<u64>>,
    /// Time from one sweep of the listeners' sockets to the next.
    pub(crate) sweeps_us: Option<Histogram<u64>>,
    /// Time from due to sent.
    pub(crate) lateness_us: Histogram<u64>,
    pub(crate) join_time: Duration,
    pub(crate) join_cpu: Option<Duration>,
    pub(crate) memory_before: Option<u64>,
    pub(crate) memory_joined: Option<u64>,
    pub(crate) memory_after: Option<u64>,
    pub(crate) memory_peak: Option<u64>,
    /// Transient listeners: churn, or a storm.
    pub(crate) transient: Option<TransientStats>,
    pub(crate) storm: Option<StormMetrics>,
    pub(crate) samples: Vec<Sample>,
    /// Listeners' reports, and what of them reached the origin, if they report.
    pub(crate) reported: Option<Reported>,
    pub(crate) origin_reports: Option<OriginReports>,
}

impl LoadMetrics {
    /// Metrics of the span between two snapshots. Memory, connections that ended, the storm and the CPU
    /// samples are read separately and are still empty.
    pub(crate) fn of_span(
        plan: &LoadPlan,
        (first, last): (&Snapshot, &Snapshot),
        joining: &JoinPhase,
        spoken: &SpeakerStats,
        heard: &ListenerStats,
    ) -> Self {
        // Each room has the same number of speakers, so each listener is due an equal share of all frames.
        let expected = spoken.frames / u64::from(plan.rooms) * u64::from(plan.listeners);
        let relay_cpu = last.relay_cpu.zip(first.relay_cpu).map(|(last, first)| last - first);
        let (own_cpu, above_cpu) = (last.own_cpu - first.own_cpu, last.above_cpu - first.above_cpu);
        let threads = last.threads_cpu.iter().zip(&first.threads_cpu);
        let threads: Vec<Duration> = threads.map(|(last, first)| *last - *first).collect();
        let others = (last.machine_cpu - first.machine_cpu)
            .saturating_sub(own_cpu + above_cpu)
            .saturating_sub(relay_cpu.unwrap_or_default());
        Self {
            span: last.at - first.at,
            expected,
            delivered: heard.frames,
            duplicates: heard.duplicates,
            foreign: heard.foreign,
            listeners_with_loss: heard.listeners_with_loss,
            lost_before_fanout: spoken.frames.saturating_sub(heard.heard_by_some()),
            unsent: spoken.unsent,
            gone: 0,
            questions: heard.questions,
            turns: None,
            frames_per_datagram: (last.frames - first.frames) as f64
                / (last.datagrams - first.datagrams).max(1) as f64,
            machine_drops: last.machine_drops - first.machine_drops,
            generator_drops: last.own_drops - first.own_drops,
            generator_refused: heard.send_refused,
            relay_drops: last.relay_drops - first.relay_drops,
            datagrams: last.datagrams - first.datagrams,
            received: Received {
                packets: last.received.packets - first.received.packets,
                bytes: last.received.bytes - first.received.bytes,
            },
            costs: CpuCosts {
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
            transient: None,
            storm: None,
            samples: Vec::new(),
            reported: heard.reported,
            origin_reports: None,
        }
    }
}

/// CPU time between two snapshots.
#[derive(Debug)]
pub(crate) struct CpuCosts {
    /// Frames that listeners received between them.
    pub(crate) frames: u64,
    /// The edge.
    pub(crate) relay_cpu: Option<Duration>,
    /// The relays above it together, if there are any.
    pub(crate) above_cpu: Option<Duration>,
    pub(crate) generator_cpu: Duration,
    /// All listeners' threads.
    pub(crate) listener_threads: Duration,
    /// The busiest listeners' thread.
    pub(crate) busiest_thread: Duration,
    /// All other processes of the machine.
    pub(crate) others: Duration,
}

/// Effect of a join storm on the listeners that were already connected.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StormMetrics {
    /// Length of the storm, in whole seconds: until the last admission, or the end of the span.
    pub(crate) seconds: usize,
    /// Each listener's longest gap in as many seconds before the storm. A gap is the time between two frames
    /// of a speaker, less 20 ms.
    pub(crate) gap_before_us: Percentiles,
    /// The same during the storm.
    pub(crate) gap_during_us: Percentiles,
    /// 99th percentile during the storm, less that before.
    pub(crate) added_gap_p99_us: i64,
    /// Longest time between two sweeps of the listeners' sockets before the storm: the generator's own share
    /// of a gap.
    pub(crate) generator_sweep_max_before_us: u32,
    /// The same during the storm.
    pub(crate) generator_sweep_max_during_us: u32,
}

impl StormMetrics {
    /// Compares `seconds` of storm with as many seconds before it.
    ///
    /// # Errors
    /// None with the bounds of a histogram of latencies.
    pub(crate) fn new(gaps: &Gaps, begins: usize, seconds: usize) -> Result<Self> {
        let (before, during) = (
            begins.saturating_sub(seconds)..begins,
            begins..(begins + seconds).min(gaps.seconds()),
        );
        let gap_before_us = Percentiles::of(&gaps.longest(before.clone())?);
        let gap_during_us = Percentiles::of(&gaps.longest(during.clone())?);
        Ok(Self {
            seconds,
            gap_before_us,
            gap_during_us,
            added_gap_p99_us: gap_during_us.p99 as i64 - gap_before_us.p99 as i64,
            generator_sweep_max_before_us: gaps.longest_sweep(before),
            generator_sweep_max_during_us: gaps.longest_sweep(during),
        })
    }
}

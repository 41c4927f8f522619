//! What a load says at its end: figures, a verdict, and JSON for programs. [`crate::table`] has it for
//! people.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;
use tribune_bench::contender::Percentiles;

use crate::gaps::Gaps;
use crate::guests::Visits;
use crate::load::LoadPlan;
use crate::origin::OriginReports;
use crate::reporting::{Reported, ReportedFigures};
use crate::samples::Sample;

/// Share of dropped datagrams above which a run says nothing about the relay.
const VOID_ABOVE: f64 = 0.001;
/// Share of a core above which a thread of the generator may have been the limit.
const BUSY_ABOVE: f64 = 0.9;
/// Lateness of the schedule, and time between two sweeps of the listeners' sockets, in microseconds at
/// the 99th percentile, above which the same holds.
const LATE_ABOVE_US: u64 = 5_000;

/// What a run has measured.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) span: Duration,
    /// Measured frames times the listeners of their rooms.
    pub(crate) expected: u64,
    pub(crate) delivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) foreign: u64,
    pub(crate) listeners_with_loss: u64,
    /// Measured frames that not one listener heard.
    pub(crate) lost_before_fanout: u64,
    /// Measured frames that did not leave the generator.
    pub(crate) unsent: u64,
    /// Participants whose connection ended.
    pub(crate) gone: u64,
    pub(crate) frames_per_datagram: f64,
    /// Of the whole machine, whoever's sockets they were.
    pub(crate) machine_drops: u64,
    /// At the generator's own sockets.
    pub(crate) generator_drops: u64,
    /// Packets of listeners that the kernel did not take, over the whole run.
    pub(crate) generator_refused: u64,
    /// At the relay's sockets.
    pub(crate) relay_drops: u64,
    /// Heard between the two readings of the CPU.
    pub(crate) datagrams: u64,
    pub(crate) costs: Costs,
    /// From when frames were due.
    pub(crate) latency_us: Option<Histogram<u64>>,
    /// From when they were sent.
    pub(crate) added_us: Option<Histogram<u64>>,
    /// From one sweep of the listeners' sockets to the next.
    pub(crate) sweeps_us: Option<Histogram<u64>>,
    /// How late frames left the speakers.
    pub(crate) lateness_us: Histogram<u64>,
    pub(crate) join_time: Duration,
    pub(crate) join_cpu: Option<Duration>,
    pub(crate) memory_before: Option<u64>,
    pub(crate) memory_joined: Option<u64>,
    pub(crate) memory_after: Option<u64>,
    pub(crate) memory_peak: Option<u64>,
    /// Those who came and went, or came all at once.
    pub(crate) visits: Option<Visits>,
    pub(crate) storm: Option<StormFigures>,
    pub(crate) samples: Vec<Sample>,
    /// What listeners have reported, and what came of it, if they do.
    pub(crate) reported: Option<Reported>,
    pub(crate) origin_reports: Option<OriginReports>,
}

/// CPU time between two readings.
#[derive(Debug)]
pub(crate) struct Costs {
    /// Frames that listeners heard between them.
    pub(crate) frames: u64,
    /// Of the edge.
    pub(crate) relay_cpu: Option<Duration>,
    /// Of the relays above it together, if there are any.
    pub(crate) above_cpu: Option<Duration>,
    pub(crate) generator_cpu: Duration,
    /// Of all listeners' threads.
    pub(crate) listener_threads: Duration,
    /// Of the listeners' thread that used most.
    pub(crate) busiest_thread: Duration,
    /// Of everything else on the machine.
    pub(crate) others: Duration,
}

/// What a crowd that joined within a second did to those who were there.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StormFigures {
    /// Length of the storm, in whole seconds: until its last guest was in, as far as the span reaches.
    pub(crate) seconds: usize,
    /// Each listener's longest gap in as many seconds before the storm. A gap is the time between two
    /// frames of a speaker less 20 ms.
    pub(crate) gap_before_us: Percentiles,
    /// The same during the storm.
    pub(crate) gap_during_us: Percentiles,
    /// 99th percentile during less that before.
    pub(crate) added_gap_p99_us: i64,
    /// Longest time between two sweeps of the listeners' sockets before the storm: what the generator
    /// itself can have to do with a gap.
    pub(crate) generator_sweep_max_before_us: u32,
    /// The same during the storm.
    pub(crate) generator_sweep_max_during_us: u32,
}

impl StormFigures {
    /// Compares a storm of some seconds with as many seconds before it.
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

/// Those who came and went beside the listeners, or came all at once.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GuestReport {
    /// Joins begun.
    pub(crate) begun: u64,
    /// Guests that were let in.
    pub(crate) joined: u64,
    /// Guests that left on their own account.
    pub(crate) left: u64,
    /// Guests that were refused or cut off.
    pub(crate) failed: u64,
    /// From the beginning of a join to the relay's welcome.
    pub(crate) join_us: Percentiles,
}

impl From<Visits> for GuestReport {
    fn from(visits: Visits) -> Self {
        let Visits { begun, joined, left, failed, join_us, last_in: _ } = visits;
        Self { begun, joined, left, failed, join_us: Percentiles::of(&join_us) }
    }
}

/// Whether a run counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every frame has arrived, but for what the kernel dropped on the generator's side.
    Good,
    /// The kernel or the generator failed too often to say anything about the relay.
    Void,
    /// Frames are missing that the relay has to answer for.
    Lost,
}

/// The report of a load. The fields are the JSON; units are in the names.
#[derive(Debug, Serialize)]
pub(crate) struct LoadReport {
    pub(crate) verdict: Verdict,
    /// The run measured the generator, not the relay.
    pub(crate) generator_was_the_limit: bool,
    pub(crate) machine: String,
    pub(crate) listeners: u32,
    pub(crate) speakers_per_room: u16,
    pub(crate) rooms: u16,
    pub(crate) shards: u8,
    /// Relays from the speakers to the listeners.
    pub(crate) depth: u8,
    /// Round trip between listeners and relay that the generator adds.
    pub(crate) rtt_ms: u16,
    pub(crate) frame_bytes: u16,
    pub(crate) listener_sockets: u32,
    pub(crate) listener_threads: u8,
    pub(crate) seconds: f64,
    pub(crate) frames_expected: u64,
    pub(crate) frames_delivered: u64,
    pub(crate) frames_lost: u64,
    pub(crate) frames_lost_by_relay: u64,
    pub(crate) frames_lost_before_fanout: u64,
    pub(crate) frames_unsent: u64,
    pub(crate) frames_duplicated: u64,
    pub(crate) frames_foreign: u64,
    pub(crate) listeners_with_loss: u64,
    pub(crate) participants_gone: u64,
    pub(crate) frames_per_datagram: f64,
    pub(crate) kernel_drops_machine: u64,
    pub(crate) kernel_drops_generator: u64,
    pub(crate) kernel_drops_relay: u64,
    pub(crate) packets_refused_generator: u64,
    /// From when a frame was due to when it came off a listener's socket.
    pub(crate) latency_us: Percentiles,
    /// From when a frame was sent to when it came off a listener's socket.
    pub(crate) added_delay_us: Percentiles,
    /// The 99th percentile of that again.
    pub(crate) added_delay_p99_us: u64,
    /// From one sweep of the listeners' sockets to the next: how late the two above may be.
    pub(crate) generator_sweep_us: Percentiles,
    pub(crate) speaker_lateness_us: Percentiles,
    /// Of the relay that has the listeners.
    pub(crate) relay_cpu_us_per_frame: Option<f64>,
    /// Of all relays above it, for each frame that a listener heard.
    pub(crate) relays_above_cpu_us_per_frame: Option<f64>,
    pub(crate) relay_cpu_us_per_datagram: Option<f64>,
    pub(crate) relay_cores: Option<f64>,
    pub(crate) generator_cpu_us_per_frame: f64,
    /// Of the listeners' threads: what a thousand listeners take of a core.
    pub(crate) generator_core_percent_per_1000_listeners: f64,
    pub(crate) generator_busiest_thread_cores: f64,
    pub(crate) other_processes_cores: f64,
    pub(crate) join_seconds: f64,
    pub(crate) joins_per_second: f64,
    pub(crate) relay_cpu_us_per_join: Option<f64>,
    pub(crate) relay_memory_kib_per_listener: Option<f64>,
    pub(crate) relay_memory_kib_per_listener_after: Option<f64>,
    pub(crate) relay_memory_kib_before: Option<u64>,
    pub(crate) relay_memory_kib_joined: Option<u64>,
    pub(crate) relay_memory_kib_after: Option<u64>,
    pub(crate) relay_memory_kib_peak: Option<u64>,
    pub(crate) churn: Option<GuestReport>,
    pub(crate) storm_guests: Option<GuestReport>,
    pub(crate) storm: Option<StormFigures>,
    pub(crate) cpu_by_second: Vec<Sample>,
    pub(crate) reported: Option<ReportedFigures>,
    /// Of the first room.
    pub(crate) origin_reports: Option<OriginReports>,
}

impl LoadReport {
    /// Judges figures.
    pub(crate) fn new(plan: &LoadPlan, figures: Figures) -> Self {
        let (verdict, lost_by_relay) = (judge(&figures), lost_by_relay(&figures));
        let f = figures;
        let visits = f.visits.map(GuestReport::from);
        let (churn, storm_guests) = if plan.storm > 0 { (None, visits) } else { (visits, None) };
        let span = f.span.as_secs_f64();
        let us_per = |cpu: Duration, count: u64| cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
        let kib = |bytes: u64| bytes / 1024;
        let lateness = Percentiles::of(&f.lateness_us);
        let busiest = f.costs.busiest_thread.as_secs_f64() / span;
        let percentiles = |histogram: &Option<Histogram<u64>>| {
            histogram.as_ref().map(Percentiles::of).unwrap_or_default()
        };
        let (added, sweeps) = (percentiles(&f.added_us), percentiles(&f.sweeps_us));
        let kib_each = |(now, before): (u64, u64), listeners: u64| {
            (now as f64 - before as f64) / 1024.0 / listeners as f64
        };
        let joined = u64::from(plan.listeners);
        let stayed = storm_guests.iter().map(|guests| guests.joined).sum::<u64>() + joined;
        Self {
            verdict,
            generator_was_the_limit: busiest > BUSY_ABOVE
                || lateness.p99.max(sweeps.p99) > LATE_ABOVE_US,
            machine: tribune_bench::accounting::machine(),
            listeners: plan.listeners,
            speakers_per_room: plan.speakers,
            rooms: plan.rooms,
            shards: plan.shards,
            depth: plan.depth,
            rtt_ms: plan.rtt,
            frame_bytes: plan.frame_bytes,
            listener_sockets: plan.listener_sockets(),
            listener_threads: plan.threads,
            seconds: span,
            frames_expected: f.expected,
            frames_delivered: f.delivered,
            frames_lost: f.expected.saturating_sub(f.delivered),
            frames_lost_by_relay: lost_by_relay,
            frames_lost_before_fanout: f.lost_before_fanout,
            frames_unsent: f.unsent,
            frames_duplicated: f.duplicates,
            frames_foreign: f.foreign,
            listeners_with_loss: f.listeners_with_loss,
            participants_gone: f.gone,
            frames_per_datagram: f.frames_per_datagram,
            kernel_drops_machine: f.machine_drops,
            kernel_drops_generator: f.generator_drops,
            kernel_drops_relay: f.relay_drops,
            packets_refused_generator: f.generator_refused,
            latency_us: percentiles(&f.latency_us),
            added_delay_us: added,
            added_delay_p99_us: added.p99,
            generator_sweep_us: sweeps,
            speaker_lateness_us: lateness,
            relay_cpu_us_per_frame: f.costs.relay_cpu.map(|cpu| us_per(cpu, f.costs.frames)),
            relays_above_cpu_us_per_frame: f.costs.above_cpu.map(|cpu| us_per(cpu, f.costs.frames)),
            relay_cpu_us_per_datagram: f.costs.relay_cpu.map(|cpu| us_per(cpu, f.datagrams)),
            relay_cores: f.costs.relay_cpu.map(|cpu| cpu.as_secs_f64() / span),
            generator_cpu_us_per_frame: us_per(f.costs.generator_cpu, f.costs.frames),
            generator_core_percent_per_1000_listeners: f.costs.listener_threads.as_secs_f64()
                / span
                * 100.0
                * 1_000.0
                / f64::from(plan.listeners),
            generator_busiest_thread_cores: busiest,
            other_processes_cores: f.costs.others.as_secs_f64() / span,
            join_seconds: f.join_time.as_secs_f64(),
            joins_per_second: f64::from(plan.listeners) / f.join_time.as_secs_f64(),
            relay_cpu_us_per_join: f.join_cpu.map(|cpu| us_per(cpu, plan.listeners.into())),
            relay_memory_kib_per_listener: f
                .memory_joined
                .zip(f.memory_before)
                .map(|memory| kib_each(memory, joined)),
            relay_memory_kib_per_listener_after: f
                .memory_after
                .zip(f.memory_before)
                .map(|memory| kib_each(memory, stayed)),
            relay_memory_kib_before: f.memory_before.map(kib),
            relay_memory_kib_joined: f.memory_joined.map(kib),
            relay_memory_kib_after: f.memory_after.map(kib),
            relay_memory_kib_peak: f.memory_peak.map(kib),
            churn,
            storm_guests,
            storm: f.storm,
            cpu_by_second: f.samples,
            reported: f.reported.as_ref().map(Reported::figures),
            origin_reports: f.origin_reports,
        }
    }
}

/// Missing frames that drops at the generator's sockets cannot explain.
fn lost_by_relay(figures: &Figures) -> u64 {
    let lost = figures.expected.saturating_sub(figures.delivered);
    let explained = figures.generator_drops as f64 * figures.frames_per_datagram.max(1.0);
    lost.saturating_sub(explained.ceil() as u64)
}

fn judge(figures: &Figures) -> Verdict {
    let drops = figures.generator_drops + figures.relay_drops;
    let void = drops as f64 > figures.datagrams as f64 * VOID_ABOVE || figures.unsent > 0;
    match (void, lost_by_relay(figures) > 0 || figures.foreign > 0 || figures.gone > 0) {
        (true, _) => Verdict::Void,
        (false, true) => Verdict::Lost,
        (false, false) => Verdict::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tribune_bench::contender::latencies;

    #[test]
    fn what_the_kernel_dropped_is_not_the_relays_loss() {
        assert_eq!(judge(&figures(100_000, 100_000, 0)), Verdict::Good);
        assert_eq!(judge(&figures(100_000, 99_980, 10)), Verdict::Good, "two frames a datagram");
        assert_eq!(judge(&figures(100_000, 99_979, 10)), Verdict::Lost);
        assert_eq!(lost_by_relay(&figures(100_000, 99_979, 10)), 1);
        assert_eq!(judge(&figures(100_000, 99_000, 51)), Verdict::Void);
        assert_eq!(judge(&Figures { unsent: 1, ..figures(10, 10, 0) }), Verdict::Void);
        assert_eq!(judge(&Figures { gone: 1, ..figures(10, 10, 0) }), Verdict::Lost);
    }

    fn figures(expected: u64, delivered: u64, generator_drops: u64) -> Figures {
        Figures {
            span: Duration::from_secs(1),
            expected,
            delivered,
            duplicates: 0,
            foreign: 0,
            listeners_with_loss: 0,
            lost_before_fanout: 0,
            unsent: 0,
            gone: 0,
            frames_per_datagram: 2.0,
            machine_drops: 0,
            generator_drops,
            generator_refused: 0,
            relay_drops: 0,
            datagrams: expected / 2,
            costs: Costs {
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
            visits: None,
            storm: None,
            samples: Vec::new(),
            reported: None,
            origin_reports: None,
        }
    }
}

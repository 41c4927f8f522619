//! Sections of a load's report. The fields are keys of its one flat JSON object; units are in the names.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tribune_bench::contender::Percentiles;
use tribune_protocol::domain::profile::Profile;

use crate::load::metrics::LoadMetrics;
use crate::load::plan::LoadPlan;

/// Parameters of the run.
#[derive(Debug, Serialize)]
pub(crate) struct Setup {
    pub(crate) listeners: u32,
    pub(crate) speakers_per_room: u16,
    pub(crate) rooms: u16,
    pub(crate) shards: u8,
    /// Relays from the speakers to the listeners.
    pub(crate) depth: u8,
    /// Round trip between listeners and relay that the generator adds.
    pub(crate) rtt_ms: u16,
    /// Packets of the listeners that the generator loses, in percent in each direction.
    pub(crate) loss_percent: u8,
    pub(crate) frame_bytes: u16,
    pub(crate) listener_sockets: u32,
    pub(crate) listener_threads: u8,
    /// Profile of the listeners.
    pub(crate) profile: Profile,
    /// Listeners that came as browsers.
    pub(crate) web: u32,
    /// Measured span.
    pub(crate) seconds: f64,
}

/// Headers of IPv4 and UDP.
const IP_HEADER_BYTES: u64 = 20 + 8;

/// Frames sent, delivered and lost.
#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    pub(crate) frames_expected: u64,
    pub(crate) frames_delivered: u64,
    pub(crate) frames_lost: u64,
    pub(crate) frames_lost_by_relay: u64,
    pub(crate) frames_lost_before_fanout: u64,
    pub(crate) frames_unsent: u64,
    /// Questions for missing frames, if packets are lost on purpose.
    pub(crate) questions: Option<u64>,
    pub(crate) frames_duplicated: u64,
    pub(crate) frames_foreign: u64,
    pub(crate) listeners_with_loss: u64,
    pub(crate) participants_gone: u64,
    pub(crate) frames_per_datagram: f64,
    /// Bytes of IPv4 packets a second that a listener received, all headers counted.
    pub(crate) ip_bytes_per_listener_second: f64,
    /// The same by the bytes of Opus in them.
    pub(crate) ip_bytes_per_opus_byte: f64,
    pub(crate) kernel_drops_machine: u64,
    pub(crate) kernel_drops_generator: u64,
    pub(crate) kernel_drops_relay: u64,
    pub(crate) packets_refused_generator: u64,
}

/// Latency of frames, and the generator's own share of it.
#[derive(Debug, Serialize)]
pub(crate) struct Delays {
    /// From when a frame was due to when it came off a listener's socket.
    pub(crate) latency_us: Percentiles,
    /// From when a frame was sent to when it came off a listener's socket.
    pub(crate) added_delay_us: Percentiles,
    /// 99th percentile of the added delay, repeated for programs that read one number.
    pub(crate) added_delay_p99_us: u64,
    /// From one sweep of the listeners' sockets to the next: upper bound of the error of both latencies.
    pub(crate) generator_sweep_us: Percentiles,
    pub(crate) speaker_lateness_us: Percentiles,
}

/// CPU of relays, generator and other processes.
#[derive(Debug, Serialize)]
pub(crate) struct Cpu {
    /// Of the relay that has the listeners.
    pub(crate) relay_cpu_us_per_frame: Option<f64>,
    /// Of all relays above it, per frame that a listener received.
    pub(crate) relays_above_cpu_us_per_frame: Option<f64>,
    pub(crate) relay_cpu_us_per_datagram: Option<f64>,
    pub(crate) relay_cores: Option<f64>,
    pub(crate) generator_cpu_us_per_frame: f64,
    /// Of the listeners' threads: share of a core per thousand listeners.
    pub(crate) generator_core_percent_per_1000_listeners: f64,
    pub(crate) generator_busiest_thread_cores: f64,
    pub(crate) other_processes_cores: f64,
}

/// Duration and cost of the listeners' joins.
#[derive(Debug, Serialize)]
pub(crate) struct Joins {
    pub(crate) join_seconds: f64,
    pub(crate) joins_per_second: f64,
    pub(crate) relay_cpu_us_per_join: Option<f64>,
}

/// Resident memory of the relay that has the listeners.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) relay_memory_kib_per_listener: Option<f64>,
    pub(crate) relay_memory_kib_per_listener_after: Option<f64>,
    pub(crate) relay_memory_kib_before: Option<u64>,
    pub(crate) relay_memory_kib_joined: Option<u64>,
    pub(crate) relay_memory_kib_after: Option<u64>,
    pub(crate) relay_memory_kib_peak: Option<u64>,
}

impl Setup {
    /// Parameters of a plan, with the span as it was measured.
    pub(crate) fn new(plan: &LoadPlan, metrics: &LoadMetrics) -> Self {
        Self {
            listeners: plan.listeners,
            speakers_per_room: plan.speakers,
            rooms: plan.rooms,
            shards: plan.shards,
            depth: plan.depth,
            rtt_ms: plan.rtt,
            loss_percent: plan.loss,
            frame_bytes: plan.frame_bytes,
            listener_sockets: plan.listener_sockets(),
            listener_threads: plan.threads,
            profile: plan.profile,
            web: plan.web,
            seconds: metrics.span.as_secs_f64(),
        }
    }
}

impl Delivery {
    /// Counts of a run.
    pub(crate) fn new(plan: &LoadPlan, metrics: &LoadMetrics) -> Self {
        let headers = metrics.received.packets * IP_HEADER_BYTES;
        let ip_bytes = (metrics.received.bytes + headers) as f64;
        let opus_bytes = metrics.costs.frames * u64::from(plan.frame_bytes);
        let listener_seconds = metrics.span.as_secs_f64() * f64::from(plan.listeners);
        Self {
            frames_expected: metrics.expected,
            frames_delivered: metrics.delivered,
            frames_lost: metrics.expected.saturating_sub(metrics.delivered),
            frames_lost_by_relay: lost_by_relay(metrics),
            frames_lost_before_fanout: metrics.lost_before_fanout,
            frames_unsent: metrics.unsent,
            questions: metrics.questions,
            frames_duplicated: metrics.duplicates,
            frames_foreign: metrics.foreign,
            listeners_with_loss: metrics.listeners_with_loss,
            participants_gone: metrics.gone,
            frames_per_datagram: metrics.frames_per_datagram,
            ip_bytes_per_listener_second: ip_bytes / listener_seconds,
            ip_bytes_per_opus_byte: ip_bytes / opus_bytes.max(1) as f64,
            kernel_drops_machine: metrics.machine_drops,
            kernel_drops_generator: metrics.generator_drops,
            kernel_drops_relay: metrics.relay_drops,
            packets_refused_generator: metrics.generator_refused,
        }
    }
}

/// Lost frames that drops at the generator's sockets cannot explain. Where packets are lost on purpose, all are
/// the path's.
pub(crate) fn lost_by_relay(metrics: &LoadMetrics) -> u64 {
    if metrics.questions.is_some() {
        return 0;
    }
    let lost = metrics.expected.saturating_sub(metrics.delivered);
    let explained = metrics.generator_drops as f64 * metrics.frames_per_datagram.max(1.0);
    lost.saturating_sub(explained.ceil() as u64)
}

impl Delays {
    /// Percentiles of a run's histograms.
    pub(crate) fn new(metrics: &LoadMetrics) -> Self {
        let percentiles = |histogram: &Option<Histogram<u64>>| {
            histogram.as_ref().map(Percentiles::of).unwrap_or_default()
        };
        let added = percentiles(&metrics.added_us);
        Self {
            latency_us: percentiles(&metrics.latency_us),
            added_delay_us: added,
            added_delay_p99_us: added.p99,
            generator_sweep_us: percentiles(&metrics.sweeps_us),
            speaker_lateness_us: Percentiles::of(&metrics.lateness_us),
        }
    }
}

impl Cpu {
    /// CPU per frame, per datagram and per second of the measured span.
    pub(crate) fn new(plan: &LoadPlan, metrics: &LoadMetrics) -> Self {
        let (costs, span) = (&metrics.costs, metrics.span.as_secs_f64());
        Self {
            relay_cpu_us_per_frame: costs.relay_cpu.map(|cpu| us_per(cpu, costs.frames)),
            relays_above_cpu_us_per_frame: costs.above_cpu.map(|cpu| us_per(cpu, costs.frames)),
            relay_cpu_us_per_datagram: costs.relay_cpu.map(|cpu| us_per(cpu, metrics.datagrams)),
            relay_cores: costs.relay_cpu.map(|cpu| cpu.as_secs_f64() / span),
            generator_cpu_us_per_frame: us_per(costs.generator_cpu, costs.frames),
            generator_core_percent_per_1000_listeners: costs.listener_threads.as_secs_f64() / span
                * 100.0
                * 1_000.0
                / f64::from(plan.listeners),
            generator_busiest_thread_cores: costs.busiest_thread.as_secs_f64() / span,
            other_processes_cores: costs.others.as_secs_f64() / span,
        }
    }
}

impl Joins {
    /// Joins of the listeners that stay.
    pub(crate) fn new(plan: &LoadPlan, metrics: &LoadMetrics) -> Self {
        let seconds = metrics.join_time.as_secs_f64();
        Self {
            join_seconds: seconds,
            joins_per_second: f64::from(plan.listeners) / seconds,
            relay_cpu_us_per_join: metrics.join_cpu.map(|cpu| us_per(cpu, plan.listeners.into())),
        }
    }
}

impl Memory {
    /// Memory per listener: `joined` of them after the joins, `stayed` at the end.
    pub(crate) fn new(metrics: &LoadMetrics, joined: u64, stayed: u64) -> Self {
        let kib = |bytes: u64| bytes / 1024;
        let kib_each = |now: Option<u64>, listeners: u64| {
            let (now, before) = now.zip(metrics.memory_before)?;
            Some((now as f64 - before as f64) / 1024.0 / listeners as f64)
        };
        Self {
            relay_memory_kib_per_listener: kib_each(metrics.memory_joined, joined),
            relay_memory_kib_per_listener_after: kib_each(metrics.memory_after, stayed),
            relay_memory_kib_before: metrics.memory_before.map(kib),
            relay_memory_kib_joined: metrics.memory_joined.map(kib),
            relay_memory_kib_after: metrics.memory_after.map(kib),
            relay_memory_kib_peak: metrics.memory_peak.map(kib),
        }
    }
}

fn us_per(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / count.max(1) as f64
}

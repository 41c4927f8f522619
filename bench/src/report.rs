//! What a load says at its end: figures, a verdict, a table for people and JSON for programs.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tribune_bench::contender::Percentiles;

use crate::load::LoadPlan;

/// Share of dropped datagrams above which a run says nothing about the relay.
const VOID_ABOVE: f64 = 0.001;
/// Share of a core above which a thread of the generator may have been the limit.
const BUSY_ABOVE: f64 = 0.9;
/// Lateness of the schedule, in microseconds at the 99th percentile, above which the same holds.
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
    pub(crate) latency_us: Option<Histogram<u64>>,
    /// How late frames left the speakers.
    pub(crate) lateness_us: Histogram<u64>,
    pub(crate) join_time: Duration,
    pub(crate) join_cpu: Option<Duration>,
    pub(crate) memory_before: Option<u64>,
    pub(crate) memory_joined: Option<u64>,
    pub(crate) memory_after: Option<u64>,
    pub(crate) memory_peak: Option<u64>,
}

/// CPU time between two readings.
#[derive(Debug)]
pub(crate) struct Costs {
    /// Frames that listeners heard between them.
    pub(crate) frames: u64,
    pub(crate) relay_cpu: Option<Duration>,
    pub(crate) generator_cpu: Duration,
    /// Of the listeners' thread that used most.
    pub(crate) busiest_thread: Duration,
    /// Of everything else on the machine.
    pub(crate) others: Duration,
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
    pub(crate) latency_us: Percentiles,
    pub(crate) speaker_lateness_us: Percentiles,
    pub(crate) relay_cpu_us_per_frame: Option<f64>,
    pub(crate) relay_cpu_us_per_datagram: Option<f64>,
    pub(crate) relay_cores: Option<f64>,
    pub(crate) generator_cpu_us_per_frame: f64,
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
}

impl LoadReport {
    /// Judges figures.
    pub(crate) fn new(plan: &LoadPlan, figures: Figures) -> Self {
        let f = figures;
        let span = f.span.as_secs_f64();
        let us_per = |cpu: Duration, count: u64| cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
        let kib = |bytes: u64| bytes / 1024;
        let lateness = Percentiles::of(&f.lateness_us);
        let busiest = f.costs.busiest_thread.as_secs_f64() / span;
        let kib_each = |(now, before): (u64, u64)| {
            (now as f64 - before as f64) / 1024.0 / f64::from(plan.listeners)
        };
        Self {
            verdict: judge(&f),
            generator_was_the_limit: busiest > BUSY_ABOVE || lateness.p99 > LATE_ABOVE_US,
            machine: tribune_bench::accounting::machine(),
            listeners: plan.listeners,
            speakers_per_room: plan.speakers,
            rooms: plan.rooms,
            shards: plan.shards,
            frame_bytes: plan.frame_bytes,
            listener_sockets: sockets(plan),
            listener_threads: plan.threads,
            seconds: span,
            frames_expected: f.expected,
            frames_delivered: f.delivered,
            frames_lost: f.expected.saturating_sub(f.delivered),
            frames_lost_by_relay: lost_by_relay(&f),
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
            latency_us: f.latency_us.as_ref().map(Percentiles::of).unwrap_or_default(),
            speaker_lateness_us: lateness,
            relay_cpu_us_per_frame: f.costs.relay_cpu.map(|cpu| us_per(cpu, f.costs.frames)),
            relay_cpu_us_per_datagram: f.costs.relay_cpu.map(|cpu| us_per(cpu, f.datagrams)),
            relay_cores: f.costs.relay_cpu.map(|cpu| cpu.as_secs_f64() / span),
            generator_cpu_us_per_frame: us_per(f.costs.generator_cpu, f.costs.frames),
            generator_busiest_thread_cores: busiest,
            other_processes_cores: f.costs.others.as_secs_f64() / span,
            join_seconds: f.join_time.as_secs_f64(),
            joins_per_second: f64::from(plan.listeners) / f.join_time.as_secs_f64(),
            relay_cpu_us_per_join: f.join_cpu.map(|cpu| us_per(cpu, plan.listeners.into())),
            relay_memory_kib_per_listener: f.memory_joined.zip(f.memory_before).map(kib_each),
            relay_memory_kib_per_listener_after: f.memory_after.zip(f.memory_before).map(kib_each),
            relay_memory_kib_before: f.memory_before.map(kib),
            relay_memory_kib_joined: f.memory_joined.map(kib),
            relay_memory_kib_after: f.memory_after.map(kib),
            relay_memory_kib_peak: f.memory_peak.map(kib),
        }
    }
}

fn sockets(plan: &LoadPlan) -> u32 {
    let threads = u32::from(plan.threads);
    let of = |thread: u32| (plan.listeners + threads - 1 - thread) / threads;
    (0..threads).map(|thread| of(thread).div_ceil(plan.per_socket)).sum()
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

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<36}{value}");
        let or_none = |value: Option<f64>, unit: &str| {
            value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.1} {unit}"))
        };
        let ms = |us: u64| us as f64 / 1e3;
        row(
            "load",
            format!(
                "{} listeners, {} speaker(s) in each of {} room(s), {:.1} s, {} Opus bytes / 20 ms",
                self.listeners, self.speakers_per_room, self.rooms, self.seconds, self.frame_bytes
            ),
        )?;
        row("machine", self.machine.clone())?;
        row(
            "generator",
            format!(
                "{} sockets, {} thread(s) for listeners, {:.1} µs CPU a frame, busiest thread {:.0} % of a core",
                self.listener_sockets,
                self.listener_threads,
                self.generator_cpu_us_per_frame,
                self.generator_busiest_thread_cores * 100.0
            ),
        )?;
        row("other processes meanwhile", format!("{:.2} cores", self.other_processes_cores))?;
        row(
            "frames expected / delivered / lost",
            format!("{} / {} / {}", self.frames_expected, self.frames_delivered, self.frames_lost),
        )?;
        row("  of these lost by the relay", self.frames_lost_by_relay.to_string())?;
        row(
            "kernel drops",
            format!(
                "{} at listeners, {} at the relay, {} on the machine",
                self.kernel_drops_generator, self.kernel_drops_relay, self.kernel_drops_machine
            ),
        )?;
        let Percentiles { p50, p99, p999, max, .. } = self.latency_us;
        row(
            "latency p50 / p99 / p99.9 / max",
            format!("{:.1} / {:.1} / {:.1} / {:.1} ms", ms(p50), ms(p99), ms(p999), ms(max)),
        )?;
        row(
            "relay CPU per delivered frame",
            format!(
                "{} ({} a datagram, {} used)",
                or_none(self.relay_cpu_us_per_frame, "µs"),
                or_none(self.relay_cpu_us_per_datagram, "µs"),
                or_none(self.relay_cores.map(|cores| cores * 100.0), "% of a core")
            ),
        )?;
        row(
            "relay memory per listener",
            format!(
                "{} once joined, {} after the speech (peak {} in all)",
                or_none(self.relay_memory_kib_per_listener, "KiB"),
                or_none(self.relay_memory_kib_per_listener_after, "KiB"),
                or_none(self.relay_memory_kib_peak.map(|kib| kib as f64 / 1024.0), "MiB")
            ),
        )?;
        row(
            "joining",
            format!(
                "{:.1} s, {:.0} a second, {} relay CPU each",
                self.join_seconds,
                self.joins_per_second,
                or_none(self.relay_cpu_us_per_join, "µs")
            ),
        )?;
        let verdict = match self.verdict {
            Verdict::Good => "good: no frame lost by the relay",
            Verdict::Void => "VOID: the kernel or the generator dropped too much",
            Verdict::Lost => "LOST: frames are missing, or foreign, or participants are gone",
        };
        row("verdict", verdict.to_owned())?;
        if self.generator_was_the_limit {
            row("", "the generator was the limit, not the relay".to_owned())?;
        }
        Ok(())
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
                generator_cpu: Duration::ZERO,
                busiest_thread: Duration::ZERO,
                others: Duration::ZERO,
            },
            latency_us: None,
            lateness_us: latencies().unwrap(),
            join_time: Duration::from_secs(1),
            join_cpu: None,
            memory_before: None,
            memory_joined: None,
            memory_after: None,
            memory_peak: None,
        }
    }
}

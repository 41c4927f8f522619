//! Report of a load as a table.

use std::fmt;

use tribune_bench::contender::Percentiles;

use super::{LoadReport, TransientReport, Verdict};
use crate::load::turns::TurnMetrics;

type Row<'a> = dyn FnMut(&str, String) -> fmt::Result + 'a;

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row: &mut Row<'_> = &mut |name, value| writeln!(f, "  {name:<36}{value}");
        self.what_ran(row)?;
        self.what_came(row)?;
        self.costs(row)?;
        self.transient_listeners(row)?;
        self.reports(row)?;
        let verdict = match self.verdict {
            Verdict::Good if self.setup.loss_percent > 0 => "good: the path lost what is missing",
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

impl LoadReport {
    /// Parameters of the load in one line.
    pub(crate) fn title(&self) -> String {
        let plural = |count, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let mut title = format!("{} listeners, ", self.setup.listeners);
        title += &plural(self.setup.speakers_per_room, "speaker");
        if self.setup.rooms > 1 {
            title += &format!(" in each of {} rooms", self.setup.rooms);
        }
        title += &format!(
            ", {} Opus bytes / 20 ms, {:.0} s",
            self.setup.frame_bytes, self.setup.seconds
        );
        if !self.setup.profile.is_live() {
            title += &format!(", profile {}", self.setup.profile);
        }
        if self.setup.web > 0 {
            title += &format!(", {} listeners in browsers", self.setup.web);
        }
        if self.setup.rtt_ms > 0 {
            title += &format!(", RTT {} ms", self.setup.rtt_ms);
        }
        if self.setup.loss_percent > 0 {
            title += &format!(", {} % lost", self.setup.loss_percent);
        }
        if self.setup.depth > 1 {
            title += &format!(", {} relays in a chain", self.setup.depth);
        }
        if self.setup.shards > 1 {
            title += &format!(", {} shards", self.setup.shards);
        }
        title
    }

    fn what_ran(&self, row: &mut Row<'_>) -> fmt::Result {
        row("load", self.title())?;
        row("machine", self.machine.clone())?;
        row(
            "generator",
            format!(
                "{} sockets, {} thread(s) for listeners, busiest {:.0} % of a core",
                self.setup.listener_sockets,
                self.setup.listener_threads,
                self.cpu.generator_busiest_thread_cores * 100.0
            ),
        )?;
        row(
            "  its own cost",
            format!(
                "{:.1} µs CPU a frame, {:.0} % of a core per 1,000 listeners",
                self.cpu.generator_cpu_us_per_frame,
                self.cpu.generator_core_percent_per_1000_listeners
            ),
        )?;
        row("  sweeps of sockets, apart", in_ms(&self.delays.generator_sweep_us))?;
        row("other processes meanwhile", format!("{:.2} cores", self.cpu.other_processes_cores))
    }

    fn what_came(&self, row: &mut Row<'_>) -> fmt::Result {
        row(
            "frames expected / delivered / lost",
            format!(
                "{} / {} / {}",
                self.delivery.frames_expected,
                self.delivery.frames_delivered,
                self.delivery.frames_lost
            ),
        )?;
        match self.delivery.questions {
            Some(questions) => row("  questions for missing frames", questions.to_string())?,
            None => {
                row("  of these lost by the relay", self.delivery.frames_lost_by_relay.to_string())?
            }
        }
        row(
            "kernel drops",
            format!(
                "{} at listeners, {} at relays, {} on the machine",
                self.delivery.kernel_drops_generator,
                self.delivery.kernel_drops_relay,
                self.delivery.kernel_drops_machine
            ),
        )?;
        row(
            "IP bytes a listener and second",
            format!(
                "{:.0}, {:.2} for each byte of Opus",
                self.delivery.ip_bytes_per_listener_second, self.delivery.ip_bytes_per_opus_byte
            ),
        )?;
        row("latency since due", in_ms(&self.delays.latency_us))?;
        row("delay since sent", in_ms(&self.delays.added_delay_us))?;
        row("speakers late by", in_ms(&self.delays.speaker_lateness_us))
    }

    fn costs(&self, row: &mut Row<'_>) -> fmt::Result {
        let or_none = |value: Option<f64>, unit: &str| {
            value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.1} {unit}"))
        };
        row(
            "relay CPU per delivered frame",
            format!(
                "{} ({} a datagram, {} used)",
                or_none(self.cpu.relay_cpu_us_per_frame, "µs"),
                or_none(self.cpu.relay_cpu_us_per_datagram, "µs"),
                or_none(self.cpu.relay_cores.map(|cores| cores * 100.0), "% of a core")
            ),
        )?;
        if let Some(above) = self.cpu.relays_above_cpu_us_per_frame {
            row("  of the relays above it together", format!("{above:.2} µs"))?;
        }
        if let Some(TurnMetrics { turns, p99_within_ms, over_10_ms, over_20_ms }) = self.relay_turns
        {
            let p99 = or_none(p99_within_ms, "ms");
            row(
                "relay turns",
                format!(
                    "{turns}, p99 within {p99}, {over_10_ms} over 10 ms, {over_20_ms} over 20 ms"
                ),
            )?;
        }
        row(
            "relay memory per listener",
            format!(
                "{} once joined, {} after the speech (peak {} in all)",
                or_none(self.memory.relay_memory_kib_per_listener, "KiB"),
                or_none(self.memory.relay_memory_kib_per_listener_after, "KiB"),
                or_none(self.memory.relay_memory_kib_peak.map(|kib| kib as f64 / 1024.0), "MiB")
            ),
        )?;
        row(
            "joining",
            format!(
                "{:.1} s, {:.0} a second, {} relay CPU each",
                self.joins.join_seconds,
                self.joins.joins_per_second,
                or_none(self.joins.relay_cpu_us_per_join, "µs")
            ),
        )
    }

    fn transient_listeners(&self, row: &mut Row<'_>) -> fmt::Result {
        let counts = |report: &TransientReport| {
            let TransientReport { begun, joined, left, failed, .. } = report;
            format!("{joined} of {begun} let in, {left} left, {failed} failed")
        };
        if let Some(churn) = &self.churn {
            row("churn", counts(churn))?;
            row("  joins took", in_ms(&churn.join_us))?;
        }
        if let Some(joins) = &self.storm_joins {
            row("storm", counts(joins))?;
            row("  joins took", in_ms(&joins.join_us))?;
        }
        if let Some(storm) = &self.storm {
            row("  listeners' gaps before it", in_ms(&storm.gap_before_us))?;
            row(&format!("  in its {} s", storm.seconds), in_ms(&storm.gap_during_us))?;
            row(
                "  added gap p99",
                format!(
                    "{:.1} ms (the generator paused {:.1} ms before, {:.1} ms in it at most)",
                    storm.added_gap_p99_us as f64 / 1e3,
                    f64::from(storm.generator_sweep_max_before_us) / 1e3,
                    f64::from(storm.generator_sweep_max_during_us) / 1e3
                ),
            )?;
        }
        Ok(())
    }

    fn reports(&self, row: &mut Row<'_>) -> fmt::Result {
        let ms = |us: f64| us / 1e3;
        let mean = |us: Option<f64>| {
            us.map_or_else(|| "unknown".to_owned(), |us| format!("{:.2} ms", ms(us)))
        };
        if let Some(reported) = &self.reported {
            let (reports, frames) = (reported.reports, reported.stamped_frames);
            row("reports", format!("{reports} sent, {frames} frames with a capture time heard"))?;
            let (by_clocks, by_stamp) =
                (mean(reported.mean_latency_us), mean(reported.mean_latency_by_stamp_us));
            row("  latency, mean", format!("{by_clocks} by the clocks, {by_stamp} by the stamps"))?;
            row(
                "  difference between them",
                format!(
                    "mean {:.2}, of the worst listener {:.2}, max {:.2} ms",
                    ms(reported.mean_difference_us),
                    ms(reported.worst_listener_mean_difference_us),
                    ms(reported.max_difference_us as f64)
                ),
            )?;
            row(
                "  within the bound that was told",
                format!(
                    "{:.2} % of frames (the largest is {:.2} ms)",
                    reported.share_within_bound * 100.0,
                    ms(reported.max_error_us.into())
                ),
            )?;
        }
        if let Some(origin) = &self.origin_reports {
            let (came, sent) = (origin.reports, origin.reports_sent);
            row("  of bench-0 at the first relay", format!("{came} of {sent}, {}", origin.age()))?;
            let (there, by_stamp) = (mean(origin.mean_latency_us), mean(origin.mean_by_stamp_us));
            row("  latency there, mean", format!("{there}, {by_stamp} by the stamps of all sent"))?;
        }
        Ok(())
    }
}

fn in_ms(percentiles: &Percentiles) -> String {
    let ms = |us: u64| us as f64 / 1e3;
    let Percentiles { p50, p99, p999, max, .. } = *percentiles;
    let (p50, p99, p999, max) = (ms(p50), ms(p99), ms(p999), ms(max));
    format!("p50 {p50:.1}, p99 {p99:.1}, p99.9 {p999:.1}, max {max:.1} ms")
}

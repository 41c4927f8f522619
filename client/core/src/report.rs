//! Reports of quality: counters of playout since the last report, and the latency of played frames.

use std::time::{Duration, Instant};

use tribune_protocol::limits::REPORT_PERIOD;
use tribune_protocol::quality::report::Report;

use crate::playout::PlayoutStats;

/// Makes reports out of counters that only grow.
#[derive(Debug, Default)]
pub struct Reporter {
    /// When the next one is due; `None` while there is no room.
    due: Option<Instant>,
    said: PlayoutStats,
    said_repairs: RepairCounts,
    latency: Latencies,
}

/// Frames that were missing at first and came after all, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepairCounts {
    /// All of them.
    pub repaired: u64,
    /// Those that the relay sent because it was asked for them.
    pub answered: u64,
}

/// Latencies of the frames played since the last report, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Latencies {
    sum: u64,
    count: u64,
    max: u32,
    error: u32,
}

impl Reporter {
    /// The room has let us in, at this relay or the next: what is counted goes on.
    pub fn handle_joined(&mut self, now: Instant) {
        self.due.get_or_insert(now + REPORT_PERIOD);
    }

    /// When the next report is due; `None` while there is no room.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A frame was played that carried a capture time.
    pub fn handle_latency(&mut self, latency_us: u64, error_us: u32) {
        let latency = u32::try_from(latency_us).unwrap_or(u32::MAX);
        self.latency.sum += u64::from(latency);
        self.latency.count += 1;
        self.latency.max = self.latency.max.max(latency);
        self.latency.error = self.latency.error.max(error_us);
    }

    /// The next report, if one is due.
    pub fn poll_report(
        &mut self,
        now: Instant,
        stats: &PlayoutStats,
        repairs: RepairCounts,
        round_trip: Option<Duration>,
    ) -> Option<Report> {
        self.due.filter(|due| *due <= now)?;
        self.due = Some(now + REPORT_PERIOD);
        let latency = std::mem::take(&mut self.latency);
        let said = std::mem::replace(&mut self.said, *stats);
        let said_repairs = std::mem::replace(&mut self.said_repairs, repairs);
        // A frame that was taken for lost and came late after all lowers a count for once.
        let since =
            |now: u64, then: u64| u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX);
        let is_known = latency.count > 0;
        let mean = latency.sum.checked_div(latency.count).unwrap_or(0);
        Some(Report {
            received: since(stats.received, said.received),
            lost: since(stats.lost, said.lost),
            repaired: since(stats.recovered, said.recovered)
                .saturating_add(since(repairs.repaired, said_repairs.repaired)),
            answered: since(repairs.answered, said_repairs.answered),
            concealed: since(stats.concealed, said.concealed),
            late: since(stats.late, said.late),
            runs: since(stats.runs, said.runs),
            buffer_us: microseconds(stats.buffer_ms),
            jitter_us: microseconds(stats.jitter_ms),
            rtt_us: round_trip
                .map_or(0, |rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1)),
            latency_us: is_known.then(|| u32::try_from(mean).unwrap_or(u32::MAX)),
            latency_max_us: is_known.then_some(latency.max),
            latency_error_us: is_known.then_some(latency.error),
            is_delayed: false,
        })
    }
}

fn microseconds(milliseconds: f64) -> u32 {
    (milliseconds * 1_000.0).round().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn repairs(repaired: u64, answered: u64) -> RepairCounts {
        RepairCounts { repaired, answered }
    }

    #[test]
    fn a_report_is_about_what_has_been_since_the_last() {
        let start = Instant::now();
        let mut reporter = Reporter::default();
        let mut stats =
            PlayoutStats { received: 240, lost: 10, runs: 4, ..PlayoutStats::default() };
        assert_eq!(
            reporter.poll_report(start, &stats, repairs(0, 0), None),
            None,
            "there is no room yet"
        );
        reporter.handle_joined(start);
        let almost = start + REPORT_PERIOD - Duration::from_millis(1);
        assert_eq!(reporter.poll_report(almost, &stats, repairs(0, 0), None), None);
        reporter.handle_latency(80_000, 300);
        reporter.handle_latency(90_000, 200);
        let due = start + REPORT_PERIOD;
        let rtt = Some(Duration::from_micros(1_500));
        let first = reporter.poll_report(due, &stats, repairs(3, 2), rtt).unwrap();
        assert_eq!((first.received, first.lost, first.repaired), (240, 10, 3));
        assert_eq!(first.answered, 2);
        assert_eq!((first.runs, first.run_length()), (4, Some(2_500_000)));
        assert_eq!((first.latency_us, first.latency_max_us), (Some(85_000), Some(90_000)));
        assert_eq!((first.latency_error_us, first.rtt_us), (Some(300), 1_500));

        (stats.received, stats.recovered, stats.concealed) = (490, 2, 4);
        (stats.buffer_ms, stats.jitter_ms) = (60.0, 1.25);
        // Coming in again, after a move, changes nothing.
        reporter.handle_joined(due);
        assert_eq!(reporter.poll_report(due, &stats, repairs(4, 2), None), None);
        let second =
            reporter.poll_report(due + REPORT_PERIOD, &stats, repairs(4, 3), None).unwrap();
        assert_eq!((second.received, second.lost, second.repaired), (250, 0, 3));
        assert_eq!(second.answered, 1);
        assert_eq!((second.concealed, second.buffer_us, second.jitter_us), (4, 60_000, 1_250));
        assert_eq!((second.latency_us, second.rtt_us), (None, 0));
    }
}

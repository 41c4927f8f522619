//! A simulated listener's reports: what it has heard since the last one, as a real one counts it. It plays
//! nothing, so its latency ends with the arrival. Used by [`super::SimClient`].

use std::time::Duration;

use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::limits::REPORT_PERIOD;
use tribune_protocol::quality::report::Report;

use super::SimClient;

/// When the next report is due, and where it begins.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    due: Option<Duration>,
    /// Frames heard that have been reported.
    said: usize,
}

impl SimClient {
    /// From now on it reports every five seconds how it hears.
    pub fn report_from_now_on(&mut self) {
        let said = self.heard.frames().len();
        self.reporting = Some(Reporting { due: Some(self.now + REPORT_PERIOD), said });
    }

    pub(super) fn report_due(&self) -> Option<Duration> {
        self.reporting.as_ref().filter(|_| self.joined.is_some())?.due
    }

    pub(super) fn report(&mut self) {
        if self.report_due().is_none_or(|due| due > self.now) {
            return;
        }
        let Some(reporting) = &mut self.reporting else { return };
        reporting.due = Some(self.now + REPORT_PERIOD);
        let from = std::mem::replace(&mut reporting.said, self.heard.frames().len());
        let frames = &self.heard.frames()[from..];
        let known: Vec<(i64, u32)> = frames.iter().filter_map(|frame| frame.latency).collect();
        let sum: i64 = known.iter().map(|(latency_us, _)| latency_us).sum();
        let microseconds = |us: i64| u32::try_from(us.max(0)).unwrap_or(u32::MAX);
        let report = Report {
            received: frames.len() as u32,
            rtt_us: self.clock.round_trip().map_or(0, |rtt| rtt.as_micros() as u32),
            latency_us: sum.checked_div(known.len() as i64).map(microseconds),
            latency_max_us: known.iter().map(|(latency_us, _)| microseconds(*latency_us)).max(),
            latency_error_us: known.iter().map(|(_, error_us)| *error_us).max(),
            ..Report::default()
        };
        self.request(&FromParticipant::Report(report));
    }
}

//! Reports of a simulated listener: frames heard since the last one, counted as the client's core does.
//! It plays nothing, so its latency ends with the arrival.

use std::time::Duration;

use tribune_client_core::playout::PlayoutStats;
use tribune_client_core::report::Reporter;
use tribune_protocol::control::participant::FromParticipant;

use super::SimClient;

/// Reports so far.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    reporter: Reporter,
    /// Frames heard before the first report began.
    before: usize,
    /// Frames heard that have been reported.
    said: usize,
}

impl SimClient {
    /// From now on it reports every five seconds how it hears.
    pub fn report_from_now_on(&mut self) {
        let said = self.heard.frames().len();
        let mut reporter = Reporter::default();
        reporter.handle_joined(self.base + self.now);
        self.reporting = Some(Reporting { reporter, before: said, said });
    }

    pub(super) fn report_due(&self) -> Option<Duration> {
        let due = self.reporting.as_ref().filter(|_| self.joined.is_some())?.reporter.due()?;
        Some(due.saturating_duration_since(self.base))
    }

    pub(super) fn report(&mut self) {
        if self.report_due().is_none_or(|due| due > self.now) {
            return;
        }
        let Some(reporting) = &mut self.reporting else { return };
        let frames = self.heard.frames();
        for (latency_us, error_us) in
            frames[reporting.said..].iter().filter_map(|frame| frame.latency)
        {
            reporting.reporter.handle_latency(latency_us.max(0) as u64, error_us);
        }
        reporting.said = frames.len();
        let received = (frames.len() - reporting.before) as u64;
        let tracks = self.heard.tracks().into_iter();
        let lost = tracks.map(|track| self.heard.missing(track).len() as u64).sum();
        let stats = PlayoutStats { received, lost, ..PlayoutStats::default() };
        let round_trip = self.protocol.clock().round_trip();
        let now = self.base + self.now;
        if let Some(report) = reporting.reporter.poll_report(now, &stats, 0, round_trip) {
            self.request(&FromParticipant::Report(report));
        }
    }
}

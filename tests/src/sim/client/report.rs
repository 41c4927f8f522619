//! Reports of a simulated listener: frames heard since the last one, and frames that were not there when
//! their turn came, counted as the client's core does. It plays nothing, so its latency ends with the
//! arrival, and a frame's turn comes a fixed time after that of the first one behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use tribune_client_core::playout::PlayoutStats;
use tribune_client_core::report::{RepairCounts, Reporter};
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::ids::TrackId;

use super::SimClient;
use crate::sim::heard::HeardFrame;

/// Time that a missing frame is waited for after a later one has come: what a buffer holds near the edge.
const WAIT: Duration = Duration::from_millis(80);

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
        let (lost, runs) = missed(&frames[reporting.before..], self.now);
        let received = (frames.len() - reporting.before) as u64;
        let stats = PlayoutStats { received, lost, runs, ..PlayoutStats::default() };
        let round_trip = self.protocol.clock().round_trip();
        let now = self.base + self.now;
        if let Some(report) =
            reporting.reporter.poll_report(now, &stats, RepairCounts::default(), round_trip)
        {
            self.request(&FromParticipant::Report(report));
        }
    }
}

/// Frames that were not there in their turn, as far as it has come by `now`, and their runs. A track goes
/// on without a pause here.
fn missed(frames: &[HeardFrame], now: Duration) -> (u64, u64) {
    let mut tracks: BTreeMap<TrackId, BTreeMap<i64, Duration>> = BTreeMap::new();
    for frame in frames {
        let places = tracks.entry(frame.track).or_default();
        // As far as it has come, a track of the simulation has not turned over its numbers.
        places.entry(i64::from(frame.seq.0)).or_insert(frame.at);
    }
    let (mut lost, mut runs) = (0, 0);
    for places in tracks.values() {
        let (Some((&first, _)), Some((&last, _))) =
            (places.first_key_value(), places.last_key_value())
        else {
            continue;
        };
        let (mut later, mut is_in_run) = (Duration::MAX, false);
        for place in (first..=last).rev() {
            let came = places.get(&place).copied();
            let turn = later.saturating_add(WAIT);
            let is_missed = turn <= now && came.is_none_or(|at| at > turn);
            lost += u64::from(is_missed);
            runs += u64::from(is_missed && !is_in_run);
            is_in_run = is_missed;
            later = later.min(came.unwrap_or(Duration::MAX));
        }
    }
    (lost, runs)
}

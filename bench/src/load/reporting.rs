//! Quality reports of a thread's listeners (SPEC.md section 8.20), compared with what the generator
//! knows. Pure.
//!
//! The age of a frame with a capture time is measured twice, at the same instant: by the estimated clocks
//! of its speaker and its listener, and by the time of sending that the generator wrote into it, which
//! needs only the generator's clock. The difference is the error of the clocks.

use std::time::{Duration, Instant};

use serde::Serialize;
use tribune_bench::frame::Stamp;
use tribune_protocol::limits::REPORT_PERIOD;
use tribune_protocol::media::datagram::Frame;
use tribune_protocol::media::probe::{Answer, Probe};
use tribune_protocol::quality::report::Report;
use tribune_relay_core::clock::WallClock;

use super::clocks::OwnClock;
use crate::pool::events::MemberId;

/// Period in which listeners are polled for probes and reports: a tenth of the protocol's shortest period.
const POLL_PERIOD: Duration = Duration::from_millis(10);
/// Room whose reports are compared at the origin.
pub(crate) const FIRST_ROOM: u16 = 0;

/// Reporting side of a thread's listeners.
#[derive(Debug)]
pub(crate) struct Reporters {
    /// Start of the times of sending.
    start: Instant,
    listeners: Vec<Listener>,
    /// Listener that is polled next.
    next: usize,
    poll_from: Instant,
    closed: bool,
    reported: Reported,
}

/// Message that a listener has to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Due {
    /// In a datagram.
    Question(Probe),
    /// On the control stream.
    Report(Report),
}

#[derive(Debug)]
struct Listener {
    room: u16,
    clock: OwnClock,
    /// Time of the next report; `None` before admission.
    due: Option<Instant>,
    /// Highest frame number of each speaker.
    heard: Box<[Option<u32>]>,
    /// Since the last report.
    expected: u32,
    received: u32,
    latency: Latencies,
    /// Sum over all frames with a capture time, in microseconds.
    differences_us: u64,
    frames: u64,
}

/// Latencies of the frames with a capture time since the last report, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Latencies {
    frames: u64,
    by_clocks: u64,
    by_stamp: u64,
    longest: u32,
    error: u32,
}

/// Reports of a run, and how their latencies compare with the generator's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reported {
    /// Of all listeners.
    pub(crate) all: ReportSum,
    /// Of the listeners of [`FIRST_ROOM`].
    pub(crate) first_room: ReportSum,
    /// Frames received with a capture time, reported or not.
    frames: u64,
    /// Further ones that arrived before their listener had an estimate of the origin's time.
    frames_too_early: u64,
    frames_within_bound: u64,
    difference_sum_us: u64,
    difference_max_us: u64,
    error_max_us: u32,
    worst_listener_us: f64,
}

/// Sums over reports.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReportSum {
    /// Reports that were sent.
    pub(crate) reports: u64,
    /// Frames received, by these reports.
    pub(crate) received: u64,
    /// Frames lost, by these reports.
    pub(crate) lost: u64,
    with_latency: u64,
    by_clocks_us: u64,
    by_stamp_us: u64,
}

/// [`Reported`] as it is printed.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ReportedMetrics {
    /// Reports that listeners sent.
    pub(crate) reports: u64,
    /// Of these without a latency, because no frame with a capture time had arrived.
    pub(crate) reports_without_latency: u64,
    /// Frames received with a capture time, reported or not.
    pub(crate) stamped_frames: u64,
    /// Further ones that arrived before their listener had an estimate of the origin's time.
    pub(crate) stamped_frames_too_early: u64,
    /// Mean of the reports' latencies, by the clocks.
    pub(crate) mean_latency_us: Option<f64>,
    /// Mean for the same frames, by the generator's own stamps.
    pub(crate) mean_latency_by_stamp_us: Option<f64>,
    /// Mean absolute difference of the two, per frame.
    pub(crate) mean_difference_us: f64,
    /// The same for the listener with the largest mean.
    pub(crate) worst_listener_mean_difference_us: f64,
    /// Largest difference.
    pub(crate) max_difference_us: u64,
    /// Largest error bound of a frame: the speaker's and the listener's together.
    pub(crate) max_error_us: u32,
    /// Share of frames whose difference is within its bound, from 0 to 1.
    pub(crate) share_within_bound: f64,
}

impl Reporters {
    /// No listener admitted yet. `rooms` has the room of each listener, `speakers` is per room; times of
    /// sending count from the instant of `wall`.
    pub(crate) fn new(wall: WallClock, rooms: impl Iterator<Item = u16>, speakers: u16) -> Self {
        let listener = |(number, room): (usize, u16)| Listener {
            room,
            // Odd numbers belong to speakers.
            clock: OwnClock::new(wall, 2 * number),
            due: None,
            heard: vec![None; speakers.into()].into(),
            expected: 0,
            received: 0,
            latency: Latencies::default(),
            differences_us: 0,
            frames: 0,
        };
        Self {
            start: wall.at,
            listeners: rooms.enumerate().map(listener).collect(),
            next: 0,
            poll_from: wall.at,
            closed: false,
            reported: Reported::default(),
        }
    }

    /// Takes the admission of a listener.
    pub(crate) fn handle_in(&mut self, now: Instant, member: MemberId) {
        self.listeners[member].due.get_or_insert(now + REPORT_PERIOD);
    }

    /// Takes the relay's answer to a listener's probe.
    pub(crate) fn handle_answer(&mut self, now: Instant, member: MemberId, answer: &Answer) {
        self.listeners[member].clock.handle_answer(now, answer);
    }

    /// Takes a frame that a listener received.
    pub(crate) fn handle_frame(&mut self, now: Instant, member: MemberId, frame: &Frame) {
        let listener = &mut self.listeners[member];
        let fits = |stamp: &Stamp| stamp.room == listener.room;
        let Some(stamp) = Stamp::read(&frame.opus).filter(fits) else { return };
        let Some(last) = listener.heard.get_mut(usize::from(stamp.speaker)) else { return };
        // Loss as in RTP (RFC 3550 appendix A.3): by the highest sequence number.
        listener.received += 1;
        listener.expected += last.map_or(1, |last| stamp.index.saturating_sub(last));
        *last = Some(last.map_or(stamp.index, |last| last.max(stamp.index)));
        let Some((captured, sent_ns)) = frame.captured.zip(Stamp::read_sent(&frame.opus)) else {
            return;
        };
        let Some((now_us, error_us)) = listener.clock.origin_us(now) else {
            self.reported.frames_too_early += 1;
            return;
        };
        let by_clocks_us = now_us.saturating_sub(captured.at.0);
        let age_ns = now.saturating_duration_since(self.start).as_nanos() as u64;
        let by_stamp_us = age_ns.saturating_sub(sent_ns) / 1_000;
        let error_us = error_us.saturating_add(captured.error_us.unwrap_or(0));
        listener.latency.add(by_clocks_us, by_stamp_us, error_us);
        let difference_us = by_clocks_us.abs_diff(by_stamp_us);
        listener.differences_us += difference_us;
        listener.frames += 1;
        self.reported.add_frame(difference_us, error_us);
    }

    /// Next message that a listener has to send, at once.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<(MemberId, Due)> {
        if self.closed || now < self.poll_from {
            return None;
        }
        while let Some(listener) = self.listeners.get_mut(self.next) {
            let member = self.next;
            if listener.due.is_some() {
                if let Some(question) = listener.clock.poll_question(now) {
                    return Some((member, Due::Question(question)));
                }
                if let Some(report) = listener.poll_report(now, &mut self.reported) {
                    return Some((member, Due::Report(report)));
                }
            }
            self.next += 1;
        }
        (self.next, self.poll_from) = (0, now + POLL_PERIOD);
        None
    }

    /// Ends the reports.
    pub(crate) fn close(&mut self) -> Reported {
        self.closed = true;
        for listener in self.listeners.iter().filter(|listener| listener.frames > 0) {
            let mean = listener.differences_us as f64 / listener.frames as f64;
            self.reported.worst_listener_us = self.reported.worst_listener_us.max(mean);
        }
        self.reported
    }
}

impl Listener {
    fn poll_report(&mut self, now: Instant, reported: &mut Reported) -> Option<Report> {
        self.due.filter(|due| *due <= now)?;
        self.due = Some(now + REPORT_PERIOD);
        let (expected, received) =
            (std::mem::take(&mut self.expected), std::mem::take(&mut self.received));
        let latency = std::mem::take(&mut self.latency);
        let mean = |sum: u64| sum.checked_div(latency.frames);
        let short = |us: u64| u32::try_from(us).unwrap_or(u32::MAX);
        let report = Report {
            received,
            lost: expected.saturating_sub(received),
            rtt_us: self.clock.round_trip_us(),
            latency_us: mean(latency.by_clocks).map(short),
            latency_max_us: (latency.frames > 0).then_some(latency.longest),
            latency_error_us: (latency.frames > 0).then_some(latency.error),
            // Nothing is played, so there is no buffer, no late frame and no concealment.
            ..Report::default()
        };
        let by_stamp_us = mean(latency.by_stamp);
        reported.all.add(&report, by_stamp_us);
        if self.room == FIRST_ROOM {
            reported.first_room.add(&report, by_stamp_us);
        }
        Some(report)
    }
}

impl Latencies {
    fn add(&mut self, by_clocks_us: u64, by_stamp_us: u64, error_us: u32) {
        self.frames += 1;
        self.by_clocks += by_clocks_us;
        self.by_stamp += by_stamp_us;
        self.longest = self.longest.max(u32::try_from(by_clocks_us).unwrap_or(u32::MAX));
        self.error = self.error.max(error_us);
    }
}

impl Reported {
    /// Adds the reports of another thread's listeners.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        self.first_room.merge(&other.first_room);
        self.frames += other.frames;
        self.frames_too_early += other.frames_too_early;
        self.frames_within_bound += other.frames_within_bound;
        self.difference_sum_us += other.difference_sum_us;
        self.difference_max_us = self.difference_max_us.max(other.difference_max_us);
        self.error_max_us = self.error_max_us.max(other.error_max_us);
        self.worst_listener_us = self.worst_listener_us.max(other.worst_listener_us);
    }

    /// Metrics as they are printed.
    pub(crate) fn metrics(&self) -> ReportedMetrics {
        let of_frames = |sum: u64| sum as f64 / self.frames.max(1) as f64;
        ReportedMetrics {
            reports: self.all.reports,
            reports_without_latency: self.all.reports - self.all.with_latency,
            stamped_frames: self.frames,
            stamped_frames_too_early: self.frames_too_early,
            mean_latency_us: self.all.mean_by_clocks_us(),
            mean_latency_by_stamp_us: self.all.mean_by_stamp_us(),
            mean_difference_us: of_frames(self.difference_sum_us),
            worst_listener_mean_difference_us: self.worst_listener_us,
            max_difference_us: self.difference_max_us,
            max_error_us: self.error_max_us,
            share_within_bound: of_frames(self.frames_within_bound),
        }
    }

    fn add_frame(&mut self, difference_us: u64, error_us: u32) {
        self.frames += 1;
        self.frames_within_bound += u64::from(difference_us <= error_us.into());
        self.difference_sum_us += difference_us;
        self.difference_max_us = self.difference_max_us.max(difference_us);
        self.error_max_us = self.error_max_us.max(error_us);
    }
}

impl ReportSum {
    /// Mean of the reports' latencies, each report counting once, as at a relay.
    pub(crate) fn mean_by_clocks_us(&self) -> Option<f64> {
        self.mean(self.by_clocks_us)
    }

    /// Mean for the same frames, by the generator's own stamps.
    pub(crate) fn mean_by_stamp_us(&self) -> Option<f64> {
        self.mean(self.by_stamp_us)
    }

    fn mean(&self, sum: u64) -> Option<f64> {
        (self.with_latency > 0).then(|| sum as f64 / self.with_latency as f64)
    }

    fn add(&mut self, report: &Report, by_stamp_us: Option<u64>) {
        self.reports += 1;
        self.received += u64::from(report.received);
        self.lost += u64::from(report.lost);
        if let Some((by_clocks_us, by_stamp_us)) = report.latency_us.zip(by_stamp_us) {
            self.with_latency += 1;
            self.by_clocks_us += u64::from(by_clocks_us);
            self.by_stamp_us += by_stamp_us;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.reports += other.reports;
        self.received += other.received;
        self.lost += other.lost;
        self.with_latency += other.with_latency;
        self.by_clocks_us += other.by_clocks_us;
        self.by_stamp_us += other.by_stamp_us;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tribune_bench::frame::SENT_STAMP_BYTES;
    use tribune_protocol::ids::{Seq, TrackId};
    use tribune_protocol::media::datagram::{Capture, Level, OriginTime};

    use super::super::clocks::tests::{UNIX_US, learn};
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Frame of room 0, sent `index` × 20 ms after the start, with a capture time that is `off_us` off.
    fn frame(speaker: u16, index: u32, off_us: Option<i64>) -> Frame {
        let sent = 20 * MS * index;
        let mut opus = [0; SENT_STAMP_BYTES];
        Stamp { room: 0, speaker, index, due_ns: 0 }.write(&mut opus);
        Stamp::write_sent(&mut opus, sent.as_nanos() as u64);
        let capture = |off_us| Capture {
            at: OriginTime((UNIX_US + sent.as_micros() as u64).wrapping_add_signed(off_us)),
            error_us: Some(400),
        };
        Frame {
            track: TrackId(1),
            seq: Seq(index as u16),
            level: Level::SILENCE,
            talkspurt_end: false,
            captured: off_us.map(capture),
            onset: None,
            opus: Bytes::copy_from_slice(&opus),
            wire: Bytes::new(),
        }
    }

    fn due(reporters: &mut Reporters, now: Instant) -> Vec<(MemberId, Due)> {
        std::iter::from_fn(|| reporters.poll_due(now)).collect()
    }

    #[test]
    fn those_who_are_in_ask_at_the_protocols_pace() {
        let wall = WallClock { at: Instant::now(), unix_us: UNIX_US };
        let mut reporters = Reporters::new(wall, [0, 0, 1].into_iter(), 1);
        assert_eq!(due(&mut reporters, wall.at), [], "nobody is in");
        reporters.handle_in(wall.at, 1);
        let asks = (0..500).flat_map(|n| due(&mut reporters, wall.at + 10 * MS * n));
        let asks: Vec<(MemberId, Due)> = asks.collect();
        assert_eq!(asks.len(), 50, "every 100 ms while nobody answers");
        assert!(asks.iter().all(|due| matches!(due, (1, Due::Question(_)))), "{asks:?}");
        assert_eq!(reporters.close().all.reports, 0);
        assert_eq!(due(&mut reporters, wall.at + 1_000 * MS), []);
    }

    #[test]
    fn a_report_tells_what_has_come_since_the_last() {
        let wall = WallClock { at: Instant::now(), unix_us: UNIX_US };
        let mut reporters = Reporters::new(wall, [0, 0].into_iter(), 2);
        reporters.handle_in(wall.at, 0);
        reporters.handle_frame(wall.at, 0, &frame(0, 0, Some(0)));
        learn(&mut reporters.listeners[0].clock, wall, wall.at, MS);
        // 5 ms old by the stamp; by the clocks 200 µs older, then 600 µs younger.
        let heard = |index| wall.at + 20 * MS * index + 5 * MS;
        reporters.handle_frame(heard(1), 0, &frame(0, 1, Some(-200)));
        reporters.handle_frame(heard(4), 0, &frame(0, 4, None));
        reporters.handle_frame(heard(2), 0, &frame(0, 2, None));
        reporters.handle_frame(heard(9), 0, &frame(1, 9, Some(600)));
        reporters.handle_frame(heard(9), 0, &frame(2, 9, Some(600))); // of nobody
        let mut said = due(&mut reporters, wall.at + REPORT_PERIOD);
        said.retain(|(_, due)| matches!(due, Due::Report(_)));
        let [(0, Due::Report(report))] = said[..] else { panic!("{said:?}") };
        assert_eq!((report.received, report.lost), (5, 1), "the fourth never came");
        assert_eq!((report.latency_us, report.latency_max_us), (Some(4_800), Some(5_200)));
        assert_eq!(report.rtt_us, 1_000);
        // The listener's own error is half of its round trip, rounding, and age.
        let error = report.latency_error_us.unwrap();
        assert!((900..1_000).contains(&error), "{error}");
        assert_eq!((report.buffer_us, report.jitter_us), (0, 0));

        let metrics = reporters.close().metrics();
        assert_eq!((metrics.reports, metrics.reports_without_latency), (1, 0));
        assert_eq!((metrics.stamped_frames, metrics.stamped_frames_too_early), (2, 1));
        assert_eq!(metrics.mean_latency_us, Some(4_800.0));
        assert_eq!(metrics.mean_latency_by_stamp_us, Some(5_000.0));
        assert_eq!((metrics.max_difference_us, metrics.max_error_us), (600, error));
        assert_eq!(metrics.mean_difference_us, 400.0);
        assert_eq!(metrics.worst_listener_mean_difference_us, 400.0);
        assert_eq!(metrics.share_within_bound, 1.0);
    }

    #[test]
    fn a_difference_beyond_its_bound_is_seen() {
        let wall = WallClock { at: Instant::now(), unix_us: UNIX_US };
        let mut reporters = Reporters::new(wall, [0, 0].into_iter(), 1);
        for listener in 0..2 {
            reporters.handle_in(wall.at, listener);
            learn(&mut reporters.listeners[listener].clock, wall, wall.at, MS);
        }
        let now = wall.at + 50 * MS;
        reporters.handle_frame(now, 0, &frame(0, 1, Some(0)));
        reporters.handle_frame(now, 1, &frame(0, 1, Some(-2_000)));
        let mut sum = Reported::default();
        sum.merge(&reporters.close());
        let metrics = sum.metrics();
        assert_eq!((metrics.share_within_bound, metrics.max_difference_us), (0.5, 2_000));
        assert_eq!(metrics.worst_listener_mean_difference_us, 2_000.0);
        assert_eq!(metrics.mean_latency_us, None, "nobody has reported yet");
    }

    #[test]
    fn the_first_room_has_its_own_sums() {
        let wall = WallClock { at: Instant::now(), unix_us: UNIX_US };
        let mut reporters = Reporters::new(wall, [0, 1].into_iter(), 1);
        (0..2).for_each(|listener| reporters.handle_in(wall.at, listener));
        reporters.handle_frame(wall.at, 0, &frame(0, 1, None));
        reporters.handle_frame(wall.at, 1, &frame(0, 1, None)); // of the other room
        due(&mut reporters, wall.at + REPORT_PERIOD);
        let reported = reporters.close();
        assert_eq!((reported.all.reports, reported.first_room.reports), (2, 1));
        assert_eq!((reported.all.received, reported.first_room.received), (1, 1));
    }
}

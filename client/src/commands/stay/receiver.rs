//! Receiving side of a session: frames to PCM, and reception statistics.
//!
//! Pure: `now` is a parameter, and the clock only converts it. For `listen` and `join`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tribune_protocol::control::participant::{Joined, ToParticipant};
use tribune_protocol::ids::{DisplayName, TrackId};
use tribune_protocol::limits::MAX_STAGE;
use tribune_protocol::media::datagram::Level;
use tribune_protocol::quality::report::Report;
use tribune_protocol::time::Offset;

use crate::audio::jitter::JitterConfig;
use crate::audio::playout::{Player, PlayoutStats};
use crate::audio::{AudioError, TICK_PERIOD, TickPcm};
use crate::session::change::Change;
use crate::session::clock::LocalClock;
use crate::session::room_view::RoomView;
use crate::session::{Link, ReceivedFrame};
use tribune_client_core::delivery::Delivery;
use tribune_client_core::report::Reporter;

/// Largest latency recorded, in µs: a longer one is a clock error.
const LATENCY_MAX_US: u64 = 60_000_000;
/// Significant digits of the latency histogram.
const LATENCY_DIGITS: u8 = 3;
/// Time after which a departed speaker is forgotten, unless frames of theirs wait to be played.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same in any case: more than a buffer holds.
const FAREWELL_MAX: Duration = Duration::from_secs(30);
/// Tracks kept in the statistics; the longest silent is evicted first.
const TRACKS_REMEMBERED: usize = 4 * MAX_STAGE;

/// Statistics of one track, counted on arrival, before any other logic.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrackRecord {
    pub(crate) name: Option<DisplayName>,
    pub(crate) received: u64,
    pub(crate) last_received_us: u64,
    /// Announcement that the speaker is silenced, in local µs.
    pub(crate) silenced_at_us: Option<u64>,
    /// Frames received after that.
    pub(crate) received_silenced: u64,
    /// Arrival and level of its last frame.
    pub(crate) last_level: Option<(Instant, Level)>,
}

/// Receiving side of a session.
#[derive(Debug)]
pub(crate) struct Receiver {
    player: Player,
    view: RoomView,
    tracks: BTreeMap<TrackId, TrackRecord>,
    left: Vec<(TrackId, Instant)>,
    /// End-to-end latencies in µs.
    latency: Option<Histogram<u64>>,
    latency_error_us: Option<u32>,
    reporter: Reporter,
    delivery: Delivery,
}

impl Receiver {
    /// A receiver that plays with that delay, where the profile has one and this is given.
    pub(crate) fn new(playout_delay: Option<Duration>) -> Self {
        Self {
            player: Player::new(JitterConfig::default()),
            view: RoomView::default(),
            tracks: BTreeMap::new(),
            left: Vec::new(),
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_US, LATENCY_DIGITS).ok(),
            latency_error_us: None,
            reporter: Reporter::default(),
            delivery: Delivery::new(playout_delay),
        }
    }

    /// Receiver report, due every five seconds.
    pub(crate) fn poll_report(&mut self, now: Instant, link: &Link) -> Option<Report> {
        self.reporter.due().filter(|due| *due <= now)?;
        let stats = self.player.stats();
        self.reporter.poll_report(now, &stats, link.repairs, link.round_trip)
    }

    pub(crate) const fn view(&self) -> &RoomView {
        &self.view
    }

    pub(crate) fn stats(&self) -> PlayoutStats {
        self.player.stats()
    }

    pub(crate) const fn tracks(&self) -> &BTreeMap<TrackId, TrackRecord> {
        &self.tracks
    }

    /// Delay of playout on purpose, if there is any.
    pub(crate) fn playout_delay(&self) -> Option<Duration> {
        self.delivery.playout_delay()
    }

    /// Percentile of the end-to-end latency, in ms; `None` before the first.
    pub(crate) fn latency_ms(&self, percent: f64) -> Option<f64> {
        let latency = self.latency.as_ref().filter(|latency| !latency.is_empty())?;
        Some(latency.value_at_percentile(percent) as f64 / 1_000.0)
    }

    /// Error bound of the latencies, in ms.
    pub(crate) fn latency_error_ms(&self) -> Option<f64> {
        self.latency_error_us.map(|error| f64::from(error) / 1_000.0)
    }

    pub(crate) fn handle_joined(
        &mut self,
        now: Instant,
        joined: &Joined,
        clock: LocalClock,
    ) -> Vec<Change> {
        let changes = self.view.handle_joined(joined);
        if self.delivery.handle_you(&joined.you) {
            self.player.set_config(self.delivery.jitter_config());
        }
        self.reporter.handle_joined(now);
        self.follow(now, &changes, clock);
        changes
    }

    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        message: &ToParticipant,
        clock: LocalClock,
    ) -> Vec<Change> {
        let changes = self.view.handle_message(message);
        if self.delivery.handle_message(message) {
            self.player.set_config(self.delivery.jitter_config());
        }
        self.follow(now, &changes, clock);
        changes
    }

    pub(crate) fn handle_frame(
        &mut self,
        received: ReceivedFrame,
        clock: LocalClock,
    ) -> Result<(), AudioError> {
        let ReceivedFrame { frame, arrived, .. } = &received;
        let arrived = *arrived;
        let arrived_us = clock.us_at(arrived);
        let record = self.record(frame.track);
        record.received += 1;
        record.last_received_us = arrived_us;
        record.last_level = Some((arrived, frame.level));
        if record.silenced_at_us.is_some_and(|at| arrived_us > at) {
            record.received_silenced += 1;
        }
        if record.silenced_at_us.is_some() {
            return Ok(());
        }
        self.left.retain(|(track, _)| *track != frame.track);
        self.player.handle_received(received)?;
        Ok(())
    }

    /// The sound of the tick that begins now.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        offset: Option<Offset>,
        clock: LocalClock,
    ) -> TickPcm {
        let played = self.player.tick(now);
        if let Some(offset) = offset {
            for frame in &played.captured {
                let now_us = offset.to_origin(clock.us_at(now + frame.after)).0;
                let latency_us = now_us.saturating_sub(frame.capture.at.0);
                // The speaker's clock is an estimate too.
                let error_us = offset.error_us.saturating_add(frame.capture.error_us.unwrap_or(0));
                // One speaker's nonsense is not to be everybody's latency.
                if latency_us > LATENCY_MAX_US || u64::from(error_us) > LATENCY_MAX_US {
                    continue;
                }
                if let Some(latency) = &mut self.latency {
                    latency.saturating_record(latency_us.max(1));
                }
                self.latency_error_us = self.latency_error_us.max(Some(error_us));
                self.reporter.handle_latency(latency_us, error_us);
            }
        }
        played.pcm
    }

    /// Removes tracks whose speakers left a while ago.
    pub(crate) fn forget_old_tracks(&mut self, now: Instant) {
        let player = &mut self.player;
        self.left.retain(|(track, at)| {
            let since = now.duration_since(*at);
            let stays = since < FAREWELL || (since < FAREWELL_MAX && player.is_waiting(track.0));
            if !stays {
                player.remove_track(track.0);
            }
            stays
        });
    }

    /// The record of a track; for one too many, that of the longest silent goes.
    fn record(&mut self, track: TrackId) -> &mut TrackRecord {
        if self.tracks.len() >= TRACKS_REMEMBERED && !self.tracks.contains_key(&track) {
            let silent = self.tracks.iter().min_by_key(|(_, record)| record.last_received_us);
            if let Some((&silent, _)) = silent {
                self.tracks.remove(&silent);
            }
        }
        self.tracks.entry(track).or_default()
    }

    /// Updates names and silencing of tracks from the room.
    fn follow(&mut self, now: Instant, changes: &[Change], clock: LocalClock) {
        for change in changes {
            if let Change::LeftStage { track, .. } = change
                && self.left.len() < TRACKS_REMEMBERED
            {
                self.left.push((*track, now));
            }
        }
        for entry in self.view.stage().to_vec() {
            let record = self.record(entry.track);
            record.name = Some(entry.name.clone());
            let was_silenced = record.silenced_at_us.is_some();
            if entry.silenced != was_silenced {
                record.silenced_at_us = entry.silenced.then(|| clock.us_at(now));
                record.received_silenced = 0;
                // The frames stop mid-word: that is no loss to conceal.
                self.player.remove_track(entry.track.0);
            }
        }
    }
}

/// Playout ticks on an absolute schedule; late ones follow at once.
pub(crate) fn playout_clock() -> Interval {
    let mut tick = interval_at(tokio::time::Instant::now(), TICK_PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    tick
}

#[cfg(test)]
mod tests {
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::ids::Seq;
    use tribune_protocol::media::datagram::{Capture, Frame, OriginTime};

    use super::*;
    use crate::audio::encode::{BITRATE_DEFAULT_BPS, VoiceEncoder};
    use crate::audio::{FRAME_PERIOD, PcmFrame, TICKS_PER_FRAME};
    use crate::tui::model::tests::view;

    const TICKS: u32 = TICKS_PER_FRAME as u32;

    /// Frames of a room in which Bob (track 2) is silenced and Ada (track 1) is not.
    fn frame(track: u32, n: u32, at: Instant, captured: Option<u64>) -> ReceivedFrame {
        let tone: PcmFrame = std::array::from_fn(|i| (i as f32 * 0.06).sin() * 0.5);
        let opus = VoiceEncoder::new(BITRATE_DEFAULT_BPS).unwrap().encode(&tone).unwrap().opus;
        let frame = Frame {
            track: TrackId(track),
            seq: Seq(n as u16),
            level: Level { voice: true, minus_dbov: 20 },
            talkspurt_end: false,
            captured: captured.map(|at| Capture { at: OriginTime(at), error_us: Some(200) }),
            onset: None,
            opus,
            wire: bytes::Bytes::new(),
        };
        ReceivedFrame { frame, arrived: at + FRAME_PERIOD * n, is_repaired: false }
    }

    fn receiver(now: Instant, clock: LocalClock) -> Receiver {
        let mut receiver = Receiver::new(None);
        let stage = view(Role::Listener, None).stage().to_vec();
        receiver.handle_message(now, &ToParticipant::Stage { stage }, clock);
        receiver
    }

    #[test]
    fn a_silenced_track_is_counted_and_not_played() {
        let clock = crate::session::clock::start();
        let start = Instant::now();
        let mut receiver = receiver(start, clock);
        for n in 1..20 {
            receiver.handle_frame(frame(2, n, start, None), clock).unwrap();
            for tick in n * TICKS..(n + 1) * TICKS {
                let pcm = receiver.tick(start + TICK_PERIOD * tick, None, clock);
                assert!(pcm.iter().all(|sample| *sample == 0.0));
            }
        }
        let bob = &receiver.tracks()[&TrackId(2)];
        assert_eq!((bob.received, bob.received_silenced), (19, 19));
        assert_eq!(bob.last_received_us, clock.us_at(start + FRAME_PERIOD * 19));
        assert_eq!((receiver.stats().received, receiver.stats().lost), (0, 0));
    }

    #[test]
    fn tracks_that_nobody_speaks_on_take_no_memory() {
        let clock = crate::session::clock::start();
        let start = Instant::now();
        let mut receiver = receiver(start, clock);
        for track in 10..10 + 3 * TRACKS_REMEMBERED as u32 {
            receiver.handle_frame(frame(track, track, start, None), clock).unwrap();
        }
        assert_eq!(receiver.tracks().len(), TRACKS_REMEMBERED);
        assert!(!receiver.tracks().contains_key(&TrackId(10)), "the longest silent has gone");
    }

    #[test]
    fn a_capture_time_that_cannot_be_is_left_out() {
        let clock = crate::session::clock::start();
        let start = Instant::now();
        let mut receiver = receiver(start, clock);
        let offset = Offset { offset_us: 7_000_000, error_us: 300 };
        let mut play = |n: u32, captured: Option<u64>, error_us: u32| {
            let mut received = frame(1, n, start, captured);
            if let Some(capture) = &mut received.frame.captured {
                capture.error_us = Some(error_us);
            }
            receiver.handle_frame(received, clock).unwrap();
            for tick in n * TICKS..(n + 1) * TICKS {
                receiver.tick(start + TICK_PERIOD * tick, Some(offset), clock);
            }
            (receiver.latency_ms(99.0), receiver.latency_error_ms())
        };
        let right = offset.to_origin(clock.us_at(start)).0;
        for n in 0..10 {
            assert_eq!(play(n, Some(1), 0), (None, None), "captured in 1970");
        }
        assert_eq!(play(10, Some(right), u32::MAX), (None, None));
        for n in 11..30 {
            assert_eq!(play(n, None, 0), (None, None), "by a clock that knows nothing");
        }
    }

    #[test]
    fn latency_is_measured_at_playout_in_the_origins_clock() {
        let clock = crate::session::clock::start();
        let start = Instant::now();
        let mut receiver = receiver(start, clock);
        let offset = Offset { offset_us: 7_000_000, error_us: 300 };
        // Captured 30 ms before it came in; the buffer adds its delay, to the sample.
        let captured = offset.to_origin(clock.us_at(start)).0 - 30_000;
        let mut sounded_ms = None;
        for n in 0..20 {
            receiver.handle_frame(frame(1, n, start, (n == 0).then_some(captured)), clock).unwrap();
            for tick in n * TICKS..(n + 1) * TICKS {
                // Ticks are not where the frames are.
                let now = start + TICK_PERIOD * tick + Duration::from_micros(1_700);
                let pcm = receiver.tick(now, Some(offset), clock);
                let first = pcm.iter().position(|sample| *sample != 0.0);
                let began_ms = (now - start).as_secs_f64() * 1e3;
                sounded_ms = sounded_ms.or(first.map(|n| began_ms + n as f64 / 48.0));
            }
        }
        let expected = 30.0 + sounded_ms.unwrap();
        let measured = receiver.latency_ms(50.0).unwrap();
        assert!((measured - expected).abs() < expected / 500.0, "{measured} for {expected}");
        assert_eq!(receiver.latency_error_ms(), Some(0.5), "both clocks count");
    }
}

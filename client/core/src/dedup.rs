//! Duplicates and gaps of each track, over one connection or two: each frame passes once, missing
//! frames are asked for, and the newest frame of each track is known for a relay to go on from.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::control::participant::Heard;
use tribune_protocol::ids::{Seq, TrackId};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_STAGE};
use tribune_protocol::media::FrameSource;
use tribune_protocol::media::datagram::Frame;
use tribune_protocol::media::repair::{Gap, Place, Reach, Repair};

/// Frames before the newest one that are remembered: 2.5 s, more than two relays can be apart.
const WINDOW: i16 = 128;
/// A track of which nothing has come for so long is not being heard, whatever its last frame said.
const SILENT_AFTER: Duration = Duration::from_secs(1);

/// All tracks that are heard; at most [`MAX_STAGE`], as there are on a stage.
#[derive(Debug)]
pub struct Dedup {
    tracks: BTreeMap<TrackId, Track>,
    reach: Reach,
}

/// Verdict on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is new.
    New,
    /// It is new, and had been missing.
    Repaired,
    /// It has been heard.
    Duplicate,
}

#[derive(Debug)]
struct Track {
    newest: Seq,
    /// Bit n: the frame n periods before the newest has come.
    seen: u128,
    /// The newest frame said that silence follows.
    ended: bool,
    heard_at: Instant,
    repair: Repair,
}

impl Default for Dedup {
    /// No tracks yet, for a live buffer.
    fn default() -> Self {
        Self { tracks: BTreeMap::new(), reach: Reach::LIVE }
    }
}

impl Dedup {
    /// Sets how long missing frames are of use.
    pub fn set_reach(&mut self, reach: Reach) {
        self.reach = reach;
        for track in self.tracks.values_mut() {
            track.repair.set_reach(reach);
        }
    }

    /// Takes a frame, over whichever connection it came, by itself or as an answer.
    pub fn handle_frame(&mut self, now: Instant, frame: &Frame, source: FrameSource) -> Taken {
        let place = Place::from(frame);
        // A mark stands for a frame that another relay may send whole.
        let is_whole = !frame.opus.is_empty();
        if let Some(track) = self.tracks.get_mut(&frame.track) {
            return track.handle_frame(now, place, is_whole, source);
        }
        if self.tracks.len() >= MAX_STAGE {
            return Taken::New;
        }
        let mut track = Track {
            newest: place.seq,
            seen: u128::from(is_whole),
            ended: place.talkspurt_end,
            heard_at: now,
            repair: Repair::new(self.reach),
        };
        track.repair.handle_frame(now, place, source);
        self.tracks.insert(frame.track, track);
        Taken::New
    }

    /// The next frames to ask the relay for now, `round_trip` away. To be called until it is `None`.
    pub fn poll_ask(&mut self, now: Instant, round_trip: Duration) -> Option<(TrackId, Gap)> {
        self.tracks.iter_mut().find_map(|(id, track)| {
            let gap = track.repair.poll_ask(now, round_trip)?;
            Some((*id, gap))
        })
    }

    /// When to call [`Self::poll_ask`] next; may be early.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tracks.values().filter_map(|track| track.repair.poll_timeout()).min()
    }

    /// Forgets the tracks that are not on the stage any more.
    pub fn retain(&mut self, is_on_stage: impl Fn(TrackId) -> bool) {
        self.tracks.retain(|track, _| is_on_stage(*track));
    }

    /// Whether no track has been heard.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }

    /// The frame of each track for a relay to go on from, where what is older than `delay` is of no use: the
    /// newest, or the one that would have come so long ago.
    #[must_use]
    pub fn resume_from(&self, now: Instant, delay: Duration) -> Vec<Heard> {
        let heard = self.tracks.iter().filter(|(_, track)| !track.ended);
        heard
            .map(|(&id, track)| {
                let missed = now.saturating_duration_since(track.heard_at).saturating_sub(delay);
                let periods = missed.as_millis() / FRAME_PERIOD.as_millis();
                let seq = track.newest.plus(u16::try_from(periods).unwrap_or(u16::MAX / 2));
                Heard { track: id, seq }
            })
            .collect()
    }

    /// The newest frame of each track, for a relay to go on from.
    #[must_use]
    pub fn newest(&self) -> Vec<Heard> {
        self.tracks.iter().map(|(&track, heard)| Heard { track, seq: heard.newest }).collect()
    }

    /// The tracks that are being heard now, each with its newest frame.
    pub fn talking(&self, now: Instant) -> impl Iterator<Item = (TrackId, Seq)> {
        let talking = move |track: &Track| {
            !track.ended && now.saturating_duration_since(track.heard_at) < SILENT_AFTER
        };
        let tracks = self.tracks.iter().filter(move |(_, track)| talking(track));
        tracks.map(|(id, track)| (*id, track.newest))
    }

    /// Whether every frame between two has come, these two not counted. What is older than the
    /// window counts as missing, a track that has left the stage as whole.
    #[must_use]
    pub fn is_whole(&self, track: TrackId, after: Seq, before: Seq) -> bool {
        let Some(track) = self.tracks.get(&track) else { return true };
        let between = before.since(after).saturating_sub(1).max(0) as u16;
        (1..=between).all(|n| track.has_seen(after.plus(n)))
    }
}

impl Track {
    fn handle_frame(
        &mut self,
        now: Instant,
        place: Place,
        is_whole: bool,
        source: FrameSource,
    ) -> Taken {
        let Place { seq, talkspurt_end: ends, .. } = place;
        let ahead = seq.since(self.newest);
        if ahead <= -WINDOW {
            // The speaker has begun anew, with other numbers.
            (self.newest, self.seen, self.ended) = (seq, 0, ends);
            self.repair = Repair::new(self.repair.reach());
        } else if self.has_seen(seq) {
            self.repair.handle_duplicate(now, seq, source);
            return Taken::Duplicate;
        } else if ahead > 0 {
            self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 };
            (self.newest, self.ended) = (seq, ends);
        }
        self.heard_at = now;
        if is_whole {
            self.seen |= 1 << self.newest.since(seq);
        }
        match self.repair.handle_frame(now, place, source).repaired {
            true => Taken::Repaired,
            false => Taken::New,
        }
    }

    const fn has_seen(&self, seq: Seq) -> bool {
        let back = self.newest.since(seq);
        back >= 0 && back < WINDOW && self.seen >> back & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use tribune_protocol::media::datagram::Level;

    use super::*;

    const TRACK: TrackId = TrackId(3);

    fn frame(seq: u16, opus: &'static [u8]) -> Frame {
        Frame {
            track: TRACK,
            seq: Seq(seq),
            level: Level::SILENCE,
            talkspurt_end: opus.is_empty(),
            captured: None,
            onset: None,
            opus: Bytes::from_static(opus),
            wire: Bytes::new(),
        }
    }

    #[test]
    fn each_frame_is_new_once_and_what_is_missing_is_asked_for() {
        let (now, mut dedup) = (Instant::now(), Dedup::default());
        let round_trip = Duration::from_millis(60);
        assert_eq!(dedup.handle_frame(now, &frame(65_534, b"opus"), FrameSource::Sent), Taken::New);
        assert_eq!(dedup.handle_frame(now, &frame(1, b"opus"), FrameSource::Sent), Taken::New);
        let gap = Gap { first: Seq(65_535), count: 2 };
        assert_eq!(dedup.poll_ask(now, round_trip), Some((TRACK, gap)));
        assert_eq!(dedup.poll_ask(now, round_trip), None);
        assert!(dedup.poll_timeout().is_some_and(|at| at > now && at <= now + 2 * round_trip));
        let mut take = |seq| dedup.handle_frame(now, &frame(seq, b"opus"), FrameSource::Repair);
        assert_eq!(take(65_534), Taken::Duplicate);
        assert_eq!(take(0), Taken::Repaired);
        assert_eq!(take(0), Taken::Duplicate);
        assert_eq!(dedup.newest(), [Heard { track: TRACK, seq: Seq(1) }]);
        assert!(!dedup.is_whole(TRACK, Seq(65_534), Seq(1)));
        assert!(dedup.is_whole(TRACK, Seq(65_535), Seq(2)));
        assert!(dedup.is_whole(TRACK, Seq(1), Seq(1)));
        assert!(dedup.is_whole(TRACK, Seq(1), Seq(65_000)), "nothing lies between");
    }

    #[test]
    fn a_mark_does_not_keep_out_the_frame_in_whose_place_it_stands() {
        let (now, mut dedup) = (Instant::now(), Dedup::default());
        assert_eq!(dedup.handle_frame(now, &frame(7, b""), FrameSource::Sent), Taken::New);
        assert_eq!(dedup.talking(now).count(), 0, "it has ended");
        assert_eq!(dedup.handle_frame(now, &frame(7, b"opus"), FrameSource::Sent), Taken::New);
        assert_eq!(dedup.handle_frame(now, &frame(7, b""), FrameSource::Sent), Taken::Duplicate);
        assert_eq!(dedup.handle_frame(now, &frame(8, b"opus"), FrameSource::Sent), Taken::New);
        assert_eq!(dedup.talking(now).collect::<Vec<_>>(), [(TRACK, Seq(8))]);
        assert_eq!(dedup.talking(now + SILENT_AFTER).count(), 0);
    }

    #[test]
    fn a_speaker_who_begins_anew_is_heard() {
        let (now, mut dedup) = (Instant::now(), Dedup::default());
        for seq in [5_000, 3, 4, 5] {
            assert_eq!(
                dedup.handle_frame(now, &frame(seq, b"opus"), FrameSource::Sent),
                Taken::New
            );
        }
        assert_eq!(
            dedup.handle_frame(now, &frame(4, b"opus"), FrameSource::Sent),
            Taken::Duplicate
        );
        dedup.retain(|_| false);
        assert_eq!(dedup.newest(), []);
    }

    #[test]
    fn frames_that_are_too_old_to_be_played_are_not_wanted_again() {
        let (now, mut dedup) = (Instant::now(), Dedup::default());
        dedup.handle_frame(now, &frame(65_530, b"opus"), FrameSource::Sent);
        let delay = Duration::from_millis(500);
        let from = |ms| dedup.resume_from(now + Duration::from_millis(ms), delay)[0].seq;
        assert_eq!((from(0), from(500)), (Seq(65_530), Seq(65_530)));
        assert_eq!(from(900), Seq(14), "twenty periods were too long ago");
    }

    proptest! {
        /// Two copies of a stream, each reordered and one behind the other: every frame is new once.
        #[test]
        fn two_copies_are_heard_as_one(
            start in 0u16..,
            apart in 0usize..60,
            shifts in prop::collection::vec((0usize..20, 0usize..20), 1..400),
        ) {
            let (now, mut dedup) = (Instant::now(), Dedup::default());
            let one = shifts.iter().enumerate().map(|(n, (shift, _))| (n + shift, n));
            let other = shifts.iter().enumerate().map(|(n, (_, shift))| (n + shift + apart, n));
            let mut order: Vec<_> = one.chain(other).collect();
            order.sort_unstable();
            let mut new = std::collections::BTreeSet::new();
            for (_, n) in order {
                let seq = start.wrapping_add(n as u16);
                let taken = dedup.handle_frame(now, &frame(seq, b"opus"), FrameSource::Sent);
                prop_assert_eq!(taken != Taken::Duplicate, new.insert(n));
            }
            prop_assert_eq!(new.len(), shifts.len());
        }
    }
}

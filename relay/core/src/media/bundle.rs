//! Bundle of frames that a view sends next. The leading speaker's frame is the clock: it leaves at once and takes the
//! others' waiting frames along, in one datagram. So the leading speaker pays no delay, and an
//! interjection one frame period at most. A view that packs several periods into a datagram waits for as many
//! frames of the clock. Used by [`super::view`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;
use tribune_protocol::ids::{Channel, TrackId};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_DATAGRAM_BYTES, MAX_FRAMES_PER_DATAGRAM};
use tribune_protocol::media::datagram::MediaWriter;
use tribune_protocol::media::session_datagram::SessionDatagram;

use super::redundancy::Redundancy;
use crate::messages::RedundancyLevel;

/// A datagram, and the number of frames in it.
#[derive(Debug, Clone)]
pub struct Bundled {
    /// Its bytes, for native peers and browsers alike.
    pub datagram: SessionDatagram,
    /// Frames in it, those sent again not counted; 0: it carries none.
    pub frames: u8,
}

impl Bundled {
    /// Bytes of the datagram.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a datagram always has a kind")]
    pub fn len(&self) -> usize {
        self.datagram.bare().len()
    }
}

/// A frame to be sent.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its track.
    pub track: TrackId,
    /// Its written form.
    pub wire: Bytes,
    /// Silence follows.
    pub ends_talkspurt: bool,
    /// A later one has been sent: it was lost further up, or overtaken.
    pub is_late: bool,
}

/// The frames that a view has not sent yet.
#[derive(Debug, Default)]
pub struct Bundle {
    waiting: SmallVec<[Waiting; 4]>,
    /// Late ones, which leave at once and by themselves: receivers are not to take the way to them for one that
    /// reorders.
    late: SmallVec<[Waiting; 2]>,
    /// Since when the oldest has waited.
    since: Option<Instant>,
    redundancy: Redundancy,
}

impl Bundle {
    /// Adds a frame. Returns whether there was room.
    pub fn add(&mut self, now: Instant, frame: Waiting) -> bool {
        if self.len() == MAX_FRAMES_PER_DATAGRAM {
            return false;
        }
        if frame.is_late {
            self.late.push(frame);
        } else {
            self.waiting.push(frame);
        }
        self.since.get_or_insert(now);
        true
    }

    /// Keeps only the frames of those tracks, also of those sent already. `keep` is asked once for each
    /// frame that waits.
    pub fn retain(
        &mut self,
        mut keep: impl FnMut(TrackId) -> bool,
        is_known: impl Fn(TrackId) -> bool,
    ) {
        self.waiting.retain(|waiting| keep(waiting.track));
        self.late.retain(|late| keep(late.track));
        if self.is_empty() {
            self.since = None;
        }
        self.redundancy.retain(is_known);
    }

    /// Whether the bundle leaves now: it holds `periods` frames of the clock, a late frame or the end of what it
    /// says, or nothing clocks it and it is not to be packed, or the time is over.
    #[must_use]
    pub fn is_ready(&self, now: Instant, clock: Option<TrackId>, periods: u8) -> bool {
        let Some(due) = self.due(periods) else { return false };
        let is_full = periods > 1 && self.len() == MAX_FRAMES_PER_DATAGRAM;
        if now >= due || is_full || !self.late.is_empty() {
            return true;
        }
        let Some(clock) = clock else {
            return periods == 1 || self.waiting.iter().any(|waiting| waiting.ends_talkspurt);
        };
        let mut clocked = self.waiting.iter().filter(|waiting| waiting.track == clock);
        let frames = clocked.clone().count();
        frames >= usize::from(periods) || clocked.any(|waiting| waiting.ends_talkspurt)
    }

    /// When it leaves at the latest.
    #[must_use]
    pub fn due(&self, periods: u8) -> Option<Instant> {
        self.since.map(|since| since + longest_wait(periods))
    }

    /// Since when its oldest frame has waited.
    #[must_use]
    pub const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Frames in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.late.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.late.is_empty()
    }

    /// The datagrams, usually one, those with late frames first; the bundle is empty then.
    pub fn take(
        &mut self,
        now: Instant,
        channel: Channel,
        protection: RedundancyLevel,
    ) -> SmallVec<[Bundled; 1]> {
        self.since = None;
        let mut datagrams = self.write_late(channel);
        self.late.clear();
        if self.waiting.is_empty() {
            return datagrams;
        }
        let begun = self.begin(now, channel, protection);
        fill(&mut datagrams, begun, MediaWriter::new, channel, &self.waiting);
        if protection == RedundancyLevel::None {
            self.redundancy.clear();
        } else {
            let sent = self.waiting.iter().map(|waiting| (waiting.track, waiting.wire.clone()));
            self.redundancy.push(now, sent.collect());
        }
        self.waiting.clear();
        datagrams
    }

    /// The frames that wait, in datagrams of their own; they go on waiting.
    #[must_use]
    pub fn copy(&self, channel: Channel) -> SmallVec<[Bundled; 1]> {
        let mut datagrams = self.write_late(channel);
        let first = MediaWriter::new(channel, MAX_DATAGRAM_BYTES);
        fill(&mut datagrams, first, MediaWriter::new, channel, &self.waiting);
        datagrams
    }

    fn write_late(&self, channel: Channel) -> SmallVec<[Bundled; 1]> {
        let mut datagrams = SmallVec::new();
        if !self.late.is_empty() {
            let first = MediaWriter::late(channel, MAX_DATAGRAM_BYTES);
            fill(&mut datagrams, first, MediaWriter::late, channel, &self.late);
        }
        datagrams
    }

    /// A datagram with the frames that are to be sent again, as far as the present ones leave room.
    fn begin(&self, now: Instant, channel: Channel, protection: RedundancyLevel) -> MediaWriter {
        let again = match protection {
            RedundancyLevel::None => SmallVec::new(),
            RedundancyLevel::Previous | RedundancyLevel::PreviousTwo | RedundancyLevel::Spread => {
                let bytes = self.waiting.iter().map(|waiting| waiting.wire.len()).sum();
                self.redundancy.pick(now, protection, (self.waiting.len(), bytes))
            }
        };
        if again.is_empty() {
            return MediaWriter::new(channel, MAX_DATAGRAM_BYTES);
        }
        let count = u8::try_from(again.len()).unwrap_or(u8::MAX);
        let mut writer = MediaWriter::protected(channel, count, MAX_DATAGRAM_BYTES);
        for wire in again {
            let fits = writer.push(wire);
            debug_assert!(fits, "what is picked fits");
        }
        writer
    }
}

/// Fills datagrams with frames: `first`, which may hold some that are sent again, and then others of a kind.
fn fill(
    datagrams: &mut SmallVec<[Bundled; 1]>,
    first: MediaWriter,
    begin: fn(Channel, usize) -> MediaWriter,
    channel: Channel,
    waiting: &[Waiting],
) {
    let (mut writer, mut frames) = (first, 0);
    for Waiting { wire, .. } in waiting {
        if !writer.push(wire) {
            datagrams.push(Bundled { datagram: writer.take_for_session(), frames });
            frames = 0;
            writer = begin(channel, MAX_DATAGRAM_BYTES);
            let fits = writer.push(wire);
            debug_assert!(fits, "a frame is smaller than a datagram");
        }
        frames += 1;
    }
    if frames > 0 {
        datagrams.push(Bundled { datagram: writer.take_for_session(), frames });
    }
}

/// Longest time for which a frame waits in a view that packs `periods` into a datagram.
fn longest_wait(periods: u8) -> Duration {
    FRAME_PERIOD * u32::from(periods)
}

#[cfg(test)]
mod tests {
    use tribune_protocol::media::{Datagram, FrameSource};

    use super::*;

    const CHANNEL: Channel = Channel(0);

    #[test]
    fn the_clock_takes_the_others_along() {
        let now = Instant::now();
        let mut bundle = Bundle::default();
        bundle.add(now, waiting(2, wire(2, 0), false));
        assert!(!bundle.is_ready(now, Some(TrackId(1)), 1));
        bundle.add(now, waiting(1, wire(1, 0), false));
        assert!(bundle.is_ready(now, Some(TrackId(1)), 1));
        assert_eq!(bundle.take(now, CHANNEL, RedundancyLevel::None).len(), 1);
        assert!(!bundle.is_ready(now + FRAME_PERIOD, None, 1));
    }

    #[test]
    fn without_the_clock_a_frame_waits_one_period() {
        let now = Instant::now();
        let mut bundle = Bundle::default();
        bundle.add(now, waiting(2, wire(2, 0), false));
        assert_eq!(bundle.due(1), Some(now + FRAME_PERIOD));
        assert!(bundle.is_ready(now + FRAME_PERIOD, Some(TrackId(1)), 1));
    }

    #[test]
    fn a_packed_bundle_waits_for_as_many_frames_of_the_clock_and_no_longer_than_they_take() {
        let (now, clock) = (Instant::now(), Some(TrackId(1)));
        let mut bundle = Bundle::default();
        for n in 0..3 {
            assert!(!bundle.is_ready(now + FRAME_PERIOD * n, clock, 3), "{n}");
            bundle.add(now + FRAME_PERIOD * n, waiting(1, wire(1, n as u8), false));
            bundle.add(now + FRAME_PERIOD * n, waiting(2, wire(2, n as u8), false));
        }
        assert!(bundle.is_ready(now + FRAME_PERIOD * 2, clock, 3));
        let datagrams = bundle.take(now, CHANNEL, RedundancyLevel::None);
        assert_eq!((datagrams.len(), datagrams[0].frames), (1, 6));

        bundle.add(now, waiting(1, wire(1, 3), false));
        assert!(bundle.is_ready(now + FRAME_PERIOD * 3, clock, 3), "two were lost");
        bundle.add(now, waiting(1, wire(1, 4), true));
        assert!(bundle.is_ready(now, clock, 3), "nothing follows");
        assert!(bundle.is_ready(now, None, 3), "nothing follows");
    }

    #[test]
    fn large_frames_take_several_datagrams() {
        let now = Instant::now();
        let mut bundle = Bundle::default();
        for track in 1..=4 {
            bundle.add(now, waiting(track, Bytes::from(vec![0; 600]), false));
        }
        let datagrams = bundle.take(now, CHANNEL, RedundancyLevel::PreviousTwo);
        assert_eq!(datagrams.len(), 4);
        assert!(datagrams.iter().all(|datagram| datagram.len() <= MAX_DATAGRAM_BYTES));
        assert!(datagrams.iter().all(|datagram| datagram.frames == 1));
    }

    #[test]
    fn a_protected_view_says_the_last_frames_again() {
        let now = Instant::now();
        let mut bundle = Bundle::default();
        let mut said = Vec::new();
        for n in 0..6_u8 {
            let now = now + FRAME_PERIOD * n.into();
            bundle.add(now, waiting(1, wire(1, n), false));
            let protection =
                if n < 3 { RedundancyLevel::PreviousTwo } else { RedundancyLevel::Spread };
            said.push(read(&bundle.take(now, CHANNEL, protection)));
        }
        let sources = |seqs: &[(u8, bool)]| seqs.to_vec();
        assert_eq!(said[0], sources(&[(0, false)]));
        assert_eq!(said[1], sources(&[(0, true), (1, false)]));
        assert_eq!(said[2], sources(&[(0, true), (1, true), (2, false)]));
        assert_eq!(said[3], sources(&[(2, true), (3, false)]), "there is no fourth before");
        assert_eq!(said[4], sources(&[(0, true), (3, true), (4, false)]));
        assert_eq!(said[5], sources(&[(1, true), (4, true), (5, false)]));

        // After a silence nothing is said again, nor of a track that has been silenced.
        let later = now + FRAME_PERIOD * 30;
        bundle.add(later, waiting(1, wire(1, 30), false));
        assert_eq!(read(&bundle.take(later, CHANNEL, RedundancyLevel::Previous)), [(30, false)]);
        bundle.retain(|_| true, |_| false);
        bundle.add(later, waiting(1, wire(1, 31), false));
        assert_eq!(read(&bundle.take(later, CHANNEL, RedundancyLevel::Previous)), [(31, false)]);
    }

    #[test]
    fn late_frames_leave_at_once_and_by_themselves() {
        let (now, clock) = (Instant::now(), Some(TrackId(1)));
        let mut bundle = Bundle::default();
        bundle.add(now, waiting(1, wire(1, 7), false));
        assert!(!bundle.is_ready(now, clock, 3));
        bundle.add(now, Waiting { is_late: true, ..waiting(1, wire(1, 3), false) });
        bundle.add(now, Waiting { is_late: true, ..waiting(1, wire(1, 4), false) });
        assert!(bundle.is_ready(now, clock, 3));
        assert_eq!((bundle.len(), bundle.copy(CHANNEL).len()), (3, 2));
        let datagrams = bundle.take(now, CHANNEL, RedundancyLevel::Previous);
        assert!(bundle.is_empty());
        let [late, others] = &datagrams[..] else { panic!("{datagrams:?}") };
        let sources = |bundled: &Bundled| {
            let Ok(Datagram::Media(media)) = Datagram::parse(bundled.datagram.clone().into_bare())
            else {
                panic!("media")
            };
            let frames = media.frames().map(|frame| frame.unwrap().seq.0);
            (media.source(0), frames.collect::<Vec<_>>())
        };
        assert_eq!(sources(late), (FrameSource::Late, vec![3, 4]));
        assert_eq!(sources(others), (FrameSource::Sent, vec![7]));

        // They are not sent again: who lacks them asks.
        bundle.add(now, waiting(1, wire(1, 8), false));
        let datagrams = bundle.take(now, CHANNEL, RedundancyLevel::Previous);
        assert_eq!(read(&datagrams), [(7, true), (8, false)]);
    }

    /// Sequence numbers, each with whether it was sent before.
    fn read(datagrams: &[Bundled]) -> Vec<(u8, bool)> {
        let [Bundled { datagram, frames }] = datagrams else { panic!("one datagram") };
        let Ok(Datagram::Media(media)) = Datagram::parse(datagram.clone().into_bare()) else {
            panic!("media")
        };
        let read = media.frames().enumerate().map(|(place, frame)| {
            let is_again = media.source(place) == FrameSource::Redundancy;
            (frame.unwrap().seq.0 as u8, is_again)
        });
        let read: Vec<_> = read.collect();
        assert_eq!(usize::from(*frames), read.iter().filter(|(_, again)| !again).count());
        read
    }

    fn waiting(track: u32, wire: Bytes, ends_talkspurt: bool) -> Waiting {
        Waiting { track: TrackId(track), wire, ends_talkspurt, is_late: false }
    }

    fn wire(track: u8, seq: u8) -> Bytes {
        Bytes::from(vec![track, 0, seq, 0, 0])
    }
}

//! Bundle of frames that a view sends next. The leading speaker's frame is the clock: it leaves at once and takes the
//! others' waiting frames along, in one datagram. So the leading speaker pays no delay, and an
//! interjection one frame period at most. Used by [`super::fanout`].

use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;
use tribune_protocol::ids::{Channel, TrackId};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_DATAGRAM_BYTES, MAX_FRAMES_PER_DATAGRAM};
use tribune_protocol::media::datagram::MediaWriter;

/// A datagram, and the number of frames in it.
#[derive(Debug, Clone)]
pub struct Bundled {
    /// Its bytes.
    pub bytes: Bytes,
    /// Frames in it; 0: it carries none.
    pub frames: u8,
}

/// The frames that a view has not sent yet.
#[derive(Debug, Default)]
pub struct Bundle {
    waiting: SmallVec<[(TrackId, Bytes); 4]>,
    due: Option<Instant>,
}

impl Bundle {
    /// Adds a frame. It waits one frame period at most. Returns whether there was room.
    pub fn add(&mut self, now: Instant, track: TrackId, wire: &Bytes) -> bool {
        if self.waiting.len() == MAX_FRAMES_PER_DATAGRAM {
            return false;
        }
        self.waiting.push((track, wire.clone()));
        self.due.get_or_insert(now + FRAME_PERIOD);
        true
    }

    /// Keeps only the frames of those tracks.
    pub fn retain(&mut self, mut keep: impl FnMut(TrackId) -> bool) {
        self.waiting.retain(|(track, _)| keep(*track));
        if self.waiting.is_empty() {
            self.due = None;
        }
    }

    /// Whether the bundle leaves now: `clock`'s frame is in it, nothing clocks it, or a period is over.
    #[must_use]
    pub fn is_ready(&self, now: Instant, clock: Option<TrackId>) -> bool {
        let Some(due) = self.due else { return false };
        let clocked = |clock| self.waiting.iter().any(|(track, _)| *track == clock);
        clock.is_none_or(clocked) || now >= due
    }

    /// When it leaves at the latest.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Since when its oldest frame has waited.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.due.and_then(|due| due.checked_sub(FRAME_PERIOD))
    }

    /// Frames in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The datagrams, usually one; the bundle is empty then.
    pub fn take(&mut self, channel: Channel) -> SmallVec<[Bundled; 1]> {
        self.due = None;
        let mut datagrams = SmallVec::new();
        let mut writer = MediaWriter::new(channel, MAX_DATAGRAM_BYTES);
        let mut frames = 0;
        for (_, wire) in self.waiting.drain(..) {
            if !writer.push(&wire) {
                datagrams.push(Bundled { bytes: writer.take(), frames });
                frames = 0;
                let fits = writer.push(&wire);
                debug_assert!(fits, "a frame is smaller than a datagram");
            }
            frames += 1;
        }
        if !writer.is_empty() {
            datagrams.push(Bundled { bytes: writer.take(), frames });
        }
        datagrams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_takes_the_others_along() {
        let now = Instant::now();
        let mut bundle = Bundle::default();
        let wire = Bytes::from_static(&[1, 0, 0, 0, 0]);
        bundle.add(now, TrackId(2), &wire);
        assert!(!bundle.is_ready(now, Some(TrackId(1))));
        bundle.add(now, TrackId(1), &wire);
        assert!(bundle.is_ready(now, Some(TrackId(1))));
        assert_eq!(bundle.take(Channel(0)).len(), 1);
        assert!(!bundle.is_ready(now + FRAME_PERIOD, None));
    }

    #[test]
    fn without_the_clock_a_frame_waits_one_period() {
        let now = Instant::now();
        let mut bundle = Bundle::default();
        bundle.add(now, TrackId(2), &Bytes::from_static(&[1, 0, 0, 0, 0]));
        assert_eq!(bundle.due(), Some(now + FRAME_PERIOD));
        assert!(bundle.is_ready(now + FRAME_PERIOD, Some(TrackId(1))));
    }

    #[test]
    fn large_frames_take_several_datagrams() {
        let now = Instant::now();
        let mut bundle = Bundle::default();
        for track in 1..=4 {
            bundle.add(now, TrackId(track), &Bytes::from(vec![0; 600]));
        }
        let datagrams = bundle.take(Channel(0));
        assert_eq!(datagrams.len(), 4);
        assert!(datagrams.iter().all(|datagram| datagram.bytes.len() <= MAX_DATAGRAM_BYTES));
        assert!(datagrams.iter().all(|datagram| datagram.frames == 1));
    }
}

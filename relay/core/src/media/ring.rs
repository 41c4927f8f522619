//! Ring of the last two seconds of one track, by sequence number: read by repair and resume, and to
//! tell a duplicate from a new frame. Used by [`super::ingress`] only.

use bytes::Bytes;
use tribune_protocol::ids::Seq;

/// Places in the ring: the power of two above 2 s of frames, so that sequence numbers wrap with it.
const SLOTS: u16 = 128;
/// A jump further ahead than this is a new beginning. Within it, missing frames can still come.
const MAX_AHEAD: i16 = 3_000;

/// Result of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is new.
    New,
    /// It is here already.
    Duplicate,
    /// It is older than the ring.
    TooOld,
}

/// The ring of one track.
#[derive(Debug, Default)]
pub struct Ring {
    slots: Vec<Option<(Seq, Bytes)>>,
    newest: Option<Seq>,
    /// The successor of the last frame that came from long ago. If just that one comes, the speaker
    /// has begun anew with other numbers (the probation of RFC 3550 appendix A.1).
    expected_restart: Option<Seq>,
}

impl Ring {
    /// Takes a frame's written form.
    pub fn insert(&mut self, seq: Seq, wire: &Bytes) -> Inserted {
        let ahead = self.newest.map_or(1, |newest| seq.since(newest));
        if ahead <= -(SLOTS as i16) || ahead > MAX_AHEAD {
            if self.expected_restart != Some(seq) {
                self.expected_restart = Some(seq.plus(1));
                return Inserted::TooOld;
            }
            self.slots.clear();
            self.newest = None;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(usize::from(SLOTS), || None);
        }
        let slot = &mut self.slots[usize::from(seq.0 % SLOTS)];
        if slot.as_ref().is_some_and(|(held, _)| *held == seq) {
            return Inserted::Duplicate;
        }
        *slot = Some((seq, wire.clone()));
        self.expected_restart = None;
        if self.newest.is_none_or(|newest| seq.since(newest) > 0) {
            self.newest = Some(seq);
        }
        Inserted::New
    }

    /// A frame, if it is still here.
    #[must_use]
    pub fn get(&self, seq: Seq) -> Option<&Bytes> {
        let (held, wire) = self.slots.get(usize::from(seq.0 % SLOTS))?.as_ref()?;
        (*held == seq).then_some(wire)
    }

    /// The newest frame's place.
    #[must_use]
    pub const fn newest(&self) -> Option<Seq> {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reordered_frames_are_new_and_repeated_ones_are_not() {
        let mut ring = Ring::default();
        let wire = Bytes::from_static(b"frame");
        for seq in [10, 12, 11] {
            assert_eq!(ring.insert(Seq(seq), &wire), Inserted::New);
        }
        assert_eq!(ring.insert(Seq(11), &wire), Inserted::Duplicate);
        assert_eq!(ring.newest(), Some(Seq(12)));
        assert_eq!(ring.get(Seq(11)), Some(&wire));
        assert_eq!(ring.get(Seq(13)), None);
    }

    #[test]
    fn an_old_frame_is_no_restart_but_two_in_a_row_are() {
        let mut ring = Ring::default();
        let wire = Bytes::from_static(b"frame");
        ring.insert(Seq(5_000), &wire);
        assert_eq!(ring.insert(Seq(3), &wire), Inserted::TooOld);
        assert_eq!(ring.insert(Seq(5_001), &wire), Inserted::New);
        assert_eq!(ring.insert(Seq(4), &wire), Inserted::TooOld);
        assert_eq!(ring.insert(Seq(5), &wire), Inserted::New);
        assert_eq!(ring.newest(), Some(Seq(5)));
        assert_eq!(ring.get(Seq(5_001)), None);
    }

    proptest! {
        /// Over a turn of the numbers and more, every frame of a reordered stream is new exactly once.
        #[test]
        fn each_frame_is_new_once(start in 0u16.., shifts in prop::collection::vec(0u16..60, 1..300)) {
            let mut ring = Ring::default();
            let wire = Bytes::from_static(b"frame");
            let mut order: Vec<_> = shifts.iter().enumerate().map(|(n, shift)| (n as u16 + shift, n as u16)).collect();
            order.sort_unstable();
            for (_, n) in &order {
                prop_assert_eq!(ring.insert(Seq(start).plus(*n), &wire), Inserted::New);
            }
            let (_, last) = order[order.len() - 1];
            prop_assert_eq!(ring.insert(Seq(start).plus(last), &wire), Inserted::Duplicate);
        }
    }
}

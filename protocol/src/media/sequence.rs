//! Missing frames of a track: the runs worth asking the next hop for. Pure; relays
//! and clients share it. SPEC.md section 6.

use crate::ids::Seq;

/// Frames asked for in one go: 200 ms. More than that missing is an outage, or silence whose
/// announcement was lost: a repair would come too late, and old frames would only make listeners
/// take the network for a slow one.
pub const MAX_RUN: i16 = 10;
/// A jump further than this is a new beginning, not a gap: 60 s.
const MAX_JUMP: i16 = 3_000;

/// Follows one track.
#[derive(Debug, Clone, Default)]
pub struct GapDetector {
    newest: Option<Newest>,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    seq: Seq,
    talkspurt_end: bool,
}

/// Frames in a row that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first.
    pub first: Seq,
    /// The length, 1 to [`MAX_RUN`].
    pub count: u8,
}

impl GapDetector {
    /// Takes a received frame. Returns the run missing before it, once: announced silence is no gap, and
    /// neither is a frame out of order.
    pub fn handle_frame(&mut self, seq: Seq, talkspurt_end: bool) -> Option<Gap> {
        let Some(newest) = self.newest else {
            self.newest = Some(Newest { seq, talkspurt_end });
            return None;
        };
        let ahead = seq.since(newest.seq);
        if (-MAX_JUMP..=0).contains(&ahead) {
            return None;
        }
        self.newest = Some(Newest { seq, talkspurt_end });
        let missing = ahead.saturating_sub(1);
        if newest.talkspurt_end || !(1..=MAX_RUN).contains(&missing) {
            return None;
        }
        Some(Gap { first: newest.seq.plus(1), count: missing as u8 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_is_asked_for_once_and_announced_silence_is_none() {
        let mut track = GapDetector::default();
        let mut frame = |seq, end| track.handle_frame(Seq(seq), end);
        assert_eq!(frame(65_534, false), None);
        assert_eq!(frame(2, false), Some(Gap { first: Seq(65_535), count: 3 }));
        assert_eq!(frame(0, false), None);
        assert_eq!(frame(3, true), None);
        assert_eq!(frame(90, false), None);
        assert_eq!(frame(101, false), Some(Gap { first: Seq(91), count: 10 }));
        assert_eq!(frame(113, false), None, "an outage");
        assert_eq!(frame(20_000, false), None);
        assert_eq!(frame(20_002, false), Some(Gap { first: Seq(20_001), count: 1 }));
    }

    proptest! {
        /// A frame that is asked for has not come, lies before one that has, and is never asked for again.
        #[test]
        fn asked_for_are_missing_frames(lost in prop::collection::vec(any::<bool>(), 1..200)) {
            let mut track = GapDetector::default();
            let mut asked = std::collections::BTreeSet::new();
            for (n, _) in lost.iter().enumerate().filter(|(_, lost)| !**lost) {
                let Some(gap) = track.handle_frame(Seq(n as u16), false) else { continue };
                for missing in gap.first.0..gap.first.0 + u16::from(gap.count) {
                    prop_assert!(lost[usize::from(missing)]);
                    prop_assert!(asked.insert(missing));
                }
            }
        }
    }
}

//! Frames of a track that have been found missing, so that late ones are recognised as repaired. Used by
//! [`super::ingress`] only.

use tribune_protocol::ids::Seq;
use tribune_protocol::media::sequence::Gap;

/// Frames that are remembered: as many as the ring keeps, behind which none is let in.
const REMEMBERED: i16 = 128;

/// The last frames of one track, a bit for each: whether it is missing.
#[derive(Debug, Clone, Default)]
pub struct Missed {
    bits: u128,
    newest: Option<Seq>,
}

impl Missed {
    /// Takes a frame that has come, and the gap before it. Whether the frame had been missing.
    pub fn handle_frame(&mut self, seq: Seq, gap: Option<Gap>) -> bool {
        let ahead = self.newest.map_or(i16::MAX, |newest| seq.since(newest));
        if (1 - REMEMBERED..=0).contains(&ahead) {
            let was_missing = self.bits & bit(seq) != 0;
            self.bits &= !bit(seq);
            return was_missing;
        }
        // The places of what is new are those of what is forgotten.
        if (1..REMEMBERED).contains(&ahead) {
            for step in 0..ahead as u16 {
                self.bits &= !bit(Seq(seq.0.wrapping_sub(step)));
            }
        } else {
            self.bits = 0;
        }
        self.newest = Some(seq);
        if let Some(Gap { first, count }) = gap {
            for step in 0..u16::from(count) {
                self.bits |= bit(first.plus(step));
            }
        }
        false
    }
}

const fn bit(seq: Seq) -> u128 {
    1 << (seq.0 % REMEMBERED as u16)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tribune_protocol::media::sequence::GapDetector;

    use super::*;

    proptest! {
        /// Over reordered and lost frames, around the wrap of the numbers: each frame that had been
        /// missing is recognised once, and no other.
        #[test]
        fn what_comes_late_has_been_missing(
            start in 0u16..,
            shifts in prop::collection::vec(prop::option::of(0u16..60), 1..400),
        ) {
            let mut order: Vec<(u16, u16)> = shifts
                .iter()
                .enumerate()
                .filter_map(|(n, shift)| shift.map(|shift| (n as u16 + shift, n as u16)))
                .collect();
            order.sort_unstable();
            let (mut gaps, mut missed) = (GapDetector::default(), Missed::default());
            let mut missing = BTreeSet::new();
            for (_, n) in order {
                let seq = Seq(start).plus(n);
                let gap = gaps.handle_frame(seq, false);
                let repaired = missed.handle_frame(seq, gap);
                prop_assert_eq!(repaired, missing.remove(&seq.0));
                for step in 0..gap.map_or(0, |gap| u16::from(gap.count)) {
                    missing.insert(gap.unwrap().first.plus(step).0);
                }
            }
        }
    }

    #[test]
    fn what_was_missing_long_ago_is_forgotten() {
        let mut missed = Missed::default();
        missed.handle_frame(Seq(0), None);
        missed.handle_frame(Seq(2), Some(Gap { first: Seq(1), count: 1 }));
        for seq in 3..=129 {
            assert!(!missed.handle_frame(Seq(seq), None), "{seq}");
        }
        // Another frame has the same place now.
        assert!(!missed.handle_frame(Seq(129), None));
        missed.handle_frame(Seq(131), Some(Gap { first: Seq(130), count: 1 }));
        missed.handle_frame(Seq(9_000), None);
        assert!(!missed.handle_frame(Seq(8_962), None), "{} has the place of 130", 8_962 % 128);
    }
}

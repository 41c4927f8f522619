//! Which of the last frames arrived, once they are no longer in the buffer.

/// Places that are remembered behind the playout position: 2.56 s, more than the 2 s that a relay
/// can replay.
pub(super) const HISTORY_FRAMES: u64 = 256;

const WORDS: usize = (HISTORY_FRAMES / 64) as usize;

/// A sliding set of places on the media clock, as a ring of bits.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    bits: [u64; WORDS],
    /// First place that is not covered yet.
    end: u64,
}

impl History {
    /// Moves on so that all places below `end` are covered; new ones start as not arrived.
    pub(super) fn advance(&mut self, end: u64) {
        if end.saturating_sub(self.end) >= HISTORY_FRAMES {
            self.bits = [0; WORDS];
        } else {
            for place in self.end..end {
                self.set(place, false);
            }
        }
        self.end = self.end.max(end);
    }

    /// Notes that a covered place has arrived; `false` if it had already.
    pub(super) fn insert(&mut self, place: u64) -> bool {
        let is_new = !self.contains(place);
        self.set(place, true);
        is_new
    }

    /// Whether a covered place has arrived; places too old to tell count as arrived.
    pub(super) fn contains(&self, place: u64) -> bool {
        if place + HISTORY_FRAMES < self.end {
            return true;
        }
        let (word, bit) = position(place);
        self.bits[word] & bit != 0
    }

    fn set(&mut self, place: u64, arrived: bool) {
        let (word, bit) = position(place);
        if arrived {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
    }
}

fn position(place: u64) -> (usize, u64) {
    let index = place % HISTORY_FRAMES;
    ((index / 64) as usize, 1 << (index % 64))
}

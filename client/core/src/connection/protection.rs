//! Redundancy of the own track towards the edge, by what the edge asks for: where even answers are lost, or come
//! from too far away, each datagram carries earlier frames once more.

use std::time::Duration;

/// Frames that are judged together: five seconds of talk.
const FRAMES: u32 = 250;
/// Share of frames, as 1/n, from which on loss counts.
const SHARE: u32 = 100;
/// Round trip from which on an answer comes too late for conversation.
const FAR: Duration = Duration::from_millis(150);
/// Judgements without loss in a row before less is sent again.
const CALM: u8 = 6;
/// Most earlier frames in a datagram.
const MAX_AGAIN: u8 = 2;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct UplinkProtection {
    again: u8,
    sent: u32,
    /// Frames that the edge asked for since.
    asked: u32,
    /// The same for a second time or more.
    asked_again: u32,
    calm: u8,
}

impl UplinkProtection {
    /// Earlier frames that each datagram carries.
    pub(super) const fn again(&self) -> u8 {
        self.again
    }

    /// The edge asked for a frame, for the first time or not.
    pub(super) const fn handle_asked(&mut self, is_first: bool) {
        if is_first {
            self.asked = self.asked.saturating_add(1);
        } else {
            self.asked_again = self.asked_again.saturating_add(1);
        }
    }

    /// A frame was sent to an edge so far away.
    pub(super) fn handle_sent(&mut self, round_trip: Duration) {
        self.sent += 1;
        if self.sent < FRAMES {
            return;
        }
        let unmended = if round_trip >= FAR { self.asked } else { self.asked_again };
        if unmended.saturating_mul(SHARE) >= self.sent {
            (self.again, self.calm) = ((self.again + 1).min(MAX_AGAIN), 0);
        } else if self.asked.saturating_mul(SHARE) >= self.sent {
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm == CALM {
                (self.again, self.calm) = (self.again.saturating_sub(1), 0);
            }
        }
        (self.sent, self.asked, self.asked_again) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_millis(30);

    #[test]
    fn what_repair_mends_is_not_sent_again_and_what_it_does_not_is_until_it_is_over() {
        let mut protection = UplinkProtection::default();
        let mut after = |asked: u32, asked_again: u32, round_trip| {
            (0..asked).for_each(|_| protection.handle_asked(true));
            (0..asked_again).for_each(|_| protection.handle_asked(false));
            (0..FRAMES).for_each(|_| protection.handle_sent(round_trip));
            protection.again()
        };
        assert_eq!(after(25, 2, NEAR), 0);
        assert_eq!(after(25, 3, NEAR), 1);
        assert_eq!(after(25, 0, FAR), 2, "an answer would be late");
        assert_eq!(after(25, 25, NEAR), 2);
        for left in [1, 0] {
            for _ in 0..CALM - 1 {
                assert_eq!(after(0, 0, NEAR), left + 1);
            }
            assert_eq!(after(0, 0, NEAR), left);
        }
    }
}

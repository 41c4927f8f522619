//! Redundancy by need, as a sender judges it by what its peer asks for: where even answers are lost, or come from far
//! away, each datagram carries earlier frames once more. Pure; speakers and relays share it. SPEC.md section 5.7.

use std::time::{Duration, Instant};

/// Time over which frames are judged together.
const PERIOD: Duration = Duration::from_secs(5);
/// Frames that are judged together at least: five seconds of one track.
const FRAMES: u32 = 250;
/// Share of frames that repair does not mend, as 1/n, from which on more is sent again: what a tenth of loss leaves
/// beside a single copy is less, and what a fifth leaves is more.
const UNMENDED_SHARE: u32 = 40;
/// Share of frames asked for, and of packets lost, as 1/n, below which less would do.
const LOST_SHARE: u32 = 100;
/// Round trip from which on questions make for a long delay: each is two frame periods and more, and a chain of
/// relays adds them up.
const FAR: Duration = Duration::from_millis(40);
/// Judgements without loss in a row before less is sent again: losses come in spells.
const CALM: u8 = 6;
/// Most earlier frames in a datagram.
const MAX_AGAIN: u8 = 2;

/// Path to the peer, as QUIC knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathState {
    /// Round trip, smoothed.
    pub round_trip: Duration,
    /// Packets sent since the connection began.
    pub sent_packets: u64,
    /// Of these, those taken for lost.
    pub lost_packets: u64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Protection {
    again: u8,
    /// When the first of the frames was sent that are judged next.
    since: Option<Instant>,
    sent: u32,
    /// Frames that the peer asked for since, for the first time.
    asked: u32,
    /// The same for a second time or more.
    asked_again: u32,
    /// Packets of the path when that was begun to be counted: sent, and lost.
    packets: (u64, u64),
    calm: u8,
}

impl Protection {
    /// Earlier frames of each track that a datagram is to carry, 0 to 2.
    #[must_use]
    pub const fn again(&self) -> u8 {
        self.again
    }

    /// The peer asked for a frame, for the first time or not.
    pub const fn handle_asked(&mut self, is_first: bool) {
        if is_first {
            self.asked = self.asked.saturating_add(1);
        } else {
            self.asked_again = self.asked_again.saturating_add(1);
        }
    }

    /// So many frames were sent. `path` is asked when it is time to judge.
    pub fn handle_sent(&mut self, now: Instant, frames: u32, path: impl FnOnce() -> PathState) {
        let since = *self.since.get_or_insert(now);
        self.sent = self.sent.saturating_add(frames);
        if self.sent < FRAMES || now.saturating_duration_since(since) < PERIOD {
            return;
        }
        let PathState { round_trip, sent_packets, lost_packets } = path();
        let sent = sent_packets.saturating_sub(self.packets.0);
        let lost = lost_packets.saturating_sub(self.packets.1);
        let unmended = if round_trip >= FAR { self.asked } else { self.asked_again };
        if unmended.saturating_mul(UNMENDED_SHARE) >= self.sent {
            (self.again, self.calm) = ((self.again + 1).min(MAX_AGAIN), 0);
        } else if self.asked.saturating_mul(LOST_SHARE) >= self.sent
            || (self.again > 0 && lost.saturating_mul(LOST_SHARE.into()) >= sent)
        {
            // Fewer are asked for because more is sent again.
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm == CALM {
                (self.again, self.calm) = (self.again.saturating_sub(1), 0);
            }
        }
        (self.since, self.sent, self.asked, self.asked_again) = (None, 0, 0, 0);
        self.packets = (sent_packets, lost_packets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender of so many tracks, over a path that loses packets.
    struct Sender {
        protection: Protection,
        now: Instant,
        tracks: u32,
        path: PathState,
    }

    impl Sender {
        fn new(tracks: u32, round_trip_ms: u64) -> Self {
            let round_trip = Duration::from_millis(round_trip_ms);
            let path = PathState { round_trip, sent_packets: 7, lost_packets: 3 };
            Self { protection: Protection::default(), now: Instant::now(), tracks, path }
        }

        /// Earlier frames in a datagram, after five seconds with so many frames asked for and packets lost.
        fn after(&mut self, asked: u32, asked_again: u32, lost_packets: u64) -> u8 {
            (0..asked).for_each(|_| self.protection.handle_asked(true));
            (0..asked_again).for_each(|_| self.protection.handle_asked(false));
            self.path.sent_packets += 250;
            self.path.lost_packets += lost_packets;
            for _ in 0..251 {
                self.now += Duration::from_millis(20);
                self.protection.handle_sent(self.now, self.tracks, || self.path);
            }
            self.protection.again()
        }
    }

    #[test]
    fn what_repair_mends_is_not_sent_again_and_what_it_does_not_is_until_it_is_over() {
        let mut near = Sender::new(1, 30);
        assert_eq!(near.after(25, 6, 25), 0);
        assert_eq!(near.after(25, 7, 25), 1);
        assert_eq!(near.after(25, 25, 25), 2);
        assert_eq!(near.after(25, 25, 25), 2);
        for left in [1, 0] {
            for _ in 0..CALM - 1 {
                assert_eq!(near.after(0, 0, 0), left + 1);
            }
            assert_eq!(near.after(0, 0, 0), left);
        }
    }

    #[test]
    fn far_away_a_copy_does_for_a_tenth_and_stays_while_packets_are_lost() {
        let mut far = Sender::new(1, 60);
        assert_eq!(far.after(25, 0, 25), 1);
        for _ in 0..2 * CALM {
            assert_eq!(far.after(2, 0, 25), 1, "the copy mends them, but they are lost");
        }
        for _ in 0..CALM - 1 {
            assert_eq!(far.after(0, 0, 2), 1);
        }
        assert_eq!(far.after(0, 0, 2), 0);
    }

    #[test]
    fn packets_that_are_only_late_have_nothing_sent_again() {
        let mut far = Sender::new(1, 60);
        assert_eq!(far.after(0, 0, 100), 0, "nobody misses a frame");
    }

    #[test]
    fn many_tracks_are_judged_as_seldom_as_one() {
        let mut trunk = Sender::new(8, 60);
        assert_eq!(trunk.after(25, 0, 0), 0, "one frame in eighty");
        assert_eq!(trunk.after(200, 0, 25), 1);
        for _ in 0..CALM - 1 {
            assert_eq!(trunk.after(0, 0, 0), 1);
        }
        assert_eq!(trunk.after(0, 0, 0), 0);
    }
}

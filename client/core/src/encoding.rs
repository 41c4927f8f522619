//! Settings of a speaker's encoder: the protection that the room asks for and the own way to the edge needs,
//! and less bitrate where that way is too narrow. SPEC.md section 8.22.
//!
//! Pure: counts of the connection and the room's word go in, [`Encoding`]s come out when they change.

use std::fmt;
use std::time::{Duration, Instant};

use tribune_protocol::domain::protection::Protection;
use tribune_protocol::quality::ppm;
use tribune_protocol::quality::protection_filter::{Losses, ProtectionFilter};

/// Time over which losses are measured.
const WINDOW: Duration = Duration::from_secs(5);
/// Frames sent in a window from which on it says something: a second of speech.
const MIN_FRAMES: u64 = 50;
/// Round trip to the edge above which a repair comes too late for listeners: with the wait for the frame
/// after the gap it takes as much and 20 ms, and a listener nearby waits for about that.
const LATE_ROUND_TRIP: Duration = Duration::from_millis(120);
/// Frames in a window that repair does not mend, in millionths, above which the way is taken for too
/// narrow. Radio that is merely bad loses as much for a moment, or half of it for long.
const NARROW_PPM: u32 = 100_000;
/// The same below which it may be wide again.
const WIDE_PPM: u32 = 10_000;
/// Windows in a row after which the bitrate follows: down after 15 s, up after 30 s.
const NARROW_WINDOWS: u32 = 3;
/// See [`NARROW_WINDOWS`].
const WIDE_WINDOWS: u32 = 6;
/// Steps of the bitrate, in percent. Below half of it speech suffers more from the codec than from losses.
const BITRATE_STEPS_PERCENT: [u8; 3] = [100, 75, 50];

/// Settings of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// Losses to protect against.
    pub protection: Protection,
    /// Bitrate, in percent of the one that the user has chosen.
    pub bitrate_percent: u8,
}

/// Frames on the own track, and the edge's requests for those that it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UplinkCounts {
    /// Frames sent.
    pub sent: u64,
    /// Frames asked for.
    pub asked: u64,
    /// Runs of such frames.
    pub runs: u64,
    /// Frames asked for again: the first repair was lost too.
    pub asked_again: u64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct EncodingPolicy {
    room: Protection,
    uplink: ProtectionFilter,
    counts: UplinkCounts,
    window_end: Option<Instant>,
    /// Place in [`BITRATE_STEPS_PERCENT`].
    step: usize,
    /// Windows in a row that were too narrow, or wide enough for more.
    narrow: u32,
    wide: u32,
    told: Encoding,
}

impl Default for Encoding {
    fn default() -> Self {
        Self { protection: Protection::default(), bitrate_percent: BITRATE_STEPS_PERCENT[0] }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protection {
            Protection::Nothing {} | Protection::Unknown => {
                f.write_str("speech is not protected against loss")?;
            }
            Protection::Single { loss_percent } => {
                write!(
                    f,
                    "speech is protected against the loss of {loss_percent} % of its frames"
                )?;
            }
            Protection::Bursts { loss_percent, span_ms } => {
                write!(
                    f,
                    "speech is protected against the loss of {loss_percent} % of its frames, up to {span_ms} ms \
                     at a time"
                )?;
            }
        }
        match self.bitrate_percent {
            100 => Ok(()),
            percent => write!(f, ", at {percent} % of its bitrate"),
        }
    }
}

impl EncodingPolicy {
    /// A relay has let us in: what the room needs has not been said yet.
    pub(crate) fn handle_joined(&mut self) {
        self.room = Protection::default();
    }

    /// The room's listeners lose that much.
    pub(crate) fn handle_protect(&mut self, protection: Protection) {
        self.room = protection.bounded();
    }

    /// Adds what a connection has counted since the last time.
    pub(crate) fn handle_uplink(
        &mut self,
        now: Instant,
        since: UplinkCounts,
        round_trip: Duration,
    ) {
        self.counts.add(since);
        let end = *self.window_end.get_or_insert(now + WINDOW);
        if end <= now {
            self.window_end = Some(now + WINDOW);
            let counts = std::mem::take(&mut self.counts);
            self.handle_window(now, counts, round_trip);
        }
    }

    /// The settings, if they have changed.
    pub(crate) fn poll_change(&mut self) -> Option<Encoding> {
        let encoding = Encoding {
            protection: self.room.and(self.uplink.protection()),
            bitrate_percent: BITRATE_STEPS_PERCENT[self.step],
        };
        let before = std::mem::replace(&mut self.told, encoding);
        (before != encoding).then_some(encoding)
    }

    fn handle_window(&mut self, now: Instant, counts: UplinkCounts, round_trip: Duration) {
        if counts.sent < MIN_FRAMES {
            return;
        }
        let is_late = round_trip > LATE_ROUND_TRIP;
        let unmended = if is_late { counts.asked } else { counts.asked_again };
        let loss_ppm = ppm(unmended, counts.sent);
        let run_length = (counts.asked * 1_000_000).checked_div(counts.runs);
        let run_length = run_length.map(|run| u32::try_from(run).unwrap_or(u32::MAX));
        self.uplink.handle_losses(now, Losses { loss_ppm, run_length });
        self.narrow = if loss_ppm > NARROW_PPM { self.narrow + 1 } else { 0 };
        self.wide = if loss_ppm < WIDE_PPM { self.wide + 1 } else { 0 };
        if self.narrow == NARROW_WINDOWS {
            self.narrow = 0;
            self.step = (self.step + 1).min(BITRATE_STEPS_PERCENT.len() - 1);
        }
        if self.wide == WIDE_WINDOWS {
            self.wide = 0;
            self.step = self.step.saturating_sub(1);
        }
    }
}

impl UplinkCounts {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.asked += other.asked;
        self.runs += other.runs;
        self.asked_again += other.asked_again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Duration = Duration::from_millis(20);
    const FAR: Duration = Duration::from_millis(200);
    const SINGLE: Protection = Protection::Single { loss_percent: 5 };
    const BURSTS: Protection = Protection::Bursts { loss_percent: 10, span_ms: 240 };

    struct Test {
        policy: EncodingPolicy,
        now: Instant,
        changes: Vec<Encoding>,
    }

    impl Test {
        fn new() -> Self {
            Self { policy: EncodingPolicy::default(), now: Instant::now(), changes: Vec::new() }
        }

        /// So many frames of a hundred are asked for, in so many runs, and so many again.
        fn pass(
            &mut self,
            seconds: u32,
            round_trip: Duration,
            [asked, runs, asked_again]: [u64; 3],
        ) {
            for half in 0..seconds * 2 {
                self.now += Duration::from_millis(500);
                // Two seconds' worth at once: what matters are the sums of a window.
                let is_told = half % 4 == 0;
                let since = UplinkCounts { sent: 100, asked, runs, asked_again };
                let since = if is_told { since } else { UplinkCounts::default() };
                self.policy.handle_uplink(self.now, since, round_trip);
                self.changes.extend(self.policy.poll_change());
            }
        }

        fn last(&self) -> Encoding {
            self.changes.last().copied().unwrap_or_default()
        }
    }

    #[test]
    fn the_room_is_followed_within_bounds_and_begins_anew() {
        let mut test = Test::new();
        let wild = Protection::Bursts { loss_percent: 100, span_ms: 10_000 };
        test.policy.handle_protect(wild);
        let bounded = Protection::Bursts { loss_percent: 20, span_ms: 240 };
        assert_eq!(test.policy.poll_change().unwrap().protection, bounded);
        assert_eq!(test.policy.poll_change(), None);
        test.policy.handle_joined();
        test.policy.handle_protect(bounded);
        assert_eq!(test.policy.poll_change(), None, "the next relay says the same");
        test.policy.handle_joined();
        assert_eq!(test.policy.poll_change(), Some(Encoding::default()));
        test.policy.handle_protect(Protection::Unknown);
        assert_eq!(test.policy.poll_change(), None);
    }

    #[test]
    fn repaired_losses_nearby_need_nothing() {
        let mut test = Test::new();
        test.pass(60, NEAR, [10, 9, 0]);
        assert_eq!(test.changes, []);
    }

    #[test]
    fn losses_that_repair_comes_too_late_for_are_protected_against() {
        let mut test = Test::new();
        test.pass(10, FAR, [8, 3, 1]);
        assert_eq!(test.last().protection, BURSTS);
        test.pass(29, FAR, [0, 0, 0]);
        assert_eq!(test.last().protection, BURSTS);
        test.pass(11, FAR, [0, 0, 0]);
        assert_eq!(test.last(), Encoding::default());
        assert_eq!(test.changes.len(), 2);
    }

    #[test]
    fn the_room_and_the_uplink_add_up() {
        let mut test = Test::new();
        test.policy.handle_protect(BURSTS);
        test.pass(10, NEAR, [20, 19, 3]);
        assert_eq!(test.changes.len(), 1);
        test.policy.handle_joined();
        test.pass(5, NEAR, [20, 19, 3]);
        assert_eq!(test.last().protection, SINGLE);
    }

    #[test]
    fn a_narrow_way_has_less_bitrate_until_it_is_wide() {
        let mut test = Test::new();
        let percent = |test: &Test| test.last().bitrate_percent;
        test.pass(12, NEAR, [40, 10, 20]);
        assert_eq!(percent(&test), 100, "a bad moment");
        test.pass(5, NEAR, [40, 10, 20]);
        assert_eq!(percent(&test), 75);
        test.pass(120, NEAR, [40, 10, 20]);
        assert_eq!(percent(&test), 50, "and no further");
        test.pass(60, NEAR, [10, 9, 2]);
        assert_eq!(percent(&test), 50, "in between nothing changes");
        test.pass(33, NEAR, [3, 3, 0]);
        assert_eq!(percent(&test), 75);
        test.pass(60, NEAR, [3, 3, 0]);
        assert_eq!(test.last(), Encoding::default());
        let text = Encoding { protection: BURSTS, bitrate_percent: 50 }.to_string();
        let wanted = "speech is protected against the loss of 10 % of its frames, up to 240 ms at a time, at \
                      50 % of its bitrate";
        assert_eq!(text, wanted);
    }

    #[test]
    fn who_says_little_learns_nothing() {
        let mut test = Test::new();
        for _ in 0..100 {
            test.now += WINDOW;
            let since = UplinkCounts { sent: 10, asked: 10, runs: 1, asked_again: 10 };
            test.policy.handle_uplink(test.now, since, FAR);
        }
        assert_eq!(test.policy.poll_change(), None);
    }
}

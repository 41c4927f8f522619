//! Clocks of the simulated hosts: each is ahead of true time by some amount, and runs too fast or too slow
//! by some share. Used by relays and clients.

use std::time::Duration;

use super::EPOCH_US;

/// Parts of a million, in nanoseconds of a millisecond.
const MILLION: i128 = 1_000_000;

/// A host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostClock {
    /// Initial offset ahead of true time, in microseconds.
    pub skew_us: i64,
    /// By how much it is too fast, in millionths; crystals are within 50.
    pub drift_ppm: i32,
}

impl HostClock {
    /// Reading of the host's monotonic clock after `now` of true time.
    #[must_use]
    pub fn elapsed(self, now: Duration) -> Duration {
        scaled(now, MILLION + i128::from(self.drift_ppm), MILLION)
    }

    /// How much true time has passed when the host's monotonic clock has counted so much; rounded up, so
    /// that a deadline is over then.
    #[must_use]
    pub fn true_time(self, elapsed: Duration) -> Duration {
        let rate = MILLION + i128::from(self.drift_ppm);
        if self.drift_ppm == 0 {
            return elapsed;
        }
        scaled(elapsed, MILLION, rate) + Duration::from_nanos(1)
    }

    /// The host's Unix time then, in microseconds.
    #[must_use]
    pub fn unix_us(self, now: Duration) -> u64 {
        (EPOCH_US + self.elapsed(now).as_micros() as u64).wrapping_add_signed(self.skew_us)
    }
}

fn scaled(time: Duration, by: i128, over: i128) -> Duration {
    let nanos = time.as_nanos() as i128 * by / over;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_a_clocks_own_time_is_over_when_it_says_so() {
        for drift_ppm in [-200, -1, 0, 1, 200] {
            let clock = HostClock { skew_us: 0, drift_ppm };
            for nanos in [0, 1, 999, 1_500_000_000, 3_600_000_000_001] {
                let due = Duration::from_nanos(nanos);
                assert!(clock.elapsed(clock.true_time(due)) >= due, "{drift_ppm} ppm, {nanos} ns");
            }
        }
        let fast = HostClock { skew_us: -5, drift_ppm: 200 };
        assert_eq!(fast.unix_us(Duration::from_secs(10)), EPOCH_US + 10_002_000 - 5);
    }
}

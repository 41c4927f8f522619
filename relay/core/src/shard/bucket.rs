//! A token bucket: so many at once, so many a second. Pure; used per connection by the shard.

use std::time::{Duration, Instant};

/// Counts the messages that a connection may still send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    burst: u32,
    /// Time in which one token comes back.
    refill: Duration,
    tokens: u32,
    counted_to: Instant,
}

/// Repairs that a peer has earned, one by each frame that it was given: what it costs is in proportion to
/// the tracks that it hears.
#[derive(Debug)]
pub(super) struct RepairCredit {
    burst: u32,
    left: u32,
    /// Frames given up to which it has earned.
    counted: u64,
}

impl Bucket {
    /// A full bucket of `burst` tokens, refilled at `per_second`.
    pub(super) fn new(now: Instant, burst: u32, per_second: u32) -> Self {
        let refill = Duration::from_secs(1) / per_second.max(1);
        Self { burst, refill, tokens: burst, counted_to: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.counted_to);
        let back = (elapsed.as_nanos() / self.refill.as_nanos().max(1)).min(u128::from(self.burst));
        if back > 0 {
            self.tokens = self.burst.min(self.tokens + back as u32);
            self.counted_to = if self.tokens == self.burst {
                now
            } else {
                self.counted_to + self.refill * back as u32
            };
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

impl RepairCredit {
    /// All that is allowed at once.
    pub(super) const fn new(burst: u32) -> Self {
        Self { burst, left: burst, counted: 0 }
    }

    /// Takes one, where so many frames have been `given` so far.
    pub(super) fn take(&mut self, given: u64) -> bool {
        let earned = given.saturating_sub(self.counted).min(self.burst.into()) as u32;
        self.counted = given;
        self.left = self.burst.min(self.left + earned);
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start, 3, 10);
        let taken = |bucket: &mut Bucket, at_ms: u64| {
            (0..10).filter(|_| bucket.take(start + Duration::from_millis(at_ms))).count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 250), 2);
        assert_eq!(taken(&mut bucket, 300), 1);
        assert_eq!(taken(&mut bucket, 60_000), 3);
    }
}

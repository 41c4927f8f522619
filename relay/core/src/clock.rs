//! Unix time out of the monotonic clock, so that no machine of the core reads a clock.

use std::time::Instant;

/// A fixed relation between the monotonic clock and Unix time, so that the core reads neither.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// An instant,
    pub at: Instant,
    /// and what Unix time it was, in microseconds.
    pub unix_us: u64,
}

impl WallClock {
    /// Unix time at `now`, in microseconds.
    #[must_use]
    pub fn unix_us(&self, now: Instant) -> u64 {
        self.unix_us + now.saturating_duration_since(self.at).as_micros() as u64
    }
}

//! Unix time from the monotonic clock: the core reads no clock itself.

use std::time::Instant;

/// Fixed relation between the monotonic clock and Unix time.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// An instant of the monotonic clock.
    pub at: Instant,
    /// Unix time at that instant, in microseconds.
    pub unix_us: u64,
}

impl WallClock {
    /// Unix time at `now`, in microseconds.
    #[must_use]
    pub fn unix_us(&self, now: Instant) -> u64 {
        self.unix_us + now.saturating_duration_since(self.at).as_micros() as u64
    }
}

//! The local clock: microseconds since the Unix epoch that never jump.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One reading of the wall clock, carried on by the monotonic clock: when the wall clock is set,
/// latencies stay right.
#[derive(Debug, Clone, Copy)]
pub struct LocalClock {
    started: Instant,
    started_unix_us: u64,
}

impl LocalClock {
    /// Reads the wall clock, once.
    #[must_use]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_unix_us = u64::try_from(since_epoch.as_micros()).unwrap_or(0);
        Self { started: Instant::now(), started_unix_us }
    }

    /// Microseconds since the Unix epoch at an instant, before or after the start.
    #[must_use]
    pub fn us_at(&self, at: Instant) -> u64 {
        let micros = |from: Instant, to: Instant| to.duration_since(from).as_micros() as u64;
        if at >= self.started {
            self.started_unix_us.saturating_add(micros(self.started, at))
        } else {
            self.started_unix_us.saturating_sub(micros(at, self.started))
        }
    }

    /// Microseconds since the Unix epoch now.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.us_at(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_runs_with_the_monotonic_clock_in_both_directions() {
        let clock = LocalClock::start();
        let start = clock.us_at(clock.started);
        assert_eq!(clock.us_at(clock.started + Duration::from_millis(5)), start + 5_000);
        if let Some(before) = clock.started.checked_sub(Duration::from_millis(5)) {
            assert_eq!(clock.us_at(before), start - 5_000);
        }
    }
}

//! The local clock: microseconds since the Unix epoch that never jump.

use std::time::Instant;

/// One reading of the wall clock, carried on by the monotonic clock: when the wall clock is set,
/// latencies stay right.
#[derive(Debug, Clone, Copy)]
pub struct LocalClock {
    started: Instant,
    started_unix_us: u64,
}

impl LocalClock {
    /// A clock that showed `unix_us`, in microseconds since the Unix epoch, at `at`.
    #[must_use]
    pub const fn new(at: Instant, unix_us: u64) -> Self {
        Self { started: at, started_unix_us: unix_us }
    }

    /// Microseconds since the Unix epoch at an instant, before or after the reading.
    #[must_use]
    pub fn us_at(&self, at: Instant) -> u64 {
        let micros = |from: Instant, to: Instant| to.duration_since(from).as_micros() as u64;
        if at >= self.started {
            self.started_unix_us.saturating_add(micros(self.started, at))
        } else {
            self.started_unix_us.saturating_sub(micros(at, self.started))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_runs_with_the_monotonic_clock_in_both_directions() {
        let clock = LocalClock::new(Instant::now(), 1_700_000_000_000_000);
        let start = clock.us_at(clock.started);
        assert_eq!(clock.us_at(clock.started + Duration::from_millis(5)), start + 5_000);
        if let Some(before) = clock.started.checked_sub(Duration::from_millis(5)) {
            assert_eq!(clock.us_at(before), start - 5_000);
        }
    }
}

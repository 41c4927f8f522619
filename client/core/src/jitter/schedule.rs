//! The times at which sound is played, without the noise of a busy machine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Length of a bucket in µs, and how many are kept: 10 s, after which a clock that was set back is followed.
const BUCKET_US: i64 = 1_000_000;
const BUCKETS: usize = 10;

/// Schedule of playout. A tick comes late when the machine is busy, and never early; its sound is nevertheless
/// heard right after that of the tick before. So the least lateness of the last seconds is the schedule.
#[derive(Debug, Clone, Default)]
pub struct PlayoutSchedule {
    /// Time of the first tick.
    start: Option<Instant>,
    /// Samples at 48 kHz before this tick.
    played: u64,
    /// (start of the bucket, least of tick time − samples played until then), in µs, oldest first.
    buckets: VecDeque<(i64, i64)>,
}

impl PlayoutSchedule {
    /// A tick at `now` that plays `samples` at 48 kHz: when it would have come had none been late.
    pub fn handle_tick(&mut self, now: Instant, samples: usize) -> Instant {
        let start = *self.start.get_or_insert(now);
        let at_us = super::micros(now.saturating_duration_since(start));
        let played_us = super::samples_us(self.played);
        self.played += samples as u64;
        self.record(at_us, at_us - played_us);
        let least_us = self.buckets.iter().map(|&(_, least)| least).min().unwrap_or(0);
        let due_us = played_us.saturating_add(least_us).max(0);
        start + Duration::from_micros(due_us.unsigned_abs())
    }

    fn record(&mut self, at_us: i64, late_us: i64) {
        match self.buckets.back_mut() {
            Some((start, least)) if at_us - *start < BUCKET_US => *least = (*least).min(late_us),
            Some(_) | None => {
                if self.buckets.len() == BUCKETS {
                    self.buckets.pop_front();
                }
                self.buckets.push_back((at_us, late_us));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(5);

    #[test]
    fn late_ticks_do_not_move_the_schedule() {
        let start = Instant::now();
        let mut schedule = PlayoutSchedule::default();
        for n in 0..1_000_u32 {
            let late = Duration::from_millis(u64::from(n * 7 % 40)) * u32::from(n > 0);
            assert_eq!(schedule.handle_tick(start + TICK * n + late, 240), start + TICK * n);
        }
    }

    #[test]
    fn a_first_tick_that_was_late_is_found_out_and_a_standstill_is_followed() {
        let start = Instant::now();
        let mut schedule = PlayoutSchedule::default();
        let first = start + Duration::from_millis(3);
        assert_eq!(schedule.handle_tick(first, 240), first);
        assert!(schedule.handle_tick(start + TICK, 240) <= start + TICK + TICK);
        // Playout stands still for a second; 11 s later nobody remembers.
        let mut due = start;
        for n in 2..2_400_u32 {
            due = schedule.handle_tick(start + TICK * n + Duration::from_secs(1), 240);
        }
        assert!(due >= start + TICK * 2_399 + Duration::from_secs(1));
    }
}

//! Delay line: hands on items after a fixed time, half of a simulated round trip. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Items that wait in a line: packets of ten thousand listeners at 50 per second and half a second of
/// delay. Further ones are dropped, as by a full router, and counted.
const MAX_WAITING: usize = 250_000;

/// Items on their way. All have the same delay, so they leave in the order of arrival.
#[derive(Debug)]
pub(crate) struct DelayLine<T> {
    delay: Duration,
    waiting: VecDeque<(Instant, T)>,
    dropped: u64,
}

impl<T> DelayLine<T> {
    /// An empty line.
    pub(crate) const fn new(delay: Duration) -> Self {
        Self { delay, waiting: VecDeque::new(), dropped: 0 }
    }

    /// Adds an item. `now` does not run backwards.
    pub(crate) fn push(&mut self, now: Instant, item: T) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back((now, item));
        } else {
            self.dropped += 1;
        }
    }

    /// Next item that is due, and when it was added.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<(Instant, T)> {
        let (since, _) = self.waiting.front()?;
        if now.saturating_duration_since(*since) < self.delay {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Items for which there was no room.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_thing_waits_the_delay_and_keeps_its_place() {
        let start = Instant::now();
        let mut line = DelayLine::new(10 * MS);
        line.push(start, 'a');
        line.push(start + 3 * MS, 'b');
        assert_eq!(line.poll(start + 10 * MS - Duration::from_nanos(1)), None);
        assert_eq!(line.poll(start + 10 * MS), Some((start, 'a')));
        assert_eq!(line.poll(start + 10 * MS), None);
        assert_eq!(line.poll(start + 40 * MS), Some((start + 3 * MS, 'b')));
        assert_eq!(line.poll(start + 40 * MS), None);
    }

    #[test]
    fn without_a_delay_all_leaves_at_once() {
        let now = Instant::now();
        let mut line = DelayLine::new(Duration::ZERO);
        line.push(now, 1);
        line.push(now, 2);
        assert_eq!(line.poll(now), Some((now, 1)));
        assert_eq!(line.poll(now), Some((now, 2)));
    }

    #[test]
    fn a_full_line_drops_what_comes_last() {
        let now = Instant::now();
        let mut line = DelayLine::new(MS);
        (0..=MAX_WAITING).for_each(|number| line.push(now, number));
        assert_eq!(line.dropped(), 1);
        let left = std::iter::from_fn(|| line.poll(now + MS)).last();
        assert_eq!(left, Some((now, MAX_WAITING - 1)));
    }
}

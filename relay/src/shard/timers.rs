//! When connections want to be called. Each frame sent moves a connection's deadline later; the heap
//! is touched only when one moves earlier, so that a thousand listeners cost no heap work per frame.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A queue of deadlines, at most one in force per connection.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, u32, u32)>>,
}

/// The deadline of one connection that is in the queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Armed(Option<Instant>);

impl Timers {
    /// Makes sure that the connection is called at `deadline` at the latest.
    pub(super) fn arm(&mut self, armed: &mut Armed, deadline: Instant, slot: u32, generation: u32) {
        if armed.0.is_none_or(|at| deadline < at) {
            armed.0 = Some(deadline);
            self.heap.push(Reverse((deadline, slot, generation)));
        }
    }

    /// When to call [`Self::poll_due`] next. May be early, never late.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// A connection whose time may have come: slot, generation, and the deadline that was queued.
    pub(super) fn poll_due(&mut self, now: Instant) -> Option<(u32, u32, Instant)> {
        let Reverse((at, slot, generation)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some((slot, generation, at))
    }
}

impl Armed {
    /// Whether `at` is the deadline in force; it is not any more then.
    pub(super) fn disarm(&mut self, at: Instant) -> bool {
        let in_force = self.0 == Some(at);
        if in_force {
            self.0 = None;
        }
        in_force
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_earlier_deadlines_reach_the_heap() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        let mut armed = Armed::default();
        for ms in [50, 60, 70, 40] {
            timers.arm(&mut armed, at(ms), 1, 1);
        }
        assert_eq!(timers.heap.len(), 2);
        assert_eq!(timers.poll_due(at(30)), None);
        assert_eq!(timers.poll_due(at(100)), Some((1, 1, at(40))));
        assert!(armed.disarm(at(40)));
        assert_eq!(timers.poll_due(at(100)), Some((1, 1, at(50))));
        assert!(!armed.disarm(at(50)));
    }
}

//! Scheduled events, soonest first; at one instant in the order of scheduling. For the
//! simulations, whose only clock it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

#[derive(Debug)]
struct Scheduled<W> {
    at: Duration,
    order: u64,
    what: W,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Schedule<W> {
    heap: BinaryHeap<Reverse<Scheduled<W>>>,
    order: u64,
}

impl<W> Default for Schedule<W> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), order: 0 }
    }
}

impl<W> Schedule<W> {
    pub(crate) fn push(&mut self, at: Duration, what: W) {
        self.order += 1;
        self.heap.push(Reverse(Scheduled { at, order: self.order, what }));
    }

    /// Next event, if it is not after `end`.
    pub(crate) fn pop_until(&mut self, end: Duration) -> Option<(Duration, W)> {
        if self.heap.peek().is_none_or(|Reverse(next)| next.at > end) {
            return None;
        }
        self.heap.pop().map(|Reverse(next)| (next.at, next.what))
    }
}

impl<W> PartialEq for Scheduled<W> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<W> Eq for Scheduled<W> {}

impl<W> PartialOrd for Scheduled<W> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<W> Ord for Scheduled<W> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

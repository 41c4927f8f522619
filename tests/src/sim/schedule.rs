//! What is to happen, soonest first; at one instant in the order in which it was scheduled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{Arrival, HostId};

#[derive(Debug)]
pub(super) enum What {
    Packet { to: HostId, arrival: Arrival },
    Wake { host: HostId },
}

#[derive(Debug)]
struct Scheduled {
    at: Duration,
    order: u64,
    what: What,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    heap: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
}

impl Schedule {
    pub(super) fn push(&mut self, at: Duration, what: What) {
        self.order += 1;
        self.heap.push(Reverse(Scheduled { at, order: self.order, what }));
    }

    /// What happens next, if that is not after `end`.
    pub(super) fn pop_until(&mut self, end: Duration) -> Option<(Duration, What)> {
        if self.heap.peek().is_none_or(|Reverse(next)| next.at > end) {
            return None;
        }
        self.heap.pop().map(|Reverse(next)| (next.at, next.what))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

//! Deadlines of connections. Each frame sent moves a connection's deadline later, and each
//! acknowledgement too, so a deadline is only noted, in an array by slot; the queue holds one early
//! enough check of it. A check costs no memory of the connection itself.
//!
//! The queue is a wheel of buckets of a millisecond: a check is put into and taken out of it in
//! constant time. QUIC's timers want no finer clock (RFC 9002 section 6.1.2).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::messages::RoomId;

/// Length of a bucket, a millisecond. Deadlines are met with a delay of less than this.
const TICK: Duration = Duration::from_millis(1);
/// Buckets. A deadline further away is checked once a turn of the wheel, which costs next to nothing.
const BUCKETS: u64 = 256;

/// The deadlines of a shard's connections.
#[derive(Debug)]
pub(super) struct Timers {
    /// When bucket 0 of turn 0 began.
    epoch: Instant,
    by_slot: Vec<Noted>,
    buckets: Vec<Vec<u32>>,
    /// A bit for each bucket that is not empty.
    filled: [u64; (BUCKETS / 64) as usize],
    /// The first tick that has not been checked to its end.
    tick: u64,
}

/// Takes the first room off a queue of them that is due.
pub(super) fn pop_due(queue: &mut BTreeSet<(Instant, RoomId)>, now: Instant) -> Option<RoomId> {
    let (_, room) = queue.first().copied().filter(|(due, _)| *due <= now)?;
    queue.pop_first();
    Some(room)
}

/// Deadline and check of one slot.
#[derive(Debug, Clone, Copy, Default)]
struct Noted {
    /// Deadline of its connection.
    deadline: Option<Instant>,
    /// Tick of the check that is in the queue.
    queued: Option<u64>,
}

impl Timers {
    /// No deadlines. None is ever asked for that lies before `epoch`.
    pub(super) fn new(epoch: Instant) -> Self {
        let buckets = (0..BUCKETS).map(|_| Vec::new()).collect();
        Self { epoch, by_slot: Vec::new(), buckets, filled: [0; 4], tick: 0 }
    }

    /// Sets the deadline of a slot's connection, in place of the one before.
    pub(super) fn set(&mut self, slot: u32, deadline: Option<Instant>) {
        let index = slot as usize;
        if self.by_slot.len() <= index {
            self.by_slot.resize_with(index + 1, Noted::default);
        }
        self.by_slot[index].deadline = deadline;
        if let Some(deadline) = deadline {
            self.queue(slot, deadline);
        }
    }

    /// When to call [`Self::poll_due`] next. May be early, and up to a [`TICK`] late.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ahead = (0..BUCKETS).find(|ahead| self.is_filled(self.tick + ahead))?;
        Some(self.epoch + Duration::from_millis(self.tick + ahead))
    }

    /// A slot whose deadline has come. It has none any more then.
    pub(super) fn poll_due(&mut self, now: Instant) -> Option<u32> {
        let now_tick = now.saturating_duration_since(self.epoch).as_millis() as u64;
        while self.tick <= now_tick {
            let tick = self.tick;
            while let Some(slot) = self.take(tick) {
                let noted = &mut self.by_slot[slot as usize];
                if noted.queued != Some(tick) {
                    continue; // an earlier check was queued after this one
                }
                noted.queued = None;
                match noted.deadline {
                    Some(deadline) if deadline <= now => {
                        noted.deadline = None;
                        return Some(slot);
                    }
                    Some(deadline) => self.queue(slot, deadline),
                    None => {}
                }
            }
            if self.filled == [0; 4] {
                self.tick = now_tick + 1;
            } else {
                self.tick += 1;
            }
        }
        None
    }

    fn queue(&mut self, slot: u32, deadline: Instant) {
        let after = deadline.saturating_duration_since(self.epoch).as_nanos();
        let wanted = after.div_ceil(TICK.as_nanos()) as u64;
        let tick = wanted.clamp(self.tick, self.tick + BUCKETS - 1);
        let noted = &mut self.by_slot[slot as usize];
        if noted.queued.is_none_or(|queued| tick < queued) {
            noted.queued = Some(tick);
            let bucket = (tick % BUCKETS) as usize;
            self.buckets[bucket].push(slot);
            self.filled[bucket / 64] |= 1 << (bucket % 64);
        }
    }

    fn take(&mut self, tick: u64) -> Option<u32> {
        let bucket = (tick % BUCKETS) as usize;
        let slot = self.buckets[bucket].pop();
        if slot.is_none() {
            self.filled[bucket / 64] &= !(1 << (bucket % 64));
        }
        slot
    }

    const fn is_filled(&self, tick: u64) -> bool {
        let bucket = (tick % BUCKETS) as usize;
        self.filled[bucket / 64] & 1 << (bucket % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_deadline_that_moves_later_costs_no_place_in_the_queue() {
        let (start, mut timers) = timers();
        for ms in [50, 60, 70, 40] {
            timers.set(1, Some(start + Duration::from_millis(ms)));
        }
        let queued: usize = timers.buckets.iter().map(Vec::len).sum();
        assert_eq!(queued, 2, "for 50 and for 40");
        assert_eq!(timers.poll_due(start + Duration::from_millis(39)), None);
        assert_eq!(timers.poll_due(start + Duration::from_millis(40)), Some(1));
        assert_eq!(timers.poll_due(start + Duration::from_secs(9)), None);
    }

    #[test]
    fn a_deadline_that_is_taken_back_does_not_come() {
        let (start, mut timers) = timers();
        timers.set(0, Some(start + Duration::from_millis(90)));
        timers.set(0, None);
        assert_eq!(timers.poll_due(start + Duration::from_secs(1)), None);
        timers.set(0, Some(start));
        assert_eq!(
            timers.poll_due(start + Duration::from_millis(1_001)),
            Some(0),
            "late, but soon"
        );
    }

    proptest! {
        /// A caller that sleeps until the next check, and checks, meets every deadline within a tick.
        #[test]
        fn each_deadline_is_met_once_and_in_time(
            steps in prop::collection::vec((0..4_u32, 0..900_u64, 0..40_000_u64), 1..60),
        ) {
            let (start, mut timers) = timers();
            let mut now = start;
            let mut wanted = [None; 4];
            let sleep = |now: &mut Instant, until: Instant, timers: &mut Timers, wanted: &mut [Option<Instant>; 4]| {
                loop {
                    let next = timers.poll_timeout().map_or(until, |at| at.clamp(*now, until));
                    *now = next;
                    while let Some(slot) = timers.poll_due(*now) {
                        let deadline = wanted[slot as usize].take();
                        prop_assert!(deadline.is_some_and(|deadline: Instant| deadline <= *now));
                    }
                    for deadline in wanted.iter().flatten() {
                        prop_assert!(*deadline + TICK > *now, "{:?} late", *now - *deadline);
                    }
                    if next >= until {
                        return Ok(());
                    }
                }
            };
            for (slot, ms, pause_us) in steps {
                let deadline = now + Duration::from_millis(ms);
                timers.set(slot, Some(deadline));
                wanted[slot as usize] = Some(deadline);
                let until = now + Duration::from_micros(pause_us);
                sleep(&mut now, until, &mut timers, &mut wanted)?;
            }
            let until = now + Duration::from_secs(2);
            sleep(&mut now, until, &mut timers, &mut wanted)?;
            prop_assert_eq!(wanted, [None; 4]);
        }
    }

    fn timers() -> (Instant, Timers) {
        let start = Instant::now();
        (start, Timers::new(start))
    }
}

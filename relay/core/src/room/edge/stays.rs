//! Stays of participants at this relay: who came, how long they stay, at which lengths. A lost connection that is
//! back within the grace goes on with its stay. Part of [`super::counts`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tribune_protocol::ids::ParticipantId;
use tribune_protocol::limits::RECONNECT_GRACE;
use tribune_protocol::statistics::RETENTION_S;

/// Lost connections of a room that are remembered: all of a relay whose network fails.
const MAX_LOST: usize = 10_000;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Stays {
    open: BTreeMap<ParticipantId, Stay>,
    /// Open stays by their beginning: those that have become as long as something are a range of it.
    by_beginning: BTreeSet<(Instant, ParticipantId)>,
    lost: BTreeMap<ParticipantId, (Stay, Instant)>,
    /// Stays that have been as long as each of [`RETENTION_S`] at this relay.
    reached: [u64; RETENTION_S.len()],
    joins: Joins,
    gone: u64,
    resumed: u64,
    /// Up to when `reached` is counted.
    counted_to: Instant,
    /// Time at this relay of stays that are over.
    over: Duration,
    /// Sum of the arrivals of open stays, since `epoch`.
    arrivals: Duration,
    epoch: Instant,
}

/// Joins here, by their age.
#[derive(Debug)]
struct Joins {
    /// When they were, joins of a second as one: as many as the longest stay has seconds at most.
    at: VecDeque<(Instant, u64)>,
    /// Number of the first one in the queue, over all that there ever were.
    first: u64,
    /// For each of [`RETENTION_S`], the number of the first one that is not as old.
    next: [u64; RETENTION_S.len()],
    /// Joins that are as old as each of [`RETENTION_S`].
    old_enough: [u64; RETENTION_S.len()],
}

#[derive(Debug, Clone, Copy)]
struct Stay {
    /// Beginning of the whole stay, at other relays too.
    began: Instant,
    /// Arrival at this relay.
    arrived: Instant,
}

impl Stays {
    /// No stays.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            open: BTreeMap::new(),
            by_beginning: BTreeSet::new(),
            lost: BTreeMap::new(),
            reached: [0; RETENTION_S.len()],
            joins: Joins {
                at: VecDeque::new(),
                first: 0,
                next: [0; RETENTION_S.len()],
                old_enough: [0; RETENTION_S.len()],
            },
            gone: 0,
            resumed: 0,
            counted_to: now,
            over: Duration::ZERO,
            arrivals: Duration::ZERO,
            epoch: now,
        }
    }

    /// Somebody has come in. `stayed`: the stay goes on that has lasted for as long elsewhere. Whether it is a new
    /// stay.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        who: ParticipantId,
        stayed: Option<Duration>,
    ) -> bool {
        self.advance(now);
        self.expire_lost(now);
        let lost = self.lost.remove(&who);
        let stay = match (lost, stayed) {
            (Some((stay, at)), _) => {
                self.over += now.saturating_duration_since(at);
                self.reach(at.saturating_duration_since(stay.began), now, stay.began);
                Stay { arrived: now, ..stay }
            }
            (None, Some(stayed)) => {
                self.resumed += 1;
                Stay { began: now.checked_sub(stayed).unwrap_or(now), arrived: now }
            }
            (None, None) => Stay { began: now, arrived: now },
        };
        self.open.insert(who, stay);
        self.by_beginning.insert((stay.began, who));
        self.arrivals += stay.arrived.saturating_duration_since(self.epoch);
        let is_new = lost.is_none() && stayed.is_none();
        if is_new {
            self.joins.add(now);
        }
        is_new
    }

    /// Somebody has left, or the connection is lost.
    pub(crate) fn end(&mut self, now: Instant, who: ParticipantId, is_lost: bool) {
        self.advance(now);
        let Some(stay) = self.open.remove(&who) else { return };
        self.by_beginning.remove(&(stay.began, who));
        self.arrivals =
            self.arrivals.saturating_sub(stay.arrived.saturating_duration_since(self.epoch));
        self.over += now.saturating_duration_since(stay.arrived);
        if is_lost {
            self.forget_lost(now);
            self.lost.insert(who, (stay, now));
        } else {
            self.gone += 1;
        }
    }

    /// Everybody has left.
    pub(crate) fn end_all(&mut self, now: Instant) {
        let everybody: Vec<_> = self.open.keys().copied().collect();
        for who in everybody {
            self.end(now, who, false);
        }
        self.gone += self.lost.len() as u64;
        self.lost.clear();
    }

    /// When they began to be counted.
    pub(crate) const fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Stays that are over, or go on elsewhere, up to now.
    pub(crate) fn gone(&mut self, now: Instant) -> u64 {
        self.expire_lost(now);
        self.gone
    }

    /// Stays that go on here after another relay.
    pub(crate) const fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Whether connections are lost that may come back.
    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Participants inside.
    pub(crate) fn inside(&self) -> u64 {
        self.open.len() as u64
    }

    /// Time of all stays at this relay up to now.
    pub(crate) fn listened(&self, now: Instant) -> Duration {
        let inside = u32::try_from(self.open.len()).unwrap_or(u32::MAX);
        let so_far = now.saturating_duration_since(self.epoch) * inside;
        self.over + so_far.saturating_sub(self.arrivals)
    }

    /// Stays that have been as long as each of [`RETENTION_S`], up to now.
    pub(crate) fn reached(&mut self, now: Instant) -> &[u64] {
        self.advance(now);
        &self.reached
    }

    /// Joins as long ago as each of [`RETENTION_S`], up to now.
    pub(crate) fn old_enough(&mut self, now: Instant) -> &[u64] {
        self.joins.advance(now);
        &self.joins.old_enough
    }

    /// Counts the stays that have become as long as something since the last time.
    fn advance(&mut self, now: Instant) {
        let from = self.counted_to;
        if from >= now {
            return;
        }
        self.counted_to = now;
        for (count, after_s) in self.reached.iter_mut().zip(RETENTION_S) {
            let after = Duration::from_secs(after_s.into());
            let Some(to) = now.checked_sub(after) else { break };
            // Those that began at or before `to`, and after what was counted before.
            let newest = (to, ParticipantId(u64::MAX));
            let counted = from.checked_sub(after).map(|from| (from, ParticipantId(u64::MAX)));
            *count += match counted {
                Some(counted) => self
                    .by_beginning
                    .range((std::ops::Bound::Excluded(counted), std::ops::Bound::Included(newest)))
                    .count() as u64,
                None => self.by_beginning.range(..=newest).count() as u64,
            };
        }
    }

    /// Counts what a lost stay has become as long as in the meantime.
    fn reach(&mut self, before: Duration, now: Instant, began: Instant) {
        let after = now.saturating_duration_since(began);
        for (count, after_s) in self.reached.iter_mut().zip(RETENTION_S) {
            let length = Duration::from_secs(after_s.into());
            *count += u64::from(before < length && length <= after);
        }
    }

    /// Forgets who is lost for too long, or, of too many, who is lost for the longest time.
    fn forget_lost(&mut self, now: Instant) {
        if self.lost.len() < MAX_LOST {
            return;
        }
        self.expire_lost(now);
        if self.lost.len() >= MAX_LOST {
            let oldest = self.lost.iter().min_by_key(|(_, (_, at))| *at).map(|(who, _)| *who);
            let forgotten = oldest.and_then(|who| self.lost.remove(&who));
            self.gone += u64::from(forgotten.is_some());
        }
    }

    fn expire_lost(&mut self, now: Instant) {
        let before = self.lost.len();
        self.lost.retain(|_, (_, at)| now < *at + RECONNECT_GRACE);
        self.gone += (before - self.lost.len()) as u64;
    }
}

impl Joins {
    fn add(&mut self, now: Instant) {
        match self.at.back_mut() {
            Some((at, count)) if now.saturating_duration_since(*at) < Duration::from_secs(1) => {
                *count += 1;
            }
            Some(_) | None => self.at.push_back((now, 1)),
        }
    }

    fn advance(&mut self, now: Instant) {
        for ((next, count), after_s) in
            self.next.iter_mut().zip(&mut self.old_enough).zip(RETENTION_S)
        {
            let after = Duration::from_secs(after_s.into());
            while let Some((at, joins)) = self.at.get((*next - self.first) as usize)
                && *at + after <= now
            {
                *count += joins;
                *next += 1;
            }
        }
        // The longest stay is the last.
        while self.first < self.next[RETENTION_S.len() - 1] {
            self.at.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: ParticipantId = ParticipantId(1);
    const B: ParticipantId = ParticipantId(2);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn time_and_lengths_of_stays_add_up() {
        let start = Instant::now() + s(100_000);
        let mut stays = Stays::new(start);
        assert!(stays.begin(start, A, None));
        assert!(stays.begin(start + s(5), B, None));
        assert_eq!(stays.listened(start + s(10)), s(15));
        assert_eq!(stays.reached(start + s(10))[..2], [1, 0]);
        assert_eq!(stays.old_enough(start + s(34))[..3], [2, 1, 0]);
        stays.end(start + s(35), A, false);
        assert_eq!(stays.reached(start + s(35))[..3], [2, 2, 0]);
        assert_eq!((stays.listened(start + s(65)), stays.inside()), (s(35 + 60), 1));
        assert_eq!(stays.reached(start + s(65))[..3], [2, 2, 1]);
    }

    #[test]
    fn a_lost_connection_that_is_back_in_time_goes_on() {
        let start = Instant::now() + s(100_000);
        let mut stays = Stays::new(start);
        assert!(stays.begin(start, A, None));
        stays.end(start + s(8), A, true);
        assert!(!stays.begin(start + s(12), A, None), "the same stay");
        assert_eq!(stays.listened(start + s(12)), s(12));
        assert_eq!(stays.reached(start + s(12))[..2], [1, 0]);
        stays.end(start + s(20), A, true);
        assert!(stays.begin(start + s(51), A, None), "another stay");
        assert_eq!(stays.listened(start + s(51)), s(20));
        assert_eq!(stays.gone(start + s(51)), 1);
    }

    #[test]
    fn a_stay_that_began_elsewhere_counts_from_there_on() {
        let start = Instant::now() + s(100_000);
        let mut stays = Stays::new(start);
        assert!(!stays.begin(start, A, Some(s(25))));
        assert_eq!(stays.reached(start + s(5))[..3], [0, 1, 0]);
        assert_eq!(stays.listened(start + s(5)), s(5));
    }

    proptest! {
        /// Against a list of all stays, read at the end.
        #[test]
        fn as_a_list_of_stays_says(
            stays in proptest::collection::vec((0_u64..4_000, 0_u64..4_000), 1..40),
            looks in proptest::collection::vec(0_u64..8_000, 0..10),
        ) {
            let start = Instant::now() + s(100_000);
            let mut events: Vec<(u64, Option<(usize, bool)>)> =
                looks.into_iter().map(|at| (at, None)).collect();
            for (who, (from, length)) in stays.iter().enumerate() {
                events.push((*from, Some((who, true))));
                events.push((from + length, Some((who, false))));
            }
            events.sort_by_key(|(at, what)| (*at, what.map(|(_, begins)| !begins)));
            let mut machine = Stays::new(start);
            for (at, what) in events {
                let now = start + s(at);
                match what {
                    Some((who, true)) => {
                        machine.begin(now, ParticipantId(who as u64), None);
                    }
                    Some((who, false)) => machine.end(now, ParticipantId(who as u64), false),
                    None => {
                        machine.reached(now);
                    }
                }
            }
            let end = start + s(9_000);
            let total: u64 = stays.iter().map(|(_, length)| length).sum();
            prop_assert_eq!(machine.listened(end), s(total));
            prop_assert_eq!(machine.old_enough(end)[0], stays.len() as u64);
            for (reached, after_s) in machine.reached(end).to_vec().into_iter().zip(RETENTION_S) {
                let long = stays.iter().filter(|(_, length)| *length >= after_s.into()).count();
                prop_assert_eq!(reached, long as u64, "{} s", after_s);
            }
        }
    }
}

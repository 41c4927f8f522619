//! Listeners that come and go while others are measured, in a swarm and a thread of their own, so that
//! the account of those who stay is exact. What they hear is counted as a cost that the relay has, and
//! not expected of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use tribune_bench::contender::latencies;
use tribune_protocol::domain::room::Role;
use tribune_protocol::media::Datagram;

use super::shared::{SWEEP, Shared, join, rest_until};
use super::spec::room_name;
use crate::swarm::{Arrival, MemberId, News, Place, Swarm, Target};

/// Time in which a storm begins its joins.
pub(crate) const STORM: Duration = Duration::from_secs(1);
/// How long a churning guest stays once it is in.
const STAY: Duration = Duration::from_secs(1);

/// Who comes when.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrivals {
    /// So many a second join from the beginning to the end, and leave in the same order after a second.
    Churn {
        /// TransientListeners a second.
        per_second: u32,
        /// When the first one comes.
        from: Instant,
        /// When the last one comes.
        to: Instant,
    },
    /// All join within a second, and stay.
    Storm {
        /// Listeners in all.
        listeners: u32,
        /// When the first one comes.
        from: Instant,
    },
}

impl Arrivals {
    /// Sockets that the guests need: each has its own while it is there, and a while longer.
    pub(crate) fn sockets(count: u32, stays: bool) -> usize {
        // QUIC keeps a closed connection for three probe timeouts, here less than a second.
        count as usize * if stays { 1 } else { 3 }
    }

    /// When the guest of that number begins to join, if there is one.
    fn joins_at(&self, number: u32) -> Option<Instant> {
        match *self {
            Self::Churn { per_second, from, to } => {
                let at = from
                    + Duration::from_secs(1).mul_f64(f64::from(number) / f64::from(per_second));
                (at < to).then_some(at)
            }
            Self::Storm { listeners, from } => (number < listeners)
                .then(|| from + STORM.mul_f64(f64::from(number) / f64::from(listeners))),
        }
    }

    /// How long one stays once it is in.
    fn stay(&self) -> Option<Duration> {
        match self {
            Self::Churn { .. } => Some(STAY),
            Self::Storm { .. } => None,
        }
    }

    fn sockets_of(&self) -> usize {
        match *self {
            Self::Churn { per_second, .. } => Self::sockets(per_second, false),
            Self::Storm { listeners, .. } => Self::sockets(listeners, true),
        }
    }
}

/// What became of the guests.
#[derive(Debug)]
pub(crate) struct TransientStats {
    /// Joins begun.
    pub(crate) begun: u64,
    /// TransientListeners that were let in.
    pub(crate) joined: u64,
    /// TransientListeners that left on their own account.
    pub(crate) left: u64,
    /// TransientListeners that were refused or cut off.
    pub(crate) failed: u64,
    /// From the beginning of a join to the relay's welcome, in microseconds.
    pub(crate) join_us: Histogram<u64>,
    /// When the last one was let in.
    pub(crate) last_in: Option<Instant>,
}

/// A thread of guests.
#[derive(Debug)]
pub(crate) struct TransientListeners {
    thread: JoinHandle<Result<TransientStats>>,
}

impl TransientListeners {
    /// Has guests come to the rooms in turn.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start(
        arrivals: Arrivals,
        target: &Target,
        rooms: u16,
        rtt: Duration,
        shared: &Arc<Shared>,
    ) -> Result<Self> {
        let (target, shared) = (target.clone(), Arc::clone(shared));
        let thread = std::thread::Builder::new().name("guests".to_owned());
        let thread = thread.spawn(move || run(arrivals, target, rooms, rtt, &shared))?;
        Ok(Self { thread })
    }

    /// Waits for the end of a thread that [`Shared::stop`] ends.
    ///
    /// # Errors
    /// A socket is unusable, or a guest cannot begin to join.
    pub(crate) fn end(self) -> Result<TransientStats> {
        self.thread.join().map_err(|_| anyhow!("the guests' thread panicked"))?.context("guests")
    }
}

/// TransientListeners that are there or about to be.
#[derive(Default)]
struct Connected {
    /// When each began to join.
    begun: BTreeMap<MemberId, Instant>,
    /// Those who are in, in that order: when they began to join, and when they were let in.
    let_in: VecDeque<(MemberId, Instant, Instant)>,
}

impl Connected {
    /// The next one that has been in for that long and still is.
    fn poll_stayed(&mut self, now: Instant, stay: Duration) -> Option<MemberId> {
        while let Some((member, begun, since)) = self.let_in.front().copied() {
            if now.saturating_duration_since(since) < stay {
                return None;
            }
            self.let_in.pop_front();
            // One that was cut off is not there to leave, and its number may be another's.
            if self.begun.get(&member) == Some(&begun) {
                self.begun.remove(&member);
                return Some(member);
            }
        }
        None
    }
}

fn run(
    arrivals: Arrivals,
    target: Target,
    rooms: u16,
    rtt: Duration,
    shared: &Shared,
) -> Result<TransientStats> {
    let sockets = arrivals.sockets_of();
    let mut swarm = Swarm::open(target, Place { sockets, per_socket: 1, rtt })?;
    let mut present = Connected::default();
    let join_us = latencies()?;
    let mut transient =
        TransientStats { begun: 0, joined: 0, left: 0, failed: 0, join_us, last_in: None };
    let mut number = 0;
    while !shared.stopped() {
        let now = Instant::now();
        while arrivals.joins_at(number).is_some_and(|at| at <= now) {
            let room = room_name((number % u32::from(rooms)) as u16);
            let begun = Instant::now();
            let said = join(&room, Role::Listener, "guest", number as usize)?;
            let member = swarm.join(number as usize % sockets, said)?;
            present.begun.insert(member, begun);
            (transient.begun, number) = (transient.begun + 1, number + 1);
        }
        if let Some(stay) = arrivals.stay() {
            while let Some(member) = present.poll_stayed(now, stay) {
                swarm.leave(member);
                transient.left += 1;
            }
        }
        swarm.turn(|Arrival { datagram, .. }| {
            if let Ok(Datagram::Media(media)) = Datagram::parse(datagram) {
                shared.count(&media, |_| ());
            }
        })?;
        while let Some(news) = swarm.poll_news() {
            match news {
                News::In(member, _) => {
                    if let Some(begun) = present.begun.get(&member) {
                        let now = Instant::now();
                        present.let_in.push_back((member, *begun, now));
                        transient.join_us.saturating_record((now - *begun).as_micros() as u64);
                        transient.last_in = Some(now);
                        transient.joined += 1;
                    }
                }
                News::Gone(member, why) => {
                    if present.begun.remove(&member).is_some() {
                        if transient.failed == 0 {
                            eprintln!("a guest is gone: {why}");
                        }
                        transient.failed += 1;
                    }
                }
            }
        }
        rest_until(now + SWEEP);
    }
    Ok(transient)
}

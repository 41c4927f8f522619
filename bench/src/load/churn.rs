//! Transient listeners: they join and leave while others are measured. They have a pool and a thread of
//! their own, so that the count of the listeners that stay is exact. Frames they receive count as work of
//! the relay, but none is expected of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;
use tribune_bench::contender::latencies;
use tribune_protocol::domain::role::Role;
use tribune_protocol::media::Datagram;

use super::shared::{SWEEP, Shared, join, rest_until};
use super::spec::room_name;
use crate::pool::client_pool::{ClientPool, Place};
use crate::pool::events::{Arrival, MemberId, News};
use crate::pool::target::{Target, Way};

/// Time in which a storm begins its joins.
pub(crate) const STORM: Duration = Duration::from_secs(1);
/// Stay of a churning listener, from its admission.
const STAY: Duration = Duration::from_secs(1);

/// Arrivals of transient listeners over the measured span.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrivals {
    /// A fixed rate of joins; each listener leaves after a second, in the order of admission.
    Churn {
        /// Joins per second.
        per_second: u32,
        /// First join.
        from: Instant,
        /// End of the joins.
        to: Instant,
    },
    /// All join within a second and stay.
    Storm {
        /// Listeners in all.
        listeners: u32,
        /// First join.
        from: Instant,
    },
}

impl Arrivals {
    /// Sockets of transient listeners: one each while connected, and until QUIC has drained the connection.
    pub(crate) fn sockets(count: u32, stays: bool) -> usize {
        // QUIC keeps a closed connection for three probe timeouts, here less than a second.
        count as usize * if stays { 1 } else { 3 }
    }

    /// Start of the join of listener `number`; `None` if there is no such listener.
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

    /// Stay from admission; `None`: until the end.
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

/// Joins and departures of the transient listeners.
#[derive(Debug)]
pub(crate) struct TransientStats {
    /// Joins begun.
    pub(crate) begun: u64,
    /// Listeners that were admitted.
    pub(crate) joined: u64,
    /// Listeners that left as planned.
    pub(crate) left: u64,
    /// Listeners that were refused or disconnected.
    pub(crate) failed: u64,
    /// From the start of a join to the relay's `Joined`, in microseconds.
    pub(crate) join_us: Histogram<u64>,
    /// Last admission.
    pub(crate) last_in: Option<Instant>,
}

/// Thread of transient listeners.
#[derive(Debug)]
pub(crate) struct TransientListeners {
    thread: JoinHandle<Result<TransientStats>>,
}

impl TransientListeners {
    /// Starts the thread; listeners join the rooms in turn.
    ///
    /// # Errors
    /// The thread cannot be started.
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

    /// Waits for the end of the thread, which [`Shared::stop`] ends.
    ///
    /// # Errors
    /// A socket is unusable, or a listener cannot begin to join.
    pub(crate) fn end(self) -> Result<TransientStats> {
        self.thread.join().map_err(|_| anyhow!("the guests' thread panicked"))?.context("guests")
    }
}

/// Transient listeners that are joining or connected.
#[derive(Default)]
struct Connected {
    /// Start of each one's join.
    begun: BTreeMap<MemberId, Instant>,
    /// Admitted listeners in order of admission: start of the join, admission.
    let_in: VecDeque<(MemberId, Instant, Instant)>,
}

impl Connected {
    /// Next listener whose stay is over and that is still connected.
    fn poll_stayed(&mut self, now: Instant, stay: Duration) -> Option<MemberId> {
        while let Some((member, begun, since)) = self.let_in.front().copied() {
            if now.saturating_duration_since(since) < stay {
                return None;
            }
            self.let_in.pop_front();
            // A listener that was disconnected cannot leave, and its id may be in use again.
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
    let mut pool = ClientPool::open(target, Place { sockets, per_socket: 1, rtt })?;
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
            let member = pool.join(number as usize % sockets, Way::Quic, said)?;
            present.begun.insert(member, begun);
            (transient.begun, number) = (transient.begun + 1, number + 1);
        }
        if let Some(stay) = arrivals.stay() {
            while let Some(member) = present.poll_stayed(now, stay) {
                pool.leave(member);
                transient.left += 1;
            }
        }
        pool.turn(|Arrival { datagram, .. }| {
            if let Ok(Datagram::Media(media)) = Datagram::parse(datagram) {
                shared.count(&media, |_, _| ());
            }
        })?;
        while let Some(news) = pool.poll_news() {
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

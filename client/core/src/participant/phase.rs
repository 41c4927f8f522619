//! Phases of a participant, and the connections that each of them keeps.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tribune_protocol::control::participant::Join;

use super::{ConnectionId, LEAVE_TIMEOUT};
use crate::address::Address;
use crate::connection::{Connection, Path};
use crate::handoff::{Overlap, Search};
use crate::reconnect::Failure;

/// Grid on which probes, timeouts and handoffs are looked at.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) enum Phase {
    /// No connection until then.
    Waiting { until: Instant },
    /// On the way into the room, without another relay that serves.
    Entering(Attempt),
    /// In the room.
    InRoom(Box<Stay>),
    /// Relays have been told that we leave.
    Leaving(Farewells),
    /// Over.
    Ended,
}

/// An attempt to join at a relay.
#[derive(Debug)]
pub(super) struct Attempt {
    id: ConnectionId,
    at: Address,
    since: Instant,
    join: Option<Box<Join>>,
    /// `None` while it is being dialled.
    connection: Option<Connection>,
}

/// The connections of a participant in the room.
#[derive(Debug)]
pub(super) struct Stay {
    serving: (ConnectionId, Connection),
    /// The connection that serves is gone, and an attempt under way.
    is_lost: bool,
    /// The relay before, which is listened to for a while.
    leaving: Option<Leaving>,
    search: Option<Search>,
    /// The attempt of the search that is under way.
    attempt: Option<Attempt>,
    next_tick: Instant,
}

/// A relay that is being left.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) id: ConnectionId,
    pub(super) connection: Connection,
    pub(super) overlap: Overlap,
}

/// Part of a connection in a stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Serving,
    Leaving,
    Attempt,
}

/// Connections that wait to be closed by their relays.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    told: Vec<(ConnectionId, Instant)>,
    /// A join under way when we left, and until when its answer is waited for once all others are
    /// closed.
    awaited: Option<(Attempt, Option<Instant>)>,
}

impl Phase {
    pub(super) fn in_room(now: Instant, attempt: Attempt) -> Self {
        let Some(connection) = attempt.connection else { return Self::Ended };
        Self::InRoom(Box::new(Stay {
            serving: (attempt.id, connection),
            is_lost: false,
            leaving: None,
            search: None,
            attempt: None,
            next_tick: now,
        }))
    }

    /// The attempt of that number.
    pub(super) fn attempt(&mut self, id: ConnectionId) -> Option<&mut Attempt> {
        let attempt = match self {
            Self::Entering(attempt) => Some(attempt),
            Self::InRoom(stay) => stay.attempt.as_mut(),
            Self::Leaving(farewells) => farewells.awaited.as_mut().map(|(attempt, _)| attempt),
            Self::Waiting { .. } | Self::Ended => None,
        };
        attempt.filter(|attempt| attempt.id == id)
    }

    /// The connection of that number, if its handshake is done.
    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        match self {
            Self::InRoom(stay) => stay.connection(id),
            Self::Entering(_) | Self::Leaving(_) => self.attempt(id)?.connection.as_mut(),
            Self::Waiting { .. } | Self::Ended => None,
        }
    }
}

impl Attempt {
    pub(super) const fn new(now: Instant, id: ConnectionId, at: Address, join: Box<Join>) -> Self {
        Self { id, at, since: now, join: Some(join), connection: None }
    }

    pub(super) const fn id(&self) -> ConnectionId {
        self.id
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// The join to send; `stay_s`: of a stay that goes on.
    pub(super) fn handle_connected(
        &mut self,
        now: Instant,
        path: Path,
        stay_s: Option<u32>,
    ) -> Result<Bytes, Failure> {
        let mut connection = Connection::new(now);
        connection.handle_path(now, path);
        let join = self.join.take();
        let join = join.ok_or_else(|| Failure::Lost("connected twice".to_owned()))?;
        let bytes = connection.join(now, Join { stay_s, ..*join })?;
        self.connection = Some(connection);
        Ok(bytes)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connection.as_ref().and_then(Connection::join_deadline)
    }

    /// Its failure, if the answer is overdue.
    pub(super) fn check_deadline(&self, now: Instant) -> Option<(ConnectionId, Failure)> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        let why = "the relay did not answer the join within 10 s".to_owned();
        Some((self.id, Failure::Lost(why)))
    }
}

impl Stay {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let answer = self.attempt.as_ref().and_then(Attempt::deadline);
        answer.into_iter().chain([self.next_tick]).min()
    }

    /// Whether the next look at the grid is due.
    pub(super) fn poll_tick(&mut self, now: Instant) -> bool {
        if now < self.next_tick {
            return false;
        }
        // Ticks that were missed are left out.
        while self.next_tick <= now {
            self.next_tick += TICK;
        }
        true
    }

    pub(super) const fn is_lost(&self) -> bool {
        self.is_lost
    }

    pub(super) const fn set_lost(&mut self) {
        self.is_lost = true;
    }

    pub(super) const fn serving_id(&self) -> ConnectionId {
        self.serving.0
    }

    pub(super) const fn serving(&mut self) -> &mut Connection {
        &mut self.serving.1
    }

    pub(super) fn part(&self, id: ConnectionId) -> Option<Part> {
        if self.serving.0 == id {
            return Some(Part::Serving);
        }
        let is_leaving = self.leaving.as_ref().is_some_and(|leaving| leaving.id == id);
        let is_attempt = self.attempt.as_ref().is_some_and(|attempt| attempt.id == id);
        is_leaving.then_some(Part::Leaving).or(is_attempt.then_some(Part::Attempt))
    }

    pub(super) fn takes_datagrams(&self, id: ConnectionId) -> bool {
        match self.part(id) {
            Some(Part::Serving | Part::Leaving) => true,
            Some(Part::Attempt) | None => false,
        }
    }

    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        match self.part(id)? {
            Part::Serving => Some(&mut self.serving.1),
            Part::Leaving => self.leaving.as_mut().map(|leaving| &mut leaving.connection),
            Part::Attempt => self.attempt.as_mut()?.connection.as_mut(),
        }
    }

    pub(super) const fn leaving(&mut self) -> Option<&mut Leaving> {
        self.leaving.as_mut()
    }

    pub(super) fn take_leaving(&mut self) -> Option<(ConnectionId, Connection)> {
        self.leaving.take().map(|leaving| (leaving.id, leaving.connection))
    }

    pub(super) const fn search(&mut self) -> &mut Option<Search> {
        &mut self.search
    }

    pub(super) const fn attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref()
    }

    pub(super) fn set_attempt(&mut self, attempt: Attempt) {
        self.attempt = Some(attempt);
    }

    pub(super) const fn take_attempt(&mut self) -> Option<Attempt> {
        self.attempt.take()
    }

    /// The connection over which frames are said at the next relay too, once its join has left.
    pub(super) fn ahead(&self) -> Option<ConnectionId> {
        self.attempt.as_ref().filter(|attempt| attempt.is_connected()).map(Attempt::id)
    }

    /// The attempt serves from now on. Gives where it is, when it began, and the connection before.
    pub(super) fn take_over(&mut self) -> Option<(Address, Instant, (ConnectionId, Connection))> {
        let Attempt { id, at, since, connection, .. } = self.attempt.take()?;
        let before = std::mem::replace(&mut self.serving, (id, connection?));
        (self.is_lost, self.search) = (false, None);
        Some((at, since, before))
    }

    /// Listens to a connection for a while. Gives the one that it has listened to.
    pub(super) fn listen_to(
        &mut self,
        (id, connection): (ConnectionId, Connection),
        overlap: Overlap,
    ) -> Option<(ConnectionId, Connection)> {
        let earlier = self.take_leaving();
        self.leaving = Some(Leaving { id, connection, overlap });
        earlier
    }
}

impl Farewells {
    pub(super) fn insert(&mut self, id: ConnectionId, until: Instant) {
        self.told.push((id, until));
    }

    /// Waits for the answer to a join that was under way.
    pub(super) fn wait_for(&mut self, now: Instant, attempt: Option<Attempt>) {
        self.awaited = attempt.map(|attempt| (attempt, None));
        self.arm(now);
    }

    /// The awaited relay has let us in.
    pub(super) fn take_awaited(&mut self, id: ConnectionId) {
        self.awaited.take_if(|(attempt, _)| attempt.id == id);
    }

    pub(super) fn handle_closed(&mut self, now: Instant, id: ConnectionId) {
        self.told.retain(|(told, _)| *told != id);
        self.take_awaited(id);
        self.arm(now);
    }

    /// The connections that are not waited for any longer.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<ConnectionId> {
        let late = self.told.extract_if(.., |(_, until)| *until <= now);
        let mut late: Vec<_> = late.map(|(id, _)| id).collect();
        let is_late = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        if let Some((attempt, _)) = self.awaited.take_if(|(_, until)| is_late(*until)) {
            late.push(attempt.id);
        }
        self.arm(now);
        late
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let awaited = self.awaited.as_ref().and_then(|(_, until)| *until);
        self.told.iter().map(|(_, until)| *until).chain(awaited).min()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.told.is_empty() && self.awaited.is_none()
    }

    /// The answer to a join is waited for once all others are closed.
    fn arm(&mut self, now: Instant) {
        if self.told.is_empty()
            && let Some((_, until)) = &mut self.awaited
        {
            until.get_or_insert(now + LEAVE_TIMEOUT);
        }
    }
}

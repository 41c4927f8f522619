//! A participant as one machine: joins a room, comes back after a loss, goes over to another relay,
//! hands out messages and frames.
//!
//! The driver dials, writes and closes as [`Participant::poll_output`] says, and hands in what comes
//! of it: `handle_connected`, `handle_control`, `handle_datagram`, `handle_closed`, and
//! `handle_timeout` at [`Participant::poll_timeout`]. Outputs are drained after each input. At most
//! three connections are up at a time: the one that serves, the next one, the one before.
//!
//! `room` handles messages, frames and requests in a room, `handoff` goes over to another relay.

mod handoff;
mod output;
mod phase;
mod presence;
mod room;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use tribune_protocol::control::participant::{FromParticipant, Join, Joined, ToParticipant};
use tribune_protocol::ids::RequestId;

pub use self::output::{Config, ConnectionId, Event, Link, Output, Ticket};
use self::phase::{Attempt, Farewells, Phase, Stay};
use self::presence::Presence;
use crate::address::Address;
use crate::clock::LocalClock;
use crate::connection::{Answer, Connection, Path, Received, RequestError, message};
use crate::dedup::Dedup;
use crate::delivery::Delivery;
use crate::encoding::EncodingPolicy;
use crate::frame::SpokenFrame;
use crate::reconnect::{End, Failure, Next, Reconnect};

/// Time for a relay to close after `leave`, or to answer a join when we leave meanwhile.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for a relay to send again what came while we were away, at twice the rate of the talk.
const REPLAY: Duration = Duration::from_millis(500);

/// See the module's documentation.
#[derive(Debug)]
pub struct Participant {
    join: Join,
    clock: LocalClock,
    /// Spreads the retries of many clients.
    random: StdRng,
    reconnect: Reconnect,
    phase: Phase,
    presence: Presence,
    next_connection: u32,
    /// The user's requests under way, by connection.
    tickets: BTreeMap<(ConnectionId, RequestId), Ticket>,
    /// Frames heard so far, for a relay to go on from.
    dedup: Dedup,
    /// Profile by which they come.
    delivery: Delivery,
    /// Missing frames are not asked for before that: the relay sends them of itself.
    ask_from: Instant,
    /// The last frames spoken that were to be heard, each with the time.
    spoken: VecDeque<(Instant, SpokenFrame)>,
    encoding: EncodingPolicy,
    has_joined: bool,
    reconnects: u32,
    link: Link,
    outputs: VecDeque<Output>,
}

impl Participant {
    /// Begins to join. `random` spreads the retries of many clients.
    #[must_use]
    pub fn new(now: Instant, config: Config, clock: LocalClock, random: StdRng) -> Self {
        let mut participant = Self {
            join: config.join,
            clock,
            random,
            reconnect: Reconnect::new(config.addresses, config.waits_for_room),
            phase: Phase::Ended,
            presence: Presence::default(),
            next_connection: 0,
            tickets: BTreeMap::new(),
            dedup: Dedup::default(),
            delivery: Delivery::new(config.playout_delay),
            ask_from: now,
            spoken: VecDeque::new(),
            encoding: EncodingPolicy::default(),
            has_joined: false,
            reconnects: 0,
            link: Link::default(),
            outputs: VecDeque::new(),
        };
        participant.enter(now);
        participant
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Entering(attempt) => attempt.deadline(),
            Phase::InRoom(stay) => {
                let ask = self.dedup.poll_timeout().map(|due| due.max(self.ask_from));
                [stay.next_timeout(), ask].into_iter().flatten().min()
            }
            Phase::Leaving(farewells) => farewells.next_timeout(),
            Phase::Ended => None,
        }
    }

    /// Path to the origin, and counts of frames. `dropped_frames` is the driver's to count.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Whether datagrams of a connection are to be handed in. Before the join is answered they wait.
    #[must_use]
    pub fn takes_datagrams(&self, id: ConnectionId) -> bool {
        match &self.phase {
            Phase::InRoom(stay) => stay.takes_datagrams(id),
            Phase::Waiting { .. } | Phase::Entering(_) | Phase::Leaving(_) | Phase::Ended => false,
        }
    }

    /// A connection's handshake is done, and its control stream open.
    pub fn handle_connected(&mut self, now: Instant, id: ConnectionId, path: Path) {
        let Some(attempt) = self.phase.attempt(id) else { return self.close(id) };
        match attempt.handle_connected(now, path, self.presence.lasted_s(now)) {
            Ok(bytes) => self.outputs.push_back(Output::Control { connection: id, bytes }),
            Err(failure) => self.handle_closed(now, id, failure),
        }
    }

    /// QUIC's view of a connection's path; due before each [`Self::handle_timeout`].
    pub fn handle_path(&mut self, now: Instant, id: ConnectionId, path: Path) {
        if let Some(connection) = self.phase.connection(id) {
            connection.handle_path(now, path);
        }
    }

    /// Bytes of a connection's control stream.
    pub fn handle_control(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        if let Some(connection) = self.phase.connection(id) {
            connection.handle_control(bytes);
        }
        // What a message leads to can close the connection, or make it the one that serves.
        while let Some(connection) = self.phase.connection(id) {
            match connection.poll_message() {
                Ok(None) => return,
                Ok(Some(received)) => self.handle_received(now, id, received),
                Err(failure) => return self.handle_closed(now, id, failure),
            }
        }
    }

    /// A datagram of a connection that [takes](Self::takes_datagrams) them.
    pub fn handle_datagram(&mut self, now: Instant, id: ConnectionId, datagram: Bytes) {
        if self.takes_datagrams(id) {
            self.handle_datagram_in_room(now, id, datagram);
        }
    }

    /// A connection is over, or has not come about.
    pub fn handle_closed(&mut self, now: Instant, id: ConnectionId, failure: Failure) {
        tracing::debug!(?id, ?failure, "connection over");
        match &mut self.phase {
            Phase::Entering(attempt) if attempt.id() == id => {
                self.close(id);
                self.try_again(now, failure);
            }
            Phase::InRoom(_) => self.handle_closed_in_room(now, id, failure),
            Phase::Leaving(farewells) => {
                farewells.handle_closed(now, id);
                self.close(id);
                self.end_if_all_left();
            }
            Phase::Entering(_) | Phase::Waiting { .. } | Phase::Ended => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Waiting { until } => {
                if *until <= now {
                    self.enter(now);
                }
            }
            Phase::Entering(attempt) => {
                if let Some((id, failure)) = attempt.check_deadline(now) {
                    self.handle_closed(now, id, failure);
                }
            }
            Phase::InRoom(_) => self.handle_timeout_in_room(now),
            Phase::Leaving(farewells) => {
                let late = farewells.take_late(now);
                late.into_iter().for_each(|id| self.close(id));
                self.end_if_all_left();
            }
            Phase::Ended => {}
        }
    }

    /// Leaves the room. Unless `keeps_place`, the relay is told; otherwise place and hand stay as they
    /// are for the grace time.
    pub fn handle_leave(&mut self, now: Instant, keeps_place: bool) {
        let mut farewells = Farewells::default();
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Entering(attempt) => {
                if attempt.is_connected() {
                    self.leave(now, attempt.id(), &mut farewells);
                } else {
                    self.close(attempt.id());
                }
            }
            Phase::InRoom(mut stay) => {
                self.abandon(&mut stay);
                let attempt = stay.take_attempt();
                if keeps_place || stay.is_lost() {
                    attempt.iter().for_each(|attempt| self.close(attempt.id()));
                    self.close(stay.serving_id());
                } else {
                    self.leave(now, stay.serving_id(), &mut farewells);
                    farewells.wait_for(now, attempt);
                }
            }
            Phase::Leaving(under_way) => farewells = under_way,
            Phase::Waiting { .. } => {}
            Phase::Ended => return,
        }
        self.phase = Phase::Leaving(farewells);
        self.end_if_all_left();
    }

    fn handle_received(&mut self, now: Instant, id: ConnectionId, received: Received) {
        match &mut self.phase {
            Phase::InRoom(_) => self.handle_received_in_room(now, id, received),
            Phase::Entering(_) => match (received.answer, received.envelope.message) {
                (Some(Answer::Join(Ok(()))), ToParticipant::Joined(joined)) => {
                    self.handle_joined(now, joined);
                }
                (Some(Answer::Join(Err(failure))), _) => self.handle_closed(now, id, failure),
                (Some(Answer::Join(Ok(())) | Answer::Request { .. }) | None, _) => {}
            },
            Phase::Leaving(farewells) => match received.answer {
                // If the next relay lets us in just now, it has to know too.
                Some(Answer::Join(Ok(()))) => {
                    farewells.take_awaited(id);
                    let mut farewells = std::mem::take(farewells);
                    self.leave(now, id, &mut farewells);
                    self.phase = Phase::Leaving(farewells);
                }
                Some(Answer::Join(Err(failure))) => self.handle_closed(now, id, failure),
                Some(Answer::Request { .. }) | None => {}
            },
            Phase::Waiting { .. } | Phase::Ended => {}
        }
    }

    /// The first relay, or the first after a loss, has let us in.
    fn handle_joined(&mut self, now: Instant, joined: Joined) {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Entering(attempt) => {
                self.reconnect.handle_joined();
                self.phase = Phase::in_room(now, attempt);
                self.tell_joined(now, joined);
            }
            other @ (Phase::Waiting { .. }
            | Phase::InRoom(_)
            | Phase::Leaving(_)
            | Phase::Ended) => self.phase = other,
        }
    }

    /// Dials the relay whose turn it is.
    fn enter(&mut self, now: Instant) {
        let attempt = self.dial(now, self.reconnect.address().clone());
        self.phase = Phase::Entering(attempt);
    }

    fn dial(&mut self, now: Instant, to: Address) -> Attempt {
        let connection = ConnectionId(self.next_connection);
        self.next_connection = self.next_connection.wrapping_add(1);
        self.outputs.push_back(Output::Dial { connection, to: to.clone() });
        let delay = self.delivery.playout_delay().filter(|_| self.delivery.resumes());
        let heard = delay.map(|delay| self.dedup.resume_from(now, delay)).unwrap_or_default();
        let join = Box::new(Join { heard, ..self.join.clone() });
        Attempt::new(now, connection, to, join)
    }

    /// The stay on these connections is over.
    fn end_stay(&mut self, now: Instant, failure: Failure) {
        if let Phase::InRoom(mut stay) = std::mem::replace(&mut self.phase, Phase::Ended) {
            self.presence.handle_lost(now);
            self.abandon(&mut stay);
            if let Some(attempt) = stay.take_attempt() {
                self.close(attempt.id());
            }
            self.close(stay.serving_id());
        }
        self.try_again(now, failure);
    }

    /// Has nobody wait for the relays any more, and closes the one that is being left.
    fn abandon(&mut self, stay: &mut Stay) {
        self.abandon_requests(stay.serving_id(), stay.serving());
        // The offset is an estimate over a path that is gone.
        (self.link.round_trip, self.link.offset) = (None, None);
        if let Some((id, mut connection)) = stay.take_leaving() {
            self.abandon_requests(id, &mut connection);
            self.close(id);
        }
    }

    fn abandon_requests(&mut self, id: ConnectionId, connection: &mut Connection) {
        while let Some(request) = connection.poll_abandoned() {
            self.answer(id, request, Err(RequestError::Offline));
        }
    }

    fn answer(&mut self, id: ConnectionId, request: RequestId, result: Result<(), RequestError>) {
        if let Some(ticket) = self.tickets.remove(&(id, request)) {
            self.outputs.push_back(Output::Answer { ticket, result });
        }
    }

    fn try_again(&mut self, now: Instant, failure: Failure) {
        match self.reconnect.handle_failure(failure, self.random.random()) {
            Next::GiveUp(end) => self.end(end),
            Next::Retry { after, why } => {
                let was_in_room = self.has_joined;
                self.tell(Event::Retrying { why, after, was_in_room });
                self.phase = Phase::Waiting { until: now + after };
            }
        }
    }

    fn tell_joined(&mut self, now: Instant, joined: Joined) {
        if self.delivery.resumes() && !self.dedup.is_empty() {
            self.ask_from = now + REPLAY;
        }
        if self.delivery.handle_you(&joined.you) {
            self.dedup.set_reach(self.delivery.reach());
        }
        // A session may begin by taking up a place that an earlier one left.
        if self.has_joined {
            self.reconnects += 1;
        }
        (self.has_joined, self.join.returning) = (true, true);
        self.presence.handle_joined(now);
        self.encoding.handle_joined();
        self.tell(Event::Joined { joined, reconnects: self.reconnects });
    }

    fn leave(&mut self, now: Instant, id: ConnectionId, farewells: &mut Farewells) {
        match message(None, &FromParticipant::Leave {}) {
            Ok(bytes) => {
                self.outputs.push_back(Output::Control { connection: id, bytes });
                farewells.insert(id, now + LEAVE_TIMEOUT);
            }
            Err(_) => self.close(id),
        }
    }

    fn end_if_all_left(&mut self) {
        if let Phase::Leaving(farewells) = &self.phase
            && farewells.is_empty()
        {
            self.end(End::Left);
        }
    }

    fn end(&mut self, end: End) {
        self.phase = Phase::Ended;
        self.tell(Event::Ended(end));
    }

    fn close(&mut self, id: ConnectionId) {
        self.outputs.push_back(Output::Close(id));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(Box::new(event)));
    }
}

#[cfg(test)]
mod tests;

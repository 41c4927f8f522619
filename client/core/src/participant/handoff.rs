//! A participant's handoff to another relay: the next connection comes about while the present one
//! serves, and the one before is listened to until nothing is missing. [`crate::handoff`] decides,
//! this carries it out.

use std::time::{Duration, Instant};

use rand::RngExt;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::Joined;
use tribune_protocol::media::datagram::Frame;

use super::phase::{Leaving, Part, Phase};
use super::{ConnectionId, Output, Participant};
use crate::address::Address;
use crate::handoff::{Overlap, Search, Side};
use crate::reconnect::Failure;

/// Own frames spoken so long before a join, and those since, are sent once more at the next relay:
/// they can be on their way by the relay before when the tree stops taking them from there.
const SAID_AGAIN: Duration = Duration::from_millis(200);

impl Participant {
    /// The relay asks to go on elsewhere. Without another relay to go to, this one is good until it
    /// closes.
    pub(super) fn handle_moved(&mut self, now: Instant, to: Option<Address>) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        if stay.attempt().is_none() {
            let (from, others) = (self.reconnect.address(), self.reconnect.addresses());
            *stay.search() = Search::begin(now, from, to, others, self.random.random());
        }
    }

    /// Leaves the relay before if nothing is missing, and begins the next attempt if one is due.
    pub(super) fn move_on(&mut self, now: Instant) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let is_over = |leaving: &Leaving| {
            let answers = leaving.connection.has_pending() && now < leaving.overlap.deadline();
            leaving.overlap.is_over(now, &self.dedup) && !answers
        };
        let over = if stay.leaving().is_some_and(|leaving| is_over(leaving)) {
            stay.take_leaving()
        } else {
            None
        };
        let to = if stay.is_lost() {
            None
        } else {
            stay.search().as_mut().and_then(|search| search.poll_attempt(now))
        };
        if let Some((id, mut connection)) = over {
            self.abandon_requests(id, &mut connection);
            self.close(id);
        }
        if let Some(to) = to {
            let attempt = self.dial(now, to);
            if let Phase::InRoom(stay) = &mut self.phase {
                stay.set_attempt(attempt);
            }
        }
    }

    /// The next relay has let us in: it serves from now on.
    pub(super) fn handle_arrived(&mut self, now: Instant, joined: Joined) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let was_lost = stay.is_lost();
        let Some((at, since, mut before)) = stay.take_over() else { return };
        self.reconnect.handle_arrived(at);
        self.dedup.retain(|track| joined.stage.iter().any(|entry| entry.track == track));
        if stay.serving().may_speak() {
            let again = self.spoken.iter().filter(|(at, _)| *at + SAID_AGAIN >= since);
            let again = again.map(|(_, frame)| frame);
            let connection = stay.serving_id();
            let datagrams = stay.serving().write_frames(now, again, self.clock);
            let datagrams = datagrams.into_iter();
            self.outputs.extend(datagrams.map(|bytes| Output::Datagram { connection, bytes }));
        }
        let earlier = if was_lost {
            self.abandon_requests(before.0, &mut before.1);
            self.close(before.0);
            None
        } else {
            stay.listen_to(before, Overlap::begin(now, &self.dedup))
        };
        self.tell_joined(now, joined);
        if let Some((id, mut connection)) = earlier {
            self.abandon_requests(id, &mut connection);
            self.close(id);
        }
    }

    pub(super) fn handle_closed_in_room(
        &mut self,
        now: Instant,
        id: ConnectionId,
        failure: Failure,
    ) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        match stay.part(id) {
            Some(Part::Serving) if !stay.is_lost() => self.handle_lost(now, failure),
            Some(Part::Leaving) => {
                if let Some((id, mut connection)) = stay.take_leaving() {
                    self.abandon_requests(id, &mut connection);
                    self.close(id);
                }
            }
            Some(Part::Attempt) => self.handle_attempt_failed(now, failure),
            Some(Part::Serving) | None => {}
        }
    }

    /// Notes for the overlap, if there is one, that a frame has come.
    pub(super) fn note_frame(&mut self, side: Side, frame: &Frame) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let Some(leaving) = stay.leaving() else { return };
        leaving.overlap.handle_frame(side, frame.track, frame.seq, frame.talkspurt_end);
    }

    /// The next relay does not let us in.
    fn handle_attempt_failed(&mut self, now: Instant, failure: Failure) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let is_lost = stay.is_lost();
        if !is_lost && let Some(attempt) = stay.take_attempt() {
            let to = match failure {
                Failure::Redirected { to, .. } => Some(to),
                Failure::Unreachable(_)
                | Failure::Tls(_)
                | Failure::Refused { .. }
                | Failure::Closed { .. }
                | Failure::Lost(_)
                | Failure::Moved => None,
            };
            if let Some(search) = stay.search() {
                search.handle_failure(now, to, self.random.random());
            }
            self.close(attempt.id());
        }
        if is_lost {
            // It is not another session that has taken the place, but this one's attempt.
            let why = "the relay has closed the connection".to_owned();
            self.end_stay(now, Failure::Lost(why));
        }
    }

    /// The connection that serves us is gone. On the way to another relay, we may be in there
    /// already: our join is what the relay before is closed for, then.
    fn handle_lost(&mut self, now: Instant, failure: Failure) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let is_under_way = stay.attempt().is_some();
        let next = stay.search().as_ref().and_then(|search| search.next().cloned());
        if stay.search().is_none() || !is_worth_going_on(&failure, is_under_way) {
            return self.end_stay(now, failure);
        }
        if is_under_way {
            let id = stay.serving_id();
            let mut requests = Vec::new();
            while let Some(request) = stay.serving().poll_abandoned() {
                requests.push(request);
            }
            stay.set_lost();
            self.presence.handle_lost(now);
            let offline = || Err(crate::connection::RequestError::Offline);
            return requests.into_iter().for_each(|request| self.answer(id, request, offline()));
        }
        // The relay closes before we could go. Its suggestion is the place to begin.
        match next {
            Some(to) => {
                self.reconnect.handle_moved(to);
                self.end_stay(now, Failure::Moved);
            }
            None => self.end_stay(now, failure),
        }
    }
}

/// Whether a relay's end leaves a reason to wait for another one. `is_under_way`: it has been asked.
fn is_worth_going_on(failure: &Failure, is_under_way: bool) -> bool {
    match failure {
        Failure::Closed { code: CloseCode::Replaced, .. } => is_under_way,
        Failure::Closed { code, .. } => code.is_worth_a_retry(),
        Failure::Lost(_) => true,
        Failure::Unreachable(_)
        | Failure::Tls(_)
        | Failure::Refused { .. }
        | Failure::Moved
        | Failure::Redirected { .. } => false,
    }
}

//! A participant in the room: messages, frames both ways, requests, and the clock.

use std::time::Instant;

use bytes::Bytes;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::media::FrameSource;
use tribune_protocol::media::datagram::MediaDatagram;
use tribune_protocol::quality::report::Report;

use super::phase::{Part, Phase};
use super::{ConnectionId, Event, Output, Participant, Ticket};
use crate::connection::{Answer, Arrival, Connection, Received, RequestError, Unsent, message};
use crate::dedup::Taken;
use crate::frame::{ReceivedFrame, SpokenFrame};
use crate::handoff::Side;
use crate::reconnect::Failure;

/// Own frames that are remembered for a handoff: 2 s.
const SPOKEN_MAX: usize = 100;

impl Participant {
    /// Sends a request; [`Output::Answer`] has its outcome.
    pub fn handle_request(&mut self, now: Instant, ticket: Ticket, request: &FromParticipant) {
        let offline = Err(RequestError::Offline);
        let stay = match &mut self.phase {
            Phase::InRoom(stay) if !stay.is_lost() => stay,
            Phase::InRoom(_)
            | Phase::Waiting { .. }
            | Phase::Entering(_)
            | Phase::Leaving(_)
            | Phase::Ended => {
                return self.outputs.push_back(Output::Answer { ticket, result: offline });
            }
        };
        let connection = stay.serving_id();
        match stay.serving().request(now, request) {
            Ok((id, bytes)) => {
                self.tickets.insert((connection, id), ticket);
                self.outputs.push_back(Output::Control { connection, bytes });
            }
            Err(Unsent::Busy) => {
                let result = Err(RequestError::Busy);
                self.outputs.push_back(Output::Answer { ticket, result });
            }
            Err(Unsent::Failed(failure)) => {
                self.outputs.push_back(Output::Answer { ticket, result: offline });
                self.handle_closed(now, connection, failure);
            }
        }
    }

    /// Sends a report of quality. Without a connection it is dropped: the next one follows in 5 s.
    pub fn handle_report(&mut self, now: Instant, report: Report) {
        let Phase::InRoom(stay) = &self.phase else { return };
        if stay.is_lost() {
            return;
        }
        let connection = stay.serving_id();
        match message(None, &FromParticipant::Report(report)) {
            Ok(bytes) => self.outputs.push_back(Output::Control { connection, bytes }),
            Err(failure) => self.handle_closed(now, connection, failure),
        }
    }

    /// Sends a frame on the own track, if there is one, at the next relay too once its join has left:
    /// what comes there before the join is passed over, but what comes after is not held up until we
    /// know that we are in.
    pub fn handle_spoken(&mut self, now: Instant, frame: SpokenFrame) {
        let mut is_heard = true;
        if let Phase::InRoom(stay) = &mut self.phase
            && !stay.is_lost()
        {
            let (serving, ahead) = (stay.serving_id(), stay.ahead());
            let frames = std::iter::once(&frame);
            let datagrams = stay.serving().write_frames(now, frames, self.clock);
            is_heard = stay.serving().may_speak();
            for connection in [Some(serving), ahead].into_iter().flatten() {
                let datagrams = datagrams.iter().cloned();
                self.outputs.extend(datagrams.map(|bytes| Output::Datagram { connection, bytes }));
            }
        }
        if is_heard {
            if self.spoken.len() == SPOKEN_MAX {
                self.spoken.pop_front();
            }
            self.spoken.push_back((now, frame));
        }
    }

    /// Bytes of a stream with frames, in order; `is_over`: they are the last.
    pub fn handle_stream(
        &mut self,
        now: Instant,
        id: ConnectionId,
        (stream, is_over): (u64, bool),
        bytes: &[u8],
    ) {
        let Some(connection) = self.phase.connection(id) else { return };
        for datagram in connection.handle_stream(stream, bytes, is_over) {
            self.handle_datagram(now, id, datagram);
        }
    }

    /// Takes over a change of the profile.
    pub(super) fn follow_delivery(&mut self, message: &ToParticipant) {
        if self.delivery.handle_message(message) {
            self.dedup.set_reach(self.delivery.reach());
        }
    }

    pub(super) fn handle_received_in_room(
        &mut self,
        now: Instant,
        id: ConnectionId,
        received: Received,
    ) {
        let Phase::InRoom(stay) = &self.phase else { return };
        match stay.part(id) {
            Some(Part::Serving) => self.handle_message(now, id, received),
            // Answers to what it was asked. Anything else is said by the relay that serves us.
            Some(Part::Leaving) if received.envelope.id.is_some() => {
                self.take_answer(id, received.answer);
                self.tell(Event::Message(received.envelope.message));
            }
            Some(Part::Attempt) => match (received.answer, received.envelope.message) {
                (Some(Answer::Join(Ok(()))), ToParticipant::Joined(joined)) => {
                    self.handle_arrived(now, joined);
                }
                (Some(Answer::Join(Err(failure))), _) => self.handle_closed(now, id, failure),
                (Some(Answer::Join(Ok(())) | Answer::Request { .. }) | None, _) => {}
            },
            Some(Part::Leaving) | None => {}
        }
    }

    pub(super) fn handle_datagram_in_room(
        &mut self,
        now: Instant,
        id: ConnectionId,
        datagram: Bytes,
    ) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let side = match stay.part(id) {
            Some(Part::Serving) => Side::New,
            Some(Part::Leaving) => Side::Old,
            Some(Part::Attempt) | None => return,
        };
        let local_us = self.clock.us_at(now);
        let Some(connection) = stay.connection(id) else { return };
        match connection.handle_datagram(local_us, datagram) {
            Ok(Arrival::Media(media)) => self.handle_media(now, side, &media),
            Ok(Arrival::Clock) if side == Side::New => {
                self.link.round_trip = Some(connection.round_trip());
                self.link.offset = connection.clock().offset(local_us).map(|offset| (offset, now));
            }
            Ok(Arrival::Repair(bytes)) => {
                self.outputs.push_back(Output::Datagram { connection: id, bytes });
            }
            Ok(Arrival::Clock | Arrival::Nothing) => {}
            Err(error) => tracing::debug!(%error, "datagram passed over"),
        }
    }

    /// Actions that are due on the grid.
    pub(super) fn handle_timeout_in_room(&mut self, now: Instant) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let late = stay.attempt().and_then(|attempt| attempt.check_deadline(now));
        let is_tick = stay.poll_tick(now);
        if let Some((id, failure)) = late {
            self.handle_closed(now, id, failure);
        }
        if is_tick {
            if let Err((id, failure)) = self.keep_up(now) {
                self.handle_closed(now, id, failure);
            }
            self.move_on(now);
            self.follow_losses(now);
        }
        self.ask_for_missing(now);
    }

    /// Requests that are late, the clock, and signs of life.
    fn keep_up(&mut self, now: Instant) -> Result<(), (ConnectionId, Failure)> {
        let Phase::InRoom(stay) = &mut self.phase else { return Ok(()) };
        if stay.is_lost() {
            return Ok(());
        }
        let id = stay.serving_id();
        let mut late = Vec::new();
        while let Some(request) = stay.serving().poll_late(now) {
            late.push(request);
        }
        if let Some(bytes) = stay.serving().poll_probe(self.clock.us_at(now)) {
            self.outputs.push_back(Output::Datagram { connection: id, bytes });
        }
        let alive = stay.serving().check_alive(now);
        for request in late {
            self.answer(id, request, Err(RequestError::TimedOut));
        }
        alive.map_err(|failure| (id, failure))
    }

    /// Has the encoder follow what is lost: in the room, and on the way to the relay that serves us.
    fn follow_losses(&mut self, now: Instant) {
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let connection = stay.serving();
        let (since, round_trip) = (connection.take_uplink(), connection.path_round_trip());
        self.encoding.handle_uplink(now, since, round_trip);
        if let Some(encoding) = self.encoding.poll_change() {
            self.tell(Event::Encoding(encoding));
        }
    }

    fn handle_message(&mut self, now: Instant, id: ConnectionId, received: Received) {
        self.take_answer(id, received.answer);
        let message = received.envelope.message;
        self.follow_delivery(&message);
        match &message {
            ToParticipant::You(_) => {
                if let Phase::InRoom(stay) = &mut self.phase
                    && !stay.serving().may_speak()
                {
                    self.spoken.clear();
                }
            }
            ToParticipant::Stage { stage } => {
                self.dedup.retain(|track| stage.iter().any(|entry| entry.track == track));
            }
            ToParticipant::Protect { protection } => self.encoding.handle_protect(*protection),
            ToParticipant::Moved { to, .. } => {
                self.handle_moved(now, to.as_ref().and_then(|to| to.parse().ok()));
            }
            ToParticipant::Ok {}
            | ToParticipant::Err { .. }
            | ToParticipant::Hands { .. }
            | ToParticipant::Room(_)
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Invitation { .. }
            | ToParticipant::ListenerReports(_)
            | ToParticipant::Share { .. }
            | ToParticipant::Statistics { .. }
            | ToParticipant::Texts { .. }
            | ToParticipant::Questions(_)
            | ToParticipant::Joined(_)
            | ToParticipant::Listeners { .. }
            | ToParticipant::Moderated(_)
            | ToParticipant::Reactions { .. }
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Unknown => {}
        }
        self.tell(Event::Message(message));
    }

    /// Gives an answer to the request that it belongs to.
    fn take_answer(&mut self, connection: ConnectionId, answer: Option<Answer>) {
        match answer {
            Some(Answer::Request { id, result, token }) => {
                self.answer(connection, id, result);
                if let Some(token) = token {
                    self.join.token = Some(token);
                }
            }
            Some(Answer::Join(_)) | None => {}
        }
    }

    /// Takes frames of the relay that serves us, or of the one that is being left.
    fn handle_media(&mut self, now: Instant, side: Side, media: &MediaDatagram) {
        for (place, frame) in media.frames().enumerate() {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return tracing::debug!(%error, "frame passed over"),
            };
            let taken = self.dedup.handle_frame(now, &frame, media.source(place));
            self.note_frame(side, &frame);
            let is_repaired = match taken {
                Taken::Duplicate => {
                    let is_again = media.source(place) == FrameSource::Redundancy;
                    self.link.duplicate_frames += u64::from(!is_again);
                    continue;
                }
                Taken::Repaired => {
                    let is_answer = media.source(place) == FrameSource::Repair;
                    self.link.repairs.repaired += 1;
                    self.link.repairs.answered += u64::from(is_answer);
                    true
                }
                Taken::New => false,
            };
            let received = ReceivedFrame { frame, arrived: now, is_repaired };
            self.outputs.push_back(Output::Frame(received));
        }
        self.ask_for_missing(now);
    }

    /// Asks the relay that serves us for the frames that have not come.
    fn ask_for_missing(&mut self, now: Instant) {
        if now < self.ask_from {
            return;
        }
        let Phase::InRoom(stay) = &mut self.phase else { return };
        let (connection, round_trip) = (stay.serving_id(), stay.serving().path_round_trip());
        while let Some((track, gap)) = self.dedup.poll_ask(now, round_trip) {
            if let Some(leaving) = stay.leaving() {
                leaving.overlap.handle_asked(track, gap);
            }
            if !stay.is_lost() {
                let bytes = Connection::nack(track, gap);
                self.outputs.push_back(Output::Datagram { connection, bytes });
            }
        }
    }
}

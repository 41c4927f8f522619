//! One turn of a simulated client: events, work that is due, packets out. Used by
//! [`super::SimClient`] and the simulation's loop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quinn_proto::{ConnectionError, Dir, Event, StreamEvent, StreamId};
use tribune_client_core::connection::{Arrival as Datagram, Connection};
use tribune_client_core::handoff::Side;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::ids::TrackId;
use tribune_protocol::media::datagram::{Capture, MediaDatagram};

use super::link::ClientLink;
use super::{End, SimClient};
use crate::sim::heard::HeardFrame;
use crate::sim::log::{Entry, Log};
use crate::sim::talk::{SentFrame, Talk};
use crate::sim::{Arrival, Sent};

impl SimClient {
    pub(in crate::sim) fn connect(&mut self, now: Instant, relay: SocketAddr) {
        self.attempts += 1;
        self.joined = None;
        self.end = None;
        let takes = (self.window_bytes, self.datagram_bytes);
        self.link = Some(ClientLink::connect(now, relay, takes, self.is_browser, &mut self.rng));
        // The estimate of the clock is kept: all relays give the time of one origin.
        self.protocol = Connection::new(now).with_clock(self.protocol.clock().clone());
    }

    pub(in crate::sim) fn receive(&mut self, arrival: Arrival) {
        let now = self.base + self.now;
        let other = self.moves.as_mut().and_then(|moves| moves.link_to(arrival.from));
        if let Some(link) = other.or(self.link.as_mut()) {
            link.handle_packet(now, arrival);
        }
    }

    pub(in crate::sim) fn turn(&mut self, sent: &mut Vec<Sent>, log: &mut Log) -> Option<Duration> {
        let now = self.base + self.now;
        if let Some(link) = &mut self.link {
            link.handle_timeout(now);
        }
        self.drive(log);
        self.speak();
        self.ask_for_missing();
        self.move_on(sent, log);
        self.ask_the_time();
        self.report();
        if let Some(link) = &mut self.link {
            link.transmit(now, self.now, self.address, sent);
        }
        self.drive(log);
        self.next_deadline()
    }

    fn next_deadline(&mut self) -> Option<Duration> {
        let link = self.link.as_mut().and_then(|link| link.next_deadline(self.base, self.now));
        let moves = self.moves.as_mut();
        let moves = moves.and_then(|moves| moves.next_deadline(self.base, self.now));
        // Without a connection, or one on the way, there is nobody to talk to.
        if self.link.is_none() && moves.is_none() {
            return None;
        }
        let talk = self.talk.as_ref().and_then(Talk::due);
        let probe = self.joined.as_ref().map(|_| {
            let wait = self.protocol.clock().next_question_us().saturating_sub(self.local_us());
            self.now + Duration::from_micros(wait)
        });
        let repair = self.repair_due();
        [link, moves, talk, probe, repair, self.report_due()].into_iter().flatten().min()
    }

    /// Takes everything off the connection; events first, of which the loss of the connection is the
    /// last.
    fn drive(&mut self, log: &mut Log) {
        while let Some(event) = self.link.as_mut().and_then(ClientLink::poll_event) {
            self.handle_event(event, log);
        }
        let now = self.base + self.now;
        if let Some((code, reason)) = self.link.as_mut().and_then(|link| link.take_end(now)) {
            self.handle_end(End::Closed(code, reason), log);
        }
        self.link.take_if(|link| link.is_drained());
    }

    fn handle_event(&mut self, event: Event, log: &mut Log) {
        match event {
            Event::ConnectionLost { reason } => {
                // A browser that was told the end has closed by itself.
                if self.end.is_none() {
                    self.handle_end(end(&reason), log);
                }
            }
            Event::DatagramReceived => self.read_datagrams(log),
            // HTTP/3's control stream of the relay.
            Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) if self.is_browser => {}
            Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                let opened = self.link.as_mut().map(ClientLink::accept_streams).unwrap_or_default();
                for id in opened {
                    self.read_stream(id, log);
                }
            }
            Event::Stream(StreamEvent::Readable { id }) if id.dir() == Dir::Uni => {
                self.read_stream(id, log);
            }
            Event::Stream(StreamEvent::Readable { .. }) => self.read_control(log),
            Event::Connected
            | Event::HandshakeDataReady
            | Event::DatagramsUnblocked
            | Event::Stream(
                StreamEvent::Opened { .. }
                | StreamEvent::Writable { .. }
                | StreamEvent::Finished { .. }
                | StreamEvent::Stopped { .. }
                | StreamEvent::Available { .. },
            ) => {}
        }
    }

    fn handle_end(&mut self, end: End, log: &mut Log) {
        log.push(Entry::note(self.now, self.host, format!("ends: {end:?}")));
        self.end = Some((self.now, end));
        self.joined = None;
    }

    fn read_control(&mut self, log: &mut Log) {
        if !self.reads_control {
            return;
        }
        let Some(link) = &mut self.link else { return };
        for received in link.read_messages(&mut self.protocol) {
            self.handle_message(received.envelope, log);
        }
    }

    pub(super) fn handle_message(&mut self, envelope: Envelope<ToParticipant>, log: &mut Log) {
        log.push(Entry::note(self.now, self.host, format!("is told {envelope:?}")));
        if self.delivery.handle_message(&envelope.message)
            && let Some(moves) = &mut self.moves
        {
            moves.set_reach(self.delivery.reach());
        }
        match &envelope.message {
            ToParticipant::Joined(joined) => {
                self.joined = Some(joined.clone());
                self.you = Some(joined.you.clone());
            }
            ToParticipant::You(you) => self.you = Some(you.clone()),
            ToParticipant::Moved { to, .. } => self.handle_moved(to.as_deref()),
            ToParticipant::Ok {}
            | ToParticipant::Err { .. }
            | ToParticipant::Stage { .. }
            | ToParticipant::Listeners { .. }
            | ToParticipant::Hands { .. }
            | ToParticipant::Moderated(_)
            | ToParticipant::Room(_)
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Invitation { .. }
            | ToParticipant::ListenerReports(_)
            | ToParticipant::Reactions { .. }
            | ToParticipant::Texts { .. }
            | ToParticipant::Questions(_)
            | ToParticipant::Share { .. }
            | ToParticipant::Statistics { .. }
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Protect { .. }
            | ToParticipant::Unknown => {}
        }
        self.messages.push((self.now, envelope));
    }

    pub(super) fn read_datagrams(&mut self, log: &mut Log) {
        let local_us = self.local_us();
        while let Some(link) = &mut self.link
            && let Some(datagram) = link.read_datagram()
        {
            let datagram = self.protocol.handle_datagram(local_us, datagram);
            match datagram.expect("relays send datagrams of the protocol") {
                Datagram::Media(media) => {
                    let handed_over = link.handed_over();
                    self.hear(Side::New, &media, handed_over, log);
                }
                Datagram::Repair(repaired) => link.send_datagram(repaired),
                Datagram::Clock | Datagram::Nothing => {}
            }
        }
    }

    /// Reads a stream with frames.
    fn read_stream(&mut self, id: StreamId, log: &mut Log) {
        let Some(link) = &mut self.link else { return };
        let (bytes, is_over) = link.read_stream(id);
        let datagrams = self.protocol.handle_stream(id.index(), &bytes, is_over);
        let handed_over = link.handed_over();
        for datagram in datagrams {
            if let Ok(Datagram::Media(media)) = self.protocol.handle_datagram(0, datagram) {
                self.hear(Side::New, &media, handed_over, log);
            }
        }
    }

    /// Takes the frames of a datagram, each once if the client follows moves.
    pub(super) fn hear(
        &mut self,
        side: Side,
        media: &MediaDatagram,
        handed_over: Duration,
        log: &mut Log,
    ) {
        let local_us = self.local_us();
        let datagram = self.heard.begin_datagram();
        for (place, frame) in media.frames().enumerate() {
            let frame = frame.expect("relays send whole frames");
            if !self.is_new(side, &frame, media.source(place)) {
                continue;
            }
            let offset = self.protocol.clock().offset(local_us);
            let latency = frame.captured.zip(offset).map(|(captured, offset)| {
                let now = offset.to_origin(local_us);
                let speakers_us = captured.error_us.unwrap_or(0);
                (now.0 as i64 - captured.at.0 as i64, offset.error_us.saturating_add(speakers_us))
            });
            let counter = frame.opus.first_chunk().copied().map(u64::from_be_bytes);
            let (at, track, seq) = (self.now, frame.track, frame.seq);
            log.push(Entry::frame(at, self.host, track.0, seq.0, datagram));
            self.heard.push(HeardFrame { at, handed_over, track, seq, counter, datagram, latency });
        }
    }

    fn speak(&mut self) {
        let local_us = self.local_us();
        self.last_track = self.track().or(self.last_track);
        let is_on_the_way = self.is_on_the_way();
        let goes_on = self.insists || is_on_the_way;
        let given = if goes_on { self.last_track } else { self.track() };
        let track = given.filter(|_| self.joined.is_some() || is_on_the_way);
        while let Some(talk) = &mut self.talk
            && talk.due().is_some_and(|due| due <= self.now)
        {
            let offset = self.protocol.clock().offset(local_us).filter(|_| talk.wants_stamp());
            let captured = offset.map(|offset| Capture {
                at: offset.to_origin(local_us),
                error_us: Some(offset.error_us),
            });
            let Some((seq, wire, datagram)) = talk.next_frame(track, captured) else { continue };
            self.protocol.handle_sent(self.base + self.now, track.unwrap_or(TrackId(0)), seq, wire);
            if let Some(moves) = &mut self.moves {
                moves.handle_spoken(self.now, &datagram);
            }
            match &mut self.link {
                Some(link) => link.send_datagram(datagram),
                None if is_on_the_way => {} // it is said once more at the next relay
                None => continue,
            }
            self.sent.push(SentFrame {
                at: self.now,
                track: track.unwrap_or(TrackId(0)),
                seq,
                capture_error_us: offset.map(|offset| offset.error_us),
            });
        }
    }

    fn ask_the_time(&mut self) {
        let local_us = self.local_us();
        if self.joined.is_some()
            && let Some(link) = &mut self.link
            && let Some(probe) = self.protocol.poll_probe(local_us)
        {
            link.send_datagram(probe);
        }
    }
}

fn end(reason: &ConnectionError) -> End {
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            let code = CloseCode::from_wire(close.error_code.into_inner());
            End::Closed(code, String::from_utf8_lossy(&close.reason).into_owned())
        }
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => End::Lost(reason.to_string()),
    }
}

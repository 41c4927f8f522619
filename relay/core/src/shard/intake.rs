//! Connections of a shard, but for their datagrams: attempts, which wait for their turn so that a storm
//! of joins does not delay a frame; dials; control streams; the end. Datagrams are in
//! [`super::datagrams`].

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{
    Connection, ConnectionError, ConnectionHandle, Dir, Event, Incoming, ReadError, StreamEvent,
    StreamId,
};
use tribune_protocol::codes::CloseCode;
use tribune_protocol::limits::JOIN_TIMEOUT;
use tribune_protocol::time::ClockFilter;
use tribune_protocol::{ALPN_TRUNK, ALPN_WEB};

use super::browser::{self, Progress};
use super::connection::{Peer, PeerKind};
use super::limits::{ADMITTED_PER_TURN, EVENTS_WAITING, INCOMING_WAITING, RETRY_ABOVE};
use super::{Shard, message};
use crate::counters::{HandshakeResult, Transport};
use crate::link::bridge::{self, ALPN_BRIDGE};
use crate::messages::{DialId, LinkId, RoomId, ShardEvent};

impl Shard {
    /// Queues a connection attempt, or refuses it if too many wait.
    pub(super) fn handle_incoming(&mut self, incoming: Incoming) {
        let full = self.incoming.len() >= INCOMING_WAITING
            || self.endpoint.open_connections() >= self.config.max_connections;
        if !full {
            self.incoming.push_back(incoming);
            return;
        }
        self.counters.handshakes.count(HandshakeResult::Refused, 1);
        let mut reply = Vec::new();
        let transmit = self.endpoint.refuse(incoming, &mut reply);
        self.reply(transmit.destination, reply, transmit.size);
    }

    /// Answers a few of the attempts that wait.
    pub(super) fn admit(&mut self, now: Instant) {
        for _ in 0..ADMITTED_PER_TURN {
            let Some(incoming) = self.incoming.pop_front() else { return };
            let mut reply = Vec::new();
            if self.handshaking >= RETRY_ABOVE && incoming.may_retry() {
                self.counters.handshakes.count(HandshakeResult::Retried, 1);
                if let Ok(transmit) = self.endpoint.retry(incoming, &mut reply) {
                    self.reply(transmit.destination, reply, transmit.size);
                }
                continue;
            }
            match self.endpoint.accept(incoming, now, &mut reply, None) {
                Ok((handle, conn)) => {
                    let slot = self.insert(now, handle, conn, PeerKind::Arriving);
                    self.drive(now, slot);
                }
                Err(error) => {
                    self.counters.handshakes.count(HandshakeResult::Failed, 1);
                    if let Some(transmit) = error.response {
                        self.reply(transmit.destination, reply, transmit.size);
                    }
                }
            }
        }
    }

    /// Begins a trunk to a parent.
    pub(super) fn dial(
        &mut self,
        now: Instant,
        dial: DialId,
        parent: usize,
        address: SocketAddr,
        name: &str,
    ) {
        let Some(client) = self.config.clients.get(parent).cloned() else {
            let why = "this relay has no such parent".to_owned();
            self.events.push_back(ShardEvent::DialFailed { dial, why });
            return;
        };
        match self.endpoint.connect(now, client, address, name) {
            Ok((handle, conn)) => {
                let slot = self.insert(now, handle, conn, PeerKind::Dialling(dial));
                self.drive(now, slot);
            }
            Err(error) => {
                let why = error.to_string();
                self.events.push_back(ShardEvent::DialFailed { dial, why });
            }
        }
    }

    /// Sends a control message to all participants of a room.
    pub(super) fn broadcast(&mut self, room: RoomId, message: &Bytes) {
        let Some(media) = self.rooms.get(&room) else { return };
        let slots: Vec<u32> = media.participants().collect();
        for slot in slots {
            if let Some(link) = self.peers[slot as usize].as_ref().map(|peer| peer.link) {
                self.send_control(link, message.clone());
            }
        }
    }

    /// Sends a control message.
    pub(super) fn send_control(&mut self, link: LinkId, message: Bytes) {
        let Some(peer) = self.peer(link) else { return };
        match peer.send_control(message) {
            Ok(()) => self.mark_dirty(link.slot),
            Err(code) => self.close_and_tell(link.slot, code, code.to_string()),
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        conn: Connection,
        kind: PeerKind,
    ) -> u32 {
        let slot = handle.0;
        if self.peers.len() <= slot {
            self.peers.resize_with(slot + 1, || None);
        }
        self.generation = self.generation.wrapping_add(1);
        let link = LinkId { shard: self.config.id, slot: slot as u32, generation: self.generation };
        let mut peer = Peer::new(now, conn, link, kind);
        peer.speak_by = Some(now + JOIN_TIMEOUT);
        self.peers[slot] = Some(Box::new(peer));
        self.handshaking += 1;
        link.slot
    }

    /// Takes everything off a connection that has been given a packet, a deadline or a command, and has
    /// it polled for packets.
    pub(super) fn drive(&mut self, now: Instant, slot: u32) {
        self.take_events(now, slot);
        self.ask_time(now, slot);
        self.mark_dirty(slot);
    }

    /// Takes events off a connection. Returns whether there was any.
    pub(super) fn take_events(&mut self, now: Instant, slot: u32) -> bool {
        let mut any = false;
        loop {
            // Events first, of which the loss of the connection is the last: once the endpoint has
            // been told that it has drained, it is gone.
            let Some(peer) = self.peers[slot as usize].as_mut() else { return true };
            if let Some(event) = peer.conn.poll() {
                self.handle_event(now, slot, event);
            } else if !self.exchange_endpoint_events(slot) {
                return any;
            }
            any = true;
        }
    }

    /// After the last packet of a turn: the endpoint's share, and the next deadline.
    pub(super) fn settle(&mut self, now: Instant, slot: u32) {
        self.exchange_endpoint_events(slot);
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        let mut deadline = peer.conn.poll_timeout();
        if peer.speak_by.is_some() {
            deadline = [deadline, peer.speak_by].into_iter().flatten().min();
        }
        if let Some(farewell) = peer.farewell.as_ref().and_then(|farewell| farewell.due()) {
            deadline = Some(deadline.map_or(farewell, |at| at.min(farewell)));
        }
        if let Some(replay) = &peer.replay {
            deadline = Some(deadline.map_or(replay.due(), |at| at.min(replay.due())));
        }
        if let PeerKind::Parent(clock) = &peer.kind {
            let wait = clock.next_question_us().saturating_sub(self.config.wall.unix_us(now));
            // A microsecond more: both clocks are rounded down, and early would be for nothing.
            let question = now + std::time::Duration::from_micros(wait + 1);
            deadline = Some(deadline.map_or(question, |at| at.min(question)));
        }
        self.timers.set(slot, deadline);
    }

    /// Goes on with control streams that waited for the hub.
    pub(super) fn read_unread(&mut self, now: Instant) {
        while self.events.len() < EVENTS_WAITING / 2 {
            let Some(slot) = self.unread.pop_front() else { return };
            if self.peers[slot as usize].as_ref().is_some_and(|peer| !peer.closed) {
                self.read_control(now, slot);
            }
        }
    }

    /// Whether there was anything to exchange.
    fn exchange_endpoint_events(&mut self, slot: u32) -> bool {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return false };
        let handle = ConnectionHandle(slot as usize);
        let (mut any, mut drained) = (false, false);
        while let Some(event) = peer.conn.poll_endpoint_events() {
            any = true;
            drained |= event.is_drained();
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                peer.conn.handle_event(event);
            }
        }
        if drained {
            self.forget_peer(slot);
            self.peers[slot as usize] = None;
            self.timers.set(slot, None);
        }
        any
    }

    fn handle_event(&mut self, now: Instant, slot: u32, event: Event) {
        match event {
            Event::HandshakeDataReady => {}
            Event::Connected => self.handle_connected(slot),
            Event::ConnectionLost { reason } => self.handle_lost(slot, &reason),
            Event::DatagramReceived => self.read_datagrams(now, slot),
            Event::DatagramsUnblocked => {
                if let Some(peer) = self.peers[slot as usize].as_mut() {
                    peer.write_datagrams(&mut self.counters);
                }
            }
            Event::Stream(event) => self.handle_stream_event(now, slot, event),
        }
    }

    fn handle_connected(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        self.handshaking -= 1;
        self.counters.handshakes.count(HandshakeResult::Completed, 1);
        if let PeerKind::Dialling(dial) = peer.kind {
            peer.set_trunk(PeerKind::Parent(ClockFilter::default()));
            peer.control = peer.conn.streams().open(Dir::Bi);
            peer.speak_by = None;
            self.counters.opened.count(Transport::Quic, 1);
            self.events.push_back(ShardEvent::Dialled { dial, link: peer.link });
            return;
        }
        let session = peer.conn.crypto_session();
        let certified = session.peer_identity().is_some();
        let data = session.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let alpn = data.and_then(|data| data.protocol);
        if alpn.as_deref() == Some(ALPN_WEB) {
            peer.web = Some(browser::begin(&mut peer.conn));
        } else if alpn.as_deref() == Some(ALPN_BRIDGE) {
            peer.behind = Some(Box::default());
        }
        self.counters.opened.count(peer.transport(), 1);
        if alpn.as_deref() == Some(ALPN_TRUNK) {
            peer.set_trunk(PeerKind::Child { announced: false, certified });
        } else {
            peer.kind = PeerKind::Participant { announced: false };
            // All audio travels in datagrams: a peer that takes none cannot listen.
            if peer.conn.datagrams().max_size().is_none() {
                let code = CloseCode::ProtocolViolation;
                self.close_and_tell(slot, code, "DATAGRAM frames are needed".to_owned());
                return;
            }
        }
        // TLS has refused every other ALPN by now; without any, this is nobody we know.
        if alpn.is_none() {
            let code = CloseCode::ProtocolViolation;
            self.close_and_tell(slot, code, code.to_string());
        }
    }

    fn handle_lost(&mut self, slot: u32, reason: &ConnectionError) {
        let Some(peer) = self.peers[slot as usize].as_ref() else { return };
        if peer.closed {
            return;
        }
        let why = match reason {
            ConnectionError::ApplicationClosed(close) => {
                CloseCode::from_wire(close.error_code.into_inner()).to_string()
            }
            ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::Reset
            | ConnectionError::TimedOut
            | ConnectionError::LocallyClosed
            | ConnectionError::CidsExhausted => reason.to_string(),
        };
        self.events.extend(peer.last_heard(&self.rooms));
        self.events.extend(peer.news_of_end(why));
        self.forget_peer(slot);
    }

    fn handle_stream_event(&mut self, now: Instant, slot: u32, event: StreamEvent) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        match event {
            StreamEvent::Opened { dir } => {
                while let Some(id) = self.accept_stream(slot, dir) {
                    self.read_stream(now, slot, id);
                }
            }
            StreamEvent::Readable { id } => self.read_stream(now, slot, id),
            StreamEvent::Writable { .. } => {
                peer.write_control();
                peer.write_groups(now, &mut self.counters);
            }
            StreamEvent::Available { .. } => peer.write_groups(now, &mut self.counters),
            StreamEvent::Stopped { id, .. } => peer.handle_stopped(id, &mut self.counters),
            StreamEvent::Finished { .. } => {}
        }
    }

    /// The next stream that the peer has opened. Others than browsers have one, whatever QUIC's credit is.
    fn accept_stream(&mut self, slot: u32, dir: Dir) -> Option<StreamId> {
        let peer = self.peers[slot as usize].as_mut().filter(|peer| !peer.closed)?;
        let id = peer.conn.streams().accept(dir)?;
        if let Some(session) = &mut peer.web {
            session.handle_opened(id);
        } else if peer.control.is_none() && dir == Dir::Bi {
            peer.control = Some(id);
        } else {
            let why = "There is one stream, bidirectional, for control messages.".to_owned();
            self.counters.control_errors += 1;
            self.close_and_tell(slot, CloseCode::ProtocolViolation, why);
            return None;
        }
        Some(id)
    }

    fn read_stream(&mut self, now: Instant, slot: u32, id: StreamId) {
        let Some(peer) = self.peers[slot as usize].as_mut().filter(|peer| !peer.closed) else {
            return;
        };
        if peer.web.is_none() || peer.control == Some(id) {
            return self.read_control(now, slot);
        }
        match browser::read(peer, id) {
            Ok(Progress::Waiting) => {}
            Ok(Progress::IsControl) => self.read_control(now, slot),
            Ok(Progress::Over) => {
                self.close_and_tell(slot, CloseCode::Done, CloseCode::Done.to_string());
            }
            Err(fault) => {
                self.counters.control_errors += 1;
                self.close_and_tell(slot, CloseCode::ProtocolViolation, fault.to_string());
            }
        }
    }

    /// Reads the control stream, message by message, while the hub keeps up.
    fn read_control(&mut self, now: Instant, slot: u32) {
        loop {
            if self.events.len() >= EVENTS_WAITING {
                self.unread.push_back(slot);
                return;
            }
            let Some(peer) = self.peers[slot as usize].as_mut() else { return };
            if peer.closed {
                return;
            }
            match peer.reader.poll_message() {
                Ok(Some(message)) => {
                    match message::event_of(peer, now, &message) {
                        Ok(event) => self.events.extend(event),
                        Err((code, why)) => {
                            self.counters.control_errors += 1;
                            self.close_and_tell(slot, code, why);
                        }
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    self.counters.control_errors += 1;
                    self.close_and_tell(slot, CloseCode::MessageTooLong, error.to_string());
                    return;
                }
            }
            let Some(stream) = peer.control else { return };
            let mut recv = peer.conn.recv_stream(stream);
            let Ok(mut chunks) = recv.read(true) else { return };
            let next = chunks.next(usize::MAX);
            if chunks.finalize().should_transmit() && !peer.dirty {
                peer.dirty = true;
                self.dirty.push_back(slot);
            }
            match next {
                Ok(Some(chunk)) => {
                    if let Err(bridge::Stranger) =
                        peer.handle_control(&self.config.bridge, &chunk.bytes)
                    {
                        let code = CloseCode::ProtocolViolation;
                        return self.close_and_tell(slot, code, code.to_string());
                    }
                }
                Ok(None) | Err(ReadError::Reset(_)) => {
                    self.close_and_tell(slot, CloseCode::Done, CloseCode::Done.to_string());
                    return;
                }
                Err(ReadError::Blocked) => return,
            }
        }
    }
}

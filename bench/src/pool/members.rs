//! Clients of a pool without I/O: a QUIC connection each, and the control stream as the client's core
//! has it.
//!
//! Datagrams are handed out as they are. A whole participant of the core would look for duplicates and
//! gaps in each frame and keep a window of each track: CPU that the relay under load shares with
//! thousands of clients here, and that no result depends on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow};
use bytes::Bytes;
use quinn_proto::{
    ClientConfig, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    StreamEvent, VarInt,
};
use tribune_client_core::connection::{self, Received};
use tribune_client_core::reconnect::Failure;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::{Join, ToParticipant};
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_WEB};
use tribune_relay::tls::{ServerTrust, client_crypto};
use tribune_relay_core::messages::Packet;
use tribune_relay_core::shard::Outgoing;
use tribune_tests::page::{PageSession, tagged};

use super::events::{Arrival, MemberId, News};
use super::member::{Member, Page, page_transport, participant_transport};
use super::target::{Target, Way};

/// Participants of a pool.
#[derive(Debug)]
pub(crate) struct Members {
    target: Target,
    client: ClientConfig,
    web_client: ClientConfig,
    endpoint: Endpoint,
    members: Vec<Option<Box<Member>>>,
    /// Participants that may have something to send.
    dirty: Vec<MemberId>,
    deadlines: BinaryHeap<Reverse<(Instant, MemberId)>>,
    news: VecDeque<News>,
}

impl Members {
    /// A set without participants.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub(crate) fn new(target: Target) -> Result<Self> {
        let mut client =
            ClientConfig::new(client_crypto(ALPN_PARTICIPANT, target.trust.clone(), None)?);
        client.transport_config(participant_transport());
        // Browsers are shown another certificate than the one that is pinned; a load has no secrets.
        let mut web_client =
            ClientConfig::new(client_crypto(ALPN_WEB, ServerTrust::Anything, None)?);
        web_client.transport_config(page_transport());
        Ok(Self {
            target,
            client,
            web_client,
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None),
            members: Vec::new(),
            dirty: Vec::new(),
            deadlines: BinaryHeap::new(),
            news: VecDeque::new(),
        })
    }

    /// Dials the relay from a socket; the join is said once the connection stands.
    ///
    /// # Errors
    /// QUIC's on the address or the name.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        socket: usize,
        way: Way,
        join: Join,
    ) -> Result<MemberId> {
        let mut protocol = connection::Connection::new(now);
        let join = protocol.join(now, join);
        let join = join.map_err(|failure| anyhow!(failure.reason().to_owned()))?;
        let Target { address, name, .. } = &self.target;
        let (client, page) = match way {
            Way::Quic => (self.client.clone(), Page::Native),
            Way::Web => (self.web_client.clone(), Page::Dialling),
        };
        let (handle, conn) = self.endpoint.connect(now, client, *address, name)?;
        let member = Member {
            conn,
            socket,
            join: Some(join),
            control: None,
            page,
            protocol,
            armed: None,
            dirty: false,
            leaving: false,
        };
        // QUIC gives the lowest free number.
        if self.members.len() <= handle.0 {
            self.members.resize_with(handle.0 + 1, || None);
        }
        self.members[handle.0] = Some(Box::new(member));
        self.mark_dirty(handle.0);
        Ok(handle.0)
    }

    /// Closes a participant's connection.
    pub(crate) fn leave(&mut self, now: Instant, member: MemberId) {
        let Some(state) = self.state(member) else { return };
        let code = VarInt::from_u64(CloseCode::Done.to_wire()).unwrap_or_default();
        state.conn.close(now, code, Bytes::new());
        state.leaving = true;
        self.mark_dirty(member);
    }

    /// Queues a datagram. Returns whether QUIC took it.
    pub(crate) fn send_datagram(&mut self, member: MemberId, datagram: Bytes) -> bool {
        let Some(state) = self.state(member) else { return false };
        let datagram = match state.page {
            Page::Native => datagram,
            Page::Dialling | Page::Open { .. } => tagged(&datagram),
        };
        let taken = state.conn.datagrams().send(datagram, false).is_ok();
        self.mark_dirty(member);
        taken
    }

    /// Says something on the control stream of a participant that is in. Returns whether QUIC took it.
    pub(crate) fn send_control(&mut self, member: MemberId, message: &Bytes) -> bool {
        let Some(state) = self.state(member) else { return false };
        let Some(stream) = state.control else { return false };
        let taken = state.conn.send_stream(stream).write(message);
        self.mark_dirty(member);
        let is_whole = taken.is_ok_and(|bytes| bytes == message.len());
        if !is_whole {
            let why = "the relay takes no control message".to_owned();
            self.news.push_back(News::Gone(member, why));
        }
        is_whole
    }

    /// A packet that came off a socket `at`.
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        at: Instant,
        packet: Packet,
        heard: &mut impl FnMut(Arrival),
    ) {
        let Packet { remote, local_ip, ecn, payload } = packet;
        let mut reply = Vec::new();
        match self.endpoint.handle(now, remote, local_ip, ecn, payload, &mut reply) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(state) = self.state(handle.0) {
                    state.conn.handle_event(event);
                    self.drive(at, handle.0, heard);
                }
            }
            // Nobody calls a client, and an answer to a stray packet is owed to nobody.
            Some(DatagramEvent::NewConnection(_) | DatagramEvent::Response(_)) | None => {}
        }
    }

    /// Tells participants whose deadline is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant, heard: &mut impl FnMut(Arrival)) {
        while let Some(Reverse((at, member))) = self.deadlines.peek().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop();
            let Some(state) = self.state(member).filter(|state| state.armed == Some(at)) else {
                continue;
            };
            state.armed = None;
            if state.conn.poll_timeout().is_some_and(|deadline| deadline <= now) {
                state.conn.handle_timeout(now);
            }
            self.drive(now, member, heard);
        }
    }

    /// The next participant that may have something to send.
    pub(crate) fn poll_dirty(&mut self) -> Option<MemberId> {
        let member = self.dirty.pop()?;
        if let Some(state) = self.state(member) {
            state.dirty = false;
        }
        Some(member)
    }

    /// The next packet of a participant, and the socket over which it goes.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        member: MemberId,
        out: &mut Outgoing,
    ) -> Option<usize> {
        let state = self.state(member)?;
        out.payload.clear();
        let transmit = state.conn.poll_transmit(now, 1, &mut out.payload)?;
        out.destination = Some(transmit.destination);
        Some(state.socket)
    }

    /// Queues the participant's deadline, if it is earlier than the one that is queued: each packet
    /// moves it later, which needs no work.
    pub(crate) fn settle(&mut self, member: MemberId) {
        self.exchange_endpoint_events(member);
        let Some(state) = self.state(member) else { return };
        let Some(deadline) = state.conn.poll_timeout() else { return };
        if state.armed.is_none_or(|at| deadline < at) {
            state.armed = Some(deadline);
            self.deadlines.push(Reverse((deadline, member)));
        }
    }

    /// The next thing that has happened to a participant.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn state(&mut self, member: MemberId) -> Option<&mut Member> {
        self.members.get_mut(member)?.as_deref_mut()
    }

    fn drive(&mut self, at: Instant, member: MemberId, heard: &mut impl FnMut(Arrival)) {
        loop {
            self.exchange_endpoint_events(member);
            let Some(state) = self.state(member) else { return };
            let Some(event) = state.conn.poll() else { break };
            match event {
                Event::DatagramReceived => {
                    while let Some(datagram) = state.take_datagram(at) {
                        heard(Arrival { at, member, datagram });
                    }
                }
                Event::Connected => self.begin(member),
                Event::Stream(StreamEvent::Readable { .. }) => self.read_control(member),
                Event::ConnectionLost { reason } if !state.leaving => {
                    self.news.push_back(News::Gone(member, reason.to_string()));
                }
                Event::ConnectionLost { .. }
                | Event::HandshakeDataReady
                | Event::DatagramsUnblocked
                | Event::Stream(_) => {}
            }
            self.open_control(member);
        }
        self.mark_dirty(member);
    }

    /// Opens the control stream, or asks for the session in which a page opens it.
    fn begin(&mut self, member: MemberId) {
        let Some(state) = self.state(member) else { return };
        match state.page {
            Page::Native => {
                state.control = state.conn.streams().open(Dir::Bi);
                self.send_join(member);
            }
            Page::Dialling | Page::Open { .. } => {
                let session = PageSession::begin(&mut state.conn);
                state.page = Page::Open { session, last: None };
            }
        }
    }

    /// Opens a page's control stream once its session is there.
    fn open_control(&mut self, member: MemberId) {
        let Some(state) = self.state(member) else { return };
        if let Page::Open { session, .. } = &mut state.page
            && state.control.is_none()
        {
            state.control = session.poll_control(&mut state.conn);
            if state.control.is_some() {
                self.send_join(member);
            }
        }
    }

    fn send_join(&mut self, member: MemberId) {
        if let Some(join) = self.state(member).and_then(|state| state.join.take()) {
            self.send_control(member, &join);
        }
    }

    fn read_control(&mut self, member: MemberId) {
        let Some(Some(state)) = self.members.get_mut(member) else { return };
        let Some(stream) = state.control else { return };
        let mut receive = state.conn.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            state.protocol.handle_control(&chunk.bytes);
            loop {
                match state.protocol.poll_message() {
                    Ok(Some(received)) => self.news.extend(news_of(member, received)),
                    Ok(None) => break,
                    Err(failure) => {
                        self.news.push_back(gone(member, &failure));
                        break;
                    }
                }
            }
        }
        // Whether there is credit to give back is asked by the flush that follows.
        let _ = chunks.finalize();
    }

    fn exchange_endpoint_events(&mut self, member: MemberId) {
        let Some(Some(state)) = self.members.get_mut(member) else { return };
        let mut drained = false;
        while let Some(event) = state.conn.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(event) = self.endpoint.handle_event(ConnectionHandle(member), event) {
                state.conn.handle_event(event);
            }
        }
        if drained {
            self.members[member] = None;
        }
    }

    fn mark_dirty(&mut self, member: MemberId) {
        let Some(Some(state)) = self.members.get_mut(member) else { return };
        if !std::mem::replace(&mut state.dirty, true) {
            self.dirty.push(member);
        }
    }
}
fn gone(member: MemberId, failure: &Failure) -> News {
    News::Gone(member, failure.reason().to_owned())
}

fn news_of(member: MemberId, received: Received) -> Option<News> {
    match received.envelope.message {
        ToParticipant::Joined(joined) => Some(News::In(member, joined.you.track)),
        // A speaker's track can come later than its welcome.
        ToParticipant::You(you) => you.track.map(|track| News::In(member, Some(track))),
        ToParticipant::Err { message, .. } => Some(News::Gone(member, message)),
        ToParticipant::Moved { .. } => Some(News::Gone(member, "the relay stops".to_owned())),
        ToParticipant::Ok {}
        | ToParticipant::Stage { .. }
        | ToParticipant::Listeners { .. }
        | ToParticipant::Hands { .. }
        | ToParticipant::PleaseMute { .. }
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
        | ToParticipant::Protect { .. }
        | ToParticipant::Unknown => None,
    }
}

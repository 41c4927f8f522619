//! A participant of the simulation, on quinn-proto. It does as told, which need not be what the
//! protocol asks of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    EndpointConfig, Event, IdleTimeout, StreamEvent, StreamId, TransportConfig, VarInt,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tribune_protocol::ALPN_PARTICIPANT;
use tribune_protocol::clock::ClockFilter;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{FromParticipant, Join, Joined, ToParticipant, You};
use tribune_protocol::control::room::Role;
use tribune_protocol::control::{ControlReader, Envelope, decode, encode};
use tribune_protocol::datagram::Datagram;
use tribune_protocol::datagram::probe::Probe;
use tribune_protocol::ids::{ParticipantId, RequestId, SessionKey, TrackId};
use tribune_relay::auth::participant_id;
use tribune_relay::crossing::ShardId;
use tribune_relay::identity::MasterKeys;
use tribune_relay::shard::steering::{ShardCids, SteeringKey};
use tribune_relay::tls::{ServerTrust, client_crypto};

use super::heard::{Heard, HeardFrame};
use super::log::{Entry, Log};
use super::relay::{display_name, first_cids};
use super::talk::{SentFrame, Talk};
use super::{Arrival, EPOCH_US, HostId, Sent};

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The relay closed it.
    Closed(CloseCode, String),
    /// QUIC gave it up.
    Lost(String),
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Ok,
    /// Refused.
    Err(ErrorCode),
}

/// One participant.
#[derive(Debug)]
pub struct SimClient {
    host: HostId,
    name: String,
    session: SessionKey,
    rng: StdRng,
    address: SocketAddr,
    attempts: u16,
    base: Instant,
    now: Duration,
    link: Option<ClientLink>,
    reads_control: bool,
    window_bytes: u32,
    clock_skew_us: i64,
    joined: Option<Joined>,
    you: Option<You>,
    end: Option<(Duration, End)>,
    messages: Vec<(Duration, Envelope<ToParticipant>)>,
    next_request: u32,
    talk: Option<Talk>,
    sent: Vec<SentFrame>,
    heard: Heard,
    clock: ClockFilter,
}

/// A connection and the endpoint that it has to itself.
#[derive(Debug)]
struct ClientLink {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    conn: Connection,
    control: Option<StreamId>,
    reader: ControlReader,
    /// Bytes for the control stream, each not before its time.
    outbox: VecDeque<(Duration, Bytes)>,
    /// When the packet was handed to the network whose datagrams are being read.
    handed_over: Duration,
    connected: bool,
}

impl SimClient {
    pub(super) fn new(host: HostId, name: &str, session: [u8; 16], seed: u64) -> Self {
        Self {
            host,
            name: name.to_owned(),
            session: SessionKey(session),
            rng: StdRng::seed_from_u64(seed),
            address: super::client_address(host, 0),
            attempts: 0,
            base: Instant::now(),
            now: Duration::ZERO,
            link: None,
            reads_control: true,
            window_bytes: 64 * 1024,
            clock_skew_us: 0,
            joined: None,
            you: None,
            end: None,
            messages: Vec::new(),
            next_request: 0,
            talk: None,
            sent: Vec::new(),
            heard: Heard::default(),
            clock: ClockFilter::default(),
        }
    }

    /// Who it is to everybody else.
    #[must_use]
    pub fn id(&self) -> ParticipantId {
        participant_id(&self.session)
    }

    /// Its secret.
    #[must_use]
    pub fn session(&self) -> [u8; 16] {
        self.session.0
    }

    /// The answer to its join, if there has been one on this connection.
    #[must_use]
    pub const fn joined(&self) -> Option<&Joined> {
        self.joined.as_ref()
    }

    /// Its own place, as last told.
    #[must_use]
    pub const fn you(&self) -> Option<&You> {
        self.you.as_ref()
    }

    /// The track to speak on.
    #[must_use]
    pub fn track(&self) -> Option<TrackId> {
        self.you.as_ref().and_then(|you| you.track)
    }

    /// How the last connection ended, and when; `None` while it lasts.
    #[must_use]
    pub const fn end(&self) -> Option<&(Duration, End)> {
        self.end.as_ref()
    }

    /// The code with which the relay closed the connection.
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        match &self.end {
            Some((_, End::Closed(code, _))) => Some(*code),
            Some((_, End::Lost(_))) | None => None,
        }
    }

    /// All messages, with the time of each.
    #[must_use]
    pub fn messages(&self) -> &[(Duration, Envelope<ToParticipant>)] {
        &self.messages
    }

    /// The answer to a request, and when it came.
    #[must_use]
    pub fn answer(&self, request: RequestId) -> Option<(Duration, Answer)> {
        let mut answers = self.messages.iter().filter(|(_, envelope)| envelope.id == Some(request));
        answers.find_map(|(at, envelope)| match &envelope.message {
            ToParticipant::Ok {} | ToParticipant::Joined(_) => Some((*at, Answer::Ok)),
            ToParticipant::Err { code, .. } => Some((*at, Answer::Err(*code))),
            ToParticipant::Stage { .. }
            | ToParticipant::Listeners { .. }
            | ToParticipant::You(_)
            | ToParticipant::Hands { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Moved { .. }
            | ToParticipant::Unknown => None,
        })
    }

    /// What it has heard.
    #[must_use]
    pub const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// What it has said.
    #[must_use]
    pub fn sent(&self) -> &[SentFrame] {
        &self.sent
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Control bytes that came and make no message yet.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.reader.buffered_bytes())
    }

    /// Stops reading the control stream, of which the relay may send `window_bytes`.
    pub fn stop_reading(&mut self, window_bytes: u32) {
        self.reads_control = false;
        self.window_bytes = window_bytes;
    }

    /// Sets by how much its clock is ahead of true time, in microseconds.
    pub fn set_clock_skew(&mut self, skew_us: i64) {
        self.clock_skew_us = skew_us;
    }

    /// Asks to join, once the connection is there. The request's number.
    pub fn join(&mut self, room: &str, role: Role) -> RequestId {
        self.join_as(room, role, false)
    }

    /// As [`Self::join`], saying that a place may be waiting.
    pub fn rejoin(&mut self, room: &str, role: Role) -> RequestId {
        self.join_as(room, role, true)
    }

    /// The bytes of a join, with its length, to be sent by [`Self::send_control_bytes`].
    pub fn join_bytes(&mut self, room: &str, role: Role) -> Bytes {
        let request = self.request_id();
        self.encoded(Some(request), &self.join_message(room, role, false))
    }

    /// Asks for something. The request's number.
    pub fn request(&mut self, message: &FromParticipant) -> RequestId {
        let request = self.request_id();
        let bytes = self.encoded(Some(request), message);
        self.send_control_bytes(bytes, Duration::ZERO);
        request
    }

    /// Writes bytes to the control stream after some time.
    pub fn send_control_bytes(&mut self, bytes: Bytes, after: Duration) {
        let at = self.now + after;
        if let Some(link) = &mut self.link {
            link.outbox.push_back((at, bytes));
        }
    }

    /// Sends a datagram as it is.
    pub fn send_datagram(&mut self, bytes: Bytes) {
        if let Some(link) = &mut self.link {
            let _ = link.conn.datagrams().send(bytes, true);
        }
    }

    /// Talks from now on, as soon as there is a track, whatever anybody says.
    pub fn talk(&mut self, minus_dbov: u8) {
        self.talk_after(Duration::ZERO, minus_dbov);
    }

    /// As [`Self::talk`], a little later.
    pub fn talk_after(&mut self, wait: Duration, minus_dbov: u8) {
        self.talk = Some(Talk::new(self.now + wait, minus_dbov));
    }

    /// Says a last frame, and no more.
    pub fn stop_talking(&mut self) {
        let now = self.now;
        if let Some(talk) = &mut self.talk {
            talk.set_end(now + tribune_protocol::limits::FRAME_PERIOD);
        }
    }

    /// Closes the connection.
    pub fn hang_up(&mut self) {
        let now = self.base + self.now;
        if let Some(link) = &mut self.link {
            link.conn.close(now, VarInt::from_u32(0), Bytes::new());
        }
    }

    /// Vanishes without a word.
    pub fn vanish(&mut self) {
        self.link = None;
        self.joined = None;
    }

    pub(super) const fn attempts(&self) -> u16 {
        self.attempts
    }

    pub(super) fn set_address(&mut self, address: SocketAddr) {
        self.address = address;
    }

    pub(super) fn set_time(&mut self, base: Instant, now: Duration) {
        (self.base, self.now) = (base, now);
    }

    pub(super) fn connect(&mut self, now: Instant, relay: SocketAddr) {
        self.attempts += 1;
        self.joined = None;
        self.end = None;
        let keys = MasterKeys::from_seed(self.rng.random());
        let mut config = EndpointConfig::new(keys.reset_key());
        let (key, seed) = (SteeringKey(self.rng.random()), self.rng.random());
        config.cid_generator(move || Box::new(ShardCids::new(ShardId(0), key, seed)));
        config.rng_seed(Some(self.rng.random()));
        let mut endpoint = Endpoint::new(Arc::new(config), None, false, None);
        let crypto = client_crypto(ALPN_PARTICIPANT, ServerTrust::Anything, None)
            .expect("the TLS settings of a client are usable");
        let mut client = ClientConfig::new(crypto);
        client.transport_config(transport(self.window_bytes));
        client.initial_dst_cid_provider(first_cids(self.rng.random()));
        let (handle, conn) = endpoint
            .connect(now, client, relay, "localhost")
            .expect("a relay of the simulation has a usable address");
        self.link = Some(ClientLink {
            endpoint,
            handle,
            conn,
            control: None,
            reader: ControlReader::default(),
            outbox: VecDeque::new(),
            handed_over: Duration::ZERO,
            connected: false,
        });
    }

    pub(super) fn receive(&mut self, arrival: Arrival) {
        let now = self.base + self.now;
        let Some(link) = &mut self.link else { return };
        link.handed_over = arrival.sent;
        let payload = BytesMut::from(&arrival.payload[..]);
        let mut reply = Vec::new();
        let event = link.endpoint.handle(now, arrival.from, None, None, payload, &mut reply);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            link.conn.handle_event(event);
        }
    }

    pub(super) fn turn(&mut self, sent: &mut Vec<Sent>, log: &mut Log) -> Option<Duration> {
        let now = self.base + self.now;
        if let Some(link) = &mut self.link
            && link.conn.poll_timeout().is_some_and(|due| due <= now)
        {
            link.conn.handle_timeout(now);
        }
        self.drive(log);
        self.speak();
        self.ask_the_time();
        self.write_control();
        let link = self.link.as_mut()?;
        let mut payload = Vec::new();
        while let Some(transmit) = link.conn.poll_transmit(now, 1, &mut payload) {
            let payload = std::mem::take(&mut payload);
            sent.push(Sent { from: self.address, to: transmit.destination, payload });
        }
        self.drive(log);
        self.next_deadline()
    }

    fn next_deadline(&mut self) -> Option<Duration> {
        let link = self.link.as_mut()?;
        let quic = link.conn.poll_timeout().map(|at| at.saturating_duration_since(self.base));
        let control = link.outbox.front().filter(|(at, _)| *at > self.now).map(|(at, _)| *at);
        let talk = self.talk.as_ref().and_then(Talk::due);
        let probe = self.joined.as_ref().map(|_| {
            let wait = self.clock.next_question_us().saturating_sub(self.local_us());
            self.now + Duration::from_micros(wait)
        });
        [quic, control, talk, probe].into_iter().flatten().min()
    }

    /// Takes everything off the connection; events first, of which the loss of the connection is the
    /// last.
    fn drive(&mut self, log: &mut Log) {
        loop {
            let Some(link) = &mut self.link else { return };
            if let Some(event) = link.conn.poll() {
                self.handle_event(event, log);
                continue;
            }
            let (mut any, mut drained) = (false, false);
            while let Some(event) = link.conn.poll_endpoint_events() {
                any = true;
                drained |= event.is_drained();
                if let Some(event) = link.endpoint.handle_event(link.handle, event) {
                    link.conn.handle_event(event);
                }
            }
            if drained {
                self.link = None;
            }
            if !any {
                return;
            }
        }
    }

    fn handle_event(&mut self, event: Event, log: &mut Log) {
        let Some(link) = &mut self.link else { return };
        match event {
            Event::Connected => {
                link.connected = true;
                link.control = link.conn.streams().open(Dir::Bi);
            }
            Event::ConnectionLost { reason } => {
                let end = end(&reason);
                log.push(Entry::note(self.now, self.host, format!("ends: {end:?}")));
                self.end = Some((self.now, end));
                self.joined = None;
            }
            Event::DatagramReceived => self.read_datagrams(log),
            Event::Stream(StreamEvent::Readable { .. }) => self.read_control(log),
            Event::HandshakeDataReady
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

    fn read_control(&mut self, log: &mut Log) {
        if !self.reads_control {
            return;
        }
        let Some(link) = &mut self.link else { return };
        let Some(stream) = link.control else { return };
        let mut recv = link.conn.recv_stream(stream);
        if let Ok(mut chunks) = recv.read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                link.reader.handle_bytes(&chunk.bytes);
            }
            let _ = chunks.finalize();
        }
        while let Some(link) = &mut self.link
            && let Some(body) = link.reader.poll_message().expect("relays keep to the length limit")
        {
            let envelope: Envelope<ToParticipant> =
                decode(&body).expect("relays send messages of the protocol");
            log.push(Entry::note(self.now, self.host, format!("is told {envelope:?}")));
            match &envelope.message {
                ToParticipant::Joined(joined) => {
                    self.joined = Some(joined.clone());
                    self.you = Some(joined.you.clone());
                }
                ToParticipant::You(you) => self.you = Some(you.clone()),
                ToParticipant::Ok {}
                | ToParticipant::Err { .. }
                | ToParticipant::Stage { .. }
                | ToParticipant::Listeners { .. }
                | ToParticipant::Hands { .. }
                | ToParticipant::PleaseMute { .. }
                | ToParticipant::Moved { .. }
                | ToParticipant::Unknown => {}
            }
            self.messages.push((self.now, envelope));
        }
    }

    fn read_datagrams(&mut self, log: &mut Log) {
        let local_us = self.local_us();
        while let Some(link) = &mut self.link
            && let Some(bytes) = link.conn.datagrams().recv()
        {
            let handed_over = link.handed_over;
            match Datagram::parse(bytes).expect("relays send datagrams of the protocol") {
                Datagram::Media(media) => {
                    let datagram = self.heard.begin_datagram();
                    for frame in media.frames() {
                        let frame = frame.expect("relays send whole frames");
                        let offset = self.clock.offset(local_us);
                        let latency = frame.captured.zip(offset).map(|(captured, offset)| {
                            let now = offset.to_origin(local_us);
                            (now.0 as i64 - captured.0 as i64, offset.error_us)
                        });
                        let counter = frame.opus.first_chunk().copied().map(u64::from_be_bytes);
                        let (at, track, seq) = (self.now, frame.track, frame.seq);
                        let entry = Entry::frame(at, self.host, track.0, seq.0, datagram);
                        log.push(entry);
                        self.heard.push(HeardFrame {
                            at,
                            handed_over,
                            track,
                            seq,
                            counter,
                            datagram,
                            latency,
                        });
                    }
                }
                Datagram::Probe(Probe::Answer(answer)) => {
                    self.clock.handle_answer(local_us, &answer);
                }
                Datagram::Probe(Probe::Question { .. }) | Datagram::Nack(_) => {}
            }
        }
    }

    fn speak(&mut self) {
        let local_us = self.local_us();
        let track = self.track().filter(|_| self.joined.is_some());
        while let Some(talk) = &mut self.talk
            && talk.due().is_some_and(|due| due <= self.now)
        {
            let offset = self.clock.offset(local_us).filter(|_| talk.wants_stamp());
            let captured = offset.map(|offset| offset.to_origin(local_us));
            let Some((seq, datagram)) = talk.next_frame(track, captured) else { continue };
            let Some(link) = &mut self.link else { continue };
            let _ = link.conn.datagrams().send(datagram, true);
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
            && self.clock.poll_question(local_us)
        {
            let question = Probe::Question { asked_us: local_us };
            let _ = link.conn.datagrams().send(question.write(), true);
        }
    }

    fn write_control(&mut self) {
        let Some(link) = &mut self.link else { return };
        let Some(stream) = link.control else { return };
        while let Some((at, bytes)) = link.outbox.front_mut() {
            if *at > self.now {
                return;
            }
            let Ok(written) = link.conn.send_stream(stream).write(bytes) else { return };
            if written < bytes.len() {
                *bytes = bytes.slice(written..);
                return;
            }
            link.outbox.pop_front();
        }
    }

    fn join_as(&mut self, room: &str, role: Role, returning: bool) -> RequestId {
        let message = self.join_message(room, role, returning);
        self.request(&message)
    }

    fn join_message(&self, room: &str, role: Role, returning: bool) -> FromParticipant {
        FromParticipant::Join(Join {
            room: room.parse().expect("a room of the simulation has a valid name"),
            session: self.session.clone(),
            name: display_name(&self.name),
            role,
            token: None,
            returning,
            heard: Vec::new(),
        })
    }

    fn encoded(&self, request: Option<RequestId>, message: &FromParticipant) -> Bytes {
        encode(request, message).expect("a request of the simulation fits its limit")
    }

    fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn local_us(&self) -> u64 {
        (EPOCH_US + self.now.as_micros() as u64).wrapping_add_signed(self.clock_skew_us)
    }
}

fn transport(window_bytes: u32) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::from(VarInt::from_u32(20_000));
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(Duration::from_secs(5)))
        .stream_receive_window(VarInt::from_u32(window_bytes))
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false)
        .allow_spin(false);
    Arc::new(transport)
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

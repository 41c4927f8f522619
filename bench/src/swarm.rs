//! Many participants in one thread, cheap enough to load a relay from the machine that it runs on:
//! quinn-proto driven directly, packets in batches, no task and no wake-up per participant. Used by
//! the listeners' and the speakers' threads.
//!
//! [`Core`] is QUIC and the control stream without I/O; [`Swarm`] puts it on sockets. Nothing here
//! waits: the caller sweeps ([`Swarm::turn`]) as often as it likes, so that a packet costs the
//! relay no wake-up of this process.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, IdleTimeout, StreamEvent, StreamId, TransportConfig, VarInt,
};
use tribune_protocol::ALPN_PARTICIPANT;
use tribune_protocol::control::participant::{FromParticipant, Join, ToParticipant};
use tribune_protocol::control::{ControlReader, Envelope, decode, encode};
use tribune_protocol::ids::{RequestId, TrackId};
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_relay::crossing::Packet;
use tribune_relay::shard::Outgoing;
use tribune_relay::shard::socket::{BatchSocket, SEND_BATCH, bind};
use tribune_relay::tls::{ServerTrust, client_crypto};

/// Batches of packets taken from one socket before the next one has its turn.
const RECEIVES_PER_SOCKET: usize = 4;
/// As participants have it; two of three keep-alives may be lost.
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// As participants have it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Datagrams that wait for a sweep, per participant: about a second.
const RECEIVE_DATAGRAMS: usize = 64;
/// Datagrams that wait for the network, per participant.
const SEND_DATAGRAMS: usize = 16;
/// Control bytes on their way to a participant: four of the largest messages.
const CONTROL_WINDOW_BYTES: u32 = 64 * 1024;

/// The relay under load.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The name that is dialled.
    pub(crate) name: String,
    /// How it is known.
    pub(crate) trust: ServerTrust,
}

/// A participant of a swarm, counted from 0 in the order of [`Swarm::join`].
pub(crate) type MemberId = usize;

/// A datagram that has come.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// When it was taken off the socket.
    pub(crate) at: Instant,
    /// To whom.
    pub(crate) member: MemberId,
    /// What.
    pub(crate) datagram: Bytes,
}

/// What becomes of a participant.
#[derive(Debug)]
pub(crate) enum News {
    /// The relay has let it in. Speakers have a track.
    In(MemberId, Option<TrackId>),
    /// Refused, or its connection is over; why.
    Gone(String),
}

/// Participants on sockets. To be used inside a tokio runtime, whose reactor the sockets need.
#[derive(Debug)]
pub(crate) struct Swarm {
    core: Core,
    ports: Vec<Port>,
    /// Packets that the kernel did not take.
    refused: u64,
}

/// A socket and what it is about to send.
#[derive(Debug)]
struct Port {
    socket: BatchSocket,
    waiting: Vec<Outgoing>,
    filled: usize,
}

impl Swarm {
    /// A swarm without participants, on `sockets` sockets of its own.
    ///
    /// # Errors
    /// What the system says about sockets; TLS that cannot be set up.
    pub(crate) async fn open(target: Target, sockets: usize) -> Result<Self> {
        let any: IpAddr = match (target.address, target.address.ip().is_loopback()) {
            (SocketAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
            (SocketAddr::V4(_), false) => Ipv4Addr::UNSPECIFIED.into(),
            (SocketAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
            (SocketAddr::V6(_), false) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let any = SocketAddr::new(any, 0);
        let mut ports = Vec::with_capacity(sockets);
        for _ in 0..sockets {
            let socket = bind(any, false).and_then(BatchSocket::new);
            let socket = socket.context("no socket for participants")?;
            // The reactor takes a fresh socket for full until it has looked at it.
            socket.writable().await?;
            let mut waiting = Vec::new();
            waiting.resize_with(SEND_BATCH, Outgoing::default);
            ports.push(Port { socket, waiting, filled: 0 });
        }
        Ok(Self { core: Core::new(target)?, ports, refused: 0 })
    }

    /// Begins to join a room over the socket of that number.
    ///
    /// # Errors
    /// What QUIC says about the address or the name.
    pub(crate) fn join(&mut self, socket: usize, join: Join) -> Result<MemberId> {
        let member = self.core.join(Instant::now(), socket, join)?;
        self.flush();
        Ok(member)
    }

    /// Queues a datagram; [`Self::flush`] sends it. Returns whether QUIC took it.
    pub(crate) fn send_datagram(&mut self, member: MemberId, datagram: Bytes) -> bool {
        self.core.send_datagram(member, datagram)
    }

    /// One sweep: packets in, timers, packets out. Returns how many packets have come.
    ///
    /// # Errors
    /// What a socket says, if it is unusable.
    pub(crate) fn turn(&mut self, mut heard: impl FnMut(Arrival)) -> io::Result<usize> {
        let mut packets = 0;
        for port in 0..self.ports.len() {
            for _ in 0..RECEIVES_PER_SOCKET {
                let core = &mut self.core;
                let take = |packet| core.handle_packet(Instant::now(), packet, &mut heard);
                let received = self.ports[port].socket.receive(take)?;
                if received == 0 {
                    break;
                }
                packets += received;
                self.flush();
            }
        }
        self.core.handle_timeout(Instant::now(), &mut heard);
        self.flush();
        Ok(packets)
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self) {
        let now = Instant::now();
        while let Some(member) = self.core.poll_dirty() {
            let port = &mut self.ports[self.core.members[member].port];
            while self.core.poll_transmit(now, member, &mut port.waiting[port.filled]) {
                port.filled += 1;
                if port.filled == port.waiting.len() {
                    self.refused += port.send();
                }
            }
            self.core.settle(member);
        }
        self.refused += self.ports.iter_mut().map(Port::send).sum::<u64>();
    }

    /// The next thing that has happened to a participant.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        self.core.news.pop()
    }

    /// Packets that the kernel did not take.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }
}

impl Port {
    /// Returns how many packets the kernel did not take.
    fn send(&mut self) -> u64 {
        let filled = std::mem::take(&mut self.filled);
        let mut refused = 0;
        let sent = self.socket.send(&self.waiting[..filled], |_| refused += 1);
        refused + (filled - sent) as u64
    }
}

/// One participant.
#[derive(Debug)]
struct Member {
    conn: Connection,
    port: usize,
    /// The first message, until it is sent.
    join: Option<Bytes>,
    control: Option<StreamId>,
    reader: ControlReader,
    /// The deadline that is in the queue.
    armed: Option<Instant>,
    dirty: bool,
}

/// The participants without I/O.
#[derive(Debug)]
struct Core {
    target: Target,
    client: ClientConfig,
    endpoint: Endpoint,
    members: Vec<Member>,
    /// Participants that may have something to send.
    dirty: Vec<MemberId>,
    deadlines: BinaryHeap<Reverse<(Instant, MemberId)>>,
    news: Vec<News>,
}

impl Core {
    fn new(target: Target) -> Result<Self> {
        let mut client =
            ClientConfig::new(client_crypto(ALPN_PARTICIPANT, target.trust.clone(), None)?);
        client.transport_config(participant_transport());
        Ok(Self {
            target,
            client,
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None),
            members: Vec::new(),
            dirty: Vec::new(),
            deadlines: BinaryHeap::new(),
            news: Vec::new(),
        })
    }

    fn join(&mut self, now: Instant, port: usize, join: Join) -> Result<MemberId> {
        let join = encode(Some(RequestId(1)), &FromParticipant::Join(join))?;
        let Target { address, name, .. } = &self.target;
        let (handle, conn) = self.endpoint.connect(now, self.client.clone(), *address, name)?;
        anyhow::ensure!(handle.0 == self.members.len(), "a participant has left while others join");
        self.members.push(Member {
            conn,
            port,
            join: Some(join),
            control: None,
            reader: ControlReader::default(),
            armed: None,
            dirty: false,
        });
        self.mark_dirty(handle.0);
        Ok(handle.0)
    }

    fn send_datagram(&mut self, member: MemberId, datagram: Bytes) -> bool {
        let taken = self.members[member].conn.datagrams().send(datagram, false).is_ok();
        self.mark_dirty(member);
        taken
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet, heard: &mut impl FnMut(Arrival)) {
        let Packet { remote, local_ip, ecn, payload } = packet;
        let mut reply = Vec::new();
        match self.endpoint.handle(now, remote, local_ip, ecn, payload, &mut reply) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                self.members[handle.0].conn.handle_event(event);
                self.drive(now, handle.0, heard);
            }
            // Nobody calls a client, and an answer to a stray packet is owed to nobody.
            Some(DatagramEvent::NewConnection(_) | DatagramEvent::Response(_)) | None => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, heard: &mut impl FnMut(Arrival)) {
        while let Some(Reverse((at, member))) = self.deadlines.peek().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop();
            let state = &mut self.members[member];
            if state.armed != Some(at) {
                continue;
            }
            state.armed = None;
            if state.conn.poll_timeout().is_some_and(|deadline| deadline <= now) {
                state.conn.handle_timeout(now);
            }
            self.drive(now, member, heard);
        }
    }

    fn poll_dirty(&mut self) -> Option<MemberId> {
        let member = self.dirty.pop()?;
        self.members[member].dirty = false;
        Some(member)
    }

    fn poll_transmit(&mut self, now: Instant, member: MemberId, out: &mut Outgoing) -> bool {
        out.payload.clear();
        let transmit = self.members[member].conn.poll_transmit(now, 1, &mut out.payload);
        out.destination = transmit.map(|transmit| transmit.destination);
        out.destination.is_some()
    }

    /// Queues the participant's deadline, if it is earlier than the one that is queued: each packet
    /// moves it later, which needs no work.
    fn settle(&mut self, member: MemberId) {
        self.exchange_endpoint_events(member);
        let state = &mut self.members[member];
        let Some(deadline) = state.conn.poll_timeout() else { return };
        if state.armed.is_none_or(|at| deadline < at) {
            state.armed = Some(deadline);
            self.deadlines.push(Reverse((deadline, member)));
        }
    }

    fn drive(&mut self, now: Instant, member: MemberId, heard: &mut impl FnMut(Arrival)) {
        loop {
            self.exchange_endpoint_events(member);
            let Some(event) = self.members[member].conn.poll() else { break };
            match event {
                Event::DatagramReceived => {
                    while let Some(datagram) = self.members[member].conn.datagrams().recv() {
                        heard(Arrival { at: now, member, datagram });
                    }
                }
                Event::Connected => self.send_join(member),
                Event::Stream(StreamEvent::Readable { .. }) => self.read_control(member),
                Event::ConnectionLost { reason } => self.news.push(News::Gone(reason.to_string())),
                Event::HandshakeDataReady | Event::DatagramsUnblocked | Event::Stream(_) => {}
            }
        }
        self.mark_dirty(member);
    }

    fn send_join(&mut self, member: MemberId) {
        let state = &mut self.members[member];
        state.control = state.conn.streams().open(Dir::Bi);
        let (Some(stream), Some(join)) = (state.control, state.join.take()) else { return };
        let written = state.conn.send_stream(stream).write(&join);
        if !written.is_ok_and(|bytes| bytes == join.len()) {
            self.news.push(News::Gone("the relay takes no control message".to_owned()));
        }
    }

    fn read_control(&mut self, member: MemberId) {
        let state = &mut self.members[member];
        let Some(stream) = state.control else { return };
        let mut receive = state.conn.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            state.reader.handle_bytes(&chunk.bytes);
            while let Ok(Some(message)) = state.reader.poll_message() {
                self.news.extend(read_message(member, &message));
            }
        }
        // Whether there is credit to give back is asked by the flush that follows.
        let _ = chunks.finalize();
    }

    fn exchange_endpoint_events(&mut self, member: MemberId) {
        let conn = &mut self.members[member].conn;
        while let Some(event) = conn.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(ConnectionHandle(member), event) {
                conn.handle_event(event);
            }
        }
    }

    fn mark_dirty(&mut self, member: MemberId) {
        let state = &mut self.members[member];
        if !std::mem::replace(&mut state.dirty, true) {
            self.dirty.push(member);
        }
    }
}

/// The transport settings of the `tribune` command, acknowledgements included: quinn's own, which
/// the relay thins by the extension for it.
fn participant_transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(Some(RECEIVE_DATAGRAMS * MAX_DATAGRAM_BYTES))
        .datagram_send_buffer_size(SEND_DATAGRAMS * MAX_DATAGRAM_BYTES)
        .stream_receive_window(VarInt::from_u32(CONTROL_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(2 * CONTROL_WINDOW_BYTES))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .mtu_discovery_config(None)
        // A batch mixes destinations, which segmentation offload does not.
        .enable_segmentation_offload(false);
    Arc::new(transport)
}

fn read_message(member: MemberId, message: &[u8]) -> Option<News> {
    let Envelope { message, .. } = match decode::<ToParticipant>(message) {
        Ok(envelope) => envelope,
        Err(error) => return Some(News::Gone(error.to_string())),
    };
    match message {
        ToParticipant::Joined(joined) => Some(News::In(member, joined.you.track)),
        // A speaker's track can come later than its welcome.
        ToParticipant::You(you) => you.track.map(|track| News::In(member, Some(track))),
        ToParticipant::Err { message, .. } => Some(News::Gone(message)),
        ToParticipant::Moved { .. } => Some(News::Gone("the relay stops".to_owned())),
        ToParticipant::Ok {}
        | ToParticipant::Stage { .. }
        | ToParticipant::Listeners { .. }
        | ToParticipant::Hands { .. }
        | ToParticipant::PleaseMute { .. }
        | ToParticipant::Unknown => None,
    }
}

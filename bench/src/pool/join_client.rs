//! Client for measuring handshakes: a socket of its own, quinn-proto, and the connection of the
//! client's core, as the `tribune` command has them. Driven without waiting, many in one thread.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, IdleTimeout, RandomConnectionIdGenerator, StreamEvent, StreamId, TransportConfig,
    VarInt,
};
use rand::TryRng;
use rand::rngs::SysRng;
use tribune_client_core::connection;
use tribune_protocol::ALPN_PARTICIPANT;
use tribune_protocol::control::participant::{Join, ToParticipant};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::SessionKey;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_relay::config::Fingerprint;
use tribune_relay::tls::{ServerTrust, client_crypto};

/// As the `tribune` command has it.
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// Datagrams that wait to be read; nobody speaks.
const RECEIVE_DATAGRAMS: usize = 64;
/// Larger than any packet of a relay.
const PACKET_BYTES: usize = 2_048;

/// Dialer of clients, with the settings that all clients of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    relay: SocketAddr,
    client: ClientConfig,
    endpoint: Arc<EndpointConfig>,
}

/// One participant.
#[derive(Debug)]
pub(crate) struct JoinClient {
    socket: UdpSocket,
    endpoint: Endpoint,
    handle: ConnectionHandle,
    conn: Connection,
    /// The first message, until it is sent.
    join: Option<Bytes>,
    control: Option<StreamId>,
    protocol: connection::Connection,
    inside: bool,
}

impl Dialer {
    /// A dialer of the relay at that address, with that certificate.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new(relay: SocketAddr, certificate: Fingerprint) -> Result<Self> {
        let trust = ServerTrust::Pinned(certificate);
        let mut client = ClientConfig::new(client_crypto(ALPN_PARTICIPANT, trust, None)?);
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
            .datagram_receive_buffer_size(Some(RECEIVE_DATAGRAMS * MAX_DATAGRAM_BYTES))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .mtu_discovery_config(None);
        client.transport_config(Arc::new(transport));
        let mut endpoint = EndpointConfig::default();
        // A socket with one connection needs no connection IDs.
        endpoint.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(0)));
        Ok(Self { relay, client, endpoint: Arc::new(endpoint) })
    }

    /// Has one more participant begin to join a room.
    ///
    /// # Errors
    /// There is no socket for it, or QUIC does not want the address.
    pub(crate) fn join(&self, room: &str, role: Role, number: usize) -> Result<JoinClient> {
        let local: SocketAddr = match self.relay {
            SocketAddr::V4(_) => ([127, 0, 0, 1], 0).into(),
            SocketAddr::V6(_) => ([0, 0, 0, 0, 0, 0, 0, 1], 0).into(),
        };
        let socket = UdpSocket::bind(local).context("no socket for a participant")?;
        socket.set_nonblocking(true)?;
        let mut session = [0; 16];
        SysRng.try_fill_bytes(&mut session).context("the system gives no random numbers")?;
        let join = Join {
            room: room.parse()?,
            session: SessionKey(session),
            name: format!("{role} {number}").parse()?,
            role,
            token: None,
            returning: false,
            heard: Vec::new(),
            profile: None,
            redundancy: false,
            way: None,
            share: None,
            stay_s: None,
        };
        let mut protocol = connection::Connection::new(Instant::now());
        let join = protocol.join(Instant::now(), join);
        let join = join.map_err(|failure| anyhow!(failure.reason().to_owned()))?;
        let mut endpoint = Endpoint::new(Arc::clone(&self.endpoint), None, false, None);
        let (handle, conn) =
            endpoint.connect(Instant::now(), self.client.clone(), self.relay, "localhost")?;
        let mut client = JoinClient {
            socket,
            endpoint,
            handle,
            conn,
            join: Some(join),
            control: None,
            protocol,
            inside: false,
        };
        client.transmit(Instant::now());
        Ok(client)
    }
}

impl JoinClient {
    /// Whether the relay has let it in.
    pub(crate) const fn is_inside(&self) -> bool {
        self.inside
    }

    /// One sweep: packets in, timers, packets out. Returns whether a packet had come.
    ///
    /// # Errors
    /// It was refused, its connection is over, or its socket is unusable.
    pub(crate) fn turn(&mut self) -> Result<bool> {
        let mut any = false;
        let mut buffer = [0; PACKET_BYTES];
        loop {
            let (bytes, remote) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            any = true;
            let now = Instant::now();
            let packet = BytesMut::from(&buffer[..bytes]);
            let event = self.endpoint.handle(now, remote, None, None, packet, &mut Vec::new());
            if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
                self.conn.handle_event(event);
            }
            self.drive()?;
        }
        let now = Instant::now();
        let due = self.conn.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.conn.handle_timeout(now);
            self.drive()?;
        }
        if any || due {
            self.transmit(now);
        }
        Ok(any)
    }

    fn transmit(&mut self, now: Instant) {
        let mut packet = Vec::with_capacity(PACKET_BYTES);
        while let Some(transmit) = self.conn.poll_transmit(now, 1, &mut packet) {
            // What the kernel does not take is lost, as on any network.
            let _ = self.socket.send_to(&packet, transmit.destination);
            packet.clear();
        }
    }

    fn drive(&mut self) -> Result<()> {
        loop {
            while let Some(event) = self.conn.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                    self.conn.handle_event(event);
                }
            }
            match self.conn.poll() {
                None => return Ok(()),
                Some(Event::Connected) => self.send_join()?,
                Some(Event::Stream(StreamEvent::Readable { .. })) => self.read_control()?,
                Some(Event::ConnectionLost { reason }) => bail!("its connection is over: {reason}"),
                Some(Event::HandshakeDataReady | Event::DatagramsUnblocked | Event::Stream(_)) => {}
                Some(Event::DatagramReceived) => while self.conn.datagrams().recv().is_some() {},
            }
        }
    }

    fn send_join(&mut self) -> Result<()> {
        self.control = self.conn.streams().open(Dir::Bi);
        let (Some(stream), Some(join)) = (self.control, self.join.take()) else { return Ok(()) };
        let written = self.conn.send_stream(stream).write(&join);
        if !written.is_ok_and(|bytes| bytes == join.len()) {
            bail!("the relay takes no control message");
        }
        Ok(())
    }

    fn read_control(&mut self) -> Result<()> {
        let Some(stream) = self.control else { return Ok(()) };
        let mut receive = self.conn.recv_stream(stream);
        let Ok(mut chunks) = receive.read(true) else { return Ok(()) };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            self.protocol.handle_control(&chunk.bytes);
        }
        // Whether there is credit to give back is asked by the sweep that follows.
        let _ = chunks.finalize();
        loop {
            let received = self.protocol.poll_message();
            let received = received.map_err(|failure| anyhow!(failure.reason().to_owned()))?;
            let Some(received) = received else { return Ok(()) };
            match received.envelope.message {
                ToParticipant::Joined(_) => self.inside = true,
                ToParticipant::Err { message, .. } => bail!(message),
                ToParticipant::Moved { .. } => bail!("the relay stops"),
                ToParticipant::Ok {}
                | ToParticipant::You(_)
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
                | ToParticipant::Unknown => {}
            }
        }
    }
}

/// Sweeps over all of them for that long, once at least.
///
/// # Errors
/// See [`JoinClient::turn`].
pub(crate) fn idle(clients: &mut [JoinClient], span: Duration, rest: Duration) -> Result<()> {
    let until = Instant::now() + span;
    loop {
        for client in &mut *clients {
            client.turn()?;
        }
        if Instant::now() >= until {
            return Ok(());
        }
        std::thread::sleep(rest);
    }
}

//! QUIC connection of a simulated client or participant, with an endpoint of its own: packets in and out,
//! events, bytes of the control stream, datagrams. [`tribune_client_core::connection`] reads them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event, IdleTimeout, ReadError, StreamId, TransportConfig, VarInt,
};
use rand::RngExt;
use rand::rngs::StdRng;
use tribune_client_core::connection::{self, Path, Received};
use tribune_congestion::LiveAudioConfig;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_WEB};
use tribune_relay::tls::{ServerTrust, client_crypto};
use tribune_relay_core::messages::ShardId;
use tribune_relay_core::shard::keys::MasterKeys;
use tribune_relay_core::shard::steering::{ShardCids, SteeringKey};

use crate::page::{self, PageSession};
use crate::sim::relay::first_cids;
use crate::sim::{Arrival, Sent};

/// As the client of the command line has it.
const MEDIA_RESERVE_BYTES: u64 = 128 * 1024;
/// Code by which a browser closes a connection (RFC 9114 section 8.1).
const H3_NO_ERROR: u32 = 0x100;

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::sim) struct ClientLink {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    conn: Connection,
    relay: SocketAddr,
    control: Option<StreamId>,
    /// The session, where it comes as a browser.
    page: Option<PageSession>,
    is_browser: bool,
    /// Bytes for the control stream, each not before its time.
    outbox: VecDeque<(Duration, Bytes)>,
    /// When the packet was handed to the network whose datagrams are being read.
    handed_over: Duration,
    is_drained: bool,
}

impl ClientLink {
    pub(super) fn connect(
        now: Instant,
        relay: SocketAddr,
        (window_bytes, datagram_bytes): (u32, usize),
        is_browser: bool,
        rng: &mut StdRng,
    ) -> Self {
        let keys = MasterKeys::from_seed(rng.random());
        let mut config = EndpointConfig::new(keys.reset_key());
        let (key, seed) = (SteeringKey(rng.random()), rng.random());
        config.cid_generator(move || Box::new(ShardCids::new(ShardId(0), key, seed)));
        config.rng_seed(Some(rng.random()));
        let alpn = if is_browser { ALPN_WEB } else { ALPN_PARTICIPANT };
        let crypto = client_crypto(alpn, ServerTrust::Anything, None)
            .expect("the TLS settings of a client are usable");
        let mut client = ClientConfig::new(crypto);
        client.transport_config(transport(window_bytes, datagram_bytes));
        client.initial_dst_cid_provider(first_cids(rng.random()));
        Self { is_browser, ..Self::dial(now, relay, config, client) }
    }

    /// Connects with settings of the caller's choice.
    pub(in crate::sim) fn dial(
        now: Instant,
        relay: SocketAddr,
        config: EndpointConfig,
        client: ClientConfig,
    ) -> Self {
        let mut endpoint = Endpoint::new(Arc::new(config), None, false, None);
        let (handle, conn) = endpoint
            .connect(now, client, relay, "localhost")
            .expect("a relay of the simulation has a usable address");
        Self {
            endpoint,
            handle,
            conn,
            relay,
            control: None,
            page: None,
            is_browser: false,
            outbox: VecDeque::new(),
            handed_over: Duration::ZERO,
            is_drained: false,
        }
    }

    /// The relay that it goes to.
    pub(super) const fn relay(&self) -> SocketAddr {
        self.relay
    }

    /// Nothing is left of it.
    pub(in crate::sim) const fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// When the packet was handed to the network whose datagrams are being read.
    pub(super) const fn handed_over(&self) -> Duration {
        self.handed_over
    }

    pub(in crate::sim) fn handle_packet(&mut self, now: Instant, arrival: Arrival) {
        self.handed_over = arrival.sent;
        let payload = BytesMut::from(&arrival.payload[..]);
        let mut reply = Vec::new();
        let event = self.endpoint.handle(now, arrival.from, None, None, payload, &mut reply);
        if let Some(DatagramEvent::ConnectionEvent(_, event)) = event {
            self.conn.handle_event(event);
        }
    }

    pub(in crate::sim) fn handle_timeout(&mut self, now: Instant) {
        if self.conn.poll_timeout().is_some_and(|due| due <= now) {
            self.conn.handle_timeout(now);
        }
    }

    /// The bytes that have come on a stream, in order, and whether nothing follows.
    pub(in crate::sim) fn read_stream(&mut self, id: StreamId) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let mut receive = self.conn.recv_stream(id);
        let Ok(mut chunks) = receive.read(true) else { return (bytes, true) };
        let is_over = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(ReadError::Reset(_)) => break true,
                Err(ReadError::Blocked) => break false,
            }
        };
        let _ = chunks.finalize();
        (bytes, is_over)
    }

    /// The streams with frames that the relay has opened.
    pub(in crate::sim) fn accept_streams(&mut self) -> Vec<StreamId> {
        std::iter::from_fn(|| self.conn.streams().accept(Dir::Uni)).collect()
    }

    /// The next event; of a connection's, its loss is the last.
    pub(in crate::sim) fn poll_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.conn.poll() {
                if matches!(event, Event::Connected) {
                    match self.is_browser {
                        true => self.page = Some(PageSession::begin(&mut self.conn)),
                        false => self.control = self.conn.streams().open(Dir::Bi),
                    }
                }
                if let Some(page) = &mut self.page {
                    self.control = page.poll_control(&mut self.conn).or(self.control);
                }
                return Some(event);
            }
            let mut any = false;
            while let Some(event) = self.conn.poll_endpoint_events() {
                any = true;
                self.is_drained |= event.is_drained();
                if let Some(event) = self.endpoint.handle_event(self.handle, event) {
                    self.conn.handle_event(event);
                }
            }
            if !any {
                return None;
            }
        }
    }

    /// The messages that have come on the control stream, as `protocol` reads them.
    pub(super) fn read_messages(&mut self, protocol: &mut connection::Connection) -> Vec<Received> {
        for bytes in self.read_control() {
            protocol.handle_control(&bytes);
        }
        let mut messages = Vec::new();
        while let Some(received) =
            protocol.poll_message().expect("relays send messages of the protocol")
        {
            messages.push(received);
        }
        messages
    }

    /// The bytes that have come on the control stream.
    pub(in crate::sim) fn read_control(&mut self) -> Vec<Bytes> {
        let Some(stream) = self.control else { return Vec::new() };
        let mut bytes = Vec::new();
        let mut recv = self.conn.recv_stream(stream);
        if let Ok(mut chunks) = recv.read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                bytes.push(chunk.bytes);
            }
            let _ = chunks.finalize();
        }
        bytes
    }

    /// The path as QUIC knows it.
    pub(in crate::sim) fn path(&mut self) -> Path {
        let stats = self.conn.stats();
        let tag = usize::from(self.is_browser);
        let largest = self.conn.datagrams().max_size().map(|largest| largest - tag);
        Path {
            round_trip: self.conn.rtt(),
            datagram_bytes: largest.unwrap_or(0).min(MAX_DATAGRAM_BYTES),
            received_udp: stats.udp_rx.datagrams,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
        }
    }

    /// QUIC's estimate of the round trip.
    pub(super) fn round_trip(&self) -> Duration {
        self.conn.rtt()
    }

    pub(in crate::sim) fn read_datagram(&mut self) -> Option<Bytes> {
        let datagram = self.conn.datagrams().recv()?;
        Some(if self.is_browser { page::untagged(&datagram) } else { datagram })
    }

    pub(in crate::sim) fn send_datagram(&mut self, bytes: Bytes) {
        let bytes = if self.is_browser { page::tagged(&bytes) } else { bytes };
        let _ = self.conn.datagrams().send(bytes, true);
    }

    /// Has bytes written to the control stream, not before a time.
    pub(in crate::sim) fn send_control(&mut self, at: Duration, bytes: Bytes) {
        self.outbox.push_back((at, bytes));
    }

    /// How the relay has ended a browser's session. A browser closes the connection then.
    pub(super) fn take_end(&mut self, now: Instant) -> Option<(CloseCode, String)> {
        let end = self.page.as_ref()?.end()?.clone();
        self.page = None;
        self.conn.close(now, VarInt::from_u32(H3_NO_ERROR), Bytes::new());
        Some(end)
    }

    pub(in crate::sim) fn close(&mut self, now: Instant) {
        self.conn.close(now, VarInt::from_u32(0), Bytes::new());
    }

    /// Sends what is to be sent by now.
    pub(in crate::sim) fn transmit(
        &mut self,
        now: Instant,
        at: Duration,
        from: SocketAddr,
        sent: &mut Vec<Sent>,
    ) {
        self.write_control(at);
        let mut payload = Vec::new();
        while let Some(transmit) = self.conn.poll_transmit(now, 1, &mut payload) {
            let payload = std::mem::take(&mut payload);
            sent.push(Sent { from, to: transmit.destination, payload });
        }
    }

    pub(in crate::sim) fn next_deadline(
        &mut self,
        base: Instant,
        now: Duration,
    ) -> Option<Duration> {
        let quic = self.conn.poll_timeout().map(|at| at.saturating_duration_since(base));
        let control = self.outbox.front().filter(|(at, _)| *at > now).map(|(at, _)| *at);
        [quic, control].into_iter().flatten().min()
    }

    fn write_control(&mut self, now: Duration) {
        let Some(stream) = self.control else { return };
        while let Some((at, bytes)) = self.outbox.front_mut() {
            if *at > now {
                return;
            }
            let Ok(written) = self.conn.send_stream(stream).write(bytes) else { return };
            if written < bytes.len() {
                *bytes = bytes.slice(written..);
                return;
            }
            self.outbox.pop_front();
        }
    }
}

fn transport(window_bytes: u32, datagram_bytes: usize) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::from(VarInt::from_u32(20_000));
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(Duration::from_secs(5)))
        .stream_receive_window(VarInt::from_u32(window_bytes))
        .datagram_receive_buffer_size(Some(datagram_bytes))
        .congestion_controller_factory(Arc::new(LiveAudioConfig::new(MEDIA_RESERVE_BYTES)))
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false)
        .allow_spin(false);
    Arc::new(transport)
}

//! QUIC connection to a relay: dial, control stream, datagrams.
//!
//! For [`super::driver`] and [`super::oneshot`]. Errors come out as [`Failure`].

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, TokioRuntime,
    TransportConfig, VarInt,
};
use quinn_proto::RandomConnectionIdGenerator;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tribune_client_core::address::Address;
use tribune_client_core::connection::GROUP_STREAMS;
use tribune_client_core::connection::Path;
use tribune_client_core::reconnect::Failure;
use tribune_congestion::LiveAudioConfig;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;

/// How long one relay may take to shake hands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Head start of each address of a name over the next one (RFC 8305 section 5).
const ADDRESS_STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Bytes of the congestion window that are the own track's: a second of the highest bitrate, and repairs.
const MEDIA_RESERVE_BYTES: u64 = 128 * 1024;
/// Bytes of control messages in flight. None of a client's is urgent and long.
const STREAM_BYTES_IN_FLIGHT: u64 = 16 * 1024;
/// Idle time after which a connection is given up, in milliseconds.
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// A third of the idle timeout, so that two may be lost.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Datagrams that wait for this process when it is not scheduled for a while: about a second.
const RECEIVE_DATAGRAMS: usize = 64;
/// Datagrams that wait for the network; older ones are of no use to a live listener.
const SEND_DATAGRAMS: usize = 16;
/// Bytes of control messages on their way to us: four of the largest.
const CONTROL_WINDOW_BYTES: u32 = 64 * 1024;
/// Chunks of such streams that wait for their reader.
const GROUP_CHUNKS: usize = 64;
/// Bytes of such a stream that are read at a time.
const GROUP_CHUNK_BYTES: usize = 4 * 1024;
/// Bytes of the control stream that are read at a time.
const CONTROL_CHUNK_BYTES: usize = 4 * 1024;

/// Round trip assumed before one is measured: a first packet that is lost is sent again after three of
/// them, where the 333 ms of RFC 9002 section 6.2.2 would make a listener wait for a second.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// The QUIC settings of a participant.
pub fn quic_config(tls: QuicClientConfig) -> ClientConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .congestion_controller_factory(Arc::new(LiveAudioConfig::new(MEDIA_RESERVE_BYTES)))
        .send_window(STREAM_BYTES_IN_FLIGHT)
        .datagram_receive_buffer_size(Some(RECEIVE_DATAGRAMS * MAX_DATAGRAM_BYTES))
        .datagram_send_buffer_size(SEND_DATAGRAMS * MAX_DATAGRAM_BYTES)
        .stream_receive_window(VarInt::from_u32(CONTROL_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(2 * CONTROL_WINDOW_BYTES))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        // Groups of frames, in the profile reliable.
        .max_concurrent_uni_streams(VarInt::from_u32(GROUP_STREAMS))
        // A frame never needs more than the 1,200 bytes that every path carries.
        .mtu_discovery_config(None);
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    config
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(super) struct QuicConnection {
    quic: quinn::Connection,
    send: quinn::SendStream,
    groups: mpsc::Receiver<GroupChunk>,
    // Dropping the endpoint would not close the connection, but its socket goes with it.
    endpoint: Endpoint,
}

/// Media of a connection.
#[derive(Debug)]
pub(super) enum Media {
    Datagram(Bytes),
    Group(GroupChunk),
}

/// Bytes of a stream with frames.
#[derive(Debug)]
pub(super) struct GroupChunk {
    pub(super) stream: u64,
    pub(super) bytes: Bytes,
    /// Nothing follows on this stream.
    pub(super) is_over: bool,
}

/// The reading half of the control stream.
#[derive(Debug)]
pub(super) struct ControlIn {
    receive: quinn::RecvStream,
}

impl QuicConnection {
    /// Connects to the first of a name's addresses that answers, and opens the control stream.
    pub(super) async fn connect(
        to: &Address,
        config: &ClientConfig,
    ) -> Result<(Self, ControlIn), Failure> {
        let resolve = tokio::net::lookup_host((to.host(), to.port()));
        let addresses: Vec<SocketAddr> = tokio::time::timeout(CONNECT_TIMEOUT, resolve)
            .await
            .map_err(|_| Failure::Unreachable(format!("no name server answered for {to}")))?
            .map_err(|error| Failure::Unreachable(format!("cannot resolve {to}: {error}")))?
            .take(ADDRESSES_MAX)
            .collect();
        let mut attempts = JoinSet::new();
        for (n, address) in addresses.into_iter().enumerate() {
            let (to, config) = (to.clone(), config.clone());
            attempts.spawn(async move {
                tokio::time::sleep(ADDRESS_STAGGER * n as u32).await;
                connect_one(&to, address, config).await
            });
        }
        let mut failure = Failure::Unreachable(format!("{to} has no address"));
        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok(Ok((endpoint, quic))) => {
                    let (send, receive) = quic.open_bi().await.map_err(|e| failure_of(&e))?;
                    let control = ControlIn { receive };
                    let (chunks, groups) = mpsc::channel(GROUP_CHUNKS);
                    tokio::spawn(read_groups(quic.clone(), chunks));
                    return Ok((Self { quic, send, groups, endpoint }, control));
                }
                // A relay that was there and is not trusted says more than one that was not.
                Ok(Err(why)) => {
                    if !matches!(failure, Failure::Tls(_)) {
                        failure = why;
                    }
                }
                Err(error) => failure = Failure::Unreachable(error.to_string()),
            }
        }
        Err(failure)
    }

    /// Sends a control message.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.send.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.failure("the relay reads no more control messages")),
            Err(_) => Err(Failure::Lost("the relay reads no control messages".to_owned())),
        }
    }

    /// Sends a datagram, or drops it (or an older one) if the network is behind.
    pub(super) fn send_datagram(&self, datagram: Bytes) {
        if let Err(error) = self.quic.send_datagram(datagram) {
            tracing::debug!(%error, "datagram not sent");
        }
    }

    /// The next datagram, or bytes of a stream with frames. Nothing is lost if the future is dropped.
    pub(super) async fn receive_media(&mut self) -> Result<Media, Failure> {
        tokio::select! {
            datagram = self.quic.read_datagram() => {
                datagram.map(Media::Datagram).map_err(|error| failure_of(&error))
            }
            Some(chunk) = self.groups.recv() => Ok(Media::Group(chunk)),
        }
    }

    /// The path as QUIC knows it.
    pub(super) fn path(&self) -> Path {
        let stats = self.quic.stats();
        Path {
            round_trip: self.quic.rtt(),
            datagram_bytes: self.quic.max_datagram_size().unwrap_or(0).min(MAX_DATAGRAM_BYTES),
            received_udp: stats.udp_rx.datagrams,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
        }
    }

    /// Why the connection is over, or `otherwise` if it is not.
    pub(super) fn failure(&self, otherwise: &str) -> Failure {
        match self.quic.close_reason() {
            Some(error) => failure_of(&error),
            None => Failure::Lost(otherwise.to_owned()),
        }
    }

    /// Closes, and gives the close a moment to leave.
    pub(super) async fn close(self) {
        let code = VarInt::from_u64(CloseCode::Done.to_wire()).unwrap_or(VarInt::from_u32(0));
        self.quic.close(code, b"");
        let _ = tokio::time::timeout(Duration::from_millis(500), self.endpoint.wait_idle()).await;
    }
}

impl ControlIn {
    /// The next bytes. Nothing is lost if the future is dropped.
    pub(super) async fn receive(&mut self) -> Result<Bytes, Failure> {
        match self.receive.read_chunk(CONTROL_CHUNK_BYTES, true).await {
            Ok(Some(chunk)) => Ok(chunk.bytes),
            Ok(None) => Err(Failure::Lost("the relay ended the control stream".to_owned())),
            Err(quinn::ReadError::ConnectionLost(error)) => Err(failure_of(&error)),
            Err(error) => Err(Failure::Lost(error.to_string())),
        }
    }
}

/// Reads the streams that the relay opens until the connection or its reader is gone: so many at a time, each until
/// its last chunk has been taken, so that a relay that opens them faster waits.
async fn read_groups(quic: quinn::Connection, chunks: mpsc::Sender<GroupChunk>) {
    let places = Arc::new(Semaphore::new(GROUP_STREAMS as usize));
    let mut readers = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok(stream) = quic.accept_uni().await else { return };
        let chunks = chunks.clone();
        readers.spawn(async move {
            read_group(stream, chunks).await;
            drop(place);
        });
        while readers.try_join_next().is_some() {}
    }
}

async fn read_group(mut receive: quinn::RecvStream, chunks: mpsc::Sender<GroupChunk>) {
    let stream = u64::from(VarInt::from(receive.id()));
    loop {
        let (bytes, is_over) = match receive.read_chunk(GROUP_CHUNK_BYTES, true).await {
            Ok(Some(chunk)) => (chunk.bytes, false),
            // What was lost with a stream that the relay gave up is lost.
            Ok(None) | Err(_) => (Bytes::new(), true),
        };
        if chunks.send(GroupChunk { stream, bytes, is_over }).await.is_err() || is_over {
            return;
        }
    }
}

async fn connect_one(
    to: &Address,
    address: SocketAddr,
    config: ClientConfig,
) -> Result<(Endpoint, quinn::Connection), Failure> {
    let local = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let unreachable = |why: String| Failure::Unreachable(format!("cannot reach {to}: {why}"));
    let endpoint = endpoint(local).map_err(|error| unreachable(error.to_string()))?;
    let connecting = endpoint
        .connect_with(config, address, to.host())
        .map_err(|error| unreachable(error.to_string()))?;
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(quic)) => Ok((endpoint, quic)),
        Ok(Err(error)) => Err(match failure_of(&error) {
            Failure::Tls(why) => Failure::Tls(format!("cannot trust {to}: {why}")),
            Failure::Lost(why) => unreachable(why),
            other @ (Failure::Unreachable(_)
            | Failure::Refused { .. }
            | Failure::Closed { .. }
            | Failure::Moved
            | Failure::Redirected { .. }) => other,
        }),
        Err(_) => Err(unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}

/// A socket for one connection. Its address identifies the connection, so that packets carry no
/// connection ID: that saves the relay two packets of a handshake, and 8 bytes of each frame.
fn endpoint(local: SocketAddr) -> std::io::Result<Endpoint> {
    let mut config = EndpointConfig::default();
    config.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(0)));
    let socket = std::net::UdpSocket::bind(local)?;
    Endpoint::new(config, None, socket, Arc::new(TokioRuntime))
}

/// An error of the QUIC layer, as the session takes it.
pub fn failure_of(error: &ConnectionError) -> Failure {
    /// Codes of TLS alerts lie in this range (RFC 9001 section 4.8).
    const CRYPTO_ERRORS: std::ops::Range<u64> = 0x100..0x200;
    match error {
        ConnectionError::ApplicationClosed(close) => Failure::Closed {
            code: CloseCode::from_wire(close.error_code.into_inner()),
            reason: printable(&close.reason),
        },
        ConnectionError::TransportError(error)
            if CRYPTO_ERRORS.contains(&u64::from(error.code)) =>
        {
            // As rustls introduces what our own check of the certificate says.
            let reason = error.reason.strip_prefix("other error: ");
            Failure::Tls(reason.unwrap_or(&error.reason).to_owned())
        }
        ConnectionError::ConnectionClosed(close)
            if CRYPTO_ERRORS.contains(&u64::from(close.error_code)) =>
        {
            Failure::Tls(printable(&close.reason))
        }
        ConnectionError::Reset => Failure::Lost("the relay has restarted".to_owned()),
        ConnectionError::TimedOut => Failure::Lost("the relay answers no more".to_owned()),
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => Failure::Lost(error.to_string()),
    }
}

/// A relay's words, fit for a terminal.
fn printable(reason: &[u8]) -> String {
    String::from_utf8_lossy(reason).chars().filter(|c| !c.is_control()).take(300).collect()
}

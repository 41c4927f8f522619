//! One participant of a pool, its way to the relay, and the settings of its QUIC.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{Connection, IdleTimeout, StreamId, TransportConfig, VarInt};
use tribune_client_core::connection;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_tests::page::{PageSession, untagged};

/// As participants have it; two of three keep-alives may be lost.
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// As participants have it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Datagrams that wait for a sweep, per participant: about a second.
const RECEIVE_DATAGRAMS: usize = 64;
/// Datagrams that wait for the network, per participant.
const SEND_DATAGRAMS: usize = 16;
/// Least time, and the round trip if that is longer, for which quinn waits with an acknowledgement where a relay wishes
/// for fewer, from which it cannot be kept. Chromium acknowledges every packet (50.6 came back of 51 a second in `live`,
/// 18.2 of 18 in `audience`): where packets come sooner, a page's connection sends a PING for each. The relay has to
/// acknowledge a PING too, so that what is measured is rather too dear.
const QUINN_WAITS: Duration = Duration::from_millis(25);
/// Control bytes on their way to a participant: four of the largest messages.
const CONTROL_WINDOW_BYTES: u32 = 64 * 1024;

/// One participant.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) conn: Connection,
    pub(super) socket: usize,
    /// The first message, until it is sent.
    pub(super) join: Option<Bytes>,
    pub(super) control: Option<StreamId>,
    pub(super) page: Page,
    pub(super) protocol: connection::Connection,
    /// The deadline that is in the queue.
    pub(super) armed: Option<Instant>,
    pub(super) dirty: bool,
    pub(super) leaving: bool,
}

/// Part of a participant that a browser has.
#[derive(Debug)]
pub(super) enum Page {
    /// It has none.
    Native,
    /// The connection does not stand yet.
    Dialling,
    /// It has its session, or asks for it; the last datagram came then.
    Open { session: PageSession, last: Option<Instant> },
}

impl Member {
    /// The next datagram that has come.
    pub(super) fn take_datagram(&mut self, at: Instant) -> Option<Bytes> {
        let datagram = self.conn.datagrams().recv()?;
        let Page::Open { last, .. } = &mut self.page else { return Some(datagram) };
        let before = last.replace(at);
        let wait = self.conn.rtt().max(QUINN_WAITS);
        if before.is_some_and(|before| at.saturating_duration_since(before) < wait) {
            self.conn.ping();
        }
        Some(untagged(&datagram))
    }
}

/// The transport settings of the `tribune` command, acknowledgements included: quinn's own, which
/// the relay thins by the extension for it.
pub(super) fn participant_transport() -> Arc<TransportConfig> {
    Arc::new(transport())
}

/// The same for a page: the relay opens HTTP/3's control stream.
pub(super) fn page_transport() -> Arc<TransportConfig> {
    let mut transport = transport();
    transport.max_concurrent_uni_streams(VarInt::from_u32(3));
    Arc::new(transport)
}

fn transport() -> TransportConfig {
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
    transport
}

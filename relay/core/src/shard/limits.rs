//! The bounds of a shard and of the QUIC connections on it, each with its reason, and the transport
//! settings that follow. They differ from quinn's defaults, which suit the transfer of files.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt};
use tribune_congestion::LiveAudioConfig;

use crate::link::web_transport::UNI_STREAMS;

/// Control bytes that wait for a participant. A whole stage and the queue of hands fit many times.
pub(super) const PARTICIPANT_OUTBOX_BYTES: usize = 128 * 1024;
/// Control bytes that wait for a relay: the states of several hundred rooms, after a reattachment.
pub(super) const TRUNK_OUTBOX_BYTES: usize = 8 * 1024 * 1024;
/// Datagrams that wait for a trunk that is short of congestion window: 20 ms of a thousand rooms.
pub(super) const TRUNK_QUEUE_DATAGRAMS: usize = 1_024;
/// Control messages of a participant at once, and a second. People press keys; programs poll.
pub(super) const MESSAGE_BURST: u32 = 50;
/// See [`MESSAGE_BURST`].
pub(super) const MESSAGES_PER_SECOND: u32 = 20;
/// Datagrams of a participant at once: what a sender that catches up has kept for two seconds.
pub(super) const DATAGRAM_BURST: u32 = 100;
/// Datagrams of a participant a second: 50 frames and as many that are repaired, a probe, and questions
/// for the frames of four tracks that come over a path which loses three in ten.
pub(super) const DATAGRAMS_PER_SECOND: u32 = 220;
/// Frames repaired for a participant at once: a second of four tracks.
pub(super) const REPAIR_BURST: u32 = 200;
/// Frames repaired over one trunk at once: a second of twenty tracks.
pub(super) const TRUNK_REPAIR_BURST: u32 = 1_000;
/// Bytes of each connection's window that are the media's: a second of a trunk with a thousand rooms.
const MEDIA_RESERVE_BYTES: u64 = 1024 * 1024;
/// Events that may wait for the hub before the shard stops reading control streams.
pub const EVENTS_WAITING: usize = 1_024;
/// Connection attempts that wait to be answered; the next one is refused.
pub(super) const INCOMING_WAITING: usize = 512;
/// Connection attempts answered in one turn of the loop: a signature and a key exchange each, some
/// 100 µs, in which the frames of the turn wait.
pub const ADMITTED_PER_TURN: usize = 4;
/// Handshakes under way above which addresses are verified first (RFC 9000 section 8.1.2).
pub(super) const RETRY_ABOVE: usize = 256;
/// Deadlines handled in one turn of the loop.
pub(super) const TIMEOUTS_PER_TURN: usize = 1_024;
/// Bytes of a packet that may hold nothing but acknowledgements: a header, a few ranges, a tag.
pub(super) const SMALL_PACKET_BYTES: usize = 64;
/// Time for which a packet that may need no answer waits for a frame that takes the answer along: three frame
/// periods of an audience and some more. What QUIC owes an answer has its own, shorter deadline (RFC 9000 section 18.2).
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(70);
/// Packets that a shard sends on its own, without a connection, and that wait to be sent.
pub(super) const REPLIES_WAITING: usize = 256;

/// Bytes of datagrams that wait for a participant, oldest dropped first: a few bundles.
const DATAGRAM_SEND_BUFFER_BYTES: usize = 8 * 1024;
/// Bytes of datagrams that wait for the shard: it reads them at once, so this bounds one packet's worth.
const DATAGRAM_RECEIVE_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes of the control stream in flight to a relay: one message of the largest size, twice.
const STREAM_WINDOW_BYTES: u32 = 32 * 1024;
/// Bytes of the control stream in flight from a relay at most; congestion control wants fewer.
pub(super) const MAX_STREAM_BYTES_IN_FLIGHT: u64 = 256 * 1024;
/// Silence after which a participant is gone. Clients send something every 5 s at least.
const PARTICIPANT_IDLE: Duration = Duration::from_secs(20);
/// Silence after which a parent is gone, or a child.
pub const TRUNK_IDLE: Duration = Duration::from_millis(1_500);
/// Period of a child's keep-alives to its parent.
const TRUNK_KEEP_ALIVE: Duration = Duration::from_millis(300);
/// A window for a trunk's control stream: the states of some hundred rooms come at once.
const TRUNK_WINDOW_BYTES: u32 = 1024 * 1024;
/// Path MTU that is assumed. It is not searched for: a listener's datagrams are small.
pub(super) const MTU_BYTES: u16 = 1_200;
/// Round trip that is assumed before one is measured. A first packet that is lost is sent again after
/// three of them; the 333 ms of RFC 9002 section 6.2.2 would add a second to the gap of everybody
/// below a relay that takes its standby.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Settings of connections that a relay accepts: participants and children.
///
/// A child asks for a shorter idle timeout, and the shorter of the two is in force (RFC 9000 section 10.1).
#[must_use]
pub fn accepting_transport(congestion: Arc<LiveAudioConfig>) -> Arc<TransportConfig> {
    let mut transport = common_transport(congestion);
    transport
        .max_idle_timeout(idle(PARTICIPANT_IDLE))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS));
    Arc::new(transport)
}

/// Settings of the trunk that a relay dials to its parent.
#[must_use]
pub fn dialling_transport(congestion: Arc<LiveAudioConfig>) -> Arc<TransportConfig> {
    let mut transport = common_transport(congestion);
    transport
        .max_idle_timeout(idle(TRUNK_IDLE))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .keep_alive_interval(Some(TRUNK_KEEP_ALIVE))
        .stream_receive_window(VarInt::from_u32(TRUNK_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(TRUNK_WINDOW_BYTES));
    Arc::new(transport)
}

/// Congestion control of a relay's connections.
#[must_use]
pub fn congestion() -> Arc<LiveAudioConfig> {
    Arc::new(LiveAudioConfig::new(MEDIA_RESERVE_BYTES))
}

fn common_transport(congestion: Arc<LiveAudioConfig>) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    // Loss is noticed by time; an acknowledgement for every tenth packet is enough to free memory.
    acks.ack_eliciting_threshold(VarInt::from_u32(10))
        .max_ack_delay(Some(Duration::from_millis(100)));
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .send_window(MAX_STREAM_BYTES_IN_FLIGHT)
        .congestion_controller_factory(congestion)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER_BYTES)
        .initial_mtu(MTU_BYTES)
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false)
        .ack_frequency_config(Some(acks))
        .crypto_buffer_size(16 * 1024)
        .allow_spin(false);
    transport
}

fn idle(timeout: Duration) -> Option<IdleTimeout> {
    let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    Some(IdleTimeout::from(VarInt::from_u32(millis)))
}

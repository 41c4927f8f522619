//! Audio frames on their way from and to the network.

use std::time::Instant;

use bytes::Bytes;
use tribune_protocol::ids::Seq;
use tribune_protocol::media::datagram::{Frame, Level};

/// A frame that came in.
#[derive(Debug, Clone)]
pub struct ReceivedFrame {
    /// The frame.
    pub frame: Frame,
    /// Time of its arrival.
    pub arrived: Instant,
    /// It had been missing, and was asked for.
    pub is_repaired: bool,
}

/// A frame to be sent.
#[derive(Debug, Clone)]
pub struct SpokenFrame {
    /// Its place in the track.
    pub seq: Seq,
    /// How loud it is.
    pub level: Level,
    /// Whether silence follows.
    pub talkspurt_end: bool,
    /// One Opus packet, at most 640 bytes.
    pub opus: Bytes,
    /// When its first sample was captured.
    pub captured: Instant,
}

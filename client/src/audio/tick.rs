//! Output of a player's tick.

use std::time::Duration;

use tribune_protocol::media::datagram::Capture;

use super::TickPcm;

/// Output of one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct TickOutput {
    /// The mix, for a sink.
    pub pcm: TickPcm,
    /// The tracks that are in it, at most [`TRACKS_MAX`](super::playout::TRACKS_MAX), by number.
    pub playing: Vec<PlayingTrack>,
    /// Capture times of those frames that begin in it and carried one, at most [`TRACKS_MAX`](super::playout::TRACKS_MAX).
    pub captured: Vec<CapturedFrame>,
    /// Frame periods that begin in it, silences aside: at most two a track, in order of the tracks' numbers.
    pub periods: Vec<PlayedPeriod>,
    /// Frames that were made up in this tick.
    pub concealed: u32,
    /// Frames that were recovered from the following frame's redundant copy in this tick.
    pub recovered: u32,
    /// Tracks that should have talked but have stalled.
    pub starved: u32,
}

/// A track as it sounds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayingTrack {
    /// Its number.
    pub track_id: u32,
    /// Level of this tick's sound, in −dBov: 0 (loud) ..= 127 (silence).
    pub level_dbov: u8,
}

/// A frame with a capture time that was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedFrame {
    /// The track it belongs to.
    pub track_id: u32,
    /// Its sequence number.
    pub seq: u16,
    /// When its first sample was captured, in the origin's clock.
    pub capture: Capture,
    /// How long after the beginning of the tick its first sample is heard, less than a tick.
    pub after: Duration,
}

/// A frame period of a track, as it was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayedPeriod {
    /// The track it belongs to.
    pub track_id: u32,
    /// The frame that it stands for; `None`: it was put in between two, or nothing has come for a while.
    pub seq: Option<u16>,
    /// Where its sound comes from.
    pub origin: SoundOrigin,
    /// How long after the beginning of the tick it begins, less than a tick.
    pub after: Duration,
}

/// Origin of a frame period's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundOrigin {
    /// The frame's own packet.
    Packet,
    /// The redundancy of a later packet.
    Recovered,
    /// Made up from the sound before.
    Concealed,
    /// Made up and fading out, then silence, as nothing has come though the speaker talks.
    Starved,
}

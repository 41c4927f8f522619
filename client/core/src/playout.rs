//! Counters of playout, summed over the tracks of a room.

/// Counters since the player was made, over all tracks; gauges of the track that is worst off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PlayoutStats {
    /// Frames that arrived, late ones included, duplicates not.
    pub received: u64,
    /// Frames that never arrived.
    pub lost: u64,
    /// Frames that arrived after their turn.
    pub late: u64,
    /// Frames that arrived more than once.
    pub duplicate: u64,
    /// Frames dropped unplayed: too far from playout, of a track too many, or piled up in a stall.
    pub dropped: u64,
    /// Frame periods that were made up.
    pub concealed: u64,
    /// Frames recovered from the redundancy of a frame after them.
    pub recovered: u64,
    /// Runs of frames that were not there in their turn.
    pub runs: u64,
    /// Frames whose content was malformed; they count as concealed too.
    pub undecodable: u64,
    /// Time added by stretching the sound, to make delays longer, in ms.
    pub lengthened_ms: f64,
    /// Time cut out by stretching the sound, to make delays shorter, in ms.
    pub shortened_ms: f64,
    /// Sound waiting in the fullest buffer, in ms.
    pub buffer_ms: f64,
    /// The longest delay that is aimed at, in ms.
    pub target_ms: f64,
    /// The largest interarrival jitter (RFC 3550), in ms.
    pub jitter_ms: f64,
}

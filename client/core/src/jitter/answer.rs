//! Answers and counters of a jitter buffer.

/// Verdict on a frame that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It waits for its turn.
    Buffered,
    /// Its turn is over; it is dropped.
    Late,
    /// It was here before; it is dropped.
    Duplicate,
    /// It is further ahead of playout than anything that can be waited for, and dropped. If the next
    /// frame follows it, the stream was restarted, and playout starts over from there.
    TooFarAhead,
}

/// Content of the next stretch of a track: one frame period, or less where nothing is played.
#[derive(Debug, PartialEq, Eq)]
pub enum Playout<'a, P> {
    /// This frame.
    Frame {
        /// Its sequence number.
        seq: u16,
        /// Its payload.
        payload: P,
    },
    /// A frame that did not come; conceal it, or recover it from a later one.
    Lost {
        /// Its sequence number.
        seq: u16,
        /// The nearest later frame that is here already, and how many places later it is: 1 if it is
        /// right after it, 50 at the most.
        next: Option<(u16, &'a P)>,
    },
    /// Conceal one frame period, while a missing frame is waited for.
    Stretch,
    /// Nothing is being said, or nothing has come yet.
    Silence {
        /// Samples at 48 kHz for which that is certain, at least 1 and at most a frame period; ask again
        /// after them, or after fewer.
        samples: usize,
    },
    /// The track should be talking, but nothing has come for a while. Ask again at the next tick: what
    /// comes is played at once.
    Starved,
}

/// Counters and state of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JitterStats {
    /// Frames that arrived, late ones included, duplicates not.
    pub received: u64,
    /// Frames that had not arrived when their turn came, and have not since.
    pub lost: u64,
    /// Frames that arrived after their turn.
    pub late: u64,
    /// Frames that arrived more than once.
    pub duplicate: u64,
    /// Frames that arrived too far ahead or behind, and were dropped.
    pub out_of_window: u64,
    /// Frames dropped because they had piled up, at a stream's beginning or after a stall, or because the stream has
    /// begun anew.
    pub skipped: u64,
    /// Frame periods concealed to wait for a frame that came.
    pub stretched: u64,
    /// From the next place to be played to the end of the last frame in the buffer, in ms.
    pub buffer_ms: f64,
    /// The delay that is aimed at, in ms.
    pub target_ms: f64,
    /// The delay that the quickest frame is given, in ms; 0 before anything was played.
    pub delay_ms: f64,
    /// Interarrival jitter (RFC 3550, 6.4.1), in ms.
    pub jitter_ms: f64,
}

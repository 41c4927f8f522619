//! Frames heard by a simulated client, and queries over them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tribune_protocol::ids::{Seq, TrackId};

/// A frame that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardFrame {
    /// Virtual time.
    pub at: Duration,
    /// Time at which the edge sent the packet.
    pub handed_over: Duration,
    /// Its track.
    pub track: TrackId,
    /// Its place in the track.
    pub seq: Seq,
    /// The counter in its Opus bytes; `None` in a mark, which has none.
    pub counter: Option<u64>,
    /// Number of the client's media datagram that carried it.
    pub datagram: u32,
    /// Its age by capture time and the client's estimate of the origin's clock, in microseconds, and
    /// how far that can be off, by the errors of both ends.
    pub latency: Option<(i64, u32)>,
}

/// All frames that came, in order.
#[derive(Debug, Default)]
pub struct Heard {
    frames: Vec<HeardFrame>,
    datagrams: u32,
}

impl Heard {
    /// The frames in order.
    #[must_use]
    pub fn frames(&self) -> &[HeardFrame] {
        &self.frames
    }

    /// Number of media datagrams received.
    #[must_use]
    pub const fn datagrams(&self) -> u32 {
        self.datagrams
    }

    /// The tracks heard.
    #[must_use]
    pub fn tracks(&self) -> BTreeSet<TrackId> {
        self.frames.iter().map(|frame| frame.track).collect()
    }

    /// The counters of a track's frames, each with how often it came.
    #[must_use]
    pub fn counters(&self, track: TrackId) -> BTreeMap<u64, u32> {
        let mut counters = BTreeMap::new();
        for counter in self.of(track).filter_map(|frame| frame.counter) {
            *counters.entry(counter).or_default() += 1;
        }
        counters
    }

    /// The frames of a track.
    pub fn of(&self, track: TrackId) -> impl DoubleEndedIterator<Item = &HeardFrame> {
        self.frames.iter().filter(move |frame| frame.track == track)
    }

    /// Frames that came more than once.
    #[must_use]
    pub fn duplicates(&self) -> usize {
        let counters = self.tracks().into_iter().flat_map(|track| self.counters(track));
        counters.filter(|(_, times)| *times > 1).count()
    }

    /// The counters of a track between the first and the last that came, without those that came.
    #[must_use]
    pub fn missing(&self, track: TrackId) -> Vec<u64> {
        let counters = self.counters(track);
        let (Some((first, _)), Some((last, _))) =
            (counters.first_key_value(), counters.last_key_value())
        else {
            return Vec::new();
        };
        (*first..=*last).filter(|counter| !counters.contains_key(counter)).collect()
    }

    /// The longest time without a frame of a track, between two that came after `from`, and when it
    /// began.
    #[must_use]
    pub fn longest_gap(&self, track: TrackId, from: Duration) -> (Duration, Duration) {
        let times: Vec<_> = self.of(track).map(|frame| frame.at).filter(|at| *at >= from).collect();
        let gaps = times.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
        gaps.max().unwrap_or_default()
    }

    /// Whether a frame of a track came after a time.
    #[must_use]
    pub fn since(&self, track: TrackId, from: Duration) -> usize {
        self.of(track).filter(|frame| frame.at > from).count()
    }

    pub(super) fn begin_datagram(&mut self) -> u32 {
        self.datagrams += 1;
        self.datagrams
    }

    pub(super) fn push(&mut self, frame: HeardFrame) {
        self.frames.push(frame);
    }
}

//! Measures of a listener's reception.

/// A measure of reception. The value of each report goes into one distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// From capture at the speaker to playout, in microseconds: the mean of the frames that tell.
    Latency,
    /// Error bound of the latency, in microseconds.
    LatencyError,
    /// Interarrival jitter (RFC 3550 section 6.4.1), in microseconds.
    Jitter,
    /// Sound that waits to be played, in microseconds.
    Buffer,
    /// Round trip to the edge, in microseconds.
    RoundTrip,
    /// Frames that never came in time, of those that should have, in millionths.
    Loss,
    /// Frame periods made up, of those in which somebody spoke, in millionths.
    Concealed,
    /// Frames lost in a row, in millionths of a frame: the mean of the runs of a report that has any.
    RunLength,
}

impl Measure {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Latency,
        Self::LatencyError,
        Self::Jitter,
        Self::Buffer,
        Self::RoundTrip,
        Self::Loss,
        Self::Concealed,
        Self::RunLength,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::LatencyError => "latency_error",
            Self::Jitter => "jitter",
            Self::Buffer => "buffer",
            Self::RoundTrip => "round_trip",
            Self::Loss => "loss",
            Self::Concealed => "concealment",
            Self::RunLength => "run_length",
        }
    }

    /// The upper bounds of the buckets, ascending, each inclusive, in the measure's unit. One more
    /// bucket is above them all.
    #[must_use]
    pub const fn bounds(self) -> &'static [u32] {
        match self {
            // Fine around what a conversation bears (150 ms, ITU-T G.114), coarse beyond.
            Self::Latency => &[
                10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 80_000, 100_000, 120_000, 150_000,
                200_000, 250_000, 300_000, 400_000, 500_000, 750_000, 1_000_000, 2_000_000,
                5_000_000,
            ],
            Self::LatencyError => {
                &[100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000]
            }
            Self::Jitter => {
                &[1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000]
            }
            Self::Buffer => &[
                20_000, 40_000, 60_000, 80_000, 100_000, 120_000, 160_000, 200_000, 300_000,
                400_000,
            ],
            Self::RoundTrip => &[
                1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 75_000, 100_000, 150_000,
                200_000, 300_000, 500_000,
            ],
            // The first bucket is for those who miss nothing.
            Self::Loss | Self::Concealed => {
                &[0, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000]
            }
            // The first bucket is for those who miss single frames only; fine where single losses that
            // follow each other by chance (1.25 frames at 20 %) are told from bursts.
            Self::RunLength => &[
                1_000_000, 1_200_000, 1_400_000, 1_600_000, 1_800_000, 2_000_000, 2_500_000,
                3_000_000, 4_000_000, 6_000_000, 10_000_000, 25_000_000,
            ],
        }
    }
}

//! The choices of a jitter buffer, each with its reason.

use std::time::Duration;

use super::{FRAME_PERIOD_US, micros};

/// The choices of a [`JitterBuffer`](super::JitterBuffer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JitterConfig {
    /// Least delay to begin a stream with, before anything has been measured. Default 60 ms: covers the scheduling noise of a busy
    /// machine at both ends (30 ms) and keeps the way from mouth to ear well under 150 ms.
    pub initial: Duration,
    /// Least delay. Default 40 ms: two frame periods, one because playout is clocked by frame
    /// periods, one for a sender that is late by a period.
    pub min: Duration,
    /// Most delay. Default 400 ms: beyond that people interrupt each other (ITU-T G.114).
    pub max: Duration,
    /// How much longer than the target the delay may be before a talkspurt's beginning shortens it.
    /// Default 60 ms: the first frame's own lateness and the rounding to ticks add up to less.
    pub slack: Duration,
    /// How much longer than the target the delay may be before it is shortened inside a talkspurt,
    /// where that can be heard. Default 120 ms.
    pub slack_talking: Duration,
    /// How long it must have been too long, inside one talkspurt, before a frame is dropped. Default
    /// 2 s: most talkspurts end before that, and where one ends it costs nothing.
    pub shrink_after: Duration,
    /// Time between two frame periods inserted inside a talkspurt, where every frame is there in time
    /// (where one is missing, nothing is lost by waiting for it). Default 200 ms.
    pub grow_interval: Duration,
    /// How long a track may be missing everything before that is a stall and no longer a loss.
    /// Default 100 ms: as long as a concealment sounds natural.
    pub starved_after: Duration,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(60),
            min: Duration::from_millis(40),
            max: Duration::from_millis(400),
            slack: Duration::from_millis(60),
            slack_talking: Duration::from_millis(120),
            shrink_after: Duration::from_secs(2),
            grow_interval: Duration::from_millis(200),
            starved_after: Duration::from_millis(100),
        }
    }
}

impl JitterConfig {
    pub(super) fn initial_us(&self) -> i64 {
        micros(self.initial)
    }

    pub(super) fn min_us(&self) -> i64 {
        micros(self.min)
    }

    pub(super) fn max_us(&self) -> i64 {
        micros(self.max).max(self.min_us())
    }

    pub(super) fn starved_after_ticks(&self) -> u32 {
        (micros(self.starved_after) / FRAME_PERIOD_US) as u32
    }
}

//! Bounds of repair: how long, how far and how often frames are asked for.

use std::time::Duration;

use super::MAX_MISSING;
use crate::limits::FRAME_PERIOD;

/// Bounds within which missing frames are worth asking for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Time after which a missing frame is of no use.
    pub(super) patience: Duration,
    /// Most frames missing in a row; more are an outage, or silence whose announcement was lost.
    pub(super) max_run: i16,
    /// Questions for a frame that only the clock knows of.
    pub(super) overdue_asks: u8,
}

impl Reach {
    /// Conversation: the longest that a live buffer waits, and runs of 200 ms. After a longer one the talk
    /// has gone on.
    pub const LIVE: Self =
        Self { patience: Duration::from_millis(400), max_run: 10, overdue_asks: 2 };
    /// All that a neighbour keeps: for relays, whose listeners may have the longest buffer.
    pub const RING: Self =
        Self { patience: Duration::from_secs(2), max_run: MAX_MISSING as i16, overdue_asks: 6 };
    /// Nothing is asked for: what is lost comes by itself.
    pub const NONE: Self = Self { patience: Duration::ZERO, max_run: 0, overdue_asks: 0 };

    /// As far as a buffer of this delay reaches.
    #[must_use]
    pub fn within(delay: Duration) -> Self {
        let run = delay.as_millis() / FRAME_PERIOD.as_millis();
        let max_run = i16::try_from(run).unwrap_or(i16::MAX).min(Self::RING.max_run);
        Self { patience: delay.min(Self::RING.patience), max_run, overdue_asks: 4 }
    }
}

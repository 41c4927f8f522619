//! The choices of a jitter buffer, each with its reason.

use std::time::Duration;

use tribune_protocol::limits::{MAX_PLAYOUT_DELAY, MIN_PLAYOUT_DELAY};

use super::{FRAME_PERIOD_US, micros};

/// How much longer than asked for the delay of an audience may become, for a network that is late by more.
const AUDIENCE_ABOVE: Duration = Duration::from_millis(500);

/// The choices of a [`JitterBuffer`](super::JitterBuffer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JitterConfig {
    /// Least delay before anything has been measured. Live: 35 ms, for the scheduling noise of a busy
    /// machine (30 ms) and a tick of playout (5 ms). The first pause makes it what was measured, or stretching after 9 s.
    pub initial: Duration,
    /// Least delay. Live: 10 ms, the margin and 1 ms of lateness that no network is without.
    pub min: Duration,
    /// Delay beyond the lateness that was measured. 9 ms: a frame is taken up to one tick of 5 ms before it
    /// is heard, the delay may be shorter than wanted by 2.5 ms before it is made longer, and timers are right to a
    /// millisecond.
    pub margin: Duration,
    /// Most delay. Live: 400 ms, beyond that people interrupt each other (ITU-T G.114).
    pub max: Duration,
    /// How long a missing frame is waited for; if nothing comes meanwhile, that is a stall and no longer a loss. 100 ms: as long as a concealment sounds natural.
    pub starved_after: Duration,
    /// Nothing that has come is dropped for having come late: for a recorder. A stall makes the delay longer by its
    /// length, for as long as stretching takes to make that up, a seventh of the time.
    pub keeps_all: bool,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self::live()
    }
}

impl JitterConfig {
    /// For people who talk to each other: no more delay than the network asks for.
    #[must_use]
    pub const fn live() -> Self {
        Self {
            initial: Duration::from_millis(35),
            min: Duration::from_millis(10),
            margin: Duration::from_millis(9),
            max: Duration::from_millis(400),
            starved_after: Duration::from_millis(100),
            keeps_all: false,
        }
    }

    /// For people who only listen: at least `delay`, between [`MIN_PLAYOUT_DELAY`] and [`MAX_PLAYOUT_DELAY`], in which a lost frame can
    /// be asked for again and again.
    #[must_use]
    pub fn audience(delay: Duration) -> Self {
        let delay = delay.clamp(MIN_PLAYOUT_DELAY, MAX_PLAYOUT_DELAY);
        Self { initial: delay, min: delay, max: delay + AUDIENCE_ABOVE, ..Self::live() }
    }

    /// The same for a recorder, which wants everything.
    #[must_use]
    pub fn reliable(delay: Duration) -> Self {
        Self { keeps_all: true, ..Self::audience(delay) }
    }

    pub(super) fn initial_us(&self) -> i64 {
        micros(self.initial)
    }

    pub(super) fn min_us(&self) -> i64 {
        micros(self.min)
    }

    pub(super) fn margin_us(&self) -> i64 {
        micros(self.margin)
    }

    pub(super) fn max_us(&self) -> i64 {
        micros(self.max).max(self.min_us())
    }

    pub(super) fn starved_after_periods(&self) -> u32 {
        (micros(self.starved_after) / FRAME_PERIOD_US) as u32
    }
}

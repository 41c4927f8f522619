//! Round of speech: the schedule that speakers and listeners of a fleet follow.

use tribune_bench::frame::Schedule;

/// Round of speech of a fleet that has joined. All rounds of a run count frames from the same instant, so
/// that no sequence number is used twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Schedule of the frames. Those before [`Self::first`] are not sent.
    pub(crate) schedule: Schedule,
    /// First frame that is sent.
    pub(crate) first: u32,
    /// Active speakers of each room: the first ones.
    pub(crate) speakers: u16,
    /// Whether listeners record their gaps second by second.
    pub(crate) gaps: bool,
}

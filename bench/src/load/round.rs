//! Round of speech: the schedule that speakers and listeners of a fleet follow.

use tribune_bench::frame::Schedule;

/// A stretch of speech over a standing work. All rounds of a run count their frames from the same
/// moment, as a speaker's frames do that pauses: their numbers are not used again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// When each frame is due. What lies before [`Self::first`] is not said.
    pub(crate) schedule: Schedule,
    /// The first frame that is said.
    pub(crate) first: u32,
    /// Speakers of each room that speak: the first ones.
    pub(crate) speakers: u16,
    /// Whether the listeners' gaps are wanted second by second.
    pub(crate) gaps: bool,
}

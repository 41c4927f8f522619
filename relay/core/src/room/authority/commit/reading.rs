//! Answers of the authority when it is asked: the state, counts, the part to keep, its next deadline.

use std::time::Instant;

use tribune_protocol::domain::room::{Listing, Phase, RoomState};
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::Revision;

use super::{Authority, Kept};

impl Authority {
    /// The state to publish.
    #[must_use]
    pub fn state(&self) -> &RoomState {
        self.state.published()
    }

    /// Number of changes of the state.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.effects.revision()
    }

    /// All rulings about persons.
    #[must_use]
    pub fn rulings(&self) -> Vec<Ruling> {
        self.state.rulings()
    }

    /// Participants on the stage, those away included.
    #[must_use]
    pub fn actors(&self) -> usize {
        self.state().stage.len()
    }

    /// Raised hands.
    #[must_use]
    pub fn hands(&self) -> usize {
        self.state.hands()
    }

    /// The room as the list of public rooms has it, if it is public.
    #[must_use]
    pub fn listing(&self) -> Option<Listing> {
        self.state.listing()
    }

    /// Whether something is being stored or read for it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pending.is_some()
            || !self.inbox.is_empty()
            || !self.reads.is_empty()
            || self.runs.is_reading()
    }

    /// Whether the room goes on though nobody asks for it: it is live, or announced.
    #[must_use]
    pub fn is_kept_awake(&self) -> bool {
        match self.state().phase {
            Phase::Live | Phase::Announced => true,
            Phase::Absent | Phase::Ended => false,
        }
    }

    /// The durable part; `None` if nothing was ever stored.
    #[must_use]
    pub fn keep(&self) -> Option<Kept> {
        let kept = self.ledger.kept()?;
        Some(Kept { statistics: self.runs.kept().map(|row| row.bytes), ..kept })
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let record = self.record_at.filter(|_| self.pending.is_none());
        [self.decision_due(), record].into_iter().flatten().min()
    }

    /// When time changes something about the room; not while a decision is being stored.
    pub(super) fn decision_due(&self) -> Option<Instant> {
        if self.pending.is_some() {
            return None;
        }
        let due = self.state.poll_timeout()?;
        Some(self.retry_at.map_or(due, |retry| due.max(retry)))
    }
}

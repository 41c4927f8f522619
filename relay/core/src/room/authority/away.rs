//! Places kept on the stage and in the queue for participants whose connection is gone.

use std::collections::VecDeque;
use std::time::Instant;

use tribune_protocol::ids::ParticipantId;

/// Participants who are away and when their places are given up, soonest first; at most the stage and
/// the queue.
#[derive(Debug, Clone, Default)]
pub(in crate::room) struct Away {
    places: VecDeque<(ParticipantId, Instant)>,
}

impl Away {
    /// Keeps a place until then; `until` is no sooner than that of the places before.
    pub(super) fn add(&mut self, who: ParticipantId, until: Instant) {
        self.places.push_back((who, until));
    }

    /// The place is taken again, or gone.
    pub(super) fn remove(&mut self, who: ParticipantId) {
        self.places.retain(|&(away, _)| away != who);
    }

    pub(in crate::room) fn contains(&self, who: ParticipantId) -> bool {
        self.places.iter().any(|&(away, _)| away == who)
    }

    /// A participant whose place is given up by now.
    pub(super) fn expired(&self, now: Instant) -> Option<ParticipantId> {
        self.places.front().filter(|&&(_, until)| until <= now).map(|&(who, _)| who)
    }

    /// When the next place is given up.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.places.front().map(|&(_, until)| until)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The places, soonest expiry first.
    #[cfg(test)]
    pub(in crate::room) fn iter(&self) -> impl Iterator<Item = (ParticipantId, Instant)> {
        self.places.iter().copied()
    }
}

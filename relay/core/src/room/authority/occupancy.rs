//! The audience's size, and when the room ends because nobody is in it or nobody opens it.

use std::time::Instant;

/// Listeners of a room, and until when it waits for somebody.
#[derive(Debug, Clone, Default)]
pub(in crate::room) struct Occupancy {
    listeners: u64,
    empty_until: Option<Instant>,
}

impl Occupancy {
    /// Participants without a role in the whole tree.
    pub(super) const fn listeners(&self) -> u64 {
        self.listeners
    }

    pub(super) fn set_listeners(&mut self, listeners: u64) {
        self.listeners = listeners;
    }

    /// When the room ends, if nobody comes.
    pub(super) const fn empty_until(&self) -> Option<Instant> {
        self.empty_until
    }

    pub(super) fn set_empty_until(&mut self, until: Option<Instant>) {
        self.empty_until = until;
    }
}

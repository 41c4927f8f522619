//! Log entries of the input that is being handled, not yet signed or stored.

use tribune_protocol::log::Draft;

/// Entries drafted by one input, and the number of those that are durable.
#[derive(Debug, Clone, Default)]
pub(in crate::room) struct Drafts {
    drafts: Vec<Draft>,
    durable: u64,
}

impl Drafts {
    /// Notes an entry. Returns the number that it will have in the log.
    pub(super) fn add(&mut self, draft: Draft) -> u64 {
        self.drafts.push(draft);
        self.durable + self.drafts.len() as u64
    }

    /// Hands over the drafts.
    pub(super) fn take(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.drafts)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// That many entries of the log are durable.
    pub(super) fn set_durable(&mut self, entries: u64) {
        self.durable = entries;
    }
}

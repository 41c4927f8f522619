//! Subscription of a room at the parent: its trunk, and how far the parent's state has come. Part of
//! [`crate::room::replica::Replica`]; the origin has none.

use tribune_protocol::control::participant::Heard;
use tribune_protocol::ids::{Channel, Revision};

use crate::messages::LinkId;

/// Subscription at the parent, or at none for now.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    trunk: Option<(LinkId, Channel)>,
    /// A state has come from a parent.
    is_known: bool,
    /// Revision confirmed to the parent.
    confirmed: Revision,
    /// The last frames that came from a parent that is gone.
    heard: Vec<Heard>,
}

impl Subscription {
    /// Trunk to the parent, and the room's channel on it.
    pub(crate) const fn trunk(&self) -> Option<(LinkId, Channel)> {
        self.trunk
    }

    /// Whether a state has come from a parent, this one or, while there is none, the last one.
    pub(crate) const fn has_state(&self) -> bool {
        self.is_known
    }

    /// Whether there is a parent, and its state has come.
    pub(crate) const fn is_current(&self) -> bool {
        self.trunk.is_some() && self.is_known
    }

    /// Revision confirmed to the parent.
    pub(crate) const fn confirmed(&self) -> Revision {
        self.confirmed
    }

    /// Begins anew on another trunk.
    pub(crate) fn attach(&mut self, link: LinkId, channel: Channel) {
        *self = Self { trunk: Some((link, channel)), ..Self::default() };
    }

    /// The trunk is gone. Gives its link, if there was one.
    pub(crate) fn detach(&mut self) -> Option<LinkId> {
        self.trunk.take().map(|(link, _)| link)
    }

    /// Notes the last frames that came from a parent that is gone.
    pub(crate) fn note_heard(&mut self, heard: Vec<Heard>) {
        self.heard = heard;
    }

    /// Takes these frames, for the next parent.
    pub(crate) fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// A state has come.
    pub(crate) const fn note_state(&mut self) {
        self.is_known = true;
    }

    /// Channel on which a revision is to be confirmed, if it is news to the parent.
    pub(crate) fn confirm(&mut self, reached: Revision) -> Option<Channel> {
        let (_, channel) = self.trunk.filter(|_| self.is_known && self.confirmed < reached)?;
        self.confirmed = reached;
        Some(channel)
    }
}

//! Routing: actions on their way up, and for their answers the child below which each participant is
//! that the origin knows of. Part of [`crate::room::replica::Replica`].

use std::collections::BTreeMap;

use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::ids::{ParticipantId, RequestId};

use crate::messages::LinkId;

/// Action of a participant below.
#[derive(Debug)]
pub struct RelayedAction {
    /// The participant, or the id by which a one-shot request is routed.
    pub who: ParticipantId,
    /// The request to be answered.
    pub request: Option<RequestId>,
    /// Credentials as the edge has checked them.
    pub by: Option<Credentials>,
    /// The action.
    pub action: Action,
}

/// Homes of the participants below who have acted: joined the stage, raised a hand, asked something.
#[derive(Debug, Default)]
pub(crate) struct Homes(BTreeMap<ParticipantId, LinkId>);

impl Homes {
    /// Child below which a participant is.
    pub(crate) fn get(&self, who: ParticipantId) -> Option<LinkId> {
        self.0.get(&who).copied()
    }

    /// Notes where a participant is now; `None`: not below any child. Gives the home before.
    pub(crate) fn set(&mut self, who: ParticipantId, home: Option<LinkId>) -> Option<LinkId> {
        match home {
            Some(link) => self.0.insert(who, link),
            None => self.0.remove(&who),
        }
    }

    /// All participants with a home.
    pub(crate) fn participants(&self) -> impl Iterator<Item = ParticipantId> {
        self.0.keys().copied()
    }

    /// Participants below one child.
    pub(crate) fn below(&self, child: LinkId) -> Vec<ParticipantId> {
        self.0.iter().filter(|(_, home)| **home == child).map(|(who, _)| *who).collect()
    }
}

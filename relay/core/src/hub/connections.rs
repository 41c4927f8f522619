//! Connections of participants: the room that each has joined, and the one-shot request that it runs.

use std::net::SocketAddr;

use rustc_hash::FxHashMap;
use tribune_protocol::ids::{ParticipantId, RequestId};

use crate::counters::Transport;
use crate::messages::{LinkId, RoomId};

/// Sender of a participant's message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) link: LinkId,
    pub(super) remote: SocketAddr,
    pub(super) transport: Transport,
    pub(super) request: Option<RequestId>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Connections {
    joined: FxHashMap<LinkId, (RoomId, ParticipantId)>,
    /// The last request's room, and the id by which its answer is routed.
    one_shots: FxHashMap<LinkId, (RoomId, ParticipantId)>,
}

impl Connections {
    /// Connections with a participant.
    pub(super) fn participants(&self) -> usize {
        self.joined.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.one_shots.is_empty()
    }

    /// Room and participant of a connection.
    pub(super) fn joined(&self, link: LinkId) -> Option<(RoomId, ParticipantId)> {
        self.joined.get(&link).copied()
    }

    pub(super) fn join(&mut self, link: LinkId, room: RoomId, who: ParticipantId) {
        self.joined.insert(link, (room, who));
    }

    /// Forgets a connection's participant.
    pub(super) fn leave(&mut self, link: LinkId) -> Option<(RoomId, ParticipantId)> {
        self.joined.remove(&link)
    }

    /// Whether a connection runs one-shot requests.
    pub(super) fn has_one_shot(&self, link: LinkId) -> bool {
        self.one_shots.contains_key(&link)
    }

    /// Notes the one-shot request that a connection runs; `None`: none any more. Gives the one before, if
    /// it is another.
    pub(super) fn set_one_shot(
        &mut self,
        link: LinkId,
        next: Option<(RoomId, ParticipantId)>,
    ) -> Option<(RoomId, ParticipantId)> {
        let before = match next {
            Some(next) => self.one_shots.insert(link, next),
            None => self.one_shots.remove(&link),
        };
        before.filter(|before| Some(*before) != next)
    }

    /// A connection is closed.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.joined.remove(&link);
        self.one_shots.remove(&link);
    }
}

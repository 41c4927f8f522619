//! What the hub's machines want done, in order: commands to shards, and control messages as such
//! commands. Rooms and the tree fill it, the hub's owner drains it. Encoding happens here, once per
//! message, also for a broadcast.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::encode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::ids::RequestId;

use crate::crossing::{LinkId, RoomId, ShardCommand, ShardId, ShardSet};

/// Effects, first in, first out.
#[derive(Debug, Default)]
pub struct Outbox {
    commands: VecDeque<(ShardId, ShardCommand)>,
    /// The trunk to the parent, while there is one that is attached.
    parent: Option<LinkId>,
    /// Children that did not confirm in time.
    lagging: Vec<LinkId>,
    /// Rooms that have ended.
    over: Vec<RoomId>,
    /// Joins that have been answered, and how.
    joins: Vec<Result<(), ErrorCode>>,
    unsendable: u64,
}

impl Outbox {
    /// Names the trunk to the parent from now on.
    pub const fn set_parent(&mut self, parent: Option<LinkId>) {
        self.parent = parent;
    }

    /// The trunk to the parent.
    #[must_use]
    pub const fn parent(&self) -> Option<LinkId> {
        self.parent
    }

    /// A command to a shard.
    pub fn shard(&mut self, shard: ShardId, command: ShardCommand) {
        self.commands.push_back((shard, command));
    }

    /// A message to a participant.
    pub fn to_participant(
        &mut self,
        link: LinkId,
        request: Option<RequestId>,
        message: &ToParticipant,
    ) {
        self.send(link, request, message);
    }

    /// A message to all participants of a room.
    pub fn to_participants(&mut self, room: RoomId, shards: ShardSet, message: &ToParticipant) {
        let Some(message) = self.encoded(None, message) else { return };
        for shard in shards.iter() {
            let message = message.clone();
            self.shard(shard, ShardCommand::Broadcast { room, message });
        }
    }

    /// A message to a child.
    pub fn to_child(&mut self, link: LinkId, message: &ToChild) {
        self.send(link, None, message);
    }

    /// A message to the parent; nothing if there is none.
    pub fn to_parent(&mut self, message: &ToParent) {
        if let Some(parent) = self.parent {
            self.send(parent, None, message);
        }
    }

    /// Closes a connection.
    pub fn close(&mut self, link: LinkId, code: CloseCode, reason: impl Into<String>) {
        let reason = reason.into();
        self.shard(link.shard, ShardCommand::Close { link, code, reason });
    }

    /// Names a child that did not confirm in time; the hub parts with it.
    pub fn lagging(&mut self, child: LinkId) {
        self.lagging.push(child);
    }

    /// The children named by [`Self::lagging`].
    pub fn take_lagging(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.lagging)
    }

    /// Names a room that has ended; the hub forgets it.
    pub fn over(&mut self, room: RoomId) {
        self.over.push(room);
    }

    /// The rooms named by [`Self::over`].
    pub fn take_over(&mut self) -> Vec<RoomId> {
        std::mem::take(&mut self.over)
    }

    /// Notes how a join was answered, for the counters.
    pub fn join_answered(&mut self, answer: Result<(), ErrorCode>) {
        self.joins.push(answer);
    }

    /// What was noted by [`Self::join_answered`].
    pub fn take_joins(&mut self) -> Vec<Result<(), ErrorCode>> {
        std::mem::take(&mut self.joins)
    }

    /// The next command.
    pub fn poll_command(&mut self) -> Option<(ShardId, ShardCommand)> {
        self.commands.pop_front()
    }

    /// Messages that were over the limit, which the limits of their parts rule out.
    #[must_use]
    pub const fn unsendable(&self) -> u64 {
        self.unsendable
    }

    fn send<M: Serialize>(&mut self, link: LinkId, request: Option<RequestId>, message: &M) {
        if let Some(message) = self.encoded(request, message) {
            self.shard(link.shard, ShardCommand::Send { link, message });
        }
    }

    fn encoded<M: Serialize>(&mut self, request: Option<RequestId>, message: &M) -> Option<Bytes> {
        let encoded = encode(request, message).ok();
        self.unsendable += u64::from(encoded.is_none());
        encoded
    }
}

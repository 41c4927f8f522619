//! Effects of the hub's machines, in order: commands to shards, and control messages as such commands.
//! Rooms and the tree fill it, the hub's owner drains it. Messages are encoded here, once each, also
//! for a broadcast.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::encode;
use tribune_protocol::control::participant::{Heard, ToParticipant};
use tribune_protocol::control::query::TreeQuery;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::ids::{ParticipantId, RequestId, RoomName};
use tribune_protocol::quality::report::Report;

use crate::counters::KindCounts;
use crate::messages::{LinkId, RoomId, ShardCommand, ShardId, ShardSet};
use crate::store::{Batch, StatisticsRow};

/// Request of a room at its origin to the store. The hub numbers it.
#[derive(Debug)]
pub enum RoomRequest {
    /// Store a decision.
    Write(Batch),
    /// Store statistics.
    KeepStatistics(StatisticsRow),
    /// Read the statistics of a run.
    ReadStatistics {
        /// Comes back with the answer.
        ticket: u64,
        /// The run; `None`: the newest one.
        run: Option<u32>,
    },
    /// Read the log.
    ReadLog {
        /// Comes back with the answer.
        ticket: u64,
        /// The first entry wanted.
        from: u64,
        /// Entries at most.
        limit: usize,
    },
}

/// Fact for the hub's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// A join has been answered.
    Join(Result<(), ErrorCode>),
    /// Another relay was named to a participant beyond the capacity.
    Redirected,
    /// A reaction has been sent.
    Reaction,
    /// A message of the audience has been written.
    Text,
    /// A vote has been given or taken back.
    Vote,
    /// A share link that is none of the room's has been shown.
    ShareRefused,
    /// A tally, sketch or report of speech of a relay below does not count.
    TallyRefused,
    /// A newer token has been shown.
    TokenRenewed,
    /// A token has run out.
    TokenExpired,
    /// A participant of this relay has reported its quality.
    Reported(Report),
    /// A participant's report does not count.
    ReportRefused,
}

/// Query of a participant about listeners at this relay and below.
#[derive(Debug)]
pub struct RoomQuery {
    /// The room.
    pub room: RoomId,
    /// The participant.
    pub to: ParticipantId,
    /// The request to answer.
    pub request: Option<RequestId>,
    /// The query.
    pub about: TreeQuery,
}

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
    /// Requests of rooms to the store.
    stores: VecDeque<(RoomId, RoomRequest)>,
    /// Rooms that are public from now on, or not any more.
    listed: Vec<(RoomName, bool)>,
    /// Facts for the counters.
    noted: Vec<Noted>,
    /// Queries of rooms along the tree.
    queries: Vec<RoomQuery>,
    /// Messages written, by kind.
    sent: KindCounts,
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
        self.send(link, request, message.kind(), message);
    }

    /// A message to all participants of a room.
    pub fn to_participants(&mut self, room: RoomId, shards: ShardSet, message: &ToParticipant) {
        if shards == ShardSet::default() {
            return;
        }
        let Some(message) = self.encoded(None, message.kind(), message) else { return };
        for shard in shards.iter() {
            let message = message.clone();
            self.shard(shard, ShardCommand::Broadcast { room, message });
        }
    }

    /// A message to a child.
    pub fn to_child(&mut self, link: LinkId, message: &ToChild) {
        self.send(link, None, message.kind(), message);
    }

    /// A message to the parent; nothing if there is none.
    pub fn to_parent(&mut self, message: &ToParent) {
        if let Some(parent) = self.parent {
            self.send(parent, None, message.kind(), message);
        }
    }

    /// A message to a relay above that is not the parent, or not any more.
    pub fn to_relay_above(&mut self, link: LinkId, message: &ToParent) {
        self.send(link, None, message.kind(), message);
    }

    /// Sends a connection what is kept of a room after the frames that it has heard last, if it names any.
    /// `keeper`: see [`ShardCommand::Resume`].
    pub fn resume(
        &mut self,
        link: LinkId,
        room: RoomId,
        heard: Vec<Heard>,
        keeper: Option<ShardId>,
    ) {
        if !heard.is_empty() {
            self.shard(link.shard, ShardCommand::Resume { link, room, heard, keeper });
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

    /// Queues a room's request to the store.
    pub fn store(&mut self, room: RoomId, request: RoomRequest) {
        self.stores.push_back((room, request));
    }

    /// The next request of [`Self::store`].
    pub fn poll_store(&mut self) -> Option<(RoomId, RoomRequest)> {
        self.stores.pop_front()
    }

    /// Notes whether a room is public now.
    pub fn listed(&mut self, room: RoomName, is_listed: bool) {
        self.listed.push((room, is_listed));
    }

    /// Takes the rooms of [`Self::listed`].
    pub fn take_listed(&mut self) -> Vec<(RoomName, bool)> {
        std::mem::take(&mut self.listed)
    }

    /// Queues a participant's query along the tree.
    pub fn query(
        &mut self,
        room: RoomId,
        to: ParticipantId,
        request: Option<RequestId>,
        about: TreeQuery,
    ) {
        self.queries.push(RoomQuery { room, to, request, about });
    }

    /// Takes the queries of [`Self::query`].
    pub fn take_queries(&mut self) -> Vec<RoomQuery> {
        std::mem::take(&mut self.queries)
    }

    /// Notes a fact for the counters.
    pub fn note(&mut self, noted: Noted) {
        self.noted.push(noted);
    }

    /// Takes the facts of [`Self::note`].
    pub fn take_noted(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.noted)
    }

    /// The next command.
    pub fn poll_command(&mut self) -> Option<(ShardId, ShardCommand)> {
        self.commands.pop_front()
    }

    /// Number of messages over the size limit, which the limits of their parts rule out.
    #[must_use]
    pub const fn unsendable(&self) -> u64 {
        self.unsendable
    }

    /// Messages written, by kind; one to everybody in a room counts once.
    #[must_use]
    pub const fn sent(&self) -> &KindCounts {
        &self.sent
    }

    fn send<M: Serialize>(
        &mut self,
        link: LinkId,
        request: Option<RequestId>,
        kind: &'static str,
        message: &M,
    ) {
        if let Some(message) = self.encoded(request, kind, message) {
            self.shard(link.shard, ShardCommand::Send { link, message });
        }
    }

    fn encoded<M: Serialize>(
        &mut self,
        request: Option<RequestId>,
        kind: &'static str,
        message: &M,
    ) -> Option<Bytes> {
        let encoded = encode(request, message).ok();
        match encoded {
            Some(_) => self.sent.count(kind),
            None => self.unsendable += 1,
        }
        encoded
    }
}

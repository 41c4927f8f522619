//! Attachments: connections of a room per shard, the revision in force on each shard, and the numbers
//! of listeners that travel the tree. Part of [`crate::room::replica::Replica`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::ids::Revision;

use crate::messages::{RoomId, ShardCommand, ShardId, ShardSet};
use crate::outbox::Outbox;

/// Shortest pause between two counts of listeners.
const COUNT_PERIOD: Duration = Duration::from_secs(1);

/// Shards with connections of the room.
#[derive(Debug, Default)]
pub(crate) struct Attachments {
    shards: BTreeMap<ShardId, AttachedShard>,
}

#[derive(Debug, Default)]
struct AttachedShard {
    connections: usize,
    /// `None` until the shard confirms its first routes.
    in_force: Option<Revision>,
}

/// Numbers of listeners: the one sent last, and the whole tree's.
#[derive(Debug)]
pub(crate) struct ListenerCounts {
    /// Sent last, upwards or, on the origin, downwards.
    sent: u64,
    /// Earliest time of the next count.
    send_from: Option<Instant>,
    /// Listeners in the whole tree, as the origin says.
    whole_tree: u64,
}

impl Attachments {
    /// Counts one more connection of a shard. Whether it is the shard's first.
    pub(crate) fn add(&mut self, shard: ShardId) -> bool {
        let attached = self.shards.entry(shard).or_default();
        attached.connections += 1;
        if attached.connections == 1 {
            attached.in_force = None;
        }
        attached.connections == 1
    }

    /// A shard that has had connections of the room for longer, if `shard` has its first.
    pub(crate) fn keeper_for(&self, shard: ShardId) -> Option<ShardId> {
        let is_first = self.shards.get(&shard).is_none_or(|attached| attached.connections <= 1);
        self.shards.keys().copied().find(|other| is_first && *other != shard)
    }

    /// Counts one connection of a shard less. Whether it was the shard's last.
    pub(crate) fn remove(&mut self, shard: ShardId) -> bool {
        let Some(attached) = self.shards.get_mut(&shard) else { return false };
        attached.connections -= 1;
        let is_last = attached.connections == 0;
        if is_last {
            self.shards.remove(&shard);
        }
        is_last
    }

    /// Tells each shard which shards have connections of the room.
    pub(crate) fn announce(&self, room: RoomId, out: &mut Outbox) {
        let shards = self.set();
        for shard in shards.iter() {
            out.shard(shard, ShardCommand::Hosts { room, shards });
        }
    }

    /// Shards with connections of the room, in order.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.shards.keys().copied()
    }

    /// The same as a set.
    pub(crate) fn set(&self) -> ShardSet {
        let mut shards = ShardSet::default();
        self.shards().for_each(|shard| shards.insert(shard));
        shards
    }

    /// Notes the revision in force on a shard.
    pub(crate) fn confirm(&mut self, shard: ShardId, revision: Revision) {
        if let Some(attached) = self.shards.get_mut(&shard) {
            attached.in_force = Some(revision);
        }
    }

    /// Revision in force on each shard.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = Revision> {
        self.shards.values().map(|attached| attached.in_force.unwrap_or(Revision(0)))
    }
}

impl ListenerCounts {
    /// No listeners; a first count is sent from `now` on.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { sent: 0, send_from: Some(now), whole_tree: 0 }
    }

    /// When a count is to be sent, if there are `listeners` now.
    pub(crate) fn due(&self, listeners: u64) -> Option<Instant> {
        self.send_from.filter(|_| listeners != self.sent)
    }

    /// Notes the count sent regularly; the next one keeps its distance.
    pub(crate) fn note_sent(&mut self, now: Instant, listeners: u64) {
        self.sent = listeners;
        self.send_from = Some(now + COUNT_PERIOD);
    }

    /// Notes the count sent to a new parent, outside the regular ones.
    pub(crate) const fn note_sent_to_new_parent(&mut self, listeners: u64) {
        self.sent = listeners;
    }

    /// Listeners in the whole tree, as the origin said last.
    pub(crate) const fn whole_tree(&self) -> u64 {
        self.whole_tree
    }

    /// Takes the origin's count.
    pub(crate) const fn set_whole_tree(&mut self, count: u64) {
        self.whole_tree = count;
    }
}

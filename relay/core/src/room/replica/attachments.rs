//! The connections of a room on this relay, by shard, and how many listen: here, below, and in the
//! whole tree. Used by [`crate::room::Room`].

use std::time::{Duration, Instant};

use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::ids::Revision;

use crate::messages::{Hears, LinkId, ShardCommand, ShardSet};
use crate::outbox::Outbox;
use crate::room::{Place, Room};

/// Counts of listeners travel this often at most.
const COUNT_PERIOD: Duration = Duration::from_secs(1);

/// A shard with connections of the room.
#[derive(Debug, Default)]
pub(in crate::room) struct Host {
    pub(in crate::room) links: usize,
    pub(in crate::room) in_force: Option<Revision>,
}

/// Listeners, as they were said last.
#[derive(Debug, Default)]
pub(in crate::room) struct Counts {
    /// What was last said upwards, or on the origin, downwards.
    pub(in crate::room) said: u64,
    pub(in crate::room) say_from: Option<Instant>,
    /// Listeners in the whole tree, as the origin says.
    pub(in crate::room) whole_tree: u64,
}

impl Room {
    /// A connection hears the room from now on.
    pub(in crate::room) fn host(&mut self, link: LinkId, hears: Hears, out: &mut Outbox) {
        self.idle_since = None;
        let host = self.hosts.entry(link.shard).or_default();
        host.links += 1;
        if host.links == 1 {
            host.in_force = None;
            let (room, revision, tracks) = (self.id, self.revision, self.routes());
            out.shard(link.shard, ShardCommand::Routes { room, revision, tracks });
            self.send_hosts(out);
        }
        out.shard(link.shard, ShardCommand::Attach { link, room: self.id, hears });
    }

    /// A connection hears the room no more.
    pub(in crate::room) fn unhost(&mut self, link: LinkId, out: &mut Outbox) {
        out.shard(link.shard, ShardCommand::Detach { link, room: self.id });
        let Some(host) = self.hosts.get_mut(&link.shard) else { return };
        host.links -= 1;
        if host.links == 0 {
            self.hosts.remove(&link.shard);
            out.shard(link.shard, ShardCommand::Forget { room: self.id });
            self.send_hosts(out);
        }
    }

    pub(in crate::room) fn send_hosts(&self, out: &mut Outbox) {
        let shards = self.shards();
        for shard in shards.iter() {
            out.shard(shard, ShardCommand::Hosts { room: self.id, shards });
        }
    }

    pub(in crate::room) fn shards(&self) -> ShardSet {
        let mut shards = ShardSet::default();
        self.hosts.keys().for_each(|shard| shards.insert(*shard));
        shards
    }

    pub(in crate::room) fn count_due(&self) -> Option<Instant> {
        self.counts.say_from.filter(|_| self.listeners() != self.counts.said)
    }

    /// Says how many listen, upwards or, on the origin, downwards.
    pub(in crate::room) fn say_counts(&mut self, now: Instant, out: &mut Outbox) {
        if self.count_due().is_none_or(|due| now < due) {
            return;
        }
        let listeners = self.listeners();
        self.counts.said = listeners;
        self.counts.say_from = Some(now + COUNT_PERIOD);
        match &mut self.place {
            Place::Origin(authority) => {
                authority.handle_audience(now, listeners);
                self.handle_count(listeners, out);
                self.drain_authority(now, out);
            }
            Place::Below { link: Some((_, channel)), .. } => {
                let channel = *channel;
                out.to_parent(&ToParent::Audience { channel, listeners });
            }
            Place::Below { link: None, .. } => {}
        }
    }

    /// The origin says how many listen in the whole tree.
    pub fn handle_count(&mut self, count: u64, out: &mut Outbox) {
        self.counts.whole_tree = count;
        out.to_participants(self.id, self.shards(), &ToParticipant::Listeners { count });
        for (link, child) in &self.children {
            out.to_child(*link, &ToChild::Listeners { channel: child.channel, count });
        }
    }
}

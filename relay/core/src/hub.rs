//! The one owner of a relay's rooms and of its place in the tree. Pure: shards' events in, commands
//! to shards out. The relay gives it a task of its own; the simulated network calls it directly.
//!
//! Call `handle_*`, then drain [`Hub::poll_effect`], then wait until [`Hub::poll_timeout`].
//!
//! Participants are dealt with in [`participants`], other relays in [`trunks`], another parent beside
//! the old one in [`handoff`], the relay's end and its capacity in [`draining`], lists of rooms in
//! [`lists`], what outlives the relay in [`storage`], what operators see in [`metrics`], what they and
//! other relays ask in [`query`].

mod draining;
mod handoff;
mod lists;
mod metrics;
mod participants;
mod query;
mod storage;
#[cfg(test)]
mod tests;
mod trunks;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::ids::{Channel, DisplayName, ParticipantId, RelayId, Revision, RoomName};
use tribune_protocol::time::Offset;

use self::draining::Drain;
use self::handoff::OldParent;
use self::lists::Lists;
use self::participants::Sender;
use self::query::SelfKnowledge;
use self::storage::Storage;
use crate::auth::Auth;
use crate::auth::secret::Secret;
use crate::counters::HubCounters;
use crate::messages::{LinkId, RoomId, ShardCommand, ShardEvent, ShardId};
use crate::outbox::{Noted, Outbox};
use crate::query::Answer;
use crate::query::Readiness;
use crate::room::Room;
use crate::room::context::RoomContext;
use crate::store::StoreRequest;
use crate::tree::children::Children;
use crate::tree::host_port::HostPort;
use crate::tree::query::{Ticket, TreeQueries};
use crate::tree::target::Target;
use crate::tree::uplink::Uplink;

/// What a hub is made of.
#[derive(Debug)]
pub struct HubConfig {
    /// This relay.
    pub relay: RelayId,
    /// What it is called.
    pub name: DisplayName,
    /// How many shards it has.
    pub shards: u8,
    /// Parents to choose from, best first; none: the relay is the origin of its rooms.
    pub parents: Vec<HostPort>,
    /// What is asked of participants and children.
    pub auth: Auth,
    /// The clock, who may do what, and the key that this relay signs logs with as an origin.
    pub setup: Arc<RoomContext>,
    /// What this relay shows to a parent that wants a token.
    pub relay_token: Option<Secret>,
    /// Rooms at the same time.
    pub max_rooms: usize,
    /// What the origin's rooms count their changes from. Above what an earlier life of this relay has
    /// counted to, so that a confirmation of then is none of now.
    pub first_revision: Revision,
    /// Participants at the same time; `None`: as many as there are connections.
    pub capacity: Option<usize>,
    /// Where those go who would be too many, in turn.
    pub redirect_to: Vec<String>,
    /// Where participants and children go when the relay drains.
    pub drain_to: Option<String>,
    /// How long it drains.
    pub drain_timeout: Duration,
    /// Spreads the pauses between attempts to reach a parent.
    pub seed: [u8; 32],
}

/// What the hub wants done.
#[derive(Debug)]
pub enum HubEffect {
    /// Tell a shard.
    Shard(ShardId, ShardCommand),
    /// Look up the parent, then have shard 0 dial it; if there is no such address, tell
    /// [`Hub::handle_event`] that the dial failed.
    Dial {
        /// The attempt.
        dial: crate::messages::DialId,
        /// Which parent.
        target: Target,
    },
    /// Ask the store; the answer goes to [`Hub::handle_stored`].
    Store(StoreRequest),
    /// What [`Hub::handle_query`] was asked.
    Answer {
        /// By whom.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Everybody has gone, or the time is over: the relay can end.
    Drained,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    rooms: BTreeMap<RoomId, Room>,
    names: BTreeMap<RoomName, RoomId>,
    next_room: u32,
    participants: FxHashMap<LinkId, (RoomId, ParticipantId)>,
    /// Connections that run errands, with the last one's room and the id that its answer comes to.
    errands: FxHashMap<LinkId, (RoomId, ParticipantId)>,
    lists: Lists,
    storage: Storage,
    attach: Uplink,
    children: Children,
    /// Rooms on the trunk to the parent.
    channels: BTreeMap<Channel, RoomId>,
    next_channel: u32,
    /// The parent that the relay moves away from, beside the one that it has.
    old_parent: Option<OldParent>,
    height_said: u8,
    /// What the parent was told that has not answered yet.
    height_greeted: u8,
    was_attached: bool,
    drain: Option<Drain>,
    /// Participants that a place was named to in turn.
    redirected: usize,
    started: Instant,
    /// Questions along the tree.
    looks: TreeQueries,
    knowledge: SelfKnowledge,
    out: Outbox,
    /// What is to be done besides commands to shards.
    asides: VecDeque<HubEffect>,
    counters: HubCounters,
}

impl Hub {
    /// A hub without rooms.
    #[must_use]
    pub fn new(config: HubConfig, now: Instant) -> Self {
        let attach = Uplink::new(config.relay, config.parents.clone(), now, config.seed);
        let mut out = Outbox::default();
        if attach.is_origin() {
            for shard in 0..config.shards {
                out.shard(ShardId(shard), ShardCommand::Clock(Some(Offset::ORIGIN)));
            }
        }
        Self {
            config,
            rooms: BTreeMap::new(),
            names: BTreeMap::new(),
            next_room: 1,
            participants: FxHashMap::default(),
            errands: FxHashMap::default(),
            lists: Lists::default(),
            storage: Storage::default(),
            attach,
            children: Children::default(),
            channels: BTreeMap::new(),
            next_channel: 1,
            old_parent: None,
            height_said: 0,
            height_greeted: 0,
            was_attached: false,
            drain: None,
            redirected: 0,
            started: now,
            looks: TreeQueries::default(),
            knowledge: SelfKnowledge::default(),
            out,
            asides: VecDeque::new(),
            counters: HubCounters::default(),
        }
    }

    /// Something from a shard.
    pub fn handle_event(&mut self, now: Instant, shard: ShardId, event: ShardEvent) {
        match event {
            ShardEvent::FromParticipant { link, remote, request, message } => {
                self.counters.control_received.count(message.kind());
                self.handle_participant(now, Sender { link, remote, request }, message);
            }
            ShardEvent::FromChild { link, remote, certified, message } => {
                self.counters.control_received.count(message.kind());
                self.handle_child(now, link, remote, certified, *message);
            }
            ShardEvent::FromParent { link, message } => {
                self.counters.control_received.count(message.kind());
                self.handle_parent(now, link, message);
            }
            ShardEvent::Dialled { dial, link } => {
                let effect = self.attach.handle_dialled(now, dial, link);
                self.apply_attach(now, effect);
            }
            ShardEvent::DialFailed { dial, why } => {
                tracing::warn!(why, "the parent cannot be reached");
                self.attach.handle_dial_failed(now, dial);
            }
            ShardEvent::Closed { link, why } => self.handle_closed(now, link, &why),
            ShardEvent::InForce { room, revision } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.handle_in_force(now, shard, revision, &mut self.out);
                }
            }
            ShardEvent::Clock { offset, rtt } => {
                self.counters.clock_error_us = u64::from(offset.error_us);
                self.counters.trunk_rtt_us = rtt.as_micros() as u64;
                for shard in 0..self.config.shards {
                    self.out.shard(ShardId(shard), ShardCommand::Clock(Some(offset)));
                }
            }
        }
        self.settle(now);
    }

    /// What time brings.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(effect) = self.attach.handle_timeout(now) {
            self.apply_attach(now, effect);
        }
        for room in self.rooms.values_mut() {
            if room.poll_timeout().is_some_and(|at| at <= now) {
                room.handle_timeout(now, &mut self.out);
            }
        }
        self.give_up_lists(now);
        self.looks.handle_timeout(now);
        let done = self.rooms.iter().filter(|(_, room)| room.is_done(now));
        for room in done.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.forget(now, room);
        }
        self.check_old_parent(now);
        self.settle(now);
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let rooms = self.rooms.values().filter_map(Room::poll_timeout).min();
        let moving = self.old_parent.as_ref().map(|old| old.until);
        let asked = [self.lists.due(), self.looks.poll_timeout()];
        let due = [rooms, moving, self.drain_until(), self.attach.poll_timeout()];
        due.into_iter().chain(asked).flatten().min()
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<HubEffect> {
        if let Some(aside) = self.asides.pop_front() {
            return Some(aside);
        }
        if let Some((shard, command)) = self.out.poll_command() {
            if let ShardCommand::Close { link, .. } = &command {
                self.participants.remove(link);
                self.errands.remove(link);
            }
            return Some(HubEffect::Shard(shard, command));
        }
        self.take_drained().then_some(HubEffect::Drained)
    }

    /// Whether participants should be sent here.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if self.drain.is_some() {
            Readiness::Draining
        } else if self.attach.path().is_empty() {
            Readiness::Detached
        } else {
            Readiness::Ready
        }
    }

    /// A room on this relay, for tests and inspection.
    #[must_use]
    pub fn room(&self, name: &RoomName) -> Option<&Room> {
        self.names.get(name).and_then(|id| self.rooms.get(id))
    }

    /// The relays from the origin down to this one; empty while there is no way to the origin.
    #[must_use]
    pub fn path(&self) -> Vec<RelayId> {
        self.attach.path()
    }

    fn handle_closed(&mut self, now: Instant, link: LinkId, why: &str) {
        if let Some((room, who)) = self.participants.remove(&link) {
            let room = self.rooms.get_mut(&room).filter(|room| room.has_member(who, link));
            if let Some(room) = room {
                room.handle_leave(now, who, false, &mut self.out);
            }
        } else if self.errands.contains_key(&link) {
            self.forget_errand(now, link, None);
        } else if self.children.get(link).is_some() {
            tracing::info!(why, "a child is gone");
            self.drop_child(now, link);
        } else if self.old_parent.as_ref().is_some_and(|old| old.link == link) {
            tracing::info!(why, "the old parent is gone");
            self.part_with_old_parent(now);
        } else if let Some(effect) = self.attach.handle_closed(now, link) {
            tracing::warn!(why, "the parent is gone");
            self.apply_attach(now, effect);
        }
    }

    /// The room of that name, made if it is not here.
    fn open(&mut self, now: Instant, name: RoomName) -> Option<RoomId> {
        if let Some(id) = self.names.get(&name) {
            return Some(*id);
        }
        if self.rooms.len() >= self.config.max_rooms {
            return None;
        }
        let id = RoomId(self.next_room);
        self.next_room += 1;
        let mut room = if self.attach.is_origin() {
            self.room_at_origin(now, id, &name)?
        } else {
            Room::below(id, name.clone(), Arc::clone(&self.config.setup), now)
        };
        room.number_requests_from(self.first_request(id));
        self.subscribe(now, id, &mut room);
        self.names.insert(name, id);
        self.rooms.insert(id, room);
        Some(id)
    }

    /// Where a room's requests are numbered from: by chance, so that relays begin far apart.
    fn first_request(&self, room: RoomId) -> u32 {
        let [a, b, c, d, ..] = self.config.seed;
        let mut hasher = rustc_hash::FxHasher::default();
        (u32::from_le_bytes([a, b, c, d]), self.config.relay.0, room.0).hash(&mut hasher);
        (hasher.finish() >> 32) as u32
    }

    fn forget(&mut self, now: Instant, id: RoomId) {
        let Some(mut room) = self.rooms.remove(&id) else { return };
        // Opened again, it counts on: relays that did not see it end hold to the higher revision.
        self.config.first_revision = self.config.first_revision.max(room.revision());
        if let Some(channel) = room.channel() {
            self.channels.remove(&channel);
        }
        room.leave_parent(now, &mut self.out);
        self.keep_closed(&room);
        // The name may belong to a room that has been opened since.
        if self.names.get(room.name()) == Some(&id) {
            self.names.remove(room.name());
            self.lists.note(room.name().clone(), false);
        }
    }

    /// What follows from what the machines have just done.
    fn settle(&mut self, now: Instant) {
        for link in self.out.take_lagging() {
            self.counters.trunk_lagging_closed += 1;
            let code = CloseCode::TrunkLagging;
            self.out.close(link, code, code.to_string());
            self.drop_child(now, link);
        }
        self.ask_store(now);
        for room in self.out.take_over() {
            self.forget(now, room);
        }
        for (room, is_listed) in self.out.take_listed() {
            self.lists.note(room, is_listed);
        }
        self.settle_queries(now);
        for noted in self.out.take_noted() {
            match noted {
                Noted::Join(Ok(())) => self.counters.joins_ok += 1,
                Noted::Join(Err(code)) => self.counters.joins_refused.count(code),
                Noted::Redirected => self.counters.joins_redirected += 1,
                Noted::Reaction => self.counters.reactions += 1,
                Noted::TokenRenewed => self.counters.tokens_renewed += 1,
                Noted::TokenExpired => self.counters.tokens_expired += 1,
                Noted::Reported(report) => {
                    self.knowledge.heard.add(&report);
                    self.knowledge.recent.add(now, &report);
                }
                Noted::ReportRefused => self.counters.reports_refused += 1,
            }
        }
        self.check_drained(now);
    }
}

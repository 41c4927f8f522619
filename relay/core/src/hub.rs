//! The one owner of a relay's rooms and of its place in the tree. Pure: shards' events in, commands to shards out.
//! The relay gives it a task of its own; the simulated network calls it directly.
//!
//! Call `handle_*`, then drain [`Hub::poll_effect`], then wait until [`Hub::poll_timeout`].
//!
//! The hub's dealings with participants and operators are in `participants`, with other relays in `relays`. Its parts
//! own their state: `rooms`, `connections` of participants, the trunk to the `parent`, `draining`, `lists` of public
//! rooms, `storage`. Pure functions: `status`, `queries` and `news`.

mod below;
mod config;
mod connections;
mod draining;
mod lists;
mod news;
mod parent;
mod participants;
mod queries;
mod relays;
mod rooms;
mod status;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::ids::{RelayId, RoomName};
use tribune_protocol::quality::Quality;
use tribune_protocol::time::Offset;

pub use self::config::{HubConfig, HubEffect};
use self::connections::{Connections, Sender};
use self::draining::Draining;
use self::lists::Lists;
use self::parent::ParentTrunk;
use self::rooms::Rooms;
use self::status::{Facts, SelfKnowledge};
use self::storage::Storage;
use crate::counters::load::Load;
use crate::counters::{HubCounters, RoomMetrics, TrunkState};
use crate::messages::{LinkId, RoomId, ShardCommand, ShardEvent, ShardId};
use crate::outbox::{Noted, Outbox, RoomQuery};
use crate::query::Readiness;
use crate::room::Room;
use crate::store::{StoreReply, StoredRoom};
use crate::tree::children::Children;
use crate::tree::query::{Asker, TreeQueries};
use crate::tree::uplink::Uplink;

/// See the module's documentation.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    rooms: Rooms,
    connections: Connections,
    lists: Lists,
    storage: Storage,
    uplink: Uplink,
    parent: ParentTrunk,
    children: Children,
    drain: Draining,
    queries: TreeQueries,
    knowledge: SelfKnowledge,
    out: Outbox,
    /// Effects besides commands to shards.
    effects: VecDeque<HubEffect>,
    counters: HubCounters,
}

impl Hub {
    /// A hub without rooms.
    #[must_use]
    pub fn new(config: HubConfig, now: Instant) -> Self {
        let uplink = Uplink::new(config.relay, config.parents.clone(), now, config.seed);
        let mut out = Outbox::default();
        if uplink.is_origin() {
            for shard in 0..config.shards {
                out.shard(ShardId(shard), ShardCommand::Clock(Some(Offset::ORIGIN)));
            }
        }
        Self {
            storage: Storage::new(&config, now),
            config,
            rooms: Rooms::default(),
            connections: Connections::default(),
            lists: Lists::default(),
            uplink,
            parent: ParentTrunk::default(),
            children: Children::default(),
            drain: Draining::default(),
            queries: TreeQueries::default(),
            knowledge: SelfKnowledge::new(now),
            out,
            effects: VecDeque::new(),
            counters: HubCounters::default(),
        }
    }

    /// Takes over the rooms of an earlier life; before anything else, and at an origin only.
    ///
    /// # Errors
    /// A sentence, if no relay has written what is stored.
    pub fn restore(&mut self, rooms: Vec<StoredRoom>, now: Instant) -> Result<(), String> {
        for stored in rooms {
            let name = stored.room.clone();
            // The others are opened when somebody asks for them.
            if self.storage.restore(stored, &self.config, now)? {
                let _ = self.open(now, name);
            }
        }
        self.settle(now);
        Ok(())
    }

    /// Handles an event of a shard.
    pub fn handle_event(&mut self, now: Instant, shard: ShardId, event: ShardEvent) {
        match event {
            ShardEvent::FromParticipant { link, remote, transport, request, message } => {
                self.counters.control_received.count(message.kind());
                self.handle_participant(now, Sender { link, remote, transport, request }, message);
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
                let effect = self.uplink.handle_dialled(now, dial, link);
                self.apply_attach(now, effect);
            }
            ShardEvent::DialFailed { dial, why } => {
                tracing::warn!(why, "the parent cannot be reached");
                self.uplink.handle_dial_failed(now, dial);
            }
            ShardEvent::LastHeard { room, heard } => {
                if let Some(room) = self.rooms.get_mut(room) {
                    room.note_last_heard(heard);
                }
            }
            ShardEvent::Closed { link, why } => self.handle_closed(now, link, &why),
            ShardEvent::InForce { room, revision } => {
                if let Some(room) = self.rooms.get_mut(room) {
                    room.handle_in_force(now, shard, revision, &mut self.out);
                }
            }
            ShardEvent::Talk { room, at_s, tracks } => {
                if let Some(room) = self.rooms.get_mut(room) {
                    room.counting(now).handle_talk(at_s, tracks, &mut self.out);
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

    /// The store has carried out a request, or has not.
    pub fn handle_stored(&mut self, now: Instant, reply: StoreReply) {
        let Some((room, reply)) = self.storage.take(now, reply) else { return };
        self.counters.store_failures += u64::from(reply.is_failure());
        if let Some(room) = self.rooms.get_mut(room) {
            room.handle_store(now, reply, &mut self.out);
        }
        self.settle(now);
    }

    /// The load of the relay's shards.
    pub fn handle_load(&mut self, load: Load) {
        self.knowledge.set_load(load);
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(effect) = self.uplink.handle_timeout(now) {
            self.apply_attach(now, effect);
        }
        self.rooms.handle_timeout(now, &mut self.out);
        self.lists.give_up(now, &mut self.out);
        self.queries.handle_timeout(now);
        for room in self.rooms.done(now) {
            self.forget(now, room);
        }
        self.check_old_parent(now);
        self.storage.forget_old(now, &self.config, &mut self.effects);
        self.settle(now);
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let rooms = self.rooms.values().filter_map(Room::poll_timeout).min();
        let asked = [self.lists.due(), self.queries.poll_timeout(), self.storage.forget_due()];
        let due = [rooms, self.parent.old_until(), self.drain.until(), self.uplink.poll_timeout()];
        due.into_iter().chain(asked).flatten().min()
    }

    /// The next effect to be carried out.
    pub fn poll_effect(&mut self) -> Option<HubEffect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        if let Some((shard, command)) = self.out.poll_command() {
            if let ShardCommand::Close { link, .. } = &command {
                self.connections.forget(*link);
            }
            return Some(HubEffect::Shard(shard, command));
        }
        self.drain.take_over().then_some(HubEffect::Drained)
    }

    /// Whether participants should be sent here.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if self.drain.has_begun() {
            Readiness::Draining
        } else if self.uplink.path().is_empty() {
            Readiness::Detached
        } else {
            Readiness::Ready
        }
    }

    /// A room on this relay, for tests and inspection.
    #[must_use]
    pub fn room(&self, name: &RoomName) -> Option<&Room> {
        self.rooms.named(name)
    }

    /// Relays from the origin down to this one; empty while there is no way to the origin.
    #[must_use]
    pub fn path(&self) -> Vec<RelayId> {
        self.uplink.path()
    }

    /// Counters of the hub, with the present numbers.
    pub fn counters(&mut self) -> &HubCounters {
        let mut counters = std::mem::take(&mut self.counters);
        self.facts().count(&mut counters);
        counters.control_sent.clone_from(self.out.sent());
        self.counters = counters;
        &self.counters
    }

    /// State of the way to a parent.
    #[must_use]
    pub const fn trunk_state(&self) -> TrunkState {
        self.uplink.stage()
    }

    /// Metrics of each room, at this relay and below.
    pub fn room_metrics(&self, now: Instant) -> impl Iterator<Item = RoomMetrics<'_>> {
        self.rooms.values().map(move |room| status::room_metrics(room, now))
    }

    /// Quality reports of this relay's participants since it started.
    #[must_use]
    pub const fn heard(&self) -> &Quality {
        self.knowledge.heard()
    }

    fn handle_closed(&mut self, now: Instant, link: LinkId, why: &str) {
        if let Some((room, who)) = self.connections.leave(link) {
            let room = self.rooms.get_mut(room).filter(|room| room.has_member(who, link));
            if let Some(room) = room {
                room.handle_leave(now, who, false, &mut self.out);
            }
        } else if self.connections.has_one_shot(link) {
            self.forget_one_shot(now, link, None);
        } else if self.children.get(link).is_some() {
            tracing::info!(why, "a child is gone");
            self.drop_child(now, link);
        } else if self.parent.old() == Some(link) {
            tracing::info!(why, "the old parent is gone");
            self.part_with_old_parent(now);
        } else if let Some(effect) = self.uplink.handle_closed(now, link) {
            tracing::warn!(why, "the parent is gone");
            self.apply_attach(now, effect);
        }
    }

    /// The room of that name, made if it is not here.
    fn open(&mut self, now: Instant, name: RoomName) -> Option<RoomId> {
        if let Some(id) = self.rooms.id(&name) {
            return Some(id);
        }
        if self.rooms.len() >= self.config.max_rooms {
            return None;
        }
        let id = self.rooms.new_id();
        let context = Arc::clone(&self.config.setup);
        let mut room = if self.uplink.is_origin() {
            let authority = self.storage.open(&name, &self.config, now)?;
            Room::origin(id, authority, context, now, &mut self.out)
        } else {
            Room::below(id, name.clone(), context, now)
        };
        room.number_requests_from(self.first_request(id));
        if let Some(parent) = self.uplink.parent() {
            let channel = self.parent.new_channel(id);
            room.attach_parent(now, parent, channel, &mut self.out);
        }
        self.rooms.insert(id, name, room);
        Some(id)
    }

    /// First number of a room's requests: by chance, so that relays begin far apart.
    fn first_request(&self, room: RoomId) -> u32 {
        let [a, b, c, d, ..] = self.config.seed;
        let mut hasher = rustc_hash::FxHasher::default();
        (u32::from_le_bytes([a, b, c, d]), self.config.relay.0, room.0).hash(&mut hasher);
        (hasher.finish() >> 32) as u32
    }

    fn forget(&mut self, now: Instant, id: RoomId) {
        let Some(mut room) = self.rooms.remove(id) else { return };
        // Opened again, it counts on: relays that did not see it end hold to the higher revision.
        self.config.first_revision = self.config.first_revision.max(room.revision());
        if let Some(channel) = room.channel() {
            self.parent.forget_channel(channel);
        }
        room.leave_parent(now, &mut self.out);
        self.storage.close(&room);
        if self.rooms.remove_name(id, room.name()) {
            self.lists.note(room.name().clone(), false);
        }
    }

    /// Carries out the consequences of an input.
    fn settle(&mut self, now: Instant) {
        for link in self.out.take_lagging() {
            self.counters.trunk_lagging_closed += 1;
            let code = CloseCode::TrunkLagging;
            self.out.close(link, code, code.to_string());
            self.drop_child(now, link);
        }
        self.storage.ask(now, &mut self.rooms, &mut self.out, &mut self.effects);
        for room in self.out.take_over() {
            self.forget(now, room);
        }
        for (room, is_listed) in self.out.take_listed() {
            self.lists.note(room, is_listed);
        }
        for RoomQuery { room, to, request, about } in self.out.take_queries() {
            self.ask_below(now, Asker::Room { room, to, request }, about);
        }
        while let Some(answered) = self.queries.poll_answered() {
            self.tell(now, answered);
        }
        for noted in self.out.take_noted() {
            self.count(now, noted);
        }
        let nobody_left = self.connections.is_empty() && self.children.is_empty();
        self.drain.check(now, nobody_left);
    }

    fn count(&mut self, now: Instant, noted: Noted) {
        match noted {
            Noted::Join(Ok(())) => self.counters.joins_ok += 1,
            Noted::Join(Err(code)) => self.counters.joins_refused.count(code),
            Noted::Redirected => self.counters.joins_redirected += 1,
            Noted::Reaction => self.counters.reactions += 1,
            Noted::Text => self.counters.texts += 1,
            Noted::Vote => self.counters.votes += 1,
            Noted::ShareRefused => self.counters.shares_refused += 1,
            Noted::TallyRefused => self.counters.tallies_refused += 1,
            Noted::TokenRenewed => self.counters.tokens_renewed += 1,
            Noted::TokenExpired => self.counters.tokens_expired += 1,
            Noted::Reported(report) => self.knowledge.add_report(now, &report),
            Noted::ReportRefused => self.counters.reports_refused += 1,
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            config: &self.config,
            rooms: &self.rooms,
            uplink: &self.uplink,
            children: &self.children,
            knowledge: &self.knowledge,
            participants: self.connections.participants(),
            draining: self.drain.has_begun(),
            trunk_rtt_us: self.counters.trunk_rtt_us,
            clock_error_us: self.counters.clock_error_us,
        }
    }
}

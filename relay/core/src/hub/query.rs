//! What the hub answers to operators and to questions along the tree: itself, its rooms, single
//! listeners. SPEC.md section 8.21.

use std::time::{Duration, Instant};

use tribune_protocol::control::query::{RelayStatus, TreeAnswer, TreeQuery};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::limits::MAX_RELAYS_A_MESSAGE;
use tribune_protocol::quality::Quality;

use super::{Hub, HubEffect};
use crate::counters::load::Load;
use crate::messages::LinkId;
use crate::outbox::RoomQuery;
use crate::quality::RecentQuality;
use crate::query::{Answer, Query, RoomGlance, Status};
use crate::room::Room;
use crate::tree::query::{Askable, Asker, Looked, Ticket};

/// What the hub keeps about itself for those who ask.
#[derive(Debug, Default)]
pub(super) struct SelfKnowledge {
    pub(super) load: Load,
    /// What participants of this relay have reported since it started.
    pub(super) heard: Quality,
    pub(super) recent: RecentQuality,
}

impl Hub {
    /// A question of an operator. The answer is a [`HubEffect::Answer`] with the ticket.
    pub fn handle_query(&mut self, now: Instant, ticket: Ticket, query: Query) {
        match query {
            Query::Status => {
                let answer = Answer::Status(Box::new(self.status(now)));
                self.answer(ticket, answer);
            }
            Query::Tree => self.look_at_tree(now, Asker::Operator(ticket), TreeQuery::Relays {}),
            Query::Rooms { limit } => {
                let answer = self.rooms_with_most(now, limit);
                self.answer(ticket, answer);
            }
            Query::Room(name) => {
                let glance = self.room(&name).map(|room| Box::new(glance(room, now)));
                self.answer(ticket, Answer::Room(glance));
            }
            Query::Listeners { room, worst, by } => {
                let about = TreeQuery::Listeners { room, worst, by };
                self.look_below(now, Asker::Operator(ticket), about);
            }
            Query::Listener { room, participant } => {
                let about = TreeQuery::Listener { room, participant };
                self.look_below(now, Asker::Operator(ticket), about);
            }
            Query::Drain { to, within } => {
                let answer = self.drain_as_asked(now, to, within);
                self.answer(ticket, answer);
            }
        }
        self.settle(now);
    }

    /// How hard the relay's shards work.
    pub fn handle_load(&mut self, load: Load) {
        self.knowledge.load = load;
    }

    /// What participants of this relay have reported since it started.
    #[must_use]
    pub const fn heard(&self) -> &Quality {
        &self.knowledge.heard
    }

    /// The parent asks about this relay and what is below it.
    pub(super) fn handle_look_above(
        &mut self,
        now: Instant,
        link: LinkId,
        number: u32,
        about: TreeQuery,
    ) {
        self.look_below(now, Asker::Relay { link, number }, about);
    }

    /// A child asks about the whole tree.
    pub(super) fn handle_look_below(
        &mut self,
        now: Instant,
        link: LinkId,
        number: u32,
        about: TreeQuery,
    ) {
        if self.children.get(link).is_some() {
            self.look_at_tree(now, Asker::Relay { link, number }, about);
        }
    }

    /// Takes up what rooms ask, and hands out what has been answered.
    pub(super) fn settle_queries(&mut self, now: Instant) {
        for RoomQuery { room, to, request, about } in self.out.take_queries() {
            self.look_below(now, Asker::Room { room, to, request }, about);
        }
        while let Some(looked) = self.looks.poll_looked() {
            self.tell(now, looked);
        }
    }

    /// Asks the root, by way of the parent; the root asks downwards.
    fn look_at_tree(&mut self, now: Instant, asker: Asker, about: TreeQuery) {
        let Some(parent) = self.attach.parent() else {
            return self.look_below(now, asker, about);
        };
        let (ask, nothing) = ([Askable::Parent(parent)], TreeAnswer::default());
        if let Some(number) = self.looks.open(now, asker, about.clone(), nothing, &ask) {
            self.out.to_parent(&ToParent::Look { number, about });
        }
    }

    /// Answers for this relay, and asks the children.
    fn look_below(&mut self, now: Instant, asker: Asker, about: TreeQuery) {
        let (own, children) = match &about {
            TreeQuery::Relays {} => {
                let own = TreeAnswer { relays: vec![self.vitals(now)], ..TreeAnswer::default() };
                let children = self.children.iter();
                (own, children.map(|(link, child)| Askable::Child(link, child.height)).collect())
            }
            TreeQuery::Listeners { room, .. } | TreeQuery::Listener { room, .. } => {
                match self.room(room) {
                    Some(room) => {
                        let own = room.local_answer(now, &about, &self.config.name);
                        let carriers = room.carriers();
                        (own, carriers.map(|(link, height)| Askable::Child(link, height)).collect())
                    }
                    None => (TreeAnswer::default(), Vec::new()),
                }
            }
            TreeQuery::Unknown => (TreeAnswer::default(), Vec::new()),
        };
        if let Some(number) = self.looks.open(now, asker, about.clone(), own, &children) {
            for child in children {
                if let Askable::Child(link, _) = child {
                    self.out.to_child(link, &ToChild::Look { number, about: about.clone() });
                }
            }
        }
    }

    fn tell(&mut self, now: Instant, looked: Looked) {
        let Looked { asker, about, sight, without_root } = looked;
        if without_root {
            // The way to the root has gone since: what is here is better than nothing.
            return self.look_below(now, asker, about);
        }
        match asker {
            Asker::Relay { link, number } => self.tell_relay(link, number, sight),
            Asker::Room { room, to, request } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.handle_tree_answer(now, to, request, sight, &mut self.out);
                }
            }
            Asker::Operator(ticket) => {
                let answer = match about {
                    TreeQuery::Relays {} => {
                        let own_path = self.attach.path();
                        let is_root =
                            |vitals: &RelayStatus| own_path.first() == Some(&vitals.relay);
                        let is_rooted = sight.relays.first().is_some_and(is_root);
                        Answer::Tree { sight, is_rooted }
                    }
                    TreeQuery::Listeners { .. }
                    | TreeQuery::Listener { .. }
                    | TreeQuery::Unknown => Answer::Listeners(sight),
                };
                self.answer(ticket, answer);
            }
        }
    }

    /// In as many parts as it takes.
    fn tell_relay(&mut self, link: LinkId, number: u32, mut sight: TreeAnswer) {
        let mut relays = std::mem::take(&mut sight.relays);
        loop {
            let rest = relays.split_off(relays.len().min(MAX_RELAYS_A_MESSAGE));
            let part = TreeAnswer { relays, ..std::mem::take(&mut sight) };
            let more = !rest.is_empty();
            if self.attach.parent() == Some(link) {
                self.out.to_parent(&ToParent::Seen { number, sight: part, more });
            } else {
                self.out.to_child(link, &ToChild::Seen { number, sight: part, more });
            }
            if !more {
                return;
            }
            relays = rest;
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.asides.push_back(HubEffect::Answer { ticket, answer });
    }

    fn drain_as_asked(
        &mut self,
        now: Instant,
        to: Option<String>,
        within: Option<Duration>,
    ) -> Answer {
        self.handle_drain(now, to, within);
        let (to, within) = self.drain_as_it_is(now);
        Answer::Draining { to, within }
    }

    fn rooms_with_most(&self, now: Instant, limit: usize) -> Answer {
        let mut order: Vec<&Room> = self.rooms.values().collect();
        order.sort_by_key(|room| (std::cmp::Reverse(room.listeners()), room.name().clone()));
        let rooms = order.iter().take(limit).map(|room| glance(room, now)).collect();
        Answer::Rooms { total: order.len(), rooms }
    }

    fn status(&mut self, now: Instant) -> Status {
        Status {
            readiness: self.readiness(),
            path: self.attach.path(),
            parent: self.attach.parent_name().cloned(),
            is_origin: self.attach.is_origin(),
            vitals: self.vitals(now),
        }
    }

    fn vitals(&self, now: Instant) -> RelayStatus {
        let path = self.attach.path();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let SelfKnowledge { load, recent, heard: _ } = &self.knowledge;
        // Zero until the first estimate.
        let known = |us: u64| u32::try_from(us).ok().filter(|us| *us > 0);
        let attached = self.attach.parent().is_some();
        RelayStatus {
            relay: self.config.relay,
            name: self.config.name.clone(),
            parent: path.len().checked_sub(2).map(|above| path[above]),
            depth: u8::try_from(path.len()).unwrap_or(u8::MAX),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: now.saturating_duration_since(self.started).as_secs(),
            participants: count(self.participants.len()),
            capacity: self.config.capacity.map(count),
            listeners: self.rooms.values().map(Room::listeners).sum(),
            rooms: count(self.rooms.len()),
            children: count(self.children.len()),
            draining: self.drain.is_some(),
            load_ppm: load.busy_ppm,
            frames_in: load.frames_in,
            frames_out: load.frames_out,
            drops: load.drops.iter().map(|(cause, rate)| ((*cause).to_owned(), *rate)).collect(),
            missing_ppm: load.missing_ppm,
            trunk_rtt_us: known(self.counters.trunk_rtt_us).filter(|_| attached),
            clock_error_us: match self.attach.is_origin() {
                true => Some(0),
                false => known(self.counters.clock_error_us),
            },
            quality: recent.quality(now).summary(),
        }
    }
}

fn glance(room: &Room, now: Instant) -> RoomGlance {
    let state = room.state();
    RoomGlance {
        room: state.room.clone(),
        phase: state.phase,
        title: state.settings.title.clone(),
        listeners: room.listeners(),
        stage: state.stage.clone(),
        hands: room.is_origin().then(|| room.hands()),
        is_origin: room.is_origin(),
        quality: room.quality(now),
    }
}

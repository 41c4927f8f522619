//! The hub's dealings with other relays: the parent, and the children.

use std::net::SocketAddr;
use std::time::Instant;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::ids::{Channel, DisplayName, RelayId};

use super::{Hub, HubEffect};
use crate::messages::{LinkId, RoomId, ShardCommand};
use crate::room::Room;
use crate::room::replica::rulings::TooManyRulings;
use crate::room::routing::RelayedAction;
use crate::tree::uplink::AttachEffect;

/// Rooms that one child may want at the same time.
const MAX_CHANNELS_PER_CHILD: usize = 10_000;

impl Hub {
    pub(super) fn handle_child(
        &mut self,
        now: Instant,
        link: LinkId,
        remote: SocketAddr,
        certified: bool,
        message: ToParent,
    ) {
        match message {
            // A second one would take the rooms off the first one's books.
            ToParent::Hello { .. } if self.children.get(link).is_some() => {}
            ToParent::Hello { relay, name, height, token } => {
                let token = token.as_deref();
                if self.config.auth.trunk_allowed(remote, certified, token) {
                    self.handle_hello(now, link, relay, name, height);
                } else {
                    self.counters.trunks_refused += 1;
                    let code = CloseCode::TrunkUnauthorised;
                    self.out.close(link, code, code.to_string());
                }
            }
            ToParent::Height { height } => {
                if let Some(child) = self.children.get_mut(link) {
                    child.height = height.max(1);
                    for room in child.channels.values() {
                        if let Some(room) = self.rooms.get_mut(room) {
                            room.handle_height(link, height.max(1));
                        }
                    }
                    self.part_with_misplaced(now);
                    self.say_height();
                }
            }
            ToParent::Subscribe { channel, room, heard: _ } => {
                self.handle_subscribe(now, link, channel, room);
            }
            ToParent::Unsubscribe { channel } => {
                let Some(child) = self.children.get_mut(link) else { return };
                let Some(room) = child.channels.remove(&channel) else { return };
                match self.rooms.get_mut(&room) {
                    Some(room) => room.handle_unsubscribe(now, link, &mut self.out),
                    None => self.out.shard(link.shard, ShardCommand::Detach { link, room }),
                }
            }
            ToParent::Audience { channel, listeners } => {
                if let Some(room) = Self::child_room(&self.children, link, channel)
                    && let Some(room) = self.rooms.get_mut(&room)
                {
                    room.handle_audience(now, link, listeners, &mut self.out);
                }
            }
            ToParent::Applied { channel, revision } => {
                if let Some(room) = Self::child_room(&self.children, link, channel)
                    && let Some(room) = self.rooms.get_mut(&room)
                {
                    room.handle_applied(now, link, revision, &mut self.out);
                }
            }
            ToParent::Act { channel, participant, request, by, action } => {
                if let Some(room) = Self::child_room(&self.children, link, channel)
                    && let Some(room) = self.rooms.get_mut(&room)
                {
                    self.counters.actions += 1;
                    let act = RelayedAction { who: participant, request, by, action };
                    room.handle_act(now, link, act, &mut self.out);
                }
            }
            ToParent::Reactions { channel, counts } => {
                if let Some(room) = Self::child_room(&self.children, link, channel)
                    && let Some(room) = self.rooms.get_mut(&room)
                {
                    room.handle_reactions_below(now, &counts, &mut self.out);
                }
            }
            ToParent::ListRooms { after } => self.handle_list_below(now, link, after),
            ToParent::Quality { channel, quality } => {
                if let Some(room) = Self::child_room(&self.children, link, channel)
                    && let Some(room) = self.rooms.get_mut(&room)
                {
                    room.handle_quality_below(now, link, &quality, &mut self.out);
                }
            }
            ToParent::Look { number, about } => self.handle_look_below(now, link, number, about),
            ToParent::Seen { number, sight, more } => {
                self.looks.handle_seen(link, number, sight, more);
            }
            ToParent::Unknown => {}
        }
    }

    pub(super) fn handle_parent(&mut self, now: Instant, link: LinkId, message: ToChild) {
        if self.handle_old_parent(now, link, &message) {
            return;
        }
        let effect = match message {
            ToChild::Welcome { path, name } => self.attach.handle_welcome(now, link, path, name),
            ToChild::Path { path } => self.attach.handle_path(now, link, path),
            ToChild::GoAway { to, within_ms: _ } => {
                self.attach.handle_go_away(now, link, to.as_deref())
            }
            ToChild::State { channel, revision, state } => {
                if let Some(room) = self.parent_room(link, channel) {
                    room.0.handle_state(now, revision, state, room.1);
                }
                None
            }
            ToChild::Rulings { channel, reset, rulings, lifted } => {
                let room = self.parent_room(link, channel);
                let taken =
                    room.map(|room| room.0.handle_rulings(reset, &rulings, &lifted, room.1));
                match taken {
                    Some(Err(TooManyRulings)) => {
                        let text = "more rulings about a room's persons than an origin makes";
                        tracing::error!(text, "the parent cannot be followed");
                        self.out.close(link, CloseCode::ProtocolViolation, text);
                        self.attach.handle_closed(now, link)
                    }
                    Some(Ok(())) | None => None,
                }
            }
            ToChild::Reactions { channel, counts } => {
                if let Some(room) = self.parent_room(link, channel) {
                    room.0.handle_reactions(counts, room.1);
                }
                None
            }
            ToChild::Rooms { rooms, more } => {
                if self.attach.parent() == Some(link) {
                    self.handle_rooms(rooms, more);
                }
                None
            }
            ToChild::Listeners { channel, count } => {
                if let Some(room) = self.parent_room(link, channel) {
                    room.0.handle_count(count, room.1);
                }
                None
            }
            ToChild::Deliver { channel, participant, request, message } => {
                if let Some(room) = self.parent_room(link, channel) {
                    room.0.handle_deliver(now, participant, request, message, room.1);
                }
                None
            }
            ToChild::Replaced { channel, participant } => {
                if let Some(room) = self.parent_room(link, channel) {
                    room.0.handle_replaced(now, participant, room.1);
                }
                None
            }
            ToChild::Look { number, about } => {
                if self.attach.parent() == Some(link) {
                    self.handle_look_above(now, link, number, about);
                }
                None
            }
            ToChild::Seen { number, sight, more } => {
                self.looks.handle_seen(link, number, sight, more);
                None
            }
            ToChild::Unknown => None,
        };
        if let Some(effect) = effect {
            self.apply_attach(now, effect);
        }
    }

    pub(super) fn apply_attach(&mut self, now: Instant, effect: AttachEffect) {
        match effect {
            AttachEffect::Dial { dial, target } => {
                self.asides.push_back(HubEffect::Dial { dial, target });
            }
            AttachEffect::Greet { link } => {
                let height = self.children.height();
                self.height_greeted = height;
                let token = self.config.relay_token.as_ref().map(|t| t.expose().into());
                let (relay, name) = (self.config.relay, self.config.name.clone());
                self.out.to_relay_above(link, &ToParent::Hello { relay, name, height, token });
            }
            AttachEffect::Attached { link } => {
                tracing::info!(parent = ?self.attach.parent_name(), "attached");
                self.counters.reattachments += u64::from(self.was_attached);
                self.was_attached = true;
                self.out.set_parent(Some(link));
                self.height_said = self.height_greeted;
                self.say_height();
                for (id, mut room) in std::mem::take(&mut self.rooms) {
                    self.subscribe(now, id, &mut room);
                    self.rooms.insert(id, room);
                }
                self.ask_lists_again();
                self.say_path(now);
            }
            AttachEffect::Moved { from, to } => self.move_rooms(now, from, to),
            AttachEffect::PathChanged => {
                let has_way = !self.attach.path().is_empty();
                for room in self.rooms.values_mut() {
                    room.handle_path(now, has_way, &mut self.out);
                }
                self.say_path(now);
            }
            AttachEffect::Lost { link, close } => {
                self.looks.handle_lost(link);
                // Without the new parent, nobody says what is in force for frames of the old one.
                self.part_with_old_parent(now);
                for room in self.rooms.values_mut() {
                    room.detach_parent(now, &mut self.out);
                }
                self.channels.clear();
                self.out.set_parent(None);
                if let Some(code) = close {
                    self.out.close(link, code, code.to_string());
                }
                self.say_path(now);
            }
            AttachEffect::GiveUp { link, close } => {
                self.counters.loops_refused += u64::from(close == CloseCode::TrunkLoop);
                self.out.close(link, close, close.to_string());
            }
        }
    }

    /// Subscribes a room, if there is a parent to do so with.
    pub(super) fn subscribe(&mut self, now: Instant, id: RoomId, room: &mut Room) {
        let Some(parent) = self.attach.parent() else { return };
        let channel = self.new_channel(id);
        room.attach_parent(now, parent, channel, &mut self.out);
    }

    /// A channel for a room on the trunk to the parent. No two trunks have the same.
    pub(super) fn new_channel(&mut self, room: RoomId) -> Channel {
        let channel = Channel(self.next_channel);
        self.next_channel += 1;
        self.channels.insert(channel, room);
        channel
    }

    /// Parts with a child: its trunk is gone, or about to be closed.
    pub(super) fn drop_child(&mut self, now: Instant, link: LinkId) {
        let Some(child) = self.children.remove(link) else { return };
        for room in child.channels.values() {
            if let Some(room) = self.rooms.get_mut(room) {
                room.handle_unsubscribe(now, link, &mut self.out);
            }
        }
        self.forget_lists(link);
        self.looks.handle_lost(link);
        self.say_height();
    }

    fn handle_hello(
        &mut self,
        now: Instant,
        link: LinkId,
        relay: RelayId,
        name: DisplayName,
        height: u8,
    ) {
        if self.drain.is_some() {
            let code = CloseCode::Draining;
            return self.out.close(link, code, code.to_string());
        }
        let path = self.attach.path();
        let own = self.config.relay;
        match self.children.admit(link, relay, name, height, &path, own) {
            Ok(older) => {
                if let Some(older) = older.filter(|older| *older != link) {
                    let code = CloseCode::Replaced;
                    self.out.close(older, code, code.to_string());
                    self.drop_child(now, older);
                }
                let name = self.config.name.clone();
                self.out.to_child(link, &ToChild::Welcome { path, name });
                self.say_height();
            }
            Err(code) => {
                self.counters.loops_refused += 1;
                self.out.close(link, code, code.to_string());
            }
        }
    }

    fn handle_subscribe(
        &mut self,
        now: Instant,
        link: LinkId,
        channel: Channel,
        name: tribune_protocol::ids::RoomName,
    ) {
        let Some(child) = self.children.get(link) else { return };
        let (height, full) = (child.height, child.channels.len() >= MAX_CHANNELS_PER_CHILD);
        if full || child.channels.contains_key(&channel) {
            return;
        }
        let Some(id) = self.open(now, name) else { return };
        if let Some(child) = self.children.get_mut(link) {
            child.channels.insert(channel, id);
        }
        if let Some(room) = self.rooms.get_mut(&id) {
            room.handle_subscribe(now, link, channel, height, &mut self.out);
        }
    }

    pub(super) fn say_height(&mut self) {
        let height = self.children.height();
        if self.attach.parent().is_some() && height != self.height_said {
            self.height_said = height;
            self.out.to_parent(&ToParent::Height { height });
        }
    }

    pub(super) fn say_path(&mut self, now: Instant) {
        let path = self.attach.path();
        for link in self.children.links() {
            self.out.to_child(link, &ToChild::Path { path: path.clone() });
        }
        self.part_with_misplaced(now);
    }

    fn part_with_misplaced(&mut self, now: Instant) {
        for (link, code) in self.children.misplaced(&self.attach.path()) {
            self.counters.loops_refused += 1;
            self.out.close(link, code, code.to_string());
            self.drop_child(now, link);
        }
    }

    fn child_room(
        children: &crate::tree::children::Children,
        link: LinkId,
        channel: Channel,
    ) -> Option<RoomId> {
        children.get(link)?.channels.get(&channel).copied()
    }

    fn parent_room(
        &mut self,
        link: LinkId,
        channel: Channel,
    ) -> Option<(&mut Room, &mut crate::outbox::Outbox)> {
        if self.attach.parent() != Some(link) {
            return None;
        }
        let room = self.channels.get(&channel).and_then(|id| self.rooms.get_mut(id))?;
        Some((room, &mut self.out))
    }
}

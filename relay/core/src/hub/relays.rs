//! The hub's dealings with other relays: the parent, another parent beside the old one, the children.

use std::net::SocketAddr;
use std::time::Instant;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::Heard;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::{Channel, DisplayName, RelayId, RoomName};

use tribune_protocol::limits::MAX_STAGE;

use super::lists::TooManyQuestions;
use super::{Hub, HubEffect, below, news};
use crate::messages::{LinkId, ShardCommand};
use crate::outbox::Outbox;
use crate::room::Room;
use crate::room::replica::rulings::TooManyRulings;
use crate::tree::query::Asker;
use crate::tree::uplink::AttachEffect;

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
                if self.config.auth.trunk_allowed(remote, certified, token.as_deref()) {
                    self.handle_hello(now, link, relay, name, height);
                } else {
                    self.counters.trunks_refused += 1;
                    let code = CloseCode::TrunkUnauthorised;
                    self.out.close(link, code, code.to_string());
                }
            }
            ToParent::Height { height } => self.handle_height(now, link, height.max(1)),
            ToParent::Subscribe { channel, room, mut heard } => {
                heard.truncate(MAX_STAGE);
                self.handle_subscribe(now, (link, channel), room, heard);
            }
            ToParent::Unsubscribe { channel } => self.handle_unsubscribe(now, link, channel),
            message @ (ToParent::Audience { channel, .. }
            | ToParent::Applied { channel, .. }
            | ToParent::Act { channel, .. }
            | ToParent::Reactions { channel, .. }
            | ToParent::Quality { channel, .. }
            | ToParent::Tally { channel, .. }
            | ToParent::Sketch { channel, .. }
            | ToParent::Talk { channel, .. }
            | ToParent::Texts { channel, .. }) => {
                self.counters.actions += u64::from(matches!(message, ToParent::Act { .. }));
                if let Some((room, out)) = self.child_room(link, channel) {
                    below::handle(now, room, link, message, out);
                }
            }
            ToParent::ListRooms { after } => self.handle_list_below(now, link, after),
            ToParent::Query { number, about } => {
                if self.children.get(link).is_some() {
                    self.ask_root(now, Asker::Relay { link, number }, about);
                }
            }
            ToParent::Answer { number, answer: part, more } => {
                self.queries.handle_answer(link, number, part, more);
            }
            ToParent::Unknown => {}
        }
    }

    pub(super) fn handle_parent(&mut self, now: Instant, link: LinkId, message: ToChild) {
        if self.parent.old() == Some(link) {
            return self.parent.handle_old(now, message, &mut self.rooms, &mut self.out);
        }
        let effect = match message {
            ToChild::Welcome { path, name } => self.uplink.handle_welcome(now, link, path, name),
            ToChild::Path { path } => self.uplink.handle_path(now, link, path),
            ToChild::GoAway { to, within_ms: _ } => {
                self.uplink.handle_go_away(now, link, to.as_deref())
            }
            ToChild::Rulings { channel, reset, rulings, lifted } => {
                self.handle_rulings(now, (link, channel), reset, &rulings, &lifted)
            }
            ToChild::Answer { number, answer: part, more } => {
                self.queries.handle_answer(link, number, part, more);
                None
            }
            message @ (ToChild::State { .. }
            | ToChild::Reactions { .. }
            | ToChild::Texts { .. }
            | ToChild::Questions { .. }
            | ToChild::Rooms { .. }
            | ToChild::Listeners { .. }
            | ToChild::Protect { .. }
            | ToChild::Deliver { .. }
            | ToChild::Replaced { .. }
            | ToChild::Query { .. }
            | ToChild::Unknown) => {
                if self.uplink.parent() == Some(link) {
                    self.handle_news(now, link, message);
                }
                None
            }
        };
        if let Some(effect) = effect {
            self.apply_attach(now, effect);
        }
    }

    pub(super) fn apply_attach(&mut self, now: Instant, effect: AttachEffect) {
        match effect {
            AttachEffect::Dial { dial, target } => {
                self.effects.push_back(HubEffect::Dial { dial, target });
            }
            AttachEffect::Greet { link } => {
                let height = self.children.height();
                self.parent.note_greeted(height);
                let token = self.config.relay_token.as_ref().map(|t| t.expose().into());
                let (relay, name) = (self.config.relay, self.config.name.clone());
                self.out.to_relay_above(link, &ToParent::Hello { relay, name, height, token });
            }
            AttachEffect::Attached { link } => {
                tracing::info!(parent = ?self.uplink.parent_name(), "attached");
                self.counters.reattachments += u64::from(self.parent.note_attached());
                self.out.set_parent(Some(link));
                self.say_height();
                for (id, room) in self.rooms.iter_mut() {
                    room.attach_parent(now, link, self.parent.new_channel(id), &mut self.out);
                }
                self.lists.ask_again(&mut self.out);
                self.say_path(now);
            }
            AttachEffect::Moved { from, to } => self.move_rooms(now, from, to),
            AttachEffect::PathChanged => {
                let has_way = !self.uplink.path().is_empty();
                self.rooms
                    .values_mut()
                    .for_each(|room| room.handle_path(now, has_way, &mut self.out));
                self.say_path(now);
            }
            AttachEffect::Lost { link, close } => {
                self.queries.handle_lost(link);
                // Without the new parent, nobody says what is in force for frames of the old one.
                self.part_with_old_parent(now);
                self.rooms.values_mut().for_each(|room| room.detach_parent(now, &mut self.out));
                self.parent.forget_channels();
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

    /// Closes the old trunk, once no room needs it any more or its time is over.
    pub(super) fn check_old_parent(&mut self, now: Instant) {
        let Some(until) = self.parent.old_until() else { return };
        let needed = self.rooms.values().any(Room::is_moving);
        if until <= now && needed {
            tracing::warn!("the old parent is left before all rooms have moved");
        }
        if until <= now || !needed {
            self.part_with_old_parent(now);
        }
    }

    /// Closes the old trunk, if there is one.
    pub(super) fn part_with_old_parent(&mut self, now: Instant) {
        let Some(link) = self.parent.take_old() else { return };
        self.rooms.values_mut().for_each(|room| room.release_parent(now, &mut self.out));
        self.queries.handle_lost(link);
        self.out.close(link, CloseCode::Done, CloseCode::Done.to_string());
    }

    /// Parts with a child: its trunk is gone, or about to be closed.
    pub(super) fn drop_child(&mut self, now: Instant, link: LinkId) {
        let Some(child) = self.children.remove(link) else { return };
        for room in child.channels.values() {
            if let Some(room) = self.rooms.get_mut(*room) {
                room.handle_unsubscribe(now, link, &mut self.out);
            }
        }
        self.lists.forget_child(link);
        self.queries.handle_lost(link);
        self.say_height();
    }

    /// There is another parent beside the one that stops: the rooms are subscribed there while the old
    /// trunk still brings frames.
    fn move_rooms(&mut self, now: Instant, from: LinkId, to: LinkId) {
        tracing::info!(parent = ?self.uplink.parent_name(), "moving to another parent");
        // One that was still being left has had its time.
        self.part_with_old_parent(now);
        self.parent.keep_old(now, from);
        self.out.set_parent(Some(to));
        self.say_height();
        for (id, room) in self.rooms.iter_mut() {
            room.move_parent(now, to, self.parent.new_channel(id), &mut self.out);
        }
        self.lists.ask_again(&mut self.out);
        self.say_path(now);
        self.check_old_parent(now);
    }

    /// News of the parent about rooms, and its questions.
    fn handle_news(&mut self, now: Instant, link: LinkId, message: ToChild) {
        match message {
            message @ (ToChild::State { channel, .. }
            | ToChild::Reactions { channel, .. }
            | ToChild::Texts { channel, .. }
            | ToChild::Questions { channel, .. }
            | ToChild::Listeners { channel, .. }
            | ToChild::Protect { channel, .. }
            | ToChild::Deliver { channel, .. }
            | ToChild::Replaced { channel, .. }) => {
                if let Some((room, out)) = self.parent_room(channel) {
                    news::handle(now, room, message, out);
                }
            }
            ToChild::Rooms { rooms, more } => self.lists.handle_answer(rooms, more, &mut self.out),
            ToChild::Query { number, about } => {
                self.ask_below(now, Asker::Relay { link, number }, about);
            }
            // Taken before they come here.
            ToChild::Welcome { .. }
            | ToChild::Path { .. }
            | ToChild::GoAway { .. }
            | ToChild::Rulings { .. }
            | ToChild::Answer { .. }
            | ToChild::Unknown => {}
        }
    }

    fn handle_rulings(
        &mut self,
        now: Instant,
        (link, channel): (LinkId, Channel),
        reset: bool,
        rulings: &[Ruling],
        lifted: &[PersonKey],
    ) -> Option<AttachEffect> {
        if self.uplink.parent() != Some(link) {
            return None;
        }
        let (room, out) = self.parent_room(channel)?;
        let Err(TooManyRulings) = room.handle_rulings(reset, rulings, lifted, out) else {
            return None;
        };
        let text = "more rulings about a room's persons than an origin makes";
        tracing::error!(text, "the parent cannot be followed");
        self.out.close(link, CloseCode::ProtocolViolation, text);
        self.uplink.handle_closed(now, link)
    }

    fn handle_hello(
        &mut self,
        now: Instant,
        link: LinkId,
        relay: RelayId,
        name: DisplayName,
        height: u8,
    ) {
        if self.drain.has_begun() {
            let code = CloseCode::Draining;
            return self.out.close(link, code, code.to_string());
        }
        let (path, own) = (self.uplink.path(), self.config.relay);
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

    fn handle_height(&mut self, now: Instant, link: LinkId, height: u8) {
        let Some(child) = self.children.get_mut(link) else { return };
        child.height = height;
        for room in child.channels.values() {
            if let Some(room) = self.rooms.get_mut(*room) {
                room.handle_height(link, height);
            }
        }
        self.part_with_misplaced(now);
        self.say_height();
    }

    fn handle_subscribe(
        &mut self,
        now: Instant,
        (link, channel): (LinkId, Channel),
        name: RoomName,
        heard: Vec<Heard>,
    ) {
        let Some(height) = self.children.may_subscribe(link, channel) else { return };
        let Some(id) = self.open(now, name) else { return };
        if let Some(child) = self.children.get_mut(link) {
            child.channels.insert(channel, id);
        }
        if let Some(room) = self.rooms.get_mut(id) {
            room.handle_subscribe(now, (link, channel), height, heard, &mut self.out);
        }
    }

    fn handle_unsubscribe(&mut self, now: Instant, link: LinkId, channel: Channel) {
        let Some(child) = self.children.get_mut(link) else { return };
        let Some(room) = child.channels.remove(&channel) else { return };
        match self.rooms.get_mut(room) {
            Some(room) => room.handle_unsubscribe(now, link, &mut self.out),
            None => self.out.shard(link.shard, ShardCommand::Detach { link, room }),
        }
    }

    fn handle_list_below(&mut self, now: Instant, link: LinkId, after: Option<RoomName>) {
        if self.children.get(link).is_none() {
            return;
        }
        if self.uplink.is_origin() {
            let (rooms, more) = self.lists.page(&self.rooms, after);
            return self.out.to_child(link, &ToChild::Rooms { rooms, more });
        }
        let asked = self.lists.ask_for_child(now, link, after, &mut self.out);
        if let Err(TooManyQuestions) = asked {
            let text = "more lists of rooms at the same time than a trunk takes";
            self.out.close(link, CloseCode::ProtocolViolation, text);
            self.drop_child(now, link);
        }
    }

    fn say_height(&mut self) {
        let height = self.children.height();
        if self.uplink.parent().is_some() && self.parent.note_height(height) {
            self.out.to_parent(&ToParent::Height { height });
        }
    }

    fn say_path(&mut self, now: Instant) {
        let path = self.uplink.path();
        for link in self.children.links() {
            self.out.to_child(link, &ToChild::Path { path: path.clone() });
        }
        self.part_with_misplaced(now);
    }

    fn part_with_misplaced(&mut self, now: Instant) {
        for (link, code) in self.children.misplaced(&self.uplink.path()) {
            self.counters.loops_refused += 1;
            self.out.close(link, code, code.to_string());
            self.drop_child(now, link);
        }
    }

    /// Room on a channel of a child.
    fn child_room(&mut self, link: LinkId, channel: Channel) -> Option<(&mut Room, &mut Outbox)> {
        let room = *self.children.get(link)?.channels.get(&channel)?;
        Some((self.rooms.get_mut(room)?, &mut self.out))
    }

    /// Room on a channel of the parent.
    fn parent_room(&mut self, channel: Channel) -> Option<(&mut Room, &mut Outbox)> {
        let room = self.parent.room(channel)?;
        Some((self.rooms.get_mut(room)?, &mut self.out))
    }
}

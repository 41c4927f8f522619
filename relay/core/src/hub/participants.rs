//! The hub's dealings with participants and operators: joins, one-shot requests, newer tokens, lists,
//! queries, the drain.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{FromParticipant, Join, OneShot, ToParticipant};
use tribune_protocol::control::query::{RelayStatus, TreeAnswer, TreeQuery};
use tribune_protocol::control::trunk::ToChild;
use tribune_protocol::ids::{ParticipantId, RoomName};
use tribune_protocol::token::TokenError;

use super::connections::Sender;
use super::{Hub, HubEffect, queries, status};
use crate::auth::participant_id;
use crate::messages::{LinkId, RoomId, ShardSet};
use crate::query::{Answer, Query, Status};
use crate::room::Room;
use crate::room::edge::join::{Admission, Connected, Greeting};
use crate::room::edge::oneshot::{OneShotRequest, routing_id};
use crate::room::edge::overload::Overload;
use crate::room::edge::person::Shown;
use crate::room::edge::refusal::Refusal;
use crate::tree::query::{Answered, Asker, Ticket};

impl Hub {
    /// An operator's query. The answer is a [`HubEffect::Answer`] with the ticket.
    pub fn handle_query(&mut self, now: Instant, ticket: Ticket, query: Query) {
        let asker = Asker::Operator(ticket);
        match query {
            Query::Status => {
                let answer = Answer::Status(Box::new(self.status(now)));
                self.answer(ticket, answer);
            }
            Query::Tree => self.ask_root(now, asker, TreeQuery::Relays {}),
            Query::Rooms { limit } => {
                let answer = status::rooms_with_most(&self.rooms, now, limit);
                self.answer(ticket, answer);
            }
            Query::Room(name) => {
                let glance = self.room(&name).map(|room| Box::new(status::glance(room, now)));
                self.answer(ticket, Answer::Room(glance));
            }
            Query::Listeners { room, worst, by } => {
                self.ask_below(now, asker, TreeQuery::Listeners { room, worst, by });
            }
            Query::Listener { room, participant } => {
                self.ask_below(now, asker, TreeQuery::Listener { room, participant });
            }
            Query::Drain { to, within } => {
                self.handle_drain(now, to, within);
                let answer = Answer::Draining { to: self.drain.to(), within: self.drain.left(now) };
                self.answer(ticket, answer);
            }
        }
        self.settle(now);
    }

    /// The relay is to end: nobody new, and everybody here is told to go to `to` within that time. Both
    /// are by default as configured. Said again, it goes by the later call, except that a relay named
    /// before stays if none is named now.
    pub fn handle_drain(&mut self, now: Instant, to: Option<String>, within: Option<Duration>) {
        let within = within.unwrap_or(self.config.drain_timeout);
        let default_to = self.config.drain_to.as_ref();
        let Some(to) = self.drain.begin(now + within, to, default_to) else { return };
        let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let moved = ToParticipant::Moved { to: to.clone(), within_ms };
        let all = ShardSet((0..self.config.shards).fold(0, |set, shard| set | 1 << (shard & 63)));
        for (id, room) in self.rooms.iter() {
            self.out.to_participants(id, all, &moved);
            // Participants about to join hear nothing of the room yet.
            for link in room.joining_links() {
                self.out.to_participant(link, None, &moved);
            }
            self.counters.moved += room.members() as u64;
        }
        for link in self.children.links() {
            self.out.to_child(link, &ToChild::GoAway { to: to.clone(), within_ms });
        }
        self.settle(now);
    }

    pub(super) fn handle_participant(
        &mut self,
        now: Instant,
        from: Sender,
        message: FromParticipant,
    ) {
        let joined = self.connections.joined(from.link);
        let here = joined.filter(|(room, who)| {
            self.rooms.get(*room).is_some_and(|room| room.has_member(*who, from.link))
        });
        match (here, message) {
            (_, FromParticipant::ListRooms { after }) => self.handle_list(now, from, after),
            (None, FromParticipant::Join(join)) => self.handle_join(now, from, join),
            (None, FromParticipant::OneShot(one_shot)) => {
                self.handle_one_shot(now, from, one_shot);
            }
            (Some((room, who)), FromParticipant::RenewToken { token }) => {
                self.handle_renewal(now, from, room, who, &token);
            }
            (Some((room, who)), FromParticipant::Report(report)) => {
                if let Some(room) = self.rooms.get_mut(room) {
                    room.handle_report(now, who, &report, &mut self.out);
                }
            }
            (Some((room, who)), message) => {
                if let Some(room) = self.rooms.get_mut(room) {
                    room.handle_request(now, who, from.request, message, &mut self.out);
                }
            }
            (None, FromParticipant::Leave {}) => {
                self.out.close(from.link, CloseCode::Done, CloseCode::Done.to_string());
            }
            (
                None,
                FromParticipant::RaiseHand { .. }
                | FromParticipant::LowerHand {}
                | FromParticipant::LeaveStage {}
                | FromParticipant::OwnMute { .. }
                | FromParticipant::React { .. }
                | FromParticipant::Write { .. }
                | FromParticipant::Ask { .. }
                | FromParticipant::Vote { .. }
                | FromParticipant::RenewToken { .. }
                | FromParticipant::Govern { .. }
                | FromParticipant::Report(_)
                | FromParticipant::SetProfile { .. }
                | FromParticipant::Unknown,
            ) => {
                let text = "The first message has to be a join or an errand.";
                self.refuse(from, Refusal::new(ErrorCode::NotJoined, text));
            }
        }
    }

    /// Notes the one-shot request that a connection runs, and forgets the one that it ran elsewhere.
    pub(super) fn forget_one_shot(
        &mut self,
        now: Instant,
        link: LinkId,
        next: Option<(RoomId, ParticipantId)>,
    ) {
        if let Some((room, id)) = self.connections.set_one_shot(link, next)
            && let Some(room) = self.rooms.get_mut(room)
        {
            room.forget_one_shot(now, id);
        }
    }

    /// Asks the root; without a parent, this relay and the ones below.
    pub(super) fn ask_root(&mut self, now: Instant, asker: Asker, about: TreeQuery) {
        match self.uplink.parent() {
            Some(parent) => {
                queries::ask_root(&mut self.queries, now, asker, about, parent, &mut self.out);
            }
            None => self.ask_below(now, asker, about),
        }
    }

    /// Answers for this relay, and asks the children.
    pub(super) fn ask_below(&mut self, now: Instant, asker: Asker, about: TreeQuery) {
        let (own, children) = match &about {
            TreeQuery::Relays {} => {
                let relays = vec![self.facts().relay(now)];
                let children = queries::all_children(&self.children);
                (TreeAnswer { relays, ..TreeAnswer::default() }, children)
            }
            TreeQuery::Listeners { .. } | TreeQuery::Listener { .. } | TreeQuery::Unknown => {
                queries::listeners(&self.rooms, now, &about, &self.config.name)
            }
        };
        let (queries, out) = (&mut self.queries, &mut self.out);
        queries::ask_children(queries, now, asker, about, own, children, out);
    }

    /// Hands out an answer.
    pub(super) fn tell(&mut self, now: Instant, answered: Answered) {
        let Answered { asker, about, answer, without_root } = answered;
        if without_root {
            // The way to the root has gone since: this part of the tree is better than nothing.
            return self.ask_below(now, asker, about);
        }
        match asker {
            Asker::Relay { link, number } => {
                let is_parent = self.uplink.parent() == Some(link);
                queries::tell_relay(link, is_parent, number, answer, &mut self.out);
            }
            Asker::Room { room, to, request } => {
                if let Some(room) = self.rooms.get_mut(room) {
                    room.handle_tree_answer(now, to, request, answer, &mut self.out);
                }
            }
            Asker::Operator(ticket) => {
                let answer = match about {
                    TreeQuery::Relays {} => {
                        let own_path = self.uplink.path();
                        let is_root = |relay: &RelayStatus| own_path.first() == Some(&relay.relay);
                        let is_rooted = answer.relays.first().is_some_and(is_root);
                        Answer::Tree { tree: answer, is_rooted }
                    }
                    TreeQuery::Listeners { .. }
                    | TreeQuery::Listener { .. }
                    | TreeQuery::Unknown => Answer::Listeners(answer),
                };
                self.answer(ticket, answer);
            }
        }
    }

    fn handle_join(&mut self, now: Instant, from: Sender, join: Join) {
        if self.refuse_drained(from) {
            return;
        }
        if self.connections.has_one_shot(from.link) {
            let text = "A connection with errands has no join; it takes another one.";
            return self.refuse(from, Refusal::new(ErrorCode::BadRequest, text));
        }
        let shown = match self.check_shown(now, from.remote, join.token.as_deref(), &join.room) {
            Ok(shown) => shown,
            Err(error) => return self.refuse(from, error.into()),
        };
        let overload = self.overload();
        if self.refuse_overload(from, &join.room, join.returning, overload.as_ref()) {
            return;
        }
        let Some(room) = self.open(now, join.room.clone()) else { return self.refuse_room(from) };
        let who = participant_id(&join.session);
        let depth = u8::try_from(self.uplink.path().len()).unwrap_or(u8::MAX);
        let greeting = Greeting { relay: self.config.name.clone(), depth };
        let Sender { link, remote, transport, request } = from;
        let arrival = Connected { link, request, address: remote.ip(), transport };
        let admission = Admission::new(join, arrival, shown, overload, greeting);
        self.connections.join(from.link, room, who);
        if let Some(room) = self.rooms.get_mut(room) {
            room.handle_join(now, who, admission, &mut self.out);
        }
    }

    fn handle_one_shot(&mut self, now: Instant, from: Sender, one_shot: OneShot) {
        let OneShot { room, session, name, role, token, act } = one_shot;
        if self.refuse_drained(from) {
            return;
        }
        let shown = match self.check_shown(now, from.remote, token.as_deref(), &room) {
            Ok(shown) => shown,
            Err(error) => return self.refuse(from, error.into()),
        };
        let Some(room) = self.open(now, room) else { return self.refuse_room(from) };
        self.counters.one_shots += 1;
        let id = routing_id(&session, from.link);
        let request = OneShotRequest {
            link: from.link,
            request: from.request,
            participant: participant_id(&session),
            name,
            role,
            shown,
            address: from.remote.ip(),
            act,
        };
        // The one before may have been in another room; its answer is not waited for any more.
        self.forget_one_shot(now, from.link, Some((room, id)));
        if let Some(room) = self.rooms.get_mut(room) {
            room.handle_one_shot(now, id, request, &mut self.out);
        }
    }

    fn handle_renewal(
        &mut self,
        now: Instant,
        from: Sender,
        room: RoomId,
        who: ParticipantId,
        token: &str,
    ) {
        let Some(name) = self.rooms.get(room).map(|room| room.name().clone()) else { return };
        let shown = self.check_shown(now, from.remote, Some(token), &name);
        let Some(room) = self.rooms.get_mut(room) else { return };
        match shown {
            Ok(shown) => room.handle_renewal(now, who, from.request, &shown, &mut self.out),
            Err(error) => {
                let message = Refusal::from(error).message();
                self.out.to_participant(from.link, from.request, &message);
            }
        }
    }

    fn handle_list(&mut self, now: Instant, from: Sender, after: Option<RoomName>) {
        let Sender { link, request, remote: _, transport: _ } = from;
        if self.uplink.is_origin() {
            let (rooms, more) = self.lists.page(&self.rooms, after);
            self.out.to_participant(link, request, &ToParticipant::Rooms { rooms, more });
        } else {
            self.lists.ask_for_participant(now, link, request, after, &mut self.out);
        }
    }

    /// Checks credentials, as far as that is possible without the room's state.
    fn check_shown(
        &self,
        now: Instant,
        remote: SocketAddr,
        token: Option<&str>,
        room: &RoomName,
    ) -> Result<Shown, TokenError> {
        if let Some(invitation) = Shown::invitation(token) {
            return Ok(invitation);
        }
        let now_s = self.config.setup.wall.unix_us(now) / 1_000_000;
        self.config.auth.admit(remote.ip(), token, room, now_s).map(Shown::Pass)
    }

    fn refuse_drained(&mut self, from: Sender) -> bool {
        if !self.drain.has_begun() {
            return false;
        }
        let moved = ToParticipant::Moved { to: self.drain.to(), within_ms: 0 };
        self.out.to_participant(from.link, None, &moved);
        self.refuse(from, Refusal::new(ErrorCode::Draining, "This relay is draining."));
        true
    }

    /// Overload of this relay, if the next participant would be one too many. Those with a place here
    /// already are known to the room.
    fn overload(&mut self) -> Option<Overload> {
        let participants = self.connections.participants();
        let capacity = self.config.capacity.filter(|most| participants >= *most)?;
        // Among the connections are some that were refused and have not gone yet.
        let inside: usize = self.rooms.values().map(Room::members).sum();
        if inside < capacity {
            return None;
        }
        Some(Overload { to: self.drain.next_place(&self.config.redirect_to) })
    }

    /// Refuses at once a participant beyond the capacity that cannot have a place: nothing is known here
    /// of the room, and it says that it has none.
    fn refuse_overload(
        &mut self,
        from: Sender,
        room: &RoomName,
        returning: bool,
        overload: Option<&Overload>,
    ) -> bool {
        let is_unknown = !returning && self.rooms.id(room).is_none();
        let Some(overload) = overload.filter(|_| is_unknown) else { return false };
        self.counters.joins_redirected += u64::from(overload.to.is_some());
        if let Some(moved) = overload.moved() {
            self.out.to_participant(from.link, None, &moved);
        }
        self.refuse(from, overload.refusal());
        true
    }

    fn refuse_room(&mut self, from: Sender) {
        let text = "This relay carries as many rooms as it can.";
        self.refuse(from, Refusal::new(ErrorCode::Overloaded, text));
    }

    fn refuse(&mut self, from: Sender, refusal: Refusal) {
        self.counters.joins_refused.count(refusal.code);
        self.out.to_participant(from.link, from.request, &refusal.message());
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.effects.push_back(HubEffect::Answer { ticket, answer });
    }

    fn status(&self, now: Instant) -> Status {
        Status {
            readiness: self.readiness(),
            path: self.uplink.path(),
            parent: self.uplink.parent_name().cloned(),
            is_origin: self.uplink.is_origin(),
            relay: self.facts().relay(now),
        }
    }
}

//! Ways of a room up and down the tree: the parent's state and rulings, relays below, actions on their
//! way to the authority, answers on their way back.

use std::collections::BTreeMap;
use std::time::Instant;

use tribune_protocol::control::participant::{Heard, ListenerReports, ToParticipant};
use tribune_protocol::control::query::TreeAnswer;
use tribune_protocol::control::trunk::{Action, Credentials, ToChild, ToParent};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::room::RoomState;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::{Channel, ParticipantId, RequestId, Revision};

use super::edge::Received;
use super::edge::oneshot::WayBack;
use super::edge::refusal::unavailable;
use super::replica::routing::RelayedAction;
use super::replica::rulings::TooManyRulings;
use super::replica::{HandoffEnd, HeldAnswer};
use super::view::RoomView;
use super::{Room, effects};
use crate::messages::{LinkId, ShardId};
use crate::outbox::Outbox;

impl Room {
    /// The trunk to the parent is there: subscribes, and tells the origin who is here.
    pub fn attach_parent(
        &mut self,
        now: Instant,
        link: LinkId,
        channel: Channel,
        out: &mut Outbox,
    ) {
        self.edge.lose_answers(out);
        self.subscribe(now, link, channel, out);
    }

    /// The trunk to the parent is gone. Participants here and below go on among themselves.
    pub fn detach_parent(&mut self, now: Instant, out: &mut Outbox) {
        self.release_parent(now, out);
        let Some(link) = self.replica.lose_parent() else { return };
        self.edge.lose_answers(out);
        self.replica.detach(link, out);
        self.send_routes(now, out);
    }

    /// Another parent is there beside the present one: subscribes there, and keeps the old one for its
    /// frames. Requests go the new way from now on; answers come by both.
    pub fn move_parent(&mut self, now: Instant, link: LinkId, channel: Channel, out: &mut Outbox) {
        if self.is_origin() {
            return;
        }
        if self.replica.channel().is_none() {
            return self.attach_parent(now, link, channel, out);
        }
        self.release_parent(now, out);
        self.replica.keep_former_parent(out);
        self.edge.age_pending();
        self.subscribe(now, link, channel, out);
    }

    /// Leaves the former parent, if there is one.
    pub fn release_parent(&mut self, now: Instant, out: &mut Outbox) {
        let Some(link) = self.replica.leave_former_parent(out) else { return };
        self.replica.detach(link, out);
        self.edge.lose_aged(out);
        self.send_routes(now, out);
    }

    /// The parent has another way to the origin, or none: requests sent the old way are lost.
    pub fn handle_path(&mut self, now: Instant, has_way: bool, out: &mut Outbox) {
        self.edge.lose_answers(out);
        if has_way {
            self.proceed_all(now, out);
        }
    }

    /// The relay lets go of the room.
    pub fn leave_parent(&mut self, now: Instant, out: &mut Outbox) {
        if let Some(channel) = self.channel() {
            out.to_parent(&ToParent::Unsubscribe { channel });
        }
        self.detach_parent(now, out);
        self.replica.forget_shards(out);
    }

    /// State of the parent.
    pub fn handle_state(
        &mut self,
        now: Instant,
        revision: Revision,
        state: RoomState,
        out: &mut Outbox,
    ) {
        if self.replica.accept_state(revision, out) {
            self.replica.check_protection_told(out);
            self.apply(now, revision, state, out);
        }
    }

    /// State of the former parent. The new one's counts; the old one is confirmed to all the same.
    pub fn handle_former_state(&mut self, revision: Revision, out: &mut Outbox) {
        self.replica.handle_former_state(revision, out);
    }

    /// Rulings of the parent. They are in force with the next state.
    ///
    /// # Errors
    /// [`TooManyRulings`]: the parent is not to be followed.
    pub fn handle_rulings(
        &mut self,
        reset: bool,
        rulings: &[Ruling],
        lifted: &[PersonKey],
        out: &mut Outbox,
    ) -> Result<(), TooManyRulings> {
        self.replica.take_rulings(reset, rulings, lifted, out)
    }

    /// Delivers a message of the origin to a participant, here or below.
    pub fn handle_deliver(
        &mut self,
        now: Instant,
        to: ParticipantId,
        request: Option<RequestId>,
        message: ToParticipant,
        out: &mut Outbox,
    ) {
        if self.edge.connection(to).is_some() {
            let view = RoomView::new(&self.replica, &self.context);
            match self.edge.receive(view, to, request, message, out) {
                Received::Done => {}
                Received::Admit => self.admit(now, to, out),
                Received::TurnedAway => {
                    self.act(now, to, None, None, Action::Left {}, out);
                    self.note_idle(now);
                }
            }
        } else if let Some((link, channel)) = self.replica.way_down(to) {
            out.to_child(link, &ToChild::Deliver { channel, participant: to, request, message });
        } else {
            match self.edge.one_shots().way_back(to, request) {
                Some(WayBack::Here(link)) => out.to_participant(link, request, &message),
                Some(WayBack::Below(link)) => {
                    self.replica.deliver_below(link, to, request, message, out);
                }
                None => {}
            }
            self.note_idle(now);
        }
    }

    /// Number of listeners in the whole tree, from the parent.
    pub fn handle_count(&mut self, count: u64, out: &mut Outbox) {
        self.replica.spread_count(count, out);
    }

    /// Reactions of the whole tree, from the parent.
    pub fn handle_reactions(&mut self, counts: BTreeMap<Reaction, u32>, out: &mut Outbox) {
        self.replica.spread_reactions(counts, out);
    }

    /// A relay below subscribes to the room.
    pub fn handle_subscribe(
        &mut self,
        now: Instant,
        (link, channel): (LinkId, Channel),
        height: u8,
        heard: Vec<Heard>,
        out: &mut Outbox,
    ) {
        if self.replica.is_subscriber(link) {
            self.handle_unsubscribe(now, link, out);
        }
        self.idle_since = None;
        let here = self.stage_here();
        self.replica.add_subscriber(now, (link, channel), height, &here, out);
        self.counting(now).greet(link, channel, out);
        out.resume(link, self.id, heard, self.replica.keeper_for(link.shard));
    }

    /// Notes the last frames that came from a parent that is gone.
    pub fn note_last_heard(&mut self, heard: Vec<Heard>) {
        self.replica.note_last_heard(heard);
    }

    /// A relay below unsubscribes, or is gone.
    pub fn handle_unsubscribe(&mut self, now: Instant, link: LinkId, out: &mut Outbox) {
        if !self.replica.remove_subscriber(link, out) {
            return;
        }
        for who in self.replica.actors_below_child(link) {
            self.replica.forget_home(who);
            self.act(now, who, None, None, Action::Away {}, out);
        }
        self.edge.one_shots().forget_below(link);
        self.send_routes(now, out);
        self.note_idle(now);
        self.send_count(now, out);
        self.check_in_force(now, out);
        self.check_closing(now, out);
    }

    /// Number of listeners at a relay below.
    pub fn handle_audience(&mut self, now: Instant, link: LinkId, count: u64, out: &mut Outbox) {
        self.replica.set_listeners_below(link, count);
        self.send_count(now, out);
    }

    /// A relay below has put a revision in force, and so have all below it.
    pub fn handle_applied(
        &mut self,
        now: Instant,
        link: LinkId,
        revision: Revision,
        out: &mut Outbox,
    ) {
        if self.replica.confirm_below(now, link, revision) {
            self.check_in_force(now, out);
        }
    }

    /// Action of a participant below a child.
    pub fn handle_act(
        &mut self,
        now: Instant,
        link: LinkId,
        RelayedAction { who, request, by, action }: RelayedAction,
        out: &mut Outbox,
    ) {
        if !self.replica.is_subscriber(link) {
            return;
        }
        match action {
            Action::Away {} | Action::Left {} => {
                // It has come back by another way: this is the old one speaking.
                if self.replica.home_below(who) != Some(link) {
                    return;
                }
                self.replica.forget_home(who);
                self.send_routes(now, out);
            }
            // It was on its way while the participant moved: it counts, and says nothing about where
            // the participant is.
            Action::RaiseHand { .. }
            | Action::LowerHand {}
            | Action::LeaveStage {}
            | Action::OwnMute { .. }
            | Action::Ask { .. }
            | Action::Govern { .. }
                if self.replica.handoff().has_left(now, who, link) => {}
            Action::Enter { .. }
            | Action::Present {}
            | Action::RaiseHand { .. }
            | Action::LowerHand {}
            | Action::LeaveStage {}
            | Action::OwnMute { .. }
            | Action::Ask { .. }
            | Action::Govern { .. }
            | Action::Unknown => {
                if self.edge.connection(who).is_some() {
                    self.handle_replaced(now, who, out);
                }
                self.set_home(now, who, Some(link), out);
            }
            Action::OneShot { .. } => {
                self.edge.one_shots().insert_below(now, who, request, link);
            }
        }
        self.act(now, who, request, by, action, out);
    }

    /// A shard has put a revision's routes in force.
    pub fn handle_in_force(
        &mut self,
        now: Instant,
        shard: ShardId,
        revision: Revision,
        out: &mut Outbox,
    ) {
        self.replica.confirm_shard(shard, revision);
        self.check_in_force(now, out);
    }

    /// Answer of the tree to a participant's query about single listeners.
    pub fn handle_tree_answer(
        &mut self,
        now: Instant,
        to: ParticipantId,
        request: Option<RequestId>,
        answer: TreeAnswer,
        out: &mut Outbox,
    ) {
        let TreeAnswer { listeners, missing, relays: _ } = answer;
        let reports = ListenerReports { room: self.quality(now), listeners, missing };
        self.handle_deliver(now, to, request, ToParticipant::ListenerReports(reports), out);
    }

    /// Passes an action on, from here or below, to the authority.
    pub(super) fn act(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        by: Option<Credentials>,
        action: Action,
        out: &mut Outbox,
    ) {
        if let Some(authority) = &mut self.authority {
            authority.handle_action(now, who, request, by, action);
            effects::carry_out(self, now, out);
        } else if let Some(channel) = self.replica.channel() {
            out.to_parent(&ToParent::Act { channel, participant: who, request, by, action });
        } else if request.is_some() {
            self.handle_deliver(now, who, request, unavailable(), out);
        }
    }

    /// Gives all shards of the room the present routes.
    pub(super) fn send_routes(&mut self, now: Instant, out: &mut Outbox) {
        let here = self.stage_here();
        self.replica.send_routes(now, &here, out);
        // Whoever has come on the stage, or in with a place on it, hears it here.
        self.edge.tell_protection(&here, self.replica.protection(), out);
    }

    /// Ends the part of a handoff that is over.
    pub(super) fn check_handoff(&mut self, now: Instant, out: &mut Outbox) {
        match self.replica.handoff_over(now) {
            Some(HandoffEnd::Parent) => self.release_parent(now, out),
            Some(HandoffEnd::Home) => self.send_routes(now, out),
            None => {}
        }
    }

    /// Releases answers that waited, and confirms upwards.
    pub(super) fn check_in_force(&mut self, now: Instant, out: &mut Outbox) {
        let reached = self.replica.in_force();
        for HeldAnswer { to, request, message, revision: _ } in self.replica.release(reached) {
            self.handle_deliver(now, to, request, message, out);
        }
        self.replica.confirm_to_parent(reached, out);
        self.replica.follow_in_force(now, out);
        self.note_idle(now);
    }

    /// Notes the child below which a participant is now, or that it is below none.
    pub(super) fn set_home(
        &mut self,
        now: Instant,
        who: ParticipantId,
        home: Option<LinkId>,
        out: &mut Outbox,
    ) {
        if self.replica.move_home(now, who, home, out) && self.replica.is_on_stage(who) {
            self.send_routes(now, out);
        }
    }

    fn subscribe(&mut self, now: Instant, link: LinkId, channel: Channel, out: &mut Outbox) {
        if self.is_origin() {
            return;
        }
        self.idle_since = None;
        self.replica.subscribe(link, channel, &self.stage_here(), out);
        // The origin learns by the new way who is here and below that it knows.
        for participant in self.edge.actors().chain(self.replica.actors_below()) {
            let (request, by, action) = (None, None, Action::Present {});
            out.to_parent(&ToParent::Act { channel, participant, request, by, action });
        }
        let (listeners, here) = (self.listeners(), self.stage_here());
        self.replica.finish_subscribe(now, channel, listeners, &here, out);
        self.counting(now).begin_anew(channel, out);
    }
}

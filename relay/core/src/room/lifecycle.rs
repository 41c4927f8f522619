//! Participants of this relay in a room: joins, requests, rights, departures. Across the wings: the
//! edge keeps the participants, the replica attaches their connections, the authority decides.

use std::time::Instant;

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::Action;
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};
use tribune_protocol::ids::{Note, ParticipantId, RequestId};
use tribune_protocol::quality::report::Report;

use super::edge::join::Admission;
use super::edge::oneshot::{self, OneShotRequest};
use super::edge::person::Shown;
use super::edge::refusal::Refusal;
use super::edge::{Dispatch, JoinFacts, JoinStep, answer, dispatch};
use super::view::RoomView;
use super::{CLOSING_PATIENCE, Room, tokens};
use crate::messages::ShardCommand;
use crate::outbox::{Noted, Outbox};

impl Room {
    /// A participant wants to join.
    pub fn handle_join(
        &mut self,
        now: Instant,
        who: ParticipantId,
        admission: Admission,
        out: &mut Outbox,
    ) {
        let mut was_in = self.edge.take_lost(now, who);
        let mut acted = admission.returning;
        if let Some(older) = self.edge.connection(who) {
            was_in |= self.edge.connection_inside(who).is_some();
            acted |= self.edge.has_acted(who);
            out.close(older, CloseCode::Replaced, CloseCode::Replaced.to_string());
            self.remove(now, who, true, out);
        }
        self.edge.begin_join(now, who, admission, acted, was_in);
        self.idle_since = None;
        self.set_home(now, who, None, out);
        self.proceed(now, who, out);
    }

    /// A member asks for something.
    pub fn handle_request(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        message: FromParticipant,
        out: &mut Outbox,
    ) {
        let Some(link) = self.edge.connection(who) else { return };
        if self.edge.connection_inside(who).is_none() {
            let text = "The join has not been answered yet.";
            return answer(link, request, Err(Refusal::new(ErrorCode::NotJoined, text)), out);
        }
        if let FromParticipant::Ask { text } = &message
            && let Err(refusal) = self.counting(now).check_question(who, text)
        {
            return answer(link, request, Err(refusal), out);
        }
        match dispatch(message) {
            Dispatch::Origin(action) => match self.edge.open_request(who, link, request) {
                Ok(number) => {
                    let by = self.edge.credentials(who);
                    self.act(now, who, number, by, action, out);
                }
                Err(refusal) => answer(link, request, Err(refusal), out),
            },
            Dispatch::React(reaction) => {
                let view = RoomView::new(&self.replica, &self.context);
                let result = self.edge.react(view, now, who, reaction);
                if result.is_ok() {
                    out.note(Noted::Reaction);
                    self.counting(now).react(reaction, out);
                    self.replica.reactions().add(now, reaction, 1);
                    self.replica.send_reactions(now, out);
                }
                answer(link, request, result, out);
            }
            Dispatch::Write(text) => {
                let result = self.counting(now).write(who, text, out);
                answer(link, request, result, out);
            }
            Dispatch::Vote { question, on } => {
                let result = self.counting(now).vote(who, question, on, out);
                answer(link, request, result, out);
            }
            Dispatch::SetProfile(profile) => {
                self.edge.set_profile(who, profile);
                self.follow_rights(who, out);
                answer(link, request, Ok(()), out);
                self.edge.tell_rights(self.view(), who, Note::default(), out);
            }
            Dispatch::Leave => {
                self.handle_leave(now, who, true, out);
                out.close(link, CloseCode::Done, CloseCode::Done.to_string());
            }
            Dispatch::Nonsense(text) => {
                answer(link, request, Err(Refusal::new(ErrorCode::BadRequest, text)), out);
            }
        }
    }

    /// A member shows a newer token, which [`Shown::check`] has to find good.
    pub fn handle_renewal(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        shown: &Shown,
        out: &mut Outbox,
    ) {
        let Some(link) = self.edge.connection_inside(who) else { return };
        let now_s = self.context.unix_s(now);
        let view = RoomView::new(&self.replica, &self.context);
        let result = self.edge.renew(view, now_s, who, shown);
        if result.is_ok() {
            out.note(Noted::TokenRenewed);
            tokens::watch(self, now, who, out);
        }
        answer(link, request, result, out);
    }

    /// A member reports the quality at its end.
    pub fn handle_report(
        &mut self,
        now: Instant,
        who: ParticipantId,
        report: &Report,
        out: &mut Outbox,
    ) {
        let view = RoomView::new(&self.replica, &self.context);
        let Some(report) = self.edge.take_report(view, now, who, report) else {
            return out.note(Noted::ReportRefused);
        };
        out.note(Noted::Reported(report));
        self.counting(now).report(&report, out);
        self.follow_rights(who, out);
    }

    /// Protection that the parent asks the room's speakers for.
    pub fn handle_protection(&mut self, protection: Protection, out: &mut Outbox) {
        self.replica.take_protection(protection, out);
        self.edge.tell_protection(&self.stage_here(), self.replica.protection(), out);
    }

    /// A member is gone: for good, or because its connection is.
    pub fn handle_leave(
        &mut self,
        now: Instant,
        who: ParticipantId,
        for_good: bool,
        out: &mut Outbox,
    ) {
        let acted = self.edge.has_acted(who);
        if !for_good {
            self.edge.note_lost(now, who);
        }
        self.remove(now, who, !for_good, out);
        if acted {
            let action = if for_good { Action::Left {} } else { Action::Away {} };
            self.act(now, who, None, None, action, out);
        }
    }

    /// The same session has joined elsewhere, or another one of the same subject in its place.
    pub fn handle_replaced(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        if let Some(link) = self.edge.connection(who) {
            self.remove(now, who, false, out);
            out.close(link, CloseCode::Replaced, CloseCode::Replaced.to_string());
        } else if self.replica.home_below(who).is_some() {
            self.set_home(now, who, None, out);
        }
    }

    /// A one-shot request of somebody at this relay; `id` is from [`oneshot::routing_id`].
    pub fn handle_one_shot(
        &mut self,
        now: Instant,
        id: ParticipantId,
        request: OneShotRequest,
        out: &mut Outbox,
    ) {
        if let Err(refusal) = self.edge.one_shots().check(id) {
            if request.request.is_some() {
                out.to_participant(request.link, request.request, &refusal.message());
            }
            return;
        }
        self.idle_since = None;
        self.edge.one_shots().insert(now, id, request);
        self.ask_one_shot(now, id, out);
        self.note_idle(now);
    }

    /// The connection of a one-shot request is gone.
    pub fn forget_one_shot(&mut self, now: Instant, id: ParticipantId) {
        self.edge.one_shots().forget(id);
        self.note_idle(now);
    }

    /// Goes on with the joins that waited for the room's state.
    pub(super) fn proceed_all(&mut self, now: Instant, out: &mut Outbox) {
        for who in self.edge.joining() {
            self.proceed(now, who, out);
        }
    }

    /// Goes on with the one-shot requests that waited for the room's state.
    pub(super) fn proceed_one_shots(&mut self, now: Instant, out: &mut Outbox) {
        for id in self.edge.one_shots().waiting() {
            self.ask_one_shot(now, id, out);
        }
    }

    /// Lets a member in: it hears the room, and is told its rights.
    pub(super) fn admit(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let listeners = self.listeners_in_tree();
        let view = RoomView::new(&self.replica, &self.context);
        let Some((admission, key)) = self.edge.let_in(view, who, listeners) else { return };
        self.counting(now).arrive(who, &admission, out);
        let Admission { link, request, greeting, heard, .. } = admission;
        self.idle_since = None;
        let here = self.stage_here();
        self.replica.attach(link, key, &here, out);
        let (you, stage) = (self.edge.you(self.view(), who), &self.replica.state().stage);
        let joined = greeting.joined(you, stage.clone(), listeners);
        out.note(Noted::Join(Ok(())));
        out.to_participant(link, request, &ToParticipant::Joined(joined));
        out.resume(link, self.id, heard, self.replica.keeper_for(link.shard));
        if self.replica.state().settings != RoomSettings::default() {
            out.to_participant(
                link,
                None,
                &ToParticipant::Room(self.view().info(self.listeners_in_tree())),
            );
        }
        if self.replica.is_on_stage(who) {
            self.send_routes(now, out);
        }
        // The token may have run out by now, and with it the membership.
        let older = self.edge.other_sessions(who);
        tokens::watch(self, now, who, out);
        // Last, because it can lead to another state.
        if self.replica.state().settings.duplicates == Duplicates::Replace {
            for older in older {
                self.displace(now, older, out);
            }
        }
    }

    /// Has a member's view follow the state and the rulings.
    pub(super) fn follow_rights(&mut self, who: ParticipantId, out: &mut Outbox) {
        let view = RoomView::new(&self.replica, &self.context);
        if let Some((link, view)) = self.edge.follow_rights(view, who) {
            out.shard(link.shard, ShardCommand::Attach { link, room: self.id, view });
        }
    }

    /// Acts by changed rulings, with the state that they belong to: those who are barred go, the others
    /// are told their rights.
    pub(super) fn follow_rulings(&mut self, now: Instant, out: &mut Outbox) {
        let touched = self.replica.take_touched();
        for who in self.edge.by_keys(&touched) {
            // A join under way is judged anew, with this state.
            let Some((reason, is_barred)) = self.edge.tell_news(self.view(), who, out) else {
                continue;
            };
            if is_barred {
                self.expel(now, who, &reason, out);
            } else {
                self.follow_rights(who, out);
                self.edge.tell_rights(self.view(), who, reason, out);
            }
        }
        self.replica.forget_news(&touched);
    }

    /// The room is over: everybody here goes. Relays below have been told by the state.
    pub(super) fn end(&mut self, now: Instant, out: &mut Outbox) {
        self.closing = Some(now + CLOSING_PATIENCE);
        for link in self.edge.clear() {
            let code = CloseCode::RoomEnded;
            out.close(link, code, code.to_string());
        }
        self.check_closing(now, out);
    }

    /// Takes the next step of a join, as far as the state allows.
    fn proceed(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let has_way = self.replica.is_current();
        let is_alone = self.replica.channel().is_none();
        let goes_on_alone = is_alone && self.replica.state().phase == Phase::Live;
        if !has_way && !goes_on_alone {
            return; // the state is on its way; the hub's patience bounds the wait
        }
        let (now_s, listeners) = (self.context.unix_s(now), self.listeners_in_tree());
        let view = RoomView::new(&self.replica, &self.context);
        let facts = JoinFacts { view, now_s, listeners, has_way };
        let Some(step) = self.edge.step_join(facts, who, out) else { return };
        match step {
            JoinStep::Nothing => {}
            JoinStep::Admit { announce } => {
                self.admit(now, who, out);
                if announce {
                    self.act(now, who, None, None, Action::Present {}, out);
                }
            }
            JoinStep::Ask { request, role, admit } => {
                if admit {
                    self.admit(now, who, out);
                }
                let by = self.edge.credentials_to_enter(who);
                self.act(now, who, Some(request), by, Action::Enter { role }, out);
            }
        }
        self.note_idle(now);
    }

    /// A newer session of the same subject takes the place of a member's.
    fn displace(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let Some(link) = self.edge.connection(who) else { return };
        out.close(link, CloseCode::Replaced, CloseCode::Replaced.to_string());
        self.handle_leave(now, who, false, out);
    }

    fn expel(&mut self, now: Instant, who: ParticipantId, reason: &Note, out: &mut Outbox) {
        let Some(link) = self.edge.connection(who) else { return };
        let acted = self.edge.has_acted(who);
        self.remove(now, who, false, out);
        if acted {
            // The person behind an address or an old token is not known to the origin.
            self.act(now, who, None, None, Action::Left {}, out);
        }
        let code = CloseCode::Kicked;
        let reason = match reason.as_str() {
            "" => code.to_string(),
            reason => reason.to_owned(),
        };
        out.close(link, code, reason);
    }

    fn remove(&mut self, now: Instant, who: ParticipantId, is_lost: bool, out: &mut Outbox) {
        let Some(left) = self.edge.remove(who) else { return };
        if left.was_in {
            self.replica.detach(left.link, out);
            self.counting(now).leave(who, is_lost, out);
            if self.replica.is_on_stage(who) {
                self.send_routes(now, out);
            }
            self.check_in_force(now, out);
        }
        self.note_idle(now);
    }

    /// Asks the origin, once the room's state is known.
    fn ask_one_shot(&mut self, now: Instant, id: ParticipantId, out: &mut Outbox) {
        if !self.replica.is_current() {
            return;
        }
        let Some(waiting) = self.edge.one_shots().take_waiting(id) else { return };
        let (link, request) = (waiting.link, waiting.request);
        match oneshot::credentials(self.view(), self.context.unix_s(now), &waiting) {
            Ok(by) => {
                let action = Action::OneShot { act: waiting.act };
                self.act(now, id, request, Some(by), action, out);
                if request.is_none() {
                    self.edge.one_shots().forget(id);
                }
            }
            Err(refusal) => {
                self.edge.one_shots().forget(id);
                if request.is_some() {
                    out.to_participant(link, request, &refusal.message());
                }
            }
        }
    }
}

//! All that the origin knows and decides about one room, as one value: inputs change it and queue
//! effects. Used by [`crate::room::authority::commit`], which tries decisions that have to be durable on a copy.
//!
//! An input runs through: who acts ([`Actor`]) → the policy table ([`crate::room::authority::policy`]) → the
//! decision, which changes the state, drafts entries of the log and queues effects → one look at what
//! the change means for the queue of hands and for the end of an empty room.
//!
//! The decisions themselves: [`crate::room::authority::stage`], [`crate::room::authority::hands`], [`crate::room::authority::moderation`],
//! [`crate::room::authority::rulings`], [`crate::room::authority::settings`], [`crate::room::authority::appeals`].
//!
//! The origin knows by name only those who act. Silent listeners are a number
//! ([`House::handle_audience`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{ToParticipant, You};
use tribune_protocol::control::query::TreeQuery;
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Phase, RoomState};
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, Revision, RoomName, Subject};
use tribune_protocol::limits::{MAX_HANDS, MAX_LISTENERS_A_MESSAGE};
use tribune_protocol::log::{Draft, LogAction, Party};
use tribune_protocol::quality::report::Ranking;

use crate::room::authority::appeals::Docket;
use crate::room::authority::effect::{Asker, OriginEffect, Outbox, Refusal};
use crate::room::authority::hands::HandQueue;
use crate::room::authority::moderation::SilencedLeavers;
use crate::room::authority::policy;
use crate::room::authority::rulings::Rulings;
use crate::room::context::RoomContext;

/// How long a room goes on with nobody in it: twice the grace for reconnects, so that a relay that
/// fails with everybody on it does not end the room.
pub(in crate::room) const EMPTY_ROOM_LINGER: Duration = Duration::from_secs(60);
/// People remembered after they leave the stage or the queue: as many as fit the queue.
const MAX_LEAVERS: usize = MAX_HANDS;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct House {
    pub(in crate::room) setup: Arc<RoomContext>,
    pub(in crate::room) state: RoomState,
    pub(in crate::room) hands: HandQueue,
    pub(in crate::room) outbox: Outbox,
    /// Everybody on the stage and in the queue.
    pub(in crate::room) people: BTreeMap<ParticipantId, Person>,
    /// Who was there a while ago, the latest last, at most [`MAX_LEAVERS`]: what is ruled about a
    /// session then still finds the subject behind it.
    pub(in crate::room) leavers: VecDeque<(ParticipantId, Person)>,
    /// Whose room it is: this subject comes in as its host.
    pub(in crate::room) host: Option<Subject>,
    pub(in crate::room) rulings: Rulings,
    pub(in crate::room) docket: Docket,
    /// Entries of the log that this input makes.
    pub(in crate::room) drafts: Vec<Draft>,
    /// Entries of the log that are durable.
    pub(in crate::room) log_entries: u64,
    pub(in crate::room) next_track: u32,
    pub(in crate::room) silenced_leavers: SilencedLeavers,
    /// Who of the stage and the queue is away, and until when the place is kept, soonest first. At
    /// most the stage and the queue.
    pub(in crate::room) away: VecDeque<(ParticipantId, Instant)>,
    pub(in crate::room) listeners: u64,
    /// When the room ends, while nobody is in it, or while nobody opens it.
    pub(in crate::room) empty_until: Option<Instant>,
    /// Who has just come in or back: a moderator among them has to see the queue.
    pub(in crate::room) newcomer: Option<ParticipantId>,
}

/// Somebody whom the origin knows by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(in crate::room) subject: Subject,
    pub(in crate::room) name: DisplayName,
    /// The role that their edge vouches for.
    pub(in crate::room) entitled: Role,
}

/// Whoever makes a request, as the origin sees them now.
#[derive(Debug, Clone)]
pub(in crate::room) struct Actor {
    pub(in crate::room) asker: Asker,
    pub(in crate::room) subject: Subject,
    pub(in crate::room) name: DisplayName,
    /// The role that their edge vouches for, or that a moderator has given them.
    pub(in crate::room) entitled: Role,
    /// The role that they act in.
    pub(in crate::room) role: Role,
    pub(in crate::room) may: PermissionSet,
    pub(in crate::room) may_open: bool,
}

impl House {
    /// A room that nobody has opened, at revision `first`.
    pub(in crate::room) fn new(room: RoomName, first: Revision, setup: Arc<RoomContext>) -> Self {
        let mut state = RoomState::absent(room);
        state.key = Some(setup.key.public());
        Self {
            setup,
            state,
            hands: HandQueue::default(),
            outbox: Outbox::new(first),
            people: BTreeMap::new(),
            leavers: VecDeque::new(),
            host: None,
            rulings: Rulings::default(),
            docket: Docket::default(),
            drafts: Vec::new(),
            log_entries: 0,
            next_track: 1,
            silenced_leavers: SilencedLeavers::default(),
            away: VecDeque::new(),
            listeners: 0,
            empty_until: None,
            newcomer: None,
        }
    }

    /// A participant does something, or its edge says something about it. A request gets exactly
    /// one answer; without one there is none.
    pub(in crate::room) fn handle_action(
        &mut self,
        now: Instant,
        asker: Asker,
        by: Option<Credentials>,
        action: Action,
    ) {
        let is_there = Self::is_presence(&action);
        if let Err(refusal) = self.try_action(now, asker, by, action) {
            self.handle_refused(now, asker, is_there, refusal);
        }
    }

    /// The same, but nobody is told of a refusal; it may have left traces.
    pub(in crate::room) fn try_action(
        &mut self,
        now: Instant,
        asker: Asker,
        by: Option<Credentials>,
        action: Action,
    ) -> Result<(), Refusal> {
        self.outbox.begin();
        if Self::is_presence(&action) {
            self.come_back(asker.id);
        }
        if by.is_none() && !is_report(&action) {
            return Err(Refusal::bad_request("The relay below does not say who asks."));
        }
        let actor = self.actor(asker, by);
        self.decide(now, &actor, action)?;
        self.settle(now);
        Ok(())
    }

    /// A request is refused. Whoever made it may have shown by it that they are in the room.
    pub(in crate::room) fn handle_refused(
        &mut self,
        now: Instant,
        asker: Asker,
        is_there: bool,
        refusal: Refusal,
    ) {
        self.outbox.begin();
        if is_there {
            self.come_back(asker.id);
        }
        self.outbox.refuse(asker, refusal);
        self.settle(now);
    }

    /// Whether an action shows that whoever does it is in the room.
    pub(in crate::room) const fn is_presence(action: &Action) -> bool {
        !matches!(action, Action::Away {} | Action::Left {} | Action::OneShot { .. })
    }

    /// How many participants without a role are in the whole tree.
    pub(in crate::room) fn handle_audience(&mut self, now: Instant, listeners: u64) {
        self.outbox.begin();
        self.listeners = listeners;
        self.settle(now);
    }

    /// Time has passed: places of those away for too long are given up, bans run out, and a room that
    /// stayed empty ends.
    pub(in crate::room) fn handle_timeout(&mut self, now: Instant) {
        self.outbox.begin();
        while let Some((who, _)) = self.away.front().copied().filter(|&(_, until)| until <= now) {
            self.give_up(now, who);
        }
        self.hands_run_out(now);
        self.bans_run_out(now);
        if self.empty_until.is_some_and(|until| until <= now) {
            self.write_down(now, Draft::new(0, Party::relay(), LogAction::RoomEnded));
            self.end();
        }
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(in crate::room) fn poll_timeout(&self) -> Option<Instant> {
        let away = self.away.front().map(|&(_, until)| until);
        let ban = self.rulings.next_expiry_s().map(|at_s| self.setup.instant(at_s));
        [away, ban, self.hands.expiry(), self.empty_until].into_iter().flatten().min()
    }

    fn decide(&mut self, now: Instant, actor: &Actor, action: Action) -> Result<(), Refusal> {
        let asker = actor.asker;
        match action {
            Action::Enter { role } => self.enter(now, actor, role),
            Action::Present {} => {
                self.greet_again(asker);
                Ok(())
            }
            Action::Away {} => {
                self.go_away(now, asker.id);
                self.outbox.ok(asker);
                Ok(())
            }
            Action::Left {} => {
                self.give_up(now, asker.id);
                self.outbox.ok(asker);
                Ok(())
            }
            Action::RaiseHand { note } => {
                self.permit(actor, Permission::RaiseHand)?;
                self.raise_hand(now, actor, note)
            }
            Action::LowerHand {} => {
                self.permit(actor, Permission::RaiseHand)?;
                self.lower_hand(asker, asker.id)
            }
            Action::LeaveStage {} => {
                self.permit(actor, Permission::LeaveStage)?;
                self.leave_stage(now, asker)
            }
            Action::OwnMute { muted } => {
                self.permit(actor, Permission::MuteSelf)?;
                self.own_mute(asker, muted)
            }
            Action::OneShot { act: Govern::AnswerInvite { accept: true } } => {
                self.permit(actor, Permission::AnswerInvite)?;
                Err(Refusal::bad_request("Come in first: a microphone is opened in the room."))
            }
            Action::Govern { act } | Action::OneShot { act } => self.govern(now, actor, act),
            Action::Unknown => Err(Refusal::bad_request("This relay does not know that action.")),
        }
    }

    fn govern(&mut self, now: Instant, actor: &Actor, act: Govern) -> Result<(), Refusal> {
        if let Some(permission) = act.traits().permission {
            self.permit(actor, permission)?;
        }
        let asker = actor.asker;
        match act {
            Govern::LowerHand { participant } => self.lower_hand(asker, participant),
            Govern::Grant { participant } => self.grant(now, actor, participant),
            Govern::Deny { participant, reason } => self.deny(now, actor, participant, reason),
            Govern::ClearHands { reason } => self.clear_hands(now, actor, reason),
            Govern::ListHands {} => {
                self.outbox.reply(asker, self.hands.message(now));
                Ok(())
            }
            Govern::Invite { target } => self.invite(now, actor, &target),
            Govern::Uninvite { target } => self.uninvite(asker, &target),
            Govern::AnswerInvite { accept } => self.answer_invite(actor, accept),
            Govern::AskMute { participant, reason } => {
                self.ask_mute(now, actor, participant, reason)
            }
            Govern::Silence { participant, on, reason } => {
                self.silence(now, actor, participant, on, reason)
            }
            Govern::SilenceAll { on, reason } => self.silence_all(now, actor, on, reason),
            Govern::RemoveFromStage { participant, reason } => {
                self.remove_from_stage(now, actor, participant, reason)
            }
            Govern::Kick { target, reason } => self.kick(now, actor, target, reason),
            Govern::Ban { target, duration_s, reason } => {
                self.ban(now, actor, target, duration_s, reason)
            }
            Govern::Unban { target, reason } => self.unban(now, actor, target, reason),
            Govern::ListBans { after } => {
                self.outbox.reply(asker, self.rulings.page(after));
                Ok(())
            }
            Govern::SetRole { target, role, reason } => {
                self.set_role(now, actor, target, role, reason)
            }
            Govern::SetPermission { target, permission, allow, reason } => {
                self.set_permission(now, actor, target, (permission, allow), reason)
            }
            Govern::HandOver { participant } => self.hand_over(now, actor, participant),
            Govern::Create { settings } => self.create(now, actor, settings),
            Govern::Set { change, reason } => self.set(now, actor, change, reason),
            Govern::Show {} => {
                self.show(asker);
                Ok(())
            }
            Govern::MakeInvitation { subject, role, valid_for_s } => {
                self.make_invitation(now, actor, subject, role, valid_for_s)
            }
            // The authority reads the log; what comes here has found too many reading already.
            Govern::ReadLog { .. } => Err(Refusal::new(
                tribune_protocol::codes::ErrorCode::Overloaded,
                "Too many are reading the log of this room at the moment.",
            )),
            Govern::Appeal { entry, text } => self.appeal(now, actor, entry, text),
            Govern::AnswerAppeal { entry, uphold, reason } => {
                self.answer_appeal(now, actor, entry, uphold, reason)
            }
            Govern::ListListeners { worst, by } => self.list_listeners(asker, worst, by),
            Govern::ShowListener { participant } => {
                let room = self.state.room.clone();
                self.look(asker, TreeQuery::Listener { room, participant })
            }
            Govern::EndRoom {} => {
                self.require_live()?;
                self.write_down(now, Draft::new(0, actor.party(), LogAction::RoomEnded));
                self.outbox.ok(asker); // connections close with the last state
                self.end();
                Ok(())
            }
            Govern::Unknown => Err(Refusal::bad_request("This relay does not know that request.")),
        }
    }

    fn list_listeners(&mut self, asker: Asker, worst: u8, by: Ranking) -> Result<(), Refusal> {
        if by == Ranking::Unknown || !(1..=MAX_LISTENERS_A_MESSAGE).contains(&worst.into()) {
            return Err(Refusal::bad_request(format!(
                "Between 1 and {MAX_LISTENERS_A_MESSAGE} listeners can be asked for, by a measure \
                 that this relay knows."
            )));
        }
        let room = self.state.room.clone();
        self.look(asker, TreeQuery::Listeners { room, worst, by })
    }

    /// The listeners are the edges' to know: the room's node asks along the tree, and answers.
    fn look(&mut self, asker: Asker, about: TreeQuery) -> Result<(), Refusal> {
        self.require_live()?;
        self.outbox.push(OriginEffect::Query { to: asker.id, request: asker.request, about });
        Ok(())
    }

    /// Who acts, by what their edge says of them and what is known here.
    pub(in crate::room) fn actor(&self, asker: Asker, by: Option<Credentials>) -> Actor {
        let known = self.people.get(&asker.id);
        let (subject, name, vouched, may_open, barred) = match (by, known) {
            (Some(by), _) => (by.subject, by.name, by.role, by.may_open, by.barred),
            (None, Some(person)) => {
                (person.subject.clone(), person.name.clone(), person.entitled, false, false)
            }
            (None, None) => {
                let subject = Subject::guest(asker.id);
                let name = nameless(&subject);
                (subject, name, Role::Listener, false, false)
            }
        };
        let ruled = self.rulings.about(Some(asker.id), Some(&subject));
        let mut entitled = ruled.role.unwrap_or(vouched);
        if entitled == Role::Host && self.host.as_ref().is_some_and(|host| *host != subject) {
            entitled = Role::Cohost;
        }
        let role = match self.state.on_stage(asker.id) {
            Some(entry) => entry.role,
            None => self.role_of_subject(&subject).unwrap_or(entitled),
        };
        let may = if barred || ruled.barred {
            policy::BARRED
        } else {
            self.setup.policy.may(role).union(ruled.allow).minus(ruled.deny)
        };
        Actor { asker, subject, name, entitled, role, may, may_open }
    }

    /// The role of a subject that is on the stage, or whose room this is.
    pub(in crate::room) fn role_of_subject(&self, subject: &Subject) -> Option<Role> {
        let of = |who: &ParticipantId| self.people.get(who).map(|person| &person.subject);
        let policy = &self.setup.policy;
        let on_stage =
            self.state.stage.iter().filter(|entry| of(&entry.participant) == Some(subject));
        let on_stage = on_stage.map(|entry| entry.role).max_by_key(|role| policy.rank(*role));
        if self.host.as_ref() == Some(subject) { Some(Role::Host) } else { on_stage }
    }

    /// # Errors
    /// [`tribune_protocol::codes::ErrorCode::NotPermitted`]
    pub(in crate::room) fn permit(
        &self,
        actor: &Actor,
        permission: Permission,
    ) -> Result<(), Refusal> {
        if actor.may.contains(permission) {
            return Ok(());
        }
        Err(self.setup.policy.refusal(permission))
    }

    /// Notes an entry of the log; its time is filled in. The number that it will have comes back.
    pub(in crate::room) fn write_down(&mut self, now: Instant, draft: Draft) -> u64 {
        let at_ms = self.setup.wall.unix_us(now) / 1_000;
        self.drafts.push(Draft { at_ms, ..draft });
        self.log_entries + self.drafts.len() as u64
    }

    /// Tells somebody who is connected what has been done to them.
    pub(in crate::room) fn notify(&mut self, who: ParticipantId, news: Moderated) {
        self.outbox.deliver(who, ToParticipant::Moderated(news));
    }

    /// Tells somebody their own place.
    pub(in crate::room) fn tell_place(&mut self, who: ParticipantId, reason: Note) {
        let you = self.place(who, reason);
        self.outbox.deliver(who, ToParticipant::You(you));
    }

    /// Where somebody stands whom the origin knows; a listener else.
    pub(in crate::room) fn place(&self, who: ParticipantId, reason: Note) -> You {
        let person = self.person(who);
        let ruled = self.rulings.about(Some(who), person.map(|person| &person.subject));
        let entry = self.state.on_stage(who);
        let entitled = || ruled.role.or(person.map(|person| person.entitled));
        let role = entry.map(|entry| entry.role).or_else(|| {
            // A right to come on the stage is not a place on it.
            entitled().filter(|role| !self.setup.policy.speaks(*role))
        });
        let role = role.unwrap_or(Role::Listener);
        You {
            participant: who,
            role,
            track: entry.map(|entry| entry.track),
            silenced: entry.is_some_and(|entry| entry.silenced),
            hand: self.hands.place(who),
            reason,
            may: self.setup.policy.may(role).union(ruled.allow).minus(ruled.deny),
            invited_by: ruled.invited_by,
        }
    }

    /// Somebody who is known, or was a while ago.
    pub(in crate::room) fn person(&self, who: ParticipantId) -> Option<&Person> {
        let left = || self.leavers.iter().rev().find(|(left, _)| *left == who);
        self.people.get(&who).or_else(|| left().map(|(_, person)| person))
    }

    /// Keeps in mind for a while who has left the stage or the queue.
    pub(in crate::room) fn note_leaver(&mut self, who: ParticipantId) {
        let Some(person) = self.people.remove(&who) else { return };
        self.leavers.retain(|(left, _)| *left != who);
        if self.leavers.len() >= MAX_LEAVERS {
            self.leavers.pop_front();
        }
        self.leavers.push_back((who, person));
    }

    pub(in crate::room) fn entry_mut(&mut self, who: ParticipantId) -> Option<&mut StageEntry> {
        self.state.stage.iter_mut().find(|entry| entry.participant == who)
    }

    pub(in crate::room) fn is_known(&self, who: ParticipantId) -> bool {
        self.state.on_stage(who).is_some() || self.hands.place(who).is_some()
    }

    pub(in crate::room) fn is_away(&self, who: ParticipantId) -> bool {
        self.away.iter().any(|&(away, _)| away == who)
    }

    /// What an input means for others: those who moved up the queue, the moderators who watch it,
    /// and the end of the room if nobody is left.
    pub(in crate::room) fn settle(&mut self, now: Instant) {
        let newcomer = self.newcomer.take();
        let change = self.hands.take_change();
        let queue_changed = change.is_some();
        for moved in change.unwrap_or_default() {
            if !self.is_away(moved) {
                self.tell_place(moved, Note::default());
            }
        }
        for entry in &self.state.stage {
            let sees = queue_changed && !entry.away || newcomer == Some(entry.participant);
            let may = self.setup.policy.may(entry.role);
            if sees && may.contains(Permission::SeeHands) {
                self.outbox.deliver(entry.participant, self.hands.message(now));
            }
        }
        self.empty_until = match self.state.phase {
            Phase::Live if self.is_empty() => {
                Some(self.empty_until.unwrap_or(now + EMPTY_ROOM_LINGER))
            }
            Phase::Announced => self.empty_until,
            Phase::Live | Phase::Absent | Phase::Ended => None,
        };
        self.outbox.finish();
    }

    /// Ends the room. Who is kept out stays so, in the next room of that name; roles, permissions and
    /// invitations to speak were for this one.
    pub(in crate::room) fn end(&mut self) {
        self.rulings_end();
        self.state.phase = Phase::Ended;
        self.state.stage.clear();
        self.state.settings.locked = false;
        self.state.settings.starts_s = 0;
        self.host = None;
        self.people.clear();
        self.leavers.clear();
        self.hands = HandQueue::default();
        self.silenced_leavers = SilencedLeavers::default();
        self.away.clear();
        self.empty_until = None;
        self.outbox.publish();
        self.outbox.finished();
    }

    fn is_empty(&self) -> bool {
        // Nobody is both on the stage and in the queue, so all known are away if as many are.
        self.listeners == 0 && self.state.stage.len() + self.hands.len() == self.away.len()
    }
}

impl Actor {
    /// The actor as the log names them.
    pub(in crate::room) fn party(&self) -> Party {
        Party {
            subject: Some(self.subject.clone()),
            name: Some(self.name.clone()),
            role: Some(self.role),
            participant: None,
            address: None,
        }
    }

    /// The keys that rulings about them stand under.
    pub(in crate::room) fn key(&self) -> PersonKey {
        if self.subject.is_guest() {
            PersonKey::of_participant(self.asker.id)
        } else {
            PersonKey::of_subject(&self.subject)
        }
    }
}

/// Whether it is an edge's own word about a participant, which takes no credentials.
const fn is_report(action: &Action) -> bool {
    matches!(action, Action::Present {} | Action::Away {} | Action::Left {} | Action::Unknown)
}

/// What somebody is called of whom only the subject is known.
fn nameless(subject: &Subject) -> DisplayName {
    let name = subject.as_str().parse();
    name.unwrap_or_else(|_| unreachable!("a guest's subject is 22 letters and digits"))
}

//! Admission: checks of a join, and its steps. Listeners are let in here; a place on the stage is the
//! origin's to give.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::access::Denied;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::Duplicates;
use tribune_protocol::ids::{DisplayName, ParticipantId, RequestId};
use tribune_protocol::token::TokenError;

use super::Edge;
use super::join::{Admission, Stay};
use super::members::{Member, Members};
use super::pending::{Asked, PendingRequest};
use super::person::{Person, Proof};
use super::refusal::{Refusal, unavailable};
use crate::outbox::{Noted, Outbox};
use crate::room::names;
use crate::room::view::RoomView;

/// Time for the room's state and the origin's answer to come.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);

/// Deadlines of the joins under way, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Admissions {
    queue: VecDeque<(Instant, ParticipantId)>,
}

/// Next step of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinStep {
    /// It waits for a state or an answer, or is over.
    Nothing,
    /// The participant is let in. `announce`: the origin may know it, and is told that it is here.
    Admit { announce: bool },
    /// The origin is asked for the place. `admit`: the participant has it already.
    Ask { request: RequestId, role: Role, admit: bool },
}

/// Facts about the room that a join is checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JoinFacts<'a> {
    pub(crate) view: RoomView<'a>,
    /// Unix time.
    pub(crate) now_s: u64,
    /// Listeners in the whole tree.
    pub(crate) listeners: u64,
    /// The origin can be asked.
    pub(crate) has_way: bool,
}

impl Admissions {
    /// Deadline of the oldest join.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.queue.front().map(|(by, _)| *by)
    }

    fn begin(&mut self, now: Instant, who: ParticipantId) {
        self.queue.push_back((now + JOIN_PATIENCE, who));
    }

    /// The next participant whose join has waited too long.
    fn pop_late(&mut self, now: Instant, members: &Members) -> Option<ParticipantId> {
        while let Some((by, who)) = self.queue.front().copied() {
            let is_joining = members.get(who).is_some_and(|member| !member.is_in());
            if is_joining && by > now {
                return None;
            }
            self.queue.pop_front();
            // A later attempt of the same participant has its own entry.
            let is_last = || self.queue.iter().all(|(_, later)| *later != who);
            if is_joining && by <= now && is_last() {
                return Some(who);
            }
        }
        None
    }
}

impl Edge {
    /// Begins a join. `acted`: the origin may know the participant; `was_in`: it was in until now.
    pub(crate) fn begin_join(
        &mut self,
        now: Instant,
        who: ParticipantId,
        admission: Admission,
        acted: bool,
        was_in: bool,
    ) {
        // The person is known once the credentials have been checked.
        let nobody = Proof::Guest.person(who, admission.address, admission.role);
        self.members.insert(who, Member::joining(admission, nobody, acted, was_in));
        self.admissions.begin(now, who);
    }

    /// Takes the next step of a join, as far as the state allows; `None` if none is under way, or the
    /// origin has been asked.
    pub(crate) fn step_join(
        &mut self,
        facts: JoinFacts<'_>,
        who: ParticipantId,
        out: &mut Outbox,
    ) -> Option<JoinStep> {
        let stay = self.members.get(who)?.stay();
        let Stay::Joining { admission, asked: false, was_in } = stay else { return None };
        let admission = (**admission).clone();
        let check = Check { facts, members: &self.members, who, was_in: *was_in };
        match check.judge(&admission) {
            Err(refusal) => {
                self.members.remove(who);
                refuse(&admission, refusal, out);
                Some(JoinStep::Nothing)
            }
            Ok((person, name)) => {
                self.members.get_mut(who)?.identify(person, name);
                self.continue_join(facts, who, &admission)
            }
        }
    }

    fn continue_join(
        &mut self,
        facts: JoinFacts<'_>,
        who: ParticipantId,
        admission: &Admission,
    ) -> Option<JoinStep> {
        let Admission { link, role, returning, .. } = *admission;
        if !facts.view.policy.speaks(role) {
            return Some(JoinStep::Admit { announce: returning });
        }
        if !facts.has_way {
            return Some(JoinStep::Nothing);
        }
        // With too many pending, it is asked again as soon as something changes; the patience bounds
        // the wait.
        let request = self.pending.open(PendingRequest { who, link, asked: Asked::Join })?;
        let member = self.members.get_mut(who)?;
        member.note_acted();
        member.set_asked(true);
        // The place of a participant who comes from another relay is in the state already. The others
        // wait for its frames from the moment at which the relays above learn of it, and not for the
        // origin's answer, which can only be the same.
        let admit = returning && facts.view.state.on_stage(who).is_some();
        Some(JoinStep::Ask { request, role, admit })
    }

    /// Refuses the joins that have waited too long.
    pub(crate) fn give_up_joins(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(who) = self.admissions.pop_late(now, &self.members) {
            let Some(member) = self.members.remove(who) else { continue };
            let Some(admission) = member.admission() else { continue };
            out.note(Noted::Join(Err(ErrorCode::Unavailable)));
            out.to_participant(admission.link, admission.request, &unavailable());
        }
    }

    /// Participants whose join is under way.
    pub(crate) fn joining(&self) -> Vec<ParticipantId> {
        let joining = self.members.iter().filter(|(_, member)| !member.is_in());
        joining.map(|(who, _)| who).collect()
    }

    /// Has the joins that the origin was asked about be asked about again.
    pub(crate) fn ask_joins_again(&mut self) {
        self.members.values_mut().for_each(|member| member.set_asked(false));
    }
}

/// Checks of one join.
#[derive(Debug)]
struct Check<'a> {
    facts: JoinFacts<'a>,
    members: &'a Members,
    who: ParticipantId,
    was_in: bool,
}

impl Check<'_> {
    /// Identity and display name of the participant, if nothing keeps it out.
    fn judge(&self, admission: &Admission) -> Result<(Person, DisplayName), Refusal> {
        let JoinFacts { view, now_s, .. } = self.facts;
        let state = view.state;
        let proof = admission.shown.check(&state.room, state.key, now_s)?;
        // The name in a token counts for more than the one asked for.
        let name = proof.name().unwrap_or(&admission.name).clone();
        let person = proof.clone().person(self.who, admission.address, admission.role);
        // A token over by a moment passes the check, which allows for clocks that differ; a session
        // would end at once.
        let over_s = person.token().and_then(|token| now_s.checked_sub(token.expires_at_s));
        if let Some(ago_s) = over_s {
            return Err(TokenError::Expired { ago_s }.into());
        }
        let speaks = view.policy.speaks(admission.role);
        let may = self.judge_rights(admission, &person)?;
        if !speaks && !may.contains(Permission::Listen) {
            let text = "You may not listen to this room; a token has to grant it.";
            return Err(Refusal::new(ErrorCode::NotPermitted, text));
        }
        match state.phase {
            Phase::Live => {
                if state.on_stage(self.who).is_none() {
                    self.judge_live(&proof, may)?;
                }
                self.check_name(&name, &person)?;
                self.check_duplicates(&person)?;
            }
            // The origin decides about opening it.
            Phase::Absent | Phase::Announced | Phase::Ended if speaks => {}
            Phase::Absent | Phase::Ended => {
                let text = "The room has not been opened; a host opens it by joining.";
                return Err(Refusal::new(ErrorCode::RoomNotFound, text));
            }
            Phase::Announced => {
                let text = "The room is announced, and nobody has opened it yet.";
                return Err(Refusal::new(ErrorCode::NotStarted, text));
            }
        }
        Ok((person, name))
    }

    /// Permissions in the role wanted, unless a ruling, the role or the relay's capacity is against it.
    fn judge_rights(
        &self,
        admission: &Admission,
        person: &Person,
    ) -> Result<PermissionSet, Refusal> {
        let view = self.facts.view;
        let rulings = person.rulings(view);
        if let Some(bar) = &rulings.bar {
            return Err(Refusal::new(ErrorCode::Barred, bar.sentence()));
        }
        let role = admission.role;
        let on_stage = view.state.on_stage(self.who).is_some();
        let highest = rulings.role.unwrap_or(person.highest());
        let given = role == Role::Speaker && rulings.allow.contains(Permission::Speak);
        if !on_stage && !given && !view.policy.entitles(highest, role) {
            return Err(Refusal::role_above(role, highest));
        }
        if let Some(overload) = admission.overload.as_ref().filter(|_| !on_stage && !self.was_in) {
            return Err(overload.refusal());
        }
        let may = rulings.may(view.policy.may(role));
        Ok(match person.may_listen() {
            true => may,
            false => may.minus(PermissionSet::of(&[Permission::Listen])),
        })
    }

    /// Settings of a live room, for a participant without a place on the stage. Those who may change a
    /// setting are not kept out by it.
    fn judge_live(&self, proof: &Proof, may: PermissionSet) -> Result<(), Refusal> {
        let state = self.facts.view.state;
        let settings = &state.settings;
        if settings.locked && !self.was_in && !may.contains(Permission::Lock) {
            let text = "The room is locked; nobody new comes in.";
            return Err(Refusal::new(ErrorCode::Locked, text));
        }
        if may.contains(Permission::SetRoom) {
            return Ok(());
        }
        let here = self.facts.listeners + state.stage.len() as u64;
        if settings.capacity > 0 && !self.was_in && here >= u64::from(settings.capacity) {
            let text = format!("The room holds {}, and it is full.", settings.capacity);
            return Err(Refusal::new(ErrorCode::RoomFull, text));
        }
        settings.access.check(&proof.for_access()).map_err(|denied| {
            let code = match denied {
                Denied::TokenNeeded => ErrorCode::TokenMissing,
                Denied::InvitationNeeded
                | Denied::RuleWithoutToken(_)
                | Denied::RuleNotMet { .. } => ErrorCode::AccessDenied,
            };
            Refusal::new(code, denied.to_string())
        })
    }

    /// Nobody takes the name of a host or cohost on the stage, but for these themselves: the edge knows
    /// the subjects of its own members.
    fn check_name(&self, name: &DisplayName, person: &Person) -> Result<(), Refusal> {
        let is_theirs = |other: ParticipantId| {
            let same = |member: &Member| member.person().subject_key() == person.subject_key();
            other == self.who || self.members.get(other).is_some_and(same)
        };
        let taken = self.facts.view.state.stage.iter().find(|entry| {
            entry.role.moderates()
                && names::is_confusable(name, &entry.name)
                && !is_theirs(entry.participant)
        });
        taken.map_or(Ok(()), |entry| {
            let (name, role) = (&entry.name, entry.role);
            let text = format!("Your name could be taken for that of the {role}, {name}.");
            Err(Refusal::new(ErrorCode::NameTaken, text))
        })
    }

    fn check_duplicates(&self, person: &Person) -> Result<(), Refusal> {
        let most = match self.facts.view.state.settings.duplicates {
            Duplicates::Replace => return Ok(()),
            Duplicates::Refuse => 1,
            Duplicates::Allow(sessions) => usize::from(sessions.max(1)),
        };
        if self.members.same_subject(self.who, person).len() < most {
            return Ok(());
        }
        let text = match most {
            1 => "You are in this room already, and it allows one session.".to_owned(),
            most => format!("You are in this room already, and it allows {most} sessions."),
        };
        Err(Refusal::new(ErrorCode::Duplicate, text))
    }
}

fn refuse(admission: &Admission, refusal: Refusal, out: &mut Outbox) {
    let code = refusal.code;
    out.note(Noted::Join(Err(code)));
    let overload = admission.overload.as_ref().filter(|_| code == ErrorCode::Overloaded);
    if let Some(moved) = overload.and_then(|overload| overload.moved()) {
        out.note(Noted::Redirected);
        out.to_participant(admission.link, None, &moved);
    }
    let message: ToParticipant = refusal.message();
    out.to_participant(admission.link, admission.request, &message);
}

//! The stage at a room's origin: coming in, stepping up, leaving, being asked and being moved, and who
//! the host is. Used by [`crate::room::authority::state`].

use std::time::Instant;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::Duplicates;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, Subject, TrackId};
use tribune_protocol::limits::RECONNECT_GRACE;
use tribune_protocol::log::{Draft, LogAction, Party};

use crate::room::authority::appeals::Change;
use crate::room::authority::effect::{Asker, OriginEffect, Refusal};
use crate::room::authority::rulings::Ruled;
use crate::room::authority::state::{Actor, House, Person};
use crate::room::names;

const NOT_ON_STAGE: &str = "You are not on the stage.";

impl House {
    pub(in crate::room) fn enter(
        &mut self,
        now: Instant,
        actor: &Actor,
        role: Role,
    ) -> Result<(), Refusal> {
        if !self.setup.policy.speaks(role) {
            return Err(Refusal::bad_request(
                "Only a role with a place on the stage comes in by the origin.",
            ));
        }
        let is_live = self.state.phase == Phase::Live;
        if is_live && self.is_known(actor.asker.id) {
            self.greet_again(actor.asker);
            return Ok(());
        }
        let mut role = if is_live { self.admit(actor, role)? } else { self.opener_role(actor)? };
        let others = self.sessions_in_the_way(actor)?;
        let freed = others.iter().filter(|who| self.state.on_stage(**who).is_some()).count();
        self.require_place(freed)?;
        for who in others {
            // The host's place is taken over as a whole.
            if self.state.on_stage(who).is_some_and(|entry| entry.role == Role::Host) {
                role = Role::Host;
            }
            self.outbox.push(OriginEffect::Displace { who });
            self.remove(who);
        }
        let silenced = self.silenced_leavers.contains(&actor.subject);
        if !is_live {
            self.open(now, actor);
        }
        if role == Role::Host {
            self.host = Some(actor.subject.clone());
        }
        self.step_up(actor, role, silenced)?;
        self.outbox.ok(actor.asker);
        self.newcomer = Some(actor.asker.id);
        Ok(())
    }

    /// What somebody needs to see whose connection is new.
    pub(in crate::room) fn greet_again(&mut self, asker: Asker) {
        self.outbox.ok(asker);
        self.tell_place(asker.id, Note::default());
        self.newcomer = Some(asker.id);
    }

    pub(in crate::room) fn leave_stage(
        &mut self,
        now: Instant,
        asker: Asker,
    ) -> Result<(), Refusal> {
        if self.state.on_stage(asker.id).is_none() {
            return Err(Refusal::bad_request(NOT_ON_STAGE));
        }
        self.give_up(now, asker.id);
        self.outbox.ok(asker);
        self.tell_place(asker.id, Note::default());
        Ok(())
    }

    pub(in crate::room) fn own_mute(&mut self, asker: Asker, muted: bool) -> Result<(), Refusal> {
        let entry = self.entry_mut(asker.id).ok_or_else(|| Refusal::bad_request(NOT_ON_STAGE))?;
        if std::mem::replace(&mut entry.muted, muted) != muted {
            self.outbox.publish();
        }
        self.outbox.ok(asker);
        Ok(())
    }

    pub(in crate::room) fn invite(
        &mut self,
        now: Instant,
        actor: &Actor,
        target: &Target,
    ) -> Result<(), Refusal> {
        self.require_live()?;
        let found = self.find(target)?;
        if found.participants.iter().any(|who| self.state.on_stage(*who).is_some()) {
            return Err(Refusal::bad_request("They are on the stage already."));
        }
        let mut draft = Draft::new(0, actor.party(), LogAction::InvitedToSpeak);
        draft.target = Some(found.party.clone());
        let entry = self.write_down(now, draft);
        self.make_room([found.key])?;
        let news = self.news(actor, LogAction::InvitedToSpeak, entry, Note::default());
        let by = actor.name.clone();
        self.rule(&found, Some(news), |ruling| ruling.invited_by = Some(by))?;
        for who in found.participants {
            self.tell_place(who, Note::default());
        }
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    pub(in crate::room) fn uninvite(
        &mut self,
        asker: Asker,
        target: &Target,
    ) -> Result<(), Refusal> {
        let found = self.find(target)?;
        if self.rulings.get(&found.key).is_none_or(|ruling| ruling.invited_by.is_none()) {
            let message = format!("There is no invitation to speak for {}.", found.party);
            return Err(Refusal::new(ErrorCode::NoSuchParticipant, message));
        }
        self.rule(&found, None, |ruling| ruling.invited_by = None)?;
        self.outbox.ok_when_in_force(asker);
        Ok(())
    }

    pub(in crate::room) fn answer_invite(
        &mut self,
        actor: &Actor,
        accept: bool,
    ) -> Result<(), Refusal> {
        self.require_live()?;
        let ruled = self.rulings.about(Some(actor.asker.id), Some(&actor.subject));
        if ruled.invited_by.is_none() {
            return Err(Refusal::bad_request("Nobody has invited you to speak."));
        }
        if accept {
            if self.state.on_stage(actor.asker.id).is_none() {
                self.accept_invite(actor, &ruled)?;
            }
            self.take_hand(actor.asker.id);
        }
        for key in [PersonKey::of_participant(actor.asker.id), actor.key()] {
            self.rule_by_key(key, |ruling| ruling.invited_by = None);
        }
        self.outbox.ok_when_in_force(actor.asker);
        self.tell_place(actor.asker.id, Note::default());
        Ok(())
    }

    pub(in crate::room) fn remove_from_stage(
        &mut self,
        now: Instant,
        actor: &Actor,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        if self.state.on_stage(subject).is_none() {
            return Err(self.not_on_stage(subject));
        }
        let found = self.find(&Target::Participant(subject))?;
        if found.subject.as_ref() == Some(&actor.subject) {
            return Err(Refusal::bad_request("You can leave the stage yourself."));
        }
        self.outranks(actor, &found, Permission::RemoveFromStage)?;
        self.make_room([found.key])?;
        let mut draft = Draft::new(0, actor.party(), LogAction::RemovedFromStage);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        let entry = self.write_down(now, draft);
        let change = Change::Role(Role::Listener);
        self.docket.add(entry, LogAction::RemovedFromStage, &found, change);
        let news = self.news(actor, LogAction::RemovedFromStage, entry, reason.clone());
        self.notify(subject, news);
        // A token for the stage does not take them back there; a grant or an invitation does.
        self.rule(&found, None, |ruling| ruling.role = Some(Role::Listener))?;
        self.give_up(now, subject);
        self.outbox.ok_when_in_force(actor.asker);
        self.tell_place(subject, reason);
        Ok(())
    }

    pub(in crate::room) fn hand_over(
        &mut self,
        now: Instant,
        actor: &Actor,
        heir: ParticipantId,
    ) -> Result<(), Refusal> {
        self.require_live()?;
        // Whatever permissions somebody has been given: the room is the host's to give away.
        if actor.role != Role::Host {
            let message = "Only the host can hand the room over.";
            return Err(Refusal::new(ErrorCode::NotPermitted, message));
        }
        match self.state.on_stage(heir) {
            None => return Err(self.not_on_stage(heir)),
            Some(entry) if entry.role == Role::Host => {
                return Err(Refusal::bad_request("They are the host already."));
            }
            Some(_) => {}
        }
        let found = self.find(&Target::Participant(heir))?;
        let mut draft = Draft::new(0, actor.party(), LogAction::HostHandedOver);
        draft.target = Some(found.party);
        self.write_down(now, draft);
        let before = self.host.clone();
        self.make_host(heir);
        if let Some(before) = before.filter(|before| !before.is_guest()) {
            // Their token still says host; they come back as cohost.
            let found = self.find(&Target::Subject(before))?;
            self.make_room([found.key])?;
            self.rule(&found, None, |ruling| ruling.role = Some(Role::Cohost))?;
        }
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    /// Keeps the place of somebody whose connection is gone, for [`RECONNECT_GRACE`].
    pub(in crate::room) fn go_away(&mut self, now: Instant, who: ParticipantId) {
        if !self.is_known(who) || self.is_away(who) {
            return;
        }
        self.away.push_back((who, now + RECONNECT_GRACE));
        if let Some(entry) = self.entry_mut(who) {
            entry.away = true;
            self.outbox.publish();
        }
    }

    pub(in crate::room) fn come_back(&mut self, who: ParticipantId) {
        if !self.is_away(who) {
            return;
        }
        self.away.retain(|&(away, _)| away != who);
        if let Some(entry) = self.entry_mut(who) {
            entry.away = false;
            self.outbox.publish();
        }
    }

    /// Gives up the place of somebody who has gone. A host's room passes to the cohost who has been on
    /// the stage for longest.
    pub(in crate::room) fn give_up(&mut self, now: Instant, who: ParticipantId) {
        let was_host = self.state.on_stage(who).is_some_and(|entry| entry.role == Role::Host);
        let subject = self.people.get(&who).map(|person| person.subject.clone());
        self.remove(who);
        if was_host {
            self.succeed(now, subject.as_ref());
        }
    }

    /// Takes somebody off the stage or out of the queue.
    pub(in crate::room) fn remove(&mut self, who: ParticipantId) {
        self.away.retain(|&(away, _)| away != who);
        if let Some(at) = self.state.stage.iter().position(|entry| entry.participant == who) {
            let silenced = self.state.stage.remove(at).silenced;
            if let Some(person) = self.people.get(&who).filter(|_| silenced) {
                self.silenced_leavers.insert(person.subject.clone());
            }
            self.outbox.publish();
        }
        self.note_leaver(who);
        let _ = self.hands.remove(who); // most have none up
    }

    /// Gives somebody a place on the stage, with a track that nobody had before.
    pub(in crate::room) fn step_up(
        &mut self,
        actor: &Actor,
        role: Role,
        silenced: bool,
    ) -> Result<(), Refusal> {
        self.require_place(0)?;
        let track = TrackId(self.next_track);
        self.next_track += 1;
        self.silenced_leavers.remove(&actor.subject);
        let (participant, name) = (actor.asker.id, actor.name.clone());
        let away = self.is_away(participant);
        let entry = StageEntry { participant, name, role, track, silenced, muted: false, away };
        self.state.stage.push(entry);
        self.remember(actor);
        self.outbox.publish();
        Ok(())
    }

    /// Whether one more fits the stage, once so many have left it.
    ///
    /// # Errors
    /// [`ErrorCode::StageFull`]
    fn require_place(&self, freed: usize) -> Result<(), Refusal> {
        let size = usize::from(self.state.settings.stage_size);
        if self.state.stage.len() - freed >= size {
            let message = format!("The stage of this room holds {size}, and it is full.");
            return Err(Refusal::new(ErrorCode::StageFull, message));
        }
        if self.next_track == u32::MAX {
            let message = "This room has used up its tracks; it needs another name.";
            return Err(Refusal::new(ErrorCode::Overloaded, message));
        }
        Ok(())
    }

    /// Somebody has accepted an invitation to speak.
    fn accept_invite(&mut self, actor: &Actor, ruled: &Ruled) -> Result<(), Refusal> {
        self.refuse_mute(ruled)?;
        self.refuse_confusable(actor)?;
        let role = if actor.entitled == Role::Host {
            Role::Cohost
        } else if self.setup.policy.speaks(actor.entitled) {
            actor.entitled
        } else {
            Role::Speaker
        };
        let silenced = self.silenced_leavers.contains(&actor.subject);
        self.step_up(actor, role, silenced)?;
        if ruled.role.is_some_and(|role| !self.setup.policy.speaks(role)) {
            self.forget_role(actor.asker.id, Some(&actor.subject));
        }
        Ok(())
    }

    /// Refuses those from whom the right to speak has been taken.
    ///
    /// # Errors
    /// [`ErrorCode::NotPermitted`]
    pub(in crate::room) fn refuse_mute(&self, ruled: &Ruled) -> Result<(), Refusal> {
        if ruled.deny.contains(Permission::Speak) {
            let message = "The right to speak in this room has been taken from them.";
            return Err(Refusal::new(ErrorCode::NotPermitted, message));
        }
        Ok(())
    }

    /// Keeps who somebody is, for as long as they are on the stage or in the queue.
    pub(in crate::room) fn remember(&mut self, actor: &Actor) {
        self.leavers.retain(|(left, _)| *left != actor.asker.id);
        let (subject, name) = (actor.subject.clone(), actor.name.clone());
        let person = Person { subject, name, entitled: actor.entitled };
        self.people.insert(actor.asker.id, person);
    }

    /// # Errors
    /// [`ErrorCode::RoomNotFound`]
    pub(in crate::room) fn require_live(&self) -> Result<(), Refusal> {
        if self.state.phase == Phase::Live {
            return Ok(());
        }
        let room = &self.state.room;
        let message = format!("Room {room} has not been opened; a host opens it by joining.");
        Err(Refusal::new(ErrorCode::RoomNotFound, message))
    }

    /// The role in which somebody new comes into the room.
    fn admit(&self, actor: &Actor, role: Role) -> Result<Role, Refusal> {
        self.refuse_barred(actor)?;
        self.refuse_mute(&self.rulings.about(Some(actor.asker.id), Some(&actor.subject)))?;
        let host = self.state.stage.iter().find(|entry| entry.role == Role::Host);
        if role == Role::Host {
            let of_others = |host: &&StageEntry| {
                self.people.get(&host.participant).is_none_or(|p| p.subject != actor.subject)
            };
            if let Some(host) = host.filter(of_others) {
                let message =
                    format!("{} is the host of this room, and there can be one.", host.name);
                return Err(Refusal::new(ErrorCode::HostTaken, message));
            }
            if self.host.as_ref().is_some_and(|host| *host != actor.subject) {
                let message = "This room has a host, who is away; you can come in as cohost.";
                return Err(Refusal::new(ErrorCode::HostTaken, message));
            }
        }
        // Whose room it is comes in as host; to others a token for a host is one for a cohost.
        let mine = role == Role::Host && self.host.as_ref() == Some(&actor.subject);
        let given = role == Role::Speaker && actor.may.contains(Permission::Speak);
        if !mine && !given && !self.setup.policy.entitles(actor.entitled, role) {
            let message = format!(
                "You may come in as {}, not as {role}; ask a moderator, or raise a hand.",
                actor.entitled
            );
            return Err(Refusal::new(ErrorCode::NotPermitted, message));
        }
        self.refuse_confusable(actor)?;
        // A further session of the host's is one beside the host.
        let beside = host.is_some() && self.state.settings.duplicates != Duplicates::Replace;
        Ok(if role == Role::Host && beside { Role::Cohost } else { role })
    }

    /// Refuses a name that could be taken for the host's or a cohost's.
    pub(in crate::room) fn refuse_confusable(&self, actor: &Actor) -> Result<(), Refusal> {
        let same = |entry: &&StageEntry| {
            let moderates = self.setup.policy.may(entry.role).contains(Permission::Kick);
            let person = self.people.get(&entry.participant);
            moderates
                && person.is_none_or(|person| person.subject != actor.subject)
                && names::is_confusable(&entry.name, &actor.name)
        };
        match self.state.stage.iter().find(same) {
            None => Ok(()),
            Some(entry) => Err(Refusal::new(
                ErrorCode::NameTaken,
                format!(
                    "The name {} could be taken for {}, who is the {} here; choose another one.",
                    actor.name, entry.name, entry.role
                ),
            )),
        }
    }

    /// The sessions that the room's policy for duplicates ends when somebody comes on the stage.
    ///
    /// # Errors
    /// [`ErrorCode::Duplicate`]
    fn sessions_in_the_way(&self, actor: &Actor) -> Result<Vec<ParticipantId>, Refusal> {
        if actor.subject.is_guest() {
            return Ok(Vec::new());
        }
        let others = self
            .people
            .iter()
            .filter(|(who, person)| person.subject == actor.subject && **who != actor.asker.id);
        let others: Vec<_> = others.map(|(who, _)| *who).collect();
        let most = match self.state.settings.duplicates {
            Duplicates::Replace => return Ok(others),
            Duplicates::Refuse => 1,
            Duplicates::Allow(most) => usize::from(most),
        };
        if others.len() < most {
            return Ok(Vec::new());
        }
        let message =
            format!("{} is in this room already, and it allows {most} at a time.", actor.subject);
        Err(Refusal::new(ErrorCode::Duplicate, message))
    }

    /// The role of somebody who opens the room.
    fn opener_role(&self, actor: &Actor) -> Result<Role, Refusal> {
        self.refuse_barred(actor)?;
        let announced = self.state.phase == Phase::Announced;
        let is_host = self.host.as_ref() == Some(&actor.subject);
        let may = actor.may.contains(Permission::OpenRoom) && actor.may_open;
        match self.state.phase {
            Phase::Announced if is_host || may && self.host.is_none() => Ok(Role::Host),
            Phase::Announced if self.setup.policy.entitles(actor.entitled, Role::Cohost) => {
                Ok(Role::Cohost)
            }
            Phase::Absent | Phase::Ended if may => Ok(Role::Host),
            Phase::Absent | Phase::Announced | Phase::Ended | Phase::Live => {
                if announced {
                    let message = "This room has not begun; its host opens it by joining.";
                    return Err(Refusal::new(ErrorCode::NotStarted, message));
                }
                Err(self.require_live().err().unwrap_or_else(|| Refusal::bad_request("")))
            }
        }
    }

    fn open(&mut self, now: Instant, actor: &Actor) {
        let mut draft = Draft::new(0, actor.party(), LogAction::RoomOpened);
        if let Ok(detail) = format!("{}", self.state.settings.title).parse() {
            draft.detail = detail;
        }
        self.write_down(now, draft);
        self.state.phase = Phase::Live;
        self.empty_until = None;
        self.outbox.publish();
    }

    /// Makes a host of the first cohost on the stage who is connected, if there is one; the host's own
    /// other session goes first.
    fn succeed(&mut self, now: Instant, before: Option<&Subject>) {
        if self.state.phase != Phase::Live {
            return;
        }
        let cohosts =
            || self.state.stage.iter().filter(|entry| entry.role == Role::Cohost && !entry.away);
        let is_same = |entry: &&StageEntry| {
            self.people.get(&entry.participant).map(|person| &person.subject) == before
        };
        let heir = cohosts().find(is_same).or_else(|| cohosts().next());
        let Some(heir) = heir.map(|entry| entry.participant) else {
            // The next who comes in with the right to it becomes it.
            self.host = None;
            return;
        };
        let mut draft = Draft::new(0, Party::relay(), LogAction::HostSucceeded);
        draft.target = self.find(&Target::Participant(heir)).ok().map(|found| found.party);
        self.write_down(now, draft);
        self.make_host(heir);
    }

    fn make_host(&mut self, heir: ParticipantId) {
        let before = self.state.stage.iter_mut().find(|entry| entry.role == Role::Host);
        let before = before.map(|entry| {
            entry.role = Role::Cohost;
            entry.participant
        });
        if let Some(entry) = self.entry_mut(heir) {
            entry.role = Role::Host;
        }
        self.host = self.people.get(&heir).map(|person| person.subject.clone());
        for who in before.into_iter().chain([heir]) {
            let subject = self.people.get(&who).map(|person| person.subject.clone());
            self.forget_role(who, subject.as_ref());
            self.tell_place(who, Note::default());
        }
        self.newcomer = Some(heir);
        self.outbox.publish();
    }

    /// Lifts what was ruled about somebody's role.
    pub(in crate::room) fn forget_role(&mut self, who: ParticipantId, subject: Option<&Subject>) {
        let keys = [Some(PersonKey::of_participant(who)), subject.map(PersonKey::of_subject)];
        for key in keys.into_iter().flatten() {
            self.rule_by_key(key, |ruling| ruling.role = None);
        }
    }

    pub(in crate::room) fn not_on_stage(&self, who: ParticipantId) -> Refusal {
        let name = self.people.get(&who).map(|person| &person.name);
        let name: Option<&DisplayName> = name;
        let whom = name.map_or_else(|| format!("Participant {who}"), ToString::to_string);
        Refusal::new(ErrorCode::NoSuchParticipant, format!("{whom} is not on the stage."))
    }
}

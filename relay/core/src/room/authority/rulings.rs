//! What the origin has ruled about persons: kicks, bans, roles, single permissions, invitations to
//! speak. Every relay of the room gets them as [`Ruling`]s and acts by them. Used by
//! [`crate::room::authority::state`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::ban::Ban;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::ruling::{Moderated, Ruling};
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, Subject};
use tribune_protocol::limits::{MAX_BANS_A_MESSAGE, MAX_RULINGS};
use tribune_protocol::log::{Draft, LogAction, Party};

use crate::room::authority::appeals::Change;
use crate::room::authority::effect::Refusal;
use crate::room::authority::policy::overrules;
use crate::room::authority::state::{Actor, House, Person};

/// The longest ban with an end. A longer one is better lifted by a person.
pub const MAX_BAN_S: u64 = 10 * 366 * 24 * 3_600;

/// The rulings of one room, by whom they are about; at most [`MAX_RULINGS`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Rulings {
    #[serde(with = "as_list")]
    by_key: BTreeMap<PersonKey, Standing>,
}

/// A ruling, and what only the origin knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    ruling: Ruling,
    target: Target,
    name: Option<DisplayName>,
    reason: Note,
}

/// What is ruled about somebody, all in all.
#[derive(Debug, Clone, Default)]
pub(in crate::room) struct Ruled {
    pub(in crate::room) barred: bool,
    pub(in crate::room) role: Option<Role>,
    pub(in crate::room) allow: PermissionSet,
    pub(in crate::room) deny: PermissionSet,
    pub(in crate::room) invited_by: Option<DisplayName>,
}

/// Whom a request is about, as far as the origin knows.
#[derive(Debug, Clone)]
pub(in crate::room) struct Found {
    /// What rulings about them stand under.
    pub(in crate::room) key: PersonKey,
    pub(in crate::room) target: Target,
    /// Their places on the stage and in the queue.
    pub(in crate::room) participants: Vec<ParticipantId>,
    pub(in crate::room) subject: Option<Subject>,
    pub(in crate::room) role: Role,
    pub(in crate::room) party: Party,
}

impl House {
    /// Removes somebody from the room: this session does not come back, nor does a token of theirs
    /// that was issued before.
    pub(in crate::room) fn kick(
        &mut self,
        now: Instant,
        actor: &Actor,
        target: Target,
        reason: Note,
    ) -> Result<(), Refusal> {
        if matches!(target, Target::Address(_)) {
            let message = "An address can be banned, not removed; name a participant or a subject.";
            return Err(Refusal::bad_request(message));
        }
        let found = self.find(&target)?;
        self.refuse_self(actor, &found, "remove")?;
        self.outranks(actor, &found, Permission::Kick)?;
        let sessions = self.sessions(&found, &target);
        let keys = sessions.iter().map(|who| PersonKey::of_participant(*who)).chain([found.key]);
        self.make_room(keys.collect::<Vec<_>>())?;
        let mut draft = Draft::new(0, actor.party(), LogAction::Kicked);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        let entry = self.write_down(now, draft);
        self.docket.add(entry, LogAction::Kicked, &found, Change::Other);
        let news = self.news(actor, LogAction::Kicked, entry, reason.clone());
        let now_s = self.setup.unix_s(now);
        if found.has_tokens() {
            self.rule(&found, Some(news.clone()), |ruling| {
                ruling.tokens_after_s = now_s;
                ruling.entry = entry;
            })?;
        }
        for who in sessions {
            let stay = Found { key: PersonKey::of_participant(who), ..found.clone() };
            self.rule(&stay, Some(news.clone()), |ruling| {
                ruling.barred = true;
                ruling.entry = entry;
            })?;
            self.keep_reason(stay.key, &reason);
            self.give_up(now, who);
        }
        self.keep_reason(found.key, &reason);
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    /// Removes somebody and keeps them out, in any session.
    pub(in crate::room) fn ban(
        &mut self,
        now: Instant,
        actor: &Actor,
        target: Target,
        duration_s: Option<u64>,
        reason: Note,
    ) -> Result<(), Refusal> {
        if duration_s.is_some_and(|seconds| seconds == 0 || seconds > MAX_BAN_S) {
            let message = "A ban lasts from a second to ten years, or until it is lifted.";
            return Err(Refusal::bad_request(message));
        }
        let found = self.find(&target)?;
        self.refuse_self(actor, &found, "ban")?;
        self.outranks(actor, &found, Permission::Ban)?;
        self.make_room([found.key])?;
        let mut draft = Draft::new(0, actor.party(), LogAction::Banned);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        draft.duration_s = duration_s;
        let entry = self.write_down(now, draft);
        self.docket.add(entry, LogAction::Banned, &found, Change::Other);
        let now_s = self.setup.unix_s(now);
        let until_s = duration_s.map_or(0, |seconds| now_s + seconds);
        let news = self.news(actor, LogAction::Banned, entry, reason.clone());
        self.rule(&found, Some(Moderated { until_s, ..news }), |ruling| {
            ruling.barred = true;
            if found.has_tokens() {
                ruling.tokens_after_s = now_s;
            }
            ruling.until_s = until_s;
            ruling.entry = entry;
            ruling.invited_by = None;
        })?;
        for who in found.participants.clone() {
            self.give_up(now, who);
        }
        self.keep_reason(found.key, &reason);
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    /// Lifts a ban or a kick.
    pub(in crate::room) fn unban(
        &mut self,
        now: Instant,
        actor: &Actor,
        target: Target,
        reason: Note,
    ) -> Result<(), Refusal> {
        let found = self.find(&target)?;
        if !self.lift_bars(&found) {
            let message = format!("{} is not banned.", found.party);
            return Err(Refusal::new(ErrorCode::NoSuchParticipant, message));
        }
        let mut draft = Draft::new(0, actor.party(), LogAction::Unbanned);
        draft.target = Some(found.party);
        draft.reason = reason;
        self.write_down(now, draft);
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    pub(in crate::room) fn set_role(
        &mut self,
        now: Instant,
        actor: &Actor,
        target: Target,
        role: Role,
        reason: Note,
    ) -> Result<(), Refusal> {
        let policy = std::sync::Arc::clone(&self.setup.policy);
        if policy.rank(role) == 0 {
            return Err(Refusal::bad_request(format!("There is no role {role} here.")));
        }
        let found = self.find(&target)?;
        if role == Role::Host || found.role == Role::Host && actor.role == Role::Host {
            let message = "The host is changed by handing the room over.";
            return Err(Refusal::bad_request(message));
        }
        self.outranks(actor, &found, Permission::SetRole)?;
        if policy.rank(role) > policy.rank(actor.role) || !actor.may.covers(policy.may(role)) {
            return Err(Refusal::new(
                ErrorCode::NotPermitted,
                format!("A {} may not make anybody {role}, who may do more.", actor.role),
            ));
        }
        self.make_room([found.key])?;
        let mut draft = Draft::new(0, actor.party(), LogAction::RoleChanged);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        draft.detail = format!("{} → {role}", found.role).parse().unwrap_or_default();
        let entry = self.write_down(now, draft);
        self.docket.add(entry, LogAction::RoleChanged, &found, Change::Role(role));
        let news = self.news(actor, LogAction::RoleChanged, entry, reason.clone());
        let steps_up = policy.speaks(role)
            && found.participants.iter().all(|who| self.state.on_stage(*who).is_none());
        // No microphone opens without consent: who is not on the stage is asked.
        let by = actor.name.clone();
        self.rule(&found, Some(news), |ruling| {
            ruling.role = Some(role);
            ruling.invited_by = steps_up.then_some(by);
        })?;
        for who in found.participants {
            if policy.speaks(role) {
                if let Some(entry) = self.entry_mut(who) {
                    entry.role = role;
                    self.outbox.publish();
                }
            } else if self.state.on_stage(who).is_some() {
                self.give_up(now, who);
            }
            self.tell_place(who, reason.clone());
        }
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    pub(in crate::room) fn set_permission(
        &mut self,
        now: Instant,
        actor: &Actor,
        target: Target,
        (permission, allow): (Permission, Option<bool>),
        reason: Note,
    ) -> Result<(), Refusal> {
        let found = self.find(&target)?;
        self.outranks(actor, &found, Permission::SetPermission)?;
        if !actor.may.contains(permission) {
            let message = format!("You may not {} yourself.", permission.infinitive());
            return Err(Refusal::new(ErrorCode::NotPermitted, message));
        }
        if permission == Permission::Listen && allow == Some(false) {
            let message = "Who may not listen is not in the room; remove or ban them instead.";
            return Err(Refusal::bad_request(message));
        }
        self.make_room([found.key])?;
        let mut draft = Draft::new(0, actor.party(), LogAction::PermissionChanged);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        let how = match allow {
            Some(true) => "given",
            Some(false) => "taken",
            None => "as the role has it",
        };
        draft.detail = format!("{permission}: {how}").parse().unwrap_or_default();
        let entry = self.write_down(now, draft);
        if allow == Some(false) {
            let change = Change::Permission(permission);
            self.docket.add(entry, LogAction::PermissionChanged, &found, change);
        }
        let news = self.news(actor, LogAction::PermissionChanged, entry, reason.clone());
        let one = PermissionSet::of(&[permission]);
        self.rule(&found, Some(news), |ruling| {
            ruling.allow = ruling.allow.minus(one);
            ruling.deny = ruling.deny.minus(one);
            match allow {
                Some(true) => ruling.allow = ruling.allow.union(one),
                Some(false) => ruling.deny = ruling.deny.union(one),
                None => {}
            }
        })?;
        for who in found.participants {
            if allow == Some(false) && permission == Permission::Speak {
                self.give_up(now, who);
            } else if allow == Some(false) && permission == Permission::RaiseHand {
                self.take_hand(who);
            }
            self.tell_place(who, reason.clone());
        }
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    /// Takes back the bans that have run out. A token from before stays refused.
    pub(in crate::room) fn bans_run_out(&mut self, now: Instant) {
        let now_s = self.setup.unix_s(now);
        for (key, party) in self.rulings.run_out(now_s) {
            let mut draft = Draft::new(0, Party::relay(), LogAction::BanRanOut);
            draft.target = Some(party);
            self.write_down(now, draft);
            self.rule_by_key(key, |ruling| {
                ruling.barred = false;
                ruling.until_s = 0;
            });
        }
    }

    /// Lifts what keeps somebody out. Returns whether anything did.
    pub(in crate::room) fn lift_bars(&mut self, found: &Found) -> bool {
        let participants = found.participants.iter().copied().chain(match found.target {
            Target::Participant(who) => Some(who),
            Target::Subject(_) | Target::Address(_) => None,
        });
        let mut keys: Vec<_> = participants.map(PersonKey::of_participant).collect();
        keys.push(found.key);
        // The sessions that were closed with a kick of the same entry.
        let entry = self.rulings.get(&found.key).map_or(0, |ruling| ruling.entry);
        keys.extend(self.rulings.of_entry(entry));
        self.lift(keys)
    }

    /// Lifts what one decision keeps out, and no later one.
    pub(in crate::room) fn lift_bars_of(&mut self, entry: u64) {
        self.lift(self.rulings.of_entry(entry));
    }

    /// Everything but who is kept out ends with the room.
    pub(in crate::room) fn rulings_end(&mut self) {
        for key in self.rulings.by_key.keys().copied().collect::<Vec<_>>() {
            self.rule_by_key(key, |ruling| {
                ruling.role = None;
                ruling.allow = PermissionSet::NONE;
                ruling.deny = PermissionSet::NONE;
                ruling.invited_by = None;
            });
        }
    }

    fn lift(&mut self, keys: Vec<PersonKey>) -> bool {
        let mut any = false;
        for key in keys {
            let bars = |ruling: &Ruling| ruling.barred || ruling.tokens_after_s > 0;
            if self.rulings.get(&key).is_some_and(bars) {
                any = true;
                self.rule_by_key(key, |ruling| {
                    ruling.barred = false;
                    ruling.tokens_after_s = 0;
                    ruling.until_s = 0;
                    ruling.entry = 0;
                });
            }
        }
        any
    }

    /// Sees to it that these can be ruled about. Refusals of old tokens make room for others, the
    /// oldest first.
    ///
    /// # Errors
    /// [`ErrorCode::RulingsFull`]
    pub(in crate::room) fn make_room(
        &mut self,
        keys: impl IntoIterator<Item = PersonKey>,
    ) -> Result<(), Refusal> {
        let keys: BTreeSet<_> = keys.into_iter().collect();
        let more = keys.iter().filter(|key| self.rulings.get(key).is_none()).count();
        while self.rulings.by_key.len() + more > MAX_RULINGS {
            let Some(key) = self.rulings.oldest_of_tokens(&keys) else {
                return Err(Refusal::new(
                    ErrorCode::RulingsFull,
                    format!(
                        "This room keeps {MAX_RULINGS} rulings about persons; lift some first."
                    ),
                ));
            };
            self.rulings.by_key.remove(&key);
            self.outbox.rule(key, None);
        }
        Ok(())
    }

    /// Changes what is ruled about somebody.
    ///
    /// # Errors
    /// [`ErrorCode::RulingsFull`]
    pub(in crate::room) fn rule(
        &mut self,
        found: &Found,
        news: Option<Moderated>,
        change: impl FnOnce(&mut Ruling),
    ) -> Result<(), Refusal> {
        self.make_room([found.key])?;
        let standing = self.rulings.by_key.entry(found.key).or_insert_with(|| Standing {
            ruling: Ruling::about(found.key),
            target: found.target.clone(),
            name: found.party.name.clone(),
            reason: Note::default(),
        });
        change(&mut standing.ruling);
        let ruling = Ruling { news, ..standing.ruling.clone() };
        let is_void = is_void(&standing.ruling);
        if is_void {
            self.rulings.by_key.remove(&found.key);
        }
        // What is void is sent once more, if there is something to read with it.
        let is_told = !is_void || ruling.news.is_some();
        self.outbox.rule(found.key, is_told.then_some(ruling));
        Ok(())
    }

    /// Changes a ruling that is there; nothing, if there is none.
    pub(in crate::room) fn rule_by_key(
        &mut self,
        key: PersonKey,
        change: impl FnOnce(&mut Ruling),
    ) {
        let Some(standing) = self.rulings.by_key.get_mut(&key) else { return };
        let before = standing.ruling.clone();
        change(&mut standing.ruling);
        if standing.ruling == before {
            return;
        }
        let ruling = standing.ruling.clone();
        if is_void(&ruling) {
            self.rulings.by_key.remove(&key);
            self.outbox.rule(key, None);
        } else {
            self.outbox.rule(key, Some(ruling));
        }
    }

    /// Whom a request is about.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for an address that cannot be anybody's.
    pub(in crate::room) fn find(&self, target: &Target) -> Result<Found, Refusal> {
        match target {
            Target::Participant(who) => {
                let person = self.person(*who);
                let subject = person.map(|person| person.subject.clone());
                let guest = || Subject::guest(*who);
                let subject = subject.unwrap_or_else(guest);
                Ok(self.found(target.clone(), subject, Some(*who)))
            }
            Target::Subject(subject) => Ok(self.found(target.clone(), subject.clone(), None)),
            Target::Address(address) => {
                let address = address.to_canonical();
                if address.is_unspecified() || address.is_multicast() {
                    let message = format!("The address {address} is nobody's.");
                    return Err(Refusal::bad_request(message));
                }
                let shown = address.to_string().parse().ok();
                Ok(Found {
                    key: PersonKey::of_address(address),
                    target: Target::Address(address),
                    participants: Vec::new(),
                    subject: None,
                    role: Role::Listener,
                    party: Party { address: shown, ..Party::relay() },
                })
            }
        }
    }

    fn found(&self, target: Target, subject: Subject, who: Option<ParticipantId>) -> Found {
        let is = |person: &&Person| person.subject == subject;
        let participants = self.people.iter().filter(|(_, person)| person.subject == subject);
        let participants: Vec<_> = participants.map(|(who, _)| *who).collect();
        let left = self.leavers.iter().rev().map(|(_, person)| person);
        let persons: Vec<_> = self.people.values().chain(left).filter(is).collect();
        let name = who.and_then(|who| self.person(who)).or(persons.first().copied());
        let name = name.map(|person| person.name.clone());
        let guest_id = subject.guest_id();
        let key = match who.or(guest_id) {
            Some(who) if subject.is_guest() => PersonKey::of_participant(who),
            Some(_) | None => PersonKey::of_subject(&subject),
        };
        let ruled = self.rulings.about(who, Some(&subject));
        let policy = &self.setup.policy;
        // The highest of all their sessions: nobody gets at the one by the other.
        let role = self.role_of_subject(&subject).or(ruled.role).or_else(|| {
            let vouched = persons.iter().map(|person| person.entitled);
            vouched.max_by_key(|role| policy.rank(*role))
        });
        let role = match role {
            Some(Role::Host) if self.host.as_ref().is_some_and(|host| *host != subject) => {
                Role::Cohost
            }
            role => role.unwrap_or(Role::Listener),
        };
        let party = Party {
            subject: Some(subject.clone()),
            name,
            role: Some(role),
            participant: who,
            address: None,
        };
        Found { key, target, participants, subject: Some(subject), role, party }
    }

    /// # Errors
    /// [`ErrorCode::NotPermitted`], if it is against somebody of higher rank.
    pub(in crate::room) fn outranks(
        &self,
        actor: &Actor,
        found: &Found,
        permission: Permission,
    ) -> Result<(), Refusal> {
        let policy = &self.setup.policy;
        if !overrules(permission) || policy.rank(found.role) <= policy.rank(actor.role) {
            return Ok(());
        }
        let article = if found.role == Role::Host { "the" } else { "a" };
        Err(Refusal::new(
            ErrorCode::NotPermitted,
            format!(
                "A {} may not {}, if that is {article} {}.",
                actor.role,
                permission.infinitive(),
                found.role
            ),
        ))
    }

    /// Refuses those whom a ruling keeps out.
    ///
    /// # Errors
    /// [`ErrorCode::Barred`]
    pub(in crate::room) fn refuse_barred(&self, actor: &Actor) -> Result<(), Refusal> {
        if self.rulings.about(Some(actor.asker.id), Some(&actor.subject)).barred {
            let message = "A moderator has removed you from this room, and you cannot come back.";
            return Err(Refusal::new(ErrorCode::Barred, message));
        }
        Ok(())
    }

    fn refuse_self(&self, actor: &Actor, found: &Found, what: &str) -> Result<(), Refusal> {
        let is_self = found.subject.as_ref() == Some(&actor.subject)
            || found.target == Target::Participant(actor.asker.id);
        if !is_self {
            return Ok(());
        }
        let message = format!("You cannot {what} yourself; leave the room instead.");
        Err(Refusal::bad_request(message))
    }

    /// The sessions that a kick closes.
    fn sessions(&self, found: &Found, target: &Target) -> Vec<ParticipantId> {
        let mut sessions = found.participants.clone();
        if let Target::Participant(who) = target
            && !sessions.contains(who)
        {
            sessions.push(*who);
        }
        if let Some(who) = found.subject.as_ref().and_then(Subject::guest_id)
            && !sessions.contains(&who)
        {
            sessions.push(who);
        }
        sessions.truncate(1 + tribune_protocol::limits::MAX_STAGE);
        sessions
    }

    fn keep_reason(&mut self, key: PersonKey, reason: &Note) {
        if let Some(standing) = self.rulings.by_key.get_mut(&key) {
            standing.reason = reason.clone();
        }
    }
}

impl Found {
    /// Whether it is somebody who has tokens, whose time of issue counts.
    fn has_tokens(&self) -> bool {
        self.subject.as_ref().is_some_and(|subject| !subject.is_guest())
    }
}

impl Rulings {
    pub(in crate::room) fn get(&self, key: &PersonKey) -> Option<&Ruling> {
        self.by_key.get(key).map(|standing| &standing.ruling)
    }

    /// What is ruled about a session and a subject together.
    pub(in crate::room) fn about(
        &self,
        who: Option<ParticipantId>,
        subject: Option<&Subject>,
    ) -> Ruled {
        let session = who.and_then(|who| self.get(&PersonKey::of_participant(who)));
        let subject = subject.and_then(|subject| self.get(&PersonKey::of_subject(subject)));
        session.into_iter().chain(subject).fold(Ruled::default(), |ruled, ruling| Ruled {
            barred: ruled.barred || ruling.barred,
            role: ruled.role.or(ruling.role),
            allow: ruled.allow.union(ruling.allow),
            deny: ruled.deny.union(ruling.deny),
            invited_by: ruled.invited_by.or_else(|| ruling.invited_by.clone()),
        })
    }

    /// All of them, for a relay that begins with nothing.
    pub(in crate::room) fn all(&self) -> Vec<Ruling> {
        self.by_key.values().map(|standing| standing.ruling.clone()).collect()
    }

    /// When the next ban runs out, in seconds since the Unix epoch.
    pub(in crate::room) fn next_expiry_s(&self) -> Option<u64> {
        let ends = self.by_key.values().map(|standing| standing.ruling.until_s);
        ends.filter(|until_s| *until_s > 0).min()
    }

    /// A page of the bans, for moderators.
    pub(in crate::room) fn page(&self, after: u32) -> ToParticipant {
        let bans = || self.by_key.values().filter(|standing| standing.ruling.barred);
        let ban = |standing: &Standing| Ban {
            target: standing.target.clone(),
            name: standing.name.clone(),
            until_s: standing.ruling.until_s,
            reason: standing.reason.clone(),
            entry: standing.ruling.entry,
        };
        ToParticipant::Bans {
            bans: bans().skip(after as usize).take(MAX_BANS_A_MESSAGE).map(ban).collect(),
            total: bans().count() as u32,
        }
    }

    /// Of those that refuse old tokens and say nothing else, the oldest, apart from `but`.
    fn oldest_of_tokens(&self, but: &BTreeSet<PersonKey>) -> Option<PersonKey> {
        let only_tokens = |ruling: &Ruling| {
            let Ruling { tokens_after_s, entry, .. } = *ruling;
            *ruling == Ruling { tokens_after_s, entry, ..Ruling::about(ruling.who) }
        };
        let rulings = self.by_key.values().map(|standing| &standing.ruling);
        let old = rulings.filter(|ruling| only_tokens(ruling) && !but.contains(&ruling.who));
        old.min_by_key(|ruling| ruling.tokens_after_s).map(|ruling| ruling.who)
    }

    /// Fills the book with a kick of that session.
    #[cfg(test)]
    pub(in crate::room) fn fill(&mut self, who: ParticipantId) {
        let ruling = Ruling { barred: true, ..Ruling::about(PersonKey::of_participant(who)) };
        let target = Target::Participant(who);
        let standing = Standing { ruling, target, name: None, reason: Note::default() };
        self.by_key.insert(standing.ruling.who, standing);
    }

    fn run_out(&self, now_s: u64) -> Vec<(PersonKey, Party)> {
        let over = self.by_key.iter().filter(|(_, standing)| {
            standing.ruling.until_s > 0 && standing.ruling.until_s <= now_s
        });
        over.map(|(key, standing)| (*key, party(standing))).collect()
    }

    fn of_entry(&self, entry: u64) -> Vec<PersonKey> {
        let of_entry =
            |(_, standing): &(&PersonKey, &Standing)| entry > 0 && standing.ruling.entry == entry;
        self.by_key.iter().filter(of_entry).map(|(key, _)| *key).collect()
    }
}

fn party(standing: &Standing) -> Party {
    let mut party = Party { name: standing.name.clone(), ..Party::relay() };
    match &standing.target {
        Target::Participant(who) => party.participant = Some(*who),
        Target::Subject(subject) => party.subject = Some(subject.clone()),
        Target::Address(address) => party.address = address.to_string().parse().ok(),
    }
    party
}

/// Whether a ruling says nothing any more.
fn is_void(ruling: &Ruling) -> bool {
    *ruling == Ruling { entry: ruling.entry, ..Ruling::about(ruling.who) }
}

/// A map with keys of bytes as a list of its values.
mod as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};
    use tribune_protocol::domain::person::PersonKey;

    use super::Standing;

    pub(in crate::room) fn serialize<S: Serializer>(
        map: &BTreeMap<PersonKey, Standing>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.values())
    }

    pub(in crate::room) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<PersonKey, Standing>, D::Error> {
        let list = Vec::<Standing>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|standing| (standing.ruling.who, standing)).collect())
    }
}

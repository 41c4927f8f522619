//! The door of a room at one relay: who wants in, what keeps them out, and how they come in. Listeners
//! are let in here; whoever wants a place on the stage asks the origin. Used by [`crate::room::Room`].

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{Joined, RoomInfo, ToParticipant};
use tribune_protocol::control::trunk::Action;
use tribune_protocol::domain::access::Denied;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::room::{Duplicates, Phase, Role, RoomSettings};
use tribune_protocol::ids::{DisplayName, ParticipantId, RequestId};
use tribune_protocol::token::TokenError;

use crate::messages::LinkId;
use crate::outbox::{Noted, Outbox};
use crate::room::edge::members::{Member, Stay, above, unavailable};
use crate::room::edge::overload::Overload;
use crate::room::edge::pending::{Asked, Open};
use crate::room::edge::person::{Person, Proof, Shown};
use crate::room::{Place, Room, names};

/// How long a join waits for the room's state and the origin's answer.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);

/// A join that is under way.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The connection.
    pub link: LinkId,
    /// The request to answer.
    pub request: Option<RequestId>,
    /// What to be called.
    pub name: DisplayName,
    /// The role wanted.
    pub role: Role,
    /// What was shown.
    pub shown: Shown,
    /// Where from.
    pub address: IpAddr,
    /// Whether the origin may know it.
    pub returning: bool,
    /// That it is one too many for this relay, unless it has a place in the room.
    pub overload: Option<Overload>,
    /// What this relay says of itself in the answer.
    pub greeting: Greeting,
}

/// What a relay says of itself.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Its name.
    pub relay: DisplayName,
    /// Relays from here to the origin, both counted.
    pub depth: u8,
}

/// Why somebody is not let in.
type Refusal = (ErrorCode, String);

impl Room {
    /// Somebody wants in.
    pub fn handle_join(
        &mut self,
        now: Instant,
        who: ParticipantId,
        admission: Admission,
        out: &mut Outbox,
    ) {
        let before = self.members.get(&who).map(|member| (member.link(), member.acted));
        let mut was_in = self.lost.take(now, who);
        if let Some((link, _)) = before {
            was_in |= self.members.get(&who).is_some_and(Member::is_in);
            out.close(link, CloseCode::Replaced, CloseCode::Replaced.to_string());
            self.remove(now, who, out);
        }
        let acted = admission.returning || before.is_some_and(|(_, acted)| acted);
        // Who that is, is known once what was shown has been checked.
        let nobody = Proof::Guest.person(who, admission.address, admission.role);
        self.members.insert(who, Member::joining(admission, nobody, acted, was_in));
        self.joining.push_back((now + JOIN_PATIENCE, who));
        self.idle_since = None;
        self.set_home(now, who, None, out);
        self.proceed(now, who, out);
    }

    /// Refuses the joins that have waited too long.
    pub(in crate::room) fn give_up_joins(&mut self, now: Instant, out: &mut Outbox) {
        while let Some((by, who)) = self.joining.front().copied() {
            let joining = self.members.get(&who).filter(|member| !member.is_in());
            if joining.is_some() && by > now {
                return;
            }
            self.joining.pop_front();
            // A later attempt of the same participant has its own entry.
            if let Some(member) = joining
                && by <= now
                && self.joining.iter().all(|(_, later)| *later != who)
            {
                let Stay::Joining { admission, .. } = &member.stay else { continue };
                let (link, request) = (admission.link, admission.request);
                self.members.remove(&who);
                out.note(Noted::Join(Err(ErrorCode::Unavailable)));
                out.to_participant(link, request, &unavailable());
                self.note_idle(now);
            }
        }
    }

    /// Goes on with the joins that waited for the room's state.
    pub(in crate::room) fn proceed_all(&mut self, now: Instant, out: &mut Outbox) {
        let waiting = self.members.iter().filter(|(_, member)| !member.is_in());
        let waiting: Vec<_> = waiting.map(|(who, _)| *who).collect();
        for who in waiting {
            self.proceed(now, who, out);
        }
    }

    /// What the origin was asked by the old way to it may be lost, or the answer: joins are asked
    /// again, everybody else is told.
    pub(in crate::room) fn lose_requests(&mut self, out: &mut Outbox) {
        let lost: Vec<_> = self.requests.lose().collect();
        for (link, request) in lost.into_iter().chain(self.lose_errands()) {
            tell_lost(link, request, out);
        }
        self.ask_joins_again();
    }

    /// As [`Self::lose_requests`], for what went the way to a former parent that is let go of.
    pub(in crate::room) fn lose_aged_requests(&mut self, out: &mut Outbox) {
        for (link, request) in self.requests.lose_aged() {
            tell_lost(link, request, out);
        }
    }

    /// Has the joins that the origin was asked about wait for the state, to be asked about again.
    pub(in crate::room) fn ask_joins_again(&mut self) {
        for member in self.members.values_mut() {
            if let Stay::Joining { asked, .. } = &mut member.stay {
                *asked = false;
            }
        }
    }

    /// Takes the next step of a join, as far as the state allows.
    fn proceed(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let Some(member) = self.members.get(&who) else { return };
        let Stay::Joining { admission, asked: false, was_in } = &member.stay else { return };
        let way = match &self.place {
            Place::Origin(_) | Place::Below { link: Some(_), known: true, .. } => true,
            Place::Below { link: None, .. } if self.state.phase == Phase::Live => false,
            // The state is on its way; the hub's patience bounds the wait.
            Place::Below { .. } => return,
        };
        let (admission, was_in) = (admission.clone(), *was_in);
        match self.judge(now, who, &admission, was_in) {
            Err((code, text)) => {
                self.members.remove(&who);
                out.note(Noted::Join(Err(code)));
                let overload = admission.overload.filter(|_| code == ErrorCode::Overloaded);
                if let Some(moved) = overload.and_then(|overload| overload.moved()) {
                    out.note(Noted::Redirected);
                    out.to_participant(admission.link, None, &moved);
                }
                let message = ToParticipant::Err { code, message: text };
                out.to_participant(admission.link, admission.request, &message);
            }
            Ok((person, name)) => {
                let role = admission.role;
                let Some(member) = self.members.get_mut(&who) else { return };
                (member.person, member.name) = (person, name);
                if !self.setup.policy.speaks(role) {
                    self.admit(now, who, out);
                    if admission.returning {
                        self.act(now, who, None, None, Action::Present {}, out);
                    }
                } else if way {
                    let open = Open { who, link: admission.link, asked: Asked::Join };
                    let Some(number) = self.requests.open(open) else {
                        return; // asked again as soon as something changes; the patience bounds the wait
                    };
                    member.acted = true;
                    if let Stay::Joining { asked, .. } = &mut member.stay {
                        *asked = true;
                    }
                    // The place of somebody who comes from another relay is in the state already. The
                    // others wait for what is said here from the moment at which the relays above
                    // learn of it, and not for the origin's answer, which can only be the same.
                    if admission.returning && self.state.on_stage(who).is_some() {
                        self.admit(now, who, out);
                    }
                    let by = self.credentials_to_enter(who);
                    self.act(now, who, Some(number), by, Action::Enter { role }, out);
                }
            }
        }
        self.note_idle(now);
    }

    /// Who that is, if nothing keeps them out.
    fn judge(
        &self,
        now: Instant,
        who: ParticipantId,
        admission: &Admission,
        was_in: bool,
    ) -> Result<(Person, DisplayName), Refusal> {
        let now_s = self.setup.wall.unix_us(now) / 1_000_000;
        let proof = admission.shown.check(self.name(), self.state.key, now_s);
        let proof = proof.map_err(|error| (error.code(), error.to_string()))?;
        // What a token calls its bearer counts for more than what they call themselves.
        let name = proof.name().unwrap_or(&admission.name).clone();
        let person = proof.clone().person(who, admission.address, admission.role);
        // What is over by a moment passes the check of tokens, whose clocks differ; a session would
        // end at once.
        if let Some(over_s) = person.token.and_then(|token| now_s.checked_sub(token.expires_at_s)) {
            let error = TokenError::Expired { ago_s: over_s };
            return Err((error.code(), error.to_string()));
        }
        let standing = self.rulings.standing(&person.keys, person.token);
        if let Some(bar) = &standing.bar {
            return Err((ErrorCode::Barred, bar.sentence()));
        }
        let (policy, role) = (&self.setup.policy, admission.role);
        let on_stage = self.state.on_stage(who).is_some();
        let highest = standing.role.unwrap_or(person.highest);
        let given = role == Role::Speaker && standing.allow.contains(Permission::Speak);
        if !on_stage && !given && !policy.entitles(highest, role) {
            return Err(above(role, highest));
        }
        if let Some(overload) = admission.overload.as_ref().filter(|_| !on_stage && !was_in) {
            return Err(overload.refusal());
        }
        let speaks = policy.speaks(role);
        let mut may = standing.may(policy.may(role));
        if !person.may_listen {
            may = may.minus(PermissionSet::of(&[Permission::Listen]));
        }
        if !speaks && !may.contains(Permission::Listen) {
            let text = "You may not listen to this room; a token has to grant it.".to_owned();
            return Err((ErrorCode::NotPermitted, text));
        }
        match self.state.phase {
            Phase::Live => {
                if !on_stage {
                    self.judge_live(who, &proof, may, was_in)?;
                }
                self.check_name(who, &name, &person)?;
                self.check_duplicates(who, &person)?;
            }
            // The origin decides about opening it.
            Phase::Absent | Phase::Announced | Phase::Ended if speaks => {}
            Phase::Absent | Phase::Ended => {
                let text = "The room has not been opened; a host opens it by joining.";
                return Err((ErrorCode::RoomNotFound, text.to_owned()));
            }
            Phase::Announced => {
                let text = "The room is announced, and nobody has opened it yet.";
                return Err((ErrorCode::NotStarted, text.to_owned()));
            }
        }
        Ok((person, name))
    }

    /// The settings of a room that is on, for somebody who has no place on the stage already. Those
    /// who may change a setting are not kept out by it.
    fn judge_live(
        &self,
        who: ParticipantId,
        proof: &Proof,
        may: PermissionSet,
        was_in: bool,
    ) -> Result<(), Refusal> {
        let settings = &self.state.settings;
        if settings.locked && !was_in && !may.contains(Permission::Lock) {
            let text = "The room is locked; nobody new comes in.".to_owned();
            return Err((ErrorCode::Locked, text));
        }
        if may.contains(Permission::SetRoom) {
            return Ok(());
        }
        let here = self.counts.whole_tree.max(self.listeners());
        let here = here + self.state.stage.len() as u64;
        if settings.capacity > 0 && !was_in && here >= u64::from(settings.capacity) {
            let text = format!("The room holds {}, and it is full.", settings.capacity);
            return Err((ErrorCode::RoomFull, text));
        }
        debug_assert!(self.state.on_stage(who).is_none());
        settings.access.check(&proof.for_access()).map_err(|denied| {
            let code = match denied {
                Denied::TokenNeeded => ErrorCode::TokenMissing,
                Denied::InvitationNeeded
                | Denied::RuleWithoutToken(_)
                | Denied::RuleNotMet { .. } => ErrorCode::AccessDenied,
            };
            (code, denied.to_string())
        })
    }

    /// Nobody is called like a host or cohost who is on the stage, but for these themselves. Whose
    /// subject is theirs, the edge knows of its own members.
    fn check_name(
        &self,
        who: ParticipantId,
        name: &DisplayName,
        person: &Person,
    ) -> Result<(), Refusal> {
        let is_theirs = |other: ParticipantId| {
            let same = |member: &Member| member.person.keys.subject == person.keys.subject;
            other == who || self.members.get(&other).is_some_and(same)
        };
        let taken = self.state.stage.iter().find(|entry| {
            entry.role.moderates()
                && names::is_confusable(name, &entry.name)
                && !is_theirs(entry.participant)
        });
        taken.map_or(Ok(()), |entry| {
            let (name, role) = (&entry.name, entry.role);
            let text = format!("Your name could be taken for that of the {role}, {name}.");
            Err((ErrorCode::NameTaken, text))
        })
    }

    fn check_duplicates(&self, who: ParticipantId, person: &Person) -> Result<(), Refusal> {
        let most = match self.state.settings.duplicates {
            Duplicates::Replace => return Ok(()),
            Duplicates::Refuse => 1,
            Duplicates::Allow(sessions) => usize::from(sessions.max(1)),
        };
        if self.same_subject(who, person).len() < most {
            return Ok(());
        }
        let text = match most {
            1 => "You are in this room already, and it allows one session.".to_owned(),
            most => format!("You are in this room already, and it allows {most} sessions."),
        };
        Err((ErrorCode::Duplicate, text))
    }

    /// The other members of this relay with the same subject. Guests have one of their own each.
    fn same_subject(&self, who: ParticipantId, person: &Person) -> Vec<ParticipantId> {
        if !person.is_vouched_for() {
            return Vec::new();
        }
        let key = person.keys.subject;
        let all = (key, ParticipantId(0))..=(key, ParticipantId(u64::MAX));
        self.persons.range(all).map(|(_, id)| *id).filter(|id| *id != who).collect()
    }

    /// Lets a member in: it hears the room, and learns where it stands.
    pub(in crate::room) fn admit(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let Some(member) = self.members.get(&who) else { return };
        let Stay::Joining { admission, .. } = &member.stay else { return };
        let Admission { link, request, greeting, .. } = (**admission).clone();
        let (keys, person) = (member.person.keys, member.person.clone());
        self.persons.extend(keys.all().map(|key| (key, who)));
        let hears = self.hears(who);
        let Some(member) = self.members.get_mut(&who) else { return };
        member.stay = Stay::In { hears };
        self.inside += 1;
        self.host(link, hears, out);
        let joined = Joined {
            relay: greeting.relay,
            depth: greeting.depth,
            you: self.you(who),
            stage: self.state.stage.clone(),
            listeners: self.counts.whole_tree.max(self.listeners()),
        };
        out.note(Noted::Join(Ok(())));
        out.to_participant(link, request, &ToParticipant::Joined(joined));
        if self.state.settings != RoomSettings::default() {
            out.to_participant(link, None, &ToParticipant::Room(self.info()));
        }
        if self.state.on_stage(who).is_some() {
            self.send_routes(now, out);
        }
        self.watch_token(now, who, out);
        // Last, because it can lead to another state.
        if self.state.settings.duplicates == Duplicates::Replace {
            for older in self.same_subject(who, &person) {
                self.displace(now, older, out);
            }
        }
    }

    /// A newer session of the same subject takes the place of a member's.
    fn displace(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let Some(link) = self.members.get(&who).map(Member::link) else { return };
        out.close(link, CloseCode::Replaced, CloseCode::Replaced.to_string());
        self.handle_leave(now, who, false, out);
    }

    /// How the room is set up, for its participants.
    pub(in crate::room) fn info(&self) -> RoomInfo {
        RoomInfo {
            room: self.state.room.clone(),
            phase: self.state.phase,
            settings: self.state.settings.clone(),
            stage: Vec::new(),
            listeners: self.counts.whole_tree.max(self.listeners()),
            key: self.state.key,
        }
    }
}

fn tell_lost(link: LinkId, request: RequestId, out: &mut Outbox) {
    let message = "The way to the room's origin was lost before it answered.".to_owned();
    let code = ErrorCode::Unavailable;
    out.to_participant(link, Some(request), &ToParticipant::Err { code, message });
}

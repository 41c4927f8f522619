//! Participants of one room on this relay, from when they are let in until they go: what they hear,
//! what they are told, how they leave. Used by [`crate::room::Room`]; [`crate::room::edge::admission`] lets them in,
//! [`crate::room::edge::dispatch`] takes what they ask for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{ToParticipant, You};
use tribune_protocol::control::trunk::{Action, Credentials, ToParent};
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::room::Role;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, RequestId};
use tribune_protocol::limits::RECONNECT_GRACE;
use tribune_protocol::quality::report::Report;

use crate::messages::{Hears, LinkId, ShardCommand};
use crate::outbox::{Noted, Outbox};
use crate::room::edge::admission::Admission;
use crate::room::edge::pending::Asked;
use crate::room::edge::person::Person;
use crate::room::replica::rulings::{Bar, Standing};
use crate::room::{Place, Room};

/// Lost connections of a room that are remembered: all of a relay whose network fails.
const MAX_LOST: usize = 10_000;

/// A participant on this relay.
#[derive(Debug)]
pub struct Member {
    link: LinkId,
    pub(in crate::room) name: DisplayName,
    pub(in crate::room) person: Person,
    /// What it came in as: its role while it is not on the stage and nothing else is ruled.
    came_as: Role,
    pub(in crate::room) stay: Stay,
    /// The origin knows of it: it has a role, a raised hand, or had.
    pub(in crate::room) acted: bool,
    hand: Option<u32>,
    /// When it last sent a reaction.
    pub(in crate::room) reacted: Option<Instant>,
    /// How it hears, as it said last, and when.
    pub(in crate::room) report: Option<(Instant, Report)>,
}

/// Those whose connection was lost a moment ago, so that a locked or full room takes them back.
#[derive(Debug, Default)]
pub(in crate::room) struct Lost {
    /// Until when each is taken back, soonest first.
    queue: VecDeque<(Instant, ParticipantId)>,
    until: BTreeMap<ParticipantId, Instant>,
}

impl Lost {
    fn insert(&mut self, now: Instant, who: ParticipantId) {
        while self.queue.front().is_some_and(|(until, _)| *until <= now)
            || self.queue.len() >= MAX_LOST
        {
            let Some((until, who)) = self.queue.pop_front() else { break };
            if self.until.get(&who) == Some(&until) {
                self.until.remove(&who);
            }
        }
        self.queue.push_back((now + RECONNECT_GRACE, who));
        self.until.insert(who, now + RECONNECT_GRACE);
    }

    /// Whether somebody was here until a moment ago. Once only.
    pub(in crate::room) fn take(&mut self, now: Instant, who: ParticipantId) -> bool {
        self.until.remove(&who).is_some_and(|until| until > now)
    }
}

/// How far somebody is in.
#[derive(Debug)]
pub(in crate::room) enum Stay {
    /// It wants in.
    Joining {
        admission: Box<Admission>,
        /// The origin has been asked, and has not answered yet.
        asked: bool,
        /// It has been in with an older connection until now, or until a moment ago.
        was_in: bool,
    },
    /// It hears the room.
    In { hears: Hears },
}

impl Member {
    pub(in crate::room) fn joining(
        admission: Admission,
        person: Person,
        acted: bool,
        was_in: bool,
    ) -> Self {
        Self {
            link: admission.link,
            name: admission.name.clone(),
            person,
            came_as: admission.role,
            stay: Stay::Joining { admission: Box::new(admission), asked: false, was_in },
            acted,
            hand: None,
            reacted: None,
            report: None,
        }
    }

    pub(in crate::room) const fn is_in(&self) -> bool {
        match self.stay {
            Stay::In { .. } => true,
            Stay::Joining { .. } => false,
        }
    }

    pub(in crate::room) const fn link(&self) -> LinkId {
        self.link
    }
}

impl Room {
    /// The connections of those who want in and are not yet.
    pub(crate) fn joining_links(&self) -> impl Iterator<Item = LinkId> {
        self.members.values().filter(|member| !member.is_in()).map(Member::link)
    }

    /// A member is gone: for good, or because its connection is.
    pub fn handle_leave(
        &mut self,
        now: Instant,
        who: ParticipantId,
        for_good: bool,
        out: &mut Outbox,
    ) {
        let member = self.members.get(&who);
        let acted = member.is_some_and(|member| member.acted);
        if !for_good && member.is_some_and(Member::is_in) {
            self.lost.insert(now, who);
        }
        self.remove(now, who, out);
        if acted {
            let action = if for_good { Action::Left {} } else { Action::Away {} };
            self.act(now, who, None, None, action, out);
        }
    }

    /// The same session has come in elsewhere, or another one of the same subject in its place.
    pub fn handle_replaced(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        if let Some(link) = self.members.get(&who).map(|member| member.link) {
            self.remove(now, who, out);
            out.close(link, CloseCode::Replaced, CloseCode::Replaced.to_string());
        } else if self.homes.contains_key(&who) {
            self.set_home(now, who, None, out);
        }
    }

    /// Tells the origin, by a new way to it, who is here and below that it knows.
    pub(in crate::room) fn announce_actors(&mut self, out: &mut Outbox) {
        let Place::Below { link: Some((_, channel)), .. } = self.place else { return };
        let here = self.members.iter().filter(|(_, member)| member.acted && member.is_in());
        let who: Vec<_> = here.map(|(who, _)| *who).chain(self.homes.keys().copied()).collect();
        for participant in who {
            let (request, by, action) = (None, None, Action::Present {});
            out.to_parent(&ToParent::Act { channel, participant, request, by, action });
        }
    }

    /// To a participant of this relay.
    pub(in crate::room) fn deliver_here(
        &mut self,
        now: Instant,
        to: ParticipantId,
        request: Option<RequestId>,
        mut message: ToParticipant,
        out: &mut Outbox,
    ) {
        // An answer to an earlier connection of the same participant is nobody's.
        let open = request.map(|number| self.requests.close(number));
        let Some(member) = self.members.get_mut(&to) else { return };
        let asked = match open {
            None => None,
            Some(Some(open)) if open.link == member.link && open.who == to => Some(open.asked),
            Some(_) => return,
        };
        if let Stay::Joining { admission, .. } = &member.stay {
            let answers_join = asked == Some(Asked::Join);
            if answers_join && message == (ToParticipant::Ok {}) {
                // Since the origin was asked it can have ruled about tokens that were made before,
                // and when one was made only the edge knows.
                let person = member.person.clone();
                match self.standing(&person).bar {
                    None => self.admit(now, to, out),
                    Some(bar) => self.turn_away(now, to, &bar, out),
                }
            } else if answers_join {
                out.to_participant(member.link, admission.request, &message);
                if let ToParticipant::Err { code, .. } = message {
                    out.note(Noted::Join(Err(code)));
                }
                self.members.remove(&to);
            }
            // Anything else comes before the answer to the join, which tells the same.
            return;
        }
        let link = member.link;
        if let ToParticipant::You(you) = &mut message {
            member.hand = you.hand;
            let mine = self.you(to);
            *you = You { reason: std::mem::take(&mut you.reason), ..mine };
        }
        match asked {
            None => out.to_participant(link, None, &message),
            Some(Asked::Other(request)) => out.to_participant(link, Some(request), &message),
            // It was let in before, by what the state said. If the origin knows better by now, it is
            // told where it stands.
            Some(Asked::Join) if message != (ToParticipant::Ok {}) => {
                self.tell_place(to, Note::default(), out);
            }
            Some(Asked::Join) => {}
        }
    }

    /// Refuses somebody to whom the origin has given a place, and who is barred by now.
    fn turn_away(&mut self, now: Instant, who: ParticipantId, bar: &Bar, out: &mut Outbox) {
        let Some(member) = self.members.remove(&who) else { return };
        if let Stay::Joining { admission, .. } = &member.stay {
            let (code, message) = (ErrorCode::Barred, bar.sentence());
            out.note(Noted::Join(Err(code)));
            let message = ToParticipant::Err { code, message };
            out.to_participant(member.link, admission.request, &message);
        }
        self.act(now, who, None, None, Action::Left {}, out);
        self.note_idle(now);
    }

    /// What a member on or off the stage hears has to follow the state and the rulings.
    pub(in crate::room) fn follow_stage(&mut self, who: ParticipantId, out: &mut Outbox) {
        let wanted = self.hears(who);
        let Some(member) = self.members.get_mut(&who) else { return };
        if let Stay::In { hears } = &mut member.stay
            && *hears != wanted
        {
            *hears = wanted;
            let (link, room) = (member.link, self.id);
            out.shard(link.shard, ShardCommand::Attach { link, room, hears: wanted });
        }
    }

    /// Tells a member where it stands.
    pub(in crate::room) fn tell_place(&self, who: ParticipantId, reason: Note, out: &mut Outbox) {
        let Some(member) = self.members.get(&who) else { return };
        let you = You { reason, ..self.you(who) };
        out.to_participant(member.link, None, &ToParticipant::You(you));
    }

    pub(in crate::room) fn you(&self, who: ParticipantId) -> You {
        let entry = self.state.on_stage(who);
        let member = self.members.get(&who);
        let standing = member.map(|member| self.standing(&member.person)).unwrap_or_default();
        You {
            participant: who,
            role: self.role(who, &standing),
            track: entry.map(|entry| entry.track),
            silenced: entry.is_some_and(|entry| entry.silenced),
            hand: member.and_then(|member| member.hand),
            reason: Note::default(),
            may: self.may(who, &standing),
            invited_by: standing.invited_by,
        }
    }

    /// What a member may do now.
    pub(in crate::room) fn may_now(&self, who: ParticipantId) -> PermissionSet {
        let member = self.members.get(&who);
        let standing = member.map(|member| self.standing(&member.person)).unwrap_or_default();
        self.may(who, &standing)
    }

    pub(in crate::room) fn standing(&self, person: &Person) -> Standing {
        self.rulings.standing(&person.keys, person.token)
    }

    /// What the origin is told of a member with what it does.
    pub(in crate::room) fn credentials(&self, who: ParticipantId) -> Option<Credentials> {
        let member = self.members.get(&who)?;
        Some(member.person.credentials(who, &member.name, false))
    }

    /// As [`Self::credentials`], to come on the stage. Where everybody may be anything, they may open
    /// the room too, whatever they come in as.
    pub(in crate::room) fn credentials_to_enter(&self, who: ParticipantId) -> Option<Credentials> {
        let by = self.credentials(who)?;
        let is_dev = self.members.get(&who).is_some_and(|member| member.person.is_dev);
        Some(if is_dev { Credentials { role: Role::Host, ..by } } else { by })
    }

    /// The role that a member has now.
    pub(in crate::room) fn role_now(&self, who: ParticipantId) -> Role {
        let member = self.members.get(&who);
        let standing = member.map(|member| self.standing(&member.person)).unwrap_or_default();
        self.role(who, &standing)
    }

    /// The role that somebody has: on the stage, by a ruling, or as they came in.
    fn role(&self, who: ParticipantId, standing: &Standing) -> Role {
        if let Some(entry) = self.state.on_stage(who) {
            return entry.role;
        }
        let came_as = self.members.get(&who).map_or(Role::Listener, |member| member.came_as);
        let role = standing.role.unwrap_or(came_as);
        // A right to come on the stage is not a place on it.
        if self.setup.policy.speaks(role) { Role::Listener } else { role }
    }

    /// What the origin lets somebody do: on the stage by the role there, off it by the one that was
    /// shown or ruled. A room has one host; who could be another is a cohost.
    fn may(&self, who: ParticipantId, standing: &Standing) -> PermissionSet {
        let member = self.members.get(&who);
        let role = match self.state.on_stage(who) {
            Some(entry) => entry.role,
            None => {
                let shown = member.map_or(Role::Listener, |member| member.person.highest);
                let role = standing.role.unwrap_or(shown);
                if role == Role::Host && self.has_host() { Role::Cohost } else { role }
            }
        };
        let may = standing.may(self.setup.policy.may(role));
        let hears = member.is_none_or(|member| member.person.may_listen);
        if hears { may } else { may.minus(PermissionSet::of(&[Permission::Listen])) }
    }

    fn has_host(&self) -> bool {
        self.state.stage.iter().any(|entry| entry.role == Role::Host)
    }

    pub(in crate::room) fn hears(&self, who: ParticipantId) -> Hears {
        match self.state.on_stage(who) {
            _ if !self.may_now(who).contains(Permission::Listen) => Hears::Nothing,
            Some(entry) => Hears::AllBut(entry.track),
            None => Hears::Everything,
        }
    }

    pub(in crate::room) fn remove(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let Some(member) = self.members.remove(&who) else { return };
        self.requests.forget(member.link);
        if member.is_in() {
            for key in member.person.keys.all() {
                self.persons.remove(&(key, who));
            }
            self.expiries.forget(who, member.person.token);
            self.inside -= 1;
            self.homes_of_stage.forget(member.link);
            self.unhost(member.link, out);
            if self.state.on_stage(who).is_some() {
                self.send_routes(now, out);
            }
            self.check_in_force(now, out);
        }
        self.note_idle(now);
    }
}

/// The answer where the way to the origin is missing.
pub(crate) fn unavailable() -> ToParticipant {
    ToParticipant::Err {
        code: ErrorCode::Unavailable,
        message: "This relay has no way to the room's origin at the moment.".to_owned(),
    }
}

/// The answer where too many requests wait for the origin.
pub(in crate::room) fn overloaded() -> (ErrorCode, String) {
    let text = "Too many requests of this relay wait for the room's origin.";
    (ErrorCode::Overloaded, text.to_owned())
}

/// The answer to somebody who wants a role that they have no right to.
pub(in crate::room) fn above(wanted: Role, highest: Role) -> (ErrorCode, String) {
    let text = match highest {
        Role::Listener => format!("Coming in as {wanted} takes a token for that role."),
        Role::Host | Role::Cohost | Role::Speaker | Role::Custom(_) => {
            format!("You may not come in as {wanted}; you may as {highest}, or as listener.")
        }
    };
    (ErrorCode::NotPermitted, text)
}

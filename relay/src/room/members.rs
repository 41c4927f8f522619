//! Participants of one room on this relay: how they join, act and leave. Used by [`super::Room`].

use std::time::{Duration, Instant};

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{FromParticipant, Joined, ToParticipant, You};
use tribune_protocol::control::room::{Phase, Role};
use tribune_protocol::control::trunk::Action;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, RequestId};

use super::requests::{Asked as AskedFor, Open};
use super::{Place, Room};
use crate::crossing::{Hears, LinkId};
use crate::outbox::Outbox;

/// How long a join waits for the room's state and the origin's answer.
const JOIN_PATIENCE: Duration = Duration::from_secs(5);

/// A participant on this relay.
#[derive(Debug)]
pub struct Member {
    link: LinkId,
    name: DisplayName,
    stay: Stay,
    /// The origin knows of it: it has a role, a raised hand, or had.
    acted: bool,
    hand: Option<u32>,
    /// What a moderator last said to it; shown when the connection is closed for it.
    reason: Note,
}

#[derive(Debug)]
enum Stay {
    /// It wants in. `asked`: the origin has been asked, and has not answered yet.
    Joining { admission: Admission, asked: bool },
    /// It hears the room.
    In { hears: Hears },
}

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
    /// Whether it may open and govern rooms.
    pub may_govern: bool,
    /// Whether the origin may know it.
    pub returning: bool,
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

impl Member {
    pub(super) const fn is_in(&self) -> bool {
        match self.stay {
            Stay::In { .. } => true,
            Stay::Joining { .. } => false,
        }
    }

    pub(super) const fn link(&self) -> LinkId {
        self.link
    }
}

impl Room {
    /// Somebody wants in.
    pub fn handle_join(
        &mut self,
        now: Instant,
        who: ParticipantId,
        admission: Admission,
        out: &mut Outbox,
    ) {
        let before = self.members.get(&who).map(|member| (member.link, member.acted));
        if let Some((link, _)) = before {
            out.close(link, CloseCode::Replaced, CloseCode::Replaced.to_string());
            self.remove(now, who, out);
        }
        let member = Member {
            link: admission.link,
            name: admission.name.clone(),
            acted: admission.returning || before.is_some_and(|(_, acted)| acted),
            stay: Stay::Joining { admission, asked: false },
            hand: None,
            reason: Note::default(),
        };
        self.members.insert(who, member);
        self.joining.push_back((now + JOIN_PATIENCE, who));
        self.idle_since = None;
        self.set_home(who, None, out);
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
        let Some(member) = self.members.get_mut(&who) else { return };
        if !member.is_in() {
            let code = ErrorCode::NotJoined;
            let message = "The join has not been answered yet.".to_owned();
            out.to_participant(member.link, request, &ToParticipant::Err { code, message });
            return;
        }
        match action(message, &member.name) {
            Asked::Origin(action) => {
                member.acted = true;
                let link = member.link;
                let number = match request {
                    Some(request) => {
                        let open = Open { who, link, asked: AskedFor::Other(request) };
                        let Some(number) = self.requests.open(open) else {
                            return out.to_participant(link, Some(request), &overloaded());
                        };
                        Some(number)
                    }
                    None => None,
                };
                self.act(now, who, number, action, out);
            }
            Asked::Leave => {
                let link = member.link;
                self.handle_leave(now, who, true, out);
                out.close(link, CloseCode::Done, CloseCode::Done.to_string());
            }
            Asked::Nonsense(text) => {
                let code = ErrorCode::BadRequest;
                let message = text.to_owned();
                out.to_participant(member.link, request, &ToParticipant::Err { code, message });
            }
        }
    }

    /// A member is gone: for good, or because its connection is.
    pub fn handle_leave(
        &mut self,
        now: Instant,
        who: ParticipantId,
        for_good: bool,
        out: &mut Outbox,
    ) {
        let acted = self.members.get(&who).is_some_and(|member| member.acted);
        self.remove(now, who, out);
        if acted {
            let action = if for_good { Action::Left {} } else { Action::Away {} };
            self.act(now, who, None, action, out);
        }
    }

    /// The same session has come in elsewhere.
    pub fn handle_replaced(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        if let Some(link) = self.members.get(&who).map(|member| member.link) {
            self.remove(now, who, out);
            out.close(link, CloseCode::Replaced, CloseCode::Replaced.to_string());
        } else if self.homes.contains_key(&who) {
            self.set_home(who, None, out);
        }
    }

    /// Refuses the joins that have waited too long.
    pub(super) fn give_up_joins(&mut self, now: Instant, out: &mut Outbox) {
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
                out.join_answered(Err(ErrorCode::Unavailable));
                out.to_participant(link, request, &unavailable());
                self.note_idle(now);
            }
        }
    }

    /// Goes on with the joins that waited for the room's state.
    pub(super) fn proceed_all(&mut self, now: Instant, out: &mut Outbox) {
        let waiting = self.members.iter().filter(|(_, member)| !member.is_in());
        let waiting: Vec<_> = waiting.map(|(who, _)| *who).collect();
        for who in waiting {
            self.proceed(now, who, out);
        }
    }

    /// What the origin was asked by the old way to it may be lost, or the answer: joins are asked
    /// again, everybody else is told.
    pub(super) fn lose_requests(&mut self, out: &mut Outbox) {
        for (link, request) in self.requests.lose() {
            let message = "The way to the room's origin was lost before it answered.".to_owned();
            let code = ErrorCode::Unavailable;
            out.to_participant(link, Some(request), &ToParticipant::Err { code, message });
        }
        for member in self.members.values_mut() {
            if let Stay::Joining { asked, .. } = &mut member.stay {
                *asked = false;
            }
        }
    }

    /// Tells the origin, by a new way to it, who is here and below that it knows.
    pub(super) fn announce_actors(&mut self, out: &mut Outbox) {
        let Place::Below { link: Some((_, channel)), .. } = self.place else { return };
        let here = self.members.iter().filter(|(_, member)| member.acted && member.is_in());
        let who: Vec<_> = here.map(|(who, _)| *who).chain(self.homes.keys().copied()).collect();
        for participant in who {
            let action = Action::Present {};
            out.to_parent(&tribune_protocol::control::trunk::ToParent::Act {
                channel,
                participant,
                request: None,
                action,
            });
        }
    }

    /// To a participant of this relay.
    pub(super) fn deliver_here(
        &mut self,
        to: ParticipantId,
        request: Option<RequestId>,
        message: ToParticipant,
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
            let answers_join = asked == Some(AskedFor::Join);
            if answers_join && message == (ToParticipant::Ok {}) {
                self.admit(to, out);
            } else if answers_join {
                out.to_participant(member.link, admission.request, &message);
                if let ToParticipant::Err { code, .. } = message {
                    out.join_answered(Err(code));
                }
                self.members.remove(&to);
            }
            // Anything else comes before the answer to the join, which tells the same.
            return;
        }
        if let ToParticipant::You(you) = &message {
            member.hand = you.hand;
            member.reason = you.reason.clone();
        }
        match asked {
            None => out.to_participant(member.link, None, &message),
            Some(AskedFor::Other(request)) => {
                out.to_participant(member.link, Some(request), &message);
            }
            Some(AskedFor::Join) => {} // it was let in by other means, and told so
        }
    }

    /// What a member on or off the stage hears has to follow the state.
    pub(super) fn follow_stage(&mut self, who: ParticipantId, out: &mut Outbox) {
        let wanted = self.hears(who);
        let Some(member) = self.members.get_mut(&who) else { return };
        if let Stay::In { hears } = &mut member.stay
            && *hears != wanted
        {
            *hears = wanted;
            let (link, room) = (member.link, self.id);
            let attach = crate::crossing::ShardCommand::Attach { link, room, hears: wanted };
            out.shard(link.shard, attach);
        }
    }

    /// Closes the connection of a member that has been kicked.
    pub(super) fn expel(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let member = self.members.get(&who).filter(|member| member.is_in());
        // A join that is under way is refused instead.
        let Some(member) = member else { return };
        let (link, reason) = (member.link, member.reason.to_string());
        let code = CloseCode::Kicked;
        let reason = if reason.is_empty() { code.to_string() } else { reason };
        self.remove(now, who, out);
        out.close(link, code, reason);
    }

    /// Takes the next step of a join, as far as the state allows.
    fn proceed(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let Some(member) = self.members.get(&who) else { return };
        let Stay::Joining { admission, asked: false } = &member.stay else { return };
        let admission = admission.clone();
        let way = match &self.place {
            Place::Origin(_) | Place::Below { link: Some(_), known: true, .. } => true,
            Place::Below { link: None, .. } if self.state.phase == Phase::Live => false,
            // The state is on its way; the hub's patience bounds the wait.
            Place::Below { .. } => return,
        };
        if self.state.barred.contains(&who) {
            let text = "A moderator has removed you from this room.";
            self.refuse(&admission, who, ErrorCode::Barred, text, out);
        } else if admission.role != Role::Listener {
            if !way {
                return;
            }
            let Admission { name, role, may_govern, link, .. } = admission;
            let Some(number) = self.requests.open(Open { who, link, asked: AskedFor::Join }) else {
                return; // asked again as soon as something changes; the patience bounds the wait
            };
            if let Some(member) = self.members.get_mut(&who) {
                member.acted = true;
                if let Stay::Joining { asked, .. } = &mut member.stay {
                    *asked = true;
                }
            }
            self.act(now, who, Some(number), Action::Enter { name, role, may_govern }, out);
        } else if self.state.phase == Phase::Live {
            self.admit(who, out);
            if admission.returning {
                self.act(now, who, None, Action::Present {}, out);
            }
        } else {
            let text = "The room has not been opened; a host opens it by joining.";
            self.refuse(&admission, who, ErrorCode::RoomNotFound, text, out);
        }
        self.note_idle(now);
    }

    fn refuse(
        &mut self,
        admission: &Admission,
        who: ParticipantId,
        code: ErrorCode,
        text: &str,
        out: &mut Outbox,
    ) {
        self.members.remove(&who);
        out.join_answered(Err(code));
        let message = ToParticipant::Err { code, message: text.to_owned() };
        out.to_participant(admission.link, admission.request, &message);
    }

    /// Lets a member in: it hears the room, and learns where it stands.
    fn admit(&mut self, who: ParticipantId, out: &mut Outbox) {
        let hears = self.hears(who);
        let Some(member) = self.members.get_mut(&who) else { return };
        let Stay::Joining { admission, .. } = &member.stay else { return };
        let Admission { link, request, greeting, .. } = admission.clone();
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
        out.join_answered(Ok(()));
        out.to_participant(link, request, &ToParticipant::Joined(joined));
        if self.state.on_stage(who).is_some() {
            self.send_routes(out);
        }
    }

    fn you(&self, who: ParticipantId) -> You {
        let entry = self.state.on_stage(who);
        You {
            participant: who,
            role: entry.map_or(Role::Listener, |entry| entry.role),
            track: entry.map(|entry| entry.track),
            silenced: entry.is_some_and(|entry| entry.silenced),
            hand: self.members.get(&who).and_then(|member| member.hand),
            reason: Note::default(),
        }
    }

    fn hears(&self, who: ParticipantId) -> Hears {
        match self.state.on_stage(who) {
            Some(entry) => Hears::AllBut(entry.track),
            None => Hears::Everything,
        }
    }

    fn remove(&mut self, now: Instant, who: ParticipantId, out: &mut Outbox) {
        let Some(member) = self.members.remove(&who) else { return };
        self.requests.forget(member.link);
        if member.is_in() {
            self.inside -= 1;
            self.unhost(member.link, out);
            if self.state.on_stage(who).is_some() {
                self.send_routes(out);
            }
            self.check_in_force(now, out);
        }
        self.note_idle(now);
    }
}

/// The answer where the way to the origin is missing.
pub(super) fn unavailable() -> ToParticipant {
    ToParticipant::Err {
        code: ErrorCode::Unavailable,
        message: "This relay has no way to the room's origin at the moment.".to_owned(),
    }
}

/// The answer where too many requests wait for the origin.
fn overloaded() -> ToParticipant {
    ToParticipant::Err {
        code: ErrorCode::Overloaded,
        message: "Too many requests of this relay wait for the room's origin.".to_owned(),
    }
}

enum Asked {
    Origin(Action),
    Leave,
    Nonsense(&'static str),
}

fn action(message: FromParticipant, name: &DisplayName) -> Asked {
    Asked::Origin(match message {
        FromParticipant::Join(_) => return Asked::Nonsense("This connection has joined already."),
        FromParticipant::Unknown => {
            return Asked::Nonsense("This relay does not know that type of message.");
        }
        FromParticipant::Leave {} => return Asked::Leave,
        FromParticipant::RaiseHand { note } => Action::RaiseHand { name: name.clone(), note },
        FromParticipant::LowerHand { participant } => Action::LowerHand { subject: participant },
        FromParticipant::Grant { participant } => Action::Grant { subject: participant },
        FromParticipant::Deny { participant, reason } => {
            Action::Deny { subject: participant, reason }
        }
        FromParticipant::AskMute { participant, reason } => {
            Action::AskMute { subject: participant, reason }
        }
        FromParticipant::Silence { participant, on, reason } => {
            Action::Silence { subject: participant, on, reason }
        }
        FromParticipant::Kick { participant, reason } => {
            Action::Kick { subject: participant, reason }
        }
        FromParticipant::LeaveStage {} => Action::LeaveStage {},
        FromParticipant::OwnMute { muted } => Action::OwnMute { muted },
        FromParticipant::EndRoom {} => Action::EndRoom {},
    })
}

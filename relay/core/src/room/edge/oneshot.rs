//! Errands: requests of people who do not come in. Their edge waits for the room's state, tells the
//! origin whether a ruling bars them, and gives up after a while; relays above remember the way back
//! for as long. Used by [`crate::room::Room`].
//!
//! An errand's answer finds its way by an id of the errand's own, so that the homes and routes of a
//! participant with the same session key stay as they are.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{Action, Credentials, ToChild};
use tribune_protocol::domain::room::Role;
use tribune_protocol::ids::{DisplayName, ParticipantId, RequestId, SessionKey};

use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::room::Room;
use crate::room::edge::members;
use crate::room::edge::person::Shown;

/// Errands of one room that wait for an answer at one relay: a moderation team with all its scripts,
/// and what the barred have to say. More are refused as `overloaded`.
const MAX_ERRANDS: usize = 1_024;
/// How long an errand waits for the room's state and the origin's answer.
const ERRAND_PATIENCE: Duration = Duration::from_secs(5);
/// How long a relay between remembers the way back: longer than the edge waits.
const WAY_BACK_PATIENCE: Duration = Duration::from_secs(8);

/// Errands under way, by the id that their answer comes back to.
#[derive(Debug, Default)]
pub(in crate::room) struct Errands {
    open: BTreeMap<ParticipantId, Open>,
    /// When each is given up, soonest first for each kind. One that is answered stays until then.
    here: VecDeque<(Instant, ParticipantId)>,
    below: VecDeque<(Instant, ParticipantId)>,
}

/// Somebody at this relay who wants something done.
#[derive(Debug)]
pub struct Request {
    /// The connection.
    pub link: LinkId,
    /// The number of the request, if it wants an answer.
    pub request: Option<RequestId>,
    /// Whose: the participant that the same session would be.
    pub participant: ParticipantId,
    /// What to be called.
    pub name: DisplayName,
    /// The role to act in, where no token says which.
    pub role: Role,
    /// What they have shown.
    pub shown: Shown,
    /// Where they are.
    pub address: IpAddr,
    /// What they want.
    pub act: Govern,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// It waits for the room's state.
    Waiting(Box<Request>),
    /// The origin has been asked, from here.
    Asked { link: LinkId, request: Option<RequestId> },
    /// It is somebody's at or below that child.
    Below { child: LinkId, request: Option<RequestId> },
}

/// The id that the answers to a connection's errands come back to.
#[must_use]
pub fn routing_id(session: &SessionKey, link: LinkId) -> ParticipantId {
    let mut hash = Context::new(&SHA256);
    hash.update(b"errand");
    hash.update(&session.0);
    hash.update(&[link.shard.0]);
    hash.update(&link.slot.to_be_bytes());
    hash.update(&link.generation.to_be_bytes());
    let hash = hash.finish();
    ParticipantId(hash.as_ref().iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte)))
}

impl Errands {
    pub(in crate::room) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(in crate::room) fn due(&self) -> Option<Instant> {
        let fronts = [self.here.front(), self.below.front()];
        fronts.into_iter().flatten().map(|(until, _)| *until).min()
    }

    fn insert(&mut self, id: ParticipantId, until: Instant, step: Step) {
        match &step {
            Step::Below { .. } => self.below.push_back((until, id)),
            Step::Waiting(_) | Step::Asked { .. } => self.here.push_back((until, id)),
        }
        self.open.insert(id, Open { until, step });
    }

    /// The next one whose time is over.
    fn pop_overdue(&mut self, now: Instant) -> Option<Step> {
        for queue in [&mut self.here, &mut self.below] {
            while let Some((until, id)) = queue.front().copied().filter(|(until, _)| *until <= now)
            {
                queue.pop_front();
                // A later errand of the same connection has its own entry.
                if self.open.get(&id).is_some_and(|open| open.until == until) {
                    return self.open.remove(&id).map(|open| open.step);
                }
            }
        }
        None
    }

    /// Forgets those of a child that is gone.
    pub(in crate::room) fn forget_below(&mut self, child: LinkId) {
        self.open.retain(
            |_, open| !matches!(&open.step, Step::Below { child: below, .. } if *below == child),
        );
    }
}

impl Room {
    /// Somebody who does not come in wants something done; `id` is from [`routing_id`].
    pub fn handle_errand(
        &mut self,
        now: Instant,
        id: ParticipantId,
        errand: Request,
        out: &mut Outbox,
    ) {
        let (link, request) = (errand.link, errand.request);
        if self.errands.open.contains_key(&id) {
            let text = "The errand before this one has not been answered yet.";
            return refuse(link, request, ErrorCode::BadRequest, text, out);
        }
        // The second queue counts: what is answered stays in it for a while.
        if self.errands.here.len() >= MAX_ERRANDS {
            let text = format!("This relay has {MAX_ERRANDS} errands of the room to wait for.");
            return refuse(link, request, ErrorCode::Overloaded, &text, out);
        }
        self.idle_since = None;
        self.errands.insert(id, now + ERRAND_PATIENCE, Step::Waiting(Box::new(errand)));
        self.ask_for_errand(now, id, out);
        self.note_idle(now);
    }

    /// The connection of an errand is gone.
    pub fn forget_errand(&mut self, now: Instant, id: ParticipantId) {
        self.errands.open.remove(&id);
        self.note_idle(now);
    }

    /// Goes on with errands that waited for the room's state.
    pub(in crate::room) fn proceed_errands(&mut self, now: Instant, out: &mut Outbox) {
        let open = self.errands.open.iter();
        let waiting = open.filter(|(_, open)| matches!(open.step, Step::Waiting(_)));
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.ask_for_errand(now, id, out);
        }
    }

    /// Notes the way back to an errand from below.
    pub(in crate::room) fn note_errand(
        &mut self,
        now: Instant,
        id: ParticipantId,
        request: Option<RequestId>,
        child: LinkId,
    ) {
        // Over the limit the answer is lost on its way; the edge gives up by itself.
        if self.errands.below.len() < MAX_ERRANDS {
            self.errands.insert(id, now + WAY_BACK_PATIENCE, Step::Below { child, request });
        }
    }

    /// An answer to an errand, or something else that concerns whoever runs it.
    pub(in crate::room) fn deliver_errand(
        &mut self,
        to: ParticipantId,
        request: Option<RequestId>,
        message: ToParticipant,
        out: &mut Outbox,
    ) {
        let Some(open) = self.errands.open.get(&to) else { return };
        match &open.step {
            Step::Waiting(_) => return,
            Step::Asked { link, request: asked } => {
                // An answer to the errand before comes too late.
                if request.is_some() && request != *asked {
                    return;
                }
                out.to_participant(*link, request, &message);
                if request.is_none() {
                    return;
                }
            }
            Step::Below { child: link, request: asked } => {
                let is_answer = request.is_some() && request == *asked;
                if let Some(child) = self.children.get(link) {
                    let (channel, participant) = (child.channel, to);
                    let deliver = ToChild::Deliver { channel, participant, request, message };
                    out.to_child(*link, &deliver);
                }
                // The edge drops the answer to the errand before; the way back is for the next one.
                if !is_answer {
                    return;
                }
            }
        }
        self.errands.open.remove(&to);
    }

    /// The errands of this relay whose answer is lost with the way to the origin.
    pub(in crate::room) fn lose_errands(&mut self) -> Vec<(LinkId, RequestId)> {
        let mut lost = Vec::new();
        self.errands.open.retain(|_, open| match &open.step {
            Step::Asked { link, request } => {
                lost.extend(request.map(|request| (*link, request)));
                false
            }
            Step::Waiting(_) | Step::Below { .. } => true,
        });
        lost
    }

    /// Gives up the errands that have waited too long.
    pub(in crate::room) fn give_up_errands(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(step) = self.errands.pop_overdue(now) {
            let (link, request) = match step {
                Step::Waiting(errand) => (errand.link, errand.request),
                Step::Asked { link, request } => (link, request),
                Step::Below { .. } => continue,
            };
            if request.is_some() {
                out.to_participant(link, request, &members::unavailable());
            }
        }
        self.note_idle(now);
    }

    /// Asks the origin, once the room's state is known.
    fn ask_for_errand(&mut self, now: Instant, id: ParticipantId, out: &mut Outbox) {
        if !self.is_known() {
            return;
        }
        let Some(open) = self.errands.open.get_mut(&id) else { return };
        let Step::Waiting(errand) = &open.step else { return };
        let (link, request) = (errand.link, errand.request);
        let asked = Step::Asked { link, request };
        let Step::Waiting(errand) = std::mem::replace(&mut open.step, asked) else { return };
        match self.credentials_for(now, &errand) {
            Ok(by) => {
                let action = Action::OneShot { act: errand.act };
                self.act(now, id, request, Some(by), action, out);
                if request.is_none() {
                    self.errands.open.remove(&id);
                }
            }
            Err((code, text)) => {
                self.errands.open.remove(&id);
                refuse(link, request, code, &text, out);
            }
        }
    }

    fn credentials_for(
        &self,
        now: Instant,
        errand: &Request,
    ) -> Result<Credentials, (ErrorCode, String)> {
        let now_s = self.setup.wall.unix_us(now) / 1_000_000;
        let proof = errand.shown.check(self.name(), self.state.key, now_s);
        let proof = proof.map_err(|error| (error.code(), error.to_string()))?;
        let name = proof.name().unwrap_or(&errand.name).clone();
        let person = proof.person(errand.participant, errand.address, errand.role);
        let standing = self.rulings.standing(&person.keys, person.token);
        // A token says which role; without one it is for whoever asks to say.
        if person.token.is_none() && !self.setup.policy.entitles(person.highest, errand.role) {
            return Err(members::above(errand.role, person.highest));
        }
        Ok(person.credentials(errand.participant, &name, standing.bar.is_some()))
    }
}

fn refuse(link: LinkId, request: Option<RequestId>, code: ErrorCode, text: &str, out: &mut Outbox) {
    if request.is_some() {
        let message = ToParticipant::Err { code, message: text.to_owned() };
        out.to_participant(link, request, &message);
    }
}

//! One-shot requests (`errand` on the wire): requests of people who do not join. Their edge waits for
//! the room's state, tells the origin whether a ruling bars them, and gives up after a while; relays
//! above remember the way back for as long.
//!
//! The answer is routed by an id of the request's own, so that homes and routes of a participant with
//! the same session key stay as they are.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::trunk::Credentials;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{DisplayName, ParticipantId, RequestId, SessionKey};

use super::person::Shown;
use super::refusal::{Refusal, unavailable};
use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::room::view::RoomView;

/// One-shot requests of one room that wait for an answer at one relay: a moderation team with all its
/// scripts, and the appeals of the barred. More are refused as `overloaded`.
const MAX_ONE_SHOTS: usize = 1_024;
/// Time for the room's state and the origin's answer to come.
const ONE_SHOT_PATIENCE: Duration = Duration::from_secs(5);
/// Time for which a relay between remembers the way back: longer than the edge waits.
const WAY_BACK_PATIENCE: Duration = Duration::from_secs(8);

/// One-shot requests under way, by the id that their answer is routed by.
#[derive(Debug, Default)]
pub(crate) struct OneShots {
    open: BTreeMap<ParticipantId, Open>,
    /// Deadlines, soonest first for each kind. A request that is answered stays until then.
    here: VecDeque<(Instant, ParticipantId)>,
    below: VecDeque<(Instant, ParticipantId)>,
}

/// One-shot request of somebody at this relay.
#[derive(Debug)]
pub struct OneShotRequest {
    /// The connection.
    pub link: LinkId,
    /// The number of the request, if it wants an answer.
    pub request: Option<RequestId>,
    /// The participant that the same session would be.
    pub participant: ParticipantId,
    /// Display name wanted.
    pub name: DisplayName,
    /// Role to act in, where no token says which.
    pub role: Role,
    /// Credentials shown.
    pub shown: Shown,
    /// Address of the sender.
    pub address: IpAddr,
    /// The request itself.
    pub act: Govern,
}

/// Next hop of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WayBack {
    /// A connection of this relay.
    Here(LinkId),
    /// A relay below.
    Below(LinkId),
}

#[derive(Debug)]
struct Open {
    until: Instant,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// It waits for the room's state.
    Waiting(Box<OneShotRequest>),
    /// The origin has been asked, from here.
    Asked { link: LinkId, request: Option<RequestId> },
    /// It comes from that child or a relay below it.
    Below { child: LinkId, request: Option<RequestId> },
}

/// Id by which the answers to a connection's one-shot requests are routed.
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

impl OneShots {
    /// Whether none is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When [`Self::pop_overdue`] has something next.
    pub(crate) fn due(&self) -> Option<Instant> {
        let fronts = [self.here.front(), self.below.front()];
        fronts.into_iter().flatten().map(|(until, _)| *until).min()
    }

    /// Whether a request of this relay can be taken under that id.
    ///
    /// # Errors
    /// A refusal: one before it is under way, or too many are.
    pub(crate) fn check(&self, id: ParticipantId) -> Result<(), Refusal> {
        if self.open.contains_key(&id) {
            let text = "The errand before this one has not been answered yet.";
            return Err(Refusal::new(ErrorCode::BadRequest, text));
        }
        // The queue counts: a request that is answered stays in it for a while.
        if self.here.len() >= MAX_ONE_SHOTS {
            let text = format!("This relay has {MAX_ONE_SHOTS} errands of the room to wait for.");
            return Err(Refusal::new(ErrorCode::Overloaded, text));
        }
        Ok(())
    }

    /// Takes a request of this relay, which waits for the room's state.
    pub(crate) fn insert(&mut self, now: Instant, id: ParticipantId, request: OneShotRequest) {
        let until = now + ONE_SHOT_PATIENCE;
        self.here.push_back((until, id));
        self.open.insert(id, Open { until, step: Step::Waiting(Box::new(request)) });
    }

    /// Notes the way back to a request from below.
    pub(crate) fn insert_below(
        &mut self,
        now: Instant,
        id: ParticipantId,
        request: Option<RequestId>,
        child: LinkId,
    ) {
        // Over the limit the answer is lost on its way; the edge gives up by itself.
        if self.below.len() < MAX_ONE_SHOTS {
            let until = now + WAY_BACK_PATIENCE;
            self.below.push_back((until, id));
            self.open.insert(id, Open { until, step: Step::Below { child, request } });
        }
    }

    /// Requests that wait for the room's state.
    pub(crate) fn waiting(&self) -> Vec<ParticipantId> {
        let waiting = self.open.iter().filter(|(_, open)| matches!(open.step, Step::Waiting(_)));
        waiting.map(|(id, _)| *id).collect()
    }

    /// Takes a request that waited, which the origin is to be asked now.
    pub(crate) fn take_waiting(&mut self, id: ParticipantId) -> Option<OneShotRequest> {
        let open = self.open.get_mut(&id)?;
        let Step::Waiting(waiting) = &open.step else { return None };
        let asked = Step::Asked { link: waiting.link, request: waiting.request };
        match std::mem::replace(&mut open.step, asked) {
            Step::Waiting(waiting) => Some(*waiting),
            Step::Asked { .. } | Step::Below { .. } => None,
        }
    }

    /// Next hop of an answer, or of a message without a request. An answer ends the request.
    pub(crate) fn way_back(
        &mut self,
        to: ParticipantId,
        request: Option<RequestId>,
    ) -> Option<WayBack> {
        let (way, is_answer) = match &self.open.get(&to)?.step {
            Step::Waiting(_) => return None,
            // An answer to the request before comes too late.
            Step::Asked { request: asked, .. } if request.is_some() && request != *asked => {
                return None;
            }
            Step::Asked { link, .. } => (WayBack::Here(*link), request.is_some()),
            // The edge drops the answer to the request before; the way back is for the next one.
            Step::Below { child, request: asked } => {
                (WayBack::Below(*child), request.is_some() && request == *asked)
            }
        };
        if is_answer {
            self.open.remove(&to);
        }
        Some(way)
    }

    /// Forgets a request: its connection is gone, or nothing is to come back.
    pub(crate) fn forget(&mut self, id: ParticipantId) {
        self.open.remove(&id);
    }

    /// Forgets the requests of a child that is gone.
    pub(crate) fn forget_below(&mut self, child: LinkId) {
        self.open.retain(
            |_, open| !matches!(&open.step, Step::Below { child: below, .. } if *below == child),
        );
    }

    /// Requests of this relay whose answer is lost with the way to the origin.
    pub(crate) fn lose(&mut self) -> Vec<(LinkId, RequestId)> {
        let mut lost = Vec::new();
        self.open.retain(|_, open| match &open.step {
            Step::Asked { link, request } => {
                lost.extend(request.map(|request| (*link, request)));
                false
            }
            Step::Waiting(_) | Step::Below { .. } => true,
        });
        lost
    }

    /// Gives up the requests that have waited too long, and tells those who wait for an answer here.
    pub(crate) fn give_up(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(step) = self.pop_step(now) {
            let (link, request) = match step {
                Step::Waiting(waiting) => (waiting.link, waiting.request),
                Step::Asked { link, request } => (link, request),
                Step::Below { .. } => continue,
            };
            if let Some(request) = request {
                out.to_participant(link, Some(request), &unavailable());
            }
        }
    }

    fn pop_step(&mut self, now: Instant) -> Option<Step> {
        for queue in [&mut self.here, &mut self.below] {
            while let Some((until, id)) = queue.front().copied().filter(|(until, _)| *until <= now)
            {
                queue.pop_front();
                // A later request of the same connection has its own entry.
                if self.open.get(&id).is_some_and(|open| open.until == until) {
                    return self.open.remove(&id).map(|open| open.step);
                }
            }
        }
        None
    }
}

/// Credentials that the origin is sent with a one-shot request.
///
/// # Errors
/// A refusal: a bad token, or a role beyond the credentials.
pub(crate) fn credentials(
    view: RoomView<'_>,
    now_s: u64,
    request: &OneShotRequest,
) -> Result<Credentials, Refusal> {
    let proof = request.shown.check(&view.state.room, view.state.key, now_s)?;
    let name = proof.name().unwrap_or(&request.name).clone();
    let person = proof.person(request.participant, request.address, request.role);
    let barred = person.rulings(view).bar.is_some();
    // A token says which role; without one the sender does.
    if person.token().is_none() && !view.policy.entitles(person.highest(), request.role) {
        return Err(Refusal::role_above(request.role, person.highest()));
    }
    Ok(person.credentials(request.participant, &name, barred))
}

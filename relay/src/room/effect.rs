//! What the origin's decisions lead to. [`super::authority`] queues them; the room's node carries
//! them out.

use std::collections::VecDeque;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::ids::{ParticipantId, RequestId, Revision};

/// Something for the room's node at the origin to carry out, in the order of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginEffect {
    /// The state has changed: publish `state()` with `revision()`.
    Publish,
    /// To one participant, wherever it is.
    Deliver {
        /// To whom.
        to: ParticipantId,
        /// The request that this answers.
        request: Option<RequestId>,
        /// What.
        message: ToParticipant,
        /// Only once that revision is in force at every relay of the room.
        after: Option<Revision>,
    },
    /// The room is over and can be forgotten, once the last state (phase `Ended`) is published.
    Finished,
}

/// Who acts, and which request awaits the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) id: ParticipantId,
    pub(crate) request: Option<RequestId>,
}

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For programs.
    pub(crate) code: ErrorCode,
    /// One sentence for people.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }
}

/// The effects of one input after the other, and the revision that they lead to.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    effects: VecDeque<OriginEffect>,
    revision: Revision,
    /// This input has changed the state already.
    changed: bool,
}

impl Outbox {
    /// No effects yet, and `first` as the revision in force.
    pub(crate) fn new(first: Revision) -> Self {
        Self { revision: first, ..Self::default() }
    }

    /// A new input begins: its changes make one revision.
    pub(crate) fn begin(&mut self) {
        self.changed = false;
    }

    /// The state changes. The first time in an input, `Publish` takes its place in the queue: what
    /// is queued later reaches each relay after the new state, what was queued before, ahead of it.
    pub(crate) fn publish(&mut self) {
        if !self.changed {
            self.changed = true;
            self.revision.0 += 1;
            self.effects.push_back(OriginEffect::Publish);
        }
    }

    pub(crate) fn ok(&mut self, asker: Asker) {
        self.answer(asker, ToParticipant::Ok {}, None);
    }

    /// `ok`, as soon as the state as it is now is in force at every relay of the room.
    pub(crate) fn ok_when_in_force(&mut self, asker: Asker) {
        self.answer(asker, ToParticipant::Ok {}, Some(self.revision));
    }

    pub(crate) fn refuse(&mut self, asker: Asker, refusal: Refusal) {
        let Refusal { code, message } = refusal;
        self.answer(asker, ToParticipant::Err { code, message }, None);
    }

    pub(crate) fn deliver(&mut self, to: ParticipantId, message: ToParticipant) {
        self.effects.push_back(OriginEffect::Deliver { to, request: None, message, after: None });
    }

    pub(crate) fn finished(&mut self) {
        self.effects.push_back(OriginEffect::Finished);
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn poll(&mut self) -> Option<OriginEffect> {
        self.effects.pop_front()
    }

    fn answer(&mut self, asker: Asker, message: ToParticipant, after: Option<Revision>) {
        let Asker { id: to, request } = asker;
        if request.is_some() {
            self.effects.push_back(OriginEffect::Deliver { to, request, message, after });
        }
    }
}

//! What the origin's decisions lead to. [`crate::room::authority::commit`] queues them; the room's node carries
//! them out.

use std::collections::{BTreeMap, VecDeque};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::query::TreeQuery;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::{ParticipantId, RequestId, Revision};

use crate::store::Batch;

/// Something for the room's node at the origin to carry out, in the order of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginEffect {
    /// What has been ruled about persons, and whose rulings are taken back. Always right before the
    /// `Publish` of the revision that it belongs to.
    Rule {
        /// New and changed ones.
        rulings: Vec<Ruling>,
        /// Those that are no more.
        lifted: Vec<PersonKey>,
    },
    /// The state has changed: publish `state()` with `revision()`.
    Publish,
    /// Store a decision; the answer goes to [`crate::room::authority::commit::Authority::handle_stored`].
    Write(Batch),
    /// Read the log; the answer goes to [`crate::room::authority::commit::Authority::handle_log`].
    ReadLog {
        /// Comes back with the answer.
        ticket: u64,
        /// The first entry wanted.
        from: u64,
        /// Entries at most.
        limit: usize,
    },
    /// Another session of the same subject has taken the place of this one: close it.
    Displace {
        /// Which.
        who: ParticipantId,
    },
    /// Look along the tree, and answer with what is seen.
    Query {
        /// Who asks.
        to: ParticipantId,
        /// The request to answer.
        request: Option<RequestId>,
        /// What is asked.
        about: TreeQuery,
    },
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
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    effects: VecDeque<OriginEffect>,
    revision: Revision,
    /// Where in the queue this input's `Publish` is.
    published_at: Option<usize>,
    ruled: BTreeMap<PersonKey, Option<Ruling>>,
}

impl Outbox {
    /// No effects yet, and `first` as the revision in force.
    pub(crate) fn new(first: Revision) -> Self {
        Self { revision: first, ..Self::default() }
    }

    /// A new input begins: its changes make one revision.
    pub(crate) fn begin(&mut self) {
        self.published_at = None;
    }

    /// The input is over: what was ruled in it takes its place before the new state.
    pub(crate) fn finish(&mut self) {
        let Some(at) = self.published_at.take() else { return };
        if self.ruled.is_empty() {
            return;
        }
        let (mut rulings, mut lifted) = (Vec::new(), Vec::new());
        for (who, ruling) in std::mem::take(&mut self.ruled) {
            match ruling {
                Some(ruling) => rulings.push(ruling),
                None => lifted.push(who),
            }
        }
        self.effects.insert(at, OriginEffect::Rule { rulings, lifted });
    }

    /// A ruling changes, or is taken back. That makes a revision too.
    pub(crate) fn rule(&mut self, who: PersonKey, ruling: Option<Ruling>) {
        self.publish();
        self.ruled.insert(who, ruling);
    }

    /// The state changes. The first time in an input, `Publish` takes its place in the queue: what
    /// is queued later reaches each relay after the new state, what was queued before, ahead of it.
    pub(crate) fn publish(&mut self) {
        if self.published_at.is_none() {
            self.published_at = Some(self.effects.len());
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

    /// Answers with more than `ok`.
    pub(crate) fn reply(&mut self, asker: Asker, message: ToParticipant) {
        self.answer(asker, message, None);
    }

    pub(crate) fn push(&mut self, effect: OriginEffect) {
        self.effects.push_back(effect);
    }

    /// Takes what waits in another queue, which was there before.
    pub(crate) fn put_before(&mut self, mut earlier: VecDeque<OriginEffect>) {
        earlier.append(&mut self.effects);
        self.effects = earlier;
    }

    pub(crate) fn take_effects(&mut self) -> VecDeque<OriginEffect> {
        std::mem::take(&mut self.effects)
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

//! Effects of the origin's decisions, and their queue. Decisions fill it; the room's node drains it by
//! [`Authority::poll_effect`](super::commit::Authority::poll_effect) and carries them out.

use std::collections::{BTreeMap, VecDeque};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::query::TreeQuery;
use tribune_protocol::domain::audience_text::TextId;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::{ParticipantId, RequestId, Revision};

use tribune_protocol::statistics::StatisticsWanted;

use super::statistics::Fact;
use crate::store::{Batch, StatisticsRow};

/// An effect for the room's node at the origin to carry out, in the order of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginEffect {
    /// Changed rulings about persons. Always right before the `Publish` of the revision that they
    /// belong to.
    Rule {
        /// New and changed ones.
        rulings: Vec<Ruling>,
        /// Keys of rulings that are lifted.
        lifted: Vec<PersonKey>,
    },
    /// The state has changed: publish `state()` with `revision()`.
    Publish,
    /// Store a decision; the answer goes to [`handle_stored`](super::commit::Authority::handle_stored).
    Write(Batch),
    /// Read the log; the answer goes to [`handle_log`](super::commit::Authority::handle_log).
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
        /// The session to close.
        who: ParticipantId,
    },
    /// Query the tree, and answer with the result.
    Query {
        /// The sender of the request.
        to: ParticipantId,
        /// The request to answer.
        request: Option<RequestId>,
        /// The query.
        about: TreeQuery,
    },
    /// Send a message to one participant, at whichever relay it is.
    Deliver {
        /// The receiver.
        to: ParticipantId,
        /// The request that this answers.
        request: Option<RequestId>,
        /// The message.
        message: ToParticipant,
        /// Only once that revision is in force at every relay of the room.
        after: Option<Revision>,
    },
    /// A message of the audience is hidden from now on.
    HideText(TextId),
    /// Store statistics; the answer goes to
    /// [`RunCounts`](super::runs::RunCounts)`::handle_stored`.
    KeepStatistics(StatisticsRow),
    /// Read the statistics of an earlier run; the answer goes to
    /// [`RunCounts`](super::runs::RunCounts)`::handle_read`.
    ReadStatistics {
        /// Comes back with the answer.
        ticket: u64,
        /// The run; `None`: the last one.
        run: Option<u32>,
    },
    /// The room is over and can be forgotten, once the last state (phase `Ended`) is published.
    Finished,
}

/// The sender of an input, and the request that awaits the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) id: ParticipantId,
    pub(crate) request: Option<RequestId>,
}

/// Reason why a request is not done.
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

/// The queue of effects, one input after the other, and the revision that they lead to.
#[derive(Debug, Clone, Default)]
pub(in crate::room) struct Effects {
    queue: VecDeque<OriginEffect>,
    revision: Revision,
    /// Where in the queue this input's `Publish` is.
    published_at: Option<usize>,
    /// Rulings that this input changes; `None`: lifted.
    ruled: BTreeMap<PersonKey, Option<Ruling>>,
    /// A participant who has just come in or back: a moderator has to be shown the queue of hands.
    newcomer: Option<ParticipantId>,
    /// Facts for the statistics.
    facts: Vec<Fact>,
    wanted: Vec<WantedStatistics>,
}

/// Request for a part of the statistics, by somebody who may see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct WantedStatistics {
    pub(super) asker: Asker,
    pub(super) run: Option<u32>,
    pub(super) part: StatisticsWanted,
}

impl Effects {
    /// No effects yet, and `first` as the revision in force.
    pub(super) fn new(first: Revision) -> Self {
        Self { revision: first, ..Self::default() }
    }

    /// A new input begins: its changes make one revision.
    pub(super) fn begin(&mut self) {
        self.published_at = None;
    }

    /// The input is over: its rulings take their place before the new state.
    pub(super) fn finish(&mut self) {
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
        self.queue.insert(at, OriginEffect::Rule { rulings, lifted });
    }

    /// Shows the queue of hands to a participant once the input is over, if they may see it.
    pub(super) fn greet(&mut self, who: ParticipantId) {
        self.newcomer = Some(who);
    }

    pub(super) fn take_newcomer(&mut self) -> Option<ParticipantId> {
        self.newcomer.take()
    }

    /// A ruling changes, or is taken back. That makes a revision too.
    pub(super) fn rule(&mut self, who: PersonKey, ruling: Option<Ruling>) {
        self.publish();
        self.ruled.insert(who, ruling);
    }

    /// The state changes. The first time in an input, `Publish` takes its place in the queue: effects
    /// queued later reach each relay after the new state, effects queued before, ahead of it.
    pub(super) fn publish(&mut self) {
        if self.published_at.is_none() {
            self.published_at = Some(self.queue.len());
            self.revision.0 += 1;
            self.queue.push_back(OriginEffect::Publish);
        }
    }

    pub(super) fn ok(&mut self, asker: Asker) {
        self.answer(asker, ToParticipant::Ok {}, None);
    }

    /// `ok`, as soon as the state as it is now is in force at every relay of the room.
    pub(super) fn ok_when_in_force(&mut self, asker: Asker) {
        self.answer(asker, ToParticipant::Ok {}, Some(self.revision));
    }

    pub(super) fn refuse(&mut self, asker: Asker, refusal: Refusal) {
        let Refusal { code, message } = refusal;
        self.answer(asker, ToParticipant::Err { code, message }, None);
    }

    pub(super) fn deliver(&mut self, to: ParticipantId, message: ToParticipant) {
        self.queue.push_back(OriginEffect::Deliver { to, request: None, message, after: None });
    }

    /// Answers with more than `ok`.
    pub(super) fn reply(&mut self, asker: Asker, message: ToParticipant) {
        self.answer(asker, message, None);
    }

    pub(super) fn push(&mut self, effect: OriginEffect) {
        self.queue.push_back(effect);
    }

    /// A queue for a decision on a copy: the same revision, and nothing queued.
    pub(super) fn fork(&self) -> Self {
        let Self { queue: _, revision, published_at, ruled, newcomer, facts: _, wanted: _ } = self;
        Self {
            queue: VecDeque::new(),
            revision: *revision,
            published_at: *published_at,
            ruled: ruled.clone(),
            newcomer: *newcomer,
            facts: Vec::new(),
            wanted: Vec::new(),
        }
    }

    /// Takes over the queue of a decision on a copy, behind everything queued here.
    pub(super) fn join(&mut self, mut fork: Self) {
        let mut earlier = std::mem::take(&mut self.queue);
        earlier.append(&mut fork.queue);
        let (mut facts, mut wanted) = (self.take_facts(), self.take_wanted());
        facts.append(&mut fork.facts);
        wanted.append(&mut fork.wanted);
        *self = Self { queue: earlier, facts, wanted, ..fork };
    }

    /// A fact for the statistics: counts once the decision is durable.
    pub(super) fn fact(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    pub(super) fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    pub(super) fn want_statistics(&mut self, wanted: WantedStatistics) {
        self.wanted.push(wanted);
    }

    pub(super) fn take_wanted(&mut self) -> Vec<WantedStatistics> {
        std::mem::take(&mut self.wanted)
    }

    pub(super) fn finished(&mut self) {
        self.queue.push_back(OriginEffect::Finished);
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn poll(&mut self) -> Option<OriginEffect> {
        self.queue.pop_front()
    }

    fn answer(&mut self, asker: Asker, message: ToParticipant, after: Option<Revision>) {
        let Asker { id: to, request } = asker;
        if request.is_some() {
            self.queue.push_back(OriginEffect::Deliver { to, request, message, after });
        }
    }
}

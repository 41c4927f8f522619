//! The authority of a room at its origin: has inputs decided ([`decide`]), and lets no decision out
//! that belongs into the log before it is durable. Pure: time is a parameter, and consequences come out
//! as [`OriginEffect`]s. For the room's node on the relay that is its origin.
//!
//! An input whose decision has to be durable is decided on a copy of the state. The copy and its
//! effects wait for the store: if the write succeeds, the copy becomes the state; if not, it is thrown
//! away and the request is refused. Inputs that arrive meanwhile wait in order. Audio waits for none
//! of this.

mod reading;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::ids::{ParticipantId, RequestId, Revision, RoomName};
use tribune_protocol::log::{Draft, LogAction};

use super::effect::{Asker, Effects, OriginEffect, Refusal};
use super::inbox::{Inbox, Input};
use super::ledger::Ledger;
use super::log_reads::{self, ENTRIES_A_READ, LogReads, Reading};
use super::record::Record;
use super::runs::{self, RunCounts, Runs};
use super::state::AuthorityState;
use super::statistics::Fact;
use super::{decide, lifecycle, rights};
use crate::room::context::RoomContext;
use crate::store::{self, Batch, StoreError};

pub use super::ledger::Kept;

/// The pause before a timeout is tried again with a store that has failed.
const STORE_RETRY: Duration = Duration::from_secs(2);
/// Time after which a change that is not logged is stored: a crash may cost as much as of the statistics.
const RECORD_DELAY: Duration = Duration::from_secs(3);

/// The authority of one room.
///
/// After each `handle_*`, drain [`Self::poll_effect`]; a call queues a number of effects that is
/// bounded by the stage and the queue of hands, whatever the number of listeners.
#[derive(Debug)]
pub struct Authority {
    state: AuthorityState,
    effects: Effects,
    ledger: Ledger,
    pending: Option<Pending>,
    inbox: Inbox,
    retry_at: Option<Instant>,
    reads: LogReads,
    runs: Runs,
    /// When the record is to be stored for a change that is not logged.
    record_at: Option<Instant>,
}

/// A decision that is being stored.
#[derive(Debug)]
struct Pending {
    state: Box<AuthorityState>,
    effects: Effects,
    ledger: Ledger,
    /// The sender who is refused if it cannot be stored.
    asker: Option<Attendant>,
}

/// The sender of an input, and whether it says that they are in the room.
#[derive(Debug, Clone, Copy)]
struct Attendant {
    asker: Asker,
    is_there: bool,
}

impl Authority {
    /// The authority of a room that nobody has opened, at revision `first`.
    #[must_use]
    pub fn new(room: RoomName, first: Revision, context: Arc<RoomContext>) -> Self {
        let ledger = Ledger::new(room.clone());
        Self::of(AuthorityState::new(room, context), Effects::new(first), ledger)
    }

    /// The authority of a room that was kept. Participants on the stage are away, as after a lost
    /// connection; the rulings come out as an effect at once.
    ///
    /// # Errors
    /// A sentence, if the kept part cannot be read.
    pub fn restore(
        room: RoomName,
        kept: &Kept,
        first: Revision,
        context: Arc<RoomContext>,
        now: Instant,
    ) -> Result<Self, String> {
        let ledger = Ledger::resume(room.clone(), kept)?;
        let mut state = AuthorityState::restored(room, context, Record::from_bytes(&kept.record)?);
        state.set_durable(ledger.entries());
        let mut effects = Effects::new(first);
        lifecycle::restore(&mut state.turn(now, &mut effects));
        let runs = Runs::restored(kept.statistics.as_deref())?;
        if let Some(questions) = runs.questions() {
            state.restore_questions(questions.questions);
        }
        let mut restored = Self { runs, ..Self::of(state, effects, ledger) };
        restored.follow(now);
        if restored.state().phase == Phase::Live {
            restored.reserve_tracks();
        }
        Ok(restored)
    }

    /// Stores that tracks were passed over, so that two restarts in a row pass over others. If it
    /// cannot be stored, the room goes on all the same.
    fn reserve_tracks(&mut self) {
        let (state, effects) = self.copy();
        self.write(state, effects, Vec::new(), None);
    }

    fn of(state: AuthorityState, effects: Effects, ledger: Ledger) -> Self {
        Self {
            state,
            effects,
            ledger,
            pending: None,
            inbox: Inbox::default(),
            retry_at: None,
            reads: LogReads::default(),
            runs: Runs::default(),
            record_at: None,
        }
    }

    /// A participant does something, or its edge reports something about it. `by` is checked by the
    /// edge. A request gets exactly one answer; an input without a request gets none.
    pub fn handle_action(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        by: Option<Credentials>,
        action: Action,
    ) {
        let asker = Asker { id: who, request };
        let input = Input { asker, by, action };
        if self.pending.is_none() {
            self.take(now, input);
            return self.follow(now);
        }
        if !self.inbox.push(input) {
            let message = "This room has more to decide than it can store at the moment.";
            self.effects.refuse(asker, Refusal::new(ErrorCode::Overloaded, message));
        }
    }

    /// Counts the participants without a role in the whole tree.
    pub fn handle_audience(&mut self, now: Instant, listeners: u64) {
        if self.pending.is_some() {
            self.inbox.set_audience(listeners);
        } else {
            decide::count_audience(&mut self.state.turn(now, &mut self.effects), listeners);
        }
        self.runs.set_listeners(self.unix_ms(now), listeners);
    }

    /// Statistics of the present run, to be counted in.
    pub(in crate::room) const fn counts(&mut self) -> RunCounts<'_> {
        RunCounts { runs: &mut self.runs, state: &mut self.state, effects: &mut self.effects }
    }

    /// Statistics of the present run, to be read.
    pub(in crate::room) const fn counted(&self) -> &Runs {
        &self.runs
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.counts().write_due(now);
        if self.pending.is_none() && self.record_at.take_if(|at| *at <= now).is_some() {
            let (mut state, effects) = self.copy();
            state.interested_mut().note_stored();
            self.write(state, effects, Vec::new(), None);
        }
        if self.decision_due().is_none_or(|at| at > now) {
            return;
        }
        self.retry_at = None;
        let (mut state, mut effects) = self.copy();
        decide::timeout(&mut state.turn(now, &mut effects));
        self.commit(state, effects, None);
        self.follow(now);
    }

    /// A decision is stored, or cannot be.
    pub fn handle_stored(&mut self, now: Instant, result: Result<(), StoreError>) {
        let Some(pending) = self.pending.take() else { return };
        let Pending { state, effects, ledger, asker } = pending;
        match result {
            Ok(()) => {
                self.state = *state;
                self.state.set_durable(ledger.entries());
                self.effects.join(effects);
                self.ledger = ledger;
            }
            Err(error) => {
                tracing::error!(room = %self.state().room, %error, "a decision is not stored");
                self.retry_at = Some(now + STORE_RETRY);
                self.note_record(now);
                if let Some(attendant) = asker {
                    let message = format!("It could not be stored, so it is not done: {error}.");
                    let refusal = Refusal::new(ErrorCode::NotDurable, message);
                    self.refuse(now, attendant, refusal);
                }
            }
        }
        while self.pending.is_none() {
            let Some(next) = self.inbox.pop() else { break };
            self.take(now, next);
        }
        if self.pending.is_none()
            && let Some(listeners) = self.inbox.take_audience()
        {
            self.handle_audience(now, listeners);
        }
        self.follow(now);
    }

    /// A part of the log has been read, or cannot be.
    pub fn handle_log(
        &mut self,
        now: Instant,
        ticket: u64,
        result: Result<store::LogPage, StoreError>,
    ) {
        let Some(Reading { asker, only }) = self.reads.close(ticket) else { return };
        let (key, at_ms) = (&self.state.context().key, self.unix_ms(now));
        match log_reads::answered(result, only.as_ref(), &self.ledger, key, at_ms) {
            Ok(page) => self.effects.reply(asker, ToParticipant::Log(page)),
            Err(refusal) => self.effects.refuse(asker, refusal),
        }
    }

    /// The next effect to carry out.
    pub fn poll_effect(&mut self) -> Option<OriginEffect> {
        self.effects.poll()
    }

    /// Has the statistics follow what has become durable.
    fn follow(&mut self, now: Instant) {
        self.runs.follow(now, &mut self.state, &mut self.effects);
    }

    /// Has the record stored soon, if it lacks a change that is not logged.
    fn note_record(&mut self, now: Instant) {
        if self.state.interested().is_new() {
            self.record_at.get_or_insert(now + RECORD_DELAY);
        }
    }

    fn unix_ms(&self, now: Instant) -> u64 {
        runs::unix_ms(self.state.context(), now)
    }

    fn take(&mut self, now: Instant, input: Input) {
        let Input { asker, by, action } = input;
        if let Action::Govern { act: Govern::ReadLog { from } }
        | Action::OneShot { act: Govern::ReadLog { from } } = action
            && !self.reads.is_full()
            && by.is_some()
        {
            return self.read_log(now, asker, by, from);
        }
        if !decide::may_be_logged(self.state(), asker.id, &action) {
            return self.decide_in_place(now, asker, by, action);
        }
        let attendant = Attendant { asker, is_there: decide::is_presence(&action) };
        let (mut state, mut effects) = self.copy();
        match decide::action(&mut state.turn(now, &mut effects), asker, by, action) {
            Ok(()) => self.commit(state, effects, Some(attendant)),
            // Nothing stays of a refused decision.
            Err(refusal) => self.refuse(now, attendant, refusal),
        }
    }

    /// Decides an input that is not logged, on the live state.
    ///
    /// It may not draft entries of the log: left in the live state, they would slip into the next write,
    /// under another request. Debug builds stop there. A release build drops them and reports an error:
    /// the room goes on, and the log says nothing that nobody has waited for.
    pub(in crate::room) fn decide_in_place(
        &mut self,
        now: Instant,
        asker: Asker,
        by: Option<Credentials>,
        action: Action,
    ) {
        let attendant = Attendant { asker, is_there: decide::is_presence(&action) };
        let turn = &mut self.state.turn(now, &mut self.effects);
        if let Err(refusal) = decide::action(turn, asker, by, action) {
            self.refuse(now, attendant, refusal);
        }
        self.note_record(now);
        let strays = self.state.take_drafts();
        for stray in &strays {
            let (room, entry) = (&self.state().room, stray.action);
            tracing::error!(%room, ?entry, "dropped a log entry of a request that is not logged");
        }
        debug_assert!(strays.is_empty(), "log entries of a request that is not logged: {strays:?}");
    }

    fn refuse(&mut self, now: Instant, attendant: Attendant, refusal: Refusal) {
        let Attendant { asker, is_there } = attendant;
        decide::refuse(&mut self.state.turn(now, &mut self.effects), asker, is_there, refusal);
    }

    /// The state as it is, and an empty queue: effects of a decision on it wait for the store.
    fn copy(&self) -> (AuthorityState, Effects) {
        (self.state.clone(), self.effects.fork())
    }

    /// Takes over a copy: at once, if it has drafted nothing for the log, and else once it is stored.
    fn commit(&mut self, mut state: AuthorityState, effects: Effects, asker: Option<Attendant>) {
        let drafts = state.take_drafts();
        if drafts.is_empty() {
            self.state = state;
            self.effects.join(effects);
            return;
        }
        self.write(state, effects, drafts, asker);
    }

    /// Has a copy stored, with its entries of the log.
    fn write(
        &mut self,
        state: AuthorityState,
        mut effects: Effects,
        drafts: Vec<Draft>,
        asker: Option<Attendant>,
    ) {
        let record = state.record().to_bytes();
        for draft in &drafts {
            let target = draft.target.as_ref().and_then(|party| party.name.clone());
            effects.fact(Fact::Logged { action: draft.action, target });
        }
        let is_end = drafts.iter().any(|draft| draft.action == LogAction::RoomEnded);
        let at_ms = drafts.first().map_or(0, |draft| draft.at_ms);
        let statistics = if is_end { self.runs.final_row(at_ms) } else { None };
        let (ledger, entries) = self.ledger.append(&state.context().key, drafts, record.clone());
        let room = state.published().room.clone();
        let state = Box::new(state);
        self.pending = Some(Pending { state, effects, ledger, asker });
        let batch = Batch { record: Some(record), entries, statistics, ..Batch::new(room) };
        self.effects.push(OriginEffect::Write(batch));
    }

    fn read_log(&mut self, now: Instant, asker: Asker, by: Option<Credentials>, from: u64) {
        let actor = rights::actor(&self.state.turn(now, &mut self.effects), asker, by);
        let all = actor.may.contains(Permission::ReadLog);
        let only = (!all).then_some(actor.subject);
        let ticket = self.reads.open(Reading { asker, only });
        let from = from.max(1);
        self.effects.push(OriginEffect::ReadLog { ticket, from, limit: ENTRIES_A_READ });
    }
}

#[cfg(test)]
impl Authority {
    pub(in crate::room) fn parts(&self) -> &AuthorityState {
        &self.state
    }

    pub(in crate::room) fn parts_mut(&mut self) -> &mut AuthorityState {
        &mut self.state
    }
}

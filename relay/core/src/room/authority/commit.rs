//! The origin's side of one room: takes what participants do, has it decided ([`crate::room::authority::state`]), and
//! lets no decision out that is to be written down before it is. Pure: time comes in as a parameter,
//! what follows comes out as [`OriginEffect`]s. For the room's node on the relay that is its origin.
//!
//! An input whose decision has to be durable is decided on a copy. The copy, and all that it wants
//! done, waits for the store: if the write succeeds it becomes the room, if not it is thrown away and
//! the request is refused. What comes in meanwhile waits in order. Audio waits for none of this.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{LogPage, ToParticipant};
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Listing, Phase, RoomState};
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::{ByteString, ParticipantId, RequestId, Revision, RoomName, Subject};
use tribune_protocol::limits::MAX_LOG_PAGE_BYTES;
use tribune_protocol::log::{Chain, SignedEntry};

use crate::room::authority::effect::{Asker, OriginEffect, Refusal};
use crate::room::authority::record;
use crate::room::authority::state::House;
use crate::room::context::RoomContext;
use crate::store::{self, Batch, LogRow, StoreError};

/// Inputs that wait while a decision is being stored: seconds of a large room's hands. Further
/// requests are refused, further reports of edges are dropped.
pub(in crate::room) const MAX_WAITING: usize = 4_096;
/// Reports of edges have that much more room than requests.
const WAITING_FOR_REPORTS: usize = 1_024;
/// Readings of the log under way at the same time.
const MAX_READS: usize = 64;
/// Entries read at once: as many as fit a message, and for somebody who gets the own ones only, a
/// part of the log that is read in a moment.
const ENTRIES_A_READ: usize = 64;
/// The pause before what time brings is tried again with a store that has failed.
const STORE_RETRY: Duration = Duration::from_secs(2);

/// What is kept of a room: its durable state and the end of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The state, as [`Authority`] wrote it.
    pub record: Bytes,
    /// The last entry of the log.
    pub last: Option<Bytes>,
}

/// The authority of one room.
///
/// After each `handle_*`, drain [`Self::poll_effect`]; a call queues a number of effects that is
/// bounded by the stage and the queue of hands, whatever the number of listeners.
#[derive(Debug)]
pub struct Authority {
    pub(in crate::room) house: House,
    chain: Chain,
    last: Option<Bytes>,
    record: Option<Bytes>,
    pending: Option<Pending>,
    waiting: VecDeque<Waiting>,
    /// The last count of listeners, if it waits too.
    audience: Option<u64>,
    retry_at: Option<Instant>,
    reads: BTreeMap<u64, Reading>,
    next_ticket: u64,
}

/// A decision that is being stored.
#[derive(Debug)]
struct Pending {
    house: Box<House>,
    chain: Chain,
    last: Option<Bytes>,
    record: Bytes,
    /// Who is refused if it cannot be stored.
    asker: Option<Attendant>,
}

/// Who asks, and whether that says that they are in the room.
#[derive(Debug, Clone, Copy)]
struct Attendant {
    asker: Asker,
    is_there: bool,
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    by: Option<Credentials>,
    action: Action,
}

#[derive(Debug)]
struct Reading {
    asker: Asker,
    /// Whose entries, if not all.
    only: Option<Subject>,
}

impl Authority {
    /// The authority of a room that nobody has opened, at revision `first`.
    #[must_use]
    pub fn new(room: RoomName, first: Revision, setup: Arc<RoomContext>) -> Self {
        let chain = Chain::new(room.clone());
        Self::of(House::new(room, first, setup), chain, None, None)
    }

    /// The authority of a room that was kept. Whoever was on the stage is away, as after a lost
    /// connection; what was ruled comes out as an effect at once.
    ///
    /// # Errors
    /// A sentence, if what was kept cannot be read.
    pub fn restore(
        room: RoomName,
        kept: &Kept,
        first: Revision,
        setup: Arc<RoomContext>,
        now: Instant,
    ) -> Result<Self, String> {
        let last = match &kept.last {
            Some(bytes) => Some(SignedEntry::from_bytes(bytes).map_err(|error| error.to_string())?),
            None => None,
        };
        let chain = last.as_ref().map_or_else(|| Chain::new(room.clone()), Chain::resume);
        let mut house = House::new(room, first, setup);
        record::read(&kept.record, &mut house)?;
        house.log_entries = chain.entries();
        house.restored(now);
        let mut restored = Self::of(house, chain, kept.last.clone(), Some(kept.record.clone()));
        if restored.house.state.phase == Phase::Live {
            restored.reserve_tracks();
        }
        Ok(restored)
    }

    /// Writes down that tracks were passed over, so that two restarts in a row pass over others. If it
    /// cannot be stored, the room goes on all the same.
    fn reserve_tracks(&mut self) {
        let house = Box::new(self.copy());
        let (record, room) = (record::write(&house), house.state.room.clone());
        let batch = Batch { room, record: Some(record.clone()), entries: Vec::new() };
        let (chain, last) = (self.chain.clone(), self.last.clone());
        self.pending = Some(Pending { house, chain, last, record, asker: None });
        self.house.outbox.push(OriginEffect::Write(batch));
    }

    fn of(house: House, chain: Chain, last: Option<Bytes>, record: Option<Bytes>) -> Self {
        Self {
            house,
            chain,
            last,
            record,
            pending: None,
            waiting: VecDeque::new(),
            audience: None,
            retry_at: None,
            reads: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    /// The state to publish.
    #[must_use]
    pub fn state(&self) -> &RoomState {
        &self.house.state
    }

    /// How often the state has changed.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.house.outbox.revision()
    }

    /// What is ruled about persons, all of it.
    #[must_use]
    pub fn rulings(&self) -> Vec<Ruling> {
        self.house.rulings.all()
    }

    /// Participants on the stage, those away included.
    #[must_use]
    pub fn actors(&self) -> usize {
        self.house.state.stage.len()
    }

    /// Raised hands.
    #[must_use]
    pub fn hands(&self) -> usize {
        self.house.hands.len()
    }

    /// The room as the list of public rooms has it, if it is public.
    #[must_use]
    pub fn listing(&self) -> Option<Listing> {
        self.house.listing()
    }

    /// Whether something is being stored or read for it.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.pending.is_some() || !self.waiting.is_empty() || !self.reads.is_empty()
    }

    /// Whether the room goes on though nobody asks for it: it is live, or announced.
    #[must_use]
    pub fn is_kept_awake(&self) -> bool {
        match self.house.state.phase {
            Phase::Live | Phase::Announced => true,
            Phase::Absent | Phase::Ended => false,
        }
    }

    /// What to keep of it; `None` if nothing was ever stored.
    #[must_use]
    pub fn keep(&self) -> Option<Kept> {
        Some(Kept { record: self.record.clone()?, last: self.last.clone() })
    }

    /// A participant does something, or its edge says something about it. `by` is what the edge has
    /// checked. A request gets exactly one answer; without one there is none.
    pub fn handle_action(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        by: Option<Credentials>,
        action: Action,
    ) {
        let asker = Asker { id: who, request };
        if self.pending.is_none() {
            return self.take(now, Waiting { asker, by, action });
        }
        let room = if request.is_some() { MAX_WAITING } else { MAX_WAITING + WAITING_FOR_REPORTS };
        if self.waiting.len() < room {
            self.waiting.push_back(Waiting { asker, by, action });
        } else {
            let message = "This room has more to decide than it can store at the moment.";
            self.house.outbox.refuse(asker, Refusal::new(ErrorCode::Overloaded, message));
        }
    }

    /// How many participants without a role are in the whole tree.
    pub fn handle_audience(&mut self, now: Instant, listeners: u64) {
        if self.pending.is_some() {
            self.audience = Some(listeners);
        } else {
            self.house.handle_audience(now, listeners);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        self.retry_at = None;
        let mut next = self.copy();
        next.handle_timeout(now);
        self.settle(next, None);
    }

    /// A decision is stored, or cannot be.
    pub fn handle_stored(&mut self, now: Instant, result: Result<(), StoreError>) {
        let Some(pending) = self.pending.take() else { return };
        let Pending { house, chain, last, record, asker } = pending;
        match result {
            Ok(()) => {
                let earlier = self.house.outbox.take_effects();
                self.house = *house;
                self.house.log_entries = chain.entries();
                self.house.outbox.put_before(earlier);
                self.chain = chain;
                self.last = last;
                self.record = Some(record);
            }
            Err(error) => {
                tracing::error!(room = %self.house.state.room, %error, "a decision is not stored");
                self.retry_at = Some(now + STORE_RETRY);
                if let Some(Attendant { asker, is_there }) = asker {
                    let message = format!("It could not be stored, so it is not done: {error}.");
                    let refusal = Refusal::new(ErrorCode::NotDurable, message);
                    self.house.handle_refused(now, asker, is_there, refusal);
                }
            }
        }
        while self.pending.is_none() {
            let Some(next) = self.waiting.pop_front() else { break };
            self.take(now, next);
        }
        if self.pending.is_none()
            && let Some(listeners) = self.audience.take()
        {
            self.house.handle_audience(now, listeners);
        }
    }

    /// A part of the log has been read, or cannot be.
    pub fn handle_log(
        &mut self,
        now: Instant,
        ticket: u64,
        result: Result<store::LogPage, StoreError>,
    ) {
        let Some(Reading { asker, only }) = self.reads.remove(&ticket) else { return };
        let page = match result {
            Ok(page) => self.log_page(now, &page, only.as_ref()),
            Err(error) => {
                let message = format!("The log cannot be read: {error}.");
                let refusal = Refusal::new(ErrorCode::NotDurable, message);
                return self.house.outbox.refuse(asker, refusal);
            }
        };
        self.house.outbox.reply(asker, ToParticipant::Log(page));
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.pending.is_some() {
            return None;
        }
        let due = self.house.poll_timeout()?;
        Some(self.retry_at.map_or(due, |retry| due.max(retry)))
    }

    /// What to carry out next.
    pub fn poll_effect(&mut self) -> Option<OriginEffect> {
        self.house.outbox.poll()
    }

    fn take(&mut self, now: Instant, input: Waiting) {
        let Waiting { asker, by, action } = input;
        if let Action::Govern { act: Govern::ReadLog { from } }
        | Action::OneShot { act: Govern::ReadLog { from } } = action
            && self.reads.len() < MAX_READS
            && by.is_some()
        {
            return self.read_log(asker, by, from);
        }
        if !self.may_be_logged(asker.id, &action) {
            return self.decide_in_place(now, asker, by, action);
        }
        let is_there = House::is_presence(&action);
        let mut next = self.copy();
        match next.try_action(now, asker, by, action) {
            Ok(()) => self.settle(next, Some(Attendant { asker, is_there })),
            // Of what is refused nothing stays.
            Err(refusal) => self.house.handle_refused(now, asker, is_there, refusal),
        }
    }

    /// Decides what is not logged, on the live state.
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
        self.house.handle_action(now, asker, by, action);
        let strays = std::mem::take(&mut self.house.drafts);
        for stray in &strays {
            let (room, entry) = (&self.house.state.room, stray.action);
            tracing::error!(%room, ?entry, "dropped a log entry of a request that is not logged");
        }
        debug_assert!(strays.is_empty(), "log entries of a request that is not logged: {strays:?}");
    }

    /// Whether the decision about an action may add entries to the log: only then it is tried on a
    /// copy.
    fn may_be_logged(&self, who: ParticipantId, action: &Action) -> bool {
        match action {
            Action::Enter { .. } => self.house.state.phase != Phase::Live,
            // A host's going may make a host of a cohost.
            Action::Left {} | Action::LeaveStage {} => {
                self.house.state.on_stage(who).is_some_and(|entry| entry.role == Role::Host)
            }
            Action::Govern { act } | Action::OneShot { act } => act.traits().is_logged(),
            Action::Present {}
            | Action::Away {}
            | Action::RaiseHand { .. }
            | Action::LowerHand {}
            | Action::OwnMute { .. }
            | Action::Unknown => false,
        }
    }

    /// The house as it is, with nothing queued: what it will queue waits for the store.
    fn copy(&self) -> House {
        let mut next = self.house.clone();
        drop(next.outbox.take_effects());
        next
    }

    /// Takes over a copy: at once, if there is nothing to write down, and else once it is stored.
    fn settle(&mut self, mut next: House, asker: Option<Attendant>) {
        if next.drafts.is_empty() {
            let earlier = self.house.outbox.take_effects();
            next.outbox.put_before(earlier);
            self.house = next;
            return;
        }
        let mut chain = self.chain.clone();
        let mut rows = Vec::with_capacity(next.drafts.len());
        for draft in std::mem::take(&mut next.drafts) {
            let signed = chain.append(&next.setup.key, draft);
            let bytes = Bytes::from(signed.to_bytes());
            rows.push(LogRow { number: signed.entry.number, bytes });
        }
        let last = rows.last().map(|row| row.bytes.clone());
        let record = record::write(&next);
        let room = next.state.room.clone();
        let batch = Batch { room, record: Some(record.clone()), entries: rows };
        self.pending = Some(Pending { house: Box::new(next), chain, last, record, asker });
        self.house.outbox.push(OriginEffect::Write(batch));
    }

    fn read_log(&mut self, asker: Asker, by: Option<Credentials>, from: u64) {
        let actor = self.house.actor(asker, by);
        let all = actor.may.contains(Permission::ReadLog);
        let only = (!all).then_some(actor.subject);
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.reads.insert(ticket, Reading { asker, only });
        let from = from.max(1);
        self.house.outbox.push(OriginEffect::ReadLog { ticket, from, limit: ENTRIES_A_READ });
    }

    /// As many entries as fit a message.
    fn log_page(&self, now: Instant, page: &store::LogPage, only: Option<&Subject>) -> LogPage {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        let mut next = page.rows.first().map_or(page.total + 1, |row| row.number);
        for row in &page.rows {
            if only.is_none_or(|subject| concerns(&row.bytes, subject)) {
                bytes += row.bytes.len() + 3;
                if bytes > MAX_LOG_PAGE_BYTES {
                    break;
                }
                entries.push(ByteString(row.bytes.to_vec()));
            }
            next = row.number + 1;
        }
        let at_ms = self.house.setup.wall.unix_us(now) / 1_000;
        // Entries may have been added since: the head is of what was read.
        let is_whole = only.is_none() && next > self.chain.entries();
        let head = is_whole.then(|| self.chain.head(&self.house.setup.key, at_ms).to_bytes());
        LogPage { entries, next, head: head.map(ByteString), own_only: only.is_some() }
    }
}

/// Whether an entry is about a subject, or by it.
fn concerns(bytes: &[u8], subject: &Subject) -> bool {
    SignedEntry::from_bytes(bytes).is_ok_and(|signed| {
        let is = |party: &tribune_protocol::log::Party| party.subject.as_ref() == Some(subject);
        is(&signed.entry.actor) || signed.entry.target.as_ref().is_some_and(is)
    })
}

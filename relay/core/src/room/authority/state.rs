//! The state of one room at its origin, as one value of parts, each with private fields. A decision that
//! has to be durable is tried on a copy of it. Used by [`commit`](super::commit), which opens a
//! [`Turn`] for each input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tribune_protocol::domain::audience_text::Question;
use tribune_protocol::domain::room::{Listing, Phase, RoomState};
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::domain::share::ShareKey;
use tribune_protocol::ids::RoomName;
use tribune_protocol::log::Draft;
use tribune_protocol::statistics::RunListing;

use super::away::Away;
use super::docket::Docket;
use super::drafts::Drafts;
use super::effect::Effects;
use super::hand_queue::HandQueue;
use super::interested::Interested;
use super::occupancy::Occupancy;
use super::people::People;
use super::published::Published;
use super::question_list::QuestionList;
use super::record::{self, Record};
use super::ruling_book::RulingBook;
use super::run_list::RunList;
use super::silenced::SilencedLeavers;
use super::turn::Turn;
use crate::room::context::RoomContext;

/// Tracks that may have been given since the last record: coming in as a speaker is not stored.
const TRACKS_SKIPPED: u32 = 10_000;

/// State of a room, as its origin has it.
///
/// The origin knows by name only participants who act. Silent listeners are a number.
#[derive(Debug, Clone)]
pub(in crate::room) struct AuthorityState {
    context: Arc<RoomContext>,
    room: Published,
    people: People,
    away: Away,
    hands: HandQueue,
    book: RulingBook,
    docket: Docket,
    silenced: SilencedLeavers,
    occupancy: Occupancy,
    questions: QuestionList,
    interested: Interested,
    runs: RunList,
    drafts: Drafts,
}

impl AuthorityState {
    /// A room that nobody has opened.
    pub(super) fn new(room: RoomName, context: Arc<RoomContext>) -> Self {
        let mut state = RoomState::absent(room);
        state.key = Some(context.key.public());
        state.share_key = Some(ShareKey::of(&context.key, &state.room));
        Self {
            context,
            room: Published::new(state, 1),
            people: People::default(),
            away: Away::default(),
            hands: HandQueue::default(),
            book: RulingBook::default(),
            docket: Docket::default(),
            silenced: SilencedLeavers::default(),
            occupancy: Occupancy::default(),
            questions: QuestionList::default(),
            interested: Interested::default(),
            runs: RunList::default(),
            drafts: Drafts::default(),
        }
    }

    /// A room as its record has it.
    pub(super) fn restored(room: RoomName, context: Arc<RoomContext>, record: Record) -> Self {
        let (phase, settings, stage) = (record.phase, record.settings, record.stage);
        let (host, run) = (record.host_name, record.run);
        let key = Some(context.key.public());
        let share_key = Some(ShareKey::of(&context.key, &room));
        let state =
            RoomState { room: room.clone(), phase, stage, settings, key, share_key, host, run };
        let next_track = record.next_track.saturating_add(TRACKS_SKIPPED);
        let people: BTreeMap<_, _> = record.people.into_iter().collect();
        Self {
            room: Published::new(state, next_track),
            people: People::restored(people, record.host),
            book: record.rulings,
            docket: record.docket,
            silenced: record.silenced_leavers,
            interested: record.interested,
            runs: record.runs,
            ..Self::new(room, context)
        }
    }

    /// The durable part.
    pub(super) fn record(&self) -> Record {
        let on_stage = self.people.iter().filter(|(who, _)| self.room.is_on_stage(*who));
        let state = self.room.state();
        Record {
            form: record::FORM,
            phase: state.phase,
            settings: state.settings.clone(),
            stage: state.stage.clone(),
            people: on_stage.map(|(who, person)| (who, person.clone())).collect(),
            host: self.people.host().cloned(),
            rulings: self.book.clone(),
            docket: self.docket.clone(),
            silenced_leavers: self.silenced.clone(),
            next_track: self.room.next_track(),
            run: state.run,
            host_name: state.host.clone(),
            interested: self.interested.clone(),
            runs: self.runs.clone(),
        }
    }

    /// Opens the parts for one input.
    pub(super) fn turn<'a>(&'a mut self, now: Instant, out: &'a mut Effects) -> Turn<'a> {
        Turn {
            now,
            context: &self.context,
            room: &mut self.room,
            people: &mut self.people,
            away: &mut self.away,
            hands: &mut self.hands,
            book: &mut self.book,
            docket: &mut self.docket,
            silenced: &mut self.silenced,
            occupancy: &mut self.occupancy,
            questions: &mut self.questions,
            interested: &mut self.interested,
            runs: &mut self.runs,
            drafts: &mut self.drafts,
            out,
        }
    }

    /// When time changes something: a place is given up, a ban or a hand runs out, the room ends.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ban = self.book.next_expiry_s().map(|at_s| self.context.instant(at_s));
        let due = [self.away.expiry(), ban, self.hands.expiry(), self.occupancy.empty_until()];
        due.into_iter().flatten().min()
    }

    pub(super) fn context(&self) -> &RoomContext {
        &self.context
    }

    /// The state to publish.
    pub(super) const fn published(&self) -> &RoomState {
        self.room.state()
    }

    /// All rulings about persons.
    pub(super) fn rulings(&self) -> Vec<Ruling> {
        self.book.all()
    }

    /// Questions of the audience.
    pub(super) const fn questions(&self) -> &QuestionList {
        &self.questions
    }

    /// Questions of the audience, for their votes.
    pub(super) const fn questions_mut(&mut self) -> &mut QuestionList {
        &mut self.questions
    }

    /// Takes over questions as they were stored.
    pub(super) fn restore_questions(&mut self, questions: Vec<Question>) {
        self.questions = QuestionList::restored(questions);
    }

    /// Runs of the room, the newest first.
    pub(super) fn runs(&self) -> &[RunListing] {
        self.runs.all()
    }

    /// Persons who asked to be told of the room.
    pub(super) const fn interested(&self) -> &Interested {
        &self.interested
    }

    /// Persons who asked to be told of the room, to be noted as stored.
    pub(super) const fn interested_mut(&mut self) -> &mut Interested {
        &mut self.interested
    }

    /// Raised hands.
    pub(super) fn hands(&self) -> usize {
        self.hands.len()
    }

    /// The room as the list of public rooms has it, if it is public.
    pub(super) fn listing(&self) -> Option<Listing> {
        let state = self.room.state();
        let is_on = match state.phase {
            Phase::Live | Phase::Announced => true,
            Phase::Absent | Phase::Ended => false,
        };
        (is_on && state.settings.listed).then(|| Listing {
            room: state.room.clone(),
            phase: state.phase,
            title: state.settings.title.clone(),
            duration_s: state.settings.duration_s,
            host: state.host.clone(),
            starts_s: state.settings.starts_s,
            listeners: self.occupancy.listeners(),
        })
    }

    /// Hands over the entries of the log that the last input has drafted.
    pub(super) fn take_drafts(&mut self) -> Vec<Draft> {
        self.drafts.take()
    }

    /// That many entries of the log are durable.
    pub(super) fn set_durable(&mut self, entries: u64) {
        self.drafts.set_durable(entries);
    }
}

#[cfg(test)]
impl AuthorityState {
    pub(in crate::room) fn queue(&self) -> &HandQueue {
        &self.hands
    }

    pub(in crate::room) fn away(&self) -> &Away {
        &self.away
    }

    pub(in crate::room) fn people(&self) -> &People {
        &self.people
    }

    pub(in crate::room) fn book(&self) -> &RulingBook {
        &self.book
    }

    pub(in crate::room) fn book_mut(&mut self) -> &mut RulingBook {
        &mut self.book
    }

    pub(in crate::room) fn has_drafts(&self) -> bool {
        !self.drafts.is_empty()
    }

    pub(in crate::room) fn record_bytes(&self) -> bytes::Bytes {
        self.record().to_bytes()
    }

    pub(in crate::room) fn room_mut(&mut self) -> &mut Published {
        &mut self.room
    }
}

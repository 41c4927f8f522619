//! Statistics of the present run beside the authority's state, and readings of earlier ones. Follows what is durable,
//! and has it stored from time to time: a crash costs the counts of a few seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{Questions, ToParticipant};
use tribune_protocol::domain::room::Phase;
use tribune_protocol::ids::{ByteString, TrackId};
use tribune_protocol::limits::{MAX_QUESTIONS_SHOWN, TALLY_PERIOD};
use tribune_protocol::quality::Quality;
use tribune_protocol::statistics::StatisticsWanted;
use tribune_protocol::statistics::tally::RelayTally;

use super::effect::{Asker, Effects, OriginEffect, Refusal, WantedStatistics};
use super::state::AuthorityState;
use super::statistics::{Fact, RunStatistics};
use crate::room::context::RoomContext;
use crate::store::{StatisticsRow, StoreError};

/// Readings of earlier runs under way for one room: a handful of hosts with the same page open.
const MAX_READS: usize = 8;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in crate::room) struct Runs {
    present: Option<Box<RunStatistics>>,
    reads: BTreeMap<u64, (Asker, StatisticsWanted)>,
    next_ticket: u64,
    published: Published,
}

/// Statistics of the present run, borrowed from the authority for one input. What is counted does not wait for the
/// store: only decisions do.
#[derive(Debug)]
pub(in crate::room) struct RunCounts<'a> {
    pub(super) runs: &'a mut Runs,
    pub(super) state: &'a mut AuthorityState,
    pub(super) effects: &'a mut Effects,
}

/// Questions and totals, as everybody was told last.
#[derive(Debug, Default)]
struct Published {
    last: Questions,
    from: Option<Instant>,
    is_old: bool,
}

impl Runs {
    /// The run of a room that was kept, if its statistics were.
    ///
    /// # Errors
    /// A clause, if they cannot be read.
    pub(super) fn restored(bytes: Option<&[u8]>) -> Result<Self, String> {
        let present = bytes.map(RunStatistics::from_bytes).transpose()?.map(Box::new);
        Ok(Self { present, ..Self::default() })
    }

    /// Questions of the run that goes on, as they were stored.
    pub(super) fn questions(&self) -> Option<Questions> {
        let present = self.present.as_ref().filter(|present| present.ended_ms().is_none())?;
        Some(present.questions())
    }

    /// Follows the state and the facts that have become durable.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        state: &mut AuthorityState,
        effects: &mut Effects,
    ) {
        let at_ms = unix_ms(state.context(), now);
        let facts = effects.take_facts();
        let published = state.published();
        if published.phase == Phase::Live
            && self.present.as_ref().is_none_or(|present| present.run() != published.run)
        {
            if let Some(before) = self.present.take().filter(|run| run.write_at_ms().is_some()) {
                effects.push(OriginEffect::KeepStatistics(row(&before)));
            }
            let (room, interested) = (published.room.clone(), state.interested().len());
            let run = RunStatistics::begin(room, published.run, interested, at_ms);
            self.present = Some(Box::new(run));
            self.published = Published::default();
        }
        let published = state.published();
        if let Some(present) = &mut self.present {
            facts.iter().for_each(|fact| present.note(at_ms, fact));
            self.published.is_old |= facts.iter().any(Fact::is_of_questions);
            if published.phase == Phase::Live {
                present.set_stage(at_ms, &published.stage);
                present.set_texts(at_ms, &published.settings.title, &published.settings.pinned);
                let questions = state.questions().message(BTreeMap::new()).questions;
                present.set_open(questions, state.hands() as u64);
            } else {
                present.end(at_ms);
            }
        }
        for wanted in effects.take_wanted() {
            self.answer(at_ms, wanted, state, effects);
        }
    }

    /// There are so many listeners.
    pub(super) fn set_listeners(&mut self, at_ms: u64, listeners: u64) {
        if let Some(present) = &mut self.present {
            present.set_listeners(at_ms, listeners);
        }
    }

    /// Messages written in the run.
    pub(in crate::room) fn texts(&self) -> u64 {
        self.present.as_ref().map_or(0, |present| present.texts())
    }

    /// When [`RunCounts::poll_questions`] has something; the first time from `epoch` on.
    pub(in crate::room) fn questions_due(&self, epoch: Instant) -> Option<Instant> {
        self.published.is_old.then(|| self.published.from.unwrap_or(epoch))
    }

    /// When statistics are to be stored.
    pub(in crate::room) fn write_due(&self, context: &RoomContext) -> Option<Instant> {
        let at_ms = self.present.as_ref()?.write_at_ms()?;
        let ahead_us = at_ms.saturating_mul(1_000).saturating_sub(context.wall.unix_us);
        Some(context.wall.at + Duration::from_micros(ahead_us))
    }

    /// Statistics to be stored with a decision that ends the run, as they are.
    pub(super) fn final_row(&mut self, at_ms: u64) -> Option<StatisticsRow> {
        let present = self.present.as_ref()?;
        present.ended_ms().is_none().then(|| row_ended(present, at_ms))
    }

    /// The stored form of the present run, or of the last one.
    pub(super) fn kept(&self) -> Option<StatisticsRow> {
        self.present.as_ref().map(|present| row(present))
    }

    /// Whether something is being read.
    pub(super) fn is_reading(&self) -> bool {
        !self.reads.is_empty()
    }

    fn answer(
        &mut self,
        at_ms: u64,
        wanted: WantedStatistics,
        state: &AuthorityState,
        effects: &mut Effects,
    ) {
        let WantedStatistics { asker, run, part } = wanted;
        let present =
            self.present.as_ref().filter(|present| run.is_none_or(|run| run == present.run()));
        if let Some(present) = present {
            return reply(effects, asker, present, at_ms, part, state);
        }
        if self.reads.len() >= MAX_READS {
            let message = "Too many are reading statistics of this room at the moment.";
            return effects.refuse(asker, Refusal::new(ErrorCode::Overloaded, message));
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.reads.insert(ticket, (asker, part));
        effects.push(OriginEffect::ReadStatistics { ticket, run });
    }

    fn message(&self, state: &AuthorityState) -> Option<Questions> {
        let present = self.present.as_ref()?;
        let mut message = state.questions().message(present.reactions());
        message.questions.truncate(MAX_QUESTIONS_SHOWN);
        Some(message)
    }
}

impl RunCounts<'_> {
    /// A relay of the room has counted. Whether it counts.
    pub(in crate::room) fn handle_tally(&mut self, now: Instant, tally: RelayTally) -> bool {
        let at_ms = self.unix_ms(now);
        let Some(present) = &mut self.runs.present else { return false };
        let is_old =
            !tally.votes.is_empty() || !tally.withdrawn.is_empty() || !tally.reactions.is_empty();
        let counts = present.take_tally(at_ms, tally);
        if counts && is_old {
            self.state.questions_mut().set_votes(present.votes());
            self.runs.published.is_old = true;
        }
        counts
    }

    /// Persons at some relays of the room. Whether the sketch is one.
    pub(in crate::room) fn handle_sketch(&mut self, now: Instant, sketch: &ByteString) -> bool {
        let at_ms = self.unix_ms(now);
        self.runs.present.as_mut().is_none_or(|present| present.take_sketch(at_ms, sketch))
    }

    /// Speech of one second at one relay.
    pub(in crate::room) fn handle_talk(
        &mut self,
        now: Instant,
        at_s: u64,
        tracks: BTreeMap<TrackId, u64>,
    ) {
        let at_ms = self.unix_ms(now);
        if let Some(present) = &mut self.runs.present {
            present.take_talk(at_ms, at_s, tracks);
        }
    }

    /// Reports of how the room is heard.
    pub(in crate::room) fn handle_quality(&mut self, quality: &Quality) {
        if let Some(present) = &mut self.runs.present {
            present.take_quality(quality);
        }
    }

    /// Questions and totals, if everybody is to be told of a change now.
    pub(in crate::room) fn poll_questions(&mut self, now: Instant) -> Option<Questions> {
        self.runs.questions_due(now).filter(|due| *due <= now)?;
        self.runs.published.is_old = false;
        let questions = self.runs.message(self.state)?;
        if questions == self.runs.published.last {
            return None;
        }
        self.runs.published.from = Some(now + TALLY_PERIOD);
        self.runs.published.last.clone_from(&questions);
        Some(questions)
    }

    /// Has the statistics stored, if it is time.
    pub(in crate::room) fn write_due(&mut self, now: Instant) {
        let at_ms = self.unix_ms(now);
        let due = self.runs.present.as_ref().and_then(|present| present.write_at_ms());
        if due.is_some_and(|due| due <= at_ms) {
            self.write(now);
        }
    }

    /// Has the statistics stored now, if they have changed.
    pub(in crate::room) fn write(&mut self, now: Instant) {
        let at_ms = self.unix_ms(now);
        let present = self.runs.present.as_mut();
        if let Some(present) = present.filter(|present| present.write_at_ms().is_some()) {
            present.note_written(at_ms);
            self.effects.push(OriginEffect::KeepStatistics(row(present)));
        }
    }

    /// Statistics are stored, or cannot be; then it is tried again.
    pub(in crate::room) fn handle_stored(&mut self, now: Instant, result: Result<(), StoreError>) {
        let Err(error) = result else { return };
        let room = &self.state.published().room;
        tracing::error!(%room, %error, "statistics are not stored");
        let at_ms = self.unix_ms(now);
        if let Some(present) = &mut self.runs.present {
            present.note_unwritten(at_ms);
        }
    }

    /// Statistics of an earlier run have been read, or cannot be.
    pub(in crate::room) fn handle_read(
        &mut self,
        ticket: u64,
        result: Result<Option<StatisticsRow>, StoreError>,
    ) {
        let Some((asker, part)) = self.runs.reads.remove(&ticket) else { return };
        let refusal = |message: String| Refusal::new(ErrorCode::NotDurable, message);
        let run = match result {
            Ok(Some(row)) => RunStatistics::from_bytes(&row.bytes)
                .map_err(|why| refusal(format!("The run cannot be shown: {why}."))),
            Ok(None) => Err(none_kept()),
            Err(error) => Err(refusal(format!("The statistics cannot be read: {error}."))),
        };
        match run {
            Ok(run) => reply(self.effects, asker, &run, u64::MAX, part, self.state),
            Err(refusal) => self.effects.refuse(asker, refusal),
        }
    }

    fn unix_ms(&self, now: Instant) -> u64 {
        unix_ms(self.state.context(), now)
    }
}

/// Unix time in milliseconds.
pub(super) fn unix_ms(context: &RoomContext, now: Instant) -> u64 {
    context.wall.unix_us(now) / 1_000
}

fn reply(
    effects: &mut Effects,
    asker: Asker,
    run: &RunStatistics,
    at_ms: u64,
    part: StatisticsWanted,
    state: &AuthorityState,
) {
    let at_ms = if at_ms == u64::MAX { run.written_at_ms() } else { at_ms };
    let part = run.part(at_ms, part, state.runs().to_vec());
    effects.reply(asker, ToParticipant::Statistics { part });
}

fn row(run: &RunStatistics) -> StatisticsRow {
    let (began_ms, ended_ms) = (run.began_ms(), run.ended_ms().unwrap_or(0));
    StatisticsRow { run: run.run(), began_ms, ended_ms, bytes: run.to_bytes() }
}

fn row_ended(run: &RunStatistics, at_ms: u64) -> StatisticsRow {
    StatisticsRow { ended_ms: at_ms, bytes: run.to_bytes_ended(at_ms), ..row(run) }
}

fn none_kept() -> Refusal {
    let message = "No statistics of that run of the room are kept.";
    Refusal::new(ErrorCode::RoomNotFound, message)
}

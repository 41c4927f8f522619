//! Statistics of the present run, at the origin: folds tallies of relays, decisions and speech into what the host
//! reads. Outside the state that decisions are tried on: it takes what is durable. Times are Unix milliseconds.
//!
//! * [`relays`](self::relays) — tallies and their sums; [`course`](self::course) — the course over time
//! * [`decided`](self::decided) — what moderators and the queue of hands have decided
//! * [`talk`](self::talk) — speech; [`report`](self::report) — the numbers as they are read

mod course;
mod decided;
mod relays;
mod report;
mod talk;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tribune_protocol::control::participant::Questions;
use tribune_protocol::domain::audience_text::{Question, QuestionId};
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{ByteString, Note, RoomName, TrackId};
use tribune_protocol::quality::Quality;
use tribune_protocol::statistics::MarkKind;
use tribune_protocol::statistics::tally::RelayTally;

use self::course::Course;
use self::decided::Decided;
pub(in crate::room) use self::decided::Fact;
use self::relays::Relays;
use self::talk::Talk;
use crate::room::persons::Persons;

/// Milliseconds from one writing of the statistics to the next while they change: with the way of a tally less than
/// the 5 s of a count that a crash may cost.
pub(super) const WRITE_PERIOD_MS: u64 = 3_000;

/// See the module's documentation.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::room) struct RunStatistics {
    room: RoomName,
    run: u32,
    title: Note,
    pinned: Note,
    began_ms: u64,
    ended_ms: Option<u64>,
    relays: Relays,
    #[serde(with = "as_sketch")]
    persons: Persons,
    course: Course,
    talk: Talk,
    stage: Vec<StageEntry>,
    listeners: u64,
    peak: u64,
    peak_at_ms: u64,
    /// Counts that the course has taken over.
    seen: Seen,
    decided: Decided,
    hands_up: u64,
    questions: Vec<Question>,
    interested: u64,
    quality: Quality,
    /// When it was written last, or changed.
    written_at_ms: u64,
    /// When it is to be written next.
    #[serde(skip)]
    write_at_ms: Option<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Seen {
    joins: u64,
    leaves: u64,
    reactions: u64,
    texts: u64,
}

impl RunStatistics {
    /// A run that begins now.
    pub(super) fn begin(room: RoomName, run: u32, interested: u64, at_ms: u64) -> Self {
        Self {
            room,
            run,
            title: Note::default(),
            pinned: Note::default(),
            began_ms: at_ms,
            ended_ms: None,
            relays: Relays::default(),
            persons: Persons::default(),
            course: Course::new(at_ms),
            talk: Talk::new(at_ms),
            stage: Vec::new(),
            listeners: 0,
            peak: 0,
            peak_at_ms: 0,
            seen: Seen::default(),
            decided: Decided::default(),
            hands_up: 0,
            questions: Vec::new(),
            interested,
            quality: Quality::default(),
            written_at_ms: at_ms,
            write_at_ms: Some(at_ms),
        }
    }

    /// A run as it was stored.
    ///
    /// # Errors
    /// A clause, if it cannot be read.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        ciborium::from_reader(bytes)
            .map_err(|error| format!("its statistics are unreadable: {error}"))
    }

    /// The run as it is stored.
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(8 * 1_024);
        match ciborium::into_writer(self, &mut out) {
            Ok(()) => Bytes::from(out),
            Err(error) => unreachable!("a vector takes all statistics: {error}"),
        }
    }

    /// The run as it is stored with the decision that ends it; what relays have not said yet comes with the next
    /// writing.
    pub(super) fn to_bytes_ended(&self, at_ms: u64) -> Bytes {
        match Self::from_bytes(&self.to_bytes()) {
            Ok(mut ended) => {
                ended.end(at_ms);
                ended.to_bytes()
            }
            Err(_) => self.to_bytes(),
        }
    }

    /// When it was written last.
    pub(super) const fn written_at_ms(&self) -> u64 {
        self.written_at_ms
    }

    /// Open questions with the most votes, as they were set last.
    pub(super) fn questions(&self) -> Questions {
        Questions { questions: self.questions.clone(), ..Questions::default() }
    }

    pub(super) const fn run(&self) -> u32 {
        self.run
    }

    pub(super) const fn began_ms(&self) -> u64 {
        self.began_ms
    }

    pub(super) const fn ended_ms(&self) -> Option<u64> {
        self.ended_ms
    }

    /// When [`Self::to_bytes`] is to be stored next.
    pub(super) const fn write_at_ms(&self) -> Option<u64> {
        self.write_at_ms
    }

    /// Notes that it is being stored. Those inside go on, so that it is not the last time while there are any.
    pub(super) fn note_written(&mut self, at_ms: u64) {
        let speech_ms = self.talk.complete((at_ms / 1_000).saturating_sub(talk::WAIT_S));
        self.add_speech(at_ms, speech_ms);
        let goes_on = self.ended_ms.is_none() && self.inside() > 0;
        self.write_at_ms = goes_on.then_some(at_ms + WRITE_PERIOD_MS);
        self.written_at_ms = at_ms;
    }

    /// Stored it has not been.
    pub(super) fn note_unwritten(&mut self, at_ms: u64) {
        self.write_at_ms.get_or_insert(at_ms + WRITE_PERIOD_MS);
    }

    /// Takes a tally of a relay of this run. Whether it counts.
    pub(super) fn take_tally(&mut self, at_ms: u64, tally: RelayTally) -> bool {
        if tally.run != self.run || !self.relays.take(at_ms, tally) {
            return false;
        }
        let (joins, reactions) = (self.relays.joins(), self.relays.reactions().values().sum());
        let texts = self.relays.texts();
        let seen = &mut self.seen;
        let bucket = self.course.bucket(at_ms);
        bucket.joins += joins.saturating_sub(seen.joins);
        bucket.reactions += reactions - seen.reactions.min(reactions);
        bucket.texts += texts.saturating_sub(seen.texts);
        (seen.joins, seen.reactions, seen.texts) = (joins, reactions, texts);
        self.count_leaves(at_ms);
        self.change(at_ms);
        true
    }

    /// Takes the sketch of persons at some relays. Whether it is one.
    pub(super) fn take_sketch(&mut self, at_ms: u64, sketch: &ByteString) -> bool {
        let merged = self.persons.merge(&sketch.0);
        if merged == Ok(true) {
            self.change(at_ms);
        }
        merged.is_ok()
    }

    /// Takes the speech of a second.
    pub(super) fn take_talk(&mut self, at_ms: u64, at_s: u64, tracks: BTreeMap<TrackId, u64>) {
        let speech_ms = self.talk.take(at_s, at_ms / 1_000, tracks);
        self.add_speech(at_ms, speech_ms);
    }

    /// Takes reports of quality.
    pub(super) fn take_quality(&mut self, quality: &Quality) {
        self.quality.merge(quality);
    }

    /// There are so many listeners now.
    pub(super) fn set_listeners(&mut self, at_ms: u64, listeners: u64) {
        if self.ended_ms.is_some() {
            return;
        }
        self.listeners = listeners;
        if listeners > self.peak {
            (self.peak, self.peak_at_ms) = (listeners, at_ms);
        }
        self.course.set_listeners(at_ms, listeners);
        self.change(at_ms);
    }

    /// Takes over the stage, the title and the pinned note.
    pub(super) fn set_stage(&mut self, at_ms: u64, stage: &[StageEntry]) {
        let is_on = |stage: &[StageEntry], one: &StageEntry| {
            stage.iter().any(|other| other.participant == one.participant)
        };
        for entry in stage.iter().filter(|entry| !is_on(&self.stage, entry)) {
            self.course.mark(at_ms, MarkKind::OnStage, Some(entry.name.clone()));
        }
        for entry in self.stage.iter().filter(|entry| !is_on(stage, entry)) {
            self.course.mark(at_ms, MarkKind::OffStage, Some(entry.name.clone()));
        }
        if stage != self.stage {
            self.talk.set_stage(stage);
            self.stage = stage.to_vec();
            self.change(at_ms);
        }
    }

    /// Takes over the title and the pinned note.
    pub(super) fn set_texts(&mut self, at_ms: u64, title: &Note, pinned: &Note) {
        if *pinned != self.pinned && !pinned.as_str().is_empty() {
            self.course.mark(at_ms, MarkKind::Pinned, None);
        }
        (self.title, self.pinned) = (title.clone(), pinned.clone());
    }

    /// Takes over the questions with the most votes, and how many hands are up.
    pub(super) fn set_open(&mut self, questions: Vec<Question>, hands_up: u64) {
        (self.questions, self.hands_up) = (questions, hands_up);
    }

    /// Takes a fact.
    pub(super) fn note(&mut self, at_ms: u64, fact: &Fact) {
        if *fact == Fact::HandRaised {
            self.course.bucket(at_ms).hands += 1;
        }
        if let Some((kind, name)) = self.decided.note(fact) {
            self.course.mark(at_ms, kind, name);
        }
        self.change(at_ms);
    }

    /// The run is over: nobody is inside any more.
    pub(super) fn end(&mut self, at_ms: u64) {
        if self.ended_ms.is_none() {
            self.set_stage(at_ms, &[]);
            self.listeners = 0;
            let speech_ms = self.talk.complete(u64::MAX);
            self.add_speech(at_ms, speech_ms);
            self.ended_ms = Some(at_ms);
            self.change(at_ms);
        }
    }

    /// Votes for each question.
    pub(super) fn votes(&self) -> BTreeMap<QuestionId, u64> {
        self.relays.votes()
    }

    /// Reactions by kind.
    pub(super) fn reactions(&self) -> BTreeMap<Reaction, u64> {
        self.relays.reactions()
    }

    /// Messages written.
    pub(super) fn texts(&self) -> u64 {
        self.relays.texts()
    }

    fn inside(&self) -> u64 {
        let on_stage = self.stage.iter().filter(|entry| !entry.away).count() as u64;
        self.listeners + on_stage
    }

    fn count_leaves(&mut self, at_ms: u64) {
        let leaves = self.relays.leaves().min(self.seen.joins);
        if leaves > self.seen.leaves {
            self.course.bucket(at_ms).leaves += leaves - self.seen.leaves;
            self.seen.leaves = leaves;
        }
    }

    fn add_speech(&mut self, at_ms: u64, speech_ms: u64) {
        if speech_ms > 0 {
            let bucket = self.course.bucket(at_ms);
            bucket.speech_ms = bucket.speech_ms.saturating_add(speech_ms as u32);
            self.change(at_ms);
        }
    }

    fn change(&mut self, at_ms: u64) {
        self.write_at_ms.get_or_insert(at_ms + WRITE_PERIOD_MS);
    }
}

/// A sketch as a byte string.
mod as_sketch {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tribune_protocol::ids::ByteString;

    use crate::room::persons::Persons;

    pub(super) fn serialize<S: Serializer>(
        persons: &Persons,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        ByteString(persons.to_bytes()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Persons, D::Error> {
        let bytes = ByteString::deserialize(deserializer)?;
        let mut persons = Persons::default();
        persons.merge(&bytes.0).map_err(D::Error::custom)?;
        Ok(persons)
    }
}

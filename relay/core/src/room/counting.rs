//! Counts of a room on their way: who comes and goes here, tallies and speech up to the origin, messages of the
//! audience up and down, questions down. Across the wings: the edge counts, the replica carries, the authority's
//! statistics add up. Borrowed from a [`Room`](super::Room) for one input.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{Questions, ToParticipant};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::domain::audience_text::{AudienceText, Question, QuestionId, TextId};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{ByteString, Channel, Note, ParticipantId, TrackId};
use tribune_protocol::limits::{MAX_STAGE, MAX_TEXTS_A_SAMPLE, TEXT_PERIOD};
use tribune_protocol::statistics::tally::RelayTally;

use super::authority::commit::Authority;
use super::context::RoomContext;
use super::edge::Edge;
use super::edge::counts::{Arrival, Counts};
use super::edge::join::Admission;
use super::edge::refusal::Refusal;
use super::edge::rights;
use super::replica::Replica;
use super::replica::audience_texts::TextNews;
use super::view::RoomView;
use crate::counters::Transport;
use crate::messages::{LinkId, RoomId};
use crate::outbox::{Noted, Outbox};

/// Parts of a room that counts go through.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    pub(super) now: Instant,
    pub(super) id: RoomId,
    pub(super) context: &'a RoomContext,
    pub(super) edge: &'a mut Edge,
    pub(super) replica: &'a mut Replica,
    pub(super) authority: Option<&'a mut Authority>,
}

impl Counting<'_> {
    /// Somebody has been let in.
    pub(super) fn arrive(&mut self, who: ParticipantId, admission: &Admission, out: &mut Outbox) {
        let share = admission.share.as_ref().and_then(|text| {
            let opened = text.open(self.replica.state().share_key.as_ref()?);
            if opened.is_err() {
                out.note(Noted::ShareRefused);
            }
            opened.ok()
        });
        let way = admission.way.or(Some(way_of(admission.transport)));
        if let Some(member) = self.edge.members_mut().get_mut(who) {
            member.set_came_by(share.clone());
            self.replica.tallies().add_person(&member.person().subject(who));
        }
        let arrival = Arrival { way, share, stayed: admission.stayed };
        let now = self.now;
        self.counts().arrive(now, who, arrival);
        self.send(out);
        let questions = self.replica.texts().questions();
        if *questions != Questions::default() {
            let message = ToParticipant::Questions(questions.clone());
            out.to_participant(admission.link, None, &message);
        }
    }

    /// Somebody who was in has left, or has lost the connection.
    pub(super) fn leave(&mut self, who: ParticipantId, is_lost: bool, out: &mut Outbox) {
        let now = self.now;
        self.counts().leave(now, who, is_lost);
        self.send(out);
    }

    /// A member writes a message to the stage.
    ///
    /// # Errors
    /// A refusal: no permission, a room without messages, no words, or too soon.
    pub(super) fn write(
        &mut self,
        who: ParticipantId,
        text: Note,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let is_open = self.replica.state().settings.texts;
        self.check_text(who, &text, Permission::Write, is_open)?;
        let Some(member) = self.edge.members().get(who) else { return Ok(()) };
        let name = member.name().clone();
        let counts = self.counts();
        counts.write();
        let id = text_id(counts, who);
        self.replica.texts().add(AudienceText { id, participant: who, name, text });
        out.note(Noted::Text);
        self.send(out);
        Ok(())
    }

    /// A member wants to ask a question: the origin decides, as far as this relay lets questions through.
    ///
    /// # Errors
    /// A refusal, as of [`Self::write`]; or this relay's questions come too fast.
    pub(super) fn check_question(
        &mut self,
        who: ParticipantId,
        text: &Note,
    ) -> Result<(), Refusal> {
        let is_open = self.replica.state().settings.questions;
        self.check_text(who, text, Permission::Ask, is_open)?;
        self.edge.question_pace().take(self.now)
    }

    /// A member votes for a question, or takes the vote back.
    ///
    /// # Errors
    /// A refusal: no permission, or no such question.
    pub(super) fn vote(
        &mut self,
        who: ParticipantId,
        question: QuestionId,
        on: bool,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let view = RoomView::new(self.replica, self.context);
        if !rights::may(view, who, self.edge.members().get(who)).contains(Permission::Vote) {
            let text = "You may not vote for questions in this room.";
            return Err(Refusal::new(ErrorCode::NotPermitted, text));
        }
        let is_open = |open: &&Question| open.question == question && !open.answered;
        // Of more questions than are shown, nobody can vote for the others.
        if self.replica.texts().questions().questions.iter().find(is_open).is_none() {
            let text = format!("Question {question} is not open.");
            return Err(Refusal::new(ErrorCode::BadRequest, text));
        }
        let Some(member) = self.edge.members().get(who) else { return Ok(()) };
        let key = member.person().subject_key();
        if self.counts().vote(key, question, on) {
            out.note(Noted::Vote);
            self.send(out);
        }
        Ok(())
    }

    /// A reaction of a member has been taken.
    pub(super) fn react(&mut self, reaction: Reaction, out: &mut Outbox) {
        self.counts().react(reaction);
        self.send(out);
    }

    /// Tally of a relay below.
    pub(crate) fn handle_tally(&mut self, tally: RelayTally, out: &mut Outbox) {
        let counts = match &mut self.authority {
            Some(authority) => authority.handle_tally(self.now, tally),
            None => {
                let run = self.replica.state().run;
                let takes = self.replica.tallies().take(tally.clone(), run);
                if let Some(channel) = self.replica.channel().filter(|_| takes) {
                    out.to_parent(&ToParent::Tally { channel, tally });
                }
                takes
            }
        };
        if !counts {
            out.note(Noted::TallyRefused);
        }
        self.send(out);
    }

    /// Sketch of persons at a relay below, and below that.
    pub(crate) fn handle_sketch(&mut self, sketch: &ByteString, out: &mut Outbox) {
        let is_one = match &mut self.authority {
            Some(authority) => authority.handle_sketch(self.now, sketch),
            None => self.replica.tallies().merge_persons(&sketch.0).is_ok(),
        };
        if !is_one {
            out.note(Noted::TallyRefused);
        }
        self.send(out);
    }

    /// Speech of one second, at this relay or one below.
    pub(crate) fn handle_talk(
        &mut self,
        at_s: u64,
        tracks: BTreeMap<TrackId, u64>,
        out: &mut Outbox,
    ) {
        if tracks.len() > MAX_STAGE {
            return out.note(Noted::TallyRefused);
        }
        match &mut self.authority {
            Some(authority) => authority.handle_talk(self.now, at_s, tracks),
            None => {
                if let Some(channel) = self.replica.channel() {
                    out.to_parent(&ToParent::Talk { channel, at_s, tracks });
                }
            }
        }
    }

    /// Messages of the audience at a relay below.
    pub(crate) fn handle_texts_below(&mut self, texts: Vec<AudienceText>, out: &mut Outbox) {
        for text in texts.into_iter().take(MAX_TEXTS_A_SAMPLE) {
            self.replica.texts().add(text);
        }
        self.send(out);
    }

    /// Messages of the whole tree, from the parent.
    pub(crate) fn handle_texts(
        &mut self,
        total: u64,
        texts: Vec<AudienceText>,
        hidden: Vec<TextId>,
        out: &mut Outbox,
    ) {
        self.spread_texts(&TextNews { total, texts, hidden }, out);
    }

    /// Questions and totals, from the parent.
    pub(crate) fn handle_questions(&mut self, questions: Questions, out: &mut Outbox) {
        for (link, channel) in self.replica.channels_below() {
            out.to_child(link, &ToChild::Questions { channel, questions: questions.clone() });
        }
        let message = ToParticipant::Questions(questions.clone());
        out.to_participants(self.id, self.replica.shards(), &message);
        self.replica.texts().set_questions(questions);
    }

    /// A message is hidden from now on; at the origin.
    pub(super) fn hide_text(&mut self, text: TextId, out: &mut Outbox) {
        self.replica.texts().hide(text);
        self.send(out);
    }

    /// A relay below has subscribed: it is told the questions.
    pub(super) fn greet(&mut self, link: LinkId, channel: Channel, out: &mut Outbox) {
        let questions = self.replica.texts().questions();
        if *questions != Questions::default() {
            out.to_child(link, &ToChild::Questions { channel, questions: questions.clone() });
        }
    }

    /// There is a new parent, which knows nothing.
    pub(super) fn begin_anew(&mut self, channel: Channel, out: &mut Outbox) {
        let run = self.replica.state().run;
        self.replica.tallies().begin_anew(channel, run, out);
        self.counts().note_unsent();
        self.send(out);
    }

    /// Takes over a state: another run begins to be counted, or the present one ends and is counted to its end.
    pub(super) fn follow_state(&mut self, was: Phase, out: &mut Outbox) {
        let state = self.replica.state();
        if state.phase == Phase::Live && self.edge.counts().run() != state.run {
            let (run, life) = (state.run, self.context.wall.unix_us(self.now) / 1_000);
            *self.edge.counts() = Counts::new(self.now, life, run);
            self.replica.begin_run();
        }
        if was == Phase::Live && self.replica.state().phase != Phase::Live {
            let now = self.now;
            self.counts().leave_all(now);
            self.send_tally(out);
            self.send_sketch(out);
        }
    }

    /// Sends on what is due.
    pub(super) fn send(&mut self, out: &mut Outbox) {
        let tally = tally_due(self.edge, self.replica, self.authority.is_some());
        if tally.is_some_and(|due| due <= self.now) {
            self.send_tally(out);
        }
        let has_way = self.authority.is_some() || self.replica.channel().is_some();
        let sketch = self.replica.tallies().sketch_due(self.now);
        if sketch.is_some_and(|due| due <= self.now) && has_way {
            self.send_sketch(out);
        }
        let total = self.authority.as_ref().map(|authority| authority.texts());
        if let Some(news) = self.replica.texts().take_due(self.now, total) {
            match (&self.authority, self.replica.channel()) {
                (Some(_), _) => self.spread_texts(&news, out),
                (None, Some(channel)) => {
                    out.to_parent(&ToParent::Texts { channel, texts: news.texts });
                }
                // Without a way to the stage they are counted, and not shown.
                (None, None) => {}
            }
        }
        let now = self.now;
        if let Some(questions) = self.authority.as_mut().and_then(|it| it.poll_questions(now)) {
            self.handle_questions(questions, out);
        }
    }

    fn send_tally(&mut self, out: &mut Outbox) {
        let now = self.now;
        let (relay, name) = (self.context.relay, self.context.name.clone());
        let tally = self.counts().tally(now, relay, name);
        let pieces = self.replica.tallies().send(now, tally);
        for tally in pieces {
            match (&mut self.authority, self.replica.channel()) {
                (Some(authority), _) => {
                    authority.handle_tally(now, tally);
                }
                (None, Some(channel)) => out.to_parent(&ToParent::Tally { channel, tally }),
                (None, None) => {}
            }
        }
    }

    fn send_sketch(&mut self, out: &mut Outbox) {
        let Some(sketch) = self.replica.tallies().take_sketch(self.now) else { return };
        match (&mut self.authority, self.replica.channel()) {
            (Some(authority), _) => {
                authority.handle_sketch(self.now, &sketch);
            }
            (None, Some(channel)) => out.to_parent(&ToParent::Sketch { channel, sketch }),
            (None, None) => {}
        }
    }

    /// Sends messages down: the total to everybody, the messages to those who may see them.
    fn spread_texts(&mut self, news: &TextNews, out: &mut Outbox) {
        let TextNews { total, texts, hidden } = news;
        for (link, channel) in self.replica.channels_below() {
            let (total, texts, hidden) = (*total, texts.clone(), hidden.clone());
            out.to_child(link, &ToChild::Texts { channel, total, texts, hidden });
        }
        let everybody =
            ToParticipant::Texts { total: *total, texts: Vec::new(), hidden: Vec::new() };
        out.to_participants(self.id, self.replica.shards(), &everybody);
        if texts.is_empty() && hidden.is_empty() {
            return;
        }
        let message =
            ToParticipant::Texts { total: *total, texts: texts.clone(), hidden: hidden.clone() };
        let view = RoomView::new(self.replica, self.context);
        // Beside the stage, those who moderate it: they have acted.
        for (who, member) in self.edge.members().iter().filter(|(_, member)| member.is_in()) {
            let moderates = || {
                member.has_acted()
                    && rights::may(view, who, Some(member)).contains(Permission::HideText)
            };
            if view.state.on_stage(who).is_some() || moderates() {
                out.to_participant(member.link(), None, &message);
            }
        }
    }

    fn check_text(
        &mut self,
        who: ParticipantId,
        text: &Note,
        permission: Permission,
        is_open: bool,
    ) -> Result<(), Refusal> {
        let view = RoomView::new(self.replica, self.context);
        if !rights::may(view, who, self.edge.members().get(who)).contains(permission) {
            let text = format!("You may not {} in this room.", permission.infinitive());
            return Err(Refusal::new(ErrorCode::NotPermitted, text));
        }
        if !is_open {
            let text = "This room does not take that from its audience.";
            return Err(Refusal::new(ErrorCode::BadRequest, text));
        }
        if text.as_str().trim().is_empty() {
            return Err(Refusal::new(ErrorCode::BadRequest, "A message needs words."));
        }
        let slow = Duration::from_secs(self.replica.state().settings.text_slow_s.into());
        let now = self.now;
        let Some(member) = self.edge.members_mut().get_mut(who) else { return Ok(()) };
        member.write(now, slow.max(TEXT_PERIOD)).map_err(|next| {
            let wait_s = (next - now).as_secs_f64().ceil();
            let text = format!("The next message can be sent in {wait_s} s.");
            Refusal::new(ErrorCode::SlowMode, text)
        })
    }

    /// The counts, which begin with the first that there is to count.
    fn counts(&mut self) -> &mut Counts {
        self.edge.counts()
    }
}

/// When to call [`Counting::send`] next.
pub(super) fn due(
    edge: &Edge,
    replica: &Replica,
    authority: Option<&Authority>,
) -> Option<Instant> {
    let epoch = edge.counted().epoch();
    let total = authority.map(Authority::texts);
    let questions = authority.and_then(|authority| authority.questions_due(epoch));
    let texts = replica.texts_waiting().due(epoch, total);
    let has_way = authority.is_some() || replica.channel().is_some();
    let sketch = replica.tallies_sent().sketch_due(epoch).filter(|_| has_way);
    let tally = tally_due(edge, replica, authority.is_some());
    [tally, sketch, texts, questions].into_iter().flatten().min()
}

/// When the own tally is to be sent; never without a way to the origin.
fn tally_due(edge: &Edge, replica: &Replica, is_origin: bool) -> Option<Instant> {
    if !is_origin && replica.channel().is_none() {
        return None;
    }
    let counts = edge.counted();
    replica.tallies_sent().due(counts.epoch(), counts.has_changed(), counts.runs_on())
}

/// Way of arrival that a connection tells by itself.
const fn way_of(transport: Transport) -> Way {
    match transport {
        Transport::Quic => Way::CommandLine,
        Transport::WebTransport | Transport::WebSocket => Way::Browser,
    }
}

/// Id of a message: nobody can choose it, so that samples are fair.
fn text_id(counts: &Counts, who: ParticipantId) -> TextId {
    let (life, texts) = counts.text_seed();
    let mut hash = Context::new(&SHA256);
    hash.update(b"tribune text");
    hash.update(&life.to_be_bytes());
    hash.update(&texts.to_be_bytes());
    hash.update(&who.0.to_be_bytes());
    let hash = hash.finish();
    TextId(hash.as_ref().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
}

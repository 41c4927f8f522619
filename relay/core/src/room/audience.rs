//! Messages, questions and votes of the audience: taken here, carried up, spread down. The other half of
//! [`Counting`].

use std::time::Duration;

use ring::digest::{Context, SHA256};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{Questions, ToParticipant};
use tribune_protocol::control::trunk::ToChild;
use tribune_protocol::domain::audience_text::{AudienceText, Question, QuestionId, TextId};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::ids::{Channel, Note, ParticipantId};
use tribune_protocol::limits::{MAX_TEXTS_A_SAMPLE, TEXT_PERIOD};

use super::counting::Counting;
use super::edge::counts::Counts;
use super::edge::refusal::Refusal;
use super::edge::rights;
use super::replica::audience_texts::TextNews;
use super::view::RoomView;
use crate::messages::LinkId;
use crate::outbox::{Noted, Outbox};

impl Counting<'_> {
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

    /// Sends messages down: the total to everybody, the messages to those who may see them.
    pub(super) fn spread_texts(&mut self, news: &TextNews, out: &mut Outbox) {
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

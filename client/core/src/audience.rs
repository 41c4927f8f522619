//! Texts of the audience as far as they are known: the last messages, the questions with the most votes, totals.
//! Pure; part of [`crate::room_view`].

use std::collections::VecDeque;

use tribune_protocol::control::participant::Questions;
use tribune_protocol::domain::audience_text::{AudienceText, Question, QuestionId, TextId};

use crate::change::Change;

/// Messages that are kept: more than a screen shows.
const TEXTS_MAX: usize = 100;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Audience {
    texts: VecDeque<AudienceText>,
    texts_total: u64,
    questions: Questions,
    /// The latest question that has been told of.
    asked_to: Option<QuestionId>,
}

impl Audience {
    /// The last messages, oldest first; none without the permission to see them.
    pub fn texts(&self) -> impl DoubleEndedIterator<Item = &AudienceText> + ExactSizeIterator {
        self.texts.iter()
    }

    /// Messages in the whole run.
    #[must_use]
    pub const fn texts_total(&self) -> u64 {
        self.texts_total
    }

    /// Questions with the most votes, and totals.
    #[must_use]
    pub const fn questions(&self) -> &Questions {
        &self.questions
    }

    /// A message that is known.
    #[must_use]
    pub fn text(&self, message: TextId) -> Option<&AudienceText> {
        self.texts.iter().find(|text| text.id == message)
    }

    /// Takes new messages, and those that have been hidden.
    pub(crate) fn handle_texts(
        &mut self,
        total: u64,
        texts: &[AudienceText],
        hidden: &[TextId],
        changes: &mut Vec<Change>,
    ) {
        for text in texts {
            if self.text(text.id).is_some() || hidden.contains(&text.id) {
                continue;
            }
            changes.push(Change::Text {
                message: text.id,
                participant: text.participant,
                name: text.name.clone(),
                text: text.text.clone(),
            });
            if self.texts.len() == TEXTS_MAX {
                self.texts.pop_front();
            }
            self.texts.push_back(text.clone());
        }
        for message in hidden {
            let before = self.texts.len();
            self.texts.retain(|text| text.id != *message);
            if self.texts.len() < before {
                changes.push(Change::TextHidden { message: *message });
            }
        }
        if total != self.texts_total {
            self.texts_total = total;
            changes.push(Change::TextTotal { total });
        }
    }

    /// Takes the questions as they are now.
    pub(crate) fn handle_questions(&mut self, questions: &Questions, changes: &mut Vec<Change>) {
        if *questions == self.questions {
            return;
        }
        let told = self.asked_to;
        // One with more votes than before can be new in the message without being new in the room.
        let mut new: Vec<&Question> = questions
            .questions
            .iter()
            .filter(|question| told.is_none_or(|told| question.question > told))
            .collect();
        new.sort_by_key(|question| question.question);
        for Question { question, participant, name, text, .. } in new {
            let (question, participant) = (*question, *participant);
            let (name, text) = (name.clone(), text.clone());
            changes.push(Change::Asked { question, participant, name, text });
            self.asked_to = Some(question);
        }
        for Question { question, text, .. } in questions.questions.iter().filter(|q| q.answered) {
            let was = self.questions.questions.iter().find(|before| before.question == *question);
            if was.is_some_and(|before| !before.answered) {
                changes.push(Change::Answered { question: *question, text: text.clone() });
            }
        }
        changes.push(Change::Totals {
            open: questions.open,
            votes: questions.votes,
            reactions: questions.reactions.clone(),
            questions: questions.questions.clone(),
        });
        self.questions = questions.clone();
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::ids::ParticipantId;

    use super::*;

    fn text(id: u64) -> AudienceText {
        let (name, text) = ("Eve".parse().unwrap(), format!("text {id}").parse().unwrap());
        AudienceText { id: TextId(id), participant: ParticipantId(5), name, text }
    }

    fn question(number: u32, votes: u64, answered: bool) -> Question {
        let (name, text) = ("Eve".parse().unwrap(), format!("why {number}?").parse().unwrap());
        let question = QuestionId(number);
        Question { question, participant: ParticipantId(5), name, text, votes, answered }
    }

    fn lines(changes: Vec<Change>) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn messages_are_told_once_kept_within_bounds_and_hidden() {
        let mut audience = Audience::default();
        let mut changes = Vec::new();
        audience.handle_texts(2, &[text(1), text(2)], &[], &mut changes);
        audience.handle_texts(2, &[text(2)], &[], &mut changes);
        audience.handle_texts(3, &[text(3)], &[TextId(1), TextId(3), TextId(9)], &mut changes);
        let expected = [
            "Eve writes: text 1",
            "Eve writes: text 2",
            "2 messages in all",
            "message 0000000000000001 is hidden",
            "3 messages in all",
        ];
        assert_eq!(lines(changes), expected);
        assert_eq!(audience.texts().map(|text| text.id.0).collect::<Vec<_>>(), [2]);
        for id in 10..500 {
            audience.handle_texts(id, &[text(id)], &[], &mut Vec::new());
        }
        assert_eq!(audience.texts().len(), TEXTS_MAX);
        assert_eq!(audience.texts().next_back().map(|text| text.id), Some(TextId(499)));
    }

    #[test]
    fn a_question_is_told_once_and_when_it_is_answered() {
        let mut audience = Audience::default();
        let mut told = |questions: Vec<Question>, votes| {
            let questions = Questions { questions, open: 2, votes, ..Questions::default() };
            let mut changes = Vec::new();
            audience.handle_questions(&questions, &mut changes);
            lines(changes)
        };
        let first = told(vec![question(2, 4, false), question(1, 0, false)], 4);
        let asked = |n| format!("Eve asks (question {n}): why {n}?");
        assert_eq!(first, [asked(1), asked(2), "2 open questions, 4 votes".to_owned()]);
        let same = told(vec![question(2, 4, false), question(1, 0, false)], 4);
        assert!(same.is_empty(), "{same:?}");
        let third = told(vec![question(3, 9, false), question(2, 4, true)], 13);
        let answered = "question 2 is answered: why 2?".to_owned();
        assert_eq!(third, [asked(3), answered, "2 open questions, 13 votes".to_owned()]);
        let back = told(vec![question(3, 9, false), question(1, 9, false)], 22);
        assert_eq!(back, ["2 open questions, 22 votes"], "the first is not new");
    }
}

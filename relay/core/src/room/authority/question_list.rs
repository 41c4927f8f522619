//! Questions of the audience in the present run: asked, answered, hidden. Votes are counted at the edges and come
//! with their tallies.

use std::collections::BTreeMap;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::Questions;
use tribune_protocol::domain::audience_text::{Question, QuestionId};
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId};
use tribune_protocol::limits::{MAX_QUESTIONS, MAX_QUESTIONS_SHOWN};

use super::effect::Refusal;

/// Open questions of one participant: one who asks more waits for an answer first.
const MAX_OPEN_A_PARTICIPANT: usize = 3;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(in crate::room) struct QuestionList {
    open: Vec<Question>,
    /// The one answered last: the stage is talking about it.
    answered: Option<Question>,
    last: u32,
    /// Votes, as the edges have counted them.
    votes: BTreeMap<QuestionId, u64>,
}

impl QuestionList {
    /// Questions as they were stored, their votes as they were then.
    pub(super) fn restored(questions: Vec<Question>) -> Self {
        let last = questions.iter().map(|question| question.question.0).max().unwrap_or(0);
        let (answered, open): (Vec<_>, Vec<_>) =
            questions.into_iter().partition(|question| question.answered);
        Self { open, answered: answered.into_iter().last(), last, votes: BTreeMap::new() }
    }

    /// Takes a question. The one with the fewest votes makes room, a later one before an earlier one.
    ///
    /// # Errors
    /// [`ErrorCode::QueueFull`], if the participant has enough open ones.
    pub(super) fn ask(
        &mut self,
        who: ParticipantId,
        name: DisplayName,
        text: Note,
    ) -> Result<QuestionId, Refusal> {
        let own = self.open.iter().filter(|question| question.participant == who).count();
        if own >= MAX_OPEN_A_PARTICIPANT {
            let message = format!("{MAX_OPEN_A_PARTICIPANT} questions of yours are open already.");
            return Err(Refusal::new(ErrorCode::QueueFull, message));
        }
        if self.open.len() >= MAX_QUESTIONS {
            let least =
                self.open.iter().enumerate().min_by_key(|(at, question)| {
                    (self.votes_for(question), std::cmp::Reverse(*at))
                });
            if let Some(at) = least.map(|(at, _)| at) {
                self.open.remove(at);
            }
        }
        self.last += 1;
        let question = QuestionId(self.last);
        self.open.push(Question {
            question,
            participant: who,
            name,
            text,
            votes: 0,
            answered: false,
        });
        Ok(question)
    }

    /// Closes a question. Gives it.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], if it is not open.
    pub(super) fn close(&mut self, id: QuestionId, answered: bool) -> Result<Question, Refusal> {
        let found = self.open.iter().position(|question| question.question == id);
        let Some(at) = found else {
            return Err(Refusal::bad_request(format!("Question {id} is not open.")));
        };
        let question = self.open.remove(at);
        if answered {
            self.answered = Some(Question { answered: true, ..question.clone() });
        }
        Ok(question)
    }

    /// Takes over the votes that the edges have counted.
    pub(super) fn set_votes(&mut self, votes: BTreeMap<QuestionId, u64>) {
        self.votes = votes;
    }

    /// The list as everybody sees it: the most votes first, an earlier one before a later one.
    pub(super) fn message(&self, reactions: BTreeMap<Reaction, u64>) -> Questions {
        let with_votes =
            |question: &Question| Question { votes: self.votes_for(question), ..question.clone() };
        let mut questions: Vec<Question> = self.open.iter().map(with_votes).collect();
        questions.sort_by(|a, b| b.votes.cmp(&a.votes).then(a.question.0.cmp(&b.question.0)));
        questions.truncate(MAX_QUESTIONS_SHOWN - usize::from(self.answered.is_some()));
        questions.extend(self.answered.as_ref().map(with_votes));
        Questions {
            questions,
            open: u32::try_from(self.open.len()).unwrap_or(u32::MAX),
            votes: self.votes.values().sum(),
            reactions,
        }
    }

    fn votes_for(&self, question: &Question) -> u64 {
        self.votes.get(&question.question).copied().unwrap_or(0).max(question.votes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(list: &mut QuestionList, who: u64) -> QuestionId {
        let (name, text) = ("Ada".parse().unwrap(), "Why?".parse().unwrap());
        list.ask(ParticipantId(who), name, text).unwrap()
    }

    #[test]
    fn the_most_votes_come_first_and_the_fewest_make_room() {
        let mut list = QuestionList::default();
        for who in 0..MAX_QUESTIONS as u64 {
            ask(&mut list, who);
        }
        let votes = (1..MAX_QUESTIONS as u32).map(|id| (QuestionId(id), u64::from(id))).collect();
        // The last one has no vote.
        list.set_votes(votes);
        let newest = ask(&mut list, 1_000);
        let is_open = |list: &QuestionList, id| list.open.iter().any(|open| open.question == id);
        assert!(!is_open(&list, QuestionId(MAX_QUESTIONS as u32)));
        assert!(is_open(&list, newest));
        let message = list.message(BTreeMap::new());
        assert_eq!(message.questions.len(), MAX_QUESTIONS_SHOWN);
        assert_eq!(message.questions[0].question, QuestionId(MAX_QUESTIONS as u32 - 1));
        assert_eq!(message.open as usize, MAX_QUESTIONS);
    }

    #[test]
    fn one_participant_has_three_at_most_and_an_answered_one_is_shown() {
        let mut list = QuestionList::default();
        let first = ask(&mut list, 1);
        ask(&mut list, 1);
        ask(&mut list, 1);
        let (name, text) = ("Ada".parse().unwrap(), "Why?".parse().unwrap());
        assert!(list.ask(ParticipantId(1), name, text).is_err());
        list.close(first, true).unwrap();
        assert!(list.close(first, true).is_err());
        let questions = list.message(BTreeMap::new()).questions;
        assert_eq!((questions.len(), questions[2].answered), (3, true));
    }
}

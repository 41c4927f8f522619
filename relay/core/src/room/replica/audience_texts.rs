//! Messages of the audience on their way to the origin and back: a fair sample of each period, with the smallest of
//! their random ids, which merges in any order; and the questions that everybody was told last. Part of
//! [`crate::room::replica::Replica`].

use std::collections::BTreeMap;
use std::time::Instant;

use tribune_protocol::control::participant::Questions;
use tribune_protocol::domain::audience_text::{AudienceText, TextId};
use tribune_protocol::limits::{MAX_TEXTS_A_SAMPLE, TALLY_PERIOD};

/// Hidden messages named at once: a moderator's busy second.
const MAX_HIDDEN: usize = 64;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct AudienceTexts {
    waiting: BTreeMap<TextId, AudienceText>,
    hidden: Vec<TextId>,
    /// Total, as the relays below and the participants were told last.
    told: u64,
    send_from: Option<Instant>,
    questions: Questions,
}

/// Messages to be sent on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TextNews {
    /// Messages in the whole run; as known at the origin.
    pub(crate) total: u64,
    /// The sample.
    pub(crate) texts: Vec<AudienceText>,
    /// Messages that have been hidden.
    pub(crate) hidden: Vec<TextId>,
}

impl AudienceTexts {
    /// Adds a message. Of more than a sample, those with the smallest ids stay.
    pub(crate) fn add(&mut self, text: AudienceText) {
        self.waiting.insert(text.id, text);
        if self.waiting.len() > MAX_TEXTS_A_SAMPLE {
            self.waiting.pop_last();
        }
    }

    /// Hides a message.
    pub(crate) fn hide(&mut self, text: TextId) {
        self.waiting.remove(&text);
        if self.hidden.len() < MAX_HIDDEN {
            self.hidden.push(text);
        }
    }

    /// When something is to be sent on, with so many messages in all; elsewhere than at the origin that is not known.
    /// The first ones from `epoch` on.
    pub(crate) fn due(&self, epoch: Instant, total: Option<u64>) -> Option<Instant> {
        let is_news = !self.waiting.is_empty()
            || !self.hidden.is_empty()
            || total.is_some_and(|total| total != self.told);
        is_news.then(|| self.send_from.unwrap_or(epoch))
    }

    /// News to be sent on, if it is time.
    pub(crate) fn take_due(&mut self, now: Instant, total: Option<u64>) -> Option<TextNews> {
        self.due(now, total).filter(|due| *due <= now)?;
        self.send_from = Some(now + TALLY_PERIOD);
        self.told = total.unwrap_or(self.told);
        Some(TextNews {
            total: self.told,
            texts: std::mem::take(&mut self.waiting).into_values().collect(),
            hidden: std::mem::take(&mut self.hidden),
        })
    }

    /// Questions as everybody was told last.
    pub(crate) const fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Notes the questions that everybody is told.
    pub(crate) fn set_questions(&mut self, questions: Questions) {
        self.questions = questions;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tribune_protocol::ids::ParticipantId;

    use super::*;

    fn text(id: u64) -> AudienceText {
        AudienceText {
            id: TextId(id),
            participant: ParticipantId(id),
            name: "Ada".parse().unwrap(),
            text: "Hello".parse().unwrap(),
        }
    }

    proptest! {
        /// A sample of samples is the sample of all, however they are spread over relays.
        #[test]
        fn samples_merge_in_any_order(ids in proptest::collection::btree_set(any::<u64>(), 1..200), relays in 1_usize..6) {
            let now = Instant::now();
            let mut below: Vec<AudienceTexts> = (0..relays).map(|_| AudienceTexts::default()).collect();
            for (at, id) in ids.iter().enumerate() {
                below[at % relays].add(text(*id));
            }
            let mut above = AudienceTexts::default();
            for relay in &mut below {
                for text in relay.take_due(now, None).map(|news| news.texts).unwrap_or_default() {
                    above.add(text);
                }
            }
            let sample: Vec<u64> =
                above.take_due(now, Some(1)).unwrap().texts.iter().map(|text| text.id.0).collect();
            let all: Vec<u64> = ids.into_iter().take(MAX_TEXTS_A_SAMPLE).collect();
            prop_assert_eq!(sample, all);
        }
    }

    #[test]
    fn news_keep_their_distance_and_a_hidden_message_is_not_sent() {
        let now = Instant::now();
        let mut texts = AudienceTexts::default();
        texts.add(text(1));
        texts.add(text(2));
        texts.hide(TextId(1));
        let news = texts.take_due(now, Some(2)).unwrap();
        assert_eq!((news.total, news.texts.len(), news.hidden), (2, 1, vec![TextId(1)]));
        texts.add(text(3));
        assert_eq!(texts.take_due(now, Some(3)), None);
        assert_eq!(texts.due(now, Some(3)), Some(now + TALLY_PERIOD));
        assert!(texts.take_due(now + TALLY_PERIOD, Some(3)).is_some());
        assert_eq!(texts.due(now + 2 * TALLY_PERIOD, Some(3)), None);
    }
}

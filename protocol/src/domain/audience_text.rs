//! Texts of the audience: short messages to the stage, and questions that listeners vote for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::settings::is_default;
use crate::ids::{DisplayName, InvalidName, Note, ParticipantId};

/// Id of a message: random, so that the smallest ids of many messages are a fair sample of them. Written as 16
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextId(pub u64);

/// Number of a question in its run of the room, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuestionId(pub u32);

/// A message of the audience to the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceText {
    /// The message.
    #[serde(rename = "message")]
    pub id: TextId,
    /// Its writer.
    pub participant: ParticipantId,
    /// The writer's name.
    pub name: DisplayName,
    /// The text.
    pub text: Note,
}

/// A question of the audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The question.
    pub question: QuestionId,
    /// Its writer.
    pub participant: ParticipantId,
    /// The writer's name.
    pub name: DisplayName,
    /// The text.
    pub text: Note,
    /// Votes in the whole tree.
    pub votes: u64,
    /// Whether the stage has answered it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub answered: bool,
}

impl fmt::Display for TextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TextId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let id: Result<ParticipantId, _> = text.parse();
        id.map(|id| Self(id.0))
            .map_err(|_| InvalidName::new("message", text, "is not 16 hexadecimal digits"))
    }
}

impl fmt::Display for QuestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

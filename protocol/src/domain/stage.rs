//! The stage, and the hands raised to get there.

use serde::{Deserialize, Serialize};

use super::role::Role;
use crate::ids::{DisplayName, Note, ParticipantId, TrackId};

/// Somebody on the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEntry {
    /// Who.
    pub participant: ParticipantId,
    /// What they are called.
    pub name: DisplayName,
    /// Their role; never [`Role::Listener`].
    pub role: Role,
    /// The track that carries their audio.
    pub track: TrackId,
    /// A moderator silenced them: every relay drops their frames.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silenced: bool,
    /// They say that their microphone is off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
    /// Their connection is gone; the place is kept for a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
}

/// A raised hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hand {
    /// Whose.
    pub participant: ParticipantId,
    /// What they are called.
    pub name: DisplayName,
    /// What they want to say; may be empty.
    #[serde(default)]
    pub note: Note,
    /// How long it has been up, in seconds, when this was sent.
    pub waiting_s: u32,
}

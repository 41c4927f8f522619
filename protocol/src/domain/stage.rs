//! The stage, and the hands raised to get there.

use serde::{Deserialize, Serialize};

use super::role::Role;
use crate::ids::{DisplayName, Note, ParticipantId, TrackId};

/// A participant on the stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageEntry {
    /// The participant.
    pub participant: ParticipantId,
    /// Their name.
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
    /// The participant.
    pub participant: ParticipantId,
    /// Their name.
    pub name: DisplayName,
    /// The note on it; may be empty.
    #[serde(default)]
    pub note: Note,
    /// Seconds since it was raised, at the time of sending.
    pub waiting_s: u32,
}

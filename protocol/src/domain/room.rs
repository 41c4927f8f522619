//! State of a room, and its place in a list of rooms.

use serde::{Deserialize, Serialize};

use super::key::LogPublicKey;
use super::settings::{RoomSettings, is_default};
use super::share::ShareKey;
use super::stage::StageEntry;
use crate::ids::{DisplayName, Note, ParticipantId, RoomName};

/// Phase of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody has opened or announced it.
    Absent,
    /// It has been created ahead of time, and nobody has opened it yet.
    Announced,
    /// It is on.
    Live,
    /// The host ended it, or it stayed empty.
    Ended,
}

/// The state of a room that every relay of it holds, as its origin says. Sent whole at each change:
/// it grows with the stage, not with the audience. The origin's decisions about single
/// persons come apart from it, as [`Ruling`](super::ruling::Ruling)s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomState {
    /// The room's name.
    pub room: RoomName,
    /// The phase.
    pub phase: Phase,
    /// Participants with the right to speak, by track; at most 32.
    pub stage: Vec<StageEntry>,
    /// The settings.
    #[serde(default, skip_serializing_if = "is_default")]
    pub settings: RoomSettings,
    /// The origin's key, which signs the log and invitations. Ed25519, 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<LogPublicKey>,
    /// The key of the room's share links. Stays between relays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_key: Option<ShareKey>,
    /// Name of the host, or of who announced the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<DisplayName>,
    /// Number of the room's runs, the present one included.
    #[serde(default, skip_serializing_if = "is_default")]
    pub run: u32,
}

impl RoomState {
    /// A room that nobody has opened.
    #[must_use]
    pub fn absent(room: RoomName) -> Self {
        let (phase, settings) = (Phase::Absent, RoomSettings::default());
        Self {
            room,
            phase,
            stage: Vec::new(),
            settings,
            key: None,
            share_key: None,
            host: None,
            run: 0,
        }
    }

    /// The stage entry of a participant.
    #[must_use]
    pub fn on_stage(&self, participant: ParticipantId) -> Option<&StageEntry> {
        self.stage.iter().find(|entry| entry.participant == participant)
    }
}

/// A room in a list of rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Its name.
    pub room: RoomName,
    /// The phase.
    pub phase: Phase,
    /// The title.
    #[serde(default)]
    pub title: Note,
    /// The planned beginning, seconds since the Unix epoch; 0: none.
    #[serde(default)]
    pub starts_s: u64,
    /// The planned duration, in seconds; 0: not said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub duration_s: u32,
    /// Name of the host, or of who announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<DisplayName>,
    /// Participants not on the stage.
    #[serde(default)]
    pub listeners: u64,
}

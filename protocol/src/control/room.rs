//! What both sides of a control stream say about a room.

use serde::{Deserialize, Serialize};

use crate::ids::{DisplayName, InvalidName, Note, ParticipantId, RoleName, RoomName, TrackId};

/// A named set of permissions. What each may do stands in the origin's policy table; a participant is
/// told its own permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "RoleName", into = "RoleName")]
pub enum Role {
    /// Governs the room. There is one.
    Host,
    /// Governs the room beside the host, but not the host.
    Cohost,
    /// May speak.
    Speaker,
    /// Listens, and may raise a hand.
    Listener,
    /// A role that an operator has defined.
    Custom(RoleName),
}

impl Role {
    /// The role as it is written on the wire and on the command line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Host => "host",
            Self::Cohost => "cohost",
            Self::Speaker => "speaker",
            Self::Listener => "listener",
            Self::Custom(name) => name.as_str(),
        }
    }

    /// Whether the role has the right to speak, and so a track.
    #[must_use]
    pub const fn speaks(self) -> bool {
        match self {
            Self::Host | Self::Cohost | Self::Speaker => true,
            Self::Listener | Self::Custom(_) => false,
        }
    }

    /// Whether the role sees the queue of hands and moderates.
    #[must_use]
    pub const fn moderates(self) -> bool {
        match self {
            Self::Host | Self::Cohost => true,
            Self::Speaker | Self::Listener | Self::Custom(_) => false,
        }
    }
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name.as_str() {
            "host" => Self::Host,
            "cohost" => Self::Cohost,
            "speaker" => Self::Speaker,
            "listener" => Self::Listener,
            _ => Self::Custom(name),
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Custom(name) => name,
            Role::Host | Role::Cohost | Role::Speaker | Role::Listener => {
                Self::of_static(role.as_str())
            }
        }
    }
}

impl std::str::FromStr for Role {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse::<RoleName>().map(Self::from)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

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

/// Whether a room is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody has opened it.
    Absent,
    /// It is on.
    Live,
    /// The host ended it, or it stayed empty.
    Ended,
}

/// The state of a room that every relay of it holds, as its origin says. Sent whole at each change:
/// it grows with the stage, not with the audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomState {
    /// The room's name.
    pub room: RoomName,
    /// Whether it is there.
    pub phase: Phase,
    /// Who has the right to speak, by track; at most 32.
    pub stage: Vec<StageEntry>,
    /// Who may not come in, after a kick; at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barred: Vec<ParticipantId>,
}

impl RoomState {
    /// A room that nobody has opened.
    #[must_use]
    pub const fn absent(room: RoomName) -> Self {
        Self { room, phase: Phase::Absent, stage: Vec::new(), barred: Vec::new() }
    }

    /// The stage entry of a participant.
    #[must_use]
    pub fn on_stage(&self, participant: ParticipantId) -> Option<&StageEntry> {
        self.stage.iter().find(|entry| entry.participant == participant)
    }
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

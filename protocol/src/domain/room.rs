//! What both sides of a control stream say about a room.

use serde::{Deserialize, Serialize};

use crate::control::command::Target;
use crate::control::participant::Moderated;
pub use crate::domain::access::Access;
use crate::domain::permission::PermissionSet;
use crate::domain::person::PersonKey;
use crate::ids::{DisplayName, InvalidName, Note, ParticipantId, RoleName, RoomName, TrackId};
use crate::limits::MAX_STAGE;
use crate::log::LogPublicKey;

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
    /// Nobody has opened or announced it.
    Absent,
    /// It has been created ahead of time, and nobody has opened it yet.
    Announced,
    /// It is on.
    Live,
    /// The host ended it, or it stayed empty.
    Ended,
}

/// How a room is set up. Part of its state, so that every relay of it acts by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomSettings {
    /// What it is about; may be empty.
    #[serde(skip_serializing_if = "is_default")]
    pub title: Note,
    /// When it is to begin, in seconds since the Unix epoch; 0: nobody has said.
    #[serde(skip_serializing_if = "is_default")]
    pub starts_s: u64,
    /// Whether it is in the list of public rooms.
    #[serde(skip_serializing_if = "is_default")]
    pub listed: bool,
    /// Who may come in. Default: whoever shows a token for the room.
    #[serde(skip_serializing_if = "is_token")]
    pub access: Access,
    /// Nobody new comes in, but for those who may lock it.
    #[serde(skip_serializing_if = "is_default")]
    pub locked: bool,
    /// How many may be in it; 0: as many as come.
    #[serde(skip_serializing_if = "is_default")]
    pub capacity: u32,
    /// How many the stage holds, 1 to 32.
    #[serde(skip_serializing_if = "is_full_stage")]
    pub stage_size: u8,
    /// No hands are taken.
    #[serde(skip_serializing_if = "is_default")]
    pub hands_closed: bool,
    /// Seconds from one raising of a hand to the next by the same participant.
    #[serde(skip_serializing_if = "is_default")]
    pub hand_slow_s: u32,
    /// Seconds from one reaction to the next by the same participant; 0: the relay's own rate.
    #[serde(skip_serializing_if = "is_default")]
    pub reaction_slow_s: u32,
    /// What happens when a subject comes in a second time.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicates: Duplicates,
}

/// What happens when a subject comes in while another session of it is in the room. Guests have a
/// subject for each session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The newer session takes the place of the older one.
    #[default]
    Replace,
    /// The newer session is refused.
    Refuse,
    /// That many sessions at the same time; a further one is refused.
    Allow(u8),
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            title: Note::default(),
            starts_s: 0,
            listed: false,
            access: Access::Token,
            locked: false,
            capacity: 0,
            stage_size: MAX_STAGE as u8,
            hands_closed: false,
            hand_slow_s: 0,
            reaction_slow_s: 0,
            duplicates: Duplicates::Replace,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_token(access: &Access) -> bool {
    *access == Access::Token
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_full_stage(size: &u8) -> bool {
    usize::from(*size) == MAX_STAGE
}

/// The state of a room that every relay of it holds, as its origin says. Sent whole at each change:
/// it grows with the stage, not with the audience. What the origin has ruled about single persons
/// comes apart from it, as [`Ruling`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomState {
    /// The room's name.
    pub room: RoomName,
    /// Whether it is there.
    pub phase: Phase,
    /// Who has the right to speak, by track; at most 32.
    pub stage: Vec<StageEntry>,
    /// How it is set up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub settings: RoomSettings,
    /// The origin's key: what the log and invitations are signed with. Ed25519, 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<LogPublicKey>,
}

impl RoomState {
    /// A room that nobody has opened.
    #[must_use]
    pub fn absent(room: RoomName) -> Self {
        let (phase, settings) = (Phase::Absent, RoomSettings::default());
        Self { room, phase, stage: Vec::new(), settings, key: None }
    }

    /// The stage entry of a participant.
    #[must_use]
    pub fn on_stage(&self, participant: ParticipantId) -> Option<&StageEntry> {
        self.stage.iter().find(|entry| entry.participant == participant)
    }
}

/// What the origin has ruled about somebody, as every relay of the room holds it: their edge acts by
/// it, whoever and wherever they are. A relay knows persons by their keys only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// TreeQuery whom.
    pub who: PersonKey,
    /// They may not be in the room.
    #[serde(default, skip_serializing_if = "is_default")]
    pub barred: bool,
    /// Tokens of theirs that were issued up to then do not let in, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tokens_after_s: u64,
    /// The role that they have, whatever their token says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Permissions that they have besides those of their role.
    #[serde(default, skip_serializing_if = "PermissionSet::is_empty_ref")]
    pub allow: PermissionSet,
    /// Permissions of their role that they do not have.
    #[serde(default, skip_serializing_if = "PermissionSet::is_empty_ref")]
    pub deny: PermissionSet,
    /// Who has asked them to come on the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<DisplayName>,
    /// The log's entry of the decision; 0: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub entry: u64,
    /// Until when they are barred, seconds since the Unix epoch; 0: until it is lifted. For people:
    /// the origin takes the ruling back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub until_s: u64,
    /// What has just been done, for them to read; only when the ruling is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub news: Option<Moderated>,
}

impl Ruling {
    /// A ruling that says nothing yet.
    #[must_use]
    pub fn about(who: PersonKey) -> Self {
        Self {
            who,
            barred: false,
            tokens_after_s: 0,
            role: None,
            allow: PermissionSet::NONE,
            deny: PermissionSet::NONE,
            invited_by: None,
            entry: 0,
            until_s: 0,
            news: None,
        }
    }
}

/// A room in a list of rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Its name.
    pub room: RoomName,
    /// Whether it is on.
    pub phase: Phase,
    /// What it is about.
    #[serde(default)]
    pub title: Note,
    /// When it is to begin, seconds since the Unix epoch; 0: nobody has said.
    #[serde(default)]
    pub starts_s: u64,
    /// Participants not on the stage.
    #[serde(default)]
    pub listeners: u64,
}

/// A ban, as moderators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Whom it is about.
    pub target: Target,
    /// What they were called, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// Until when, seconds since the Unix epoch; 0: until it is lifted.
    #[serde(default)]
    pub until_s: u64,
    /// Why.
    #[serde(default)]
    pub reason: Note,
    /// The log's entry.
    pub entry: u64,
}

/// What can be sent as a reaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Applause.
    Clap,
    /// A heart.
    Heart,
    /// Laughter.
    Laugh,
    /// Agreement.
    Agree,
    /// Disagreement.
    Disagree,
    /// Surprise.
    Wow,
    /// A reaction of a later version; counts as none.
    #[serde(other)]
    Unknown,
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

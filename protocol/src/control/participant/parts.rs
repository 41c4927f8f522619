//! Parts of messages to participants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::audience_text::Question;
use crate::domain::key::LogPublicKey;
use crate::domain::permission::PermissionSet;
use crate::domain::profile::Profile;
use crate::domain::reaction::Reaction;
use crate::domain::role::Role;
use crate::domain::room::Phase;
use crate::domain::settings::RoomSettings;
use crate::domain::stage::StageEntry;
use crate::ids::{ByteString, DisplayName, Note, ParticipantId, RoomName, TrackId};

/// Settings of a room, and its stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// The room.
    pub room: RoomName,
    /// Whether it is on.
    pub phase: Phase,
    /// The settings.
    #[serde(default)]
    pub settings: RoomSettings,
    /// The stage; only as an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stage: Vec<StageEntry>,
    /// Participants not on the stage.
    #[serde(default)]
    pub listeners: u64,
    /// The origin's key, which the log is signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<LogPublicKey>,
}

/// Open questions of a room, and what the audience has done in this run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Questions {
    /// Open questions and the one answered last, the most votes first; at most 20.
    pub questions: Vec<Question>,
    /// Open questions in all.
    pub open: u32,
    /// Votes in the run.
    #[serde(default)]
    pub votes: u64,
    /// Reactions in the run, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reactions: BTreeMap<Reaction, u64>,
}

/// A part of a room's log. Entries and head are as they are stored: see [`crate::log`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// Entries, in order; as many as fit.
    pub entries: Vec<ByteString>,
    /// The number to ask for next.
    pub next: u64,
    /// The log's last entry, signed; with the last part only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<ByteString>,
    /// Whether entries about others are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_only: bool,
}

/// The answer to `join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The edge's name.
    pub relay: DisplayName,
    /// Relays between here and the origin, both counted: 1 at the origin.
    pub depth: u8,
    /// One's own place.
    pub you: You,
    /// The stage.
    pub stage: Vec<StageEntry>,
    /// The number of listeners, as far as the edge knows yet.
    pub listeners: u64,
    /// Whether the edge understands datagrams with redundant frames.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redundancy: bool,
}

/// One's own place in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct You {
    /// One's own id.
    pub participant: ParticipantId,
    /// One's role now.
    pub role: Role,
    /// The track to speak on, if the role speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackId>,
    /// Whether a moderator's silence is on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silenced: bool,
    /// One's place in the queue of hands, from 1; absent if the hand is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<u32>,
    /// Reason of the change, in a moderator's words; may be empty.
    #[serde(default)]
    pub reason: Note,
    /// Permissions. Absent: not told.
    #[serde(default, skip_serializing_if = "PermissionSet::is_empty_ref")]
    pub may: PermissionSet,
    /// The moderator who invites to the stage; to be answered by `answer_invite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<DisplayName>,
    /// The profile by which frames come.
    #[serde(default, skip_serializing_if = "Profile::is_live")]
    pub profile: Profile,
}

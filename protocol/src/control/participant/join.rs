//! First messages of a participant: a join, or a request without one.

use serde::{Deserialize, Serialize};

use crate::control::command::Govern;
use crate::domain::profile::Profile;
use crate::domain::role::Role;
use crate::domain::share::ShareText;
use crate::domain::way::Way;
use crate::ids::{DisplayName, RoomName, Seq, SessionKey, TrackId};
use crate::token::TokenText;

/// The first message on a participant's control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The room.
    pub room: RoomName,
    /// The session: see [`SessionKey`].
    pub session: SessionKey,
    /// The name to show.
    pub name: DisplayName,
    /// The role wanted. A request for more than listening in a room that is not there opens it and makes
    /// the participant its host, if the relay allows.
    pub role: Role,
    /// Proof of the right to the role, where the relay wants one; at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenText>,
    /// Set when coming back: a role or a raised hand is waiting at the origin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub returning: bool,
    /// The last frame heard of each track, so that the relay can go on from there; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<Heard>,
    /// The profile wanted; absent: the room's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Whether datagrams with redundant frames are understood.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redundancy: bool,
    /// Way of arrival, where the connection does not tell it: `embed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// Text of the share link by which the participant comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareText>,
    /// Seconds since the stay began, where it goes on by another connection: the join counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay_s: Option<u32>,
}

/// A request without joining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneShot {
    /// The room.
    pub room: RoomName,
    /// The session: see [`SessionKey`].
    pub session: SessionKey,
    /// The name for the log.
    pub name: DisplayName,
    /// The role to act in, where no token says which: see [`Join::role`].
    pub role: Role,
    /// Proof of the right to the role; at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenText>,
    /// The request.
    pub act: Govern,
}

/// The last frame heard of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The track.
    pub track: TrackId,
    /// Its last frame.
    pub seq: Seq,
}

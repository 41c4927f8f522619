//! Credentials of somebody who acts, on their way to the origin.

use serde::{Deserialize, Serialize};

use crate::domain::role::Role;
use crate::domain::share::Share;
use crate::ids::{DisplayName, Subject};

/// Credentials of a participant, as its edge has checked them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The subject.
    pub subject: Subject,
    /// The name.
    pub name: DisplayName,
    /// The highest role that they may come in with.
    pub role: Role,
    /// Whether they may open the room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_open: bool,
    /// The edge has found them barred: they can read the entries of the log about them, and appeal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub barred: bool,
    /// The share link by which they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_by: Option<Share>,
}

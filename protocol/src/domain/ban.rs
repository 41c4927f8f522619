//! Bans in force.

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::ids::{DisplayName, Note};

/// A ban, as moderators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The target.
    pub target: Target,
    /// Their name at the time, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    /// Until when, seconds since the Unix epoch; 0: until it is lifted.
    #[serde(default)]
    pub until_s: u64,
    /// The reason.
    #[serde(default)]
    pub reason: Note,
    /// The log's entry.
    pub entry: u64,
}

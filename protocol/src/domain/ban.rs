//! Bans in force.

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::ids::{DisplayName, Note};

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

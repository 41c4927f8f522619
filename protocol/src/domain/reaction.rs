//! Reactions.

use serde::{Deserialize, Serialize};

/// A reaction.
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

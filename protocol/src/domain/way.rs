//! Way of arrival: the kind of client or link by which somebody comes into a room.

use serde::{Deserialize, Serialize};

/// Way by which somebody comes into a room. Somebody who comes by a share link counts as `share`, whatever
/// they use to hear the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The command line, or another program that speaks QUIC.
    CommandLine,
    /// The relay's page in a browser.
    Browser,
    /// The player inside a frame of another page.
    Embed,
    /// A share link.
    Share,
    /// A way of a later version.
    #[serde(other)]
    Unknown,
}

impl Way {
    /// All ways that this version knows.
    pub const ALL: [Self; 4] = [Self::CommandLine, Self::Browser, Self::Embed, Self::Share];

    /// The way as it is written on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommandLine => "command_line",
            Self::Browser => "browser",
            Self::Embed => "embed",
            Self::Share => "share",
            Self::Unknown => "unknown",
        }
    }
}

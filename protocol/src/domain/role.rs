//! Roles.

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidName, RoleName};

/// A named set of permissions. The permissions of each are in the origin's policy table; a participant is
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

//! Delivery profiles: the balance between delay, cost and completeness in which a participant hears a
//! room. SPEC.md section 5.6.

use serde::{Deserialize, Serialize};

/// A delivery profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A datagram each frame period and the shortest delay: for conversation.
    #[default]
    Live,
    /// Three frame periods a datagram and a long playout buffer: for listening.
    Audience,
    /// Groups of frames on streams, where nothing is lost: for recorders, and for networks that drop
    /// datagrams.
    Reliable,
    /// One of a later version; counts as none.
    #[serde(other)]
    Unknown,
}

impl Profile {
    /// Those of this version.
    pub const ALL: [Self; 3] = [Self::Live, Self::Audience, Self::Reliable];

    /// The word on the wire and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Audience => "audience",
            Self::Reliable => "reliable",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is the one that holds where nothing is said.
    #[must_use]
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    pub fn is_live(&self) -> bool {
        *self == Self::Live
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::str::FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let known = Self::ALL.into_iter().find(|profile| profile.as_str() == text);
        known.ok_or_else(|| UnknownProfile(text.chars().take(40).collect()))
    }
}

/// A word that is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of live, audience, reliable")]
pub struct UnknownProfile(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_what_they_print_and_later_ones_are_unknown() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
            let wire = ciborium::Value::serialized(&profile).unwrap();
            assert_eq!(wire.as_text(), Some(profile.as_str()));
        }
        let later: Profile = ciborium::Value::from("telepathy").deserialized().unwrap();
        assert_eq!(later, Profile::Unknown);
        let error = "loud".parse::<Profile>().unwrap_err().to_string();
        assert_eq!(error, "\"loud\" is not one of live, audience, reliable");
    }
}

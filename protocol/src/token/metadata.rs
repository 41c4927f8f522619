//! Metadata: text that goes with a participant, for other programs than a relay.

use serde::{Deserialize, Serialize};

use crate::limits::MAX_METADATA_BYTES;

/// Text that a relay does not interpret: at most 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metadata(String);

/// Metadata over [`MAX_METADATA_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metadata is {0} bytes long, over {MAX_METADATA_BYTES}")]
pub struct TooLong(usize);

impl Metadata {
    /// The text; may be empty.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Metadata {
    type Error = TooLong;

    fn try_from(text: String) -> Result<Self, TooLong> {
        if text.len() > MAX_METADATA_BYTES { Err(TooLong(text.len())) } else { Ok(Self(text)) }
    }
}

impl std::str::FromStr for Metadata {
    type Err = TooLong;

    fn from_str(text: &str) -> Result<Self, TooLong> {
        Self::try_from(text.to_owned())
    }
}

impl From<Metadata> for String {
    fn from(metadata: Metadata) -> Self {
        metadata.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_has_a_limit() {
        assert!("x".repeat(1_024).parse::<Metadata>().is_ok());
        assert_eq!("x".repeat(1_025).parse::<Metadata>(), Err(TooLong(1_025)));
    }
}

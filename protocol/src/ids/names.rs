//! Names and other short texts: rooms, people, roles, subjects, notes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ParticipantId;
use crate::limits::{
    MAX_NAME_BYTES, MAX_NOTE_BYTES, MAX_ROLE_NAME_BYTES, MAX_ROOM_NAME_BYTES, MAX_SUBJECT_BYTES,
};
use crate::text;

/// A room's name: 1 to 64 bytes of `a–z 0–9 - _ .`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomName(String);

/// Name of a person or a relay: 1 to 64 bytes of UTF-8 in NFC, trimmed, with single spaces
/// inside.
///
/// So that a name is what it looks like, it has no control characters, no bidirectional controls and
/// nothing that people cannot see, does not begin with a combining mark, and has no more than 4 of
/// them in a row. Joiners and variation selectors count as invisible: emoji that are made
/// of several others cannot stand in a name, nor spellings that need a zero-width joiner.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DisplayName(String);

/// A note on a hand or a reason for an action: at most 200 bytes of UTF-8 in NFC, without control
/// characters, bidirectional controls and invisible characters. Joiners and variation selectors may
/// stand in it, as emoji and some scripts need them.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

/// Identity of a person, the same over all sessions and devices: the `sub` claim of a token; 1 to 128
/// bytes of UTF-8 in NFC without control characters, characters that people cannot see, or white space
/// at its ends. Another form than NFC is refused, not normalised: an issuer of tokens may
/// hold the two forms for two people. A guest, without a token, is `guest:` and their participant id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);

/// A role's name: 1 to 24 bytes of `a–z 0–9 - _`, beginning with a letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName {
    bytes: [u8; MAX_ROLE_NAME_BYTES],
    len: u8,
}

/// A name or note that is not one, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {why}")]
pub struct InvalidName {
    what: &'static str,
    value: String,
    why: &'static str,
}

impl RoomName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RoomName {
    type Error = InvalidName;

    fn try_from(value: String) -> Result<Self, InvalidName> {
        let invalid =
            |value: String, why| InvalidName { what: "room name", value: shorten(value), why };
        if value.is_empty() || value.len() > MAX_ROOM_NAME_BYTES {
            return Err(invalid(value, "is not 1 to 64 bytes long"));
        }
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        if !value.bytes().all(allowed) {
            return Err(invalid(value, "has characters other than a-z, 0-9, '-', '_' and '.'"));
        }
        if !value.as_bytes()[0].is_ascii_alphanumeric() {
            return Err(invalid(value, "does not begin with a letter or a digit"));
        }
        Ok(Self(value))
    }
}

impl DisplayName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DisplayName {
    type Error = InvalidName;

    fn try_from(value: String) -> Result<Self, InvalidName> {
        text::name(&value, MAX_NAME_BYTES).map(Self).map_err(|why| InvalidName {
            what: "name",
            value: shorten(value),
            why,
        })
    }
}

impl Note {
    /// The note as text; may be empty.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Note {
    type Error = InvalidName;

    fn try_from(value: String) -> Result<Self, InvalidName> {
        text::note(&value, MAX_NOTE_BYTES).map(Self).map_err(|why| InvalidName {
            what: "note",
            value: shorten(value),
            why,
        })
    }
}

impl Subject {
    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subject of a guest: a new one with every session key.
    #[must_use]
    pub fn guest(participant: ParticipantId) -> Self {
        Self(format!("guest:{participant}"))
    }

    /// The participant that a guest's subject stands for.
    #[must_use]
    pub fn guest_id(&self) -> Option<ParticipantId> {
        self.0.strip_prefix("guest:")?.parse().ok()
    }

    /// Whether it stands for a guest.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.0.starts_with("guest:")
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidName;

    fn try_from(value: String) -> Result<Self, InvalidName> {
        let invalid =
            |value: String, why| InvalidName { what: "subject", value: shorten(value), why };
        if value.is_empty() || value.len() > MAX_SUBJECT_BYTES {
            return Err(invalid(value, "is not 1 to 128 bytes long"));
        }
        if let Err(why) = text::check_identifier(&value) {
            return Err(invalid(value, why));
        }
        if value.trim().len() != value.len() {
            return Err(invalid(value, "has white space at its ends"));
        }
        Ok(Self(value))
    }
}

impl RoleName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// The name of a default role, which is known to be valid.
    pub(crate) fn of_static(name: &str) -> Self {
        let mut bytes = [0; MAX_ROLE_NAME_BYTES];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Self { bytes, len: name.len() as u8 }
    }
}

impl TryFrom<String> for RoleName {
    type Error = InvalidName;

    fn try_from(value: String) -> Result<Self, InvalidName> {
        value.parse()
    }
}

impl FromStr for RoleName {
    type Err = InvalidName;

    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let invalid = |why| InvalidName { what: "role", value: shorten(value.to_owned()), why };
        if value.is_empty() || value.len() > MAX_ROLE_NAME_BYTES {
            return Err(invalid("is not 1 to 24 bytes long"));
        }
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if !value.bytes().all(allowed) {
            return Err(invalid("has characters other than a-z, 0-9, '-' and '_'"));
        }
        if !value.as_bytes()[0].is_ascii_lowercase() {
            return Err(invalid("does not begin with a letter"));
        }
        Ok(Self::of_static(value))
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(value: &str) -> Result<Self, InvalidName> {
                Self::try_from(value.to_owned())
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}
as_text!(RoomName, DisplayName, Note, Subject);

impl InvalidName {
    /// `what` `text` `why`, as a clause.
    pub(crate) fn new(what: &'static str, text: &str, why: &'static str) -> Self {
        Self { what, value: shorten(text.to_owned()), why }
    }
}

/// An error message quotes the start of a long value only.
fn shorten(value: String) -> String {
    match value.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value,
    }
}

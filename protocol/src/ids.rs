//! Names and numbers that identify things. Each parses once, at the border, and is valid from then on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{
    MAX_NAME_BYTES, MAX_NOTE_BYTES, MAX_ROLE_NAME_BYTES, MAX_ROOM_NAME_BYTES, MAX_SUBJECT_BYTES,
};
use crate::text;

/// A room's name: 1 to 64 bytes of `a–z 0–9 - _ .`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomName(String);

/// What a person or a relay is called: 1 to 64 bytes of UTF-8 in NFC, trimmed, with single spaces
/// inside.
///
/// So that a name is what it looks like, it has no control characters, no bidirectional controls and
/// nothing that people cannot see, does not begin with a combining mark, and has no more than 4 of
/// them in a row. Joiners and variation selectors are among what cannot be seen: emoji that are made
/// of several others cannot stand in a name, nor spellings that need a joiner.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DisplayName(String);

/// A note on a hand or a reason for an action: at most 200 bytes of UTF-8 in NFC, without control
/// characters, bidirectional controls and what people cannot see. Joiners and variation selectors may
/// stand in it, as emoji and some scripts need them.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

/// Who somebody is, the same over all sessions and devices: the `sub` claim of a token; 1 to 128
/// bytes of UTF-8 in NFC without control characters, characters that people cannot see, or white space
/// at its ends. Another form than NFC is refused, not normalised: who issues tokens may hold the two
/// forms for two people. Somebody without a token is `guest:` and their participant id.
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

/// One participant of a room, the same across reconnects and relays: derived from its
/// [`SessionKey`], so that whoever holds the key keeps the place. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ParticipantId(pub u64);

/// The secret that a client makes up once per stay in a room: 16 random bytes. The participant's id
/// is the first 8 bytes, big-endian, of the SHA-256 of the key; the key never leaves the edge.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ByteString", into = "ByteString")]
pub struct SessionKey(pub [u8; 16]);

/// One relay, for as long as its data directory lives. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RelayId(pub u64);

/// One speaker's audio in one room. The origin counts them up from 1 and never uses one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackId(pub u32);

/// A room on a trunk, numbered by the child. Participants' connections carry one room, channel 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channel(pub u32);

/// The count of changes to a room's state, by its origin. Larger is newer.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// A request on a control stream; its answer carries the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u32);

/// A frame's place in its track, in frame periods, modulo 2^16 (a turn takes 21.8 minutes).
/// Compared by serial-number arithmetic (RFC 1982).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u16);

impl Seq {
    /// Frame periods from `earlier` to `self`; negative if `self` is the earlier one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0) as i16
    }

    /// The place `periods` later.
    #[must_use]
    pub const fn plus(self, periods: u16) -> Self {
        Self(self.0.wrapping_add(periods))
    }
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

    /// The subject of somebody who shows no token: a new one with every session key.
    #[must_use]
    pub fn guest(participant: ParticipantId) -> Self {
        Self(format!("guest:{participant}"))
    }

    /// The participant that a guest's subject stands for.
    #[must_use]
    pub fn guest_id(&self) -> Option<ParticipantId> {
        self.0.strip_prefix("guest:")?.parse().ok()
    }

    /// Whether it stands for somebody who has shown no token.
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

macro_rules! hex_id {
    ($($name:ident, $what:literal);*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }
        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
                match u64::from_str_radix(text, 16) {
                    Ok(value) if digits => Ok(Self(value)),
                    Ok(_) | Err(_) => Err(InvalidName {
                        what: $what,
                        value: shorten(text.to_owned()),
                        why: "is not 16 hexadecimal digits",
                    }),
                }
            }
        }
    )*};
}
hex_id!(ParticipantId, "participant id"; RelayId, "relay id");

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(secret)")
    }
}

impl TryFrom<ByteString> for SessionKey {
    type Error = &'static str;

    fn try_from(bytes: ByteString) -> Result<Self, Self::Error> {
        bytes.0.try_into().map(Self).map_err(|_| "a session key is 16 bytes")
    }
}

impl From<SessionKey> for ByteString {
    fn from(key: SessionKey) -> Self {
        Self(key.0.to_vec())
    }
}

/// A CBOR byte string, where serde would make an array of a `Vec<u8>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteString(pub Vec<u8>);

impl Serialize for ByteString {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = ByteString;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<ByteString, E> {
                Ok(ByteString(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names() {
        for good in ["stage", "a", "0.room_x-y", &"x".repeat(64)] {
            assert!(good.parse::<RoomName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "é", "a/b", &"x".repeat(65)] {
            assert!(bad.parse::<RoomName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_have_one_form() {
        for (text, name) in [
            (" Ada ", "Ada"),
            ("Ada \u{3000}\u{a0} Lovelace", "Ada Lovelace"),
            ("Rene\u{301}e", "Ren\u{e9}e"),
            ("\u{212b}sa", "\u{c5}sa"),
            ("क्षेत्रीय", "क्षेत्रीय"),
            ("नमस्ते", "नमस्ते"),
            ("ผู้ใหญ่", "ผู้ใหญ่"),
            ("שָׁלוֹם", "שָׁלוֹם"),
            ("Trần Đức", "Trần Đức"),
            ("📻 42", "📻 42"),
            ("a\u{316}\u{317}\u{318}\u{319}", "a\u{316}\u{317}\u{318}\u{319}"),
        ] {
            assert_eq!(text.parse::<DisplayName>().unwrap().as_str(), name);
        }
        // 64 bytes are counted in the form that is kept.
        let long = "e\u{301}".repeat(32);
        assert_eq!(long.parse::<DisplayName>().unwrap().as_str().len(), 64);
        assert!(format!("{long}x").parse::<DisplayName>().is_err());
    }

    #[test]
    fn what_a_name_cannot_hold() {
        for (text, why) in [
            ("A\u{7}", "control characters"),
            ("Ada\n", "control characters"),
            ("", "1 to 64 bytes"),
            (" \u{3000} ", "1 to 64 bytes"),
            (&" ".repeat(257), "too long"),
            ("\u{301}da", "begins with a combining mark"),
            (" \u{301}", "begins with a combining mark"),
            ("a\u{316}\u{317}\u{318}\u{319}\u{31a}", "4 combining marks"),
        ] {
            let error = text.parse::<DisplayName>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn notes_have_one_form_and_may_have_joiners() {
        assert_eq!("👩\u{200d}🔬 e\u{301}".parse::<Note>().unwrap().as_str(), "👩\u{200d}🔬 é");
        assert_eq!("1\u{fe0f}\u{20e3}".parse::<Note>().unwrap().as_str().chars().count(), 3);
        assert_eq!("".parse::<Note>().unwrap(), Note::default());
        for bad in ["a\nb", &"e\u{301}".repeat(101), "a\u{316}\u{317}\u{318}\u{319}\u{31a}"] {
            assert!(bad.parse::<Note>().is_err(), "{bad}");
        }
        assert!("e\u{301}".repeat(100).parse::<Note>().is_ok());
    }

    #[test]
    fn role_names() {
        for good in ["host", "a", "stage-manager_2", &"x".repeat(24)] {
            assert_eq!(good.parse::<RoleName>().unwrap().as_str(), good);
        }
        for bad in ["", "2nd", "Host", "a b", "é", &"x".repeat(25)] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn subjects() {
        assert!(Subject::guest(ParticipantId(1)).is_guest());
        for bad in ["", " a", "a\n", &"x".repeat(129), "a\u{200b}", "e\u{301}"] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
        assert!("ada@example.org".parse::<Subject>().is_ok());
    }

    #[test]
    fn sequence_numbers_wrap() {
        assert_eq!(Seq(2).since(Seq(65_534)), 4);
        assert_eq!(Seq(65_534).since(Seq(2)), -4);
        assert_eq!(Seq(65_535).plus(2), Seq(1));
    }

    #[test]
    fn ids_read_what_they_print() {
        let id = ParticipantId(0x0123_4567_89ab_cdef);
        assert_eq!(id.to_string().parse::<ParticipantId>().unwrap(), id);
        assert!("+123456789abcdef".parse::<ParticipantId>().is_err());
    }
}

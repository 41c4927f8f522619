//! Identifiers: names and numbers. Each parses once, at the border, and is valid from then on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod bytes;
mod names;

pub use bytes::ByteString;
pub use names::{DisplayName, InvalidName, Note, RoleName, RoomName, Subject};

/// One participant of a room, the same across reconnects and relays: derived from its
/// [`SessionKey`], so that the holder of the key keeps the place. Written as 16 hexadecimal digits.
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

    /// The place `periods` before.
    #[must_use]
    pub const fn minus(self, periods: u16) -> Self {
        Self(self.0.wrapping_sub(periods))
    }
}

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
                    Ok(_) | Err(_) => {
                        Err(InvalidName::new($what, text, "is not 16 hexadecimal digits"))
                    }
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

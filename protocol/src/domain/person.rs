//! Keys of persons, by which a relay recognises the target of a ruling without being told who that is:
//! 16 bytes of a hash over the session, the subject or the address.

use std::net::IpAddr;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::ids::{ByteString, ParticipantId, Subject};

/// A participant, a subject or an address, as the first 16 bytes of the SHA-256 of one letter and its
/// bytes: `p` and the participant id (8 bytes, big-endian), `s` and the subject, `a` and the address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "ByteString", into = "ByteString")]
pub struct PersonKey(pub [u8; 16]);

impl PersonKey {
    /// Of one stay in a room.
    #[must_use]
    pub fn of_participant(participant: ParticipantId) -> Self {
        Self::digest(b"p", &participant.0.to_be_bytes())
    }

    /// Of somebody over all sessions.
    #[must_use]
    pub fn of_subject(subject: &Subject) -> Self {
        Self::digest(b"s", subject.as_str().as_bytes())
    }

    /// Of an address: an IPv4 one whole, also where it comes mapped into IPv6 (RFC 4291 section
    /// 2.5.5.2); of an IPv6 one the first 64 bits, the share of one household or machine.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::digest(b"a", &v4.octets()),
            IpAddr::V6(v6) => Self::digest(b"a", &v6.octets()[..8]),
        }
    }

    fn digest(kind: &[u8], bytes: &[u8]) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(kind);
        hash.update(bytes);
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finish().as_ref()[..16]);
        Self(key)
    }
}

impl std::fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<ByteString> for PersonKey {
    type Error = &'static str;

    fn try_from(bytes: ByteString) -> Result<Self, Self::Error> {
        bytes.0.try_into().map(Self).map_err(|_| "a person's key is 16 bytes")
    }
}

impl From<PersonKey> for ByteString {
    fn from(key: PersonKey) -> Self {
        Self(key.0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_canonical_before_they_are_compared() {
        let key = |text: &str| PersonKey::of_address(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_eq!(key("2001:db8::1"), key("2001:DB8:0:0:ffff::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn kinds_do_not_meet() {
        let id = ParticipantId(0x6162_6364_6566_6768);
        let subject = "abcdefgh".parse().unwrap();
        assert_ne!(PersonKey::of_participant(id), PersonKey::of_subject(&subject));
        // printf sada | sha256sum
        let ada = format!("{:?}", PersonKey::of_subject(&"ada".parse().unwrap()));
        assert_eq!(ada, "b25d0fd93fbf5e6149c36b620b6da0f9");
    }
}

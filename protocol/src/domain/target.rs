//! Targets of moderation.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{ParticipantId, Subject};

/// Target of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One stay in the room.
    Participant(ParticipantId),
    /// A person, in all sessions.
    Subject(Subject),
    /// All persons at an address: an IPv4 address, or the first 64 bits of an IPv6 one.
    Address(#[serde(with = "address_as_text")] IpAddr),
}

/// An address as text in every format: serde by itself takes other forms for CBOR than for JSON.
mod address_as_text {
    use std::net::IpAddr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        address: &IpAddr,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<IpAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("the address is no IP address"))
    }
}

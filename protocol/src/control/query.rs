//! Queries along the tree: status of its relays, and reception of single listeners. On demand and
//! bounded, so that an idle tree carries none. SPEC.md section 8.21.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{DisplayName, ParticipantId, RelayId, RoomName};
use crate::limits::MAX_VERSION_BYTES;
use crate::quality::QualitySummary;
use crate::quality::report::{ListenerReport, Ranking};

/// A query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum TreeQuery {
    /// Status of the relays.
    Relays {},
    /// The listeners of a room that are worst off.
    Listeners {
        /// The room.
        room: RoomName,
        /// The most listeners, 1 to 30.
        worst: u8,
        /// The ranking.
        by: Ranking,
    },
    /// One participant of a room.
    Listener {
        /// The room.
        room: RoomName,
        /// The participant.
        participant: ParticipantId,
    },
    /// A query of a later version. Answered with nothing.
    #[serde(other)]
    Unknown,
}

/// A part of the answer to a query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TreeAnswer {
    /// Relays, each after the one above it; at most 12 in a message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<RelayStatus>,
    /// Listeners, the worst first; at most 30.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerReport>,
    /// Relays that were asked and did not answer in time, or for which there was no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u32,
}

/// Status of a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayStatus {
    /// Its id.
    pub relay: RelayId,
    /// Its name.
    pub name: DisplayName,
    /// The relay above; absent at the origin, and while there is no way to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RelayId>,
    /// Relays from the origin to it, both counted; 0 while there is no way to the origin.
    pub depth: u8,
    /// The version that it runs, at most 32 bytes.
    #[serde(deserialize_with = "version")]
    pub version: String,
    /// Uptime, in seconds.
    pub uptime_s: u64,
    /// Participants connected to it.
    pub participants: u32,
    /// The most participants by configuration; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Listeners at it and below, over all rooms.
    pub listeners: u64,
    /// Rooms that are open on it.
    pub rooms: u32,
    /// Relays attached to it.
    pub children: u32,
    /// Whether it is draining.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// The share of time that its busiest shard is at work, in millionths.
    pub load_ppm: u32,
    /// Frames received a second.
    pub frames_in: u32,
    /// Frames passed on a second, once for each connection that they go to.
    pub frames_out: u32,
    /// Frames not passed on a second, by cause; causes without any are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drops: BTreeMap<String, u32>,
    /// Frames of other relays that were missing when the next one came, of all frames that should have
    /// come, in millionths.
    pub missing_ppm: u32,
    /// Round trip to the parent, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk_rtt_us: Option<u32>,
    /// Error bound of its estimate of the origin's clock, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_error_us: Option<u32>,
    /// Reception of its own participants over the last minute; absent if none has reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualitySummary>,
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > MAX_VERSION_BYTES {
        return Err(serde::de::Error::custom("a version has 32 bytes at most"));
    }
    Ok(text)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

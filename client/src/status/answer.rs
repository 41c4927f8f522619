//! Responses of a relay's HTTP API, as far as they are shown; other fields are ignored. Times are in
//! microseconds (`_us`), ratios in millionths (`_ppm`).

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, RelayId, RoomName};
use tribune_protocol::quality::report::{ListenerReport, Report};
use tribune_protocol::quality::{self, QualitySummary};

/// `GET /api/status`: the queried relay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    #[serde(deserialize_with = "of_text")]
    pub(crate) relay: RelayId,
    pub(crate) name: DisplayName,
    /// A few words, such as `ready`.
    pub(crate) readiness: String,
}

/// `GET /api/tree`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Tree {
    /// Whether every relay of the tree answered.
    pub(crate) complete: bool,
    /// Whether it begins at the origin; if not, at the queried relay.
    pub(crate) rooted: bool,
    /// Relays that did not answer in time.
    pub(crate) missing: u32,
    pub(crate) relays: Vec<Relay>,
}

/// A relay of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Relay {
    #[serde(deserialize_with = "of_text")]
    pub(crate) relay: RelayId,
    pub(crate) name: DisplayName,
    #[serde(default, deserialize_with = "of_optional_text")]
    pub(crate) parent: Option<RelayId>,
    /// 0 while detached from the origin.
    pub(crate) depth: u8,
    pub(crate) version: String,
    pub(crate) uptime_s: u64,
    pub(crate) participants: u32,
    pub(crate) capacity: Option<u32>,
    /// In its subtree.
    pub(crate) listeners: u64,
    pub(crate) rooms: u32,
    pub(crate) children: u32,
    pub(crate) draining: bool,
    pub(crate) load_ppm: u32,
    pub(crate) frames_in_per_s: u32,
    pub(crate) frames_out_per_s: u32,
    pub(crate) dropped_per_s: u64,
    /// Frames per second, by cause.
    pub(crate) drops: BTreeMap<String, u32>,
    pub(crate) missing_ppm: u32,
    pub(crate) trunk_rtt_us: Option<u32>,
    pub(crate) clock_error_us: Option<u32>,
    /// Reception of its own participants.
    pub(crate) quality: Option<Quality>,
}

/// Reception of listeners over the last minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quality {
    pub(crate) reports: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) repaired: u64,
    pub(crate) concealed: u64,
    pub(crate) late: u64,
    pub(crate) loss_ppm: u32,
    pub(crate) concealed_ppm: u32,
    pub(crate) latency_us: Option<Spread>,
    pub(crate) latency_error_us: Option<u32>,
    pub(crate) jitter_us: Option<Spread>,
    pub(crate) buffer_us: Option<Spread>,
    pub(crate) rtt_us: Option<Spread>,
}

/// Distribution of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) p50: u32,
    pub(crate) p99: u32,
    pub(crate) mean: u32,
}

/// `GET /api/rooms`: those with the most listeners.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Rooms {
    pub(crate) total: usize,
    pub(crate) rooms: Vec<Room>,
}

/// `GET /api/rooms/NAME`, and without the speakers a part of [`Rooms`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Room {
    pub(crate) room: RoomName,
    pub(crate) phase: Phase,
    pub(crate) title: Note,
    /// In the subtree of the queried relay.
    pub(crate) listeners: u64,
    /// Participants on the stage.
    pub(crate) stage: usize,
    /// Known at the origin alone.
    pub(crate) hands: Option<usize>,
    /// Whether the queried relay is its origin.
    pub(crate) origin: bool,
    /// In the subtree of the queried relay.
    pub(crate) quality: Option<Quality>,
    #[serde(default)]
    pub(crate) speakers: Vec<Speaker>,
}

/// A participant on the stage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Speaker {
    pub(crate) name: DisplayName,
    pub(crate) role: Role,
    pub(crate) silenced: bool,
    pub(crate) muted: bool,
    pub(crate) away: bool,
}

/// `GET /api/rooms/NAME/listeners`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Listeners {
    /// Relays that did not answer in time.
    pub(crate) missing: u32,
    /// The worst first.
    pub(crate) listeners: Vec<Listener>,
}

/// A listener and its last report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Listener {
    #[serde(deserialize_with = "of_text")]
    pub(crate) participant: ParticipantId,
    pub(crate) name: DisplayName,
    pub(crate) role: Role,
    pub(crate) relay: DisplayName,
    #[serde(default)]
    pub(crate) profile: Profile,
    pub(crate) age_ms: u32,
    pub(crate) report: Report,
}

/// Error response of a relay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Refusal {
    /// One sentence.
    pub(crate) message: String,
}

/// Responses of one poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) status: Status,
    pub(crate) tree: Tree,
    pub(crate) rooms: Rooms,
    /// The requested room, if any.
    pub(crate) room: Option<RoomMetrics>,
}

/// A room and its listeners' reports, or the relay's sentence where it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoomMetrics {
    pub(crate) name: RoomName,
    pub(crate) room: Result<Room, String>,
    pub(crate) listeners: Result<Listeners, String>,
}

impl From<QualitySummary> for Quality {
    fn from(summary: QualitySummary) -> Self {
        let frames = summary.frames;
        Self {
            reports: summary.reports,
            received: frames.received,
            lost: frames.lost,
            repaired: frames.repaired,
            concealed: frames.concealed,
            late: frames.late,
            loss_ppm: frames.loss_ppm(),
            concealed_ppm: frames.concealed_ppm(),
            latency_us: summary.latency.map(Spread::from),
            latency_error_us: summary.latency_error_us,
            jitter_us: summary.jitter.map(Spread::from),
            buffer_us: summary.buffer.map(Spread::from),
            rtt_us: summary.round_trip.map(Spread::from),
        }
    }
}

impl From<quality::Spread> for Spread {
    fn from(quality::Spread { p50, p99, mean }: quality::Spread) -> Self {
        Self { p50, p99, mean }
    }
}

impl From<ListenerReport> for Listener {
    fn from(listener: ListenerReport) -> Self {
        let ListenerReport { participant, name, role, relay, profile, age_ms, report } = listener;
        Self { participant, name, role, relay, profile, age_ms, report }
    }
}

impl Listener {
    /// As a relay's HTTP API writes it.
    pub(crate) fn json(&self) -> Value {
        let report = &self.report;
        json!({
            "participant": self.participant.to_string(),
            "name": self.name,
            "role": self.role,
            "relay": self.relay,
            "profile": self.profile.as_str(),
            "age_ms": self.age_ms,
            "report": {
                "received": report.received,
                "lost": report.lost,
                "repaired": report.repaired,
                "answered": report.answered,
                "concealed": report.concealed,
                "late": report.late,
                "buffer_us": report.buffer_us,
                "jitter_us": report.jitter_us,
                "rtt_us": report.rtt_us,
                "latency_us": report.latency_us,
                "latency_max_us": report.latency_max_us,
                "latency_error_us": report.latency_error_us,
            },
        })
    }
}

/// Parses an id, which the HTTP API writes as a string.
fn of_text<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn of_optional_text<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse()).transpose().map_err(D::Error::custom)
}

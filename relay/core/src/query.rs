//! Queries of operators and their answers, as plain values between the HTTP side and the hub.

use std::time::Duration;

use tribune_protocol::control::query::{RelayStatus, TreeAnswer};
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, RelayId, RoomName};
use tribune_protocol::quality::QualitySummary;
use tribune_protocol::quality::report::Ranking;

/// Query or order of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Status of this relay.
    Status,
    /// The whole tree.
    Tree,
    /// The rooms on this relay that have the most listeners.
    Rooms {
        /// Most rooms to be listed.
        limit: usize,
    },
    /// One room, as this relay has it.
    Room(RoomName),
    /// Listeners of a room with the worst quality, at this relay and below.
    Listeners {
        /// The room.
        room: RoomName,
        /// Most listeners to be listed, 1 to 30.
        worst: u8,
        /// The measure.
        by: Ranking,
    },
    /// One participant of a room, at this relay or below.
    Listener {
        /// The room.
        room: RoomName,
        /// The participant.
        participant: ParticipantId,
    },
    /// The relay is to end: everybody goes elsewhere.
    Drain {
        /// Relay to go to, as `host:port`; by default as configured.
        to: Option<String>,
        /// Time to go; by default as configured.
        within: Option<Duration>,
    },
}

/// Answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Status`].
    Status(Box<Status>),
    /// To [`Query::Tree`].
    Tree {
        /// The relays.
        tree: TreeAnswer,
        /// The root has answered; if not, it is this relay and the ones below.
        is_rooted: bool,
    },
    /// To [`Query::Rooms`].
    Rooms {
        /// Number of all rooms.
        total: usize,
        /// Those with the most listeners.
        rooms: Vec<RoomGlance>,
    },
    /// To [`Query::Room`]; `None` if the relay does not carry it.
    Room(Option<Box<RoomGlance>>),
    /// To [`Query::Listeners`] and [`Query::Listener`].
    Listeners(TreeAnswer),
    /// To [`Query::Drain`].
    Draining {
        /// Relay that everybody is sent to; `None`: none.
        to: Option<String>,
        /// Time left.
        within: Duration,
    },
}

/// Status of a relay, and its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether participants should be sent here.
    pub readiness: Readiness,
    /// The relays from the origin down to this one; empty while there is no way to the origin.
    pub path: Vec<RelayId>,
    /// Display name of the parent.
    pub parent: Option<DisplayName>,
    /// It is the origin of its rooms.
    pub is_origin: bool,
    /// The status as it travels the tree.
    pub relay: RelayStatus,
}

/// Status of a room, at one relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomGlance {
    /// Name of the room.
    pub room: RoomName,
    /// Phase of the room.
    pub phase: Phase,
    /// Title; may be empty.
    pub title: Note,
    /// Listeners at this relay and below.
    pub listeners: u64,
    /// Participants on the stage.
    pub stage: Vec<StageEntry>,
    /// Raised hands; known at the origin alone.
    pub hands: Option<usize>,
    /// This relay is its origin.
    pub is_origin: bool,
    /// Quality at this relay and below, over the last minute.
    pub quality: Option<QualitySummary>,
}

/// Whether participants should be sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The sockets are not open yet.
    Starting,
    /// Yes.
    Ready,
    /// No parent is attached, though there should be one.
    Detached,
    /// The relay is on its way out.
    Draining,
}

impl Readiness {
    /// The answer to `/readyz`, as a line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Detached => "not attached to a parent",
            Self::Draining => "draining",
        }
    }
}

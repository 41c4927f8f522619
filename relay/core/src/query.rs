//! What operators ask a relay and what it answers, as plain values between the HTTP side and the hub.

use std::time::Duration;

use tribune_protocol::control::query::{RelayStatus, TreeAnswer};
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, RelayId, RoomName};
use tribune_protocol::quality::QualitySummary;
use tribune_protocol::quality::report::Ranking;

/// A question, or an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// How this relay is.
    Status,
    /// The whole tree.
    Tree,
    /// The rooms on this relay that have the most listeners.
    Rooms {
        /// How many at the most.
        limit: usize,
    },
    /// One room, as this relay has it.
    Room(RoomName),
    /// The listeners of a room at this relay and below that are worst off.
    Listeners {
        /// Which room.
        room: RoomName,
        /// How many at the most, 1 to 30.
        worst: u8,
        /// By what.
        by: Ranking,
    },
    /// One participant of a room, at this relay or below.
    Listener {
        /// Which room.
        room: RoomName,
        /// Who.
        participant: ParticipantId,
    },
    /// The relay is to end: everybody goes elsewhere.
    Drain {
        /// Where to, as `host:port`; absent: as the settings say.
        to: Option<String>,
        /// Within which time; absent: as the settings say.
        within: Option<Duration>,
    },
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Status`].
    Status(Box<Status>),
    /// To [`Query::Tree`].
    Tree {
        /// The relays.
        tree: TreeAnswer,
        /// Whether the root has answered; if not, it is this relay and what is below it.
        is_rooted: bool,
    },
    /// To [`Query::Rooms`].
    Rooms {
        /// How many there are.
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
        /// Where everybody is sent; `None`: nowhere.
        to: Option<String>,
        /// Within which time.
        within: Duration,
    },
}

/// How a relay is, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether participants should be sent here.
    pub readiness: Readiness,
    /// The relays from the origin down to this one; empty while there is no way to the origin.
    pub path: Vec<RelayId>,
    /// What the parent is called.
    pub parent: Option<DisplayName>,
    /// Whether it is the origin of its rooms.
    pub is_origin: bool,
    /// The rest.
    pub relay: RelayStatus,
}

/// A room, as a relay has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomGlance {
    /// Which.
    pub room: RoomName,
    /// Whether it is on.
    pub phase: Phase,
    /// What it is about; may be empty.
    pub title: Note,
    /// Listeners at this relay and below.
    pub listeners: u64,
    /// Who is on the stage.
    pub stage: Vec<StageEntry>,
    /// Raised hands; known at the origin alone.
    pub hands: Option<usize>,
    /// Whether this relay is its origin.
    pub is_origin: bool,
    /// How it is heard at this relay and below, over the last minute.
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

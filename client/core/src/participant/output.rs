//! Settings and outputs of a participant.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tribune_protocol::control::participant::{Join, Joined, ToParticipant};
use tribune_protocol::time::Offset;

use crate::address::Address;
use crate::connection::RequestError;
use crate::encoding::Encoding;
use crate::frame::ReceivedFrame;
use crate::reconnect::End;
use crate::report::RepairCounts;

/// Connection of a participant, numbered in the order of dialling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub(super) u32);

/// Request of the user, numbered by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Settings of a participant.
#[derive(Debug, Clone)]
pub struct Config {
    /// Relays to join at, best first; not empty.
    pub addresses: Vec<Address>,
    /// The first join. `returning`, `heard` and `stay_s` are filled in.
    pub join: Join,
    /// Wait for a room that is not there yet.
    pub waits_for_room: bool,
    /// Delay of playout in `audience` and `reliable`; `None`: the room's.
    pub playout_delay: Option<Duration>,
}

/// Work for the driver.
#[derive(Debug)]
pub enum Output {
    /// Connect.
    Dial {
        /// Name of the connection from now on.
        connection: ConnectionId,
        /// The relay.
        to: Address,
    },
    /// Write to the control stream.
    Control {
        /// Of this connection.
        connection: ConnectionId,
        /// A whole message.
        bytes: Bytes,
    },
    /// Send a datagram, or drop it if the network is behind.
    Datagram {
        /// Over this connection.
        connection: ConnectionId,
        /// The datagram.
        bytes: Bytes,
    },
    /// Close a connection, or stop dialling. Nothing of it is handed in any more.
    Close(ConnectionId),
    /// A request has been answered.
    Answer {
        /// The request.
        ticket: Ticket,
        /// Its outcome.
        result: Result<(), RequestError>,
    },
    /// News for the user. [`Event::Ended`] is the last output.
    Event(Box<Event>),
    /// A frame to be heard.
    Frame(ReceivedFrame),
}

/// News of a session.
#[derive(Debug)]
pub enum Event {
    /// The room let us in, for the first time or again.
    Joined {
        /// The relay's answer.
        joined: Joined,
        /// How often the session has come back or moved to another relay so far; 0 the first time.
        reconnects: u32,
    },
    /// The relay says something about the room.
    Message(ToParticipant),
    /// The encoder is to be set otherwise, because other frames are lost.
    Encoding(Encoding),
    /// There is no connection; the next attempt is under way or about to be.
    Retrying {
        /// Why, in a clause.
        why: String,
        /// Time until the next attempt.
        after: Duration,
        /// Whether we were in the room.
        was_in_room: bool,
    },
    /// The session is over. The last event.
    Ended(End),
}

/// Path to the origin, and counts of frames; renewed at each answered probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// Round trip to the edge.
    pub round_trip: Option<Duration>,
    /// The origin's clock, and when it was estimated; see [`Self::offset_at`].
    pub offset: Option<(Offset, Instant)>,
    /// Frames that came in and had no place in the queue, since the start.
    pub dropped_frames: u64,
    /// Frames that came in more than once, as they do while two relays are listened to, since the
    /// start. They are passed over.
    pub duplicate_frames: u64,
    /// Frames that were missing at first, and came after all.
    pub repairs: RepairCounts,
}

impl Link {
    /// The origin's clock as it is known at `now`: the older the estimate, the larger its error.
    #[must_use]
    pub fn offset_at(&self, now: Instant) -> Option<Offset> {
        self.offset.map(|(offset, at)| offset.aged(now.saturating_duration_since(at)))
    }
}

//! Values of labels, and counters by them. Every list is fixed: none holds names of people, rooms or
//! addresses.

use std::collections::BTreeMap;

use tribune_protocol::codes::ErrorCode;

/// An enum whose variants are the values of a label, and with `in` a tally by it.
macro_rules! labelled {
    (
        $(#[$doc:meta])* $label:ident
        { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $label { $($(#[$variant_doc])* $variant,)* }

        impl $label {
            /// All of them, in their order.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];
            /// Number of values.
            pub const COUNT: usize = Self::ALL.len();

            /// The value of the label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
    (
        $(#[$doc:meta])* $label:ident in $(#[$tally_doc:meta])* $tally:ident
        { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }
    ) => {
        labelled! { $(#[$doc])* $label { $($(#[$variant_doc])* $variant = $word,)* } }

        $(#[$tally_doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $tally([u64; $label::COUNT]);

        impl $tally {
            /// Adds that many.
            pub const fn count(&mut self, label: $label, more: u64) {
                self.0[label as usize] += more;
            }

            /// Number of values.
            #[must_use]
            pub const fn of(&self, label: $label) -> u64 {
                self.0[label as usize]
            }

            /// Sum over all values.
            #[must_use]
            pub fn total(&self) -> u64 {
                self.0.iter().sum()
            }
        }
    };
}

labelled! {
    /// Cause for dropping a frame, or a datagram of which no frame could be read. A drop
    /// behind the views of a room counts once for each view, and behind a connection's queue once for
    /// each connection. A frame for a connection that has gone is not dropped: there is nobody to hear it.
    DropCause in
    /// Frames not passed on, by cause.
    Drops {
        /// The connection hears no room of that channel.
        UnknownChannel = "unknown_channel",
        /// The room has no track of that number.
        UnknownTrack = "unknown_track",
        /// The track belongs to somebody else, or lives on another side of the tree.
        NotYourTrack = "not_your_track",
        /// A moderator's silence is on.
        Silenced = "silenced",
        /// The same frame has come before.
        Duplicate = "duplicate",
        /// The frame is older than the ring.
        TooOld = "too_old",
        /// The sender is over its rate.
        RateLimited = "rate_limited",
        /// The bytes are not those of a datagram of this protocol.
        Malformed = "malformed",
        /// The kind of datagram is none that this version knows.
        UnknownKind = "unknown_kind",
        /// The queue to another shard is full.
        ShardQueueFull = "handover_full",
        /// Other tracks are louder: not among the top N.
        NotSelected = "not_selected",
        /// The connection is being closed: further frames of it are ignored.
        Closing = "closing",
        /// The relay has forgotten the room while the frame was on its way.
        RoomGone = "room_gone",
        /// A view gathers more frames than a datagram may have.
        BundleFull = "bundle_full",
        /// A participant's connection does not keep up. As many of its oldest frames make room as
        /// come, so those that come are counted.
        SendBufferFull = "send_buffer_full",
        /// A trunk does not keep up: the oldest frames make room.
        TrunkQueueFull = "trunk_queue_full",
        /// The receiver takes no datagram of that size.
        Unsendable = "unsendable",
    }
}

labelled! {
    /// Result of a handshake.
    HandshakeResult in
    /// Handshakes, by result.
    Handshakes {
        /// The connection is there.
        Completed = "completed",
        /// It was begun and not completed.
        Failed = "failed",
        /// It was refused at once, for a limit.
        Refused = "refused",
        /// The address is verified first, by a Retry packet; the next attempt counts anew.
        Retried = "retried",
    }
}

labelled! {
    /// Side that a frame comes from.
    Side in
    /// Frames, by the side that they come from.
    BySide {
        /// From its speaker.
        Participant = "participant",
        /// From the relay above.
        Parent = "parent",
        /// From a relay below.
        Child = "child",
    }
}

labelled! {
    /// Way on which a participant or a relay reaches this one.
    Transport in
    /// Connections, by their transport.
    Transports {
        /// QUIC, with a protocol of ours.
        Quic = "quic",
        /// HTTP/3 with a WebTransport session: a browser.
        WebTransport = "webtransport",
        /// A WebSocket: a browser in a network without UDP.
        WebSocket = "websocket",
    }
}

labelled! {
    /// State of the uplink.
    TrunkState {
        /// There is none to take: this is the origin.
        Origin = "origin",
        /// The next attempt is waited for.
        Pausing = "pausing",
        /// A parent is looked up and dialled.
        Dialling = "dialling",
        /// The parent's welcome is waited for.
        Greeting = "greeting",
        /// There is a parent.
        Attached = "attached",
        /// There is one that stops, and another is sought beside it.
        Moving = "moving",
    }
}

labelled! {
    /// A queue between the relay's threads, or before one of them.
    Queue {
        /// Events from shards to the hub.
        Events = "events",
        /// Commands from the hub to shards.
        Commands = "commands",
        /// Messages between shards.
        ShardMessages = "crossings",
        /// Requests of the hub to the store.
        Store = "store",
        /// Events that shards hold back because the hub's queue is full.
        HubWaiting = "hub_waiting",
    }
}

/// Control messages, by the kinds that [`FromParticipant::KINDS`] and its like list.
///
/// [`FromParticipant::KINDS`]: tribune_protocol::control::participant::FromParticipant::KINDS
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KindCounts(BTreeMap<&'static str, u64>);

impl KindCounts {
    /// Adds one.
    pub fn count(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Number of messages of a kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }
}

/// The error codes, in the order of their enum: the values of the label `code`.
pub const REFUSALS: [ErrorCode; 36] = [
    ErrorCode::BadRequest,
    ErrorCode::NotJoined,
    ErrorCode::NotPermitted,
    ErrorCode::RoomNotFound,
    ErrorCode::NoSuchParticipant,
    ErrorCode::HostTaken,
    ErrorCode::StageFull,
    ErrorCode::QueueFull,
    ErrorCode::NoHand,
    ErrorCode::Cooldown,
    ErrorCode::Barred,
    ErrorCode::Locked,
    ErrorCode::RoomFull,
    ErrorCode::AccessDenied,
    ErrorCode::NameTaken,
    ErrorCode::Duplicate,
    ErrorCode::HandsClosed,
    ErrorCode::SlowMode,
    ErrorCode::NotStarted,
    ErrorCode::AlreadyAppealed,
    ErrorCode::RulingsFull,
    ErrorCode::NotDurable,
    ErrorCode::Unauthorised,
    ErrorCode::TokenMissing,
    ErrorCode::TokenMalformed,
    ErrorCode::TokenInvalid,
    ErrorCode::TokenExpired,
    ErrorCode::TokenNotYetValid,
    ErrorCode::TokenWrongRoom,
    ErrorCode::TokenWrongAlgorithm,
    ErrorCode::TokenUnknownKey,
    ErrorCode::TokenGrantsNothing,
    ErrorCode::Draining,
    ErrorCode::Unavailable,
    ErrorCode::Overloaded,
    ErrorCode::Unknown,
];

/// Refusals, by error code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals([u64; REFUSALS.len()]);

impl Default for Refusals {
    fn default() -> Self {
        Self([0; REFUSALS.len()])
    }
}

impl Refusals {
    /// Adds one.
    pub const fn count(&mut self, code: ErrorCode) {
        self.0[code as usize] += 1;
    }

    /// Refusals with a code.
    #[must_use]
    pub const fn of(&self, code: ErrorCode) -> u64 {
        self.0[code as usize]
    }
}

// `count` and `of` take a code's number for its place in the list; the build fails where it is not.
const _: () = {
    let mut n = 0;
    while n < REFUSALS.len() {
        assert!(REFUSALS[n] as usize == n);
        n += 1;
    }
    // The last code's number bounds all of them.
    assert!(ErrorCode::Unknown as usize + 1 == REFUSALS.len());
};

//! What the pure cores count: plain numbers, no atomics, no names to look up. A field that is added
//! here with its metric's name is published without further ado.

use prometheus::Opts;
use tribune_protocol::codes::ErrorCode;

/// One number of a snapshot and the metric that it becomes.
#[derive(Debug)]
pub(super) struct Row<S> {
    name: &'static str,
    help: &'static str,
    pub(super) read: fn(&S) -> u64,
}

impl<S> Row<S> {
    pub(super) fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

/// A snapshot struct and its rows, so that a number cannot be counted and then not be shown.
macro_rules! snapshot {
    (
        $(#[$doc:meta])* $struct:ident,
        by_label { $($(#[$label_doc:meta])* $label:ident: $labels:ty,)* }
        counters $counters:ident { $($counter:ident, $counter_name:literal, $counter_help:literal;)* }
        gauges $gauges:ident { $($gauge:ident, $gauge_name:literal, $gauge_help:literal;)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $struct {
            $($(#[$label_doc])* pub $label: $labels,)*
            $(#[doc = $counter_help] pub $counter: u64,)*
            $(#[doc = concat!($gauge_help, " A gauge.")] pub $gauge: u64,)*
        }
        pub(super) const $counters: [Row<$struct>; [$($counter_name),*].len()] =
            [$(Row { name: $counter_name, help: $counter_help, read: |s| s.$counter }),*];
        pub(super) const $gauges: [Row<$struct>; [$($gauge_name),*].len()] =
            [$(Row { name: $gauge_name, help: $gauge_help, read: |s| s.$gauge }),*];
    };
}

snapshot! {
    /// What one shard counts, since it started.
    ShardCounters,
    by_label {
        /// Frames not passed on, by cause.
        frames_dropped: Drops,
    }
    counters SHARD_COUNTERS {
        datagrams_in, "tribune_relay_datagrams_received_total", "QUIC datagrams received.";
        datagrams_out, "tribune_relay_datagrams_sent_total", "QUIC datagrams handed to connections.";
        packets_in, "tribune_relay_packets_received_total", "UDP packets received.";
        packets_out, "tribune_relay_packets_sent_total", "UDP packets sent.";
        bytes_in, "tribune_relay_received_bytes_total", "UDP payload received.";
        bytes_out, "tribune_relay_sent_bytes_total", "UDP payload sent.";
        frames_in, "tribune_relay_frames_received_total", "Frames received.";
        frames_forwarded, "tribune_relay_frames_forwarded_total", "Frames passed on, once per connection that they went to.";
        control_in, "tribune_relay_control_messages_received_total", "Control messages received.";
        control_out, "tribune_relay_control_messages_sent_total", "Control messages sent.";
        control_errors, "tribune_relay_control_errors_total", "Control streams that broke the protocol.";
        handshakes_ok, "tribune_relay_handshakes_completed_total", "Handshakes completed.";
        handshakes_failed, "tribune_relay_handshakes_failed_total", "Handshakes begun and not completed.";
        handshakes_refused, "tribune_relay_handshakes_refused_total", "Handshakes refused at once, for a limit.";
        retries_sent, "tribune_relay_retries_sent_total", "Retry packets sent, to verify addresses under load.";
        connections_closed, "tribune_relay_connections_closed_total", "Connections that have ended.";
        steered_in, "tribune_relay_steered_packets_received_total", "Packets taken over from other shards.";
        steered_out, "tribune_relay_steered_packets_sent_total", "Packets handed to the shard that owns their connection.";
        steer_dropped, "tribune_relay_steered_packets_dropped_total", "Packets for another shard, dropped because its queue was full.";
        handover_in, "tribune_relay_handover_frames_received_total", "Frames taken over from other shards.";
        handover_dropped, "tribune_relay_handover_frames_dropped_total", "Frames for another shard, dropped because its queue was full.";
        send_dropped, "tribune_relay_datagrams_dropped_total", "Datagrams dropped unsent because a connection's buffer was full.";
        kernel_send_errors, "tribune_relay_send_errors_total", "UDP packets that the kernel did not take.";
        probes_answered, "tribune_relay_probes_answered_total", "Time probes answered.";
        nacks_in, "tribune_relay_nacks_received_total", "Repair requests received.";
        nacks_answered, "tribune_relay_nacks_answered_total", "Repair requests answered, in full or in part.";
        nacks_sent, "tribune_relay_nacks_sent_total", "Repair requests sent.";
    }
    gauges SHARD_GAUGES {
        connections, "tribune_relay_connections", "Connections that are open.";
        rooms, "tribune_relay_shard_rooms", "Rooms with somebody on this shard.";
        queue_to_hub, "tribune_relay_hub_queue_length", "Events that wait for the hub.";
    }
}

snapshot! {
    /// What the hub counts, since it started.
    HubCounters,
    by_label {
        /// Joins refused, by the error code.
        joins_refused: Refusals,
    }
    counters HUB_COUNTERS {
        joins_ok, "tribune_relay_joins_total", "Joins that went well.";
        joins_redirected, "tribune_relay_joins_redirected_total", "Joins beyond the capacity that were sent elsewhere.";
        moved, "tribune_relay_moved_total", "Participants asked to move, because the relay drains.";
        actions, "tribune_relay_actions_total", "Requests decided here, as the origin of their room.";
        reattachments, "tribune_relay_reattachments_total", "Times that a parent was attached after one was lost.";
        trunk_lagging_closed, "tribune_relay_trunks_lagging_closed_total", "Trunks closed because the child did not confirm a moderation in time.";
        trunks_refused, "tribune_relay_trunks_refused_total", "Children refused, for want of proof.";
        errands, "tribune_relay_errands_total", "Requests of people who did not come in, by this relay.";
        reactions, "tribune_relay_reactions_total", "Reactions sent by participants of this relay.";
        tokens_renewed, "tribune_relay_tokens_renewed_total", "Tokens replaced by newer ones in place.";
        tokens_expired, "tribune_relay_tokens_expired_total", "Connections closed because their token ran out.";
        store_failures, "tribune_relay_store_failures_total", "Requests that the store has refused or failed.";
        loops_refused, "tribune_relay_loops_refused_total", "Trunks refused because they would close a loop or make the tree too deep.";
    }
    gauges HUB_GAUGES {
        rooms, "tribune_relay_rooms", "Rooms that are open here.";
        participants, "tribune_relay_participants", "Participants connected to this relay.";
        listeners, "tribune_relay_listeners", "Listeners at this relay and below it.";
        stage, "tribune_relay_stage_participants", "Participants with the right to speak, over all rooms.";
        hands, "tribune_relay_hands", "Hands raised, over the rooms of which this is the origin.";
        rulings, "tribune_relay_rulings", "Rulings about persons that are held here, over all rooms.";
        children, "tribune_relay_children", "Relays attached to this one.";
        attached, "tribune_relay_attached", "1 if a parent is attached, else 0.";
        depth, "tribune_relay_depth", "Relays from the origin to this one, both counted.";
        draining, "tribune_relay_draining", "1 while the relay drains, else 0.";
        capacity, "tribune_relay_capacity_participants", "Participants that the relay takes; 0: no limit is set.";
    }
}

/// Why a frame, or a datagram of which no frame could be read, is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropCause {
    /// The connection hears no room of that channel.
    UnknownChannel,
    /// The room has no track of that number.
    UnknownTrack,
    /// The track belongs to somebody else, or lives on another side of the tree.
    NotYourTrack,
    /// A moderator's silence is on.
    Silenced,
    /// The same frame has come before.
    Duplicate,
    /// The frame is older than what the ring keeps.
    TooOld,
    /// The sender is over its rate.
    RateLimited,
    /// The bytes are not those of a datagram of this protocol.
    Malformed,
    /// The kind of datagram is none that this version knows.
    UnknownKind,
    /// The queue to another shard is full.
    HandoverFull,
    /// Other tracks are louder: not among the top N.
    NotSelected,
}

impl DropCause {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::UnknownChannel,
        Self::UnknownTrack,
        Self::NotYourTrack,
        Self::Silenced,
        Self::Duplicate,
        Self::TooOld,
        Self::RateLimited,
        Self::Malformed,
        Self::UnknownKind,
        Self::HandoverFull,
        Self::NotSelected,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The value of the label `cause`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownChannel => "unknown_channel",
            Self::UnknownTrack => "unknown_track",
            Self::NotYourTrack => "not_your_track",
            Self::Silenced => "silenced",
            Self::Duplicate => "duplicate",
            Self::TooOld => "too_old",
            Self::RateLimited => "rate_limited",
            Self::Malformed => "malformed",
            Self::UnknownKind => "unknown_kind",
            Self::HandoverFull => "handover_full",
            Self::NotSelected => "not_selected",
        }
    }
}

/// Frames not passed on, by cause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drops([u64; DropCause::COUNT]);

impl Drops {
    /// Adds `frames` to a cause.
    pub const fn count(&mut self, cause: DropCause, frames: u64) {
        self.0[cause as usize] += frames;
    }

    /// Frames dropped for a cause.
    #[must_use]
    pub const fn of(&self, cause: DropCause) -> u64 {
        self.0[cause as usize]
    }

    /// Frames dropped for any cause.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
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

// `count` and `of` take a variant's number for its place in the list; the build fails where it is not.
const _: () = {
    let mut n = 0;
    while n < DropCause::COUNT {
        assert!(DropCause::ALL[n] as usize == n);
        n += 1;
    }
    let mut n = 0;
    while n < REFUSALS.len() {
        assert!(REFUSALS[n] as usize == n);
        n += 1;
    }
    // The last variant's number bounds all of them.
    assert!(ErrorCode::Unknown as usize + 1 == REFUSALS.len());
    assert!(DropCause::NotSelected as usize + 1 == DropCause::COUNT);
};

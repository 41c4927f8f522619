//! Counters of the pure cores: plain numbers, no atomics, no names to find. A field that is added
//! here with its metric's name is published without further ado.

use tribune_protocol::ids::RoomName;

pub mod distribution;
mod labels;
pub mod load;

use self::distribution::Distribution;
pub use self::labels::{
    BySide, DropCause, Drops, HandshakeResult, Handshakes, KindCounts, Queue, REFUSALS, Refusals,
    Side, Transport, Transports, TrunkState,
};

/// Metrics of one room, at this relay and below it.
#[derive(Debug, Clone, Copy)]
pub struct RoomMetrics<'a> {
    /// Its name.
    pub room: &'a RoomName,
    /// Participants not on the stage.
    pub listeners: u64,
    /// Participants with the right to speak.
    pub stage: u64,
    /// Raised hands; 0 where this relay is not the origin.
    pub hands: u64,
    /// Reports that the following are made of, in the last minute.
    pub reports: u64,
    /// Median latency from microphone to ear, in microseconds; `None` without a report.
    pub latency_p50_us: Option<u32>,
    /// 99th percentile of the same.
    pub latency_p99_us: Option<u32>,
    /// Share of frames lost, in parts per million.
    pub loss_ppm: Option<u32>,
    /// Share of frames concealed, in parts per million.
    pub concealed_ppm: Option<u32>,
}

/// One number of a snapshot and the metric that shows it.
#[derive(Debug)]
pub struct Row<S> {
    name: &'static str,
    help: &'static str,
    read: fn(&S) -> u64,
}

impl<S> Row<S> {
    /// Name of the metric.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Help text of the metric, one sentence.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// The number in a snapshot.
    pub fn read(&self, snapshot: &S) -> u64 {
        (self.read)(snapshot)
    }
}

/// A snapshot struct and its rows, so that a number cannot be counted and then not be shown. Times
/// and ratios are `millionths`: whole microseconds or parts per million here, seconds or 1 as shown.
macro_rules! snapshot {
    (
        $(#[$doc:meta])* $struct:ident,
        by_label { $($(#[$label_doc:meta])* $label:ident: $labels:ty,)* }
        counters $counters:ident { $($counter:ident, $counter_name:literal, $counter_help:literal;)* }
        gauges $gauges:ident { $($gauge:ident, $gauge_name:literal, $gauge_help:literal;)* }
        millionths $millionths:ident { $($part:ident, $part_name:literal, $part_help:literal;)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $struct {
            $($(#[$label_doc])* pub $label: $labels,)*
            $(#[doc = $counter_help] pub $counter: u64,)*
            $(#[doc = concat!($gauge_help, " A gauge.")] pub $gauge: u64,)*
            $(#[doc = concat!($part_help, " A gauge, in millionths.")] pub $part: u64,)*
        }
        /// Rows of this kind, in order.
        pub const $counters: [Row<$struct>; [$($counter_name),*].len()] =
            [$(Row { name: $counter_name, help: $counter_help, read: |s| s.$counter }),*];
        /// Rows of this kind, in order.
        pub const $gauges: [Row<$struct>; [$($gauge_name),*].len()] =
            [$(Row { name: $gauge_name, help: $gauge_help, read: |s| s.$gauge }),*];
        /// Rows of this kind, in order.
        pub const $millionths: [Row<$struct>; [$($part_name),*].len()] =
            [$(Row { name: $part_name, help: $part_help, read: |s| s.$part }),*];
    };
}

snapshot! {
    /// Counters of one shard, since it started.
    ShardCounters,
    by_label {
        /// Frames not passed on, by cause.
        frames_dropped: Drops,
        /// Handshakes, by result.
        handshakes: Handshakes,
        /// Connections opened, by transport.
        opened: Transports,
        /// Connections ended, by transport; of those that were opened.
        ended: Transports,
        /// Frames found missing on arrival, by the side that they should have come from.
        frames_missing: BySide,
        /// Missing frames that have come later.
        frames_repaired: BySide,
        /// Capture to arrival here, of frames that say when they were captured.
        frame_age: FrameAges,
        /// Wait of the oldest frame in a view's datagrams.
        hold: Holds,
        /// Commands that wait for the shard.
        commands_waiting: u64,
        /// Messages of other shards that wait for it.
        shard_messages_waiting: u64,
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
        control_errors, "tribune_relay_control_errors_total", "Control streams that broke the protocol.";
        connections_closed, "tribune_relay_connections_closed_total", "Connections that have ended.";
        steered_in, "tribune_relay_steered_packets_received_total", "Packets taken over from other shards.";
        steered_out, "tribune_relay_steered_packets_sent_total", "Packets handed to the shard that owns their connection.";
        steer_dropped, "tribune_relay_steered_packets_dropped_total", "Packets for another shard, dropped because its queue was full.";
        handover_in, "tribune_relay_handover_frames_received_total", "Frames taken over from other shards.";
        shard_queue_dropped, "tribune_relay_handover_frames_dropped_total", "Frames for another shard, dropped because its queue was full.";
        send_dropped, "tribune_relay_datagrams_dropped_total", "Datagrams dropped unsent because a connection's buffer was full.";
        kernel_send_errors, "tribune_relay_send_errors_total", "UDP packets that the kernel did not take.";
        probes_answered, "tribune_relay_probes_answered_total", "Time probes answered.";
        nacks_in, "tribune_relay_nacks_received_total", "Repair requests received.";
        nacks_answered, "tribune_relay_nacks_answered_total", "Repair requests answered, in full or in part.";
        nacks_sent, "tribune_relay_nacks_sent_total", "Repair requests sent.";
        frames_replayed, "tribune_relay_frames_replayed_total", "Frames sent from what is kept to connections that came back.";
        circuit_breakers_opened, "tribune_relay_circuit_breakers_opened_total", "Connections whose path was found not to carry the media.";
    }
    gauges SHARD_GAUGES {
        connections, "tribune_relay_connections", "Connections that are open.";
        live_participants, "tribune_relay_live_participants", "Participants who are sent frames by the profile live, or none.";
        audience_participants, "tribune_relay_audience_participants", "Participants who are sent frames by the profile audience.";
        reliable_participants, "tribune_relay_reliable_participants", "Participants who are sent frames by the profile reliable.";
        protected_connections, "tribune_relay_protected_connections", "Connections, trunks for each of their rooms, that are sent earlier frames again.";
        packing, "tribune_relay_packing", "1 while listeners get several frame periods a packet because the shard is behind, else 0.";
        rooms, "tribune_relay_shard_rooms", "Rooms with somebody on this shard.";
        queue_to_hub, "tribune_relay_hub_queue_length", "Events that wait for the hub.";
    }
    millionths SHARD_MILLIONTHS {
        busy_ppm, "tribune_relay_busy_ratio", "Share of time at work since the last publication; at 1 there is none left.";
    }
}

/// Connections of a shard, by how they are sent frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audiences {
    /// Participants in `live`.
    pub live: u64,
    /// Participants in `audience`.
    pub audience: u64,
    /// Participants in `reliable`.
    pub reliable: u64,
    /// Connections that are sent earlier frames again, trunks once for each room.
    pub protected: u64,
}

impl Audiences {
    /// The sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            live: self.live + other.live,
            audience: self.audience + other.audience,
            reliable: self.reliable + other.reliable,
            protected: self.protected + other.protected,
        }
    }
}

impl ShardCounters {
    /// Sets how its connections are sent frames, as its rooms say it.
    pub(crate) fn set_audiences(&mut self, of_rooms: impl Iterator<Item = Audiences>) {
        let Audiences { live, audience, reliable, protected } =
            of_rooms.fold(Audiences::default(), Audiences::plus);
        (self.live_participants, self.audience_participants) = (live, audience);
        (self.reliable_participants, self.protected_connections) = (reliable, protected);
    }
}

snapshot! {
    /// Counters of the hub, since it started.
    HubCounters,
    by_label {
        /// Joins refused, by the error code.
        joins_refused: Refusals,
        /// Control messages that have come, by kind.
        control_received: KindCounts,
        /// Control messages written, by kind; one to everybody in a room counts once.
        control_sent: KindCounts,
        /// State of the uplink; `None` before anything has happened.
        trunk_state: Option<TrunkState>,
    }
    counters HUB_COUNTERS {
        joins_ok, "tribune_relay_joins_total", "Joins that went well.";
        joins_redirected, "tribune_relay_joins_redirected_total", "Joins beyond the capacity that were sent elsewhere.";
        moved, "tribune_relay_moved_total", "Participants asked to move, because the relay drains.";
        actions, "tribune_relay_actions_total", "Requests decided here, as the origin of their room.";
        reattachments, "tribune_relay_reattachments_total", "Times that a parent was attached after one was lost.";
        trunk_lagging_closed, "tribune_relay_trunks_lagging_closed_total", "Trunks closed because the child did not confirm a moderation in time.";
        trunks_refused, "tribune_relay_trunks_refused_total", "Children refused, for want of proof.";
        one_shots, "tribune_relay_errands_total", "Requests of people who did not come in, by this relay.";
        reactions, "tribune_relay_reactions_total", "Reactions sent by participants of this relay.";
        texts, "tribune_relay_audience_texts_total", "Messages that participants of this relay have written to a stage.";
        votes, "tribune_relay_votes_total", "Votes for questions given or taken back by participants of this relay.";
        shares_refused, "tribune_relay_share_links_refused_total", "Joins with a share link that is none of the room's; they count as without one.";
        tallies_refused, "tribune_relay_tallies_refused_total", "Counts of relays below that were of another run or beyond a limit.";
        tokens_renewed, "tribune_relay_tokens_renewed_total", "Tokens replaced by newer ones in place.";
        tokens_expired, "tribune_relay_tokens_expired_total", "Connections closed because their token ran out.";
        reports_refused, "tribune_relay_listener_reports_refused_total", "Reports of participants that came too soon, or from somebody who hears nothing.";
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
        protected_rooms, "tribune_relay_protected_rooms", "Rooms of which this is the origin and whose speakers are asked to protect against losses.";
        attached, "tribune_relay_attached", "1 if a parent is attached, else 0.";
        depth, "tribune_relay_depth", "Relays from the origin to this one, both counted.";
        draining, "tribune_relay_draining", "1 while the relay drains, else 0.";
        capacity, "tribune_relay_capacity_participants", "Participants that the relay takes; 0: no limit is set.";
    }
    millionths HUB_MILLIONTHS {
        trunk_rtt_us, "tribune_relay_trunk_rtt_seconds", "Round trip to the parent, as last measured; 0 without one.";
        clock_error_us, "tribune_relay_clock_error_seconds", "Bound of the error of this relay's estimate of the origin's clock; 0 at the origin and before there is one.";
    }
}

/// Bounds of the ages of frames, in microseconds: a relay nearby, the hops of a tree, another continent,
/// and more than a conversation survives.
const AGE_BOUNDS_US: [u64; 15] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 75_000, 100_000, 150_000, 200_000,
    300_000, 500_000, 1_000_000, 2_000_000,
];
/// Cap of an age, in microseconds: speakers write the stamps, and one that lies must not
/// spoil the sum.
const MAX_AGE_US: u64 = 10_000_000;
/// Bounds of the waits of frames in a relay, in microseconds. The leader's leave at once, others' after a
/// frame period at most; beyond that the shard is late.
const HOLD_BOUNDS_US: [u64; 11] =
    [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 50_000];

/// Ages of frames on arrival, by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameAges([Distribution; Side::COUNT]);

impl FrameAges {
    /// Adds a frame's age, in microseconds. More than 10 s count as 10 s.
    pub fn observe(&mut self, side: Side, age_us: u64) {
        self.0[side as usize].observe(age_us.min(MAX_AGE_US));
    }

    /// Ages of frames from a side.
    #[must_use]
    pub const fn of(&self, side: Side) -> &Distribution {
        &self.0[side as usize]
    }
}

impl Default for FrameAges {
    fn default() -> Self {
        Self([const { Distribution::new(&AGE_BOUNDS_US) }; Side::COUNT])
    }
}

/// Waits of frames in the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds(Distribution);

impl Holds {
    /// Adds a wait.
    pub fn observe(&mut self, wait: std::time::Duration) {
        self.0.observe(wait.as_micros() as u64);
    }

    /// All of them.
    #[must_use]
    pub const fn all(&self) -> &Distribution {
        &self.0
    }
}

impl Default for Holds {
    fn default() -> Self {
        Self(Distribution::new(&HOLD_BOUNDS_US))
    }
}

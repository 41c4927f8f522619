//! Messages between a shard and the hub, and between two shards: plain values in bounded channels.
//!
//! A shard owns connections and routes of frames; the hub owns rooms and the tree. Neither reaches
//! into the other. Everything here is small or reference-counted, and is sent once per shard, never
//! once per listener.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::{FromParticipant, Heard};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::ids::{Channel, RequestId, Revision, TrackId};
use tribune_protocol::media::datagram::Frame;
use tribune_protocol::time::Offset;

use crate::counters::Transport;

/// Number of a relay's event loop, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

/// A set of shards; bit n is shard n. A relay has at most 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardSet(pub u64);

/// A room on this relay, numbered by the hub for as long as the relay carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u32);

/// A connection of this relay. The generation tells apart two that had the same slot in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    /// The shard that owns it.
    pub shard: ShardId,
    /// Its place in the shard's table.
    pub slot: u32,
    /// Counts connections of the shard.
    pub generation: u32,
}

/// An attempt to reach a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u32);

/// From a shard to the hub.
#[derive(Debug, Clone)]
pub enum ShardEvent {
    /// Message of a participant.
    FromParticipant {
        /// The connection.
        link: LinkId,
        /// Address of the participant.
        remote: SocketAddr,
        /// The way it comes.
        transport: Transport,
        /// The request to be answered, if any.
        request: Option<RequestId>,
        /// The message.
        message: FromParticipant,
    },
    /// A child's message.
    FromChild {
        /// The connection.
        link: LinkId,
        /// Address of the child.
        remote: SocketAddr,
        /// TLS has verified a certificate of the child.
        certified: bool,
        /// The message; boxed, for a queue's places are as long as the longest event.
        message: Box<ToParent>,
    },
    /// The parent's message.
    FromParent {
        /// The connection.
        link: LinkId,
        /// The message.
        message: ToChild,
    },
    /// The trunk to a parent is up; `hello` comes next.
    Dialled {
        /// The attempt.
        dial: DialId,
        /// The connection.
        link: LinkId,
    },
    /// The trunk to a parent did not come up.
    DialFailed {
        /// The attempt.
        dial: DialId,
        /// The reason, in words.
        why: String,
    },
    /// The trunk to a parent is about to be reported as gone: the last frames that came over it, for the next
    /// parent to go on from.
    LastHeard {
        /// The room.
        room: RoomId,
        /// The last frame of each track.
        heard: Vec<Heard>,
    },
    /// A connection is gone. Nothing more comes from it.
    Closed {
        /// The connection.
        link: LinkId,
        /// The reason, in words.
        why: String,
    },
    /// The routes of that revision are in force on this shard.
    InForce {
        /// The room.
        room: RoomId,
        /// The revision.
        revision: Revision,
    },
    /// Speech of participants of this shard in one second.
    Talk {
        /// The room.
        room: RoomId,
        /// The second, in origin time.
        at_s: u64,
        /// Frame periods of the second in which each track has voice: the first is bit 0.
        tracks: BTreeMap<TrackId, u64>,
    },
    /// A new estimate of the origin's clock, from the trunk to the parent.
    Clock {
        /// The estimate.
        offset: Offset,
        /// The round trip of that trunk, as QUIC has it.
        rtt: Duration,
    },
}

/// From the hub to a shard.
#[derive(Debug, Clone)]
pub enum ShardCommand {
    /// Send a control message, encoded already.
    Send {
        /// The connection.
        link: LinkId,
        /// The message with its length.
        message: Bytes,
    },
    /// Send a control message to every participant of the room on this shard.
    Broadcast {
        /// The room.
        room: RoomId,
        /// The message with its length.
        message: Bytes,
    },
    /// Close a connection.
    Close {
        /// The connection.
        link: LinkId,
        /// The code.
        code: CloseCode,
        /// The reason that the peer may show.
        reason: String,
    },
    /// Dial a parent.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The parent, by its place on the list.
        parent: usize,
        /// Its address.
        address: SocketAddr,
        /// Name in its certificate.
        server_name: String,
    },
    /// Attach a connection to a room, or change its view of it.
    Attach {
        /// The connection.
        link: LinkId,
        /// The room.
        room: RoomId,
        /// The view that it takes.
        view: ViewKey,
    },
    /// Send a connection, from what is kept, the frames after those that it has heard last.
    Resume {
        /// The connection.
        link: LinkId,
        /// The room.
        room: RoomId,
        /// The last frame of each track.
        heard: Vec<Heard>,
        /// Shard that keeps frames of the room, where the connection's own has none of it until now.
        keeper: Option<ShardId>,
    },
    /// Detach a connection from a room.
    Detach {
        /// The connection.
        link: LinkId,
        /// The room.
        room: RoomId,
    },
    /// Tracks of a room and the home of each. Answered by [`ShardEvent::InForce`].
    Routes {
        /// The room.
        room: RoomId,
        /// Revision of the room that the routes belong to.
        revision: Revision,
        /// All tracks.
        tracks: Arc<[TrackRoute]>,
    },
    /// Shards with connections of the room: each frame goes once to each of them.
    Hosts {
        /// The room.
        room: RoomId,
        /// The shards.
        shards: ShardSet,
    },
    /// Forget a room.
    Forget {
        /// The room.
        room: RoomId,
    },
    /// Offset of the origin's clock; `None` while it is not known.
    Clock(Option<Offset>),
    /// The relay ends: close every connection.
    CloseAll(CloseCode),
}

/// View of a room: all that the bytes of its datagrams depend on. Connections with the same key share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewKey {
    /// Tracks that are in it.
    pub hears: Hears,
    /// Balance of delay and cost.
    pub profile: Profile,
    /// Frames that are sent again.
    pub redundancy: RedundancyLevel,
}

/// Redundancy of a view: frames before the present ones that its datagrams carry once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum RedundancyLevel {
    /// None.
    #[default]
    None,
    /// The previous datagram's.
    Previous,
    /// Those of the previous two.
    PreviousTwo,
    /// The previous one's, and those of the fourth before: bursts of up to three packets are bridged.
    Spread,
}

/// Tracks of a room that a connection hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hears {
    /// Everything, as a listener.
    Everything,
    /// Everything but one's own track, as a speaker.
    AllBut(TrackId),
    /// Nothing, without the permission; messages to all participants come all the same.
    Nothing,
    /// All tracks that are not at home on that side, as a relay; the channel numbers the room on its trunk.
    Trunk(Channel),
}

/// Sources from which a track's frames are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackRoute {
    /// The track.
    pub track: TrackId,
    /// The connection of the speaker, or the trunk on whose side the speaker is. `None`: away.
    pub home: Option<LinkId>,
    /// The home before this one, for a moment after the speaker or a trunk has moved: frames of both
    /// are let in, each once.
    pub former: Option<FormerHome>,
    /// Frames are dropped, here and at every relay.
    pub silenced: bool,
}

/// Home of a track until a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerHome {
    /// The connection or trunk.
    pub link: LinkId,
    /// Frames are sent there. Not between two parents, while a relay moves from one to the other: each
    /// has the frames of the other.
    pub hears: bool,
}

/// Frames that one shard let in, for another shard of the same relay.
#[derive(Debug, Clone)]
pub struct SharedFrames {
    /// The room.
    pub room: RoomId,
    /// The frames of one datagram, authorised and free of duplicates; shared by the shards.
    pub frames: Arc<[Frame]>,
}

impl ViewKey {
    /// A frame period a datagram, none sent again: trunks, and whoever is to hear without delay.
    #[must_use]
    pub const fn live(hears: Hears) -> Self {
        Self { hears, profile: Profile::Live, redundancy: RedundancyLevel::None }
    }
}

impl ShardSet {
    /// Adds a shard.
    pub const fn insert(&mut self, shard: ShardId) {
        self.0 |= 1 << (shard.0 & 63);
    }

    /// Whether a shard is in it.
    #[must_use]
    pub const fn contains(self, shard: ShardId) -> bool {
        self.0 >> (shard.0 & 63) & 1 == 1
    }

    /// The shards in it, in order.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        (0..64).map(ShardId).filter(move |shard| self.contains(*shard))
    }
}

/// From one shard of a relay to another.
#[derive(Debug)]
pub enum ShardMessage {
    /// Frames of a room with connections on the other shard.
    Frames(SharedFrames),
    /// A packet of a connection that the other shard owns.
    Packet(Packet),
    /// A question for the frames that are kept after those that a connection has heard last; answered by
    /// [`Self::Kept`].
    Wanted {
        /// The connection; its shard asks.
        link: LinkId,
        /// The room.
        room: RoomId,
        /// The last frame of each track.
        heard: Vec<Heard>,
    },
    /// Frames that are kept, for a connection of the other shard.
    Kept {
        /// The connection.
        link: LinkId,
        /// The room.
        room: RoomId,
        /// The frames, oldest first.
        frames: Vec<KeptFrame>,
    },
}

/// A frame that a shard keeps.
#[derive(Debug, Clone)]
pub struct KeptFrame {
    /// Frame periods from it to the newest of its track.
    pub periods_back: i16,
    /// Its track.
    pub track: TrackId,
    /// The frame as it was written.
    pub wire: Bytes,
}

/// A UDP packet as it came in.
#[derive(Debug)]
pub struct Packet {
    /// Address of the sender.
    pub remote: SocketAddr,
    /// Destination address, where the system tells it.
    pub local_ip: Option<std::net::IpAddr>,
    /// Its congestion mark (RFC 3168).
    pub ecn: Option<quinn_proto::EcnCodepoint>,
    /// Its payload.
    pub payload: bytes::BytesMut,
}

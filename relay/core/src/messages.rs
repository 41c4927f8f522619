//! What crosses between a shard and the hub, and between two shards: plain values in bounded channels.
//!
//! A shard owns connections and routes of frames; the hub owns rooms and the tree. Neither reaches
//! into the other. Everything here is small or reference-counted, and is sent once per shard, never
//! once per listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::ids::{Channel, RequestId, Revision, TrackId};
use tribune_protocol::media::datagram::Frame;
use tribune_protocol::time::Offset;

/// One of a relay's event loops, counted from 0.
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
    /// A participant's message.
    FromParticipant {
        /// From which connection.
        link: LinkId,
        /// Where the participant is.
        remote: SocketAddr,
        /// To be answered, if present.
        request: Option<RequestId>,
        /// What it says.
        message: FromParticipant,
    },
    /// A child's message.
    FromChild {
        /// From which connection.
        link: LinkId,
        /// Where the child is.
        remote: SocketAddr,
        /// Whether TLS verified a certificate of the child.
        certified: bool,
        /// What it says; apart, for a queue's places are as long as the longest event.
        message: Box<ToParent>,
    },
    /// The parent's message.
    FromParent {
        /// From which connection.
        link: LinkId,
        /// What it says.
        message: ToChild,
    },
    /// The trunk to a parent is up; `hello` comes next.
    Dialled {
        /// Which attempt.
        dial: DialId,
        /// The connection.
        link: LinkId,
    },
    /// The trunk to a parent did not come up.
    DialFailed {
        /// Which attempt.
        dial: DialId,
        /// Why, in words.
        why: String,
    },
    /// A connection is gone. Nothing more comes from it.
    Closed {
        /// Which.
        link: LinkId,
        /// Why, in words.
        why: String,
    },
    /// The routes of that revision are in force on this shard.
    InForce {
        /// Which room.
        room: RoomId,
        /// Which change.
        revision: Revision,
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
        /// On which connection.
        link: LinkId,
        /// The message with its length.
        message: Bytes,
    },
    /// Send a control message to every participant of the room on this shard.
    Broadcast {
        /// Which room.
        room: RoomId,
        /// The message with its length.
        message: Bytes,
    },
    /// Close a connection.
    Close {
        /// Which.
        link: LinkId,
        /// The code.
        code: CloseCode,
        /// The reason that the peer may show.
        reason: String,
    },
    /// Dial a parent.
    Dial {
        /// Which attempt this is.
        dial: DialId,
        /// Which parent, by its place on the list.
        parent: usize,
        /// Where to.
        address: SocketAddr,
        /// The name that the certificate must have.
        server_name: String,
    },
    /// The connection hears a room from now on. Again: it hears it differently.
    Attach {
        /// Which connection.
        link: LinkId,
        /// Which room.
        room: RoomId,
        /// What it hears.
        hears: Hears,
    },
    /// The connection hears the room no more.
    Detach {
        /// Which connection.
        link: LinkId,
        /// Which room.
        room: RoomId,
    },
    /// The tracks of a room and where each is at home. Answered by [`ShardEvent::InForce`].
    Routes {
        /// Which room.
        room: RoomId,
        /// Which change of the room this follows.
        revision: Revision,
        /// All tracks.
        tracks: Arc<[TrackRoute]>,
    },
    /// The shards with connections that hear the room: each frame crosses once to each of them.
    Hosts {
        /// Which room.
        room: RoomId,
        /// Which shards.
        shards: ShardSet,
    },
    /// The relay carries the room no more.
    Forget {
        /// Which room.
        room: RoomId,
    },
    /// Where the origin's clock stands; `None` while it is not known.
    Clock(Option<Offset>),
    /// The relay ends: close every connection.
    CloseAll(CloseCode),
}

/// Which view of a room a connection takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hears {
    /// Everything, as a listener.
    Everything,
    /// Everything but one's own track, as a speaker.
    AllBut(TrackId),
    /// Nothing, for want of the permission; messages to all participants come all the same.
    Nothing,
    /// What is not at home on that side, as a relay; the channel numbers the room on its trunk.
    Trunk(Channel),
}

/// Where a track's frames may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackRoute {
    /// Which track.
    pub track: TrackId,
    /// The connection of the speaker, or the trunk on whose side the speaker is. `None`: away.
    pub home: Option<LinkId>,
    /// The home before this one, for a moment after the speaker or a trunk has moved: frames of both
    /// are let in, each once.
    pub former: Option<FormerHome>,
    /// Frames are dropped, here and at every relay.
    pub silenced: bool,
}

/// Where a track was at home until a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerHome {
    /// The connection or trunk.
    pub link: LinkId,
    /// Whether frames go there. Not between two parents, while a relay moves from one to the other:
    /// each has what the other has.
    pub hears: bool,
}

/// Frames that one shard let in, for another shard of the same relay.
#[derive(Debug, Clone)]
pub struct SharedFrames {
    /// Which room.
    pub room: RoomId,
    /// The frames of one datagram, authorised and free of duplicates; shared by the shards.
    pub frames: Arc<[Frame]>,
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
    /// Frames of a room that the other shard hosts too.
    Frames(SharedFrames),
    /// A packet of a connection that the other shard owns.
    Packet(Packet),
}

/// A UDP packet as it came in.
#[derive(Debug)]
pub struct Packet {
    /// Who sent it.
    pub remote: SocketAddr,
    /// The address it was sent to, where the system tells.
    pub local_ip: Option<std::net::IpAddr>,
    /// Its congestion mark (RFC 3168).
    pub ecn: Option<quinn_proto::EcnCodepoint>,
    /// What it holds.
    pub payload: bytes::BytesMut,
}

//! Everything that can happen in the net, as its schedule holds it.

use bytes::Bytes;
use tribune_protocol::domain::role::Role;
use tribune_relay_core::messages::{DialId, RoomId, ShardCommand, ShardEvent, ShardId};
use tribune_relay_core::store::StoreReply;

use super::RelayNo;
use super::audio::Frame;
use super::people::{ConnNo, PersonNo};
use super::trunk::{Side, TrunkNo};

/// An event of the net. `life` is the relay's life that it belongs to.
#[derive(Debug)]
pub(super) enum NetEvent {
    /// An event reaches a hub.
    ToHub { relay: RelayNo, life: u32, shard: ShardId, event: Box<ShardEvent> },
    /// The commands of one turn of a hub reach a shard.
    Commands { relay: RelayNo, life: u32, shard: ShardId, commands: Vec<ShardCommand> },
    /// The store answers a hub.
    Stored { relay: RelayNo, life: u32, reply: Box<StoreReply> },
    /// A hub has something to do by itself.
    Wake { relay: RelayNo },
    /// A dial is over, one way or the other.
    Dialled { child: RelayNo, parent: RelayNo, dial: DialId },
    /// A control message comes out of a trunk.
    TrunkMessage { trunk: TrunkNo, to: Side, message: Bytes },
    /// One side of a trunk notices that it is gone.
    TrunkGone { trunk: TrunkNo, side: Side },
    /// A participant joins.
    Join { person: PersonNo, relay: RelayNo, role: Role },
    /// A control message of a participant reaches the shard.
    Said { conn: ConnNo, message: Bytes },
    /// A speaker's next frame.
    Tick { conn: ConnNo },
    /// A frame comes out of a trunk.
    TrunkFrame { trunk: TrunkNo, to: Side, frame: Frame },
    /// A frame crosses to another shard of the same relay.
    SharedFrames { relay: RelayNo, shard: ShardId, room: RoomId, frame: Frame },
}

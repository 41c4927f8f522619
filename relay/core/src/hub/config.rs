//! Configuration of a hub, and the effects that its owner carries out.

use std::sync::Arc;
use std::time::Duration;

use tribune_protocol::ids::{DisplayName, RelayId, Revision};

use crate::auth::Auth;
use crate::auth::secret::Secret;
use crate::messages::{DialId, ShardCommand, ShardId};
use crate::query::Answer;
use crate::room::context::RoomContext;
use crate::store::StoreRequest;
use crate::tree::host_port::HostPort;
use crate::tree::query::Ticket;
use crate::tree::target::Target;

/// Configuration of a hub.
#[derive(Debug)]
pub struct HubConfig {
    /// This relay.
    pub relay: RelayId,
    /// Its display name.
    pub name: DisplayName,
    /// Number of shards.
    pub shards: u8,
    /// Parents to choose from, best first; none: the relay is the origin of its rooms.
    pub parents: Vec<HostPort>,
    /// Credentials asked of participants and children.
    pub auth: Auth,
    /// Clock, policy table, and the key that this relay signs logs with as an origin.
    pub setup: Arc<RoomContext>,
    /// Token for a parent that asks for one.
    pub relay_token: Option<Secret>,
    /// Most rooms at the same time.
    pub max_rooms: usize,
    /// First revision of the rooms at an origin. Above the last one of an earlier life of this relay, so
    /// that a confirmation of that life is none of now.
    pub first_revision: Revision,
    /// Most participants at the same time; `None`: as many as there are connections.
    pub capacity: Option<usize>,
    /// Relays named in turn to participants beyond the capacity.
    pub redirect_to: Vec<String>,
    /// Relay named to participants and children when this one drains.
    pub drain_to: Option<String>,
    /// Length of a drain.
    pub drain_timeout: Duration,
    /// Time for which statistics of a run are kept after its end; `None`: for as long as the store is.
    pub keep_statistics: Option<Duration>,
    /// Seed of the pauses between attempts to reach a parent.
    pub seed: [u8; 32],
}

/// Work for the owner of a hub.
#[derive(Debug)]
pub enum HubEffect {
    /// Tell a shard.
    Shard(ShardId, ShardCommand),
    /// Look up the parent, then have shard 0 dial it; if there is no such address, tell
    /// [`super::Hub::handle_event`] that the dial failed.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The parent.
        target: Target,
    },
    /// Ask the store; the answer goes to [`super::Hub::handle_stored`].
    Store(StoreRequest),
    /// Answer to [`super::Hub::handle_query`].
    Answer {
        /// The ticket of the query.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// The drain is over, for everybody has gone or its time is up: the relay can end.
    Drained,
}

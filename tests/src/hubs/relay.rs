//! One relay of the net: the real hub, models of its shards, its disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::ids::{DisplayName, RelayId, Revision};
use tribune_protocol::log::LogKey;
use tribune_relay_core::auth::Auth;
use tribune_relay_core::auth::secret::Secret;
use tribune_relay_core::clock::WallClock;
use tribune_relay_core::hub::{Hub, HubConfig};
use tribune_relay_core::messages::ShardId;
use tribune_relay_core::room::authority::policy::Policy;
use tribune_relay_core::room::context::RoomContext;
use tribune_relay_core::store::MemoryStore;
use tribune_relay_core::tree::host_port::HostPort;

use super::shard::ShardModel;
use super::{EPOCH_MS, RelayNo, people};

/// Token of the trunks.
const TRUNK_TOKEN: &str = "trunk";

/// One relay: the real hub, and models of its shards.
#[derive(Debug)]
pub(super) struct NetRelay {
    pub(super) hub: Hub,
    /// Counts its starts: events in flight inside an earlier life are lost.
    pub(super) life: u32,
    pub(super) disk: MemoryStore,
    pub(super) disk_busy: Duration,
    pub(super) shards: Vec<ShardModel>,
    pub(super) parents: Vec<RelayNo>,
    /// The wake-up that is in force.
    pub(super) armed: Option<Duration>,
    pub(super) spins: (Duration, u32),
}

impl NetRelay {
    /// A relay in its first life.
    pub(super) fn new(hub: Hub, parents: &[RelayNo], shards: u8) -> Self {
        Self {
            hub,
            life: 0,
            disk: MemoryStore::default(),
            disk_busy: Duration::ZERO,
            shards: (0..shards).map(|id| ShardModel::new(ShardId(id))).collect(),
            parents: parents.to_vec(),
            armed: None,
            spins: (Duration::ZERO, 0),
        }
    }
}

/// The settings of a relay's hub, whose chance comes from `seed`. `base` is virtual time 0.
pub(super) fn hub_config(
    base: Instant,
    number: RelayNo,
    parents: &[RelayNo],
    shards: u8,
    seed: [u8; 32],
) -> HubConfig {
    let token: Option<Secret> = TRUNK_TOKEN.parse().ok();
    HubConfig {
        relay: RelayId(number.0 as u64 + 1),
        name: name(&format!("relay-{}", number.0)),
        shards,
        parents: parents.iter().copied().map(place).collect(),
        auth: Auth {
            keys: people::keys(),
            relay_token: token.clone(),
            dev: true,
            ..Auth::default()
        },
        setup: Arc::new(RoomContext {
            relay: RelayId(number.0 as u64 + 1),
            name: name(&format!("relay-{}", number.0)),
            wall: WallClock { at: base, unix_us: EPOCH_MS * 1_000 },
            key: LogKey::from_seed(&[7; 32]),
            policy: Arc::new(Policy::default()),
            audience_from: 1_000,
        }),
        relay_token: token,
        max_rooms: 1_000,
        capacity: None,
        redirect_to: Vec::new(),
        first_revision: Revision(EPOCH_MS << 20),
        drain_to: None,
        drain_timeout: Duration::from_secs(5),
        keep_statistics: None,
        seed,
    }
}

/// Address of a relay: its number is the port.
pub(super) fn place(relay: RelayNo) -> HostPort {
    format!("relay:{}", relay.0 + 1).parse().expect("a relay of the net has a place")
}

pub(super) fn name(text: &str) -> DisplayName {
    text.parse().expect("a name of the simulation is a name")
}

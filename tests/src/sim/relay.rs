//! A relay of the simulation: the production shards and hub, wired as in `tribune_relay::run` and
//! `tribune_relay_core::shard::driver`, with the steps of a turn in the same order, without threads.

mod core;
mod spec;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{ClientConfig, ConnectionId, EndpointConfig, ServerConfig};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tribune_protocol::ALPN_TRUNK;
use tribune_protocol::ids::{DisplayName, RelayId, Revision, RoomName};
use tribune_protocol::log::LogKey;
use tribune_relay::tls::{ServerTrust, TlsIdentity, client_crypto, server_crypto_for};
use tribune_relay_core::auth::Auth;
use tribune_relay_core::auth::secret::Secret;
use tribune_relay_core::clock::WallClock;
use tribune_relay_core::counters::{DropCause, HubCounters, ShardCounters};
use tribune_relay_core::hub::{Hub, HubConfig};
use tribune_relay_core::link::bridge::BridgeKey;
use tribune_relay_core::messages::{Packet, ShardId, ShardMessage};
use tribune_relay_core::query::{Answer, Query};
use tribune_relay_core::room::Room;
use tribune_relay_core::room::authority::policy::Policy;
use tribune_relay_core::room::context::RoomContext;
use tribune_relay_core::shard::keys::MasterKeys;
use tribune_relay_core::shard::limits::{accepting_transport, congestion, dialling_transport};
use tribune_relay_core::shard::steering::{ShardCids, SteeringKey};
use tribune_relay_core::shard::{Shard, ShardConfig};
use tribune_relay_core::store::{MemoryStore, Store};
use tribune_relay_core::tree::host_port::HostPort;
use tribune_relay_core::tree::query::Ticket;

use self::core::{Core, ShardHost};
pub use self::spec::RelaySpec;
use super::log::{Entry, Log};
use super::{Arrival, EPOCH_US, HostId, Sent, token};

/// Packets that a shard takes in one turn, as in the driver: 16 batches of 32.
const PACKETS_PER_TURN: usize = 512;
/// Token of the trunks of a simulation.
const TRUNK_TOKEN: &str = "trunk";

/// One relay.
#[derive(Debug)]
pub struct SimRelay {
    host: HostId,
    name: String,
    address: SocketAddr,
    parents: Vec<SocketAddr>,
    spec: RelaySpec,
    rng: StdRng,
    /// The beginning of time.
    base: Instant,
    /// `None` before it starts, after a kill, and once it has drained.
    core: Option<Core>,
    busy_until: Duration,
    hub_hangs: bool,
    /// Outlives a kill, where the relay has a data directory.
    disk: MemoryStore,
}

impl SimRelay {
    pub(super) fn new(
        host: HostId,
        name: &str,
        address: SocketAddr,
        parents: Vec<SocketAddr>,
        spec: RelaySpec,
        seed: u64,
    ) -> Self {
        let (name, rng) = (name.to_owned(), StdRng::seed_from_u64(seed));
        let (core, busy_until, hub_hangs) = (None, Duration::ZERO, false);
        let (base, disk) = (Instant::now(), MemoryStore::default());
        Self { host, name, address, parents, spec, rng, base, core, busy_until, hub_hangs, disk }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is running.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// The relays from the origin down to this one; empty while there is no way to the origin.
    #[must_use]
    pub fn path(&self) -> Vec<RelayId> {
        self.core.as_ref().map(|core| core.hub.path()).unwrap_or_default()
    }

    /// State of its uplink, in a word, as `tribune_relay_core::hub::Hub::trunk_state` has it.
    #[must_use]
    pub fn trunk_state(&self) -> Option<&'static str> {
        self.core.as_ref().map(|core| core.hub.trunk_state().as_str())
    }

    /// A room, if the relay carries it.
    #[must_use]
    pub fn room(&self, name: &str) -> Option<&Room> {
        let name: RoomName = name.parse().ok()?;
        self.core.as_ref()?.hub.room(&name)
    }

    /// The hub's counters in this life.
    pub fn hub_counters(&mut self) -> HubCounters {
        self.core.as_mut().map(|core| core.hub.counters().clone()).unwrap_or_default()
    }

    /// Each shard's counters in this life.
    pub fn shard_counters(&mut self) -> Vec<ShardCounters> {
        let shards = self.core.iter_mut().flat_map(|core| &mut core.shards);
        shards.map(|host| host.shard.counters().clone()).collect()
    }

    /// Has its first shard find that it was at work for that share of a second, in parts per million.
    pub fn be_busy(&mut self, busy_ppm: u64) {
        if let Some(core) = &mut self.core {
            (0..5).for_each(|_| core.shards[0].shard.handle_busy(busy_ppm));
        }
    }

    /// Frames that were not passed on for a cause, over all shards.
    pub fn dropped(&mut self, cause: DropCause) -> u64 {
        self.shard_counters().iter().map(|counters| counters.frames_dropped.of(cause)).sum()
    }

    /// Frames passed on, over all shards.
    pub fn forwarded(&mut self) -> u64 {
        self.shard_counters().iter().map(|counters| counters.frames_forwarded).sum()
    }

    /// Connections open, over all shards.
    pub fn connections(&mut self) -> u64 {
        self.shard_counters().iter().map(|counters| counters.connections).sum()
    }

    /// Has a shard find that message of another one at its next turn.
    pub fn inject_shard_message(&mut self, shard: u8, shard_message: ShardMessage) {
        if let Some(core) = &mut self.core {
            core.to_shards[usize::from(shard)].try_send(shard_message).expect("the queue has room");
        }
    }

    /// Has the hub do nothing from now on, while the shards go on: a relay that is alive and does not
    /// decide.
    pub const fn set_hub_hangs(&mut self, hangs: bool) {
        self.hub_hangs = hangs;
    }

    pub(super) fn set_parents(&mut self, parents: Vec<SocketAddr>) {
        self.parents = parents;
    }

    pub(super) fn kill(&mut self) {
        self.core = None;
        if !self.spec.has_data {
            self.disk = MemoryStore::default();
        }
    }

    /// Asks as an operator does over HTTP.
    pub(super) fn query(&mut self, now: Instant, ticket: Ticket, query: Query) {
        let now = self.here(now);
        if let Some(core) = &mut self.core {
            core.hub.handle_query(now, ticket, query);
        }
    }

    /// The answer to [`Self::query`], once it is there.
    pub(super) fn take_answer(&mut self, ticket: Ticket) -> Option<Answer> {
        self.core.as_mut()?.answers.remove(&ticket)
    }

    pub(super) fn drain(&mut self, now: Instant, to: Option<String>, within: Option<Duration>) {
        let now = self.here(now);
        if let Some(core) = &mut self.core {
            core.hub.handle_drain(now, to, within);
        }
    }

    pub(super) fn start(&mut self, base: Instant, now: Duration) {
        self.base = base;
        let unix_us = EPOCH_US.wrapping_add_signed(self.spec.clock.skew_us);
        let now_here = base + self.spec.clock.elapsed(now);
        let wall = WallClock { at: base, unix_us };
        let steering = SteeringKey(self.rng.random());
        let relay = RelayId(self.host.0 as u64 + 1);
        let keys = MasterKeys::from_seed([self.host.0 as u8; 32]);
        let mut to_shards = Vec::new();
        let shards = (0..self.spec.shards).map(|id| {
            let config = self.shard_config(ShardId(id), &keys, steering, wall);
            let (sender, shard_messages) = mpsc::channel(self.spec.message_queue);
            to_shards.push(sender);
            ShardHost {
                shard: Shard::new(config),
                packets: VecDeque::new(),
                shard_messages,
                commands: VecDeque::new(),
            }
        });
        let shards = shards.collect();
        let unix_ms = wall.unix_us(now_here) / 1_000;
        let token: Option<Secret> = TRUNK_TOKEN.parse().ok();
        let config = HubConfig {
            relay,
            name: display_name(&self.name),
            shards: self.spec.shards,
            parents: self.parents.iter().map(|parent| host_port(*parent)).collect(),
            // The simulated network has no loopback.
            auth: Auth {
                keys: token::keys(),
                relay_token: token.clone(),
                dev: true,
                dev_anywhere: true,
                ..Auth::default()
            },
            setup: Arc::new(RoomContext {
                relay,
                name: display_name(&self.name),
                wall,
                key: LogKey::from_seed(&[self.host.0 as u8; 32]),
                policy: Arc::new(Policy::default()),
                audience_from: self.spec.audience_from,
            }),
            relay_token: token,
            max_rooms: 1_000,
            capacity: None,
            redirect_to: Vec::new(),
            first_revision: Revision(unix_ms << 20),
            drain_to: self.spec.drain_to.clone(),
            drain_timeout: self.spec.drain_timeout,
            keep_statistics: None,
            seed: self.rng.random(),
        };
        let mut hub = Hub::new(config, now_here);
        let rooms = self.disk.load().expect("memory is readable");
        hub.restore(rooms, now_here).expect("a room that a relay has stored");
        self.core = Some(Core {
            shards,
            to_shards,
            hub,
            to_hub: VecDeque::new(),
            drained: false,
            answers: BTreeMap::new(),
        });
        self.busy_until = now;
    }

    /// Takes a packet off the network. Whether the relay has time for it at once.
    pub(super) fn receive(&mut self, now: Duration, arrival: Arrival) -> bool {
        let Some(core) = &mut self.core else { return false };
        let packet = Packet {
            remote: arrival.from,
            local_ip: Some(self.address.ip()),
            ecn: None,
            payload: BytesMut::from(&arrival.payload[..]),
        };
        // The kernel spreads by a hash of the addresses; this one is as good.
        let shard = usize::from(arrival.from.port()) + octet(arrival.from);
        let count = core.shards.len();
        core.shards[shard % count].packets.push_back(packet);
        // While it is busy, a wake-up at the end of that is scheduled already.
        self.busy_until <= now
    }

    /// One turn of every shard and of the hub, and again while there is work. Gives the time at
    /// which to call it next.
    pub(super) fn turn(
        &mut self,
        base: Instant,
        now: Duration,
        sent: &mut Vec<Sent>,
        log: &mut Log,
    ) -> Option<Duration> {
        if self.busy_until > now {
            return Some(self.busy_until);
        }
        let core = self.core.as_mut()?;
        let at = base + self.spec.clock.elapsed(now);
        let mut cost = Duration::ZERO;
        let mut packets = PACKETS_PER_TURN;
        loop {
            for shard in 0..core.shards.len() {
                let outcome = core.turn_shard(at, shard, &mut packets, self.address, sent);
                cost += self.spec.packet_cost * outcome.packets
                    + self.spec.handshake_cost * outcome.admitted;
            }
            if !self.hub_hangs {
                core.turn_hub(at, now, self.host, &self.parents, &mut self.disk, log);
            }
            if core.is_quiet(packets, self.hub_hangs) {
                break;
            }
        }
        if core.drained {
            self.core = None;
            log.push(Entry::note(now, self.host, "has drained".to_owned()));
            return None;
        }
        self.busy_until = now + cost;
        let waiting = core.shards.iter().any(|host| !host.packets.is_empty());
        let next = if waiting {
            Some(self.spec.clock.elapsed(now))
        } else {
            core.next(base, at, self.hub_hangs)
        };
        let next = next.map(|next| self.spec.clock.true_time(next).max(self.busy_until));
        // Packets that arrive while it is busy are handled afterwards.
        if cost > Duration::ZERO { Some(self.busy_until) } else { next }
    }

    /// A moment by the relay's own clock.
    fn here(&self, now: Instant) -> Instant {
        self.base + self.spec.clock.elapsed(now.saturating_duration_since(self.base))
    }

    fn shard_config(
        &mut self,
        id: ShardId,
        keys: &MasterKeys,
        steering: SteeringKey,
        wall: WallClock,
    ) -> ShardConfig {
        let mut endpoint = EndpointConfig::new(keys.reset_key());
        let seed = self.rng.random();
        endpoint.cid_generator(move || Box::new(ShardCids::new(id, steering, seed)));
        endpoint.rng_seed(Some(self.rng.random()));
        let crypto = server_crypto_for(identity(), None).expect("a fresh identity is usable");
        let congestion = congestion();
        let mut server = ServerConfig::new(crypto, keys.retry_key());
        server.transport_config(accepting_transport(Arc::clone(&congestion)));
        let dialled = if id == ShardId(0) { self.parents.len() } else { 0 };
        let clients = (0..dialled).map(|_| {
            let crypto = client_crypto(ALPN_TRUNK, ServerTrust::Anything, None)
                .expect("the TLS settings of a trunk are usable");
            let mut client = ClientConfig::new(crypto);
            client.transport_config(dialling_transport(Arc::clone(&congestion)));
            client.initial_dst_cid_provider(first_cids(self.rng.random()));
            client
        });
        ShardConfig {
            id,
            endpoint: Arc::new(endpoint),
            server: Arc::new(server),
            clients: clients.collect(),
            congestion,
            steering,
            // Nobody comes by a WebSocket here.
            bridge: BridgeKey::new([0; 32]),
            wall,
            top_n: self.spec.top_n,
            max_connections: 10_000,
        }
    }
}

/// The identity of all relays: made once in a process, because a certificate's size varies by a byte
/// with its serial number.
fn identity() -> &'static TlsIdentity {
    static IDENTITY: OnceLock<TlsIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| TlsIdentity::ephemeral("relay").expect("Ed25519 keys can be made"))
}

/// The connection IDs that first packets bear, from a seed.
pub(super) fn first_cids(seed: u64) -> Arc<dyn Fn() -> ConnectionId + Send + Sync> {
    let next = AtomicU64::new(seed);
    Arc::new(move || ConnectionId::new(&next.fetch_add(1, Ordering::Relaxed).to_be_bytes()))
}

fn host_port(address: SocketAddr) -> HostPort {
    address.to_string().parse().expect("an address of the simulation is a place")
}

pub(super) fn display_name(name: &str) -> DisplayName {
    name.parse().expect("a name of the simulation is a name")
}

fn octet(address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(address) => usize::from(address.ip().octets()[3]),
        SocketAddr::V6(address) => usize::from(address.ip().octets()[15]),
    }
}

//! The simulated network: the production relay core and clients on quinn-proto, in one thread and in
//! virtual time. Nothing sleeps, nothing reads a clock; the same seed gives the same run.
//!
//! A test builds a [`Sim`], adds relays and clients, lets time pass with [`Sim::run_for`] or
//! [`Sim::run_until`], and looks at what each client heard. A failure prints its seed;
//! `TRIBUNE_SIM_SEED=n` runs that one alone, `TRIBUNE_SIM_SEEDS=n` widens the search, and
//! `TRIBUNE_SIM_LOG=FILE` keeps the event log of the run that failed.
//!
//! * [`network`] — links: latency, loss, reordering, duplication, partitions
//! * [`relay`] — shards and hub, wired as in `tribune_relay::run`, without threads
//! * [`client`], [`heard`], [`talk`] — participants: obedient, deaf, hostile
//! * [`clock`] — clocks that are wrong
//! * [`log`], [`seed`], [`token`], [`tree`] — parts

pub mod client;
pub mod clock;
pub mod heard;
pub mod log;
pub mod network;
pub mod relay;
pub mod seed;
pub mod talk;
pub mod token;
pub mod tree;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tribune_relay_core::query::{Answer, Query};
use tribune_relay_core::tree::query::Ticket;

use self::client::SimClient;
use self::log::{Entry, Fate, Log};
use self::network::{Link, Network, client_address, relay_address};
use self::relay::{RelaySpec, SimRelay};
use crate::fingerprint;
use crate::schedule::Schedule;

/// Unix time at virtual time 0, in microseconds.
pub const EPOCH_US: u64 = 1_700_000_000_000_000;
/// Turns of one host at one instant after which it is taken to spin. A storm of a thousand joins,
/// eight a turn, stays below.
const SPINS: u32 = 2_000;

/// A host of the simulation, in the order of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// A relay of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelayHandle(pub HostId);

/// A client of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientHandle(pub HostId);

/// A packet that a host sends.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

/// A packet that reaches a host.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) from: SocketAddr,
    pub(crate) payload: Vec<u8>,
    /// When the sender handed it to the network.
    pub(crate) sent: Duration,
}

/// What can happen.
#[derive(Debug)]
enum What {
    Packet { to: HostId, arrival: Arrival },
    Wake { host: HostId },
}

#[derive(Debug)]
enum Host {
    Relay(Box<SimRelay>),
    Client(Box<SimClient>),
}

/// The world. See the module's documentation.
#[derive(Debug)]
pub struct Sim {
    seed: u64,
    base: Instant,
    now: Duration,
    rng: StdRng,
    /// Links between hosts.
    pub network: Network,
    hosts: Vec<Host>,
    addresses: BTreeMap<SocketAddr, HostId>,
    /// For each host, the wake-up that is in force.
    armed: Vec<Option<Duration>>,
    spins: Vec<(Duration, u32)>,
    schedule: Schedule<What>,
    log: Log,
}

impl Sim {
    /// An empty world. Its only source of chance is `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            // Read once, and never compared with another reading: every run counts from 0.
            base: Instant::now(),
            now: Duration::ZERO,
            rng: StdRng::seed_from_u64(seed),
            network: Network::new(seed, Link::default()),
            hosts: Vec::new(),
            addresses: BTreeMap::new(),
            armed: Vec::new(),
            spins: Vec::new(),
            schedule: Schedule::default(),
            log: Log::default(),
        }
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// What has happened so far.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Adds a relay with parents to choose from, in order. It starts at once.
    pub fn relay(&mut self, name: &str, parents: &[RelayHandle]) -> RelayHandle {
        self.relay_with(name, parents, RelaySpec::default())
    }

    /// As [`Self::relay`], not with the usual settings.
    pub fn relay_with(
        &mut self,
        name: &str,
        parents: &[RelayHandle],
        spec: RelaySpec,
    ) -> RelayHandle {
        let id = HostId(self.hosts.len());
        let parents = parents.iter().map(|parent| relay_address(parent.0)).collect();
        let relay = SimRelay::new(id, name, relay_address(id), parents, spec, self.rng.random());
        self.insert(id, relay_address(id), Host::Relay(Box::new(relay)));
        self.start(RelayHandle(id));
        RelayHandle(id)
    }

    /// A relay that is not there yet, so that two can name each other; [`Self::adopt`] sets its
    /// parents, [`Self::start`] starts it.
    pub fn future_relay(&mut self, name: &str) -> RelayHandle {
        let id = HostId(self.hosts.len());
        let (address, spec) = (relay_address(id), RelaySpec::default());
        let relay = SimRelay::new(id, name, address, Vec::new(), spec, self.rng.random());
        self.insert(id, address, Host::Relay(Box::new(relay)));
        RelayHandle(id)
    }

    /// Gives a relay other parents, from its next start on.
    pub fn adopt(&mut self, relay: RelayHandle, parents: &[RelayHandle]) {
        let parents = parents.iter().map(|parent| relay_address(parent.0)).collect();
        self.relay_mut(relay).set_parents(parents);
    }

    /// Starts a relay, or starts it again, without any memory of an earlier life but its identity.
    pub fn start(&mut self, relay: RelayHandle) {
        let (base, now) = (self.base, self.now);
        self.relay_mut(relay).start(base, now);
        self.note(relay.0, "starts");
        self.turn(relay.0);
    }

    /// Ends a relay as `kill -9` does: no packet leaves it any more, none is answered.
    pub fn kill(&mut self, relay: RelayHandle) {
        self.relay_mut(relay).kill();
        self.note(relay.0, "is killed");
    }

    /// As SIGTERM does.
    pub fn drain(&mut self, relay: RelayHandle) {
        self.drain_to(relay, None, None);
    }

    /// Drains a relay, with another place or time than those of its settings.
    pub fn drain_to(
        &mut self,
        relay: RelayHandle,
        to: Option<RelayHandle>,
        within: Option<Duration>,
    ) {
        let now = self.instant();
        let to = to.map(|to| relay_address(to.0).to_string());
        self.note(relay.0, "drains");
        self.relay_mut(relay).drain(now, to, within);
        self.turn(relay.0);
    }

    /// Asks a relay as an operator does over HTTP, and waits for the answer.
    pub fn ask(&mut self, relay: RelayHandle, query: Query) -> Answer {
        let (now, ticket) = (self.instant(), Ticket(self.rng.random()));
        self.relay_mut(relay).query(now, ticket, query);
        self.turn(relay.0);
        let mut answer = None;
        self.run_until("an answer to an operator", Duration::from_secs(10), |sim| {
            answer = sim.relay_mut(relay).take_answer(ticket);
            answer.is_some()
        });
        answer.unwrap_or_else(|| unreachable!("it has been waited for"))
    }

    /// Adds a client that does nothing yet.
    pub fn client(&mut self, name: &str) -> ClientHandle {
        let session = self.rng.random();
        self.client_with_session(name, session)
    }

    /// As [`Self::client`], with a session key of one's choice: the same one twice is one participant.
    pub fn client_with_session(&mut self, name: &str, session: [u8; 16]) -> ClientHandle {
        let id = HostId(self.hosts.len());
        let client = SimClient::new(id, name, session, self.rng.random());
        self.insert(id, client_address(id, 0), Host::Client(Box::new(client)));
        ClientHandle(id)
    }

    /// Connects a client to a relay, from a fresh address; what it had before is gone without a word.
    pub fn connect(&mut self, client: ClientHandle, relay: RelayHandle) {
        let (now, attempt) = (self.instant(), self.client_ref(client).attempts() + 1);
        self.move_to(client, client_address(client.0, attempt));
        self.client_mut(client).connect(now, relay_address(relay.0));
        self.turn(client.0);
    }

    /// From now on a client goes where a relay moves it, as the client library does: it joins there
    /// while the present relay serves, and listens to both until nothing is missing.
    pub fn follow_moves(&mut self, client: ClientHandle) {
        for address in client::handoff::addresses(client.0) {
            self.addresses.insert(address, client.0);
        }
        self.client_mut(client).set_follows_moves();
    }

    /// Where a relay is, as `HOST:PORT`.
    #[must_use]
    pub fn address(&self, relay: RelayHandle) -> String {
        relay_address(relay.0).to_string()
    }

    /// Gives a client another address, as a NAT does that forgets.
    pub fn rebind(&mut self, client: ClientHandle) {
        let port = self.client_ref(client).address().port() + 10_000;
        self.move_to(client, SocketAddr::new(client_address(client.0, 0).ip(), port));
    }

    /// Has a client do something, and lets it send what follows.
    pub fn with<R>(&mut self, client: ClientHandle, act: impl FnOnce(&mut SimClient) -> R) -> R {
        let (base, now) = (self.base, self.now);
        let host = self.client_mut(client);
        host.set_time(base, now);
        let result = act(host);
        self.turn(client.0);
        result
    }

    /// A client, to look at.
    #[must_use]
    pub fn client_ref(&self, client: ClientHandle) -> &SimClient {
        match &self.hosts[client.0.0] {
            Host::Client(client) => client,
            Host::Relay(_) => panic!("host {} is no client", client.0.0),
        }
    }

    /// A relay, to look at.
    #[must_use]
    pub fn relay_ref(&self, relay: RelayHandle) -> &SimRelay {
        match &self.hosts[relay.0.0] {
            Host::Relay(relay) => relay,
            Host::Client(_) => panic!("host {} is no relay", relay.0.0),
        }
    }

    /// A relay, to look at its counters.
    pub fn relay_mut(&mut self, relay: RelayHandle) -> &mut SimRelay {
        match &mut self.hosts[relay.0.0] {
            Host::Relay(relay) => relay,
            Host::Client(_) => panic!("host {} is no relay", relay.0.0),
        }
    }

    /// Throws a UDP packet at a relay, from an address of nobody.
    pub fn inject(&mut self, from: SocketAddr, to: RelayHandle, payload: Vec<u8>) {
        let arrival = Arrival { from, payload, sent: self.now };
        self.schedule.push(self.now, What::Packet { to: to.0, arrival });
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets virtual time pass until something is so, and gives the time it took; panics if it is not
    /// so within `limit`.
    pub fn run_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut is_so: impl FnMut(&mut Self) -> bool,
    ) -> Duration {
        let began = self.now;
        loop {
            if is_so(self) {
                return self.now - began;
            }
            assert!(self.now < began + limit, "not within {limit:?}: {what}");
            if !self.step(began + limit) {
                self.now = began + limit;
            }
        }
    }

    /// The next event up to `end`. `false` if there is none.
    fn step(&mut self, end: Duration) -> bool {
        let Some((at, what)) = self.schedule.pop_until(end) else { return false };
        self.now = at;
        match what {
            What::Packet { to, arrival } => {
                let base = self.base;
                let ready = match &mut self.hosts[to.0] {
                    Host::Relay(relay) => relay.receive(at, arrival),
                    Host::Client(client) => {
                        client.set_time(base, at);
                        client.receive(arrival);
                        true
                    }
                };
                if ready {
                    self.turn(to);
                }
            }
            What::Wake { host } => {
                if self.armed[host.0] == Some(at) {
                    self.armed[host.0] = None;
                    self.turn(host);
                }
            }
        }
        true
    }

    /// Lets a host do what it has to, sends what it sends, and notes when it wants to be called.
    fn turn(&mut self, id: HostId) {
        self.check_spin(id);
        let (base, now) = (self.base, self.now);
        let mut sent = Vec::new();
        let deadline = match &mut self.hosts[id.0] {
            Host::Relay(relay) => relay.turn(base, now, &mut sent, &mut self.log),
            Host::Client(client) => {
                client.set_time(base, now);
                client.turn(&mut sent, &mut self.log)
            }
        };
        for Sent { from, to, payload } in sent {
            self.send(id, from, to, payload);
        }
        if let Some(deadline) = deadline {
            let at = deadline.max(now);
            if self.armed[id.0].is_none_or(|armed| at < armed) {
                self.armed[id.0] = Some(at);
                self.schedule.push(at, What::Wake { host: id });
            }
        }
    }

    fn send(&mut self, from_host: HostId, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) {
        let bytes = payload.len();
        let Some(to_host) = self.addresses.get(&to).copied() else {
            self.log.push(Entry::packet(self.now, from_host, None, bytes, Fate::Nowhere));
            return;
        };
        for fate in self.network.carry(self.now, from_host, to_host) {
            self.log.push(Entry::packet(self.now, from_host, Some(to_host), bytes, fate));
            if let Fate::Arrives(at) = fate {
                let arrival = Arrival { from, payload: payload.clone(), sent: self.now };
                self.schedule.push(at, What::Packet { to: to_host, arrival });
            }
        }
    }

    fn insert(&mut self, id: HostId, address: SocketAddr, host: Host) {
        self.hosts.push(host);
        self.armed.push(None);
        self.spins.push((Duration::ZERO, 0));
        self.addresses.insert(address, id);
    }

    fn move_to(&mut self, client: ClientHandle, address: SocketAddr) {
        let old = self.client_ref(client).address();
        self.addresses.remove(&old);
        self.addresses.insert(address, client.0);
        self.client_mut(client).set_address(address);
    }

    fn client_mut(&mut self, client: ClientHandle) -> &mut SimClient {
        match &mut self.hosts[client.0.0] {
            Host::Client(client) => client,
            Host::Relay(_) => panic!("host {} is no client", client.0.0),
        }
    }

    fn instant(&self) -> Instant {
        self.base + self.now
    }

    fn note(&mut self, host: HostId, text: &str) {
        self.log.push(Entry::note(self.now, host, text.to_owned()));
    }

    /// A host that wants to be called again and again at one instant would never sleep in the world.
    fn check_spin(&mut self, id: HostId) {
        let (at, count) = &mut self.spins[id.0];
        if *at != self.now {
            (*at, *count) = (self.now, 0);
        }
        *count += 1;
        assert!(*count < SPINS, "host {} spins at {:?}", id.0, self.now);
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("TRIBUNE_SIM_SEED={} at virtual time {:?}", self.seed, self.now);
            if let Ok(path) = std::env::var("TRIBUNE_SIM_LOG") {
                let _ = std::fs::write(path, self.log.to_string());
            }
        }
        fingerprint::record("sim", self.seed, self.log.fingerprint());
    }
}

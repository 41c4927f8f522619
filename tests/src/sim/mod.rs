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
//! * [`participant`] — participants as the command line has them, for what is heard in the end
//! * [`hosts`] — how they come, go, and are found
//! * [`clock`] — clocks that are wrong
//! * [`log`], [`seed`], [`token`], [`tree`] — parts

pub mod client;
pub mod clock;
pub mod heard;
mod hosts;
pub mod log;
pub mod network;
pub mod participant;
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
use self::network::{Link, Network};
use self::participant::SimParticipant;
use self::relay::SimRelay;
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

/// A participant of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParticipantHandle(pub HostId);

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
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
    /// Time at which the sender sent it.
    pub(crate) sent: Duration,
}

/// Something that is scheduled.
#[derive(Debug)]
enum Event {
    Packet { to: HostId, arrival: Arrival },
    Wake { host: HostId },
}

#[derive(Debug)]
enum Host {
    Relay(Box<SimRelay>),
    Client(Box<SimClient>),
    Participant(Box<SimParticipant>),
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
    schedule: Schedule<Event>,
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

    /// Event log so far.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
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

    /// Has a client do something, and lets it send what follows.
    pub fn with<R>(&mut self, client: ClientHandle, act: impl FnOnce(&mut SimClient) -> R) -> R {
        let (base, now) = (self.base, self.now);
        let host = self.client_mut(client);
        host.set_time(base, now);
        let result = act(host);
        self.turn(client.0);
        result
    }

    /// Has a participant do something, and lets it send what follows.
    pub fn with_participant<R>(
        &mut self,
        participant: ParticipantHandle,
        act: impl FnOnce(&mut SimParticipant) -> R,
    ) -> R {
        let now = self.instant();
        let host = self.participant_mut(participant);
        host.set_time(now);
        let result = act(host);
        self.turn(participant.0);
        result
    }

    /// Throws a UDP packet at a relay, from an address of nobody.
    pub fn inject(&mut self, from: SocketAddr, to: RelayHandle, payload: Vec<u8>) {
        let address = network::relay_address(to.0);
        let arrival = Arrival { from, to: address, payload, sent: self.now };
        self.schedule.push(self.now, Event::Packet { to: to.0, arrival });
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
        let Some((at, event)) = self.schedule.pop_until(end) else { return false };
        self.now = at;
        match event {
            Event::Packet { to, arrival } => {
                let base = self.base;
                let ready = match &mut self.hosts[to.0] {
                    Host::Relay(relay) => relay.receive(at, arrival),
                    Host::Client(client) => {
                        client.set_time(base, at);
                        client.receive(arrival);
                        true
                    }
                    Host::Participant(participant) => {
                        participant.set_time(base + at);
                        participant.receive(arrival);
                        true
                    }
                };
                if ready {
                    self.turn(to);
                }
            }
            Event::Wake { host } => {
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
            Host::Participant(participant) => {
                participant.set_time(base + now);
                participant.turn(base, &mut sent)
            }
        };
        for Sent { from, to, payload } in sent {
            self.send(id, from, to, payload);
        }
        if let Some(deadline) = deadline {
            let at = deadline.max(now);
            if self.armed[id.0].is_none_or(|armed| at < armed) {
                self.armed[id.0] = Some(at);
                self.schedule.push(at, Event::Wake { host: id });
            }
        }
    }

    fn send(&mut self, from_host: HostId, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) {
        let bytes = payload.len();
        let Some(to_host) = self.addresses.get(&to).copied() else {
            self.log.push(Entry::packet(self.now, from_host, None, bytes, Fate::Nowhere));
            return;
        };
        for fate in self.network.carry(self.now, (from_host, to_host), bytes) {
            self.log.push(Entry::packet(self.now, from_host, Some(to_host), bytes, fate));
            if let Fate::Arrives(at) = fate {
                let arrival = Arrival { from, to, payload: payload.clone(), sent: self.now };
                self.schedule.push(at, Event::Packet { to: to_host, arrival });
            }
        }
    }

    /// Virtual time, as the machines are given it.
    #[must_use]
    pub fn instant(&self) -> Instant {
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

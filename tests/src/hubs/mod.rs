//! The hubs' machines joined by a simulated message network, without QUIC: trees of relays with ten
//! thousand participants, a thousand seeds at a time. One thread a run, virtual time, one source of
//! chance; the same seed gives the same run.
//!
//! Real: [`tribune_relay_core::hub::Hub`] and all below it, and every control message's bytes.
//! Modelled: shards (routes, subscriptions, the acknowledgement of routes), trunks
//! (order kept, delay, retransmission, breaks), participants, and frames as one number each.
//!
//! A test builds a [`HubNet`], adds relays and people, has them act, lets time pass with
//! [`HubNet::run_for`], and looks at [`HubNet::faults`]: the net itself checks the
//! invariants of every run ([`judge`]). A failure prints its seed; `TRIBUNE_SEED=n` runs that one alone,
//! `TRIBUNE_SEEDS=n` runs n of them ([`seeds`]).
//!
//! * [`relay`], [`event`] — a relay, and what can happen
//! * [`shard`] — a relay's shard, as far as hubs notice it
//! * [`trunk`] — the network between relays
//! * [`people`] — participants and their connections
//! * [`audio`] — the way of a frame
//! * [`judge`] — invariants and measurements
//! * [`tree`] — shapes of trees

pub mod audio;
mod event;
pub mod judge;
pub mod people;
mod relay;
pub mod seeds;
pub mod shard;
pub mod tree;
pub mod trunk;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::de::DeserializeOwned;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::decode;
use tribune_protocol::ids::{RequestId, RoomName};
use tribune_protocol::quality::QualitySummary;
use tribune_protocol::varint;
use tribune_relay_core::hub::{Hub, HubEffect};
use tribune_relay_core::messages::{ShardCommand, ShardEvent, ShardId};
use tribune_relay_core::query::Readiness;
use tribune_relay_core::room::Room;
use tribune_relay_core::store::{Store, StoreError, StoreReply, StoreRequest};

use self::event::NetEvent;
use self::judge::Judge;
use self::people::People;
use self::relay::{NetRelay, place};
use self::trunk::{Trunks, Weather};
use crate::fingerprint::{self, Fingerprint};
use crate::schedule::Schedule;

/// The room of all runs.
pub const ROOM: &str = "stage";
/// Unix time at virtual time 0, in milliseconds.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// The same in seconds.
pub const EPOCH_S: u64 = EPOCH_MS / 1_000;
/// Longest write: a disk that flushes.
const DISK: Duration = Duration::from_millis(15);
/// Turns of one hub at one instant after which it is taken to spin. A storm of joins stays below.
const SPINS: u32 = 100_000;

/// A relay of the net, in the order of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelayNo(pub usize);

/// The world. See the module's documentation.
#[derive(Debug)]
pub struct HubNet {
    seed: u64,
    base: Instant,
    now: Duration,
    rng: StdRng,
    weather: Weather,
    disk_fails: f64,
    relays: Vec<NetRelay>,
    trunks: Trunks,
    people: People,
    judge: Judge,
    schedule: Schedule<NetEvent>,
    room: RoomName,
    fingerprint: Fingerprint,
}

impl HubNet {
    /// An empty world. Its only source of chance is `seed`.
    #[must_use]
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self {
            seed,
            // Read once, and never compared with another reading: every run counts from 0.
            base: Instant::now(),
            now: Duration::ZERO,
            rng: StdRng::seed_from_u64(seed),
            weather,
            disk_fails: 0.0,
            relays: Vec::new(),
            trunks: Trunks::default(),
            people: People::default(),
            judge: Judge::default(),
            schedule: Schedule::default(),
            room: ROOM.parse().expect("the name of the room is a name"),
            fingerprint: Fingerprint::default(),
        }
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// Quality of the room over the last minute, from the reports that reached a relay.
    #[must_use]
    pub fn quality(&self, relay: RelayNo) -> Option<QualitySummary> {
        self.room(relay)?.quality(self.base + self.now)
    }

    /// The source of chance, for what a test decides.
    pub const fn chance(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// Changes the conditions on all links, for what is sent from now on.
    pub const fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Has that share of all writes fail.
    pub const fn set_disk_fails(&mut self, share: f64) {
        self.disk_fails = share;
    }

    /// A number that stands for everything that has happened so far.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint.value()
    }

    /// Number of relays.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.relays.len()
    }

    /// Whether there are no relays.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.relays.is_empty()
    }

    /// All relays, in the order of their making.
    pub fn relays(&self) -> impl Iterator<Item = RelayNo> + use<> {
        (0..self.relays.len()).map(RelayNo)
    }

    /// Adds a relay with parents to choose from, in order; without any it is the origin.
    pub fn relay(&mut self, parents: &[RelayNo], shards: u8) -> RelayNo {
        let number = RelayNo(self.relays.len());
        let hub = self.fresh_hub(number, parents, shards);
        self.relays.push(NetRelay::new(hub, parents, shards));
        self.carry_out(number);
        number
    }

    /// Drains a relay, which starts anew once it has drained. It names a place or none.
    pub fn drain(&mut self, relay: RelayNo, to: Option<RelayNo>, within: Duration) {
        let (now, to) = (self.base + self.now, to.map(|to| place(to).to_string()));
        self.relays[relay.0].hub.handle_drain(now, to, Some(within));
        self.carry_out(relay);
    }

    /// Whether a relay is draining.
    #[must_use]
    pub fn is_draining(&self, relay: RelayNo) -> bool {
        self.relays[relay.0].hub.readiness() == Readiness::Draining
    }

    fn fresh_hub(&mut self, number: RelayNo, parents: &[RelayNo], shards: u8) -> Hub {
        let config = relay::hub_config(self.base, number, parents, shards, self.rng.random());
        Hub::new(config, self.base + self.now)
    }

    /// Closes the remaining connections of a drained relay, and restarts it.
    fn restart(&mut self, relay: RelayNo) {
        self.close_all(relay, CloseCode::Draining);
        let shards = self.relays[relay.0].shards.len() as u8;
        let parents = self.relays[relay.0].parents.clone();
        let hub = self.fresh_hub(relay, &parents, shards);
        let host = &mut self.relays[relay.0];
        (host.hub, host.armed) = (hub, None);
        host.life += 1;
        self.judge_routes(relay);
        self.carry_out(relay);
    }

    /// The room on a relay, if it carries it.
    #[must_use]
    pub fn room(&self, relay: RelayNo) -> Option<&Room> {
        self.relays[relay.0].hub.room(&self.room)
    }

    /// Whether a relay believes that it is attached to the origin.
    #[must_use]
    pub fn is_attached(&self, relay: RelayNo) -> bool {
        !self.relays[relay.0].hub.path().is_empty()
    }

    /// Lets virtual time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, event)) = self.schedule.pop_until(end) {
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// Lets virtual time pass until something is so; `false` if it is not so within `limit`. Looks
    /// after every event.
    pub fn run_until(&mut self, limit: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !is_so(self) {
            let Some((at, event)) = self.schedule.pop_until(end) else {
                self.now = end;
                return is_so(self);
            };
            self.now = at;
            self.happen(event);
        }
        true
    }

    fn happen(&mut self, event: NetEvent) {
        match event {
            NetEvent::ToHub { relay, life, .. }
            | NetEvent::Commands { relay, life, .. }
            | NetEvent::Stored { relay, life, .. }
                if life != self.relays[relay.0].life => {}
            NetEvent::ToHub { relay, shard, event, .. } => {
                let now = self.base + self.now;
                self.relays[relay.0].hub.handle_event(now, shard, *event);
                self.carry_out(relay);
            }
            NetEvent::Commands { relay, shard, commands, .. } => {
                for command in commands {
                    self.handle_command(relay, shard, command);
                }
            }
            NetEvent::Wake { relay } => {
                if self.relays[relay.0].armed == Some(self.now) {
                    self.relays[relay.0].armed = None;
                    let now = self.base + self.now;
                    self.relays[relay.0].hub.handle_timeout(now);
                    self.carry_out(relay);
                }
            }
            NetEvent::Dialled { child, parent, dial } => self.handle_dialled(child, parent, dial),
            NetEvent::TrunkMessage { trunk, to, message } => {
                self.handle_trunk_message(trunk, to, &message);
            }
            NetEvent::TrunkGone { trunk, side } => self.handle_trunk_gone(trunk, side),
            NetEvent::Join { person, relay, role } => {
                self.join(person, relay, role);
            }
            NetEvent::Stored { relay, reply, .. } => {
                let at = self.base + self.now;
                self.relays[relay.0].hub.handle_stored(at, *reply);
                self.carry_out(relay);
            }
            NetEvent::Said { conn, message } => self.handle_said(conn, &message),
            NetEvent::Tick { conn } => self.handle_tick(conn),
            NetEvent::TrunkFrame { trunk, to, frame } => self.handle_trunk_frame(trunk, to, frame),
            NetEvent::SharedFrames { relay, shard, room, frame } => {
                self.handle_handover(relay, shard, room, frame);
            }
        }
    }

    /// Takes what a hub wants done, and notes when it wants to be called.
    fn carry_out(&mut self, relay: RelayNo) {
        let count = self.relays[relay.0].shards.len();
        let mut batches: Vec<Vec<ShardCommand>> = vec![Vec::new(); count];
        let (life, mut drained) = (self.relays[relay.0].life, false);
        while let Some(effect) = self.relays[relay.0].hub.poll_effect() {
            match effect {
                HubEffect::Shard(shard, command) => batches[usize::from(shard.0)].push(command),
                HubEffect::Dial { dial, target } => self.dial(relay, &target, dial),
                HubEffect::Store(request) => self.ask_store(relay, request),
                // Nobody asks by HTTP here.
                HubEffect::Answer { .. } => {}
                HubEffect::Drained => drained = true,
            }
        }
        for (shard, commands) in batches.into_iter().enumerate() {
            if !commands.is_empty() {
                let delay = self.weather.inside(&mut self.rng);
                let last = &mut self.relays[relay.0].shards[shard].last_command;
                *last = (*last).max(self.now + delay);
                let shard = ShardId(shard as u8);
                self.schedule.push(*last, NetEvent::Commands { relay, life, shard, commands });
            }
        }
        if drained {
            return self.restart(relay);
        }
        self.arm(relay);
    }

    /// A disk takes its time, and answers in the order of the questions.
    fn ask_store(&mut self, relay: RelayNo, request: StoreRequest) {
        let fails = self.disk_fails > 0.0 && self.rng.random_bool(self.disk_fails);
        let delay = self.rng.random_range(Duration::ZERO..DISK);
        let full = || StoreError::Full("the simulated disk has no space".to_owned());
        let disk = &mut self.relays[relay.0].disk;
        let reply = match request {
            StoreRequest::Write { id, batch } => {
                let result = if fails { Err(full()) } else { disk.write(&[batch]) };
                StoreReply::Written { id, result }
            }
            StoreRequest::ReadLog { id, room, from, limit } => {
                StoreReply::Log { id, result: disk.read_log(&room, from, limit) }
            }
            StoreRequest::ReadStatistics { id, room, run } => {
                StoreReply::Statistics { id, result: disk.read_statistics(&room, run) }
            }
            StoreRequest::ForgetStatistics { before_ms } => {
                StoreReply::Forgotten { result: disk.forget_statistics(before_ms) }
            }
        };
        let life = self.relays[relay.0].life;
        let due = &mut self.relays[relay.0].disk_busy;
        *due = (*due).max(self.now + delay);
        self.schedule.push(*due, NetEvent::Stored { relay, life, reply: Box::new(reply) });
    }

    /// Takes something that happened into the run's fingerprint.
    fn witness(&mut self, relay: RelayNo, bytes: &[u8]) {
        self.fingerprint.add(&(self.now.as_nanos() as u64).to_le_bytes());
        self.fingerprint.add(&(relay.0 as u64).to_le_bytes());
        self.fingerprint.add(bytes);
    }

    fn arm(&mut self, relay: RelayNo) {
        let host = &mut self.relays[relay.0];
        if host.spins.0 != self.now {
            host.spins = (self.now, 0);
        }
        host.spins.1 += 1;
        assert!(host.spins.1 < SPINS, "relay {} spins at {:?}", relay.0, self.now);
        let Some(due) = host.hub.poll_timeout() else { return };
        let at = due.saturating_duration_since(self.base).max(self.now);
        if host.armed.is_none_or(|armed| at < armed) {
            host.armed = Some(at);
            self.schedule.push(at, NetEvent::Wake { relay });
        }
    }

    /// Hands an event to a hub, behind those of the same shard that are on their way.
    fn tell_hub(&mut self, relay: RelayNo, shard: ShardId, event: ShardEvent) {
        let delay = self.weather.inside(&mut self.rng);
        let life = self.relays[relay.0].life;
        let last = &mut self.relays[relay.0].shards[usize::from(shard.0)].last_event;
        *last = (*last).max(self.now + delay);
        self.schedule.push(*last, NetEvent::ToHub { relay, life, shard, event: Box::new(event) });
    }
}

impl Drop for HubNet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("TRIBUNE_SEED={} at virtual time {:?}", self.seed, self.now);
        }
        fingerprint::record("hubs", self.seed, self.fingerprint);
    }
}

/// Reads a message with its length in front, as it came out of a stream.
fn read<M: DeserializeOwned>(bytes: &[u8]) -> (Option<RequestId>, M) {
    let mut body = bytes;
    let len = varint::take(&mut body).expect("a message begins with its length");
    assert_eq!(len, body.len() as u64, "one message at a time");
    let envelope = decode(body).expect("what a hub writes can be read");
    (envelope.id, envelope.message)
}

//! The hubs' network: what a moderator does is in force at every relay of the tree when it is
//! acknowledged, whatever races it. Ten thousand participants a run.
//!
//! `make test` runs five seeds of each. A thousand of each, in the release profile, within minutes:
//!
//! ```text
//! TRIBUNE_SEEDS=1000 cargo test --release -p tribune-tests --test hubs_moderation -- --nocapture
//! ```
//!
//! `TRIBUNE_SEED=17` runs that one alone.

use std::time::Duration;

use rand::RngExt;
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_relay_core::room::Room;
use tribune_tests::hubs::judge::{Timing, WatchNo};
use tribune_tests::hubs::people::{Answer, ConnNo, PersonNo, Stay};
use tribune_tests::hubs::seeds::over_seeds;
use tribune_tests::hubs::tree::Tree;
use tribune_tests::hubs::trunk::Weather;
use tribune_tests::hubs::{HubNet, RelayNo};

const AUDIENCE: usize = 10_000;
/// Subject of the heckler in every session.
const HECKLER: &str = "heckler";
const SECOND: Duration = Duration::from_secs(1);
/// A moderator who has heard nothing for that long asks again.
const ASKS_AGAIN: Duration = Duration::from_secs(4);
/// Within that, also with trunks breaking all the time, something is acknowledged.
const PATIENCE: Duration = Duration::from_secs(120);
/// Reconnects, counts and every patience of a hub are over after that.
const CALM: Duration = Duration::from_secs(25);

/// Moderation of the heckler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moderation {
    Silence,
    SilenceAll,
    Kick,
    Ban,
    /// Makes a listener of the heckler.
    Demote,
    /// Takes the permission to speak.
    TakeSpeech,
}

impl Moderation {
    /// Whether it keeps the heckler out.
    const fn keeps_out(self) -> bool {
        match self {
            Self::Kick | Self::Ban => true,
            Self::Silence | Self::SilenceAll | Self::Demote | Self::TakeSpeech => false,
        }
    }

    fn request(self, participant: ParticipantId) -> FromParticipant {
        let target = Target::Subject(HECKLER.parse().expect("a subject of the simulation is one"));
        let reason = Note::default();
        let act = match self {
            Self::Silence => Govern::Silence { participant, on: true, reason },
            Self::SilenceAll => Govern::SilenceAll { on: true, reason },
            Self::Kick => Govern::Kick { target: Target::Participant(participant), reason },
            Self::Ban => Govern::Ban { target, duration_s: None, reason },
            Self::Demote => Govern::SetRole { target, role: Role::Listener, reason },
            Self::TakeSpeech => Govern::SetPermission {
                target,
                permission: Permission::Speak,
                allow: Some(false),
                reason,
            },
        };
        FromParticipant::Govern { act }
    }
}

/// Result of a run.
struct Run {
    timing: Timing,
    /// Connections closed as replaced by none.
    replaced: u64,
    fingerprint: u64,
}

/// A room in full swing.
struct Evening {
    net: HubNet,
    tree: Tree,
    host: (PersonNo, ConnNo),
    heckler: PersonNo,
    /// The heckler in another session.
    twin: PersonNo,
    /// The heckler's connections, open or not.
    sessions: Vec<ConnNo>,
    listeners: Vec<ConnNo>,
    /// How often it is the twin who roams: not where the moderation is about one session.
    twins: f64,
    /// Chance of a break of some trunk, each step.
    breaks: f64,
    /// Chance of a move of the heckler, each step.
    roams: f64,
    /// Chance of the drain of a relay between, each step.
    drains: f64,
}

#[test]
fn a_silence_is_in_force_everywhere_when_it_is_acknowledged() {
    run("silence", Moderation::Silence);
}

#[test]
fn a_silence_of_all_is_in_force_everywhere_when_it_is_acknowledged() {
    run("silence of all", Moderation::SilenceAll);
}

#[test]
fn a_kick_is_in_force_everywhere_when_it_is_acknowledged() {
    run("kick", Moderation::Kick);
}

#[test]
fn a_ban_is_in_force_everywhere_when_it_is_acknowledged() {
    run("ban", Moderation::Ban);
}

#[test]
fn a_change_to_listener_is_in_force_everywhere_when_it_is_acknowledged() {
    run("change to listener", Moderation::Demote);
}

#[test]
fn a_permission_taken_is_in_force_everywhere_when_it_is_acknowledged() {
    run("permission taken", Moderation::TakeSpeech);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for (seed, moderation) in
        [(1, Moderation::Silence), (2, Moderation::Kick), (3, Moderation::Ban)]
    {
        let one = evening(seed, moderation, 300).fingerprint;
        assert_eq!(one, evening(seed, moderation, 300).fingerprint, "seed {seed}");
        assert_ne!(one, evening(seed + 1, moderation, 300).fingerprint);
    }
}

/// One run.
fn evening(seed: u64, moderation: Moderation, audience: usize) -> Run {
    let mut evening = Evening::begin(seed, moderation, audience);
    let before: Duration = evening.net.chance().random_range(Duration::ZERO..SECOND);
    let end = evening.net.now() + before;
    evening.pass_until(end);
    let watch = evening.act(moderation);
    let end = evening.net.now() + 2 * SECOND;
    evening.pass_until(end);
    evening.calm_down();
    assert_eq!(evening.net.faults(), [""; 0], "seed {seed}");
    evening.check(moderation);
    assert_eq!(evening.net.faults(), [""; 0], "seed {seed}");
    let timing = evening.net.timing(watch).expect("it is acknowledged");
    let replaced = evening.net.replaced_by_none();
    Run { timing, replaced, fingerprint: evening.net.fingerprint() }
}

impl Evening {
    /// A tree, a host and a heckler who both talk, and an audience that comes in.
    fn begin(seed: u64, moderation: Moderation, audience: usize) -> Self {
        let weather = if seed.is_multiple_of(5) { Weather::clean() } else { Weather::rough() };
        let mut net = HubNet::new(seed, weather);
        // No two deeds see the same evening.
        for _ in 0..moderation as u8 {
            let _ = net.chance().random::<u64>();
        }
        let shards = 1 + (seed % 2) as u8;
        let tree = match seed % 4 {
            3 => Tree::chain(&mut net, 5, shards),
            _ => Tree::of_seven(&mut net, shards),
        };
        let host = net.person("host");
        let [heckler, twin] = [(); 2].map(|()| net.bearer("heckler", HECKLER));
        let at = any(&mut net, &tree.relays);
        let host_conn = net.join(host, at, Role::Host);
        assert!(net.run_until(10 * SECOND, |net| net.joined(host_conn) == Some(Answer::Done)));
        let at = any(&mut net, &tree.relays);
        let heckler_conn = net.join(heckler, at, Role::Speaker);
        assert!(net.run_until(10 * SECOND, |net| net.joined(heckler_conn) == Some(Answer::Done)));
        net.talk(host);
        net.talk(heckler);
        net.talk(twin);
        let listeners = (0..audience).map(|_| {
            let listener = net.person("listener");
            // Most are at the leaves.
            let at_leaf = net.chance().random_bool(0.9);
            let at = any(&mut net, if at_leaf { &tree.leaves } else { &tree.relays });
            let pause = net.chance().random_range(Duration::ZERO..3 * SECOND);
            net.run_for(pause / u32::try_from(audience).unwrap_or(u32::MAX));
            net.join(listener, at, Role::Listener)
        });
        let listeners = listeners.collect();
        net.run_for(SECOND);
        net.set_disk_fails(if seed % 4 == 1 { 0.3 } else { 0.0 });
        let (breaks, roams) = match seed % 3 {
            0 => (0.0, 0.05),
            1 => (0.01, 0.02),
            _ => (0.05, 0.05),
        };
        let twins = match moderation {
            Moderation::Silence | Moderation::SilenceAll => 0.0,
            Moderation::Kick | Moderation::Ban | Moderation::Demote | Moderation::TakeSpeech => 0.3,
        };
        let drains = if seed / 2 % 2 == 1 { 0.01 } else { 0.0 };
        let (host, sessions) = ((host, host_conn), vec![heckler_conn]);
        Self { net, tree, host, heckler, twin, sessions, listeners, twins, breaks, roams, drains }
    }

    /// Lets time pass, with all that happens meanwhile.
    fn pass_until(&mut self, end: Duration) {
        while self.net.now() < end {
            let step = self.net.chance().random_range(Duration::ZERO..SECOND / 25);
            self.net.run_for(step);
            self.happen();
        }
    }

    /// One step: trunks break, the heckler roams, listeners come and go.
    fn happen(&mut self) {
        if self.net.chance().random_bool(self.breaks) {
            let child = any(&mut self.net, self.tree.below());
            self.net.break_trunk(child);
        }
        if self.net.chance().random_bool(self.drains) {
            self.drain();
        }
        if self.net.chance().random_bool(self.roams) {
            self.roam();
        }
        if self.net.chance().random_bool(0.05) {
            let conn = self.sessions[self.sessions.len() - 1];
            let muted = self.net.chance().random_bool(0.5);
            self.net.request(conn, &FromParticipant::OwnMute { muted });
        }
        self.return_host();
        for _ in 0..self.net.chance().random_range(0..4) {
            let listener = self.net.chance().random_range(0..self.listeners.len());
            self.net.vanish(self.listeners[listener]);
            let person = self.net.person("newcomer");
            let at = any(&mut self.net, &self.tree.leaves);
            self.listeners[listener] = self.net.join(person, at, Role::Listener);
        }
    }

    /// A relay between the origin and the leaves drains, unless it does already. It names nothing, or
    /// any relay: one that stands by, one that drains too, its own child, a leaf.
    fn drain(&mut self) {
        let leaves = &self.tree.leaves;
        let between = self.tree.below().iter().copied().filter(|relay| !leaves.contains(relay));
        let relay = any(&mut self.net, &between.collect::<Vec<_>>());
        let names = self.net.chance().random_bool(0.5);
        let to = names.then(|| any(&mut self.net, &self.tree.relays));
        let within = self.net.chance().random_range(SECOND / 2..4 * SECOND);
        if !self.net.is_draining(relay) {
            self.net.drain(relay, to, within);
        }
    }

    /// Rejoins a host whose connection was closed.
    fn return_host(&mut self) {
        let (host, conn) = self.host;
        if matches!(self.net.stay(conn), Stay::Gone(_)) {
            let at = any(&mut self.net, &self.tree.relays);
            self.host.1 = self.net.join(host, at, Role::Host);
        }
    }

    /// The heckler comes in elsewhere; the old connection goes, or is still there.
    fn roam(&mut self) {
        if self.net.chance().random_bool(0.5) {
            self.sessions.iter().for_each(|conn| self.net.vanish(*conn));
        }
        let at = any(&mut self.net, &self.tree.relays);
        let role = if self.net.chance().random_bool(0.8) { Role::Speaker } else { Role::Listener };
        let is_twin = self.net.chance().random_bool(self.twins);
        let who = if is_twin { self.twin } else { self.heckler };
        self.sessions.push(self.net.join(who, at, role));
    }

    /// The host does it, and again until it is acknowledged.
    fn act(&mut self, moderation: Moderation) -> WatchNo {
        let participant = self.net.id(self.heckler);
        let message = moderation.request(participant);
        let mut by = self.host.1;
        let mut request = self.net.request(by, &message);
        let mut asked = self.net.now();
        let watch = self.net.expect_off_air(&[self.heckler, self.twin], by, request);
        if moderation.keeps_out() {
            self.net.expect_kept_out(watch);
        }
        let patience = asked + PATIENCE;
        while self.net.timing(watch).is_none() {
            assert!(self.net.now() < patience, "it is never acknowledged");
            let refused = matches!(self.net.answer(by, request), Some((_, Answer::Refused(_))));
            if refused || by != self.host.1 || asked + ASKS_AGAIN <= self.net.now() {
                by = self.host.1;
                request = self.net.request(by, &message);
                asked = self.net.now();
                self.net.or_answered(watch, by, request);
            }
            let end = self.net.now() + SECOND / 20;
            self.pass_until(end);
        }
        watch
    }

    fn calm_down(&mut self) {
        self.net.heal();
        self.net.set_disk_fails(0.0);
        self.net.set_weather(Weather::clean());
        // What is still on its way may throw the host out once more.
        self.net.run_for(5 * SECOND);
        self.return_host();
        self.net.run_for(CALM);
        // The place of somebody who went away may run out just then.
        let revision = |net: &HubNet| net.room(self.tree.origin).map(Room::revision);
        let mut before = None;
        while before != revision(&self.net) {
            before = revision(&self.net);
            self.net.run_for(SECOND);
        }
        self.net.judge_rest(self.tree.origin);
    }

    /// Checks that the moderation holds everywhere, also for a participant who comes back.
    fn check(&mut self, moderation: Moderation) {
        let before = self.net.heard(self.host.0);
        let subject = self.net.id(self.heckler);
        let inside = |conn: &ConnNo| self.net.stay(*conn) == Stay::In;
        assert!(!moderation.keeps_out() || !self.sessions.iter().any(inside), "they are out");
        for relay in self.tree.relays.clone() {
            self.sessions.iter().for_each(|conn| self.net.vanish(*conn));
            self.net.run_for(SECOND);
            let conn = self.net.join(self.heckler, relay, Role::Speaker);
            self.net.run_for(SECOND);
            self.sessions.push(conn);
            let joined = self.net.joined(conn);
            let stage = &self.net.room(relay).expect("all carry the room").state().stage;
            let entry = stage.iter().find(|entry| entry.participant == subject);
            let silenced = entry.map(|entry| entry.silenced);
            match moderation {
                Moderation::Silence | Moderation::SilenceAll => {
                    assert_eq!((joined, silenced), (Some(Answer::Done), Some(true)));
                }
                Moderation::Kick | Moderation::Ban => {
                    let barred = Answer::Refused(ErrorCode::Barred);
                    assert_eq!((joined, silenced), (Some(barred), None));
                }
                Moderation::Demote | Moderation::TakeSpeech => {
                    assert_eq!(silenced, None, "{joined:?}")
                }
            }
        }
        assert!(self.net.heard(self.host.0) > before, "the host is heard all the same");
        assert!(self.net.heard(self.heckler) > 0, "the heckler was heard before");
    }
}

fn any(net: &mut HubNet, relays: &[RelayNo]) -> RelayNo {
    relays[net.chance().random_range(0..relays.len())]
}

fn run(what: &str, moderation: Moderation) {
    print_runs(what, &over_seeds(5, |seed| evening(seed, moderation, AUDIENCE)));
}

fn print_runs(what: &str, runs: &[Run]) {
    let line = |name: &str, time: fn(&Timing) -> Duration| {
        let mut times: Vec<_> = runs.iter().map(|run| time(&run.timing).as_millis()).collect();
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        format!("{name} p50 {} p99 {} max {} ms", at(50), at(99), at(100))
    };
    let relays: usize = runs.iter().map(|run| run.timing.relays).sum();
    let replaced: u64 = runs.iter().map(|run| run.replaced).sum();
    println!(
        "{what}, {} seeds, {:.1} relays in the tree all the while; {}; {}; {replaced} connections \
         replaced by none",
        runs.len(),
        relays as f64 / runs.len() as f64,
        line("to the answer", |timing| timing.to_answer),
        line("to the effect at the farthest relay", |timing| timing.to_effect),
    );
}

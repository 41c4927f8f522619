//! The simulated network: what a moderator decides about somebody who does not give in. Whoever is
//! banned, kicked, silenced, taken off the stage or made a listener is there with two connections,
//! keeps sending on every track that they ever had, and comes in again and again at other relays. Every
//! path loses, reorders and doubles packets. From the acknowledgement on none of their frames is handed
//! to anybody, and no join of theirs gives what was taken.
//!
//! Each seed is a tree of seven relays with 200 listeners at its leaves. Odd seeds have guests, one
//! session key for both connections; even seeds have tokens of one subject, and two session keys.
//! `make test` runs two seeds of each decision. All of them:
//!
//! ```text
//! TRIBUNE_SEEDS=50 cargo test --release -p tribune-tests --test sim_governance -- --nocapture
//! ```
//!
//! `TRIBUNE_SEED=17` runs that one alone.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId, RequestId, TrackId};
use tribune_tests::hubs::seeds::over_seeds;
use tribune_tests::sim::client::Answer;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::token::token;
use tribune_tests::sim::tree::{ROOM, SETTLES, Tree};
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const AUDIENCE: usize = 200;
const SECOND: Duration = Duration::from_secs(1);
const SUBJECT: &str = "heckler";
/// Seeds of each decision in `make test`: one with guests, one with tokens.
const USUAL_SEEDS: u64 = 2;
/// For two levels below the origin, the way there and back, and what is lost of that.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(4);
/// Time for which a decision may find nobody on the stage: the heckler is on the way elsewhere.
const FOUND_WITHIN: Duration = Duration::from_secs(20);
/// How long an attempt to come in is left alone: a handshake on a rough path, or the middle of one.
const STAYS_MS: std::ops::Range<u64> = 50..700;

/// Decision about the heckler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Ban,
    Kick,
    Silence,
    Remove,
    Demote,
}

/// Time of a decision, in virtual time from the request.
#[derive(Debug, Clone, Copy)]
struct Times {
    to_answer: Duration,
    /// Until the last relay had it in force.
    to_last_relay: Duration,
    /// Until the last frame was handed to anybody; zero if none was.
    to_last_frame: Duration,
}

#[test]
fn whoever_is_banned_is_out_everywhere_and_stays_out() {
    judge(Deed::Ban);
}

#[test]
fn whoever_is_kicked_is_out_everywhere_and_stays_out() {
    judge(Deed::Kick);
}

#[test]
fn whoever_is_silenced_is_heard_nowhere() {
    judge(Deed::Silence);
}

#[test]
fn whoever_is_taken_off_the_stage_is_heard_nowhere() {
    judge(Deed::Remove);
}

#[test]
fn whoever_is_made_a_listener_is_heard_nowhere() {
    judge(Deed::Demote);
}

/// A room in full swing.
struct Evening {
    seed: u64,
    sim: Sim,
    chance: StdRng,
    tree: Tree,
    host: ClientHandle,
    speaker: ClientHandle,
    /// The heckler's connections, and when each goes elsewhere.
    hecklers: Vec<(ClientHandle, Duration)>,
    /// The heckler's joins: whose, when it was asked for, and which request.
    joins: Vec<(ClientHandle, Duration, RequestId)>,
    listeners: Vec<ClientHandle>,
}

fn judge(deed: Deed) {
    let mut times = over_seeds(USUAL_SEEDS, |seed| Evening::begin(seed).judge(deed));
    let count = times.len();
    let mut line = |name: &str, time: fn(&Times) -> Duration| {
        times.sort_by_key(time);
        let at = |share: usize| time(&times[(count - 1) * share / 100]).as_millis();
        format!("{name} p50 {} p99 {} max {} ms", at(50), at(99), at(100))
    };
    println!(
        "{deed:?}, {count} seeds: {}; {}; {}",
        line("to the answer", |times| times.to_answer),
        line("to the last relay", |times| times.to_last_relay),
        line("to the last frame heard", |times| times.to_last_frame),
    );
}

impl Evening {
    /// A tree, a host and a speaker who talk, a heckler who does not stand still, an audience.
    fn begin(seed: u64) -> Self {
        let mut sim = Sim::new(seed);
        let mut chance = StdRng::seed_from_u64(seed);
        sim.network.set_usual(Link::rough());
        let spec = RelaySpec { shards: 1 + (seed / 2 % 2) as u8, ..RelaySpec::default() };
        let tree = Tree::build(&mut sim, &spec);
        let at = tree.relays()[chance.random_range(0..7)];
        let host = sim.joined("host", at, Role::Host);
        let listeners = sim.audience(&tree.leaves, AUDIENCE);
        let speaker = sim.joined("speaker", tree.leaves[chance.random_range(0..4)], Role::Speaker);
        let first = sim.client(SUBJECT);
        let session = sim.client_ref(first).session();
        let has_token = seed.is_multiple_of(2);
        let second = match has_token {
            true => sim.client(SUBJECT),
            false => sim.client_with_session(SUBJECT, session),
        };
        for heckler in [first, second] {
            if has_token {
                sim.with(heckler, |client| client.show(token(SUBJECT, Role::Speaker)));
            }
            sim.with(heckler, |client| {
                client.insist();
                client.talk(10);
            });
        }
        sim.enter(first, tree.leaves[chance.random_range(0..4)], Role::Speaker);
        sim.with(speaker, |client| client.talk_after(Duration::from_millis(7), 30));
        sim.run_for(SECOND);
        let now = sim.now();
        let hecklers = [first, second].map(|heckler| (heckler, now)).to_vec();
        let joins = Vec::new();
        Self { seed, sim, chance, tree, host, speaker, hecklers, joins, listeners }
    }

    fn judge(mut self, deed: Deed) -> Times {
        self.pass(SECOND);
        let (asked, acknowledged, in_force) = self.decide(deed);
        let seed = self.seed;
        let in_force = in_force.unwrap_or_else(|| {
            panic!("{deed:?} is acknowledged and not in force everywhere, TRIBUNE_SEED={seed}")
        });
        self.pass(2 * SECOND);
        self.judge_joins(deed, acknowledged);
        self.try_everywhere(deed);
        let last = self.last_handed_over();
        assert!(
            last <= acknowledged,
            "{deed:?}: a frame is handed over at {last:?}, acknowledged {acknowledged:?}, \
             TRIBUNE_SEED={seed}"
        );
        self.others_are_heard();
        Times {
            to_answer: acknowledged - asked,
            to_last_relay: in_force - asked,
            to_last_frame: last.saturating_sub(asked),
        }
    }

    /// Lets time pass, in which the heckler roams.
    fn pass(&mut self, time: Duration) {
        let end = self.sim.now() + time;
        while self.sim.now() < end {
            self.sim.run_for(SECOND / 100);
            self.roam();
        }
    }

    /// Each of the heckler's connections that has been left alone for long enough goes elsewhere.
    fn roam(&mut self) {
        let now = self.sim.now();
        for number in 0..self.hecklers.len() {
            let (heckler, until) = self.hecklers[number];
            if until > now {
                continue;
            }
            let at = self.tree.relays()[self.chance.random_range(0..7)];
            let role = match self.chance.random_bool(0.8) {
                true => Role::Speaker,
                false => Role::Listener,
            };
            if self.chance.random_bool(0.5) {
                self.sim.with(heckler, |client| client.hang_up());
            }
            self.join(heckler, at, role);
            let stay = Duration::from_millis(self.chance.random_range(STAYS_MS));
            self.hecklers[number].1 = now + stay;
        }
    }

    fn join(&mut self, heckler: ClientHandle, at: RelayHandle, role: Role) {
        self.sim.connect(heckler, at);
        let request = self.sim.with(heckler, |client| client.rejoin(ROOM, role));
        self.joins.push((heckler, self.sim.now(), request));
    }

    /// The host decides, again and again if the heckler is not on the stage just then. When it was
    /// asked for, when it was acknowledged, and when the last relay had it in force.
    fn decide(&mut self, deed: Deed) -> (Duration, Duration, Option<Duration>) {
        let gives_up = self.sim.now() + FOUND_WITHIN;
        loop {
            assert!(
                self.sim.now() < gives_up,
                "nobody to decide about, TRIBUNE_SEED={}",
                self.seed
            );
            let Some(who) = self.on_stage(self.tree.origin).map(|entry| entry.participant) else {
                self.pass(SECOND / 50);
                continue;
            };
            let asked = self.sim.now();
            let message = FromParticipant::Govern { act: deed.about(who) };
            let request = self.sim.with(self.host, |client| client.request(&message));
            let mut in_force = None;
            let (acknowledged, answer) = loop {
                if let Some(answer) = self.sim.client_ref(self.host).answer(request) {
                    break answer;
                }
                let waited = self.sim.now() - asked;
                assert!(waited < ACKNOWLEDGED_WITHIN, "{waited:?}, TRIBUNE_SEED={}", self.seed);
                self.sim.run_for(SECOND / 500);
                in_force = in_force.or_else(|| self.is_in_force(deed).then_some(self.sim.now()));
                self.roam();
            };
            match answer {
                Answer::Ok => return (asked, acknowledged, in_force),
                Answer::Err(ErrorCode::NoSuchParticipant) => {}
                Answer::Err(code) => panic!("{deed:?}: {code:?}, TRIBUNE_SEED={}", self.seed),
            }
        }
    }

    /// Whether every relay has it in its own state.
    fn is_in_force(&self, deed: Deed) -> bool {
        self.tree.relays().into_iter().all(|relay| {
            let entry = self.on_stage(relay);
            let rulings = self.sim.relay_ref(relay).room(ROOM).map_or(0, |room| room.rulings());
            match deed {
                Deed::Silence => entry.is_none_or(|entry| entry.silenced),
                Deed::Ban | Deed::Kick | Deed::Remove | Deed::Demote => {
                    entry.is_none() && rulings > 0
                }
            }
        })
    }

    fn on_stage(&self, relay: RelayHandle) -> Option<&StageEntry> {
        let room = self.sim.relay_ref(relay).room(ROOM)?;
        room.state().stage.iter().find(|entry| entry.name.as_str() == SUBJECT)
    }

    /// Of what was asked for after the acknowledgement, nothing gave what was taken.
    fn judge_joins(&self, deed: Deed, acknowledged: Duration) {
        for (heckler, at, request) in &self.joins {
            let answer = self.sim.client_ref(*heckler).answer(*request).map(|(_, answer)| answer);
            if *at > acknowledged && deed.bars() {
                let refused = matches!(answer, None | Some(Answer::Err(ErrorCode::Barred)));
                assert!(refused, "{deed:?}: {answer:?}, TRIBUNE_SEED={}", self.seed);
            }
        }
    }

    /// At every relay at once somebody of that subject asks to come in as a speaker, and a listener.
    fn try_everywhere(&mut self, deed: Deed) {
        let seed = self.seed;
        let session = self.sim.client_ref(self.hecklers[0].0).session();
        let before = self.joins.len();
        for (number, relay) in self.tree.relays().into_iter().enumerate() {
            let heckler = match seed.is_multiple_of(2) {
                true => self.sim.client(SUBJECT),
                false => self.sim.client_with_session(SUBJECT, session),
            };
            self.sim.with(heckler, |client| {
                if seed.is_multiple_of(2) {
                    client.show(token(SUBJECT, Role::Speaker));
                }
                client.insist();
                client.talk(10);
            });
            let role = if number % 3 == 2 { Role::Listener } else { Role::Speaker };
            self.join(heckler, relay, role);
            self.hecklers.push((heckler, Duration::MAX));
        }
        let tried = self.joins[before..].to_vec();
        if deed.bars() {
            self.sim.run_until("joins are answered", SETTLES, |sim| {
                tried
                    .iter()
                    .all(|(who, _, request)| sim.client_ref(*who).answer(*request).is_some())
            });
        } else {
            // Connections that displace each other need not get an answer.
            self.sim.run_for(SECOND * 3 / 2);
        }
        for (heckler, _, request) in tried {
            let client = self.sim.client_ref(heckler);
            let answer = client.answer(request).map(|(_, answer)| answer);
            if deed.bars() {
                assert_eq!(answer, Some(Answer::Err(ErrorCode::Barred)), "TRIBUNE_SEED={seed}");
            }
            let track = client.track().filter(|_| deed != Deed::Silence);
            assert_eq!(track, None, "{deed:?} and a track all the same, TRIBUNE_SEED={seed}");
        }
        for relay in self.tree.relays() {
            let silenced = self.on_stage(relay).map(|entry| entry.silenced);
            let expected = [None, Some(true)];
            let allowed = if deed == Deed::Silence { &expected[..] } else { &expected[..1] };
            assert!(allowed.contains(&silenced), "{deed:?}, TRIBUNE_SEED={seed}");
        }
        let inside = |(heckler, _): &(ClientHandle, Duration)| {
            let client = self.sim.client_ref(*heckler);
            client.joined().is_some() && client.end().is_none()
        };
        assert!(!deed.bars() || !self.hecklers.iter().any(inside), "TRIBUNE_SEED={seed}");
    }

    /// When the last frame of the heckler was handed to anybody, by whichever relay.
    fn last_handed_over(&self) -> Duration {
        let sent = self.hecklers.iter().flat_map(|(who, _)| self.sim.client_ref(*who).sent());
        let tracks: BTreeSet<TrackId> = sent.map(|frame| frame.track).collect();
        let everybody = self.listeners.iter().chain([&self.host, &self.speaker]);
        let frames = everybody.flat_map(|who| self.sim.client_ref(*who).heard().frames());
        let theirs: Vec<Duration> = frames
            .filter(|frame| tracks.contains(&frame.track))
            .map(|frame| frame.handed_over)
            .collect();
        assert!(theirs.len() > 20 * AUDIENCE, "{} frames before it all", theirs.len());
        theirs.into_iter().max().unwrap_or_default()
    }

    /// All hear the speaker all the same.
    fn others_are_heard(&self) {
        let track = self.sim.client_ref(self.speaker).track().expect("the speaker has a track");
        for listener in &self.listeners {
            let frames =
                self.sim.client_ref(*listener).heard().since(track, self.sim.now() - SECOND);
            assert!(frames > 25, "{frames} of 50 frames, TRIBUNE_SEED={}", self.seed);
        }
    }
}

impl Deed {
    /// The request.
    fn about(self, participant: ParticipantId) -> Govern {
        let (target, reason) = (Target::Participant(participant), Note::default());
        match self {
            Self::Ban => Govern::Ban { target, duration_s: None, reason },
            Self::Kick => Govern::Kick { target, reason },
            Self::Silence => Govern::Silence { participant, on: true, reason },
            Self::Remove => Govern::RemoveFromStage { participant, reason },
            Self::Demote => Govern::SetRole { target, role: Role::Listener, reason },
        }
    }

    /// Whether nobody of that subject comes in any more.
    const fn bars(self) -> bool {
        match self {
            Self::Ban | Self::Kick => true,
            Self::Silence | Self::Remove | Self::Demote => false,
        }
    }
}

//! The simulated network: a moderator's silence, against a client that keeps sending.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, TrackId};
use tribune_tests::sim::client::Answer;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::tree::{ROOM, Tree};
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
/// A mid relay with leaves below has 1 s for each of its two levels.
const PATIENCE: Duration = Duration::from_secs(2);
/// For the request, the answer, and what of both is lost and sent again.
const ON_THE_WAY: Duration = Duration::from_millis(500);

struct Heckled {
    tree: Tree,
    host: ClientHandle,
    heckler: ClientHandle,
    listeners: Vec<ClientHandle>,
}

impl Heckled {
    /// A tree with a host who talks at the origin, a heckler at a leaf, and somebody who listens at
    /// every relay.
    fn new(sim: &mut Sim, at_leaf: usize, spec: &RelaySpec) -> Self {
        let tree = Tree::build(sim, spec);
        let host = sim.joined("host", tree.origin, Role::Host);
        let heckler = sim.joined("heckler", tree.leaves[at_leaf], Role::Speaker);
        let listeners = sim.audience(&tree.relays(), 14);
        sim.with(host, |client| client.talk(20));
        sim.with(heckler, |client| client.talk_after(Duration::from_millis(7), 50));
        sim.run_for(2 * SECOND);
        Self { tree, host, heckler, listeners }
    }

    /// Silences the heckler; the time of the acknowledgement, and how long it took.
    fn silence(&self, sim: &mut Sim, mut meanwhile: impl FnMut(&mut Sim)) -> (Duration, Duration) {
        let participant = sim.client_ref(self.heckler).id();
        let message = FromParticipant::Govern {
            act: Govern::Silence { participant, on: true, reason: Note::default() },
        };
        let request = sim.with(self.host, |client| client.request(&message));
        let asked = sim.now();
        sim.run_until("the silence is acknowledged", PATIENCE + 2 * ON_THE_WAY, |sim| {
            meanwhile(sim);
            sim.client_ref(self.host).answer(request).is_some()
        });
        let (at, answer) = sim.client_ref(self.host).answer(request).expect("it has come");
        assert_eq!(answer, Answer::Ok);
        (at, at - asked)
    }

    /// Frames of the heckler that any relay handed to any listener after a time.
    fn handed_over_after(&self, sim: &Sim, at: Duration) -> usize {
        let tracks: Vec<TrackId> =
            sim.client_ref(self.heckler).sent().iter().map(|frame| frame.track).collect();
        assert!(tracks.len() > 100, "the heckler keeps sending");
        let everybody = self.listeners.iter().chain([&self.host]);
        let late = everybody.map(|client| {
            let frames = sim.client_ref(*client).heard().frames();
            let late = |frame: &&tribune_tests::sim::heard::HeardFrame| {
                frame.handed_over > at && tracks.contains(&frame.track)
            };
            frames.iter().filter(late).count()
        });
        late.sum()
    }

    fn was_heard(&self, sim: &Sim) {
        let track = sim.client_ref(self.heckler).track().expect("the heckler has a track");
        for listener in &self.listeners {
            assert!(sim.client_ref(*listener).heard().of(track).count() > 30);
        }
    }
}

#[test]
fn after_the_acknowledgement_no_relay_hands_over_a_frame() {
    for_seeds(24, |seed| {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut sim = Sim::new(seed);
        if seed % 3 != 0 {
            sim.network.set_usual(Link::rough());
        }
        let shards = 1 + (seed % 2) as u8;
        let spec = RelaySpec { shards, ..RelaySpec::default() };
        let room = Heckled::new(&mut sim, 0, &spec);
        room.was_heard(&sim);
        // Around the silence the heckler comes back at another leaf, more than once.
        sim.run_for(Duration::from_millis(chance.random_range(0..40)));
        let moves: Vec<_> = (0..3)
            .map(|_| sim.now() + Duration::from_millis(chance.random_range(0..250)))
            .collect();
        let leaves = room.tree.leaves;
        let mut moved = 0;
        let mut roam = |sim: &mut Sim| {
            while seed % 2 == 0 && moved < moves.len() && moves[moved] <= sim.now() {
                moved += 1;
                move_to(sim, room.heckler, leaves[moved]);
            }
        };
        let (acknowledged, took) = room.silence(&mut sim, &mut roam);
        assert!(took < PATIENCE + ON_THE_WAY, "{took:?}");
        for _ in 0..60 {
            sim.run_for(SECOND / 20);
            roam(&mut sim);
        }
        move_to(&mut sim, room.heckler, leaves[2]);
        sim.run_for(2 * SECOND);
        assert_eq!(room.handed_over_after(&sim, acknowledged), 0, "seed {seed}");
        // The host is heard all the same.
        let track = sim.client_ref(room.host).track().expect("the host has a track");
        for listener in &room.listeners {
            let heard = sim.client_ref(*listener).heard();
            assert!(heard.since(track, sim.now() - SECOND) > 35);
        }
    });
}

/// One relay: nothing is on its way, so what leaks has waited inside.
#[test]
fn a_frame_that_waits_for_its_bundle_is_silenced_too() {
    for_seeds(20, |seed| {
        let mut sim = Sim::new(seed);
        sim.network.set_usual(Link::of(Duration::from_millis(1)));
        let relay = sim.relay("relay", &[]);
        let host = sim.joined("host", relay, Role::Host);
        let heckler = sim.joined("heckler", relay, Role::Speaker);
        let listener = sim.joined("listener", relay, Role::Listener);
        sim.with(host, |client| client.talk(20));
        sim.with(heckler, |client| client.talk_after(Duration::from_millis(5), 50));
        sim.run_for(2 * SECOND + Duration::from_millis(seed));
        let participant = sim.client_ref(heckler).id();
        let message = FromParticipant::Govern {
            act: Govern::Silence { participant, on: true, reason: Note::default() },
        };
        let request = sim.with(host, |client| client.request(&message));
        sim.run_for(SECOND);
        let (at, answer) = sim.client_ref(host).answer(request).expect("it is acknowledged");
        assert_eq!(answer, Answer::Ok);
        let track = sim.client_ref(heckler).track().expect("the heckler has a track");
        let heard = sim.client_ref(listener).heard();
        let late = heard.of(track).filter(|frame| frame.handed_over > at).count();
        assert_eq!(late, 0, "seed {seed}");
    });
}

#[test]
fn a_child_behind_a_partition_does_not_hold_the_acknowledgement_up_for_long() {
    for_seeds(8, |seed| {
        let mut sim = Sim::new(seed);
        let room = Heckled::new(&mut sim, 3, &RelaySpec::default());
        let (mid, leaf) = (room.tree.mids[0], room.tree.leaves[0]);
        match seed % 4 {
            0 => sim.network.set_cut(mid.0, leaf.0, true),
            1 => sim.network.set_cut_one_way(leaf.0, mid.0, true),
            2 => sim.network.set_cut(room.tree.origin.0, mid.0, true),
            _ => sim.network.set_cut_one_way(mid.0, room.tree.origin.0, true),
        }
        let (acknowledged, took) = room.silence(&mut sim, |_| {});
        assert!(took > SECOND / 2 && took < PATIENCE + ON_THE_WAY, "{took:?}");
        sim.run_for(SECOND);
        for (a, b) in [(mid, leaf), (room.tree.origin, mid)] {
            sim.network.set_cut(a.0, b.0, false);
        }
        sim.run_for(5 * SECOND);
        assert_eq!(room.handed_over_after(&sim, acknowledged), 0, "seed {seed}");
        for relay in room.tree.relays() {
            let state = sim.relay_ref(relay).room(ROOM).expect("all carry the room").state();
            assert!(state.stage.iter().any(|entry| entry.silenced), "{}", relay.0.0);
        }
    });
}

#[test]
fn a_child_that_lives_and_does_not_confirm_is_cut_off() {
    let mut sim = Sim::new(1);
    let room = Heckled::new(&mut sim, 3, &RelaySpec::default());
    let (mid, leaf) = (room.tree.mids[0], room.tree.leaves[0]);
    sim.relay_mut(leaf).set_hub_hangs(true);
    let (acknowledged, took) = room.silence(&mut sim, |_| {});
    // The leaf is one level.
    assert!(took > SECOND - ON_THE_WAY && took < SECOND + ON_THE_WAY, "{took:?}");
    assert_eq!(sim.relay_mut(mid).hub_counters().trunk_lagging_closed, 1);
    sim.run_for(2 * SECOND);
    assert_eq!(room.handed_over_after(&sim, acknowledged), 0);
    sim.relay_mut(leaf).set_hub_hangs(false);
    sim.run_for(3 * SECOND);
    assert_eq!(room.handed_over_after(&sim, acknowledged), 0);
    let track = sim.client_ref(room.host).track().expect("the host has a track");
    for listener in &room.listeners {
        let heard = sim.client_ref(*listener).heard();
        assert!(heard.since(track, sim.now() - SECOND) > 40, "all hear the host again");
    }
}

#[test]
fn the_kicked_is_closed_with_0x10_and_barred_everywhere() {
    for_seeds(6, |seed| {
        let mut sim = Sim::new(seed);
        if seed % 2 == 0 {
            sim.network.set_usual(Link::rough());
        }
        let room = Heckled::new(&mut sim, 1, &RelaySpec::default());
        // Somebody on the stage, and a listener of whom the origin has never heard.
        let subjects =
            [(room.heckler, "heckling", Role::Speaker), (room.listeners[6], "", Role::Listener)];
        for (subject, name, role) in subjects {
            let participant = sim.client_ref(subject).id();
            let reason: Note = name.parse().expect("a short note");
            let message = FromParticipant::Govern {
                act: Govern::Kick { target: Target::Participant(participant), reason },
            };
            let request = sim.with(room.host, |client| client.request(&message));
            sim.run_until("the kick is acknowledged", PATIENCE + 2 * ON_THE_WAY, |sim| {
                sim.client_ref(room.host).answer(request).is_some()
            });
            let kicked = sim.now();
            sim.run_for(SECOND);
            assert_eq!(sim.client_ref(subject).close_code(), Some(CloseCode::Kicked));
            for relay in room.tree.relays() {
                sim.connect(subject, relay);
                let request = sim.with(subject, |client| client.rejoin(ROOM, role));
                sim.run_until("the join is answered", 20 * SECOND, |sim| {
                    sim.client_ref(subject).answer(request).is_some()
                });
                let answer = sim.client_ref(subject).answer(request).map(|(_, answer)| answer);
                let barred = tribune_protocol::codes::ErrorCode::Barred;
                assert_eq!(answer, Some(Answer::Err(barred)), "seed {seed}");
            }
            if subject == room.heckler {
                assert_eq!(room.handed_over_after(&sim, kicked), 0);
            }
        }
    });
}

fn move_to(sim: &mut Sim, client: ClientHandle, relay: RelayHandle) {
    sim.connect(client, relay);
    sim.with(client, |client| client.rejoin(ROOM, Role::Speaker));
}

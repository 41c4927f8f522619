//! The simulated network: relays that fail, and trees that mend.

use std::time::Duration;

use tribune_protocol::domain::role::Role;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::tree::{ROOM, Tree};
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
/// A dead parent is noticed after 1.5 s of silence; dialling, greeting and subscribing take some
/// round trips of 20 ms.
const LONGEST_GAP: Duration = Duration::from_millis(2_000);
/// The same on rough links, where two packets of the way to the standby can be lost in a row, the
/// first for 300 ms, the second for twice that.
const LONGEST_ROUGH_GAP: Duration = Duration::from_millis(3_000);

#[test]
fn an_idle_tree_rests() {
    let mut sim = Sim::new(1);
    let tree = Tree::build(&mut sim, &RelaySpec::default());
    let before = sim.log().entries().len();
    sim.run_for(60 * SECOND);
    let packets = sim.log().entries().len() - before;
    // Six trunks, each with three keep-alives and a time probe a second, and their answers.
    assert!(packets < 6 * 60 * 12, "{packets} packets");
    assert!(tree.relays().iter().all(|relay| !sim.relay_ref(*relay).path().is_empty()));
}

#[test]
fn a_killed_parent_is_replaced_by_the_standby_and_listeners_hear_on() {
    for_seeds(5, |seed| {
        let mut sim = Sim::new(seed);
        if seed % 2 == 0 {
            sim.network.set_usual(Link::rough());
        }
        let tree = Tree::build(&mut sim, &RelaySpec::default());
        let host = sim.joined("host", tree.origin, Role::Host);
        // One speaker lives behind the relay that dies, and one listener connects to it.
        let speaker = sim.joined("speaker", tree.leaves[0], Role::Speaker);
        let audience = sim.audience(&tree.leaves, 8);
        let at_the_root = sim.joined("root", tree.origin, Role::Listener);
        sim.with(host, |client| client.talk(30));
        sim.with(speaker, |client| client.talk(40));
        sim.run_for(3 * SECOND);
        let killed = sim.now();
        sim.kill(tree.mids[0]);
        sim.run_for(6 * SECOND);
        let (host, speaker) = (track(&sim, host), track(&sim, speaker));
        let mut longest = Duration::ZERO;
        for listener in &audience {
            let heard = sim.client_ref(*listener).heard();
            assert_eq!(heard.duplicates(), 0);
            for track in [host, speaker] {
                longest = longest.max(heard.longest_gap(track, killed - SECOND).0);
                // Of 50; rough links lose some on the last hop, where nobody asks again.
                assert!(heard.since(track, sim.now() - SECOND) > 30, "seed {seed}");
            }
        }
        let root = sim.client_ref(at_the_root).heard();
        assert!(root.since(speaker, sim.now() - SECOND) > 30, "the speaker behind it is heard");
        let allowed = if seed % 2 == 0 { LONGEST_ROUGH_GAP } else { LONGEST_GAP };
        assert!(longest < allowed, "gap {longest:?}");
        println!("seed {seed}: the longest gap was {longest:?}");
    });
}

#[test]
fn with_both_parents_gone_a_leaf_waits_and_rooms_attach_by_themselves() {
    for_seeds(5, |seed| {
        let mut sim = Sim::new(seed);
        let tree = Tree::build(&mut sim, &RelaySpec::default());
        let host = sim.joined("host", tree.origin, Role::Host);
        let speaker = sim.joined("speaker", tree.leaves[0], Role::Speaker);
        let beside = sim.joined("beside", tree.leaves[0], Role::Listener);
        let afar = sim.joined("afar", tree.leaves[3], Role::Listener);
        sim.with(host, |client| client.talk(30));
        sim.with(speaker, |client| client.talk(40));
        sim.run_for(2 * SECOND);
        for mid in tree.mids {
            sim.kill(mid);
        }
        sim.run_for(8 * SECOND);
        let (host, speaker) = (track(&sim, host), track(&sim, speaker));
        let cut_off = sim.client_ref(beside).heard();
        assert_eq!(cut_off.since(host, sim.now() - SECOND), 0, "there is no way to the origin");
        assert!(cut_off.since(speaker, sim.now() - SECOND) > 40, "what is here goes on");
        for mid in tree.mids {
            sim.start(mid);
        }
        let back = sim.run_until("all hear again", 12 * SECOND, |sim| {
            let now = sim.now();
            let hears = |client: ClientHandle, track| {
                sim.client_ref(client).heard().since(track, now - SECOND / 2) > 20
            };
            hears(beside, host) && hears(afar, host) && hears(afar, speaker)
        });
        println!("seed {seed}: all hear again after {back:?}");
        sim.run_for(SECOND);
        for listener in [beside, afar] {
            assert_eq!(sim.client_ref(listener).heard().duplicates(), 0);
        }
    });
}

#[test]
fn an_origin_that_restarts_is_found_again_and_its_room_opened_anew() {
    let mut sim = Sim::new(1);
    let tree = Tree::build(&mut sim, &RelaySpec::default());
    sim.joined("host", tree.leaves[0], Role::Host);
    sim.run_for(SECOND);
    sim.kill(tree.origin);
    sim.run_for(5 * SECOND);
    assert!(sim.relay_ref(tree.leaves[0]).path().is_empty());
    sim.start(tree.origin);
    sim.run_until("the tree is whole", 25 * SECOND, |sim| {
        tree.relays().iter().all(|relay| !sim.relay_ref(*relay).path().is_empty())
    });
    sim.run_for(SECOND);
    let listener = sim.client("listener");
    sim.connect(listener, tree.leaves[3]);
    sim.with(listener, |client| client.join(ROOM, Role::Listener));
    sim.run_for(SECOND);
    assert!(sim.client_ref(listener).joined().is_none(), "the room went with its origin");
    let host = sim.joined("another host", tree.leaves[1], Role::Host);
    sim.enter(listener, tree.leaves[3], Role::Listener);
    sim.with(host, |client| client.talk(30));
    sim.run_for(2 * SECOND);
    assert!(sim.client_ref(listener).heard().frames().len() > 90);
}

#[test]
fn two_relays_that_name_each_other_form_no_loop() {
    for_seeds(5, |seed| {
        let mut sim = Sim::new(seed);
        let (a, b) = (sim.future_relay("a"), sim.future_relay("b"));
        sim.adopt(a, &[b]);
        sim.adopt(b, &[a]);
        sim.start(a);
        sim.run_for(Duration::from_millis(seed * 7));
        sim.start(b);
        let client = sim.client("host");
        sim.connect(client, a);
        sim.with(client, |client| client.join(ROOM, Role::Host));
        sim.run_for(30 * SECOND);
        assert!(sim.relay_ref(a).path().is_empty() && sim.relay_ref(b).path().is_empty());
        assert!(sim.client_ref(client).joined().is_none());
    });
}

/// c ⟶ b ⟶ a, and a prefers c as its parent over the origin. The join that closes the circle is refused.
#[test]
fn three_relays_around_an_origin_form_no_loop() {
    for_seeds(8, |seed| {
        let mut sim = Sim::new(seed);
        let origin = sim.relay("origin", &[]);
        let [a, b, c] = ["a", "b", "c"].map(|name| sim.future_relay(name));
        sim.adopt(a, &[c, origin]);
        sim.adopt(b, &[a]);
        sim.adopt(c, &[b]);
        for relay in [c, a, b] {
            sim.start(relay);
            sim.run_for(Duration::from_millis(seed * 11));
        }
        sim.run_until("the three are attached", 60 * SECOND, |sim| {
            [a, b, c].iter().all(|relay| !sim.relay_ref(*relay).path().is_empty())
        });
        // The origin is lost: whom a turns to is below it.
        let host = sim.joined("host", c, Role::Host);
        let listeners = [a, b, c].map(|relay| sim.joined("listener", relay, Role::Listener));
        sim.with(host, |client| client.talk(30));
        sim.run_for(SECOND);
        sim.network.set_cut(origin.0, a.0, true);
        sim.run_for(20 * SECOND);
        assert!([a, b, c].iter().all(|relay| sim.relay_ref(*relay).path().is_empty()));
        let before = forwarded(&mut sim, &[a, b, c]);
        sim.run_for(SECOND);
        let circulating = forwarded(&mut sim, &[a, b, c]) - before;
        // 50 frames to three listeners, over two trunks, and none of them twice.
        assert!(circulating <= 50 * 5 + 5, "{circulating} frames in a second");
        sim.network.set_cut(origin.0, a.0, false);
        sim.run_until("the way to the origin is back", 60 * SECOND, |sim| {
            [a, b, c].iter().all(|relay| sim.relay_ref(*relay).path().len() > 1)
        });
        sim.run_for(2 * SECOND);
        for listener in listeners {
            assert_eq!(sim.client_ref(listener).heard().duplicates(), 0);
        }
    });
}

#[test]
fn the_ninth_relay_of_a_chain_is_refused() {
    let mut sim = Sim::new(1);
    let mut chain = vec![sim.relay("relay-1", &[])];
    for depth in 2..=9 {
        let parent = chain[chain.len() - 1];
        chain.push(sim.relay(&format!("relay-{depth}"), &[parent]));
    }
    sim.run_for(5 * SECOND);
    for (above, relay) in chain[..8].iter().enumerate() {
        assert_eq!(sim.relay_ref(*relay).path().len(), above + 1);
    }
    assert!(sim.relay_ref(chain[8]).path().is_empty(), "depth 9");
    assert!(sim.relay_mut(chain[7]).hub_counters().loops_refused > 0);
    let host = sim.joined("host", chain[0], Role::Host);
    let listener = sim.joined("listener", chain[7], Role::Listener);
    sim.with(host, |client| client.talk(30));
    sim.run_for(2 * SECOND);
    assert!(sim.client_ref(listener).heard().frames().len() > 80);
}

/// A subtree that came up on its own is as deep as it is when it attaches.
#[test]
fn a_chain_that_grows_upwards_is_not_deeper_than_eight() {
    let mut sim = Sim::new(3);
    let chain: Vec<_> = (1..=10).map(|n| sim.future_relay(&format!("relay-{n}"))).collect();
    for pair in chain.windows(2) {
        sim.adopt(pair[1], &[pair[0]]);
    }
    for relay in chain.iter().rev() {
        sim.start(*relay);
        sim.run_for(SECOND);
    }
    sim.run_for(30 * SECOND);
    let depth = chain.iter().filter(|relay| !sim.relay_ref(**relay).path().is_empty()).count();
    assert!(depth <= 8, "{depth} levels");
}

fn track(sim: &Sim, client: ClientHandle) -> tribune_protocol::ids::TrackId {
    sim.client_ref(client).track().expect("who speaks has a track")
}

fn forwarded(sim: &mut Sim, relays: &[RelayHandle]) -> u64 {
    relays.iter().map(|relay| sim.relay_mut(*relay).forwarded()).sum()
}

//! The simulated network: rooms over a tree of relays, clean and lossy.

use std::time::Duration;

use tribune_protocol::domain::role::Role;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::tree::Tree;
use tribune_tests::sim::{ClientHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);

/// A tree with an audience, and two who talk: the host at the origin, a speaker at the last leaf.
fn two_speakers(sim: &mut Sim, listeners: usize, spec: &RelaySpec) -> Stage {
    let tree = Tree::build(sim, spec);
    let host = sim.joined("host", tree.origin, Role::Host);
    let speaker = sim.joined("speaker", tree.leaves[3], Role::Speaker);
    let audience = sim.audience(&tree.leaves, listeners);
    sim.with(host, |client| client.talk(30));
    // Half a period apart, so that neither waits for the other by accident.
    sim.with(speaker, |client| client.talk_after(Duration::from_millis(10), 40));
    Stage { tree, host, speaker, audience }
}

struct Stage {
    tree: Tree,
    host: ClientHandle,
    speaker: ClientHandle,
    audience: Vec<ClientHandle>,
}

impl Stage {
    /// Both stop, and what is under way arrives.
    fn finish(&self, sim: &mut Sim) {
        sim.with(self.host, |client| client.stop_talking());
        sim.with(self.speaker, |client| client.stop_talking());
        sim.run_for(SECOND);
    }
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_seed_another() {
    let run = |seed| {
        let mut sim = Sim::new(seed);
        sim.network.set_usual(Link::rough());
        let stage = two_speakers(&mut sim, 12, &RelaySpec { shards: 2, ..RelaySpec::default() });
        sim.run_for(3 * SECOND);
        sim.kill(stage.tree.mids[0]);
        sim.run_for(4 * SECOND);
        sim.log().clone()
    };
    for_seeds(2, |seed| {
        let first = run(seed);
        assert!(first.entries().len() > 10_000, "{} events", first.entries().len());
        assert_eq!(first.difference(&run(seed)), None, "seed {seed}");
        assert!(first.difference(&run(seed + 1_000)).is_some(), "seed {seed}");
    });
}

#[test]
fn a_hundred_listeners_hear_every_frame_once_and_in_bundles() {
    for_seeds(1, |seed| {
        let mut sim = Sim::new(seed);
        let stage = two_speakers(&mut sim, 100, &RelaySpec::default());
        sim.run_for(6 * SECOND);
        stage.finish(&mut sim);
        let spoken = [stage.host, stage.speaker].map(|client| {
            let client = sim.client_ref(client);
            (client.track().expect("who speaks has a track"), client.sent().len() as u64)
        });
        for listener in &stage.audience {
            let heard = sim.client_ref(*listener).heard();
            for (track, count) in spoken {
                let counters = heard.counters(track);
                assert_eq!(counters.len() as u64, count, "frames of track {track:?}");
                assert!(counters.values().all(|times| *times == 1), "track {track:?}");
            }
            // Two speakers at a time make one datagram a period, once it is settled who leads.
            let frames = heard.frames().len() as f64;
            let per_datagram = frames / f64::from(heard.datagrams());
            assert!(per_datagram > 1.9, "{per_datagram} frames in a datagram");
        }
        // The speakers hear each other, and none hears its own track.
        let [(host, said), (speaker, answered)] = spoken;
        let by_host = sim.client_ref(stage.host).heard();
        assert_eq!(by_host.counters(speaker).len() as u64, answered);
        assert_eq!(by_host.tracks().len(), 1);
        assert_eq!(sim.client_ref(stage.speaker).heard().counters(host).len() as u64, said);
    });
}

#[test]
fn on_lossy_links_a_frame_comes_at_most_once_and_few_are_missing() {
    for_seeds(2, |seed| {
        let mut sim = Sim::new(seed);
        sim.network.set_usual(Link::default().losing(0.02));
        let stage = two_speakers(&mut sim, 40, &RelaySpec::default());
        sim.run_for(10 * SECOND);
        stage.finish(&mut sim);
        // From the origin to a listener a frame passes four links, from leaf to leaf six at most.
        for (client, hops) in [(stage.host, 4), (stage.speaker, 6)] {
            let client = sim.client_ref(client);
            let track = client.track().expect("who speaks has a track");
            let sent = client.sent().len() * stage.audience.len();
            let audience = stage.audience.iter().map(|listener| sim.client_ref(*listener).heard());
            let heard: usize = audience
                .map(|heard| {
                    assert_eq!(heard.duplicates(), 0);
                    heard.counters(track).len()
                })
                .sum();
            let lost = 1.0 - heard as f64 / sent as f64;
            let expected = 1.0 - 0.98_f64.powi(hops);
            assert!(lost < 1.5 * expected + 0.005, "lost {lost}, expected {expected}");
            // Nobody mends the last link: these clients ask for nothing again.
            assert!(lost > 0.01, "lost {lost}: the links lose nothing");
            println!("seed {seed}: {:.2} % lost over {hops} links", 100.0 * lost);
        }
    });
}

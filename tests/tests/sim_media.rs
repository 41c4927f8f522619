//! The simulated network: who is heard, over how many shards, how late, and under what load.

use std::collections::BTreeSet;
use std::time::Duration;

use tribune_protocol::control::room::Role;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::tree::{ROOM, Tree};
use tribune_tests::sim::{ClientHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_shards_a_relay_carry_every_frame_across() {
    let mut sim = Sim::new(1);
    let spec = RelaySpec { shards: 2, ..RelaySpec::default() };
    let tree = Tree::build(&mut sim, &spec);
    let host = sim.joined("host", tree.origin, Role::Host);
    let speaker = sim.joined("speaker", tree.leaves[2], Role::Speaker);
    let audience = sim.audience(&tree.relays(), 42);
    for client in [host, speaker] {
        sim.with(client, |client| client.talk(30));
    }
    sim.run_for(2 * SECOND);
    // A NAT gives a listener and a speaker other ports: their packets come in at another shard.
    sim.rebind(audience[0]);
    sim.rebind(speaker);
    sim.run_for(2 * SECOND);
    for client in [host, speaker] {
        sim.with(client, |client| client.stop_talking());
    }
    sim.run_for(SECOND);
    for talker in [host, speaker] {
        let track = sim.client_ref(talker).track().expect("who speaks has a track");
        let sent = sim.client_ref(talker).sent().len();
        for (n, listener) in audience.iter().enumerate() {
            let counters = sim.client_ref(*listener).heard().counters(track);
            assert!(counters.values().all(|times| *times == 1));
            // What is under way to an address that is no more is lost.
            let lost = if n == 0 { 5 } else { 0 };
            assert!(counters.len() + lost >= sent, "{} of {sent}", counters.len());
        }
    }
    for relay in tree.relays() {
        let counters = sim.relay_mut(relay).shard_counters();
        let sum = |of: fn(&tribune_relay::ops::metrics::ShardCounters) -> u64| {
            counters.iter().map(of).sum::<u64>()
        };
        assert!(sum(|counters| counters.handover_in) > 100, "frames cross shards");
        assert_eq!(sum(|counters| counters.steered_in), sum(|counters| counters.steered_out));
    }
    let steered: u64 = tree
        .relays()
        .into_iter()
        .flat_map(|relay| sim.relay_mut(relay).shard_counters())
        .map(|counters| counters.steered_in)
        .sum();
    assert!(steered > 0, "packets are steered by connection ID");
}

#[test]
fn of_six_speakers_the_four_loudest_are_heard() {
    let mut sim = Sim::new(1);
    let tree = Tree::build(&mut sim, &RelaySpec::default());
    let host = sim.joined("host", tree.origin, Role::Host);
    let mut speakers = vec![host];
    for n in 0..5 {
        speakers.push(sim.joined(&format!("speaker-{n}"), tree.leaves[n % 4], Role::Speaker));
    }
    let audience = sim.audience(&tree.leaves, 8);
    // Louder is less: the last two are 20 dB below the others.
    for (n, speaker) in speakers.iter().enumerate() {
        let level = if n < 4 { 30 + n as u8 } else { 60 };
        sim.with(*speaker, |client| client.talk_after(Duration::from_millis(3 * n as u64), level));
    }
    sim.run_for(3 * SECOND);
    let settled = sim.now();
    sim.run_for(3 * SECOND);
    let tracks: Vec<_> = speakers
        .iter()
        .map(|speaker| sim.client_ref(*speaker).track().expect("who speaks has a track"))
        .collect();
    for listener in &audience {
        let heard = sim.client_ref(*listener).heard();
        let since: BTreeSet<_> = heard
            .frames()
            .iter()
            .filter(|frame| frame.at > settled)
            .map(|frame| frame.track)
            .collect();
        assert_eq!(since, tracks[..4].iter().copied().collect());
        for track in &tracks[..4] {
            assert!(heard.since(*track, settled) >= 149, "every frame of the loudest");
        }
    }
    // When a loud one falls silent, the next one is heard at once.
    sim.with(speakers[0], |client| client.stop_talking());
    sim.run_for(SECOND);
    for listener in &audience {
        let heard = sim.client_ref(*listener).heard();
        let next = heard.since(tracks[4], settled) + heard.since(tracks[5], settled);
        assert!(next > 35, "{next} frames");
    }
}

#[test]
fn latency_by_capture_time_is_true_within_its_error_though_clocks_differ() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let jitter = Duration::from_millis(4 * (seed - 1));
        sim.network.set_usual(Link { jitter, ..Link::default() });
        let hour = 3_600_000_000_i64;
        let skewed = |clock_skew_us| RelaySpec { clock_skew_us, ..RelaySpec::default() };
        let origin = sim.relay_with("origin", &[], skewed(hour));
        let mid = sim.relay_with("mid", &[origin], skewed(-hour));
        let b = sim.relay_with("leaf-b", &[mid], skewed(hour / 2));
        // A way out that is longer than the way back is the worst for an estimate.
        let slow = Link { latency: Duration::from_millis(25), jitter, ..Link::default() };
        sim.network.set_one_way(mid.0, b.0, slow);
        sim.run_for(3 * SECOND);
        let [speaker, listener] = ["host", "listener"].map(|name| sim.client(name));
        sim.with(speaker, |client| client.set_clock_skew(-3 * hour));
        sim.with(listener, |client| client.set_clock_skew(hour / 3));
        // One hop more on the listener's side: an error of each hop would cancel out otherwise.
        sim.enter(speaker, mid, Role::Host);
        sim.enter(listener, b, Role::Listener);
        sim.run_for(2 * SECOND);
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(12 * SECOND);
        let sent = sim.client_ref(speaker).sent();
        let mut measured = 0;
        for frame in sim.client_ref(listener).heard().frames() {
            let Some((latency_us, listener_error)) = frame.latency else { continue };
            let sent = sent.iter().find(|sent| sent.seq == frame.seq).expect("it was sent");
            let Some(speaker_error) = sent.capture_error_us else { continue };
            let truth = (frame.at - sent.at).as_micros() as i64;
            let error = i64::from(listener_error) + i64::from(speaker_error) + 2;
            assert!((latency_us - truth).abs() <= error, "{latency_us} for {truth} ± {error} µs");
            assert!(error < 200_000, "the bound says something: {error} µs");
            measured += 1;
        }
        assert!(measured >= 10, "{measured} capture times in 12 s");
    });
}

/// A handshake takes 200 µs of the relay's time: 300 of them are 60 ms of work in one second, and a
/// frame waits for the eight of one turn at most.
#[test]
fn a_storm_of_joins_costs_those_inside_no_frame() {
    let mut sim = Sim::new(1);
    let spec = RelaySpec {
        packet_cost: Duration::from_micros(10),
        handshake_cost: Duration::from_micros(200),
        ..RelaySpec::default()
    };
    let relay = sim.relay_with("relay", &[], spec);
    let host = sim.joined("host", relay, Role::Host);
    let inside: Vec<_> = sim.audience(&[relay], 10);
    sim.with(host, |client| client.talk(30));
    sim.run_for(SECOND);
    let began = sim.now();
    let mut crowd = Vec::new();
    for n in 0..300 {
        let client = sim.client("crowd");
        sim.connect(client, relay);
        sim.with(client, |client| client.join(ROOM, Role::Listener));
        crowd.push(client);
        // In bursts of a hundred.
        if n % 100 == 99 {
            sim.run_for(SECOND / 3);
        }
    }
    sim.await_joined(&crowd);
    println!("300 joins were answered within {:?}", sim.now() - began);
    sim.run_for(SECOND);
    sim.with(host, |client| client.stop_talking());
    sim.run_for(SECOND);
    let track = sim.client_ref(host).track().expect("a host has a track");
    let sent = sim.client_ref(host).sent();
    for listener in inside {
        let heard = sim.client_ref(listener).heard();
        assert_eq!(heard.counters(track).len(), sent.len());
        let latest = |frame: &tribune_tests::sim::heard::HeardFrame| {
            let sent = sent.iter().find(|sent| sent.seq == frame.seq).expect("it was sent");
            frame.at - sent.at
        };
        let worst = heard.frames().iter().map(latest).max().unwrap_or_default();
        assert!(worst < Duration::from_millis(32), "20 ms of network, and {worst:?} in all");
    }
    for client in crowd {
        assert_eq!(sim.client_ref(client).end(), None);
    }
}

/// Each packet takes 4 ms of the relay's time, so that frames and acknowledgements are more than it
/// can take as they come. What has come meanwhile leaves together.
#[test]
fn a_relay_that_is_behind_sends_fewer_and_larger_packets() {
    let mut sim = Sim::new(1);
    let spec = RelaySpec { packet_cost: Duration::from_millis(4), ..RelaySpec::default() };
    let relay = sim.relay_with("relay", &[], spec);
    let host = sim.joined("host", relay, Role::Host);
    let listeners = sim.audience(&[relay], 10);
    sim.with(host, |client| client.talk(20));
    sim.run_for(5 * SECOND);
    sim.with(host, |client| client.stop_talking());
    sim.run_for(2 * SECOND);
    let track = sim.client_ref(host).track().expect("a host has a track");
    let sent = sim.client_ref(host).sent().len();
    for listener in listeners {
        assert_eq!(sim.client_ref(listener).heard().counters(track).len(), sent);
    }
    let counters = sim.relay_mut(relay).shard_counters();
    let (frames, datagrams) = (counters[0].frames_forwarded, counters[0].datagrams_out);
    assert!(datagrams * 10 < frames * 9, "{datagrams} datagrams for {frames} frames");
}

/// A frame passes a relay in no time but for the bundle it waits for.
#[test]
fn the_leading_speaker_pays_no_delay_and_another_one_period_at_most() {
    let mut sim = Sim::new(1);
    let tree = Tree::build(&mut sim, &RelaySpec::default());
    let host = sim.joined("host", tree.leaves[0], Role::Host);
    let other = sim.joined("other", tree.leaves[0], Role::Speaker);
    let listener = sim.joined("listener", tree.leaves[3], Role::Listener);
    sim.with(host, |client| client.talk(20));
    sim.with(other, |client| client.talk_after(Duration::from_millis(3), 50));
    sim.run_for(4 * SECOND);
    let delays = |sim: &Sim, speaker: ClientHandle| -> Vec<Duration> {
        let track = sim.client_ref(speaker).track().expect("who speaks has a track");
        let sent = sim.client_ref(speaker).sent().to_vec();
        let heard = sim.client_ref(listener).heard();
        let settled = heard.of(track).skip(50);
        let delay = settled.map(|frame| {
            let sent = sent.iter().find(|sent| sent.seq == frame.seq).expect("it was sent");
            frame.at - sent.at
        });
        delay.collect()
    };
    // Six links of 10 ms.
    let network = Duration::from_millis(60);
    assert!(delays(&sim, host).iter().all(|delay| *delay == network));
    let period = tribune_protocol::limits::FRAME_PERIOD;
    assert!(delays(&sim, other).iter().all(|delay| *delay <= network + period));
}

//! The simulated network: selection, shards, latency, and load.

use std::collections::BTreeSet;
use std::time::Duration;

use tribune_protocol::domain::role::Role;
use tribune_relay_core::query::{Answer, Query};
use tribune_tests::sim::clock::HostClock;
use tribune_tests::sim::heard::HeardFrame;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::tree::{ROOM, Tree};
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
/// The two ends' clocks and the truth are whole microseconds each.
const ROUNDING_US: i64 = 3;

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
        let sum = |of: fn(&tribune_relay_core::counters::ShardCounters) -> u64| {
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

/// Clocks an hour apart either way, each too fast or too slow by 200 ppm, over a chain of three relays.
/// A listener's estimate of a frame's capture time is within the bound that it states, and so is the
/// latency that it reports, as the origin tells an operator who asks.
#[test]
fn latency_is_true_within_the_bound_that_is_reported_though_clocks_differ_and_drift() {
    for_seeds(16, |seed| {
        let mut sim = Sim::new(seed);
        let (origin, speaker, listener) = differing_clocks(&mut sim, seed);
        sim.run_for(2 * SECOND);
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(Duration::from_millis(100));
        sim.with(listener, |client| client.report_from_now_on());
        let from = sim.client_ref(listener).heard().frames().len();
        // To the last report, and the time that it takes to be there.
        sim.run_for(20 * SECOND + SECOND / 5);
        let sent = sim.client_ref(speaker).sent();
        let truth = |frame: &HeardFrame| {
            let sent = sent.iter().find(|sent| sent.seq == frame.seq).expect("it was sent");
            (frame.at - sent.at).as_micros() as i64
        };
        let (mut measured, mut worst) = (Vec::new(), 0);
        for frame in &sim.client_ref(listener).heard().frames()[from..] {
            let Some((latency_us, error_us)) = frame.latency else { continue };
            let (truth_us, error_us) = (truth(frame), i64::from(error_us) + ROUNDING_US);
            let off = (latency_us - truth_us).abs();
            assert!(off <= error_us, "{latency_us} for {truth_us} ± {error_us} µs");
            assert!(error_us < 200_000, "the bound says something: {error_us} µs");
            worst = worst.max(off);
            measured.push((frame.at, truth_us));
        }
        assert!(measured.len() >= 19, "{} capture times in 20 s", measured.len());

        let participant = sim.client_ref(listener).id();
        let room = ROOM.parse().expect("a room's name");
        let Answer::Listeners(sight) = sim.ask(origin, Query::Listener { room, participant })
        else {
            panic!("another answer")
        };
        let [told] = &sight.listeners[..] else { panic!("{sight:?}") };
        let reported = told.report.latency_us.map(i64::from).expect("it has heard");
        let bound = told.report.latency_error_us.map(i64::from).expect("with its bound");
        let said_at = sim.now() - Duration::from_millis(told.age_ms.into());
        let of_it = |at: &Duration| *at <= said_at && *at + 5 * SECOND > said_at;
        let true_ones: Vec<i64> =
            measured.iter().filter(|(at, _)| of_it(at)).map(|(_, truth_us)| *truth_us).collect();
        let mean = true_ones.iter().sum::<i64>() / true_ones.len() as i64;
        assert!(
            (reported - mean).abs() <= bound + ROUNDING_US,
            "reported {reported} for {mean} ± {bound} µs"
        );
        println!(
            "seed {seed}: {} frames, off by {worst} µs at most; reported {reported} ± {bound} µs, \
             true mean {mean} µs",
            measured.len()
        );
    });
}

/// The chain of relays whose clocks differ: its origin, a speaker, and a listener at its end.
fn differing_clocks(sim: &mut Sim, seed: u64) -> (RelayHandle, ClientHandle, ClientHandle) {
    // Far apart and trembling, where the round trip is most of the bound; or near, where drift is.
    let (way, way_out, jitter) = match seed % 2 {
        0 => (10_000, 25_000, 2_000 * seed),
        _ => (50, 1_000, 0),
    };
    let [way, way_out, jitter] = [way, way_out, jitter].map(Duration::from_micros);
    sim.network.set_usual(Link { latency: way, jitter, ..Link::default() });
    let hour = 3_600_000_000_i64;
    // All signs of drift, in some order or other.
    let drift = |place: u64| if ((seed / 2) >> (place % 3)) & 1 == 0 { 200 } else { -200 };
    let clock = |place, skew_us| HostClock { skew_us, drift_ppm: drift(place) };
    let spec = |place, skew_us| RelaySpec { clock: clock(place, skew_us), ..RelaySpec::default() };
    let origin = sim.relay_with("origin", &[], spec(0, hour));
    let mid = sim.relay_with("mid", &[origin], spec(1, -hour));
    let leaf = sim.relay_with("leaf", &[mid], spec(2, hour / 2));
    // A way out that is longer than the way back is the worst for an estimate.
    let slow = Link { latency: way_out, jitter, ..Link::default() };
    sim.network.set_one_way(mid.0, leaf.0, slow);
    sim.run_for(3 * SECOND);
    let [speaker, listener] = ["host", "listener"].map(|name| sim.client(name));
    sim.with(speaker, |client| client.set_clock(clock(1, -hour)));
    sim.with(listener, |client| client.set_clock(clock(0, hour / 3)));
    sim.enter(speaker, if seed % 4 < 2 { origin } else { mid }, Role::Host);
    sim.enter(listener, leaf, Role::Listener);
    (origin, speaker, listener)
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
    let mut listeners = Vec::new();
    for n in 0..300 {
        let client = sim.client("crowd");
        sim.connect(client, relay);
        sim.with(client, |client| client.join(ROOM, Role::Listener));
        listeners.push(client);
        // In bursts of a hundred.
        if n % 100 == 99 {
            sim.run_for(SECOND / 3);
        }
    }
    sim.await_joined(&listeners);
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
    for client in listeners {
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

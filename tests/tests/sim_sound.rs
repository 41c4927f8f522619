//! The simulated network: sound over paths that lose, delay, and carry too little.

use std::time::Duration;

use tribune_protocol::domain::role::Role;
use tribune_relay_core::counters::DropCause;
use tribune_tests::sim::network::{Capacity, Link};
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
/// Longest delay that a live buffer adds to that of the path.
const BUFFER: Duration = Duration::from_millis(400);

/// A chain of three relays, a speaker at the first and a listener at the last, both as the client library
/// has it.
struct Chain {
    relays: [RelayHandle; 3],
    speaker: ClientHandle,
    listener: ClientHandle,
}

/// A hop of the chain.
#[derive(Debug, Clone, Copy)]
enum Hop {
    First,
    Trunk,
    Last,
}

const HOPS: [Hop; 3] = [Hop::First, Hop::Trunk, Hop::Last];

impl Chain {
    fn new(sim: &mut Sim) -> Self {
        let origin = sim.relay("origin", &[]);
        let mid = sim.relay("mid", &[origin]);
        let leaf = sim.relay("leaf", &[mid]);
        sim.run_for(2 * SECOND);
        let speaker = sim.joined("host", origin, Role::Host);
        let listener = sim.client("listener");
        sim.follow_moves(listener);
        sim.enter(listener, leaf, Role::Listener);
        sim.run_for(SECOND);
        Self { relays: [origin, mid, leaf], speaker, listener }
    }

    fn set(&self, sim: &mut Sim, hop: Hop, link: Link) {
        let [origin, mid, leaf] = self.relays;
        let (one, other) = match hop {
            Hop::First => (self.speaker.0, origin.0),
            Hop::Trunk => (mid.0, leaf.0),
            Hop::Last => (leaf.0, self.listener.0),
        };
        sim.network.set_link(one, other, link);
    }

    /// Talks for a while, then waits for what is late.
    fn talk(&self, sim: &mut Sim, span: Duration) {
        sim.with(self.speaker, |client| client.talk(30));
        sim.run_for(span);
        sim.with(self.speaker, |client| client.stop_talking());
        sim.run_for(SECOND);
    }
}

/// Share of a speaker's frames that a listener had in time, and the longest run of frames that they had not.
fn in_time(
    sim: &Sim,
    speaker: ClientHandle,
    listener: ClientHandle,
    path: Duration,
) -> (f64, usize) {
    let track = sim.client_ref(speaker).track().expect("who speaks has a track");
    let heard = sim.client_ref(listener).heard();
    let sent = sim.client_ref(speaker).sent();
    let (mut came, mut run, mut longest) = (0, 0, 0);
    for frame in sent {
        let at = heard.of(track).find(|heard| heard.seq == frame.seq).map(|heard| heard.at);
        if at.is_some_and(|at| at <= frame.at + path + BUFFER) {
            (came, run) = (came + 1, 0);
        } else {
            run += 1;
            longest = longest.max(run);
        }
    }
    (f64::from(came) / sent.len() as f64, longest)
}

fn lossy(way_ms: u64, loss: f64, burst: u32) -> Link {
    Link::of(Duration::from_millis(way_ms)).losing_bursts(loss, burst)
}

/// Each hop by itself, and both near and far: the first one is asked for what is missing as any other.
#[test]
fn a_lossy_hop_costs_next_to_nothing() {
    for_seeds(2, |seed| {
        for hop in HOPS {
            for (way_ms, loss, least) in
                [(5, 0.1, 0.999), (5, 0.3, 0.99), (30, 0.1, 0.998), (30, 0.3, 0.97)]
            {
                let mut sim = Sim::new(seed);
                let chain = Chain::new(&mut sim);
                chain.set(&mut sim, hop, lossy(way_ms, loss, 1));
                chain.talk(&mut sim, 30 * SECOND);
                let path = Duration::from_millis(30 + way_ms);
                let (share, _) = in_time(&sim, chain.speaker, chain.listener, path);
                assert!(share >= least, "{hop:?} {way_ms} ms {loss}: {share}");
            }
        }
    });
}

/// Losses of three packets in a row, on all hops at once.
#[test]
fn bursts_on_all_hops_leave_no_long_gap() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let chain = Chain::new(&mut sim);
        for hop in HOPS {
            chain.set(&mut sim, hop, lossy(5, 0.1, 3));
        }
        chain.talk(&mut sim, 30 * SECOND);
        let (share, run) = in_time(&sim, chain.speaker, chain.listener, Duration::from_millis(25));
        assert!(share >= 0.98, "{share}");
        assert!(run <= 5, "{run} frames in a row");
    });
}

/// With a controller for bulk, a trunk of eight tracks falls silent again and again, and the frames that
/// come after all are old.
#[test]
fn a_lossy_trunk_keeps_the_rate_of_eight_tracks() {
    for_seeds(2, |seed| {
        let mut sim = Sim::new(seed);
        let spec = RelaySpec { top_n: 8, ..RelaySpec::default() };
        let origin = sim.relay_with("origin", &[], spec.clone());
        let leaf = sim.relay_with("leaf", &[origin], spec);
        sim.run_for(2 * SECOND);
        let mut speakers = vec![sim.joined("host", origin, Role::Host)];
        for n in 1..8 {
            speakers.push(sim.joined(&format!("speaker-{n}"), origin, Role::Speaker));
        }
        let listener = sim.client("listener");
        sim.follow_moves(listener);
        sim.enter(listener, leaf, Role::Listener);
        sim.network.set_link(origin.0, leaf.0, lossy(30, 0.1, 1));
        for (n, speaker) in speakers.iter().enumerate() {
            sim.with(*speaker, |client| client.talk_after(Duration::from_millis(2 * n as u64), 30));
        }
        sim.run_for(30 * SECOND);
        let (mut ages, mut missing, mut sent_in_all) = (Duration::ZERO, 0, 0);
        for speaker in &speakers {
            let track = sim.client_ref(*speaker).track().expect("who speaks has a track");
            let sent = sim.client_ref(*speaker).sent();
            let sent = &sent[..sent.len() - 50];
            for frame in sent {
                let mut heard = sim.client_ref(listener).heard().of(track);
                match heard.find(|heard| heard.seq == frame.seq) {
                    Some(heard) => ages += heard.at - frame.at,
                    None => missing += 1,
                }
            }
            sent_in_all += sent.len();
        }
        // 10 ms to the origin, 30 ms to the leaf, 10 ms to the listener, and 20 ms at most in a bundle.
        let age = ages / u32::try_from(sent_in_all - missing).expect("some thousands");
        assert!(age <= Duration::from_millis(80), "{age:?}");
        assert!(missing * 100 <= sent_in_all, "{missing} of {sent_in_all} missing");
    });
}

/// Frames that overtake each other are waited for, not asked for.
#[test]
fn reordering_is_not_taken_for_loss() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let chain = Chain::new(&mut sim);
        let link = Link {
            reordering: 0.2,
            detour: Duration::from_millis(70),
            ..Link::of(Duration::from_millis(30))
        };
        for hop in HOPS {
            chain.set(&mut sim, hop, link);
        }
        chain.talk(&mut sim, 30 * SECOND);
        let sent = sim.client_ref(chain.speaker).sent().len() as u64;
        for relay in chain.relays {
            let answered = sim.relay_mut(relay).shard_counters()[0].nacks_answered;
            assert!(answered * 50 <= sent, "{answered} needless answers to {sent} frames");
        }
    });
}

/// A speaker's lossy first hop is repaired there; those below wait, and do not ask for what nobody has.
#[test]
fn a_loss_above_is_not_asked_for_below() {
    for_seeds(4, |seed| {
        let mut sim = Sim::new(seed);
        let chain = Chain::new(&mut sim);
        chain.set(&mut sim, Hop::First, lossy(30, 0.1, 1));
        chain.talk(&mut sim, 30 * SECOND);
        let counters = chain.relays.map(|relay| sim.relay_mut(relay).shard_counters()[0].clone());
        let lost = counters[0].frames_missing.total();
        assert!(lost > 100, "{lost}");
        for below in &counters {
            assert!(below.nacks_in * 3 <= lost, "{} questions for {lost} frames", below.nacks_in);
        }
    });
}

/// A thousand who lose a third of what they are sent: what repair costs the relay is in proportion to that.
#[test]
fn a_thousand_lossy_listeners_ask_for_no_more_than_they_lose() {
    for_seeds(1, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let speaker = sim.joined("host", relay, Role::Host);
        let mut listeners = Vec::new();
        for n in 0..1_000 {
            let listener = sim.client(&format!("listener-{n}"));
            sim.follow_moves(listener);
            sim.enter(listener, relay, Role::Listener);
            listeners.push(listener);
            if n % 50 == 0 {
                sim.run_for(SECOND / 10);
            }
        }
        sim.run_for(2 * SECOND);
        for listener in &listeners {
            sim.network.set_link(relay.0, listener.0, lossy(10, 0.3, 1));
        }
        let before = sim.relay_mut(relay).shard_counters()[0].clone();
        sim.with(speaker, |client| client.talk(30));
        sim.run_for(5 * SECOND);
        sim.with(speaker, |client| client.stop_talking());
        sim.run_for(SECOND);
        let after = sim.relay_mut(relay).shard_counters()[0].clone();
        let sent = sim.client_ref(speaker).sent().len() as u64 * listeners.len() as u64;
        let lost = sent * 3 / 10;
        let asked = after.nacks_in - before.nacks_in;
        let again = after.packets_out - before.packets_out - sent;
        assert!(asked >= lost / 2, "{asked} questions");
        assert!(again * 10 <= lost * 16, "{again} packets more for {lost} lost");
        let (mut shares, mut least) = (0.0, 1.0_f64);
        for listener in &listeners {
            let (share, _) = in_time(&sim, speaker, *listener, Duration::from_millis(20));
            (shares, least) = (shares + share, least.min(share));
        }
        let mean = shares / listeners.len() as f64;
        assert!(mean >= 0.99 && least >= 0.94, "{mean}, {least} at worst");
    });
}

/// Half of what the room makes: the path is found not to carry it, and no longer flooded.
#[test]
fn a_path_that_carries_too_little_is_not_flooded() {
    for_seeds(2, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let mut speakers = vec![sim.joined("host", relay, Role::Host)];
        for n in 1..4 {
            speakers.push(sim.joined(&format!("speaker-{n}"), relay, Role::Speaker));
        }
        let listener = sim.client("listener");
        sim.follow_moves(listener);
        sim.enter(listener, relay, Role::Listener);
        sim.run_for(SECOND);
        let capacity = Capacity { bytes_per_second: 8_000, queue: Duration::from_millis(400) };
        let thin = Link { capacity: Some(capacity), ..Link::of(Duration::from_millis(20)) };
        sim.network.set_one_way(relay.0, listener.0, thin);
        for (n, speaker) in speakers.iter().enumerate() {
            sim.with(*speaker, |client| client.talk_after(Duration::from_millis(3 * n as u64), 30));
        }
        sim.run_for(15 * SECOND);
        let opened: u64 = sim
            .relay_mut(relay)
            .shard_counters()
            .iter()
            .map(|counters| counters.circuit_breakers_opened)
            .sum();
        assert!(opened >= 1, "the path is found out");
        let held_back = sim.relay_mut(relay).dropped(DropCause::SendBufferFull);
        assert!(held_back > 100, "{held_back} frames held back");
        let heard = sim.client_ref(listener).heard().frames().len();
        assert!(heard > 500, "what it carries comes: {heard} frames");
    });
}

//! The simulated network: the counters of relays match the events.

use std::time::Duration;

use tribune_protocol::domain::role::Role;
use tribune_relay_core::counters::distribution::Distribution;
use tribune_relay_core::counters::{HandshakeResult, ShardCounters, Side, TrunkState};
use tribune_tests::sim::clock::HostClock;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::{RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
/// Delay of a packet from host to host.
const HOP: Duration = Duration::from_millis(10);

/// An origin and a relay below it, whose clock is five seconds ahead.
fn pair(sim: &mut Sim) -> (RelayHandle, RelayHandle) {
    let origin = sim.relay("origin", &[]);
    let spec =
        RelaySpec { clock: HostClock { skew_us: 5_000_000, drift_ppm: 0 }, ..RelaySpec::default() };
    let below = sim.relay_with("below", &[origin], spec);
    sim.run_until("the relay below is attached", 10 * SECOND, |sim| {
        !sim.relay_ref(below).path().is_empty()
    });
    (origin, below)
}

fn shard(sim: &mut Sim, relay: RelayHandle) -> ShardCounters {
    sim.relay_mut(relay).shard_counters().remove(0)
}

fn mean(values: &Distribution) -> Duration {
    assert!(values.count() > 0, "there are none");
    Duration::from_micros(values.sum() / values.count())
}

#[test]
fn the_age_of_a_frame_is_what_the_way_has_taken_whatever_the_clocks_say() {
    let mut sim = Sim::new(1);
    let (origin, below) = pair(&mut sim);
    let host = sim.joined("host", origin, Role::Host);
    let speaker = sim.joined("speaker", below, Role::Speaker);
    sim.with(speaker, |speaker| speaker.set_clock(HostClock { skew_us: -3_000_000, drift_ppm: 0 }));
    sim.run_for(3 * SECOND);
    for client in [host, speaker] {
        sim.with(client, |client| client.talk(30));
    }
    sim.run_for(10 * SECOND);
    let (top, bottom) = (shard(&mut sim, origin).frame_age, shard(&mut sim, below).frame_age);
    // Each speaker stamps a frame a second. Clocks are estimated over clean links, and a leader's frames
    // are held nowhere; another's wait for a frame period at each relay at most.
    for (ages, side, hops) in [
        (&top, Side::Participant, 1),
        (&top, Side::Child, 2),
        (&bottom, Side::Participant, 1),
        (&bottom, Side::Parent, 2),
    ] {
        let ages = ages.of(side);
        assert!((9..=11).contains(&ages.count()), "{side:?}: {}", ages.count());
        let (age, least) = (mean(ages), HOP * hops);
        let most = least + Duration::from_millis(21) * (hops - 1) + Duration::from_millis(1);
        assert!(least <= age + Duration::from_millis(1) && age <= most, "{side:?}: {age:?}");
    }
    assert_eq!(top.of(Side::Parent).count() + bottom.of(Side::Child).count(), 0);
}

#[test]
fn a_relay_holds_a_leader_s_frames_for_no_time_and_others_for_a_period_at_most() {
    let mut sim = Sim::new(1);
    let (origin, _) = pair(&mut sim);
    let host = sim.joined("host", origin, Role::Host);
    let speaker = sim.joined("speaker", origin, Role::Speaker);
    sim.joined("listener", origin, Role::Listener);
    sim.with(host, |host| host.talk(20));
    sim.run_for(2 * SECOND);
    let alone = shard(&mut sim, origin).hold;
    assert!(alone.all().count() >= 95 && alone.all().sum() == 0, "{alone:?}");
    // 12 ms behind the leader's frames, so 8 ms before the next.
    sim.with(speaker, |speaker| speaker.talk_after(Duration::from_millis(12), 40));
    sim.run_for(2 * SECOND);
    let both = shard(&mut sim, origin).hold;
    let held = both.all().sum() - alone.all().sum();
    assert!((500_000..=1_500_000).contains(&held), "{held} µs in 100 bundles");
    let late = both.all().bounds().iter().position(|bound| *bound == 20_000).expect("a bound");
    assert_eq!(both.all().counts()[late + 1..].iter().sum::<u64>(), 0, "{both:?}");
}

#[test]
fn missing_frames_are_counted_by_side_and_a_relay_repairs_its_own() {
    let mut sim = Sim::new(1);
    let (origin, below) = pair(&mut sim);
    let host = sim.joined("host", origin, Role::Host);
    sim.joined("listener", below, Role::Listener);
    sim.with(host, |host| host.talk(30));
    sim.run_for(SECOND);
    let (top, bottom) = (shard(&mut sim, origin), shard(&mut sim, below));
    assert_eq!(top.frames_missing.total() + bottom.frames_missing.total(), 0);
    sim.network.set_one_way(origin.0, below.0, Link::of(HOP).losing(0.1));
    sim.run_for(10 * SECOND);
    let bottom = shard(&mut sim, below);
    let (missing, repaired) =
        (bottom.frames_missing.of(Side::Parent), bottom.frames_repaired.of(Side::Parent));
    assert!((20..=100).contains(&missing), "{missing} of 500");
    // The answer is lost as often as the frame.
    assert!(repaired > missing / 2 && repaired <= missing, "{repaired} of {missing}");
    assert_eq!(bottom.frames_missing.total(), missing);
    assert_eq!(shard(&mut sim, origin).frames_missing.total(), 0);
    // A speaker answers too.
    sim.network.set_one_way(host.0, origin.0, Link::of(HOP).losing(0.1));
    sim.run_for(5 * SECOND);
    let top = shard(&mut sim, origin);
    let (missing, repaired) =
        (top.frames_missing.of(Side::Participant), top.frames_repaired.of(Side::Participant));
    assert!(missing > 10);
    assert!(repaired > missing / 2 && repaired <= missing, "{repaired} of {missing}");
}

#[test]
fn handshakes_are_counted_by_how_they_end() {
    let mut sim = Sim::new(1);
    let relay = sim.relay("relay", &[]);
    sim.joined("host", relay, Role::Host);
    let of = |sim: &mut Sim, result| shard(sim, relay).handshakes.of(result);
    assert_eq!(of(&mut sim, HandshakeResult::Completed), 1);
    // They send a first packet, all at once, and are never seen again.
    for _ in 0..600 {
        let ghost = sim.client("ghost");
        sim.connect(ghost, relay);
        sim.with(ghost, |ghost| ghost.vanish());
    }
    sim.run_for(SECOND);
    assert_eq!(of(&mut sim, HandshakeResult::Failed), 0, "they may still come");
    // From 256 handshakes under way on, who comes has to show that the address is its own.
    let retried = of(&mut sim, HandshakeResult::Retried);
    assert!(retried > 0);
    sim.run_for(15 * SECOND);
    let failed = of(&mut sim, HandshakeResult::Failed);
    assert!(failed >= 256, "{failed}");
    assert_eq!(of(&mut sim, HandshakeResult::Completed), 1);
    sim.joined("listener", relay, Role::Listener);
    assert_eq!(of(&mut sim, HandshakeResult::Completed), 2);
}

#[test]
fn control_messages_are_counted_by_kind_in_both_directions() {
    let mut sim = Sim::new(1);
    let (origin, below) = pair(&mut sim);
    let host = sim.joined("host", origin, Role::Host);
    let speaker = sim.joined("speaker", below, Role::Speaker);
    sim.run_for(2 * SECOND);
    let (top, bottom) = (sim.relay_mut(origin).hub_counters(), sim.relay_mut(below).hub_counters());
    for (counts, kind, wanted) in [
        (&top.control_received, "hello", 1),
        (&top.control_sent, "welcome", 1),
        (&bottom.control_sent, "hello", 1),
        (&bottom.control_received, "welcome", 1),
        (&top.control_received, "join", 1),
        (&top.control_sent, "joined", 1),
        (&bottom.control_received, "join", 1),
        (&top.control_received, "subscribe", 1),
    ] {
        assert_eq!(counts.of(kind), wanted, "{kind}");
    }
    // What one has sent the other has received, kind by kind.
    for kind in ["state", "deliver", "listeners", "path"] {
        assert_eq!(top.control_sent.of(kind), bottom.control_received.of(kind), "{kind}");
    }
    assert!(top.control_sent.of("state") > 0);
    for kind in ["act", "audience", "applied", "height"] {
        assert_eq!(bottom.control_sent.of(kind), top.control_received.of(kind), "{kind}");
    }
    assert!(bottom.control_sent.of("act") > 0);
    for client in [host, speaker] {
        assert_eq!(sim.client_ref(client).end(), None);
    }
}

#[test]
fn the_trunk_s_state_round_trip_and_clock_are_told() {
    let mut sim = Sim::new(1);
    let (origin, below) = pair(&mut sim);
    sim.run_for(3 * SECOND);
    let top = sim.relay_mut(origin).hub_counters();
    assert_eq!((top.trunk_state, top.trunk_rtt_us), (Some(TrunkState::Origin), 0));
    assert_eq!(top.clock_error_us, 0);
    let bottom = sim.relay_mut(below).hub_counters();
    assert_eq!(bottom.trunk_state, Some(TrunkState::Attached));
    assert!((20_000..30_000).contains(&bottom.trunk_rtt_us), "{} µs", bottom.trunk_rtt_us);
    // Half the round trip bounds what a clock over it can be off by.
    assert!((10_000..12_000).contains(&bottom.clock_error_us), "{} µs", bottom.clock_error_us);
    sim.kill(origin);
    let mut seen = Vec::new();
    for _ in 0..100 {
        sim.run_for(SECOND / 10);
        let counters = sim.relay_mut(below).hub_counters();
        let state = counters.trunk_state.expect("it has begun");
        assert_eq!(counters.trunk_rtt_us > 0, state == TrunkState::Attached, "{state:?}");
        if seen.last() != Some(&state) {
            seen.push(state);
        }
    }
    assert_eq!(seen[0], TrunkState::Attached, "the loss is noticed after a while");
    assert!(seen.contains(&TrunkState::Dialling), "{seen:?}");
    sim.start(origin);
    sim.run_until("the relay below is back", 30 * SECOND, |sim| {
        sim.relay_mut(below).hub_counters().trunk_state == Some(TrunkState::Attached)
    });
}

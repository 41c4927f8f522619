//! The simulated network: peers that do not keep to the protocol, or do not read. What they do is
//! counted and answered as SPEC.md says, and costs the others nothing.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::TrackId;
use tribune_relay_core::counters::DropCause;
use tribune_tests::sim::client::End;
use tribune_tests::sim::log::Event;
use tribune_tests::sim::relay::RelaySpec;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::talk::Talk;
use tribune_tests::sim::tree::ROOM;
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);

/// One relay with a host who talks and somebody who listens, whom nothing may disturb.
struct Calm {
    relay: RelayHandle,
    host: ClientHandle,
    listener: ClientHandle,
}

impl Calm {
    fn new(sim: &mut Sim) -> Self {
        let relay = sim.relay_with("relay", &[], RelaySpec { shards: 2, ..RelaySpec::default() });
        let host = sim.joined("host", relay, Role::Host);
        let listener = sim.joined("listener", relay, Role::Listener);
        sim.with(host, |client| client.talk(30));
        sim.run_for(SECOND);
        Self { relay, host, listener }
    }

    /// Every frame of the host's has been heard, once, and nothing else.
    fn was_calm(&self, sim: &mut Sim) {
        sim.with(self.host, |client| client.stop_talking());
        sim.run_for(SECOND);
        let track = sim.client_ref(self.host).track().expect("a host has a track");
        let sent = sim.client_ref(self.host).sent().len();
        let heard = sim.client_ref(self.listener).heard();
        assert_eq!(heard.counters(track).len(), sent);
        assert_eq!(heard.duplicates(), 0);
        assert_eq!(heard.tracks().len(), 1);
        for client in [self.host, self.listener] {
            assert_eq!(sim.client_ref(client).end(), None);
        }
    }
}

#[test]
fn a_join_split_at_every_byte_is_read() {
    let mut sim = Sim::new(1);
    let calm = Calm::new(&mut sim);
    let whole = {
        let client = sim.client("whole");
        sim.with(client, |client| client.join_bytes(ROOM, Role::Listener))
    };
    let mut clients = Vec::new();
    for cut in 1..whole.len() {
        let client = sim.client("split");
        sim.connect(client, calm.relay);
        sim.with(client, |client| {
            let bytes = client.join_bytes(ROOM, Role::Listener);
            client.send_control_bytes(bytes.slice(..cut), Duration::ZERO);
            client.send_control_bytes(bytes.slice(cut..), Duration::from_millis(100));
        });
        clients.push(client);
    }
    sim.await_joined(&clients);
    assert!(clients.len() > 60);
    let client = sim.client("byte by byte");
    sim.connect(client, calm.relay);
    sim.with(client, |client| {
        let bytes = client.join_bytes(ROOM, Role::Listener);
        for at in 0..bytes.len() {
            let after = Duration::from_millis(5 * at as u64);
            client.send_control_bytes(bytes.slice(at..=at), after);
        }
    });
    sim.await_joined(&[client]);
    calm.was_calm(&mut sim);
}

#[test]
fn control_bytes_that_are_no_message_close_the_connection_and_no_other() {
    let too_long: &[u8] = &[0x80, 0x00, 0x40, 0x01];
    let not_cbor: &[u8] = &[0x03, 0xff, 0xff, 0xff];
    let no_map: &[u8] = &[0x01, 0x07];
    let cases = [
        (too_long, CloseCode::MessageTooLong),
        (not_cbor, CloseCode::ProtocolViolation),
        (no_map, CloseCode::ProtocolViolation),
    ];
    let mut sim = Sim::new(1);
    let calm = Calm::new(&mut sim);
    for (bytes, code) in cases {
        let fresh = sim.client("fresh");
        sim.connect(fresh, calm.relay);
        let inside = sim.joined("inside", calm.relay, Role::Listener);
        for client in [fresh, inside] {
            sim.with(client, |client| {
                client.send_control_bytes(Bytes::copy_from_slice(bytes), Duration::ZERO);
            });
            sim.run_for(SECOND);
            assert_eq!(sim.client_ref(client).close_code(), Some(code), "{bytes:x?}");
        }
    }
    let flood = sim.joined("flood", calm.relay, Role::Listener);
    sim.with(flood, |client| {
        for _ in 0..60 {
            client.request(&FromParticipant::OwnMute { muted: true });
        }
    });
    sim.run_for(SECOND);
    assert_eq!(sim.client_ref(flood).close_code(), Some(CloseCode::RateLimited));
    let mute = sim.client("mute");
    sim.connect(mute, calm.relay);
    sim.run_for(11 * SECOND);
    assert_eq!(sim.client_ref(mute).close_code(), Some(CloseCode::JoinTimeout));
    calm.was_calm(&mut sim);
    let counters = sim.relay_mut(calm.relay).shard_counters();
    assert_eq!(counters.iter().map(|counters| counters.control_errors).sum::<u64>(), 7);
}

#[test]
fn datagrams_out_of_place_are_counted_and_dropped() {
    let mut sim = Sim::new(1);
    let calm = Calm::new(&mut sim);
    let track = sim.client_ref(calm.host).track().expect("a host has a track");
    let intruder = sim.joined("intruder", calm.relay, Role::Listener);
    let stranger = sim.client("stranger");
    sim.connect(stranger, calm.relay);
    sim.run_for(SECOND);
    let frame = |track: TrackId| {
        let mut talk = Talk::new(Duration::ZERO, 0);
        talk.next_frame(Some(track), None).expect("a frame fits").2
    };
    let dropped = |sim: &mut Sim, cause| sim.relay_mut(calm.relay).dropped(cause);
    let cases = [
        (intruder, frame(track), DropCause::NotYourTrack),
        (intruder, frame(TrackId(99)), DropCause::UnknownTrack),
        (intruder, Bytes::from_static(&[9, 1, 2, 3]), DropCause::UnknownKind),
        (intruder, Bytes::from_static(&[0, 0]), DropCause::Malformed),
        (intruder, Bytes::from_static(&[0, 0, 1, 0]), DropCause::Malformed),
        (intruder, Bytes::from_static(&[1]), DropCause::Malformed),
        (intruder, Bytes::from_static(&[2, 9]), DropCause::Malformed),
        (intruder, Bytes::from_static(&[0, 5, 1, 0, 0, 0, 0]), DropCause::UnknownChannel),
        (stranger, frame(track), DropCause::UnknownChannel),
    ];
    for (client, bytes, cause) in cases {
        let before = dropped(&mut sim, cause);
        sim.with(client, |client| client.send_datagram(bytes.clone()));
        sim.run_for(SECOND / 5);
        assert_eq!(dropped(&mut sim, cause), before + 1, "{cause:?} for {bytes:x?}");
    }
    let before = dropped(&mut sim, DropCause::RateLimited);
    for _ in 0..50 {
        sim.with(intruder, |client| (0..20).for_each(|_| client.send_datagram(frame(track))));
        sim.run_for(SECOND / 50);
    }
    sim.run_for(SECOND / 5);
    assert!(dropped(&mut sim, DropCause::RateLimited) - before > 600);
    calm.was_calm(&mut sim);
}

#[test]
fn random_packets_and_truncated_handshakes_change_nothing() {
    for_seeds(3, |seed| {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut sim = Sim::new(seed);
        let calm = Calm::new(&mut sim);
        let before = sim.relay_mut(calm.relay).connections();
        for n in 0..3_000_u32 {
            let from =
                SocketAddr::from(([192, 0, 2, (n % 250) as u8], 1_000 + (n % 60_000) as u16));
            let mut payload = vec![0; chance.random_range(0..1_300)];
            chance.fill_bytes(&mut payload);
            if n % 3 == 0 && payload.len() > 16 {
                // The look of a first packet of QUIC version 1.
                payload[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
                payload[14] = 0;
            }
            sim.inject(from, calm.relay, payload);
            sim.run_for(Duration::from_micros(500));
        }
        // A client that sends its first packet and is never seen again, hundreds of times.
        for _ in 0..300 {
            let client = sim.client("ghost");
            sim.connect(client, calm.relay);
            sim.with(client, |client| client.vanish());
        }
        sim.run_for(2 * SECOND);
        let newcomer = sim.joined("newcomer", calm.relay, Role::Listener);
        assert_eq!(sim.client_ref(newcomer).end(), None);
        sim.run_for(25 * SECOND);
        assert_eq!(sim.relay_mut(calm.relay).connections(), before + 1, "seed {seed}");
        calm.was_calm(&mut sim);
    });
}

#[test]
fn who_does_not_read_the_control_stream_is_closed_and_costs_nobody_anything() {
    let mut sim = Sim::new(1);
    let calm = Calm::new(&mut sim);
    let noisy: Vec<_> = (0..10).map(|_| sim.joined("noisy", calm.relay, Role::Speaker)).collect();
    let sulker = sim.client("sulker");
    sim.with(sulker, |client| client.stop_reading(512));
    sim.connect(sulker, calm.relay);
    sim.with(sulker, |client| client.join(ROOM, Role::Listener));
    sim.run_for(SECOND);
    // Each change of the stage is a message of over a kilobyte to everybody.
    let mut muted = false;
    let took = sim.run_until("the sulker is closed", 60 * SECOND, |sim| {
        muted = !muted;
        for client in &noisy {
            sim.with(*client, |client| client.request(&FromParticipant::OwnMute { muted }));
        }
        sim.run_for(SECOND / 10);
        sim.client_ref(sulker).end().is_some()
    });
    assert_eq!(sim.client_ref(sulker).close_code(), Some(CloseCode::TooSlow), "after {took:?}");
    assert!(sim.client_ref(sulker).heard().datagrams() > 0, "it was inside");
    for client in &noisy {
        assert_eq!(sim.client_ref(*client).end(), None);
    }
    calm.was_calm(&mut sim);
}

#[test]
fn whose_socket_drops_everything_is_gone_after_a_while() {
    let mut sim = Sim::new(1);
    let calm = Calm::new(&mut sim);
    let before = sim.relay_mut(calm.relay).connections();
    let dead: Vec<_> = (0..20).map(|_| sim.joined("dead", calm.relay, Role::Listener)).collect();
    for client in &dead {
        sim.network.set_cut(calm.relay.0, client.0, true);
        sim.network.set_cut(client.0, calm.relay.0, true);
    }
    sim.run_for(10 * SECOND);
    let sent_before = packets_to(&sim, dead[0]);
    sim.run_for(15 * SECOND);
    assert_eq!(sim.relay_mut(calm.relay).connections(), before);
    assert_eq!(sim.relay_mut(calm.relay).hub_counters().participants, 2);
    // Without acknowledgements QUIC sends little, and what it holds for a listener is a few bundles.
    let a_second = packets_to(&sim, dead[0]) as f64 - sent_before as f64;
    assert!(a_second < 15.0 * 50.0, "{a_second} packets");
    sim.run_for(20 * SECOND);
    for client in dead {
        assert!(matches!(sim.client_ref(client).end(), Some((_, End::Lost(_)))));
    }
    calm.was_calm(&mut sim);
}

fn packets_to(sim: &Sim, client: ClientHandle) -> usize {
    let to = |event: &Event| matches!(event, Event::Packet { to: Some(to), .. } if *to == client.0);
    sim.log().entries().iter().filter(|entry| to(&entry.event)).count()
}

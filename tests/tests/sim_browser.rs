//! The simulated network: participants in browsers, by WebTransport.

use std::time::Duration;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::FromParticipant;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_relay_core::counters::Transport;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);

/// A participant in a browser, who is in the room.
fn in_browser(sim: &mut Sim, name: &str, relay: RelayHandle, role: Role) -> ClientHandle {
    let client = sim.client(name);
    sim.with(client, |client| client.be_a_browser());
    sim.follow_moves(client);
    sim.enter(client, relay, role);
    sim.run_for(SECOND);
    client
}

/// Relays of a line, each with the one before as its parent.
fn line(sim: &mut Sim, length: usize) -> Vec<RelayHandle> {
    let mut relays: Vec<RelayHandle> = Vec::new();
    for n in 0..length {
        let parents: Vec<_> = relays.last().copied().into_iter().collect();
        relays.push(sim.relay(&format!("relay {n}"), &parents));
    }
    sim.run_for(2 * SECOND);
    relays
}

/// Everybody hears everything, by either transport, three relays deep.
#[test]
fn a_browser_hears_and_is_heard_through_three_relays() {
    for_seeds(3, |seed| {
        let mut sim = Sim::new(seed);
        let relays = line(&mut sim, 3);
        let host = sim.joined("host", relays[0], Role::Host);
        let web_speaker = in_browser(&mut sim, "web speaker", relays[2], Role::Speaker);
        let web_listener = in_browser(&mut sim, "web listener", relays[2], Role::Listener);
        let listener = sim.joined("listener", relays[1], Role::Listener);
        let profile = |sim: &Sim, client| sim.client_ref(client).you().unwrap().profile;
        assert_eq!(profile(&sim, web_listener), Profile::Audience, "in a room of four");
        assert_eq!(profile(&sim, web_speaker), Profile::Live);
        for speaker in [host, web_speaker] {
            sim.with(speaker, |client| client.talk(30));
        }
        sim.run_for(10 * SECOND);
        for speaker in [host, web_speaker] {
            sim.with(speaker, |client| client.stop_talking());
        }
        sim.run_for(SECOND);
        for (speaker, hears) in [
            (host, vec![web_speaker, web_listener, listener]),
            (web_speaker, vec![host, web_listener, listener]),
        ] {
            let track = sim.client_ref(speaker).track().unwrap();
            for client in hears {
                let heard = sim.client_ref(client).heard();
                assert_eq!(heard.missing(track), [0; 0]);
                assert!(heard.counters(track).len() >= 500);
                assert_eq!(heard.duplicates(), 0);
            }
        }
        let counters = &sim.relay_mut(relays[2]).shard_counters()[0];
        assert_eq!(counters.opened.of(Transport::WebTransport), 2);
        assert_eq!(counters.ended.of(Transport::WebTransport), 0);
    });
}

/// Repair and redundancy are for browsers too.
#[test]
fn a_browser_misses_nothing_over_a_path_that_loses_a_tenth() {
    for_seeds(3, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let host = sim.joined("host", relay, Role::Host);
        let browser = in_browser(&mut sim, "browser", relay, Role::Listener);
        let way = Link::of(Duration::from_millis(10)).losing(0.1);
        sim.network.set_link(relay.0, browser.0, way);
        sim.with(host, |client| client.talk(30));
        sim.run_for(12 * SECOND);
        sim.with(host, |client| client.stop_talking());
        sim.run_for(2 * SECOND);
        let track = sim.client_ref(host).track().unwrap();
        assert_eq!(sim.client_ref(browser).heard().missing(track), [0; 0]);
    });
}

/// A page is told why its session ends, by the capsule, and the connection is not left behind.
#[test]
fn a_page_is_told_the_code_and_the_reason_of_its_end() {
    for_seeds(3, |seed| {
        let mut sim = Sim::new(seed);
        let relay = sim.relay("relay", &[]);
        let host = sim.joined("host", relay, Role::Host);
        let browser = in_browser(&mut sim, "browser", relay, Role::Listener);
        let target = Target::Participant(sim.client_ref(browser).id());
        let act = Govern::Kick { target, reason: "Too loud.".parse().unwrap() };
        sim.with(host, |client| client.request(&FromParticipant::Govern { act }));
        sim.run_for(SECOND);
        assert_eq!(sim.client_ref(browser).close_code(), Some(CloseCode::Kicked));
        sim.run_for(5 * SECOND);
        let counters = &sim.relay_mut(relay).shard_counters()[0];
        assert_eq!(counters.ended.of(Transport::WebTransport), 1);
        assert_eq!(counters.connections, 1, "the host's");
    });
}

//! The simulated network: speakers protect against what listeners lose, and against nothing else.

use std::time::Duration;

use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::role::Role;
use tribune_protocol::quality::report::Report;
use tribune_tests::sim::network::Link;
use tribune_tests::sim::seed::for_seeds;
use tribune_tests::sim::{ClientHandle, RelayHandle, Sim};

const SECOND: Duration = Duration::from_secs(1);
/// So far away that a repair comes too late.
const FAR: Duration = Duration::from_millis(150);
const NEAR: Duration = Duration::from_millis(5);

/// A chain of three relays, a speaker at the second, and listeners at the last who report.
struct Room {
    leaf: RelayHandle,
    speaker: ClientHandle,
    listeners: Vec<ClientHandle>,
}

impl Room {
    fn new(sim: &mut Sim, listeners: usize) -> Self {
        let origin = sim.relay("origin", &[]);
        let mid = sim.relay("mid", &[origin]);
        let leaf = sim.relay("leaf", &[mid]);
        sim.run_for(2 * SECOND);
        let speaker = sim.joined("host", mid, Role::Host);
        let listeners = (0..listeners).map(|n| {
            let listener = sim.client(&format!("listener {n}"));
            sim.follow_moves(listener);
            sim.enter(listener, leaf, Role::Listener);
            listener
        });
        let listeners = listeners.collect::<Vec<_>>();
        sim.run_for(SECOND);
        sim.with(speaker, |client| client.talk(30));
        for listener in &listeners {
            sim.with(*listener, |client| client.report_from_now_on());
        }
        Self { leaf, speaker, listeners }
    }

    /// The last hop to so many listeners.
    fn set(&self, sim: &mut Sim, listeners: usize, link: Link) {
        for listener in &self.listeners[..listeners] {
            sim.network.set_link(self.leaf.0, listener.0, link);
        }
    }

    /// Protection that the speaker has been asked for, in order.
    fn told(&self, sim: &Sim) -> Vec<Protection> {
        let messages = sim.client_ref(self.speaker).messages().iter();
        let told = messages.filter_map(|(_, envelope)| {
            let ToParticipant::Protect { protection } = envelope.message else { return None };
            Some(protection)
        });
        told.collect()
    }

    fn last(&self, sim: &Sim) -> Protection {
        self.told(sim).last().copied().unwrap_or_default()
    }
}

fn lossy(way: Duration, loss: f64, burst: u32) -> Link {
    Link::of(way).losing_bursts(loss, burst)
}

#[test]
fn single_losses_that_repair_leaves_are_protected_against_until_they_end() {
    for_seeds(3, |seed| {
        let mut sim = Sim::new(seed);
        let room = Room::new(&mut sim, 3);
        room.set(&mut sim, 1, lossy(FAR, 0.12, 1));
        sim.run_for(40 * SECOND);
        let protection = room.last(&sim);
        assert!(
            matches!(protection, Protection::Single { loss_percent: 5..=20 }),
            "{protection:?}"
        );
        room.set(&mut sim, 1, Link::of(NEAR));
        sim.run_for(20 * SECOND);
        assert!(room.last(&sim) != Protection::Nothing {}, "a lull is no end");
        sim.run_for(70 * SECOND);
        let told = room.told(&sim);
        assert_eq!(told.last(), Some(&Protection::Nothing {}), "{told:?}");
        assert!(told.len() <= 5, "{told:?}");
    });
}

#[test]
fn bursts_are_told_from_single_losses() {
    for_seeds(3, |seed| {
        let mut sim = Sim::new(seed);
        let room = Room::new(&mut sim, 2);
        room.set(&mut sim, 2, lossy(FAR, 0.08, 4));
        sim.run_for(60 * SECOND);
        let protection = room.last(&sim);
        assert!(matches!(protection, Protection::Bursts { span_ms: 120.., .. }), "{protection:?}");
    });
}

#[test]
fn losses_that_repair_mends_cost_nobody_any_bits() {
    for_seeds(3, |seed| {
        let mut sim = Sim::new(seed);
        let room = Room::new(&mut sim, 2);
        room.set(&mut sim, 2, lossy(NEAR, 0.08, 1));
        sim.run_for(60 * SECOND);
        assert_eq!(room.told(&sim), []);
    });
}

/// Two of thirty who hear well say that they lose everything, as often as they like.
#[test]
fn a_tenth_that_lies_is_not_followed() {
    for_seeds(2, |seed| {
        let mut sim = Sim::new(seed);
        let room = Room::new(&mut sim, 28);
        let liars = [0, 1].map(|n| sim.joined(&format!("liar {n}"), room.leaf, Role::Listener));
        for second in 0..90u32 {
            for liar in liars {
                if second.is_multiple_of(2) {
                    let lost = Report { received: 1, lost: 16_000, runs: 1, ..Report::default() };
                    sim.with(liar, |client| client.request(&FromParticipant::Report(lost)));
                }
            }
            sim.run_for(SECOND);
        }
        assert_eq!(room.told(&sim), []);
    });
}

//! Protection against loss: decided at the origin by what listeners lose, told to speakers wherever they are.

use std::time::Duration;

use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::role::Role;
use tribune_protocol::quality::report::Report;

use super::tree::{LEAF, MID, ORIGIN, OTHER_LEAF, Tree};

const SECOND: Duration = Duration::from_secs(1);
const NOTHING: Protection = Protection::Nothing {};
const BURSTS: Protection = Protection::Bursts { loss_percent: 10, span_ms: 240 };

/// A host at the origin, a speaker at a leaf, and thirty listeners at both leaves.
fn room(tree: &mut Tree) -> (usize, usize, Vec<usize>) {
    let host = tree.join(ORIGIN, 1, Role::Host);
    let speaker = tree.join(OTHER_LEAF, 2, Role::Speaker);
    let leaf = |n: u8| if n.is_multiple_of(2) { LEAF } else { OTHER_LEAF };
    let listeners = (0..30).map(|n| tree.join(leaf(n), 10 + n, Role::Listener)).collect();
    (host, speaker, listeners)
}

/// Lets rounds of 5 s pass, in each of which everybody reports so many frames of 250 lost, in runs of three.
fn report(tree: &mut Tree, listeners: &[usize], rounds: u32, lost: u32) {
    for _ in 0..rounds {
        for who in listeners {
            let (received, runs) = (250 - lost, lost.div_ceil(3));
            let report = Report { received, lost, runs, ..Report::default() };
            tree.ask(*who, FromParticipant::Report(report));
        }
        tree.pass(5 * SECOND);
    }
}

fn told(tree: &Tree, who: usize) -> Vec<Protection> {
    let told = tree.people[who].inbox.iter().filter_map(|(_, message)| {
        let ToParticipant::Protect { protection } = message else { return None };
        Some(*protection)
    });
    told.collect()
}

#[test]
fn speakers_are_told_once_wherever_they_are_and_listeners_are_not() {
    let mut tree = Tree::new();
    let (host, speaker, listeners) = room(&mut tree);
    report(&mut tree, &listeners, 6, 0);
    assert_eq!((told(&tree, host), told(&tree, speaker)), (vec![], vec![]));
    assert_eq!(tree.hubs[ORIGIN].counters().protected_rooms, 0);
    report(&mut tree, &listeners, 12, 20);
    assert_eq!((told(&tree, host), told(&tree, speaker)), (vec![BURSTS], vec![BURSTS]));
    assert!(listeners.iter().all(|who| told(&tree, *who).is_empty()));
    assert_eq!(tree.hubs[ORIGIN].counters().protected_rooms, 1);
    assert_eq!(tree.hubs[LEAF].counters().protected_rooms, 0, "counted at the origin alone");
    report(&mut tree, &listeners, 12, 0);
    assert_eq!(told(&tree, host), [BURSTS, NOTHING]);
    assert_eq!(told(&tree, speaker), [BURSTS, NOTHING]);
    assert_eq!(tree.hubs[ORIGIN].counters().protected_rooms, 0);
}

#[test]
fn whoever_comes_on_the_stage_later_is_told_and_so_is_who_comes_back() {
    let mut tree = Tree::new();
    let (host, _, listeners) = room(&mut tree);
    report(&mut tree, &listeners, 6, 20);
    let late = tree.join(MID, 3, Role::Speaker);
    assert_eq!(told(&tree, late), [BURSTS]);
    let listener = listeners[0];
    let note = tribune_protocol::ids::Note::default();
    tree.ask(listener, FromParticipant::RaiseHand { note });
    let participant = tree.people[listener].id;
    tree.govern(host, tribune_protocol::control::command::Govern::Grant { participant });
    tree.pass(SECOND);
    assert_eq!(told(&tree, listener), [BURSTS], "with the track");
    let again = tree.connect(LEAF, 3);
    tree.join_as(again, Role::Speaker, |join| join.returning = true);
    tree.pass(SECOND);
    assert_eq!(told(&tree, again), [BURSTS], "at another relay, after joined");
    let is_joined = |(_, message): &(_, ToParticipant)| message.as_joined().is_some();
    let inbox = &tree.people[again].inbox;
    let joined = inbox.iter().position(is_joined).unwrap();
    let protect = inbox.iter().position(|(_, m)| matches!(m, ToParticipant::Protect { .. }));
    assert!(joined < protect.unwrap());
}

#[test]
fn a_relay_that_comes_back_to_the_tree_hears_what_is_in_force() {
    let mut tree = Tree::new();
    let (_, speaker, listeners) = room(&mut tree);
    report(&mut tree, &listeners, 6, 20);
    assert_eq!(told(&tree, speaker), [BURSTS]);
    // The same is said again by the new trunk, and nobody is told anew.
    tree.break_trunk(MID);
    tree.pass(5 * SECOND);
    assert_eq!(told(&tree, speaker), [BURSTS]);
    // An origin that has been away knows of no losses.
    tree.restart_origin();
    tree.pass(10 * SECOND);
    assert_eq!(told(&tree, speaker), [BURSTS, NOTHING]);
}

/// Two of thirty report as often as they like, and the worst that they can.
#[test]
fn a_tenth_that_lies_changes_nothing() {
    for (honest, wanted) in [(0, vec![]), (20, vec![BURSTS])] {
        let mut tree = Tree::new();
        let (host, _, listeners) = room(&mut tree);
        report(&mut tree, &listeners, 4, honest);
        let (liars, others) = listeners.split_at(2);
        for second in 0..120 {
            if second % 5 == 0 {
                report_at_once(&mut tree, others, honest);
            }
            if second % 2 == 0 {
                // For a while that all is lost, for a while that nothing is.
                report_at_once(&mut tree, liars, if second / 40 == 1 { 0 } else { 249 });
            }
            tree.pass(SECOND);
        }
        assert_eq!(told(&tree, host), wanted, "{honest} of 250");
    }
}

fn report_at_once(tree: &mut Tree, listeners: &[usize], lost: u32) {
    for who in listeners {
        let (received, runs) = (250 - lost, lost.div_ceil(3));
        tree.ask(
            *who,
            FromParticipant::Report(Report { received, lost, runs, ..Report::default() }),
        );
    }
}

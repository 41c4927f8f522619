//! Hubs of a small tree, joined by messages without QUIC: what is asked of one comes out at another.
//!
//! * [`tree`] — the tree, and people in it
//! * [`handoff`], [`capacity`] — a relay that drains, one that has enough participants
//! * [`matrix`] — every action, tried by every kind of principal
//! * [`admission`], [`oneshot`], [`rulings`], [`reactions`], [`quality`], [`lists`], [`expiry`],
//!   [`storage`] — a part of the edge each

mod admission;
mod capacity;
mod expiry;
mod handoff;
mod lists;
mod matrix;
mod oneshot;
mod protection;
mod quality;
mod reactions;
mod rulings;
mod storage;
mod tree;

use std::time::Duration;

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, RelayId};

use self::tree::{LEAF, MID, ORIGIN, OTHER_LEAF, Tree};
use crate::messages::ShardEvent;
use crate::query::Readiness;

#[test]
fn a_speaker_at_a_leaf_is_on_the_stage_everywhere() {
    let mut tree = Tree::new();
    let ada = tree.join(LEAF, 1, Role::Speaker);
    assert_eq!(tree.joined(ada), Some(Role::Host));
    let bob = tree.join(OTHER_LEAF, 2, Role::Listener);
    assert_eq!(tree.joined(bob), Some(Role::Listener));
    for relay in [ORIGIN, MID, LEAF, OTHER_LEAF] {
        let stage = &tree.room(relay).state().stage;
        assert_eq!(stage.len(), 1, "at relay {relay}");
    }
    // The frames of the track come from below at the origin, and from above at the other leaf.
    assert_eq!(tree.routes[&LEAF], Some(tree.people[ada].link));
    assert_eq!(tree.routes[&OTHER_LEAF], tree.parent_link(OTHER_LEAF));
    assert_eq!(tree.routes[&MID], tree.child_link(MID, LEAF));
}

#[test]
fn a_listener_in_a_room_that_nobody_opened_is_refused_and_leaves_nothing() {
    let mut tree = Tree::new();
    let bob = tree.join(LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(bob), Some(ErrorCode::RoomNotFound));
    tree.pass(Duration::from_millis(10));
    for relay in [ORIGIN, MID, LEAF] {
        assert!(tree.hubs[relay].rooms.len() == 0, "at relay {relay}");
        assert!(tree.hubs[relay].parent.has_no_channels(), "at relay {relay}");
    }
}

#[test]
fn silence_is_acknowledged_when_every_shard_of_every_relay_has_it() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let heckler = tree.join(LEAF, 2, Role::Speaker);
    tree.join(OTHER_LEAF, 3, Role::Listener);
    tree.slow_shards = vec![OTHER_LEAF];
    let participant = tree.people[heckler].id;
    let reason = Note::default();
    let silence = Govern::Silence { participant, on: true, reason };
    let request = tree.govern(host, silence);
    assert!(!tree.is_answered(host, request), "the other leaf has not put it in force");
    tree.slow_shards.clear();
    tree.release_shards();
    assert!(tree.is_answered(host, request));
}

#[test]
fn a_relay_that_does_not_confirm_is_cut_off_by_the_one_above_it() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let heckler = tree.join(LEAF, 2, Role::Speaker);
    tree.join(OTHER_LEAF, 3, Role::Listener);
    tree.slow_shards = vec![OTHER_LEAF];
    let participant = tree.people[heckler].id;
    let reason = Note::default();
    let request = tree.govern(host, Govern::Silence { participant, on: true, reason });
    tree.pass(Duration::from_millis(2_500));
    assert!(tree.is_answered(host, request));
    assert!(tree.closes.contains(&(MID, CloseCode::TrunkLagging)));
    assert!(!tree.closes.contains(&(ORIGIN, CloseCode::TrunkLagging)), "the level above waits");
}

#[test]
fn a_stream_of_changes_costs_no_relay_that_keeps_up_and_excuses_none_that_does_not() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    tree.join(OTHER_LEAF, 3, Role::Listener);
    let lagging = (MID, CloseCode::TrunkLagging);
    tree.slow_shards = vec![OTHER_LEAF];
    let change = |tree: &mut Tree, n: u32| {
        tree.ask(host, FromParticipant::OwnMute { muted: n.is_multiple_of(2) });
        tree.pass(Duration::from_millis(400));
    };
    for n in 0..10 {
        change(&mut tree, n);
        // One change behind, always.
        let newest = tree.unconfirmed.pop();
        tree.release_shards();
        tree.unconfirmed.extend(newest);
    }
    assert!(!tree.closes.contains(&lagging));
    (0..3).for_each(|n| change(&mut tree, n));
    assert!(tree.closes.contains(&lagging));
}

#[test]
fn who_is_kicked_is_closed_and_barred_at_every_relay() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    let target = Target::Participant(tree.people[bob].id);
    let reason = "enough".parse().unwrap();
    let request = tree.govern(host, Govern::Kick { target, reason });
    assert!(tree.is_answered(host, request));
    assert!(tree.closes.contains(&(LEAF, CloseCode::Kicked)));
    let again = tree.join(OTHER_LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(again), Some(ErrorCode::Barred));
}

#[test]
fn the_same_session_elsewhere_takes_the_place_over() {
    let mut tree = Tree::new();
    let before = tree.join(LEAF, 1, Role::Speaker);
    let track = tree.room(ORIGIN).state().stage[0].track;
    let after = tree.join(OTHER_LEAF, 1, Role::Speaker);
    assert_eq!(tree.joined(after), Some(Role::Host));
    assert!(tree.closes.contains(&(LEAF, CloseCode::Replaced)));
    assert_eq!(tree.room(ORIGIN).state().stage[0].track, track);
    assert!(!tree.room(ORIGIN).state().stage[0].away);
    assert_eq!(tree.routes[&MID], tree.child_link(MID, OTHER_LEAF));
    tree.close(before);
    assert!(!tree.room(ORIGIN).state().stage[0].away, "the older connection's end means nothing");
}

#[test]
fn a_room_is_let_go_when_nobody_wants_it() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    tree.pass(Duration::from_secs(2));
    assert_eq!(tree.room(ORIGIN).listeners(), 1);
    tree.close(bob);
    tree.pass(Duration::from_secs(9));
    assert!(tree.child_room(LEAF), "it lingers");
    tree.pass(Duration::from_secs(2));
    assert!(!tree.child_room(LEAF));
    tree.pass(Duration::from_secs(10));
    assert!(!tree.child_room(MID));
    assert_eq!(tree.room(ORIGIN).listeners(), 0);
}

#[test]
fn a_second_hello_changes_nothing() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    tree.join(MID, 2, Role::Listener);
    let link = tree.child_link(ORIGIN, MID).expect("the mid relay is attached");
    let (relay, name) = (RelayId(2), "relay".parse().unwrap());
    let message = ToParent::Hello { relay, name, height: 1, token: None };
    let (remote, certified) = ("127.0.0.1:1".parse().unwrap(), false);
    tree.event(
        ORIGIN,
        ShardEvent::FromChild { link, remote, certified, message: Box::new(message) },
    );
    tree.pass(Duration::from_secs(2));
    assert_eq!(tree.room(ORIGIN).listeners(), 1);
    tree.event(ORIGIN, ShardEvent::Closed { link, why: "gone".to_owned() });
    assert_eq!(tree.room(ORIGIN).listeners(), 0);
}

#[test]
fn an_ended_room_closes_everybody_everywhere() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    tree.join(LEAF, 2, Role::Listener);
    tree.join(OTHER_LEAF, 3, Role::Speaker);
    tree.govern(host, Govern::EndRoom {});
    for relay in [ORIGIN, LEAF, OTHER_LEAF] {
        assert!(tree.closes.contains(&(relay, CloseCode::RoomEnded)), "at relay {relay}");
    }
    for relay in [ORIGIN, MID, LEAF, OTHER_LEAF] {
        assert!(tree.hubs[relay].rooms.len() == 0, "at relay {relay}");
    }
}

#[test]
fn a_draining_relay_refuses_joins_and_ends_when_all_have_gone() {
    let mut tree = Tree::new();
    let ada = tree.join(LEAF, 1, Role::Host);
    let now = tree.now;
    tree.hubs[LEAF].handle_drain(now, None, None);
    tree.settle();
    assert_eq!(tree.hubs[LEAF].readiness(), Readiness::Draining);
    let moved = |message: &ToParticipant| matches!(message, ToParticipant::Moved { .. });
    assert!(tree.broadcasts.iter().any(|(relay, message)| *relay == LEAF && moved(message)));
    let late = tree.join(LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(late), Some(ErrorCode::Draining));
    assert!(!tree.drained);
    tree.close(ada);
    assert!(tree.drained);
}

#[test]
fn a_first_message_that_is_no_join_is_refused() {
    let mut tree = Tree::new();
    let nobody = tree.connect(LEAF, 1);
    tree.govern(nobody, Govern::EndRoom {});
    assert_eq!(tree.refused(nobody), Some(ErrorCode::NotJoined));
}

//! Reactions: counted at the edge, said once a second.

use std::collections::BTreeMap;
use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::RoomChange;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::role::Role;

use super::tree::{LEAF, ORIGIN, OTHER_LEAF, Tree};

fn react(tree: &mut Tree, who: usize, reaction: Reaction) -> Result<(), ErrorCode> {
    let request = tree.ask(who, FromParticipant::React { reaction });
    match tree.error(who, request) {
        Some((code, _)) => Err(code),
        None => {
            assert!(tree.is_answered(who, request));
            Ok(())
        }
    }
}

fn heard(tree: &Tree, at: usize) -> Vec<BTreeMap<Reaction, u32>> {
    let said = tree.broadcasts.iter().filter(|(relay, _)| *relay == at);
    said.filter_map(|(_, message)| {
        let ToParticipant::Reactions { counts } = message else { return None };
        Some(counts.clone())
    })
    .collect()
}

#[test]
fn reactions_of_the_whole_tree_are_heard_everywhere_once_a_second() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    let people: Vec<_> = (2..12).map(|n| tree.join(LEAF, n, Role::Listener)).collect();
    let far = tree.join(OTHER_LEAF, 20, Role::Listener);
    tree.pass(Duration::from_secs(5));
    for who in people {
        react(&mut tree, who, Reaction::Clap).unwrap();
    }
    react(&mut tree, far, Reaction::Heart).unwrap();
    tree.pass(Duration::from_secs(5));
    for relay in [ORIGIN, LEAF, OTHER_LEAF] {
        let said = heard(&tree, relay);
        assert!(said.len() <= 4, "{} messages at relay {relay}", said.len());
        let total = |of| said.iter().filter_map(|counts| counts.get(&of)).sum::<u32>();
        assert_eq!((total(Reaction::Clap), total(Reaction::Heart)), (10, 1), "at relay {relay}");
    }
    assert_eq!(tree.hubs[LEAF].counters().reactions, 10);
}

#[test]
fn reactions_are_slowed_down() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    react(&mut tree, bob, Reaction::Wow).unwrap();
    assert_eq!(react(&mut tree, bob, Reaction::Wow), Err(ErrorCode::SlowMode));
    tree.pass(Duration::from_secs(1));
    react(&mut tree, bob, Reaction::Wow).unwrap();
    tree.set(host, RoomChange { reaction_slow_s: Some(30), ..RoomChange::default() });
    tree.pass(Duration::from_secs(29));
    let request = tree.ask(bob, FromParticipant::React { reaction: Reaction::Wow });
    let (code, sentence) = tree.error(bob, request).unwrap();
    assert_eq!(code, ErrorCode::SlowMode);
    assert!(sentence.contains("1 s"), "{sentence}");
    tree.pass(Duration::from_secs(1));
    react(&mut tree, bob, Reaction::Wow).unwrap();
    tree.pass(Duration::from_secs(30));
    assert_eq!(react(&mut tree, bob, Reaction::Unknown), Err(ErrorCode::BadRequest));
}

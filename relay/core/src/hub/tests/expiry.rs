//! Tokens that run out, and newer ones in their place.

use std::time::Duration;

use serde_json::json;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::Note;

use super::tree::{EPOCH_S, LEAF, ORIGIN, Tree, token};

fn expiring(tree: &mut Tree, after_s: u64) -> usize {
    let claims = json!({"sub": "bob", "role": "speaker", "exp": EPOCH_S + after_s});
    let who = tree.join_by_token(LEAF, 2, Role::Speaker, claims);
    assert!(tree.joined(who).is_some(), "{:?}", tree.refusal(who));
    who
}

fn warnings(tree: &Tree, who: usize) -> Vec<u32> {
    let inbox = tree.people[who].inbox.iter();
    let warnings = inbox.filter_map(|(_, message)| {
        let ToParticipant::TokenExpires { in_s } = message else { return None };
        Some(*in_s)
    });
    warnings.collect()
}

#[test]
fn a_session_ends_with_its_token_after_a_warning() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    let bob = expiring(&mut tree, 300);
    tree.pass(Duration::from_secs(239));
    assert!(warnings(&tree, bob).is_empty());
    tree.pass(Duration::from_secs(1));
    assert_eq!(warnings(&tree, bob), [60]);
    tree.pass(Duration::from_secs(59));
    assert_eq!(tree.closed(bob), None);
    tree.pass(Duration::from_secs(1));
    assert_eq!(tree.closed(bob), Some(CloseCode::TokenExpired));
    assert_eq!(warnings(&tree, bob), [60], "once");
    assert!(tree.room(ORIGIN).state().on_stage(tree.people[bob].id).unwrap().away);
    assert_eq!(tree.hubs[LEAF].counters().tokens_expired, 1);
}

#[test]
fn who_comes_with_a_token_that_runs_out_soon_is_warned_at_once() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    let bob = expiring(&mut tree, 25);
    assert_eq!(warnings(&tree, bob), [25]);
}

#[test]
fn a_newer_token_takes_its_place() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    let bob = expiring(&mut tree, 300);
    tree.pass(Duration::from_secs(250));
    let newer = |claims| FromParticipant::RenewToken { token: token(claims).into() };
    let other = tree.ask(bob, newer(json!({"sub": "eve"})));
    assert_eq!(tree.error(bob, other).unwrap().0, ErrorCode::NotPermitted);
    let elsewhere = json!({"sub": "bob", "video": {"room": "cellar", "roomJoin": true}});
    let elsewhere = tree.ask(bob, newer(elsewhere));
    assert_eq!(tree.error(bob, elsewhere).unwrap().0, ErrorCode::TokenWrongRoom);
    let mine = json!({"sub": "bob", "role": "host", "exp": EPOCH_S + 600});
    let renewed = tree.ask(bob, newer(mine));
    assert!(tree.is_answered(bob, renewed), "{:?}", tree.answer(bob, renewed));
    tree.pass(Duration::from_secs(200));
    assert_eq!((tree.closed(bob), warnings(&tree, bob)), (None, vec![60]));
    let request = tree.govern(bob, Govern::EndRoom {});
    assert_eq!(tree.error(bob, request).unwrap().0, ErrorCode::NotPermitted, "the role stays");
    tree.pass(Duration::from_secs(150));
    assert_eq!(tree.closed(bob), Some(CloseCode::TokenExpired));
    assert_eq!(tree.hubs[LEAF].counters().tokens_renewed, 1);
}

#[test]
fn without_a_token_nothing_runs_out_and_nothing_is_renewed() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    let request = tree.ask(bob, FromParticipant::RenewToken { token: token(json!({})).into() });
    assert_eq!(tree.error(bob, request).unwrap().0, ErrorCode::NotPermitted);
    tree.pass(Duration::from_secs(100_000));
    assert_eq!(tree.closed(bob), None);
}

#[test]
fn who_has_left_is_not_warned() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let bob = expiring(&mut tree, 300);
    let target = Target::Participant(tree.people[bob].id);
    tree.govern(host, Govern::Kick { target, reason: Note::default() });
    assert_eq!(tree.closed(bob), Some(CloseCode::Kicked));
    tree.pass(Duration::from_secs(400));
    assert!(warnings(&tree, bob).is_empty());
    assert_eq!(tree.hubs[LEAF].counters().tokens_expired, 0);
}

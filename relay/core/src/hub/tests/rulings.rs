//! Rulings of the origin about persons, at every relay.

use serde_json::json;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::ToChild;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::RoomState;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Channel, Note, Revision};
use tribune_protocol::limits::MAX_RULINGS;
use tribune_protocol::log::LogAction;

use super::tree::{EPOCH_S, LEAF, MID, ORIGIN, OTHER_LEAF, Tree};
use crate::messages::ShardEvent;

fn bob(issued_at_s: u64) -> serde_json::Value {
    json!({"sub": "bob", "role": "speaker", "iat": issued_at_s})
}

#[test]
fn a_ban_reaches_every_session_of_the_subject_and_all_that_come_later() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let first = tree.join_by_token(LEAF, 2, Role::Speaker, bob(EPOCH_S));
    let second = tree.join_by_token(OTHER_LEAF, 3, Role::Listener, bob(EPOCH_S));
    assert!(tree.joined(first).is_some() && tree.joined(second).is_some());
    let target = Target::Subject("bob".parse().unwrap());
    let reason: Note = "spam".parse().unwrap();
    let request = tree.govern(host, Govern::Ban { target, duration_s: None, reason });
    assert!(tree.is_answered(host, request), "{:?}", tree.answer(host, request));
    for who in [first, second] {
        assert_eq!(tree.people[who].closed, Some((CloseCode::Kicked, "spam".to_owned())));
        let notice = |message: &ToParticipant| {
            matches!(message, ToParticipant::Moderated(moderated)
                if moderated.action == Some(LogAction::Banned) && moderated.reason.as_str() == "spam")
        };
        assert_eq!(tree.count(who, notice), 1);
    }
    for relay in [ORIGIN, MID, LEAF, OTHER_LEAF] {
        let again = tree.join_by_token(relay, 4, Role::Listener, bob(EPOCH_S + 1));
        assert_eq!(tree.refused(again), Some(ErrorCode::Barred), "at relay {relay}");
    }
    let target = Target::Subject("bob".parse().unwrap());
    tree.govern(host, Govern::Unban { target, reason: Note::default() });
    let fresh = tree.join_by_token(MID, 5, Role::Listener, bob(EPOCH_S + 1));
    assert!(tree.joined(fresh).is_some(), "{:?}", tree.refusal(fresh));
}

#[test]
fn a_kick_refuses_the_tokens_issued_before_it() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let first = tree.join_by_token(LEAF, 2, Role::Listener, bob(EPOCH_S));
    let target = Target::Participant(tree.people[first].id);
    // The origin knows who a silent listener is only if a target says so.
    let target = if tree.joined(first).is_some() { target } else { unreachable!() };
    tree.govern(host, Govern::Kick { target, reason: Note::default() });
    assert_eq!(tree.closed(first), Some(CloseCode::Kicked));
    let target = Target::Subject("bob".parse().unwrap());
    tree.govern(host, Govern::Kick { target, reason: Note::default() });
    let again = tree.join_by_token(OTHER_LEAF, 3, Role::Listener, bob(EPOCH_S));
    assert_eq!(tree.refused(again), Some(ErrorCode::Barred));
    let newer = tree.join_by_token(OTHER_LEAF, 3, Role::Listener, bob(EPOCH_S + 1));
    assert!(tree.joined(newer).is_some(), "{:?}", tree.refusal(newer));
}

#[test]
fn an_address_is_barred_for_everybody_behind_it() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let speaker = tree.connect(LEAF, 8);
    tree.people[speaker].remote = "192.0.2.7:78".parse().unwrap();
    let token = super::tree::token(json!({"sub": "eve", "role": "speaker"}));
    tree.join_as(speaker, Role::Speaker, |join| join.token = Some(token.into()));
    assert_eq!(tree.joined(speaker), Some(Role::Speaker));
    let target = Target::Address("192.0.2.7".parse().unwrap());
    let ban = Govern::Ban { target, duration_s: None, reason: Note::default() };
    let request = tree.govern(host, ban);
    assert!(tree.is_answered(host, request), "{:?}", tree.answer(host, request));
    assert_eq!(tree.closed(speaker), Some(CloseCode::Kicked));
    let stage = &tree.room(ORIGIN).state().stage;
    assert_eq!(stage.len(), 1, "the host alone: {stage:?}");
    let come = |tree: &mut Tree, address: &str| {
        let who = tree.connect(LEAF, 9);
        tree.people[who].remote = address.parse().unwrap();
        let token = super::tree::token(bob(EPOCH_S + 1));
        tree.join_as(who, Role::Listener, |join| join.token = Some(token.into()));
        who
    };
    let mapped = come(&mut tree, "[::ffff:192.0.2.7]:77");
    assert_eq!(tree.refused(mapped), Some(ErrorCode::Barred));
    let other = come(&mut tree, "192.0.2.8:77");
    assert!(tree.joined(other).is_some());
}

#[test]
fn roles_and_permissions_reach_a_listener_at_its_edge() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let ada = tree.join(LEAF, 2, Role::Listener);
    let target = || Target::Participant(tree.people[ada].id);
    let deny = Govern::SetPermission {
        target: target(),
        permission: Permission::React,
        allow: Some(false),
        reason: "too much".parse().unwrap(),
    };
    let request = tree.govern(host, deny);
    assert!(tree.is_answered(host, request), "{:?}", tree.answer(host, request));
    let you = tree.you(ada).unwrap();
    assert!(!you.may.contains(Permission::React) && you.may.contains(Permission::Listen));
    assert_eq!(you.reason.as_str(), "too much");
    let allow = Govern::SetPermission {
        target: Target::Participant(tree.people[ada].id),
        permission: Permission::SeeHands,
        allow: Some(true),
        reason: Note::default(),
    };
    tree.govern(host, allow);
    assert!(tree.you(ada).unwrap().may.contains(Permission::SeeHands));
    let invite = Govern::Invite { target: Target::Participant(tree.people[ada].id) };
    let request = tree.govern(host, invite);
    assert!(tree.is_answered(host, request), "{:?}", tree.answer(host, request));
    assert!(tree.you(ada).unwrap().invited_by.is_some());
    tree.govern(ada, Govern::AnswerInvite { accept: true });
    let you = tree.you(ada).unwrap();
    assert_eq!((you.role, you.invited_by), (Role::Speaker, None));
    assert!(you.track.is_some() && !you.may.contains(Permission::React), "{:?}", you.may);
}

#[test]
fn a_relay_that_comes_later_knows_all_that_was_ruled() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    for n in 0..100 {
        let target = Target::Subject(format!("bad-{n}").parse().unwrap());
        let reason = "x".repeat(200).parse().unwrap();
        let request = tree.govern(host, Govern::Ban { target, duration_s: None, reason });
        assert!(tree.is_answered(host, request), "{:?}", tree.answer(host, request));
    }
    assert!(!tree.child_room(LEAF));
    let bad = tree.join_by_token(LEAF, 2, Role::Listener, json!({"sub": "bad-99"}));
    assert_eq!(tree.refused(bad), Some(ErrorCode::Barred));
    tree.join(LEAF, 3, Role::Listener);
    for relay in [ORIGIN, MID, LEAF] {
        assert_eq!(tree.room(relay).rulings(), 100, "at relay {relay}");
    }
    assert!(tree.hubs.iter().all(|hub| hub.out.unsendable() == 0));
}

#[test]
fn a_ban_is_acknowledged_when_every_relay_has_it() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    tree.join(OTHER_LEAF, 3, Role::Listener);
    tree.slow_shards = vec![OTHER_LEAF];
    let target = Target::Subject("bob".parse().unwrap());
    let ban = Govern::Ban { target, duration_s: None, reason: Note::default() };
    let request = tree.govern(host, ban);
    assert!(!tree.is_answered(host, request), "the other leaf has not confirmed it");
    tree.slow_shards.clear();
    tree.release_shards();
    assert!(tree.is_answered(host, request));
}

#[test]
fn a_relay_keeps_to_what_it_knew_while_everything_is_said_anew() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    tree.join(LEAF, 3, Role::Listener);
    let link = tree.parent_link(LEAF).unwrap();
    let channel = tree.room(LEAF).channel().unwrap();
    let bars = |subject: &str| Ruling {
        barred: true,
        ..Ruling::about(PersonKey::of_subject(&subject.parse().unwrap()))
    };
    let say = |tree: &mut Tree, reset, rulings| {
        let message = ToChild::Rulings { channel, reset, rulings, lifted: Vec::new() };
        tree.event(LEAF, ShardEvent::FromParent { link, message });
    };
    let state = |tree: &mut Tree, revision| {
        let state: RoomState = tree.room(LEAF).state().clone();
        let message = ToChild::State { channel, revision: Revision(revision), state };
        tree.event(LEAF, ShardEvent::FromParent { link, message });
    };
    say(&mut tree, true, vec![bars("bob"), bars("eve")]);
    state(&mut tree, 1 << 50);
    say(&mut tree, true, vec![bars("eve")]);
    let between = tree.join_by_token(LEAF, 4, Role::Listener, bob(EPOCH_S));
    assert_eq!(tree.refused(between), Some(ErrorCode::Barred), "the next part could say so");
    state(&mut tree, (1 << 50) + 1);
    let after = tree.join_by_token(LEAF, 4, Role::Listener, bob(EPOCH_S));
    assert!(tree.joined(after).is_some(), "{:?}", tree.refusal(after));
}

#[test]
fn a_parent_that_rules_without_end_is_parted_with() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    tree.join(LEAF, 3, Role::Listener);
    let link = tree.parent_link(LEAF).unwrap();
    let channel: Channel = tree.room(LEAF).channel().unwrap();
    for first in (0..=MAX_RULINGS).step_by(40) {
        let rulings = (first..first + 40).map(|n| Ruling {
            barred: true,
            ..Ruling::about(PersonKey::of_subject(&format!("bad-{n}").parse().unwrap()))
        });
        let rulings = rulings.collect();
        let message = ToChild::Rulings { channel, reset: false, rulings, lifted: Vec::new() };
        tree.event(LEAF, ShardEvent::FromParent { link, message });
    }
    assert!(tree.closes.contains(&(LEAF, CloseCode::ProtocolViolation)));
    assert!(tree.room(LEAF).rulings() <= MAX_RULINGS);
}

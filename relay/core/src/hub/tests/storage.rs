//! Decisions of the origin are durable before it is acknowledged, and outlive the relay.

use std::time::Duration;

use serde_json::json;
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::Note;

use super::tree::{LEAF, ORIGIN, OTHER_LEAF, Tree};
use crate::store::Store;

fn ban(subject: &str) -> Govern {
    let target = Target::Subject(subject.parse().unwrap());
    Govern::Ban { target, duration_s: None, reason: Note::default() }
}

#[test]
fn a_ban_is_in_force_and_acknowledged_once_it_is_durable() {
    let mut tree = Tree::new();
    let host = tree.join(LEAF, 1, Role::Host);
    tree.store_hangs = true;
    let request = tree.govern(host, ban("bob"));
    assert_eq!(tree.answer(host, request), None);
    assert_eq!(tree.room(LEAF).rulings(), 0);
    tree.release_store();
    assert!(tree.is_answered(host, request));
    assert_eq!(tree.room(LEAF).rulings(), 1);
}

#[test]
fn what_cannot_be_stored_is_not_done() {
    let mut tree = Tree::new();
    let host = tree.join(LEAF, 1, Role::Host);
    tree.store_fails = true;
    let request = tree.govern(host, ban("bob"));
    let (code, sentence) = tree.error(host, request).unwrap();
    assert_eq!(code, ErrorCode::NotDurable);
    assert!(sentence.contains("a test has it fail"), "{sentence}");
    let bob = tree.join_by_token(OTHER_LEAF, 2, Role::Listener, json!({"sub": "bob"}));
    assert!(tree.joined(bob).is_some());
    assert!(tree.hubs[ORIGIN].counters().store_failures > 0);
    tree.store_fails = false;
    let request = tree.govern(host, ban("bob"));
    assert!(tree.is_answered(host, request), "{:?}", tree.answer(host, request));
}

#[test]
fn an_origin_that_starts_again_knows_its_rooms_and_whom_it_has_barred() {
    let mut tree = Tree::new();
    let host = tree.join_by_token(LEAF, 1, Role::Host, json!({}));
    let request = tree.govern(host, ban("bob"));
    assert!(tree.is_answered(host, request));
    tree.restart_origin();
    tree.pass(Duration::from_secs(5));
    let state = tree.room(ORIGIN).state();
    assert_eq!(state.phase, Phase::Live);
    assert_eq!(tree.room(LEAF).rulings(), 1);
    let bob = tree.join_by_token(OTHER_LEAF, 2, Role::Listener, json!({"sub": "bob"}));
    assert_eq!(tree.refused(bob), Some(ErrorCode::Barred));
    let request = tree.govern(host, ban("eve"));
    assert!(tree.is_answered(host, request), "{:?}", tree.answer(host, request));
}

#[test]
fn the_log_of_a_room_goes_on_when_it_is_opened_again() {
    let mut tree = Tree::new();
    let host = tree.join_by_token(LEAF, 1, Role::Host, json!({}));
    tree.govern(host, ban("bob"));
    tree.govern(host, Govern::EndRoom {});
    tree.pass(Duration::from_secs(60));
    assert!(!tree.child_room(ORIGIN), "nobody is in it");
    let read = |tree: &mut Tree| {
        let clerk = tree.connect(LEAF, 1);
        let good = super::tree::token(json!({}));
        let log = Govern::ReadLog { from: 1 };
        let request = tree.one_shot(clerk, log, |one_shot| one_shot.token = Some(good.into()));
        match tree.answer(clerk, request) {
            Some(ToParticipant::Log(page)) => page.entries.len(),
            other => panic!("{other:?}"),
        }
    };
    let before = read(&mut tree);
    assert!(before >= 3, "opened, banned, ended: {before}");
    let host = tree.join_by_token(LEAF, 3, Role::Host, json!({}));
    assert!(tree.joined(host).is_some(), "{:?}", tree.refusal(host));
    assert_eq!(read(&mut tree), before + 1);
}

#[test]
fn a_store_that_holds_something_else_is_not_taken_over() {
    let mut tree = Tree::new();
    let clerk = tree.connect(ORIGIN, 1);
    let create = Govern::Create { settings: RoomSettings::default() };
    tree.one_shot(clerk, create, |_| ());
    let mut rooms = crate::store::Store::load(&mut tree.store).unwrap();
    assert_eq!(rooms.len(), 1);
    rooms[0].record = Some(b"no record".to_vec().into());
    let now = tree.now;
    let error = tree.hubs[ORIGIN].restore(rooms, now).unwrap_err();
    assert!(error.contains("stage"), "{error}");
}

#[test]
fn statistics_are_kept_for_as_long_as_the_operator_says() {
    let keep = Duration::from_secs(7_200);
    let mut tree = Tree::with_spare(|_, config| config.keep_statistics = Some(keep));
    let host = tree.join(LEAF, 1, Role::Host);
    let room = tree.room(ORIGIN).name().clone();
    tree.pass(Duration::from_secs(5));
    tree.govern(host, Govern::EndRoom {});
    tree.pass(Duration::from_secs(60));
    let is_kept = |tree: &mut Tree| tree.store.read_statistics(&room, None).unwrap().is_some();
    assert!(is_kept(&mut tree));
    tree.pass(keep - Duration::from_secs(120));
    assert!(is_kept(&mut tree), "it is not time");
    // A failure is no reason to stop.
    tree.store_fails = true;
    tree.pass(Duration::from_secs(3_600));
    assert!(is_kept(&mut tree));
    tree.store_fails = false;
    tree.pass(Duration::from_secs(3_600));
    assert!(!is_kept(&mut tree));
}

//! One-shot requests: from any relay, in any state of the room, also by the barred.

use std::time::Duration;

use serde_json::json;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::Note;

use super::tree::{LEAF, MID, ORIGIN, OTHER_LEAF, Tree};
use crate::messages::ShardEvent;

fn create() -> Govern {
    Govern::Create { settings: RoomSettings::default() }
}

#[test]
fn a_room_is_made_from_a_leaf_without_coming_in_and_the_relays_forget_it_again() {
    let mut tree = Tree::new();
    let clerk = tree.connect(LEAF, 1);
    let request = tree.one_shot(clerk, create(), |_| ());
    assert!(tree.is_answered(clerk, request), "{:?}", tree.answer(clerk, request));
    assert_eq!(tree.room(ORIGIN).state().phase, Phase::Announced);
    let show = tree.one_shot(clerk, Govern::Show {}, |_| ());
    let answer = tree.answer(clerk, show);
    assert!(matches!(answer, Some(ToParticipant::Room(info)) if info.phase == Phase::Announced));
    tree.pass(Duration::from_secs(30));
    assert!(!tree.child_room(LEAF) && !tree.child_room(MID), "nobody wants it here");
    assert!(tree.child_room(ORIGIN));
}

#[test]
fn a_one_shot_request_takes_the_right_to_what_it_asks() {
    let mut tree = Tree::new();
    let clerk = tree.connect(LEAF, 1);
    tree.people[clerk].remote = "192.0.2.7:9".parse().unwrap();
    let request = tree.one_shot(clerk, create(), |_| ());
    assert_eq!(tree.error(clerk, request).unwrap().0, ErrorCode::NotPermitted);
    let listener = tree.one_shot(clerk, create(), |one_shot| one_shot.role = Role::Listener);
    assert_eq!(tree.error(clerk, listener).unwrap().0, ErrorCode::NotPermitted);
    let wrong = tree.one_shot(clerk, create(), |one_shot| one_shot.token = Some("what".into()));
    assert_eq!(tree.error(clerk, wrong).unwrap().0, ErrorCode::TokenMalformed);
    let good = super::tree::token(json!({}));
    let done = tree.one_shot(clerk, create(), |one_shot| one_shot.token = Some(good.into()));
    assert!(tree.is_answered(clerk, done), "{:?}", tree.answer(clerk, done));
}

#[test]
fn a_one_shot_request_leaves_the_same_sessions_place_alone() {
    let mut tree = Tree::new();
    let host = tree.join(LEAF, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    let clerk = tree.connect(OTHER_LEAF, 1);
    let target = Target::Participant(tree.people[bob].id);
    let request = tree.one_shot(clerk, Govern::Kick { target, reason: Note::default() }, |_| ());
    assert!(tree.is_answered(clerk, request), "{:?}", tree.answer(clerk, request));
    assert_eq!(tree.closed(host), None);
    assert_eq!(tree.routes[&LEAF], Some(tree.people[host].link), "the track is where it was");
    assert_eq!(tree.closed(bob), Some(CloseCode::Kicked));
}

#[test]
fn one_who_is_barred_reads_what_is_said_of_them_and_appeals_and_nothing_else() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    let target = Target::Participant(tree.people[bob].id);
    let reason: Note = "noise".parse().unwrap();
    let ban = Govern::Ban { target, duration_s: Some(3_600), reason };
    let request = tree.govern(host, ban);
    assert!(tree.is_answered(host, request), "{:?}", tree.answer(host, request));
    let again = tree.join(OTHER_LEAF, 2, Role::Listener);
    let (code, sentence) = tree.refusal(again).unwrap();
    assert_eq!(code, ErrorCode::Barred);
    assert!(sentence.contains("until 1970-01-12") && sentence.contains("entry"), "{sentence}");
    let one_shot = tree.connect(OTHER_LEAF, 2);
    let read = tree.one_shot(one_shot, Govern::ReadLog { from: 1 }, |_| ());
    let Some(ToParticipant::Log(page)) = tree.answer(one_shot, read).cloned() else {
        panic!("{:?}", tree.answer(one_shot, read));
    };
    assert!(page.own_only && page.entries.len() == 1, "{page:?}");
    let kick =
        Govern::Kick { target: Target::Participant(tree.people[host].id), reason: Note::default() };
    let kick = tree.one_shot(one_shot, kick, |_| ());
    assert_eq!(tree.error(one_shot, kick).unwrap().0, ErrorCode::NotPermitted);
    let entry = notice(&tree, bob).entry;
    let text: Note = "it was the dog".parse().unwrap();
    let appeal = tree.one_shot(one_shot, Govern::Appeal { entry, text }, |_| ());
    assert!(tree.is_answered(one_shot, appeal), "{:?}", tree.answer(one_shot, appeal));
}

fn notice(tree: &Tree, who: usize) -> tribune_protocol::domain::ruling::Moderated {
    let notice = tree.people[who].inbox.iter().rev().find_map(|(_, message)| {
        let ToParticipant::Moderated(moderated) = message else { return None };
        Some(moderated.clone())
    });
    notice.expect("they are told what was done")
}

#[test]
fn without_an_answer_a_one_shot_request_is_given_up_and_the_next_one_goes_on() {
    let mut tree = Tree::new();
    let clerk = tree.connect(LEAF, 1);
    tree.one_shot(clerk, create(), |_| ());
    tree.store_hangs = true;
    let log = || Govern::ReadLog { from: 1 };
    let first = tree.one_shot(clerk, log(), |_| ());
    let second = tree.one_shot(clerk, Govern::Show {}, |_| ());
    assert_eq!(tree.error(clerk, second).unwrap().0, ErrorCode::BadRequest, "one at a time");
    tree.pass(Duration::from_secs(4));
    assert_eq!(tree.answer(clerk, first), None);
    tree.pass(Duration::from_secs(2));
    assert_eq!(tree.error(clerk, first).unwrap().0, ErrorCode::Unavailable);
    let third = tree.one_shot(clerk, log(), |_| ());
    assert_eq!(tree.answer(clerk, third), None);
    tree.release_store();
    let answer = tree.answer(clerk, third);
    assert!(matches!(answer, Some(ToParticipant::Log(_))), "{answer:?}");
    let late = tree.people[clerk].inbox.iter().filter(|(id, _)| *id == Some(first)).count();
    assert_eq!(late, 1, "the answer that comes too late is nobody's");
}

#[test]
fn a_connection_that_goes_leaves_no_one_shot_request_behind() {
    let mut tree = Tree::new();
    tree.store_hangs = true;
    let clerk = tree.connect(LEAF, 1);
    tree.one_shot(clerk, create(), |_| ());
    assert!(tree.child_room(LEAF));
    tree.close(clerk);
    tree.pass(Duration::from_millis(10));
    assert!(!tree.child_room(LEAF) && tree.hubs[LEAF].connections.is_empty());
    tree.pass(Duration::from_secs(20));
    assert!(!tree.child_room(MID));
    assert!(tree.child_room(ORIGIN), "what is being stored is waited for");
    tree.release_store();
    assert_eq!(tree.room(ORIGIN).state().phase, Phase::Announced);
}

#[test]
fn a_one_shot_request_is_answered_when_the_way_to_the_origin_is_lost() {
    let mut tree = Tree::new();
    tree.store_hangs = true;
    let clerk = tree.connect(LEAF, 1);
    let request = tree.one_shot(clerk, create(), |_| ());
    let link = tree.parent_link(LEAF).unwrap();
    tree.event(LEAF, ShardEvent::Closed { link, why: "cut".to_owned() });
    assert_eq!(tree.error(clerk, request).unwrap().0, ErrorCode::Unavailable);
}

#[test]
fn a_connection_with_one_shot_requests_does_not_join() {
    let mut tree = Tree::new();
    let clerk = tree.connect(LEAF, 1);
    tree.one_shot(clerk, create(), |_| ());
    tree.join_as(clerk, Role::Host, |_| ());
    assert_eq!(tree.refused(clerk), Some(ErrorCode::BadRequest));
    let host = tree.join(LEAF, 2, Role::Host);
    let request = tree.one_shot(host, Govern::Show {}, |_| ());
    assert_eq!(tree.error(host, request).unwrap().0, ErrorCode::BadRequest);
}

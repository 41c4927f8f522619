//! Lists of public rooms, from any relay.

use std::time::Duration;

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::ids::RoomName;

use super::tree::{LEAF, MID, ORIGIN, OTHER_LEAF, Tree};
use crate::messages::ShardEvent;

fn create(tree: &mut Tree, room: &str, listed: bool, title: &str) {
    let clerk = tree.connect(ORIGIN, 9);
    let title = title.parse().unwrap();
    let settings = RoomSettings { listed, title, ..RoomSettings::default() };
    let request = tree.one_shot(clerk, Govern::Create { settings }, |one_shot| {
        one_shot.room = room.parse().unwrap()
    });
    assert!(tree.is_answered(clerk, request), "{room}: {:?}", tree.answer(clerk, request));
}

/// The names that are listed, and whether there are more.
fn list(tree: &mut Tree, who: usize, after: Option<&str>) -> Option<(Vec<String>, bool)> {
    let after = after.map(|name| name.parse::<RoomName>().unwrap());
    let request = tree.ask(who, FromParticipant::ListRooms { after });
    match tree.answer(who, request) {
        Some(ToParticipant::Rooms { rooms, more }) => {
            Some((rooms.iter().map(|listing| listing.room.to_string()).collect(), *more))
        }
        _ => None,
    }
}

#[test]
fn public_rooms_are_listed_by_name_at_every_relay() {
    let mut tree = Tree::new();
    for (room, listed) in [("bees", true), ("ants", true), ("secret", false), ("wasps", true)] {
        create(&mut tree, room, listed, "");
    }
    for relay in [ORIGIN, MID, LEAF, OTHER_LEAF] {
        let who = tree.connect(relay, 1);
        let all = (["ants", "bees", "wasps"].map(String::from).to_vec(), false);
        assert_eq!(list(&mut tree, who, None), Some(all), "at relay {relay}");
        let (rest, _) = list(&mut tree, who, Some("ants")).unwrap();
        assert_eq!(rest, ["bees", "wasps"]);
    }
    let clerk = tree.connect(ORIGIN, 9);
    let change = tribune_protocol::control::command::RoomChange {
        listed: Some(false),
        ..Default::default()
    };
    let reason = tribune_protocol::ids::Note::default();
    tree.one_shot(clerk, Govern::Set { change, reason }, |one_shot| {
        one_shot.room = "bees".parse().unwrap();
    });
    let who = tree.connect(LEAF, 1);
    assert_eq!(list(&mut tree, who, None).unwrap().0, ["ants", "wasps"]);
}

#[test]
fn long_lists_come_in_parts_that_fit_a_message() {
    let mut tree = Tree::new();
    let names: Vec<String> = (0..70).map(|n| format!("{}-{n:02}", "room".repeat(15))).collect();
    for hub in &mut tree.hubs {
        hub.config.max_rooms = 100;
    }
    for name in &names {
        create(&mut tree, name, true, &"t".repeat(200));
    }
    let who = tree.connect(LEAF, 1);
    let (mut found, mut parts) = (Vec::new(), 0);
    loop {
        let (rooms, more) = list(&mut tree, who, found.last().map(String::as_str)).unwrap();
        found.extend(rooms);
        parts += 1;
        if !more {
            break;
        }
    }
    assert_eq!(found, names);
    assert_eq!(parts, 2);
    assert!(tree.hubs.iter().all(|hub| hub.out.unsendable() == 0));
}

#[test]
fn questions_are_asked_again_by_a_new_way_and_given_up_without_one() {
    let mut tree = Tree::new();
    create(&mut tree, "bees", true, "");
    tree.no_dials = true;
    let above = tree.parent_link(MID).unwrap();
    tree.event(MID, ShardEvent::Closed { link: above, why: "cut".to_owned() });
    let who = tree.connect(LEAF, 1);
    let request = tree.ask(who, FromParticipant::ListRooms { after: None });
    assert_eq!(tree.answer(who, request), None, "the question is at the mid relay");
    tree.no_dials = false;
    let link = tree.parent_link(LEAF).unwrap();
    tree.event(LEAF, ShardEvent::Closed { link, why: "cut".to_owned() });
    tree.trunks.retain(|trunk| trunk.1 != link && trunk.1 != above);
    tree.pass(Duration::from_secs(4));
    let answer = tree.answer(who, request);
    assert!(
        matches!(answer, Some(ToParticipant::Rooms { rooms, .. }) if rooms.len() == 1),
        "{answer:?}"
    );
    tree.no_dials = true;
    let link = tree.parent_link(LEAF).unwrap();
    tree.event(LEAF, ShardEvent::Closed { link, why: "cut".to_owned() });
    let request = tree.ask(who, FromParticipant::ListRooms { after: None });
    tree.pass(Duration::from_secs(6));
    assert_eq!(tree.error(who, request).unwrap().0, ErrorCode::Unavailable);
}

#[test]
fn a_child_that_asks_without_end_is_parted_with() {
    let mut tree = Tree::new();
    tree.no_dials = true;
    let link = tree.parent_link(MID).unwrap();
    tree.event(MID, ShardEvent::Closed { link, why: "cut".to_owned() });
    let link = tree.child_link(MID, LEAF).unwrap();
    for _ in 0..=64 {
        let (remote, certified) = ("127.0.0.1:1".parse().unwrap(), false);
        let message = ToParent::ListRooms { after: None };
        tree.event(
            MID,
            ShardEvent::FromChild { link, remote, certified, message: Box::new(message) },
        );
    }
    assert!(tree.closes.contains(&(MID, CloseCode::ProtocolViolation)));
    let who = tree.connect(MID, 1);
    for _ in 0..64 {
        tree.ask(who, FromParticipant::ListRooms { after: None });
    }
    assert_eq!(tree.refused(who), None);
    let request = tree.ask(who, FromParticipant::ListRooms { after: None });
    assert_eq!(tree.error(who, request).unwrap().0, ErrorCode::Overloaded);
}

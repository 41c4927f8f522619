//! Admission, and each refusal with its own code.

use serde_json::json;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::access::Access;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};

use super::tree::{EPOCH_S, LEAF, MID, ORIGIN, OTHER_LEAF, Tree, guide, token};

const FAR: &str = "192.0.2.7:9";

/// Somebody without a token, from elsewhere.
fn guest(tree: &mut Tree, relay: usize, session: u8, role: Role) -> usize {
    let who = tree.connect(relay, session);
    tree.people[who].remote = FAR.parse().unwrap();
    tree.join_as(who, role, |_| ());
    who
}

fn change(tree: &mut Tree, host: usize, set: impl FnOnce(&mut RoomChange)) {
    let mut change = RoomChange::default();
    set(&mut change);
    tree.set(host, change);
}

#[test]
fn a_guest_comes_in_where_the_room_is_open_and_listens() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let bob = guest(&mut tree, LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(bob), Some(ErrorCode::TokenMissing));
    change(&mut tree, host, |change| change.access = Some(Access::Open));
    let bob = guest(&mut tree, LEAF, 2, Role::Listener);
    assert_eq!(tree.joined(bob), Some(Role::Listener));
    let eve = guest(&mut tree, LEAF, 3, Role::Speaker);
    assert_eq!(tree.refused(eve), Some(ErrorCode::NotPermitted));
    assert_eq!(tree.room(ORIGIN).state().stage.len(), 1);
    let ivy = guest(&mut tree, LEAF, 4, guide());
    assert_eq!(tree.refused(ivy), Some(ErrorCode::NotPermitted), "the edge alone lets these in");
    let ivy = tree.join_by_token(LEAF, 4, guide(), json!({"sub": "ivy", "role": "guide"}));
    assert_eq!(tree.joined(ivy), Some(guide()));
    assert!(tree.you(ivy).unwrap().may.contains(Permission::SeeHands));
}

#[test]
fn a_token_lets_in_as_what_it_says_and_below() {
    let mut tree = Tree::new();
    let host = tree.join_by_token(ORIGIN, 1, Role::Host, json!({}));
    assert_eq!(tree.joined(host), Some(Role::Host));
    let speaker = || json!({"sub": "bob", "role": "speaker"});
    let bob = tree.join_by_token(LEAF, 2, Role::Cohost, speaker());
    assert_eq!(tree.refused(bob), Some(ErrorCode::NotPermitted));
    let bob = tree.join_by_token(LEAF, 2, Role::Speaker, speaker());
    assert_eq!(tree.joined(bob), Some(Role::Speaker));
    let expired = json!({"sub": "eve", "exp": EPOCH_S - 60});
    let eve = tree.join_by_token(LEAF, 3, Role::Listener, expired);
    assert_eq!(tree.refused(eve), Some(ErrorCode::TokenExpired));
    let just_expired = json!({"sub": "eve", "exp": EPOCH_S - 1});
    let eve = tree.join_by_token(LEAF, 3, Role::Listener, just_expired);
    assert_eq!(tree.refused(eve), Some(ErrorCode::TokenExpired), "a session would end at once");
    let deaf = json!({"sub": "eve", "video": {"room": "stage", "roomJoin": true}});
    let eve = tree.join_by_token(LEAF, 3, Role::Listener, deaf);
    assert_eq!(tree.refused(eve), Some(ErrorCode::NotPermitted));
    let elsewhere = json!({"video": {"room": "cellar", "roomJoin": true, "canSubscribe": true}});
    let eve = tree.join_by_token(LEAF, 3, Role::Listener, elsewhere);
    assert_eq!(tree.refused(eve), Some(ErrorCode::TokenWrongRoom));
}

#[test]
fn an_announced_room_is_opened_by_who_may_and_by_nobody_else() {
    let mut tree = Tree::new();
    let clerk = tree.connect(LEAF, 9);
    let settings = RoomSettings { access: Access::Open, ..RoomSettings::default() };
    let request = tree.one_shot(clerk, Govern::Create { settings }, |_| ());
    assert!(tree.is_answered(clerk, request), "{:?}", tree.answer(clerk, request));
    let bob = guest(&mut tree, LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(bob), Some(ErrorCode::NotStarted));
    let video =
        json!({"room": "stage", "roomJoin": true, "canPublish": true, "canSubscribe": true});
    let speaker = json!({"sub": "eve", "video": video});
    let eve = tree.join_by_token(LEAF, 3, Role::Speaker, speaker);
    assert_eq!(tree.refused(eve), Some(ErrorCode::NotStarted));
    let host = tree.join(OTHER_LEAF, 1, Role::Host);
    assert_eq!(tree.joined(host), Some(Role::Host));
    let bob = guest(&mut tree, LEAF, 2, Role::Listener);
    assert_eq!(tree.joined(bob), Some(Role::Listener));
}

#[test]
fn a_locked_room_takes_those_who_could_lock_it_and_those_who_are_in() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    let ada = tree.join(LEAF, 3, Role::Speaker);
    change(&mut tree, host, |change| change.locked = Some(true));
    let eve = tree.join(LEAF, 4, Role::Listener);
    assert_eq!(tree.refused(eve), Some(ErrorCode::Locked));
    let cohost = tree.join(LEAF, 5, Role::Cohost);
    assert_eq!(tree.joined(cohost), Some(Role::Cohost));
    let again = tree.join(LEAF, 2, Role::Listener);
    assert_eq!(tree.joined(again), Some(Role::Listener), "with a newer connection");
    assert_eq!(tree.closed(bob), Some(CloseCode::Replaced));
    tree.close(again);
    let back = tree.join(LEAF, 2, Role::Listener);
    assert_eq!(tree.joined(back), Some(Role::Listener), "after a lost connection");
    tree.close(back);
    tree.pass(std::time::Duration::from_secs(31));
    let late = tree.join(LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(late), Some(ErrorCode::Locked), "that was too long");
    tree.close(ada);
    let back = tree.join_with(OTHER_LEAF, 3, Role::Speaker, |join| join.returning = true);
    assert_eq!(tree.joined(back), Some(Role::Speaker), "to the place on the stage");
}

#[test]
fn a_room_holds_as_many_as_it_says() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    change(&mut tree, host, |change| change.capacity = Some(2));
    let bob = tree.join(LEAF, 2, Role::Listener);
    assert_eq!(tree.joined(bob), Some(Role::Listener));
    tree.pass(std::time::Duration::from_secs(2));
    let eve = tree.join(OTHER_LEAF, 3, Role::Listener);
    let (code, sentence) = tree.refusal(eve).unwrap();
    assert_eq!(code, ErrorCode::RoomFull);
    assert!(sentence.contains("holds 2"), "{sentence}");
    tree.close(bob);
    tree.pass(std::time::Duration::from_secs(3));
    let eve = tree.join(OTHER_LEAF, 3, Role::Listener);
    assert_eq!(tree.joined(eve), Some(Role::Listener));
}

#[test]
fn an_access_rule_says_what_is_wanted() {
    let mut tree = Tree::new();
    let host = tree.join_by_token(ORIGIN, 1, Role::Host, json!({}));
    let rule: Access = "followers >= 600".parse().unwrap();
    change(&mut tree, host, |change| change.access = Some(rule));
    let attributes = |count: u32| json!({"sub": "bob", "attributes": {"followers": count}});
    let bob = tree.join_by_token(LEAF, 2, Role::Listener, attributes(12));
    let (code, sentence) = tree.refusal(bob).unwrap();
    assert_eq!(code, ErrorCode::AccessDenied);
    assert!(sentence.contains("followers >= 600"), "{sentence}");
    let bob = tree.join_by_token(LEAF, 2, Role::Listener, attributes(612));
    assert_eq!(tree.joined(bob), Some(Role::Listener));
    tree.close(host);
    let host = tree.join_by_token(LEAF, 1, Role::Host, json!({}));
    assert_eq!(tree.joined(host), Some(Role::Host), "who sets the rule is not kept out by it");
}

#[test]
fn an_invitation_is_checked_with_the_rooms_own_key() {
    let mut tree = Tree::new();
    let host = tree.join_by_token(ORIGIN, 1, Role::Host, json!({}));
    change(&mut tree, host, |change| change.access = Some(Access::Invitation));
    let bob = tree.join_by_token(LEAF, 2, Role::Listener, json!({"sub": "bob"}));
    assert_eq!(tree.refused(bob), Some(ErrorCode::AccessDenied));
    let invite = Govern::MakeInvitation { subject: None, role: Role::Speaker, valid_for_s: 600 };
    let request = tree.govern(host, invite);
    let Some(ToParticipant::Invitation { token }) = tree.answer(host, request).cloned() else {
        panic!("{:?}", tree.answer(host, request));
    };
    for session in [2, 3] {
        let who = tree.join_with(LEAF, session, Role::Speaker, |join| {
            join.token = Some(token.clone());
        });
        assert_eq!(tree.joined(who), Some(Role::Speaker), "{:?}", tree.refusal(who));
    }
    assert!(!tree.closes.contains(&(LEAF, CloseCode::Replaced)), "two of the invited are two");
    let forged = token[..token.len() - 2].to_owned() + "AA";
    let eve = tree.join_with(LEAF, 4, Role::Listener, |join| join.token = Some(forged.into()));
    assert_eq!(tree.refused(eve), Some(ErrorCode::TokenInvalid));
}

#[test]
fn nobody_is_called_like_the_host() {
    let mut tree = Tree::new();
    let name = |text: &str| text.parse().unwrap();
    tree.join_with(ORIGIN, 1, Role::Host, |join| join.name = name("Ada"));
    let eve = tree.join_with(LEAF, 2, Role::Listener, |join| join.name = name("A\u{501}a"));
    assert_eq!(tree.refused(eve), Some(ErrorCode::NameTaken));
    let bob = tree.join_with(LEAF, 3, Role::Speaker, |join| join.name = name("Bob"));
    assert_eq!(tree.joined(bob), Some(Role::Speaker));
    let other = tree.join_with(LEAF, 4, Role::Listener, |join| join.name = name("Bob"));
    assert_eq!(tree.joined(other), Some(Role::Listener), "a speaker's name is for everybody");
    let again = tree.join_with(LEAF, 1, Role::Host, |join| join.name = name("Ada"));
    assert_eq!(tree.joined(again), Some(Role::Host), "nobody is taken for themselves");
}

#[test]
fn a_subject_is_itself_by_name_in_a_second_session_at_the_same_relay() {
    let mut tree = Tree::new();
    let named = || json!({"sub": "ada", "name": "Ada"});
    let host = tree.join_by_token(LEAF, 1, Role::Host, named());
    change(&mut tree, host, |change| change.duplicates = Some(Duplicates::Allow(2)));
    let second = tree.join_by_token(LEAF, 2, Role::Listener, named());
    assert!(tree.joined(second).is_some(), "{:?}", tree.refusal(second));
    let eve = tree.join_by_token(LEAF, 3, Role::Listener, json!({"sub": "eve", "name": "ada"}));
    assert_eq!(tree.refused(eve), Some(ErrorCode::NameTaken));
}

#[test]
fn a_second_session_of_a_subject_replaces_or_is_refused_or_allowed() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let bob = || json!({"sub": "bob", "role": "speaker"});
    let first = tree.join_by_token(LEAF, 2, Role::Listener, bob());
    let second = tree.join_by_token(LEAF, 3, Role::Listener, bob());
    assert!(tree.joined(second).is_some());
    assert_eq!(tree.closed(first), Some(CloseCode::Replaced));
    change(&mut tree, host, |change| change.duplicates = Some(Duplicates::Refuse));
    let third = tree.join_by_token(LEAF, 4, Role::Listener, bob());
    assert_eq!(tree.refused(third), Some(ErrorCode::Duplicate));
    let again = tree.join_by_token(LEAF, 3, Role::Listener, bob());
    assert!(tree.joined(again).is_some(), "the same session is no second one");
    change(&mut tree, host, |change| change.duplicates = Some(Duplicates::Allow(2)));
    let fourth = tree.join_by_token(LEAF, 5, Role::Listener, bob());
    assert!(tree.joined(fourth).is_some());
    let fifth = tree.join_by_token(LEAF, 6, Role::Listener, bob());
    assert_eq!(tree.refused(fifth), Some(ErrorCode::Duplicate));
    for session in [7, 8, 9] {
        let guest = tree.join(LEAF, session, Role::Listener);
        assert!(tree.joined(guest).is_some(), "guests are a subject each");
    }
}

#[test]
fn who_comes_in_is_told_what_they_may_and_how_the_room_is_set_up() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    assert!(tree.you(host).unwrap().may.contains(Permission::EndRoom));
    change(&mut tree, host, |change| change.title = Some("On bees".parse().unwrap()));
    let told = |(relay, message): &(usize, ToParticipant)| {
        *relay == ORIGIN
            && matches!(message, ToParticipant::Room(info) if info.settings.title.as_str() == "On bees")
    };
    assert!(tree.broadcasts.iter().any(told));
    let bob = tree.join(MID, 2, Role::Listener);
    let may = tree.you(bob).unwrap().may;
    assert!(may.contains(Permission::Listen) && !may.contains(Permission::Kick), "{may:?}");
    assert_eq!(tree.count(bob, |message| matches!(message, ToParticipant::Room(_))), 1);
}

#[test]
fn a_token_that_is_no_token_is_refused_also_from_this_machine() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join_with(LEAF, 2, Role::Listener, |join| join.token = Some("what".into()));
    assert_eq!(tree.refused(bob), Some(ErrorCode::TokenMalformed));
    let mut altered = token(json!({"sub": "bob"}));
    altered.replace_range(60..61, if &altered[60..61] == "A" { "B" } else { "A" });
    let bob = tree.join_with(LEAF, 2, Role::Listener, |join| join.token = Some(altered.into()));
    assert_eq!(tree.refused(bob), Some(ErrorCode::TokenInvalid));
}

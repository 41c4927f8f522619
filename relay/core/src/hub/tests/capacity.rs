//! A relay that has as many participants as it is meant to.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::role::Role;

use super::tree::{LEAF, ORIGIN, OTHER_LEAF, Tree};

/// A host at the origin, and two listeners at a leaf that takes two.
fn full(places: &[&str]) -> (Tree, [usize; 3]) {
    let mut tree = Tree::with_spare(|number, config| {
        if number == LEAF {
            config.capacity = Some(2);
            config.redirect_to = places.iter().map(|place| (*place).to_owned()).collect();
        }
    });
    let host = tree.join(ORIGIN, 1, Role::Host);
    let [one, two] = [2, 3].map(|session| tree.join(LEAF, session, Role::Listener));
    assert!(tree.joined(one).is_some() && tree.joined(two).is_some());
    (tree, [host, one, two])
}

fn named(tree: &Tree, who: usize) -> Option<String> {
    tree.people[who].inbox.iter().find_map(|(request, message)| {
        let ToParticipant::Moved { to, within_ms: 0 } = message else { return None };
        to.clone().filter(|_| request.is_none())
    })
}

#[test]
fn who_is_too_many_is_sent_elsewhere_in_turn() {
    let (mut tree, [_, one, _]) = full(&["a:1", "b:2"]);
    for (session, place) in [(10, "a:1"), (11, "b:2"), (12, "a:1")] {
        let late = tree.join(LEAF, session, Role::Listener);
        assert_eq!(tree.refused(late), Some(ErrorCode::Overloaded));
        assert_eq!(named(&tree, late).as_deref(), Some(place));
        assert!(matches!(tree.people[late].inbox[0].1, ToParticipant::Moved { .. }), "first where");
    }
    let counters = tree.hubs[LEAF].counters();
    assert_eq!((counters.joins_redirected, counters.capacity), (3, 2));
    assert_eq!(tree.hubs[ORIGIN].counters().capacity, 0);
    // Those who were refused and are still connected take nobody's place.
    tree.close(one);
    let next = tree.join(LEAF, 13, Role::Listener);
    assert!(tree.joined(next).is_some());
}

#[test]
fn without_another_place_it_is_said_in_a_sentence() {
    let (mut tree, _) = full(&[]);
    let late = tree.join(LEAF, 10, Role::Listener);
    let (code, text) = tree.refusal(late).unwrap();
    assert_eq!(code, ErrorCode::Overloaded);
    assert_eq!(text, "This relay has as many participants as it takes; another one may have room.");
    assert_eq!(named(&tree, late), None);
    assert_eq!(tree.hubs[LEAF].counters().joins_redirected, 0);
}

#[test]
fn who_has_a_place_comes_in_all_the_same() {
    let (mut tree, [_, one, _]) = full(&["a:1"]);
    // Somebody who listened here until a moment ago, whose place another has taken.
    tree.close(one);
    assert!(tree.join(LEAF, 4, Role::Listener) > 0);
    let back = tree.join(LEAF, 2, Role::Listener);
    assert!(tree.joined(back).is_some());
    // A newer connection of somebody who is here.
    let again = tree.join(LEAF, 2, Role::Listener);
    assert!(tree.joined(again).is_some());
    // Somebody on the stage, from another relay.
    let speaker = tree.join(OTHER_LEAF, 5, Role::Speaker);
    assert!(tree.joined(speaker).is_some());
    let moved = tree.join(LEAF, 5, Role::Speaker);
    assert!(tree.joined(moved).is_some());
    // But nobody new, on the stage or off it.
    for role in [Role::Listener, Role::Speaker] {
        let new = tree.join(LEAF, 6, role);
        assert_eq!(tree.refused(new), Some(ErrorCode::Overloaded));
    }
}

/// A room that this relay does not carry yet: who says that they have a place is believed until the
/// state has come.
#[test]
fn a_place_in_a_room_that_is_not_here_is_looked_up() {
    let mut tree = Tree::with_spare(|number, config| {
        if number == LEAF {
            config.capacity = Some(1);
        }
    });
    let room = |name: &str| name.parse().unwrap();
    let other = tree.join_with(LEAF, 1, Role::Speaker, |join| join.room = room("other"));
    assert!(tree.joined(other).is_some());
    let host = tree.join(OTHER_LEAF, 2, Role::Host);
    assert!(tree.joined(host).is_some());
    let late = tree.join(LEAF, 3, Role::Listener);
    assert_eq!(tree.refused(late), Some(ErrorCode::Overloaded));
    assert!(!tree.child_room(LEAF), "it is not even asked for");
    let liar = tree.join_with(LEAF, 3, Role::Listener, |join| join.returning = true);
    assert_eq!(tree.refused(liar), Some(ErrorCode::Overloaded));
    let moved = tree.join_with(LEAF, 2, Role::Host, |join| join.returning = true);
    assert_eq!(tree.joined(moved), Some(Role::Host));
}

#[test]
fn one_shot_requests_are_not_counted() {
    let (mut tree, [host, ..]) = full(&[]);
    let who = tree.connect(LEAF, 20);
    let request = tree.one_shot(who, Govern::Show {}, |_| ());
    assert!(matches!(tree.answer(who, request), Some(ToParticipant::Room(_))));
    let who = tree.connect(ORIGIN, 21);
    tree.one_shot(who, Govern::Show {}, |_| ());
    assert!(tree.joined(host).is_some());
}

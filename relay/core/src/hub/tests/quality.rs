//! Reports of listeners: folded at the edge, added up on the way to the origin, looked at one by one.

use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{FromParticipant, ListenerReports, ToParticipant};
use tribune_protocol::control::query::{RelayStatus, TreeAnswer, TreeQuery};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::RelayId;
use tribune_protocol::quality::report::{Ranking, Report};

use super::tree::{LEAF, MID, ORIGIN, OTHER_LEAF, Tree, read};
use crate::messages::ShardEvent;
use crate::query::{Answer, Query, Status};
use crate::tree::query::Ticket;

const SECOND: Duration = Duration::from_secs(1);

fn report(lost: u32) -> Report {
    let (received, rtt_us, latency) = (250 - lost, 2_000, 80_000 + lost * 1_000);
    Report {
        received,
        lost,
        rtt_us,
        buffer_us: 60_000,
        jitter_us: 1_500,
        latency_us: Some(latency),
        latency_max_us: Some(latency),
        latency_error_us: Some(700),
        ..Report::default()
    }
}

fn say(tree: &mut Tree, who: usize, report: Report) {
    tree.ask(who, FromParticipant::Report(report));
}

/// A host at the origin, and at each leaf so many listeners, each of whom has lost as many frames as its
/// place says.
fn audience(tree: &mut Tree, each: u8) -> (usize, Vec<usize>) {
    let host = tree.join(ORIGIN, 1, Role::Host);
    let mut listeners = Vec::new();
    for n in 0..each {
        for (at, leaf) in [LEAF, OTHER_LEAF].into_iter().enumerate() {
            listeners.push(tree.join(leaf, 10 + 2 * n + at as u8, Role::Listener));
        }
    }
    (host, listeners)
}

fn list(tree: &mut Tree, who: usize, act: Govern) -> Result<ListenerReports, ErrorCode> {
    let request = tree.govern(who, act);
    tree.pass(Duration::ZERO);
    match tree.answer(who, request) {
        Some(ToParticipant::ListenerReports(reports)) => Ok(reports.clone()),
        Some(ToParticipant::Err { code, .. }) => Err(*code),
        other => panic!("{other:?}"),
    }
}

fn ask(tree: &mut Tree, relay: usize, query: Query) -> Option<Answer> {
    let ticket = Ticket(7);
    let now = tree.now;
    tree.hubs[relay].handle_query(now, ticket, query);
    tree.settle();
    let at = tree.answers.iter().position(|(answered, _)| *answered == ticket)?;
    Some(tree.answers.remove(at).1)
}

#[test]
fn reports_add_up_on_the_way_to_the_origin() {
    let mut tree = Tree::new();
    let (_, listeners) = audience(&mut tree, 10);
    for round in 0..3 {
        for (lost, who) in listeners.iter().enumerate() {
            say(&mut tree, *who, report(lost as u32 + round));
        }
        tree.pass(5 * SECOND);
    }
    tree.pass(10 * SECOND);
    let now = tree.now;
    let at = |relay: usize| tree.room(relay).quality(now).expect("there are reports");
    let [origin, mid, leaf, other] = [ORIGIN, MID, LEAF, OTHER_LEAF].map(at);
    assert_eq!((origin, mid), (mid, origin));
    assert_eq!((leaf.reports, other.reports, origin.reports), (30, 30, 60));
    assert_eq!(leaf.frames.lost + other.frames.lost, origin.frames.lost);
    assert_eq!(origin.frames.lost, 3 * 190 + 20 + 40);
    let latency = origin.latency.unwrap();
    assert_eq!(latency.mean, 80_000 + 1_000 * (3 * 190 + 60) / 60);
    assert_eq!(tree.hubs[LEAF].heard().reports, 30, "its own participants alone");
    assert_eq!(tree.hubs[ORIGIN].heard().reports, 0);
}

#[test]
fn what_could_not_be_said_upwards_is_said_to_the_next_parent() {
    let mut tree = Tree::new();
    let (_, listeners) = audience(&mut tree, 2);
    tree.pass(5 * SECOND);
    tree.no_dials = true;
    tree.break_trunk(MID);
    for who in &listeners {
        say(&mut tree, *who, report(3));
    }
    tree.pass(20 * SECOND);
    let now = tree.now;
    assert_eq!(tree.room(ORIGIN).quality(now), None);
    tree.no_dials = false;
    tree.pass(20 * SECOND);
    let now = tree.now;
    assert_eq!(tree.room(ORIGIN).quality(now).unwrap().reports, 4);
}

#[test]
fn reports_that_come_too_soon_or_from_nobody_who_hears_do_not_count() {
    let mut tree = Tree::new();
    let (_, listeners) = audience(&mut tree, 1);
    say(&mut tree, listeners[0], report(1));
    tree.pass(SECOND);
    say(&mut tree, listeners[0], report(200));
    tree.pass(SECOND);
    let hub = &mut tree.hubs[LEAF];
    assert_eq!((hub.heard().reports, hub.counters().reports_refused), (1, 1));
    let boast = Report { received: u32::MAX, lost: 1, latency_us: Some(u32::MAX), ..report(1) };
    say(&mut tree, listeners[0], boast);
    let heard = tree.hubs[LEAF].heard();
    assert_eq!((heard.reports, heard.frames.received), (2, 249 + 16_000), "bounded");
    let outside = tree.connect(LEAF, 99);
    let request = tree.ask(outside, FromParticipant::Report(report(1)));
    assert_eq!(tree.error(outside, request).map(|(code, _)| code), Some(ErrorCode::NotJoined));
}

#[test]
fn moderators_see_the_worst_of_the_whole_tree_and_others_do_not() {
    let mut tree = Tree::new();
    let (host, listeners) = audience(&mut tree, 10);
    for (lost, who) in listeners.iter().enumerate() {
        say(&mut tree, *who, report(lost as u32));
    }
    tree.pass(10 * SECOND);
    let worst = Govern::ListListeners { worst: 3, by: Ranking::Lost };
    let seen = list(&mut tree, host, worst.clone()).unwrap();
    let lost: Vec<u32> = seen.listeners.iter().map(|listener| listener.report.lost).collect();
    assert_eq!((lost, seen.missing), (vec![19, 18, 17], 0));
    assert_eq!(seen.listeners[0].name.as_str(), "somebody 29");
    assert_eq!(seen.listeners[0].age_ms, 10_000);
    assert_eq!(seen.room.unwrap().reports, 20);
    let participant = tree.people[listeners[4]].id;
    let one = list(&mut tree, host, Govern::ShowListener { participant }).unwrap();
    assert_eq!(one.listeners.len(), 1);
    assert_eq!(one.listeners[0].report.lost, 4);
    // Nobody there, and the host itself, who has not reported.
    let participant = tree.people[host].id;
    let none = list(&mut tree, host, Govern::ShowListener { participant }).unwrap();
    assert!(none.listeners.is_empty());

    assert_eq!(list(&mut tree, listeners[0], worst), Err(ErrorCode::NotPermitted));
    for (worst, by) in [(0, Ranking::Lost), (31, Ranking::Lost), (5, Ranking::Unknown)] {
        let act = Govern::ListListeners { worst, by };
        assert_eq!(list(&mut tree, host, act), Err(ErrorCode::BadRequest));
    }
}

#[test]
fn a_relay_that_does_not_answer_is_told_and_not_waited_for() {
    let mut tree = Tree::new();
    let (host, listeners) = audience(&mut tree, 2);
    for who in &listeners {
        say(&mut tree, *who, report(5));
    }
    // A relay below the origin that is subscribed and says nothing.
    let link = tree.link();
    let child = |message| ShardEvent::FromChild {
        link,
        remote: "127.0.0.1:1".parse().unwrap(),
        certified: false,
        message: Box::new(message),
    };
    let name = "mute".parse().unwrap();
    tree.event(ORIGIN, child(ToParent::Hello { relay: RelayId(77), name, height: 1, token: None }));
    let (channel, room) = (tribune_protocol::ids::Channel(1), "stage".parse().unwrap());
    tree.event(ORIGIN, child(ToParent::Subscribe { channel, room, heard: Vec::new() }));
    let request = tree.govern(host, Govern::ListListeners { worst: 9, by: Ranking::Lost });
    assert_eq!(tree.answer(host, request), None);
    tree.pass(SECOND);
    let Some(ToParticipant::ListenerReports(seen)) = tree.answer(host, request).cloned() else {
        panic!("no answer")
    };
    assert_eq!((seen.listeners.len(), seen.missing), (4, 1));
}

#[test]
fn any_relay_tells_an_operator_about_the_whole_tree() {
    let mut tree = Tree::new();
    audience(&mut tree, 3);
    tree.pass(5 * SECOND);
    for relay in [ORIGIN, MID, LEAF, OTHER_LEAF] {
        let Some(Answer::Tree { tree: answer, is_rooted }) = ask(&mut tree, relay, Query::Tree)
        else {
            panic!("no answer at relay {relay}")
        };
        assert!(is_rooted);
        let mut relays: Vec<_> = answer
            .relays
            .iter()
            .map(|relay| (relay.relay.0, relay.parent.map(|parent| parent.0), relay.depth))
            .collect();
        relays.sort_unstable();
        let whole = [(1, None, 1), (2, Some(1), 2), (3, Some(2), 3), (4, Some(2), 3)];
        assert_eq!((relays, answer.missing), (whole.to_vec(), 0), "at relay {relay}");
        let listeners =
            |id| answer.relays.iter().find(|v| v.relay == RelayId(id)).unwrap().listeners;
        assert_eq!([1, 2, 3, 4].map(listeners), [6, 6, 3, 3]);
    }
    let Some(Answer::Status(status)) = ask(&mut tree, LEAF, Query::Status) else {
        panic!("no answer")
    };
    let Status { path, relay, is_origin, .. } = *status;
    assert_eq!((path.len(), relay.participants, is_origin), (3, 3, false));
}

#[test]
fn a_relay_without_a_way_to_the_origin_tells_what_it_has() {
    let mut tree = Tree::new();
    tree.no_dials = true;
    tree.break_trunk(MID);
    let Some(Answer::Tree { tree: answer, is_rooted }) = ask(&mut tree, MID, Query::Tree) else {
        panic!("no answer")
    };
    assert_eq!((answer.relays.len(), is_rooted), (3, false));
    let Some(Answer::Tree { tree: answer, is_rooted }) = ask(&mut tree, LEAF, Query::Tree) else {
        panic!("no answer")
    };
    assert_eq!((answer.relays.len(), is_rooted), (3, false));
}

#[test]
fn operators_see_rooms_and_listeners_of_the_subtree() {
    let mut tree = Tree::new();
    let (_, listeners) = audience(&mut tree, 2);
    for (lost, who) in listeners.iter().enumerate() {
        say(&mut tree, *who, report(lost as u32));
    }
    tree.pass(2 * SECOND);
    let Some(Answer::Rooms { total, rooms }) = ask(&mut tree, ORIGIN, Query::Rooms { limit: 5 })
    else {
        panic!("no answer")
    };
    assert_eq!((total, rooms[0].listeners, rooms[0].hands), (1, 4, Some(0)));
    let room: tribune_protocol::ids::RoomName = "stage".parse().unwrap();
    let worst = Query::Listeners { room: room.clone(), worst: 10, by: Ranking::Lost };
    for (relay, count) in [(ORIGIN, 4), (MID, 4), (LEAF, 2)] {
        let Some(Answer::Listeners(part)) = ask(&mut tree, relay, worst.clone()) else {
            panic!("no answer")
        };
        assert_eq!(part.listeners.len(), count, "at relay {relay}");
    }
    assert_eq!(
        ask(&mut tree, LEAF, Query::Room("other".parse().unwrap())),
        Some(Answer::Room(None))
    );
}

/// Many relays are said in many messages, each of which fits.
#[test]
fn a_large_tree_is_told_in_parts() {
    let mut tree = Tree::new();
    let children: Vec<_> = (100..150).map(|id| (tree.link(), RelayId(id))).collect();
    let child = |link, message| ShardEvent::FromChild {
        link,
        remote: "127.0.0.1:1".parse().unwrap(),
        certified: false,
        message: Box::new(message),
    };
    for (link, relay) in &children {
        let name = "n".repeat(64).parse().unwrap();
        let hello = ToParent::Hello { relay: *relay, name, height: 1, token: None };
        tree.event(MID, child(*link, hello));
    }
    // One more, which asks about the tree; its siblings answer with a relay each.
    let asker = children[0].0;
    tree.event(MID, child(asker, ToParent::Query { number: 5, about: TreeQuery::Relays {} }));
    for (link, relay) in &children {
        let to_it = tree.strays.iter().filter(|(at, to, _)| (*at, to) == (MID, link));
        let mut asked = to_it.filter_map(|(_, _, bytes)| {
            let message = read::<ToChild>(bytes).1;
            let ToChild::Query { number, about: TreeQuery::Relays {} } = message else {
                return None;
            };
            Some(number)
        });
        let Some(number) = asked.next_back() else { panic!("{relay:?} was not asked") };
        let Some(Answer::Status(status)) = ask(&mut tree, LEAF, Query::Status) else {
            panic!("no answer")
        };
        let status = RelayStatus { relay: *relay, ..status.relay };
        let part = TreeAnswer { relays: vec![status], ..TreeAnswer::default() };
        tree.event(MID, child(*link, ToParent::Answer { number, answer: part, more: false }));
    }
    let to_asker = tree.strays.iter().filter(|(at, to, _)| (*at, *to) == (MID, asker));
    let parts: Vec<_> = to_asker
        .filter_map(|(_, _, bytes)| {
            let message = read::<ToChild>(bytes).1;
            let ToChild::Answer { number: 5, answer: part, more } = message else { return None };
            Some((part, more))
        })
        .collect();
    let relays: usize = parts.iter().map(|(part, _)| part.relays.len()).sum();
    assert_eq!(relays, 4 + 50);
    let more: Vec<bool> = parts.iter().map(|(_, more)| *more).collect();
    assert_eq!(more, [true, true, true, true, false]);
}

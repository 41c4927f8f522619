//! The queue of hands: order, notes, grants, denials, slow mode, limits.

use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::encode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::Action;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::limits::{MAX_HANDS, MAX_HANDS_SHOWN, MAX_NAME_BYTES, MAX_NOTE_BYTES};
use tribune_protocol::log::LogAction;

use super::harness::*;
use crate::room::authority::effect::OriginEffect;
use crate::room::authority::hand_queue::{DENY_COOLDOWN, HAND_EXPIRY, HandQueue};

/// A room with hands of participants 100, 101, … up.
fn with_hands(hands: u64) -> Harness {
    let mut room = Harness::live();
    for id in 100..100 + hands {
        room.done(ParticipantId(id), raise(""));
    }
    room
}

fn change(change: RoomChange) -> Govern {
    Govern::Set { change, reason: note("") }
}

#[test]
fn hands_queue_in_order_of_arrival_and_moderators_see_them() {
    let mut room = Harness::with_everybody();
    room.pass(Duration::from_secs(7));
    let effects = room.done(LISTENER, raise("a question"));
    assert!(at(&effects, is_ok(None)) < at(&effects, is_you));
    assert_eq!(yous(&effects)[0].hand, Some(2));
    assert!(!effects.contains(&OriginEffect::Publish), "hands are no part of the state");
    let shown = shown(&effects);
    assert_eq!(shown.iter().map(|(to, ..)| *to).collect::<Vec<_>>(), [HOST, COHOST]);
    let (_, hands, total) = &shown[0];
    let seen = hands.iter().map(|h| (h.participant, h.note.as_str(), h.waiting_s));
    assert_eq!(seen.collect::<Vec<_>>(), [(HAND, "", 7), (LISTENER, "a question", 0)]);
    assert_eq!(*total, 2);
    let ToParticipant::Hands { hands: listed, .. } =
        room.ask(COHOST, Action::Govern { act: Govern::ListHands {} }).answer
    else {
        panic!("the queue is what was asked for")
    };
    assert_eq!(listed, *hands);
    room.no_govern(SPEAKER, Govern::ListHands {}, ErrorCode::NotPermitted);
}

#[test]
fn raising_again_changes_the_note_and_keeps_the_place() {
    let mut room = Harness::with_everybody();
    room.done(LISTENER, raise(""));
    let effects = room.done(HAND, raise("in short"));
    assert_eq!(yous(&effects)[0].hand, Some(1));
    assert_eq!(shown(&effects)[0].1[0].note.as_str(), "in short");
    let effects = room.done(HAND, raise("in short"));
    assert_eq!(shown(&effects).len(), 0, "nothing new to see");
    let why = room.refused(SPEAKER, raise(""), ErrorCode::BadRequest);
    assert_eq!(why, "You are already on the stage.");
}

#[test]
fn moderators_who_are_away_are_not_shown_the_queue() {
    let mut room = Harness::with_everybody();
    room.report(COHOST, Action::Away {});
    let effects = room.done(LISTENER, raise(""));
    assert_eq!(shown(&effects).iter().map(|(to, ..)| *to).collect::<Vec<_>>(), [HOST]);
}

#[test]
fn a_hand_keeps_its_place_over_a_reconnect() {
    let mut room = with_hands(3);
    room.report(ParticipantId(101), Action::Away {});
    room.pass(Duration::from_secs(29));
    let effects = room.report(ParticipantId(101), Action::Present {});
    assert_eq!(yous(&effects)[0].hand, Some(2));
    room.pass(Duration::from_secs(29));
    assert_eq!(room.authority.hands(), 3);
}

#[test]
fn the_queue_has_an_end_and_the_message_a_size() {
    let mut room = Harness::live();
    let longest = raise(&"n".repeat(MAX_NOTE_BYTES));
    for id in 0..MAX_HANDS as u64 {
        let who = ParticipantId(u64::MAX - id);
        let name = format!("{id:03}{}", "N".repeat(MAX_NAME_BYTES - 3));
        room.know(who, credentials(&format!("s{id}"), &name, Role::Listener));
        room.done(who, longest.clone());
    }
    room.refused(HAND, longest, ErrorCode::QueueFull);
    let effects = room.report(HOST, Action::Present {});
    let (_, hands, total) = &shown(&effects)[0];
    assert_eq!((hands.len(), *total), (MAX_HANDS_SHOWN, MAX_HANDS as u32));
    let later = room.now + Duration::from_secs(1 << 33);
    let message = room.authority.parts().queue().message(later);
    let ToParticipant::Hands { hands, .. } = &message else { panic!("{message:?}") };
    assert_eq!(hands[0].waiting_s, u32::MAX);
    assert!(encode(None, &message).is_ok());
    let effects = room.govern(HOST, Govern::ClearHands { reason: note("a break") });
    assert_eq!((room.authority.hands(), yous(&effects).len()), (0, MAX_HANDS));
    assert_eq!(room.last(), "Ada (host) lowered all hands (500 hands): a break");
}

#[test]
fn lowering_a_hand() {
    let mut room = Harness::with_everybody();
    room.done(LISTENER, raise(""));
    let effects = room.done(HAND, Action::LowerHand {});
    let told: Vec<_> = yous(&effects).iter().map(|you| (you.participant, you.hand)).collect();
    assert_eq!(told, [(HAND, None), (LISTENER, Some(1))]);
    room.refused(HAND, Action::LowerHand {}, ErrorCode::NoHand);
    let somebodys = Govern::LowerHand { participant: LISTENER };
    room.no_govern(HAND, somebodys.clone(), ErrorCode::NotPermitted);
    let effects = room.govern(COHOST, somebodys.clone());
    assert_eq!(yous(&effects).len(), 1);
    assert_eq!(shown(&effects).len(), 2);
    let why = room.no_govern(COHOST, somebodys, ErrorCode::NoHand);
    assert_eq!(why, "The hand of participant 0000000000000005 is not raised.");
    room.done(HAND, raise("no cooldown"));
}

#[test]
fn a_grant_gives_a_track_and_is_answered_when_in_force() {
    let mut room = Harness::with_everybody();
    room.no_govern(HOST, grant(LISTENER), ErrorCode::NoHand);
    room.no_govern(HOST, grant(SPEAKER), ErrorCode::NoHand);
    let effects = room.govern(COHOST, grant(HAND));
    let after = Some(room.revision());
    assert!(at(&effects, is_publish) < at(&effects, is_ok(after)));
    assert!(at(&effects, is_ok(after)) < at(&effects, is_you));
    let entry = room.entry(HAND);
    assert_eq!((entry.role, entry.name.as_str(), entry.away), (Role::Speaker, "Dora", false));
    let you = &yous(&effects)[0];
    assert_eq!((you.role, you.track, you.hand), (Role::Speaker, Some(entry.track), None));
    assert!(you.may.contains(Permission::Speak));
    assert_eq!(shown(&effects), [(HOST, vec![], 0), (COHOST, vec![], 0)]);
    assert_eq!(room.last(), "Bo (cohost) gave Dora (listener) the right to speak");
}

#[test]
fn a_grant_gives_the_role_that_somebody_has() {
    let mut room = Harness::with_everybody();
    // Made a cohost while the hand is up.
    room.govern(HOST, set_role(subject("hand"), Role::Cohost));
    room.govern(HOST, grant(HAND));
    assert_eq!(room.role(HAND), Some(Role::Cohost));
    // A cohost by token who has left the stage.
    room.done(COHOST, Action::LeaveStage {});
    room.done(COHOST, raise("back"));
    room.govern(HOST, grant(COHOST));
    assert_eq!(room.role(COHOST), Some(Role::Cohost));
    // Moved off the stage: the grant gives it back.
    room.govern(HOST, Govern::RemoveFromStage { participant: SPEAKER, reason: note("") });
    room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::NotPermitted);
    room.done(SPEAKER, raise("sorry"));
    room.govern(HOST, grant(SPEAKER));
    room.done(SPEAKER, Action::LeaveStage {});
    room.done(SPEAKER, enter(Role::Speaker));
}

#[test]
fn a_grant_to_somebody_away_is_kept_for_the_rest_of_the_grace() {
    let mut room = Harness::with_everybody();
    room.report(HAND, Action::Away {});
    room.pass(Duration::from_secs(20));
    room.govern(HOST, grant(HAND));
    assert!(room.entry(HAND).away);
    room.pass(Duration::from_secs(10));
    assert!(!room.is_on_stage(HAND));
}

#[test]
fn a_denied_hand_stays_down_for_a_while() {
    let mut room = Harness::with_everybody();
    room.no_govern(HOST, deny(LISTENER, ""), ErrorCode::NoHand);
    let effects = room.govern(HOST, deny(HAND, "not now"));
    let you = &yous(&effects)[0];
    assert_eq!((you.participant, you.hand, you.reason.as_str()), (HAND, None, "not now"));
    let (told, what) = &notices(&effects)[0];
    assert_eq!(
        (*told, what.action, what.entry),
        (HAND, Some(LogAction::HandDenied), room.last_number())
    );
    assert_eq!(shown(&effects).len(), 2);
    room.pass(Duration::from_millis(10_500));
    let why = room.refused(HAND, raise(""), ErrorCode::Cooldown);
    assert_eq!(why, "Your hand was denied; you can raise it again in 20 seconds.");
    room.done(LISTENER, raise("others may"));
    room.pass(Duration::from_millis(19_500));
    room.done(HAND, raise(""));
}

#[test]
fn a_closed_queue_takes_nobody_new() {
    let mut room = Harness::with_everybody();
    room.govern(COHOST, change(RoomChange { hands_closed: Some(true), ..Default::default() }));
    assert_eq!(room.last(), "Bo (cohost) closed the queue of hands");
    room.refused(LISTENER, raise(""), ErrorCode::HandsClosed);
    room.done(HAND, raise("who waits can say more"));
    room.done(HAND, Action::LowerHand {});
    room.refused(HAND, raise(""), ErrorCode::HandsClosed);
    room.govern(COHOST, change(RoomChange { hands_closed: Some(false), ..Default::default() }));
    assert_eq!(room.last(), "Bo (cohost) opened the queue of hands");
    room.done(LISTENER, raise(""));
}

#[test]
fn slow_mode_spaces_the_hands_of_one_participant() {
    let mut room = Harness::with_everybody();
    let slow = change(RoomChange { hand_slow_s: Some(60), ..Default::default() });
    room.no_govern(COHOST, slow.clone(), ErrorCode::NotPermitted);
    room.govern(HOST, slow);
    room.done(LISTENER, raise("one"));
    room.done(LISTENER, raise("the same hand"));
    room.done(LISTENER, Action::LowerHand {});
    room.pass(Duration::from_secs(59));
    let why = room.refused(LISTENER, raise("two"), ErrorCode::SlowMode);
    assert_eq!(why, "Hands are in slow mode; you can raise yours again in 1 seconds.");
    room.done(GUEST, raise("others may"));
    room.pass(Duration::from_secs(1));
    room.done(LISTENER, raise("two"));
}

#[test]
fn a_hand_that_nobody_answers_comes_down_after_an_hour() {
    let mut room = Harness::with_everybody();
    room.pass(Duration::from_secs(60));
    room.done(LISTENER, raise(""));
    room.pass(HAND_EXPIRY - Duration::from_secs(61));
    assert_eq!(room.authority.hands(), 2);
    let effects = room.pass(Duration::from_secs(1));
    assert_eq!(room.authority.hands(), 1);
    let you = &yous(&effects)[0];
    assert_eq!((you.participant, you.hand), (HAND, None));
    assert_eq!(you.reason.as_str(), "Your hand has been up for an hour; raise it again.");
    room.done(HAND, raise("again"));
}

#[test]
fn who_may_not_speak_is_not_put_on_the_stage_by_their_hand() {
    let mut room = Harness::with_everybody();
    let take = Govern::SetPermission {
        target: subject("hand"),
        permission: Permission::Speak,
        allow: Some(false),
        reason: note(""),
    };
    room.govern(HOST, take);
    assert_eq!(room.authority.hands(), 0);
    room.done(HAND, raise("but why?"));
    room.no_govern(COHOST, grant(HAND), ErrorCode::NotPermitted);
    assert!(!room.is_on_stage(HAND));
}

#[test]
fn cooldowns_are_bounded() {
    let mut queue = HandQueue::default();
    let now = Instant::now();
    for id in 0..=MAX_HANDS as u64 {
        queue.cool_down(now, ParticipantId(id));
    }
    let mut raise = |id, now| {
        let (name, note) = ("Bo".parse().unwrap(), Note::default());
        queue.raise(now, ParticipantId(id), name, note, Duration::ZERO).is_ok()
    };
    assert!(raise(0, now) && !raise(1, now), "the first is forgotten first");
    assert!(raise(1, now + DENY_COOLDOWN));
}

#[test]
fn who_moves_up_among_the_first_hears_of_it() {
    let mut room = with_hands(14);
    room.report(ParticipantId(105), Action::Away {});
    let effects = room.done(ParticipantId(103), Action::LowerHand {});
    let told: Vec<_> = yous(&effects).iter().map(|you| (you.participant.0, you.hand)).collect();
    let mut expected = vec![(103, None), (104, Some(4))];
    expected.extend((106..=110).map(|id| (id, Some(id as u32 - 100))));
    assert_eq!(told, expected, "neither those ahead, nor who is away, nor beyond the tenth");
    let effects = room.done(ParticipantId(112), Action::LowerHand {});
    assert_eq!(yous(&effects).len(), 1);
}

#[test]
fn several_changes_at_once_make_one_message_to_each() {
    let mut room = with_hands(6);
    for id in [101, 102, 104] {
        room.report(ParticipantId(id), Action::Away {});
    }
    let effects = room.pass(Duration::from_secs(30));
    assert_eq!(shown(&effects).len(), 1);
    let told: Vec<_> = yous(&effects).iter().map(|you| (you.participant.0, you.hand)).collect();
    assert_eq!(told, [(103, Some(2)), (105, Some(3))]);
}

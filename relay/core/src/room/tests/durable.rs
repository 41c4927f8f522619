//! Durability: an acknowledged decision is stored, an unstored one is not taken, and a stored one is
//! restored.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::Action;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::ids::{ParticipantId, Revision, TrackId};
use tribune_protocol::limits::RECONNECT_GRACE;
use tribune_protocol::log::LogAction;

use super::harness::*;
use crate::room::authority::commit::Authority;
use crate::room::authority::effect::{Asker, OriginEffect};
use crate::room::authority::inbox::MAX_WAITING;
use crate::room::authority::lifecycle::EMPTY_ROOM_LINGER;

fn held() -> Harness {
    let mut room = Harness::with_everybody();
    room.storing = Storing::Held;
    room
}

/// The codes of the answers among effects, by request; `None` is `ok`.
fn answers(effects: &[OriginEffect]) -> Vec<(ParticipantId, Option<ErrorCode>)> {
    let answers = effects.iter().filter_map(|effect| match effect {
        OriginEffect::Deliver { to, request: Some(_), message, .. } => {
            let code =
                if let ToParticipant::Err { code, .. } = message { Some(*code) } else { None };
            Some((*to, code))
        }
        OriginEffect::Deliver { request: None, .. }
        | OriginEffect::Rule { .. }
        | OriginEffect::Publish
        | OriginEffect::Write(_)
        | OriginEffect::ReadLog { .. }
        | OriginEffect::HideText(_)
        | OriginEffect::KeepStatistics(_)
        | OriginEffect::ReadStatistics { .. }
        | OriginEffect::Query { .. }
        | OriginEffect::Displace { .. }
        | OriginEffect::Finished => None,
    });
    answers.collect()
}

#[test]
fn nothing_is_seen_of_a_decision_before_it_is_stored() {
    let mut room = held();
    let before = room.authority.state().clone();
    let acts = [
        silence(SPEAKER, true),
        ban(subject("speaker"), None),
        kick(HAND),
        set_role(subject("speaker"), Role::Listener),
        Govern::EndRoom {},
    ];
    for act in acts {
        let mut room = held();
        let effects = room.send(HOST, Action::Govern { act });
        assert_eq!(effects, vec![]);
        assert!(room.authority.is_busy() && room.held.is_some());
        assert_eq!((room.authority.state(), room.authority.rulings()), (&before, vec![]));
        let effects = room.stored(Ok(()));
        assert!(!effects.is_empty());
        assert_eq!(answers(&effects), [(HOST, None)]);
        assert!(!room.authority.is_busy());
    }
    room.send(HOST, Action::Govern { act: silence(SPEAKER, true) });
    let record = room.held.as_ref().unwrap().record.clone();
    room.stored(Ok(()));
    assert_eq!(room.authority.keep().unwrap().record, record.unwrap());
}

#[test]
fn what_cannot_be_stored_is_refused_and_not_done() {
    let mut room = Harness::with_everybody();
    room.storing = Storing::Fails;
    for act in [
        silence(SPEAKER, true),
        kick(SPEAKER),
        ban(subject("speaker"), Some(60)),
        grant(HAND),
        deny(HAND, ""),
        set_role(subject("speaker"), Role::Cohost),
        Govern::HandOver { participant: COHOST },
        Govern::ClearHands { reason: note("") },
        Govern::Invite { target: subject("listener") },
        Govern::EndRoom {},
    ] {
        let why = room.no_govern(HOST, act, ErrorCode::NotDurable);
        assert_eq!(
            why,
            "It could not be stored, so it is not done: the store is full: no space left on the device."
        );
    }
    // Requests that need not be stored go on.
    room.done(SPEAKER, Action::OwnMute { muted: true });
    room.done(LISTENER, raise(""));
    room.storing = Storing::AtOnce;
    room.govern(HOST, silence(SPEAKER, true));
    room.log();
}

#[test]
fn a_request_taken_for_unlogged_leaves_no_entry_behind() {
    let mut room = Harness::with_everybody();
    let entries = room.log().len();
    // As if the table said that clearing the hands were not logged.
    let action = Action::Govern { act: Govern::ClearHands { reason: note("") } };
    let (now, by) = (room.now, Some(room.by(HOST)));
    let asker = Asker { id: HOST, request: None };
    let authority = &mut room.authority;
    let decide = AssertUnwindSafe(|| authority.decide_in_place(now, asker, by, action));
    let panic = catch_unwind(decide).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("HandsCleared"), "{message}");
    // The next decision is written with its own entry alone.
    room.drain();
    room.govern(HOST, silence(SPEAKER, true));
    assert_eq!(room.log().len(), entries + 1);
    assert_eq!(room.actions().last(), Some(&LogAction::Silenced));
}

#[test]
fn what_comes_in_meanwhile_waits_in_order() {
    let mut room = held();
    room.send(COHOST, Action::Govern { act: ban(subject("speaker"), None) });
    // The banned one races the decision, from two sessions.
    assert_eq!(room.send(SPEAKER, Action::OwnMute { muted: true }), vec![]);
    room.know(LISTENER, room.by(SPEAKER));
    assert_eq!(room.send(LISTENER, enter(Role::Speaker)), vec![]);
    assert_eq!(room.send(HAND, raise("a word")), vec![]);
    assert_eq!(room.send(HOST, Action::Govern { act: grant(HAND) }), vec![]);
    assert_eq!(room.send(HAND, Action::OwnMute { muted: true }), vec![]);
    room.authority.handle_audience(room.now, 17);
    let effects = room.stored(Ok(()));
    let refused = [
        (COHOST, None),
        (SPEAKER, Some(ErrorCode::NotPermitted)),
        (LISTENER, Some(ErrorCode::Barred)),
        (HAND, None),
    ];
    assert_eq!(answers(&effects), refused);
    assert!(room.held.is_some(), "the grant is the next");
    let effects = room.stored(Ok(()));
    assert_eq!(answers(&effects), [(HOST, None), (HAND, None)]);
    assert!(room.entry(HAND).muted);
    room.log();
}

#[test]
fn a_failure_refuses_the_one_and_the_next_is_tried() {
    let mut room = held();
    room.send(COHOST, Action::Govern { act: ban(subject("speaker"), None) });
    room.send(SPEAKER, Action::OwnMute { muted: true });
    room.send(COHOST, Action::Govern { act: silence(SPEAKER, true) });
    let effects = room.stored(Err(failure()));
    assert_eq!(answers(&effects), [(COHOST, Some(ErrorCode::NotDurable)), (SPEAKER, None)]);
    assert_eq!(room.authority.rulings(), []);
    let effects = room.stored(Ok(()));
    assert_eq!(answers(&effects), [(COHOST, None)]);
    assert!(room.entry(SPEAKER).silenced && room.entry(SPEAKER).muted);
    room.log();
}

#[test]
fn waiting_is_bounded() {
    let mut room = held();
    room.send(HOST, Action::Govern { act: silence(SPEAKER, true) });
    let mut effects = Vec::new();
    for _ in 0..=MAX_WAITING {
        effects.extend(room.send(SPEAKER, Action::OwnMute { muted: true }));
    }
    assert_eq!(answers(&effects), [(SPEAKER, Some(ErrorCode::Overloaded))]);
    // A report of an edge still has room: nobody can ask again for it.
    room.report(SPEAKER, Action::Left {});
    let effects = room.stored(Ok(()));
    assert_eq!(answers(&effects).len(), 1 + MAX_WAITING);
    assert!(!room.is_on_stage(SPEAKER));
}

#[test]
fn what_time_brings_is_tried_again_when_it_could_not_be_stored() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, ban(subject("other"), Some(10)));
    room.report(HOST, Action::Away {});
    room.storing = Storing::Fails;
    room.pass(RECONNECT_GRACE + Duration::from_secs(5));
    assert_eq!(room.role(HOST), Some(Role::Host), "the succession could not be stored");
    assert!(room.ruled(subject_key("other")).unwrap().barred);
    room.storing = Storing::AtOnce;
    room.pass(Duration::from_secs(2));
    assert_eq!((room.role(HOST), room.role(COHOST)), (None, Some(Role::Host)));
    assert!(!room.ruled(subject_key("other")).unwrap().barred);
}

#[test]
fn while_something_is_stored_time_stands_still() {
    let mut room = held();
    room.report(HOST, Action::Away {});
    room.send(COHOST, Action::Govern { act: silence(SPEAKER, true) });
    assert_eq!(room.authority.poll_timeout(), None);
    room.now += 2 * RECONNECT_GRACE;
    room.stored(Ok(()));
    assert!(room.authority.poll_timeout().is_some_and(|at| at <= room.now));
}

#[test]
fn a_restart_finds_what_was_acknowledged_and_nothing_else() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, silence(SPEAKER, true));
    room.govern(HOST, ban(subject("heckler"), Some(3_600)));
    room.govern(HOST, set_role(subject("listener"), Role::Cohost));
    let change = RoomChange { locked: Some(true), ..RoomChange::default() };
    room.govern(COHOST, Govern::Set { change, reason: note("") });
    let (before, rulings) = (room.authority.state().clone(), room.authority.rulings());
    room.storing = Storing::Held;
    room.send(HOST, Action::Govern { act: kick(SPEAKER) });

    room.storing = Storing::AtOnce;
    let effects = room.restart();
    assert!(matches!(effects[0], OriginEffect::Rule { .. }) && is_publish(&effects[1]));
    let mut expected = before;
    expected.stage.iter_mut().for_each(|entry| entry.away = true);
    assert_eq!((room.authority.state(), room.authority.rulings()), (&expected, rulings));

    // Participants on the stage have the usual time to come back, in the same place.
    room.pass(RECONNECT_GRACE - Duration::from_secs(1));
    let track = room.entry(SPEAKER).track;
    room.report(HOST, Action::Present {});
    room.done(SPEAKER, enter(Role::Speaker));
    assert_eq!((room.entry(SPEAKER).track, room.entry(SPEAKER).silenced), (track, true));
    room.pass(Duration::from_secs(1));
    assert_eq!((room.role(HOST), room.role(COHOST)), (Some(Role::Host), None));

    // Tracks may have been given that were not written down.
    room.done(COHOST, enter(Role::Cohost));
    assert!(room.entry(COHOST).track > TrackId(1_000));
    // The log goes on, and the ban ends when it was to end.
    room.govern(HOST, silence(SPEAKER, false));
    room.pass(Duration::from_secs(3_600));
    assert!(room.actions().contains(&LogAction::BanRanOut));
    room.log();
}

#[test]
fn a_restart_in_an_empty_room_ends_it_and_an_ended_or_announced_one_goes_on() {
    let mut room = Harness::live();
    room.report(HOST, Action::Left {});
    let change = RoomChange { locked: Some(true), ..RoomChange::default() };
    room.done(HOST, Action::OneShot { act: Govern::Set { change, reason: note("") } });
    room.restart();
    assert_eq!((room.authority.state().phase, room.authority.actors()), (Phase::Live, 0));
    room.pass(EMPTY_ROOM_LINGER + RECONNECT_GRACE);
    assert_eq!(room.authority.state().phase, Phase::Ended);
    room.restart();
    assert!(!room.authority.is_kept_awake());
    room.done(HOST, enter(Role::Host));

    let mut room = Harness::new();
    let act = Govern::Create { settings: RoomSettings::default() };
    room.done(HOST, Action::OneShot { act });
    room.restart();
    assert_eq!(room.authority.state().phase, Phase::Announced);
    assert!(room.authority.poll_timeout().is_some() && room.authority.is_kept_awake());
    room.done(HOST, enter(Role::Host));
    assert_eq!(room.role(HOST), Some(Role::Host));
}

#[test]
fn records_of_others_are_not_taken() {
    let mut room = Harness::live();
    room.govern(HOST, Govern::Invite { target: subject("listener") });
    let kept = room.authority.keep().unwrap();
    let restore = |kept: crate::room::authority::commit::Kept| {
        let setup = std::sync::Arc::clone(&room.setup);
        Authority::restore(super::harness::room(), &kept, Revision(9), setup, room.now)
    };
    assert!(restore(kept.clone()).is_ok());
    let mut cut = kept.clone();
    cut.record = cut.record.slice(..cut.record.len() - 1);
    assert!(restore(cut).unwrap_err().starts_with("its record is unreadable: "));
    let mut later: ciborium::Value = ciborium::from_reader(&kept.record[..]).unwrap();
    let map = later.as_map_mut().unwrap();
    map.iter_mut().find(|(key, _)| key.as_text() == Some("form")).unwrap().1 = 2.into();
    let mut bytes = Vec::new();
    ciborium::into_writer(&later, &mut bytes).unwrap();
    let record = bytes.into();
    let why = restore(crate::room::authority::commit::Kept { record, ..kept.clone() }).unwrap_err();
    assert_eq!(why, "its record has form 2, and this relay reads 1");
    let last = Some(bytes::Bytes::from_static(b"not an entry"));
    assert!(restore(crate::room::authority::commit::Kept { last, ..kept }).is_err());
}

//! Asking to mute, silence, moving off the stage.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::Action;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::TrackId;
use tribune_protocol::log::LogAction;

use super::harness::*;
use crate::room::authority::effect::OriginEffect;
use crate::room::authority::silenced::SilencedLeavers;

fn remove(participant: tribune_protocol::ids::ParticipantId) -> Govern {
    Govern::RemoveFromStage { participant, reason: note("time is up") }
}

#[test]
fn a_silence_is_answered_when_in_force_and_its_subject_told_why() {
    let mut room = Harness::with_everybody();
    let effects = room.govern(COHOST, silence(SPEAKER, true));
    let after = Some(room.revision());
    assert!(at(&effects, is_publish) < at(&effects, is_ok(after)));
    assert!(at(&effects, is_publish) < at(&effects, is_you));
    let you = &yous(&effects)[0];
    assert_eq!((you.participant, you.silenced), (SPEAKER, true));
    assert_eq!((you.reason.as_str(), you.track), ("too loud", Some(TrackId(3))));
    let (told, what) = &notices(&effects)[0];
    assert_eq!(
        (*told, what.action, what.entry),
        (SPEAKER, Some(LogAction::Silenced), room.last_number())
    );
    assert!(room.entry(SPEAKER).silenced);
    assert_eq!(room.last(), "Bo (cohost) silenced Carl (speaker): too loud");

    let effects = room.govern(HOST, silence(SPEAKER, true));
    assert_eq!((effects.len(), at(&effects, is_ok(after))), (1, 0), "it is in force already");
    let effects = room.govern(HOST, silence(SPEAKER, false));
    assert!(!yous(&effects)[0].silenced && !room.entry(SPEAKER).silenced);
    at(&effects, is_ok(Some(room.revision())));
    assert_eq!(room.last(), "Ada (host) lifted the silence of Carl (speaker): too loud");
}

#[test]
fn who_can_be_silenced() {
    let mut room = Harness::with_everybody();
    room.no_govern(HOST, silence(HAND, true), ErrorCode::NoSuchParticipant);
    room.no_govern(COHOST, silence(HOST, true), ErrorCode::NotPermitted);
    room.govern(HOST, silence(HOST, true));
    room.no_govern(COHOST, silence(HOST, false), ErrorCode::NotPermitted);
    room.govern(HOST, silence(COHOST, true));
    room.govern(COHOST, silence(COHOST, false));
    room.no_govern(SPEAKER, silence(SPEAKER, false), ErrorCode::NotPermitted);
}

#[test]
fn silencing_everybody_reaches_those_of_lower_rank() {
    let mut room = Harness::with_everybody();
    room.know(LISTENER, credentials("eve", "Eve", Role::Speaker));
    room.done(LISTENER, enter(Role::Speaker));
    let all = |on| Govern::SilenceAll { on, reason: note("noise") };
    room.no_govern(SPEAKER, all(true), ErrorCode::NotPermitted);
    let effects = room.govern(COHOST, all(true));
    assert_eq!(notices(&effects).len(), 2);
    let silenced =
        |room: &Harness| [HOST, COHOST, SPEAKER, LISTENER].map(|who| room.entry(who).silenced);
    assert_eq!(silenced(&room), [false, false, true, true]);
    assert_eq!(room.last(), "Bo (cohost) silenced everybody (2 on the stage): noise");
    room.govern(HOST, all(true));
    assert_eq!(silenced(&room), [false, true, true, true]);
    room.govern(COHOST, all(false));
    assert_eq!(silenced(&room), [false, true, false, false]);
    room.govern(HOST, all(false));
    assert_eq!(silenced(&room), [false; 4]);
}

#[test]
fn coming_back_does_not_lift_a_silence_but_a_grant_does() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, silence(SPEAKER, true));
    room.done(SPEAKER, Action::LeaveStage {});
    room.done(SPEAKER, enter(Role::Speaker));
    assert!(room.entry(SPEAKER).silenced);
    room.report(SPEAKER, Action::Left {});
    // Another session of the same subject is no way around it.
    room.know(LISTENER, room.by(SPEAKER));
    room.done(LISTENER, enter(Role::Speaker));
    assert!(room.entry(LISTENER).silenced);
    room.report(LISTENER, Action::Left {});
    room.done(SPEAKER, raise("I am sorry"));
    room.govern(HOST, grant(SPEAKER));
    assert!(!room.entry(SPEAKER).silenced);
    room.done(SPEAKER, Action::LeaveStage {});
    room.done(SPEAKER, enter(Role::Speaker));
    assert!(!room.entry(SPEAKER).silenced);
}

#[test]
fn silenced_leavers_are_bounded() {
    let mut leavers = SilencedLeavers::default();
    let name = |id: usize| format!("s{id}").parse().unwrap();
    for id in 0..=tribune_protocol::limits::MAX_HANDS {
        leavers.insert(name(id));
    }
    assert!(!leavers.contains(&name(0)) && leavers.contains(&name(1)));
}

#[test]
fn asking_to_mute_names_who_asks() {
    let mut room = Harness::with_everybody();
    let ask = |participant| Govern::AskMute { participant, reason: note("echo") };
    let effects = room.govern(COHOST, ask(HOST));
    let message = ToParticipant::PleaseMute { by: "Bo".parse().unwrap(), reason: note("echo") };
    let expected = OriginEffect::Deliver { to: HOST, request: None, message, after: None };
    assert_eq!(effects[1..], [expected]);
    assert_eq!(room.last(), "Bo (cohost) asked Ada (host) to mute: echo");
    room.no_govern(COHOST, ask(LISTENER), ErrorCode::NoSuchParticipant);
    room.no_govern(SPEAKER, ask(HOST), ErrorCode::NotPermitted);
    room.report(SPEAKER, Action::Away {});
    let why = room.no_govern(COHOST, ask(SPEAKER), ErrorCode::NoSuchParticipant);
    assert_eq!(why, "Carl is not connected at the moment.");
}

#[test]
fn who_is_moved_off_the_stage_stays_in_the_room_and_off_the_stage() {
    let mut room = Harness::with_everybody();
    room.no_govern(COHOST, remove(HOST), ErrorCode::NotPermitted);
    room.no_govern(HOST, remove(HOST), ErrorCode::BadRequest);
    room.no_govern(HOST, remove(LISTENER), ErrorCode::NoSuchParticipant);
    room.no_govern(SPEAKER, remove(COHOST), ErrorCode::NotPermitted);
    let effects = room.govern(COHOST, remove(SPEAKER));
    at(&effects, is_ok(Some(room.revision())));
    assert!(!room.is_on_stage(SPEAKER));
    let you = &yous(&effects)[0];
    assert_eq!((you.role, you.track, you.reason.as_str()), (Role::Listener, None, "time is up"));
    assert_eq!(notices(&effects)[0].1.action, Some(LogAction::RemovedFromStage));
    room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::NotPermitted);
    room.refused(SPEAKER, Action::OwnMute { muted: false }, ErrorCode::BadRequest);
    // Nor in another session.
    room.know(LISTENER, room.by(SPEAKER));
    room.refused(LISTENER, enter(Role::Speaker), ErrorCode::NotPermitted);
    // An invitation brings them back, and it is as before.
    room.govern(HOST, Govern::Invite { target: subject("speaker") });
    room.govern(SPEAKER, Govern::AnswerInvite { accept: true });
    room.done(SPEAKER, Action::LeaveStage {});
    room.done(SPEAKER, enter(Role::Speaker));
}

//! Appeals: against one's own decision, once, answered once, and undone if upheld.

use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{ParticipantId, Subject};
use tribune_protocol::log::LogAction;

use super::harness::*;
use crate::room::authority::hand_queue::DENY_COOLDOWN;

fn appeal(entry: u64) -> Govern {
    Govern::Appeal { entry, text: note("I was quoting") }
}

fn answer(entry: u64, uphold: bool) -> Govern {
    Govern::AnswerAppeal { entry, uphold, reason: note("heard again") }
}

/// A participant appeals without joining, and the host upholds it.
fn appeal_and_uphold(room: &mut Harness, who: ParticipantId, entry: u64) {
    room.done(who, Action::OneShot { act: appeal(entry) });
    let appealed = room.last_number();
    room.govern(HOST, answer(appealed, true));
}

#[test]
fn an_appeal_is_ones_own_and_there_is_one() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, silence(SPEAKER, true));
    let entry = room.last_number();
    room.no_govern(HAND, appeal(entry), ErrorCode::NotPermitted);
    room.no_govern(COHOST, appeal(entry), ErrorCode::NotPermitted);
    room.no_govern(SPEAKER, appeal(entry + 1), ErrorCode::BadRequest);
    room.no_govern(SPEAKER, appeal(1), ErrorCode::BadRequest);
    let nothing = Govern::Appeal { entry, text: note("  ") };
    room.no_govern(SPEAKER, nothing, ErrorCode::BadRequest);
    room.govern(SPEAKER, appeal(entry));
    assert_eq!(room.last(), format!("Carl (speaker) appealed against #{entry}: I was quoting"));
    room.no_govern(SPEAKER, appeal(entry), ErrorCode::AlreadyAppealed);

    let appealed = room.last_number();
    room.no_govern(COHOST, answer(appealed, true), ErrorCode::NotPermitted);
    room.no_govern(SPEAKER, answer(appealed, true), ErrorCode::NotPermitted);
    room.no_govern(HOST, answer(entry, true), ErrorCode::BadRequest);
    let effects = room.govern(HOST, answer(appealed, false));
    assert!(room.entry(SPEAKER).silenced, "it stands");
    let (told, what) = &notices(&effects)[0];
    assert_eq!((*told, what.action), (SPEAKER, Some(LogAction::AppealRejected)));
    let log = room.log();
    assert_eq!(log[appealed as usize].entry.about, Some(appealed));
    assert_eq!(log[appealed as usize - 1].entry.about, Some(entry));
    room.no_govern(HOST, answer(appealed, true), ErrorCode::BadRequest);
    room.no_govern(SPEAKER, appeal(entry), ErrorCode::AlreadyAppealed);
}

#[test]
fn an_upheld_appeal_lifts_a_silence_a_ban_a_kick_and_a_cooldown() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, silence(SPEAKER, true));
    let entry = room.last_number();
    appeal_and_uphold(&mut room, SPEAKER, entry);
    assert!(!room.entry(SPEAKER).silenced);

    for act in [kick(SPEAKER), ban(subject("speaker"), None), ban(subject("speaker"), Some(60))] {
        room.govern(COHOST, act);
        let entry = room.last_number();
        room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::Barred);
        // The edge has found them barred, and their one-shot request comes by another id.
        let outsider = ParticipantId(777);
        room.know(outsider, Credentials { barred: true, ..room.by(SPEAKER) });
        appeal_and_uphold(&mut room, outsider, entry);
        assert_eq!(room.authority.rulings(), []);
        room.done(SPEAKER, enter(Role::Speaker));
    }

    room.govern(HOST, deny(HAND, "off topic"));
    let entry = room.last_number();
    room.refused(HAND, raise(""), ErrorCode::Cooldown);
    appeal_and_uphold(&mut room, HAND, entry);
    room.done(HAND, raise(""));
    assert!(room.now.elapsed() < DENY_COOLDOWN + Duration::from_secs(3_600));
}

#[test]
fn an_upheld_appeal_gives_a_role_and_a_permission_back_and_leaves_later_decisions() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, Govern::RemoveFromStage { participant: SPEAKER, reason: note("") });
    let entry = room.last_number();
    appeal_and_uphold(&mut room, SPEAKER, entry);
    room.done(SPEAKER, enter(Role::Speaker));

    room.govern(HOST, set_role(subject("cohost"), Role::Speaker));
    let entry = room.last_number();
    appeal_and_uphold(&mut room, COHOST, entry);
    room.done(COHOST, Action::LeaveStage {});
    room.done(COHOST, enter(Role::Cohost));

    let take = |permission| Govern::SetPermission {
        target: subject("hand"),
        permission,
        allow: Some(false),
        reason: note(""),
    };
    room.govern(HOST, take(Permission::RaiseHand));
    let entry = room.last_number();
    room.govern(HOST, take(Permission::React));
    appeal_and_uphold(&mut room, HAND, entry);
    let left = room.ruled(subject_key("hand")).unwrap().deny;
    assert!(left.contains(Permission::React) && !left.contains(Permission::RaiseHand));

    // Kicked, then banned: the appeal is against the kick.
    room.govern(COHOST, kick(SPEAKER));
    let kicked = room.last_number();
    room.govern(COHOST, ban(subject("speaker"), None));
    appeal_and_uphold(&mut room, SPEAKER, kicked);
    assert!(room.ruled(subject_key("speaker")).unwrap().barred, "the ban stands");
    assert_eq!(room.ruled(PersonKey::of_participant(SPEAKER)), None);
    // A role that was changed again is not given back.
    room.govern(HOST, set_role(subject("listener"), Role::Speaker));
    let first = room.last_number();
    room.govern(HOST, set_role(subject("listener"), Role::Cohost));
    appeal_and_uphold(&mut room, LISTENER, first);
    assert_eq!(room.ruled(subject_key("listener")).unwrap().role, Some(Role::Cohost));
}

#[test]
fn guests_appeal_under_the_subject_of_their_session() {
    let mut room = Harness::live();
    room.govern(HOST, kick_target(Target::Participant(GUEST)));
    let entry = room.last_number();
    let outsider = ParticipantId(778);
    let by = Credentials { barred: true, ..room.by(GUEST) };
    assert_eq!(by.subject, Subject::guest(GUEST));
    room.know(outsider, by);
    appeal_and_uphold(&mut room, outsider, entry);
    assert_eq!(room.authority.rulings(), []);
}

#[test]
fn appeals_outlive_the_room_and_a_restart() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, ban(subject("speaker"), None));
    let entry = room.last_number();
    room.govern(HOST, Govern::EndRoom {});
    room.restart();
    let outsider = ParticipantId(777);
    room.know(outsider, Credentials { barred: true, ..room.by(SPEAKER) });
    room.done(outsider, Action::OneShot { act: appeal(entry) });
    let appealed = room.last_number();
    room.done(HOST, Action::OneShot { act: answer(appealed, true) });
    assert_eq!(room.authority.rulings(), []);
    room.log();
}

//! Kicks, bans, roles, permissions: rank, messages to relays, consequences.

use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::ban::Ban;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::ParticipantId;
use tribune_protocol::limits::MAX_RULINGS;
use tribune_protocol::log::LogAction;

use super::harness::*;

fn unban(target: Target) -> Govern {
    Govern::Unban { target, reason: note("a mistake") }
}

fn permit(target: Target, permission: Permission, allow: Option<bool>) -> Govern {
    Govern::SetPermission { target, permission, allow, reason: note("") }
}

fn bans(room: &mut Harness) -> Vec<Ban> {
    let asked = room.ask(COHOST, Action::Govern { act: Govern::ListBans { after: 0 } });
    let ToParticipant::Bans { bans, total } = asked.answer else { panic!("{:?}", asked.answer) };
    assert_eq!(total as usize, bans.len());
    bans
}

#[test]
fn a_kick_bars_the_session_and_the_tokens_from_before() {
    for who in [SPEAKER, HAND] {
        let mut room = Harness::with_everybody();
        let name = room.by(who).subject;
        let effects = room.govern(COHOST, kick(who));
        at(&effects, is_ok(Some(room.revision())));
        assert!(!room.is_on_stage(who));
        let session = room.ruled(PersonKey::of_participant(who)).unwrap();
        assert!(session.barred && session.entry == room.last_number());
        let subject = room.ruled(PersonKey::of_subject(&name)).unwrap();
        assert_eq!((subject.barred, subject.tokens_after_s), (false, START_S));
        let told = news(&effects);
        assert_eq!(told.len(), 2, "by each of the two");
        assert!(told.iter().all(|(_, what)| what.action == Some(LogAction::Kicked)
            && what.reason.as_str() == "heckling"
            && what.entry == room.last_number()));
        room.refused(who, raise(""), ErrorCode::NotPermitted);
        let listed = bans(&mut room);
        assert_eq!((listed.len(), listed[0].reason.as_str()), (1, "heckling"));
    }
    let mut room = Harness::with_everybody();
    room.govern(COHOST, kick(SPEAKER));
    room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::Barred);
    assert_eq!(room.last(), "Bo (cohost) put Carl (speaker) out of the room: heckling");
}

#[test]
fn a_kick_reaches_guests_strangers_and_all_sessions_of_a_subject() {
    let mut room = Harness::with_everybody();
    room.done(GUEST, raise(""));
    room.govern(COHOST, kick(GUEST));
    assert!(room.ruled(PersonKey::of_participant(GUEST)).unwrap().barred);
    assert_eq!(room.authority.rulings().len(), 1, "a guest has nothing else");

    let stranger = ParticipantId(99);
    room.govern(COHOST, kick(stranger));
    assert!(room.ruled(PersonKey::of_participant(stranger)).unwrap().barred);

    let duplicates = Some(tribune_protocol::domain::settings::Duplicates::Allow(20));
    let change =
        tribune_protocol::control::command::RoomChange { duplicates, ..Default::default() };
    room.govern(HOST, Govern::Set { change, reason: note("") });
    let second = ParticipantId(33);
    room.know(second, room.by(SPEAKER));
    room.done(second, enter(Role::Speaker));
    room.govern(COHOST, kick(second));
    for who in [SPEAKER, second] {
        assert!(!room.is_on_stage(who) && room.ruled(PersonKey::of_participant(who)).is_some());
    }
    let address = Target::Address("192.0.2.1".parse().unwrap());
    room.no_govern(HOST, kick_target(address), ErrorCode::BadRequest);
}

#[test]
fn who_has_just_left_is_still_known() {
    let mut room = Harness::with_everybody();
    room.report(SPEAKER, Action::Left {});
    room.govern(COHOST, ban(Target::Participant(SPEAKER), None));
    assert!(room.ruled(subject_key("speaker")).unwrap().barred);
    room.know(LISTENER, room.by(SPEAKER));
    room.refused(LISTENER, enter(Role::Speaker), ErrorCode::Barred);
    // A cohost who has left is one still.
    room.report(COHOST, Action::Left {});
    room.done(HAND, raise(""));
    room.govern(HOST, set_role(subject("hand"), Role::Speaker));
    room.no_govern(HAND, kick(COHOST), ErrorCode::NotPermitted);
}

#[test]
fn who_cannot_be_kicked_or_banned() {
    let mut room = Harness::with_everybody();
    for target in [Target::Participant(HOST), subject("host")] {
        room.no_govern(COHOST, kick_target(target.clone()), ErrorCode::NotPermitted);
        room.no_govern(COHOST, ban(target.clone(), None), ErrorCode::NotPermitted);
        let why = room.no_govern(HOST, kick_target(target.clone()), ErrorCode::BadRequest);
        assert_eq!(why, "You cannot remove yourself; leave the room instead.");
        room.no_govern(HOST, ban(target, None), ErrorCode::BadRequest);
    }
    room.no_govern(COHOST, kick(COHOST), ErrorCode::BadRequest);
    room.no_govern(LISTENER, kick(LISTENER), ErrorCode::NotPermitted);
    room.no_govern(HOST, ban(subject("x"), Some(0)), ErrorCode::BadRequest);
    room.no_govern(HOST, ban(subject("x"), Some(u64::MAX)), ErrorCode::BadRequest);
    for address in ["0.0.0.0", "::", "ff02::1"] {
        let target = Target::Address(address.parse().unwrap());
        room.no_govern(HOST, ban(target, None), ErrorCode::BadRequest);
    }
    room.govern(HOST, kick(COHOST));
    // The host who is away is the host.
    room.report(HOST, Action::Away {});
    room.know(LISTENER, credentials("eve", "Eve", Role::Cohost));
    room.no_govern(LISTENER, ban(subject("host"), None), ErrorCode::NotPermitted);
}

#[test]
fn a_ban_by_subject_reaches_every_session_and_is_lifted() {
    let mut room = Harness::with_everybody();
    let effects = room.govern(COHOST, ban(subject("speaker"), None));
    let ruling = room.ruled(subject_key("speaker")).unwrap();
    assert!(ruling.barred && ruling.until_s == 0 && ruling.tokens_after_s == START_S);
    assert!(!room.is_on_stage(SPEAKER));
    at(&effects, is_ok(Some(room.revision())));
    assert_eq!(room.last(), "Bo (cohost) banned Carl (speaker): insults");
    room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::Barred);
    room.know(LISTENER, room.by(SPEAKER));
    room.refused(LISTENER, enter(Role::Speaker), ErrorCode::Barred);
    let listed = bans(&mut room);
    assert_eq!((&listed[0].target, listed[0].reason.as_str()), (&subject("speaker"), "insults"));

    room.govern(COHOST, unban(subject("speaker")));
    assert_eq!(room.ruled(subject_key("speaker")), None);
    assert_eq!(room.last(), "Bo (cohost) lifted the ban of Carl (speaker): a mistake");
    room.done(SPEAKER, enter(Role::Speaker));
    room.no_govern(COHOST, unban(subject("speaker")), ErrorCode::NoSuchParticipant);
    assert_eq!(bans(&mut room), []);
}

#[test]
fn a_kick_is_lifted_by_subject_or_session() {
    for target in [subject("speaker"), Target::Participant(SPEAKER)] {
        let mut room = Harness::with_everybody();
        room.govern(HOST, kick(SPEAKER));
        room.govern(HOST, unban(target));
        assert_eq!(room.authority.rulings(), []);
        room.done(SPEAKER, enter(Role::Speaker));
    }
}

#[test]
fn a_ban_with_an_end_ends_and_the_old_tokens_stay_out() {
    let mut room = Harness::with_everybody();
    room.done(GUEST, raise(""));
    let address = Target::Address("2001:db8::1".parse().unwrap());
    let minute = Some(60);
    room.govern(COHOST, ban(subject("speaker"), minute));
    assert_eq!(room.last(), "Bo (cohost) banned Carl (speaker) for 1 min: insults");
    room.govern(COHOST, ban(Target::Participant(GUEST), minute));
    room.govern(COHOST, ban(address, minute));
    let key = PersonKey::of_address("2001:db8::ffff".parse().unwrap());
    assert_eq!(room.ruled(key).unwrap().until_s, START_S + 60);
    room.pass(Duration::from_millis(59_999));
    assert_eq!(bans(&mut room).len(), 3);
    let effects = room.pass(Duration::from_millis(1));
    assert_eq!(effects.len(), 2, "{effects:?}");
    assert_eq!(bans(&mut room), []);
    // Only tokens have a time of issue.
    assert_eq!(room.authority.rulings().len(), 1);
    let left = room.ruled(subject_key("speaker")).unwrap();
    assert_eq!((left.barred, left.tokens_after_s), (false, START_S));
    assert_eq!(room.actions().iter().filter(|a| **a == LogAction::BanRanOut).count(), 3);
    room.done(SPEAKER, enter(Role::Speaker));
}

#[test]
fn roles_are_changed_up_to_ones_own_rank() {
    let mut room = Harness::with_everybody();
    let unknown = Role::Custom("steward".parse().unwrap());
    room.no_govern(HOST, set_role(subject("speaker"), unknown), ErrorCode::BadRequest);
    room.no_govern(HOST, set_role(subject("speaker"), Role::Host), ErrorCode::BadRequest);
    room.no_govern(HOST, set_role(subject("host"), Role::Listener), ErrorCode::BadRequest);
    for target in [Target::Participant(HOST), subject("host")] {
        let act = set_role(target, Role::Listener);
        room.no_govern(COHOST, act, ErrorCode::NotPermitted);
    }
    room.no_govern(COHOST, set_role(subject("cohost"), Role::Host), ErrorCode::BadRequest);
    room.no_govern(SPEAKER, set_role(subject("speaker"), Role::Cohost), ErrorCode::NotPermitted);

    let effects = room.govern(COHOST, set_role(Target::Participant(SPEAKER), Role::Cohost));
    assert_eq!(room.role(SPEAKER), Some(Role::Cohost), "on the stage it is so at once");
    assert_eq!(yous(&effects)[0].role, Role::Cohost);
    assert_eq!(
        room.last(),
        "Bo (cohost) changed the role of Carl (speaker) (speaker → cohost): for tonight"
    );
    room.govern(SPEAKER, kick(LISTENER));
    let effects = room.govern(HOST, set_role(subject("speaker"), Role::Listener));
    assert!(!room.is_on_stage(SPEAKER));
    assert_eq!(yous(&effects)[0].role, Role::Listener);
    room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::NotPermitted);
    room.no_govern(SPEAKER, kick(HAND), ErrorCode::NotPermitted);
}

#[test]
fn who_is_made_more_off_the_stage_is_asked_before_a_microphone_opens() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, set_role(subject("listener"), Role::Cohost));
    assert!(!room.is_on_stage(LISTENER));
    let ruling = room.ruled(subject_key("listener")).unwrap();
    assert_eq!((ruling.role, ruling.invited_by.is_some()), (Some(Role::Cohost), true));
    room.govern(LISTENER, kick(HAND));
    room.govern(LISTENER, Govern::AnswerInvite { accept: true });
    assert_eq!(room.role(LISTENER), Some(Role::Cohost));
    assert_eq!(room.ruled(subject_key("listener")).unwrap().role, Some(Role::Cohost), "it stays");
}

#[test]
fn single_permissions_are_given_and_taken() {
    let mut room = Harness::with_everybody();
    let of_listener = |allow| permit(subject("listener"), Permission::Kick, allow);
    room.no_govern(COHOST, of_listener(Some(true)), ErrorCode::NotPermitted);
    room.no_govern(LISTENER, kick(HAND), ErrorCode::NotPermitted);
    room.govern(HOST, of_listener(Some(true)));
    assert_eq!(
        room.last(),
        "Ada (host) changed the permissions of listener (listener) (kick: given)"
    );
    room.govern(LISTENER, kick(HAND));
    room.no_govern(LISTENER, kick(SPEAKER), ErrorCode::NotPermitted);
    room.govern(HOST, of_listener(None));
    assert_eq!(room.ruled(subject_key("listener")), None);
    room.no_govern(LISTENER, kick(GUEST), ErrorCode::NotPermitted);

    let take = |permission| permit(subject("cohost"), permission, Some(false));
    room.govern(HOST, take(Permission::Kick));
    room.no_govern(COHOST, kick(SPEAKER), ErrorCode::NotPermitted);
    let deny = room.ruled(subject_key("cohost")).unwrap().deny;
    assert_eq!(deny, PermissionSet::of(&[Permission::Kick]));
    room.no_govern(HOST, take(Permission::Listen), ErrorCode::BadRequest);
    // Rights that are not held cannot be got back by another name.
    let invitation = Govern::MakeInvitation { subject: None, role: Role::Cohost, valid_for_s: 60 };
    room.no_govern(COHOST, invitation, ErrorCode::NotPermitted);
    let act = set_role(subject("listener"), Role::Cohost);
    room.no_govern(COHOST, act, ErrorCode::NotPermitted);
}

#[test]
fn the_right_to_speak_is_a_permission_like_others() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, permit(subject("speaker"), Permission::Speak, Some(false)));
    assert!(!room.is_on_stage(SPEAKER));
    room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::NotPermitted);
    room.govern(COHOST, Govern::Invite { target: subject("speaker") });
    let accept = Govern::AnswerInvite { accept: true };
    room.no_govern(SPEAKER, accept, ErrorCode::NotPermitted);
    room.govern(HOST, permit(subject("speaker"), Permission::Speak, None));
    room.done(SPEAKER, enter(Role::Speaker));

    room.govern(HOST, permit(subject("listener"), Permission::Speak, Some(true)));
    room.done(LISTENER, enter(Role::Speaker));
    assert_eq!(room.role(LISTENER), Some(Role::Speaker));
    let raise_hand = permit(subject("hand"), Permission::RaiseHand, Some(false));
    room.govern(HOST, raise_hand);
    assert_eq!(room.authority.hands(), 0);
    room.refused(HAND, raise(""), ErrorCode::NotPermitted);
}

#[test]
fn nobody_gets_past_the_host_with_what_the_host_has_given() {
    let mut room = Harness::with_everybody();
    for permission in Permission::ALL {
        room.govern(HOST, permit(subject("cohost"), *permission, Some(true)));
    }
    for target in [Target::Participant(HOST), subject("host")] {
        for act in [
            set_role(target.clone(), Role::Cohost),
            set_role(target.clone(), Role::Listener),
            permit(target.clone(), Permission::SetPermission, Some(false)),
            kick_target(target.clone()),
            ban(target.clone(), None),
        ] {
            room.no_govern(COHOST, act, ErrorCode::NotPermitted);
        }
    }
    for act in [
        silence(HOST, true),
        Govern::RemoveFromStage { participant: HOST, reason: note("") },
        Govern::HandOver { participant: COHOST },
        Govern::HandOver { participant: SPEAKER },
    ] {
        room.no_govern(COHOST, act, ErrorCode::NotPermitted);
    }
    let invitation = Govern::MakeInvitation { subject: None, role: Role::Host, valid_for_s: 60 };
    room.no_govern(COHOST, invitation, ErrorCode::NotPermitted);
    assert_eq!(room.role(HOST), Some(Role::Host));
}

#[test]
fn the_barred_can_appeal_and_read_about_themselves_and_nothing_else() {
    let mut room = Harness::with_everybody();
    room.know(SPEAKER, Credentials { barred: true, ..credentials("speaker", "Carl", Role::Host) });
    room.know(LISTENER, Credentials { barred: true, ..credentials("eve", "Eve", Role::Host) });
    let one_shot = |act| Action::OneShot { act };
    room.refused(LISTENER, one_shot(Govern::Show {}), ErrorCode::NotPermitted);
    room.refused(LISTENER, one_shot(kick(HAND)), ErrorCode::NotPermitted);
    room.refused(LISTENER, one_shot(Govern::EndRoom {}), ErrorCode::NotPermitted);
    let read = room.ask(LISTENER, one_shot(Govern::ReadLog { from: 1 })).answer;
    let ToParticipant::Log(page) = read else { panic!("{read:?}") };
    assert!(page.own_only && page.entries.is_empty());
}

#[test]
fn rulings_are_bounded_and_a_full_book_refuses_before_anything_is_done() {
    let mut room = Harness::with_everybody();
    for id in 0..MAX_RULINGS - 1 {
        room.authority.parts_mut().book_mut().fill(ParticipantId(1_000 + id as u64));
    }
    room.adopt();
    room.no_govern(HOST, kick(SPEAKER), ErrorCode::RulingsFull);
    assert!(room.is_on_stage(SPEAKER));
    room.govern(HOST, ban(subject("speaker"), None));
    for act in [
        ban(subject("other"), None),
        kick_target(subject("other")),
        set_role(subject("other"), Role::Speaker),
        permit(subject("other"), Permission::Kick, Some(true)),
        Govern::Invite { target: subject("other") },
        Govern::RemoveFromStage { participant: COHOST, reason: note("") },
    ] {
        room.no_govern(HOST, act, ErrorCode::RulingsFull);
    }
    // What is ruled already can be ruled anew.
    room.govern(HOST, ban(subject("speaker"), Some(60)));
    // Refusals of old tokens make room once a ban is over; the oldest first.
    room.pass(Duration::from_secs(61));
    room.govern(HOST, ban(subject("other"), None));
    assert_eq!(room.ruled(subject_key("speaker")), None);
}

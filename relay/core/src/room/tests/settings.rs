//! Rooms ahead of time, settings, the list of rooms, invitations, the log as it is read.

use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::participant::{LogPage, ToParticipant};
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::ParticipantId;
use tribune_protocol::log::{Head, SignedEntry, verify};

use super::harness::*;
use crate::auth::invitation::verify_invitation;
use crate::room::authority::effect::OriginEffect;
use crate::room::authority::lifecycle::ANNOUNCED_LINGER;

fn create(settings: RoomSettings) -> Action {
    Action::OneShot { act: Govern::Create { settings } }
}

fn announced() -> RoomSettings {
    let title = note("An evening");
    RoomSettings { title, starts_s: START_S + 3_600, listed: true, ..RoomSettings::default() }
}

fn set(change: RoomChange) -> Govern {
    Govern::Set { change, reason: note("") }
}

fn read(room: &mut Harness, who: ParticipantId, from: u64) -> LogPage {
    let asked = room.ask(who, Action::OneShot { act: Govern::ReadLog { from } });
    let ToParticipant::Log(page) = asked.answer else { panic!("{:?}", asked.answer) };
    page
}

#[test]
fn a_room_is_made_ahead_of_time_and_opened_by_whoever_made_it() {
    let mut room = Harness::new();
    room.refused(COHOST, create(announced()), ErrorCode::NotPermitted);
    room.know(COHOST, credentials("cohost", "Bo", Role::Host));
    let why = room.refused(COHOST, create(announced()), ErrorCode::NotPermitted);
    assert_eq!(why, "Your token does not let you create rooms; it would need roomCreate.");
    room.people.clear();
    room.done(HOST, create(announced()));
    assert_eq!(room.authority.state().phase, Phase::Announced);
    assert_eq!(room.last(), "Ada (host) created the room (An evening)");
    let listing = room.authority.listing().unwrap();
    assert_eq!((listing.title.as_str(), listing.starts_s), ("An evening", START_S + 3_600));
    assert!(room.authority.is_kept_awake());
    room.refused(HOST, create(announced()), ErrorCode::BadRequest);

    room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::NotStarted);
    room.know(LISTENER, Credentials { may_open: true, ..credentials("eve", "Eve", Role::Host) });
    room.done(LISTENER, enter(Role::Host));
    assert_eq!(room.role(LISTENER), Some(Role::Cohost), "it is somebody else's room");
    room.done(HOST, enter(Role::Host));
    assert_eq!(room.role(HOST), Some(Role::Host));
    assert_eq!(room.authority.state().settings.title.as_str(), "An evening");
}

#[test]
fn an_announced_room_of_nobody_in_particular_has_its_first_host() {
    let mut room = Harness::new();
    let guest = tribune_protocol::ids::Subject::guest(GUEST);
    let by = Credentials { subject: guest, may_open: true, ..credentials("x", "Fay", Role::Host) };
    room.know(GUEST, by);
    room.done(GUEST, create(announced()));
    room.done(COHOST, enter(Role::Cohost));
    assert_eq!(room.role(COHOST), Some(Role::Cohost), "opened, and still without a host");
    room.done(HOST, enter(Role::Host));
    assert_eq!(room.role(HOST), Some(Role::Host));
}

#[test]
fn an_announced_room_that_nobody_opens_ends() {
    let mut room = Harness::new();
    room.done(HOST, create(announced()));
    let wait = Duration::from_secs(3_600) + ANNOUNCED_LINGER;
    room.pass(wait - Duration::from_millis(1));
    assert_eq!(room.authority.state().phase, Phase::Announced);
    // Put off by a day.
    let starts_s = Some(START_S + 25 * 3_600);
    room.done(HOST, Action::OneShot { act: set(RoomChange { starts_s, ..Default::default() }) });
    room.pass(Duration::from_secs(3_600));
    assert_eq!(room.authority.state().phase, Phase::Announced);
    let effects = room.pass(2 * ANNOUNCED_LINGER);
    assert!(effects.contains(&OriginEffect::Finished));
    assert_eq!(room.authority.state().phase, Phase::Ended);
    assert_eq!(room.authority.listing(), None);
}

#[test]
fn settings_change_while_the_room_is_on_and_are_in_the_log() {
    let mut room = Harness::with_everybody();
    let lock = set(RoomChange { locked: Some(true), ..Default::default() });
    room.no_govern(SPEAKER, lock.clone(), ErrorCode::NotPermitted);
    let effects = room.govern(COHOST, lock.clone());
    at(&effects, is_ok(Some(room.revision())));
    assert_eq!(room.last(), "Bo (cohost) locked the room");
    let entries = room.last_number();
    room.govern(COHOST, lock);
    assert_eq!(room.last_number(), entries, "it is locked already");
    room.govern(COHOST, set(RoomChange { locked: Some(false), ..Default::default() }));
    assert_eq!(room.last(), "Bo (cohost) unlocked the room");
    // Together with more it is the host's.
    let both = RoomChange { locked: Some(true), capacity: Some(10), ..Default::default() };
    room.no_govern(COHOST, set(both.clone()), ErrorCode::NotPermitted);
    room.govern(HOST, set(both));
    assert_eq!(room.last(), "Ada (host) changed the room (capacity 10, locked yes)");
    let access = Some("followers >= 600".parse().unwrap());
    room.govern(HOST, set(RoomChange { access, listed: Some(true), ..Default::default() }));
    assert_eq!(room.last(), "Ada (host) changed the room (listed yes, access followers >= 600)");
    assert!(room.authority.listing().is_some());

    let wrong = |change| set(change);
    let none = RoomChange::default();
    for change in [
        RoomChange { stage_size: Some(0), ..none.clone() },
        RoomChange { stage_size: Some(33), ..none.clone() },
        RoomChange { hand_slow_s: Some(3_601), ..none.clone() },
        RoomChange { reaction_slow_s: Some(3_601), ..none.clone() },
        RoomChange { starts_s: Some(START_S + 400 * 24 * 3_600), ..none },
    ] {
        room.no_govern(HOST, wrong(change), ErrorCode::BadRequest);
    }
    room.govern(HOST, Govern::EndRoom {});
    let act = set(RoomChange { listed: Some(false), ..Default::default() });
    room.know(HOST, Credentials { may_open: true, ..room.by(HOST) });
    room.no_govern(HOST, act, ErrorCode::RoomNotFound);
}

#[test]
fn anybody_in_the_room_sees_how_it_is_set_up() {
    let mut room = Harness::with_everybody();
    let asked = room.ask(LISTENER, Action::Govern { act: Govern::Show {} });
    let ToParticipant::Room(info) = asked.answer else { panic!("{:?}", asked.answer) };
    assert_eq!((info.phase, info.stage.len(), info.listeners), (Phase::Live, 3, 3));
    assert_eq!(info.key, Some(room.setup.key.public()));
}

#[test]
fn invitations_give_no_more_than_whoever_makes_them_has() {
    let mut room = Harness::with_everybody();
    let make = |role, valid_for_s| Govern::MakeInvitation { subject: None, role, valid_for_s };
    room.no_govern(SPEAKER, make(Role::Listener, 60), ErrorCode::NotPermitted);
    room.no_govern(HOST, make(Role::Host, 60), ErrorCode::NotPermitted);
    room.no_govern(COHOST, make(Role::Host, 60), ErrorCode::NotPermitted);
    room.no_govern(HOST, make(Role::Speaker, 0), ErrorCode::BadRequest);
    room.no_govern(HOST, make(Role::Speaker, 32 * 24 * 3_600), ErrorCode::BadRequest);
    let unknown = Role::Custom("steward".parse().unwrap());
    room.no_govern(HOST, make(unknown, 60), ErrorCode::NotPermitted);

    let invited = Some("eve".parse().unwrap());
    let act = Govern::MakeInvitation { subject: invited, role: Role::Cohost, valid_for_s: 3_600 };
    let asked = room.ask(COHOST, Action::Govern { act });
    let ToParticipant::Invitation { token } = asked.answer else { panic!("{:?}", asked.answer) };
    let key = room.setup.key.public();
    let claims = verify_invitation(&token, &key.0, &super::harness::room(), START_S).unwrap();
    let entitlement = claims.entitlement();
    assert_eq!((entitlement.subject.as_str(), entitlement.role), ("eve", Role::Cohost));
    assert!(!entitlement.may_open && entitlement.expires_at_s == START_S + 3_600);
    assert_eq!(room.last(), "Bo (cohost) made an invitation for 1 h (cohost, for eve)");
}

#[test]
fn the_log_is_read_page_by_page_and_verifies() {
    let mut room = Harness::with_everybody();
    for on in 0..60 {
        room.govern(HOST, silence(SPEAKER, on % 2 == 0));
    }
    let (mut from, mut entries, mut pages) = (1, Vec::new(), 0);
    let head = loop {
        let page = read(&mut room, COHOST, from);
        assert!(!page.own_only);
        entries.extend(page.entries.iter().map(|e| SignedEntry::from_bytes(&e.0).unwrap()));
        (from, pages) = (page.next, pages + 1);
        if let Some(head) = page.head {
            break ciborium::from_reader::<Head, _>(&head.0[..]).unwrap();
        }
    };
    assert!(pages > 1, "{pages}");
    let verified = verify(&super::harness::room(), Some(&head.key), &entries, &head).unwrap();
    assert_eq!(verified.entries, room.last_number());
    let end = read(&mut room, COHOST, from);
    assert!(end.entries.is_empty() && end.next == from && end.head.is_some());
}

#[test]
fn who_may_not_read_the_log_reads_what_concerns_them() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, silence(SPEAKER, true));
    room.govern(HOST, grant(HAND));
    room.govern(HOST, ban(Target::Subject("speaker".parse().unwrap()), None));
    let page = read(&mut room, SPEAKER, 1);
    let seen: Vec<_> = page
        .entries
        .iter()
        .map(|e| SignedEntry::from_bytes(&e.0).unwrap().entry.statement())
        .collect();
    assert_eq!(
        seen,
        [
            "Ada (host) silenced Carl (speaker): too loud",
            "Ada (host) banned Carl (speaker): insults",
        ]
    );
    assert!(page.own_only && page.head.is_none());
    assert_eq!(read(&mut room, GUEST, 1).entries, vec![]);
}

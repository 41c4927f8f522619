//! Coming in, stepping up, leaving, being away, handing over, succession.

use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::Duplicates;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{ParticipantId, Revision, TrackId};
use tribune_protocol::limits::{MAX_STAGE, RECONNECT_GRACE};
use tribune_protocol::log::LogAction;

use super::harness::*;
use crate::room::authority::effect::OriginEffect;
use crate::room::authority::lifecycle::EMPTY_ROOM_LINGER;

#[test]
fn a_room_begins_absent_and_is_opened_by_who_may() {
    let mut room = Harness::new();
    assert_eq!((room.authority.state().phase, room.revision()), (Phase::Absent, Revision(0)));
    let why = room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::RoomNotFound);
    assert_eq!(why, "Room stage has not been opened; a host opens it by joining.");
    room.refused(COHOST, enter(Role::Cohost), ErrorCode::RoomNotFound);
    room.refused(HOST, enter(Role::Listener), ErrorCode::BadRequest);
    room.refused(HAND, raise(""), ErrorCode::RoomNotFound);
    // The right to open rooms is one thing, the host's role another.
    room.know(LISTENER, Credentials { may_open: true, ..room.by(LISTENER) });
    room.refused(LISTENER, enter(Role::Speaker), ErrorCode::RoomNotFound);
    room.know(HOST, Credentials { may_open: false, ..room.by(HOST) });
    room.refused(HOST, enter(Role::Host), ErrorCode::RoomNotFound);
    room.people.clear();

    let effects = room.done(HOST, enter(Role::Speaker));
    assert_eq!((room.authority.state().phase, room.revision()), (Phase::Live, Revision(1)));
    let entry = room.entry(HOST);
    assert_eq!((entry.role, entry.track), (Role::Host, TrackId(1)), "who opens it is the host");
    assert!(at(&effects, is_publish) < at(&effects, is_ok(None)), "{effects:?}");
    assert_eq!(shown(&effects), vec![(HOST, vec![], 0)]);
    assert_eq!(room.last(), "Ada (host) opened the room");
}

#[test]
fn who_comes_in_gets_a_role_that_there_is_and_that_is_theirs() {
    let mut room = Harness::live();
    room.know(LISTENER, credentials("eve", "Eve", Role::Host));
    let why = room.refused(LISTENER, enter(Role::Host), ErrorCode::HostTaken);
    assert_eq!(why, "Ada is the host of this room, and there can be one.");
    // Beside the host, a token for a host is one for a cohost.
    room.done(LISTENER, enter(Role::Cohost));
    assert_eq!(room.role(LISTENER), Some(Role::Cohost));

    let why = room.refused(SPEAKER, enter(Role::Cohost), ErrorCode::NotPermitted);
    assert_eq!(why, "You may come in as speaker, not as cohost; ask a moderator, or raise a hand.");
    room.refused(HAND, enter(Role::Speaker), ErrorCode::NotPermitted);
    room.refused(GUEST, enter(Role::Speaker), ErrorCode::NotPermitted);
    let unknown = Role::Custom("steward".parse().unwrap());
    room.refused(COHOST, enter(unknown), ErrorCode::BadRequest);
    let effects = room.done(COHOST, enter(Role::Speaker));
    assert_eq!(room.role(COHOST), Some(Role::Speaker), "less than the token says");
    assert_eq!(shown(&effects).len(), 0, "a speaker does not see the queue");
    let effects = room.done(SPEAKER, enter(Role::Speaker));
    assert_eq!(shown(&effects).len(), 0);
    assert_eq!(room.entry(SPEAKER).track, TrackId(4));
}

#[test]
fn a_host_without_an_heir_leaves_the_room_to_the_next_who_comes_with_the_right() {
    let mut room = Harness::live();
    room.done(SPEAKER, enter(Role::Speaker));
    room.know(LISTENER, credentials("eve", "Eve", Role::Host));
    room.report(HOST, Action::Away {});
    room.refused(LISTENER, enter(Role::Host), ErrorCode::HostTaken);
    room.report(HOST, Action::Left {});
    assert_eq!(room.authority.state().phase, Phase::Live);
    room.done(LISTENER, enter(Role::Host));
    assert_eq!(room.role(LISTENER), Some(Role::Host));
    room.refused(HOST, enter(Role::Host), ErrorCode::HostTaken);
    // The one who was is not a second one, from wherever.
    let one_shot = |act| Action::OneShot { act };
    room.refused(HOST, one_shot(Govern::EndRoom {}), ErrorCode::NotPermitted);
    room.refused(HOST, one_shot(kick(LISTENER)), ErrorCode::NotPermitted);
    room.done(HOST, enter(Role::Cohost));
}

#[test]
fn a_host_who_stays_away_is_succeeded_by_the_cohost_who_is_there_for_longest() {
    let mut room = Harness::with_everybody();
    let (third, fourth) = (ParticipantId(7), ParticipantId(8));
    for (who, name) in [(third, "Gil"), (fourth, "Hal")] {
        room.know(who, credentials(name, name, Role::Cohost));
        room.done(who, enter(Role::Cohost));
    }
    room.report(COHOST, Action::Away {});
    room.report(HOST, Action::Away {});
    room.pass(RECONNECT_GRACE - Duration::from_millis(1));
    assert_eq!(room.role(HOST), Some(Role::Host), "kept for a while");
    room.report(COHOST, Action::Present {});
    room.report(COHOST, Action::Away {});
    let effects = room.pass(Duration::from_millis(1));
    assert_eq!(room.role(HOST), None);
    assert_eq!(room.role(third), Some(Role::Host), "the first one is not there");
    assert_eq!(yous(&effects)[0].role, Role::Host);
    assert_eq!(room.last(), "the relay passed the room on to Gil (cohost)");
    // Who was the host comes back beside the new one.
    room.refused(HOST, enter(Role::Host), ErrorCode::HostTaken);
    room.done(HOST, enter(Role::Cohost));
    room.no_govern(HOST, Govern::EndRoom {}, ErrorCode::NotPermitted);
    room.govern(third, Govern::EndRoom {});
}

#[test]
fn the_host_hands_the_room_over_and_is_a_cohost_then() {
    let mut room = Harness::with_everybody();
    let hand_over = |participant| Govern::HandOver { participant };
    room.no_govern(HOST, hand_over(LISTENER), ErrorCode::NoSuchParticipant);
    room.no_govern(HOST, hand_over(HOST), ErrorCode::BadRequest);
    room.no_govern(COHOST, hand_over(COHOST), ErrorCode::NotPermitted);
    let effects = room.govern(HOST, hand_over(SPEAKER));
    assert_eq!((room.role(HOST), room.role(SPEAKER)), (Some(Role::Cohost), Some(Role::Host)));
    let told: Vec<_> = yous(&effects).iter().map(|you| (you.participant, you.role)).collect();
    assert_eq!(told, [(HOST, Role::Cohost), (SPEAKER, Role::Host)]);
    at(&effects, is_ok(Some(room.revision())));
    assert_eq!(room.last(), "Ada (host) handed the room over to Carl (speaker)");

    // It stays so over a reconnect of both, whatever their tokens say.
    room.report(SPEAKER, Action::Left {});
    assert_eq!(room.role(HOST), Some(Role::Host), "the first cohost succeeds");
    room.done(SPEAKER, enter(Role::Speaker));
    room.govern(HOST, hand_over(SPEAKER));
    room.report(HOST, Action::Left {});
    room.refused(HOST, enter(Role::Host), ErrorCode::HostTaken);
    room.no_govern(HOST, Govern::EndRoom {}, ErrorCode::NotPermitted);
    room.done(HOST, enter(Role::Cohost));
    room.no_govern(HOST, kick(SPEAKER), ErrorCode::NotPermitted);
    // The next evening it is theirs again.
    room.govern(SPEAKER, Govern::EndRoom {});
    room.done(HOST, enter(Role::Host));
    assert_eq!(room.role(HOST), Some(Role::Host));
}

#[test]
fn a_full_stage_takes_nobody() {
    let mut room = Harness::live();
    let change = RoomChange { stage_size: Some(3), ..RoomChange::default() };
    let set = Govern::Set { change, reason: note("") };
    room.govern(HOST, set);
    room.done(SPEAKER, enter(Role::Speaker));
    room.done(COHOST, enter(Role::Cohost));
    room.know(LISTENER, credentials("eve", "Eve", Role::Speaker));
    let why = room.refused(LISTENER, enter(Role::Speaker), ErrorCode::StageFull);
    assert_eq!(why, "The stage of this room holds 3, and it is full.");
    room.done(HAND, raise(""));
    room.no_govern(HOST, grant(HAND), ErrorCode::StageFull);
    assert_eq!(room.authority.hands(), 1, "the hand stays up");
    room.done(SPEAKER, Action::LeaveStage {});
    room.govern(HOST, grant(HAND));
    assert_eq!(room.entry(HAND).track, TrackId(4), "no track again");
}

#[test]
fn the_largest_stage_fits_a_message() {
    let mut room = Harness::live();
    let name = |id: usize| format!("{id:02}{}", "N".repeat(62));
    for id in 1..MAX_STAGE {
        let who = ParticipantId(u64::MAX - id as u64);
        room.know(who, credentials(&format!("s{id}"), &name(id), Role::Speaker));
        room.done(who, enter(Role::Speaker));
        room.govern(HOST, silence(who, true));
        room.done(who, Action::OwnMute { muted: true });
        room.report(who, Action::Away {});
    }
    let change = RoomChange {
        title: Some(note(&"T".repeat(200))),
        access: Some(format!("badge == \"{}\"", "x".repeat(256)).parse().unwrap()),
        ..RoomChange::default()
    };
    room.govern(HOST, Govern::Set { change, reason: note(&"R".repeat(200)) });
    assert_eq!(room.authority.actors(), MAX_STAGE);
}

#[test]
fn tracks_that_are_used_up_are_not_used_again() {
    let mut room = Harness::live();
    room.authority.parts_mut().room_mut().use_up_tracks();
    room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::Overloaded);
}

#[test]
fn who_comes_again_keeps_the_place() {
    let mut room = Harness::with_everybody();
    let before = room.entry(SPEAKER);
    room.done(SPEAKER, Action::OwnMute { muted: true });
    room.report(SPEAKER, Action::Away {});
    assert!(room.entry(SPEAKER).away);
    room.pass(RECONNECT_GRACE - Duration::from_millis(1));
    let effects = room.done(SPEAKER, enter(Role::Host));
    assert!(at(&effects, is_publish) < at(&effects, is_ok(None)));
    assert!(at(&effects, is_ok(None)) < at(&effects, is_you));
    assert_eq!(yous(&effects)[0].track, Some(before.track));
    assert_eq!(room.entry(SPEAKER), StageEntry { muted: true, ..before });
    let effects = room.done(SPEAKER, enter(Role::Speaker));
    assert!(!effects.contains(&OriginEffect::Publish), "nothing has changed");
    let effects = room.done(HAND, enter(Role::Speaker));
    assert_eq!((yous(&effects)[0].role, yous(&effects)[0].hand), (Role::Listener, Some(1)));
    assert_eq!(room.pass(RECONNECT_GRACE), vec![], "nobody is away any more");
}

#[test]
fn present_answers_with_ones_place() {
    let mut room = Harness::with_everybody();
    let track = room.entry(HOST).track;
    room.report(HOST, Action::Away {});
    let effects = room.report(HOST, Action::Present {});
    assert!(is_publish(&effects[0]));
    assert_eq!((yous(&effects)[0].role, yous(&effects)[0].track), (Role::Host, Some(track)));
    assert_eq!(shown(&effects)[0].1[0].participant, HAND, "a moderator sees the queue again");
    let effects = room.report(HAND, Action::Present {});
    assert_eq!(effects.len(), 1);
    assert_eq!((yous(&effects)[0].role, yous(&effects)[0].hand), (Role::Listener, Some(1)));
    let effects = room.report(LISTENER, Action::Present {});
    assert_eq!((yous(&effects)[0].role, yous(&effects)[0].hand), (Role::Listener, None));
    assert_eq!(effects.len(), 1);
}

#[test]
fn places_of_those_away_are_given_up_after_the_grace() {
    let mut room = Harness::with_everybody();
    room.report(SPEAKER, Action::Away {});
    room.pass(Duration::from_secs(10));
    assert_eq!(room.report(SPEAKER, Action::Away {}), vec![], "the grace does not begin anew");
    room.report(HAND, Action::Away {});
    assert_eq!(room.pass(Duration::from_millis(19_999)), vec![]);
    let effects = room.pass(Duration::from_millis(1));
    assert_eq!(effects, vec![OriginEffect::Publish]);
    assert!(!room.is_on_stage(SPEAKER));
    assert_eq!(room.authority.hands(), 1);
    let effects = room.pass(Duration::from_secs(10));
    assert_eq!(room.authority.hands(), 0);
    assert_eq!(shown(&effects), vec![(HOST, vec![], 0), (COHOST, vec![], 0)]);
    assert_eq!(room.report(LISTENER, Action::Away {}), vec![], "of the unknown, nothing is kept");
    assert_eq!(room.authority.poll_timeout(), None);
}

#[test]
fn whoever_acts_is_there() {
    let mut room = Harness::with_everybody();
    room.report(HAND, Action::Away {});
    room.done(HAND, raise("now"));
    room.report(HOST, Action::Away {});
    room.done(HOST, Action::OwnMute { muted: true });
    room.pass(2 * RECONNECT_GRACE);
    assert_eq!((room.authority.hands(), room.authority.actors()), (1, 3));
    // A request from outside the room says nothing about a connection to it.
    room.report(SPEAKER, Action::Away {});
    room.done(SPEAKER, Action::OneShot { act: Govern::Show {} });
    assert!(room.entry(SPEAKER).away);
}

#[test]
fn without_credentials_only_presence_is_believed() {
    let mut room = Harness::with_everybody();
    for action in [
        Action::Govern { act: Govern::EndRoom {} },
        Action::OneShot { act: Govern::EndRoom {} },
        Action::Govern { act: Govern::ReadLog { from: 1 } },
        Action::OwnMute { muted: true },
        Action::LeaveStage {},
        enter(Role::Host),
        raise(""),
    ] {
        let before = room.authority.state().clone();
        let request = Some(tribune_protocol::ids::RequestId(77));
        room.authority.handle_action(room.now, HOST, request, None, action.clone());
        let mut answers = Vec::new();
        while let Some(effect) = room.authority.poll_effect() {
            answers.push(effect);
        }
        let refused = |effect: &OriginEffect| {
            matches!(
                effect,
                OriginEffect::Deliver {
                    message: tribune_protocol::control::participant::ToParticipant::Err {
                        code: ErrorCode::BadRequest,
                        ..
                    },
                    ..
                }
            )
        };
        assert!(answers.len() == 1 && refused(&answers[0]), "{action:?}: {answers:?}");
        assert_eq!(*room.authority.state(), before);
    }
}

#[test]
fn who_leaves_is_gone_and_the_room_stays() {
    let mut room = Harness::with_everybody();
    let effects = room.report(HAND, Action::Left {});
    assert_eq!(room.authority.hands(), 0);
    assert_eq!(shown(&effects).len(), 2);
    assert_eq!(room.report(SPEAKER, Action::Left {}), vec![OriginEffect::Publish]);
    assert_eq!(room.report(LISTENER, Action::Left {}), vec![]);
    room.pass(10 * EMPTY_ROOM_LINGER);
    assert_eq!(room.authority.state().phase, Phase::Live);
}

#[test]
fn leaving_the_stage_makes_a_listener() {
    let mut room = Harness::with_everybody();
    let effects = room.done(HOST, Action::LeaveStage {});
    let you = yous(&effects).into_iter().find(|you| you.participant == HOST).unwrap();
    assert_eq!((you.role, you.track), (Role::Listener, None));
    assert_eq!(room.role(COHOST), Some(Role::Host));
    room.no_govern(HOST, Govern::EndRoom {}, ErrorCode::NotPermitted);
    room.refused(HOST, Action::LeaveStage {}, ErrorCode::BadRequest);
    room.done(HOST, raise("me again"));
}

#[test]
fn own_mute_is_for_the_stage() {
    let mut room = Harness::with_everybody();
    let effects = room.done(SPEAKER, Action::OwnMute { muted: true });
    at(&effects, is_publish);
    assert!(room.entry(SPEAKER).muted);
    let effects = room.done(SPEAKER, Action::OwnMute { muted: true });
    assert!(!effects.contains(&OriginEffect::Publish));
    room.refused(LISTENER, Action::OwnMute { muted: true }, ErrorCode::BadRequest);
}

#[test]
fn the_host_ends_the_room_and_it_can_be_opened_again() {
    let mut room = Harness::with_everybody();
    room.govern(HOST, kick(LISTENER));
    room.govern(HOST, Govern::Invite { target: subject("friend") });
    room.govern(HOST, set_role(subject("friend"), Role::Cohost));
    room.report(SPEAKER, Action::Away {});
    let effects = room.govern(HOST, Govern::EndRoom {});
    assert_eq!(at(&effects, is_ok(None)), 0, "{effects:?}");
    assert_eq!(effects.last(), Some(&OriginEffect::Finished));
    let state = room.authority.state();
    assert_eq!((state.phase, state.stage.len()), (Phase::Ended, 0));
    assert_eq!((room.authority.hands(), room.authority.poll_timeout()), (0, None));
    room.refused(COHOST, enter(Role::Cohost), ErrorCode::RoomNotFound);
    room.refused(HAND, raise(""), ErrorCode::RoomNotFound);
    // A bar stays, a role or an invitation for the evening does not.
    assert!(
        room.authority
            .rulings()
            .iter()
            .all(|ruling| ruling.barred && ruling.role.is_none() && ruling.invited_by.is_none())
    );
    assert_eq!(room.authority.rulings().len(), 1);
    room.know(COHOST, Credentials { may_open: true, ..credentials("cohost", "Bo", Role::Host) });
    room.done(COHOST, enter(Role::Cohost));
    assert_eq!(room.entry(COHOST).role, Role::Host);
    assert_eq!(room.entry(COHOST).track, TrackId(4), "tracks go on");
}

#[test]
fn an_empty_room_ends_after_a_while() {
    let mut room = Harness::live();
    room.report(HOST, Action::Left {});
    assert_eq!(room.authority.poll_timeout(), None, "somebody listens");
    room.authority.handle_audience(room.now, 0);
    room.pass(EMPTY_ROOM_LINGER - Duration::from_millis(1));
    room.authority.handle_audience(room.now, 1);
    assert_eq!(room.authority.poll_timeout(), None, "somebody has come");
    room.authority.handle_audience(room.now, 0);
    assert_eq!(room.pass(EMPTY_ROOM_LINGER - Duration::from_millis(1)), vec![]);
    let effects = room.pass(Duration::from_millis(1));
    assert_eq!(effects, vec![OriginEffect::Publish, OriginEffect::Finished]);
    assert_eq!(room.authority.state().phase, Phase::Ended);
    assert_eq!(room.last(), "the relay ended the room");
}

#[test]
fn those_away_do_not_keep_an_empty_room() {
    let mut room = Harness::live();
    room.authority.handle_audience(room.now, 0);
    room.done(HAND, raise(""));
    room.report(HOST, Action::Away {});
    assert_eq!(room.pass(2 * EMPTY_ROOM_LINGER).len(), 1, "the host's place is given up");
    room.report(HAND, Action::Away {});
    room.pass(RECONNECT_GRACE);
    assert_eq!(room.authority.hands(), 0);
    let effects = room.pass(EMPTY_ROOM_LINGER - RECONNECT_GRACE);
    assert_eq!(effects, vec![OriginEffect::Publish, OriginEffect::Finished]);
}

#[test]
fn without_a_request_there_is_no_answer() {
    let mut room = Harness::with_everybody();
    let act = grant(HAND);
    assert_eq!(room.report(LISTENER, Action::Govern { act: act.clone() }), vec![]);
    let effects = room.report(HOST, Action::Govern { act });
    assert!(effects.iter().all(|effect| !is_ok(None)(effect)), "{effects:?}");
    assert_eq!(room.entry(HAND).role, Role::Speaker);
    room.refused(HOST, Action::Unknown, ErrorCode::BadRequest);
    room.no_govern(HOST, Govern::Unknown, ErrorCode::BadRequest);
}

#[test]
fn an_invitation_to_speak_opens_no_microphone_of_itself() {
    let mut room = Harness::with_everybody();
    let answer = |accept| Govern::AnswerInvite { accept };
    room.no_govern(LISTENER, answer(true), ErrorCode::BadRequest);
    let invite = Govern::Invite { target: subject("listener") };
    room.no_govern(SPEAKER, invite.clone(), ErrorCode::NotPermitted);
    room.no_govern(HOST, Govern::Invite { target: subject("speaker") }, ErrorCode::BadRequest);
    let effects = room.govern(COHOST, invite.clone());
    assert_eq!(room.last(), "Bo (cohost) invited listener (listener) to speak");
    let told = news(&effects);
    assert_eq!(
        (told[0].0, told[0].1.action),
        (subject_key("listener"), Some(LogAction::InvitedToSpeak))
    );
    let asked = room.ruled(subject_key("listener")).unwrap();
    assert_eq!(asked.invited_by.unwrap().as_str(), "Bo");
    assert!(!room.is_on_stage(LISTENER));
    room.no_govern(HAND, answer(true), ErrorCode::BadRequest);

    room.govern(LISTENER, answer(false));
    assert!(!room.is_on_stage(LISTENER));
    assert_eq!(room.ruled(subject_key("listener")), None);
    room.no_govern(LISTENER, answer(true), ErrorCode::BadRequest);

    room.govern(COHOST, invite.clone());
    room.govern(COHOST, Govern::Uninvite { target: subject("listener") });
    room.no_govern(LISTENER, answer(true), ErrorCode::BadRequest);
    let gone = Govern::Uninvite { target: subject("listener") };
    room.no_govern(COHOST, gone, ErrorCode::NoSuchParticipant);

    room.govern(COHOST, invite);
    // A microphone is opened by somebody in the room.
    let one_shot = Action::OneShot { act: answer(true) };
    room.refused(LISTENER, one_shot, ErrorCode::BadRequest);
    let effects = room.govern(LISTENER, answer(true));
    assert_eq!(room.role(LISTENER), Some(Role::Speaker));
    let you = yous(&effects).pop().unwrap();
    assert_eq!((you.track, you.invited_by), (Some(TrackId(4)), None));
    assert_eq!(room.ruled(subject_key("listener")), None);
}

#[test]
fn guests_are_invited_by_their_session_and_lose_their_hand_when_they_accept() {
    let mut room = Harness::live();
    room.done(GUEST, raise("may I?"));
    room.govern(HOST, Govern::Invite { target: Target::Participant(GUEST) });
    room.govern(GUEST, Govern::AnswerInvite { accept: true });
    assert_eq!((room.role(GUEST), room.authority.hands()), (Some(Role::Speaker), 0));
}

#[test]
fn names_that_could_be_taken_for_a_moderators_are_refused() {
    let mut room = Harness::live();
    room.know(SPEAKER, credentials("eve", "\u{410}da", Role::Speaker));
    let why = room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::NameTaken);
    assert_eq!(
        why,
        "The name \u{410}da could be taken for Ada, who is the host here; choose another one."
    );
    room.refused(SPEAKER, raise(""), ErrorCode::NameTaken);
    room.people.clear();
    room.done(SPEAKER, enter(Role::Speaker));
    room.know(LISTENER, credentials("carl", "Carl", Role::Speaker));
    room.done(LISTENER, enter(Role::Speaker));
}

#[test]
fn a_second_session_of_a_subject_replaces_the_first_is_refused_or_counted() {
    let mut room = Harness::with_everybody();
    let second = ParticipantId(33);
    room.know(second, credentials("speaker", "Carl", Role::Speaker));
    let effects = room.done(second, enter(Role::Speaker));
    at(&effects, |effect| *effect == OriginEffect::Displace { who: SPEAKER });
    assert!(!room.is_on_stage(SPEAKER) && room.is_on_stage(second));

    let set = |duplicates| Govern::Set {
        change: RoomChange { duplicates: Some(duplicates), ..RoomChange::default() },
        reason: note(""),
    };
    room.govern(HOST, set(Duplicates::Refuse));
    let why = room.refused(SPEAKER, enter(Role::Speaker), ErrorCode::Duplicate);
    assert_eq!(why, "speaker is in this room already, and it allows 1 at a time.");
    room.done(second, enter(Role::Speaker));

    room.govern(HOST, set(Duplicates::Allow(2)));
    room.done(SPEAKER, enter(Role::Speaker));
    let third = ParticipantId(34);
    room.know(third, credentials("speaker", "Carl", Role::Speaker));
    room.refused(third, enter(Role::Speaker), ErrorCode::Duplicate);
    room.no_govern(HOST, set(Duplicates::Allow(0)), ErrorCode::BadRequest);
    room.no_govern(HOST, set(Duplicates::Allow(21)), ErrorCode::BadRequest);
    for who in [ParticipantId(40), ParticipantId(41), ParticipantId(42)] {
        let guest = tribune_protocol::ids::Subject::guest(who);
        room.know(who, Credentials { subject: guest, ..credentials("x", "Gast", Role::Listener) });
        room.done(who, raise("guests are one each"));
    }
}

#[test]
fn the_host_in_another_session_stays_the_only_host() {
    let mut room = Harness::with_everybody();
    let second = ParticipantId(31);
    room.know(second, room.by(HOST));
    room.done(second, enter(Role::Speaker));
    assert_eq!(room.role(second), Some(Role::Host), "takes the first one's place");
    assert_eq!((room.role(HOST), room.role(COHOST)), (None, Some(Role::Cohost)));

    let duplicates = Some(Duplicates::Allow(2));
    let change = RoomChange { duplicates, ..RoomChange::default() };
    room.govern(second, Govern::Set { change, reason: note("") });
    room.done(HOST, enter(Role::Host));
    assert_eq!(room.role(HOST), Some(Role::Cohost));
    // And a cohost does not get at the host by it.
    room.no_govern(COHOST, kick(HOST), ErrorCode::NotPermitted);
    room.no_govern(COHOST, silence(HOST, true), ErrorCode::NotPermitted);
    room.report(second, Action::Left {});
    assert_eq!(room.role(HOST), Some(Role::Host), "before any other cohost");
}

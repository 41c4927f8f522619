//! Any course of events keeps the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Phase, RoomState};
use tribune_protocol::domain::settings::Duplicates;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{ParticipantId, Revision, Subject, TrackId};
use tribune_protocol::limits::{MAX_HANDS, MAX_STAGE, RECONNECT_GRACE};

use super::harness::*;
use crate::room::authority::commit::Authority;
use crate::room::authority::effect::OriginEffect;

/// Effects of one input: the answer, the ruling and the state, the end, and to each who is known a
/// notice, a place, and the queue.
const MAX_EFFECTS: usize = 8 + 3 * (MAX_STAGE + MAX_HANDS);

#[derive(Debug, Clone)]
enum Input {
    Request(ParticipantId, Action),
    Report(ParticipantId, Action),
    Audience(u64),
    Pass(u64),
    Fail(bool),
    Restart,
}

fn who() -> impl Strategy<Value = ParticipantId> {
    (1_u64..12).prop_map(ParticipantId)
}

fn target() -> impl Strategy<Value = Target> {
    let names = ["host", "cohost", "speaker", "hand", "listener", "s7", "s8"];
    prop_oneof![
        2 => who().prop_map(Target::Participant),
        2 => prop::sample::select(names.to_vec()).prop_map(subject),
        1 => Just(Target::Address("192.0.2.1".parse().unwrap())),
    ]
}

fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![
        Role::Host,
        Role::Cohost,
        Role::Speaker,
        Role::Speaker,
        Role::Listener,
    ])
}

fn change() -> impl Strategy<Value = RoomChange> {
    let none = RoomChange::default;
    prop_oneof![
        any::<bool>().prop_map(move |on| RoomChange { locked: Some(on), ..none() }),
        any::<bool>().prop_map(move |on| RoomChange { hands_closed: Some(on), ..none() }),
        (0_u32..20).prop_map(move |s| RoomChange { hand_slow_s: Some(s), ..none() }),
        (0_u8..5).prop_map(move |size| RoomChange { stage_size: Some(size), ..none() }),
        prop::sample::select(vec![Duplicates::Replace, Duplicates::Refuse, Duplicates::Allow(2)])
            .prop_map(move |d| RoomChange { duplicates: Some(d), ..none() }),
    ]
}

fn govern() -> impl Strategy<Value = Govern> {
    let empty = || note("");
    let duration = || prop::option::of(1_u64..100);
    let permission = || prop::sample::select(Permission::ALL.to_vec());
    prop_oneof![
        3 => who().prop_map(grant),
        1 => who().prop_map(|participant| Govern::LowerHand { participant }),
        1 => who().prop_map(|participant| deny(participant, "")),
        1 => Just(Govern::ClearHands { reason: note("") }),
        1 => Just(Govern::ListHands {}),
        2 => target().prop_map(|target| Govern::Invite { target }),
        1 => target().prop_map(|target| Govern::Uninvite { target }),
        2 => any::<bool>().prop_map(|accept| Govern::AnswerInvite { accept }),
        1 => who().prop_map(move |participant| Govern::AskMute { participant, reason: empty() }),
        2 => (who(), any::<bool>()).prop_map(|(who, on)| silence(who, on)),
        1 => any::<bool>().prop_map(move |on| Govern::SilenceAll { on, reason: empty() }),
        1 => who().prop_map(move |participant| {
            Govern::RemoveFromStage { participant, reason: empty() }
        }),
        1 => target().prop_map(kick_target),
        2 => (target(), duration()).prop_map(|(target, duration_s)| ban(target, duration_s)),
        2 => target().prop_map(move |target| Govern::Unban { target, reason: empty() }),
        3 => (target(), role()).prop_map(|(target, role)| set_role(target, role)),
        3 => (target(), permission(), prop::option::of(any::<bool>())).prop_map(
            move |(target, permission, allow)| Govern::SetPermission {
                target, permission, allow, reason: empty(),
            },
        ),
        2 => who().prop_map(|participant| Govern::HandOver { participant }),
        1 => change().prop_map(move |change| Govern::Set { change, reason: empty() }),
        1 => Just(Govern::Create { settings: Default::default() }),
        1 => role().prop_map(|role| Govern::MakeInvitation { subject: None, role, valid_for_s: 9 }),
        1 => (0_u64..40).prop_map(|entry| Govern::Appeal { entry, text: note("no") }),
        1 => (0_u64..40, any::<bool>()).prop_map(move |(entry, uphold)| {
            Govern::AnswerAppeal { entry, uphold, reason: empty() }
        }),
        1 => (0_u64..40).prop_map(|from| Govern::ReadLog { from }),
        1 => prop::bool::weighted(0.1)
            .prop_map(|end| if end { Govern::EndRoom {} } else { Govern::Show {} }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => role().prop_map(enter),
        1 => Just(Action::Present {}),
        1 => Just(Action::Away {}),
        1 => Just(Action::Left {}),
        4 => "[a-c]?".prop_map(|text| raise(&text)),
        1 => Just(Action::LowerHand {}),
        1 => Just(Action::LeaveStage {}),
        1 => any::<bool>().prop_map(|muted| Action::OwnMute { muted }),
        24 => govern().prop_map(|act| Action::Govern { act }),
        3 => govern().prop_map(|act| Action::OneShot { act }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        30 => (who(), action()).prop_map(|(who, action)| Input::Request(who, action)),
        3 => (who(), action()).prop_map(|(who, action)| Input::Report(who, action)),
        1 => (0_u64..2).prop_map(Input::Audience),
        3 => (0_u64..40).prop_map(Input::Pass),
        1 => prop::bool::weighted(0.2).prop_map(Input::Fail),
        1 => Just(Input::Restart),
    ]
}

/// Two sessions each of the host and a cohost, two guests, and those of the constants.
fn everybody() -> Harness {
    let mut room = Harness::new();
    for (who, like) in [(7, HOST), (8, COHOST), (9, SPEAKER)] {
        room.know(ParticipantId(who), room.by(like));
    }
    for who in [10, 11] {
        let who = ParticipantId(who);
        let by = credentials("x", &format!("Guest {}", who.0), Role::Listener);
        room.know(who, Credentials { subject: Subject::guest(who), ..by });
    }
    room.authority.handle_audience(room.now, 1);
    room
}

fn apply(room: &mut Harness, input: &Input) -> Vec<OriginEffect> {
    match input.clone() {
        Input::Request(who, action) => room.ask(who, action).effects,
        Input::Report(who, action) => room.report(who, action),
        Input::Audience(listeners) => {
            room.authority.handle_audience(room.now, listeners);
            room.drain()
        }
        Input::Pass(seconds) => {
            let effects = room.pass(Duration::from_secs(seconds));
            assert!(room.authority.poll_timeout().is_none_or(|due| due > room.now));
            effects
        }
        Input::Fail(fails) => {
            room.storing = if fails { Storing::Fails } else { Storing::AtOnce };
            Vec::new()
        }
        Input::Restart if room.authority.keep().is_some() => {
            room.storing = Storing::AtOnce;
            room.restart()
        }
        Input::Restart => Vec::new(),
    }
}

/// Nobody but the host takes the host's place from the host, whatever the host has given away: but a
/// subject itself, and time.
fn check_host(room: &Harness, input: &Input, before: &RoomState) {
    let Some(host) = before.stage.iter().find(|entry| entry.role == Role::Host) else { return };
    if before.phase != Phase::Live || room.authority.state().phase != Phase::Live {
        return;
    }
    let is_host = room.role(host.participant) == Some(Role::Host);
    let by_whom = match input {
        Input::Request(who, _) | Input::Report(who, _) => *who,
        Input::Audience(_) | Input::Pass(_) | Input::Fail(_) | Input::Restart => return,
    };
    let themselves = room.by(by_whom).subject == room.by(host.participant).subject;
    assert!(is_host || themselves, "{by_whom} took the room from {}", host.participant);
    if !themselves {
        let silenced = room.entry(host.participant).silenced;
        assert!(!silenced || host.silenced, "{by_whom} silenced the host");
    }
}

/// Invariants between any two inputs.
fn check(room: &Harness, seen: &mut BTreeSet<TrackId>, before: &RoomState) {
    let authority = &room.authority;
    let (parts, state) = (authority.parts(), authority.state());
    let policy = &room.setup.policy;
    assert!(!parts.has_drafts(), "an entry of the log that nobody stores");
    assert!(state.stage.iter().all(|entry| policy.speaks(entry.role)));
    assert!(state.stage.is_sorted_by(|one, next| one.track < next.track));
    for entry in &state.stage {
        let who = entry.participant;
        assert_eq!(state.stage.iter().filter(|other| other.participant == who).count(), 1);
        assert_eq!(parts.queue().place(who), None, "{who} is on the stage and in the queue");
        assert_eq!(entry.away, parts.away().contains(who));
        assert!(parts.people().get(who).is_some());
        if before.on_stage(who).is_none_or(|earlier| earlier.track != entry.track) {
            assert!(seen.insert(entry.track), "{:?} is used again", entry.track);
        }
    }
    let known = |who| state.on_stage(who).is_some() || parts.queue().place(who).is_some();
    assert!(parts.people().iter().all(|(who, _)| known(who)), "of others nothing is kept");
    for (who, person) in parts.people().iter() {
        let ruled = parts.book().about(Some(who), Some(person.subject()));
        assert!(!ruled.is_barred(), "{who} is barred and in the room");
        let speaks = !ruled.denies(Permission::Speak);
        assert!(speaks || state.on_stage(who).is_none(), "{who} may not speak, and does");
    }
    for (who, until) in parts.away().iter() {
        assert!(known(who) && until <= room.now + RECONNECT_GRACE);
    }
    let idle = state.stage.is_empty() && authority.hands() == 0;
    assert!(state.phase == Phase::Live || idle, "nobody is in a room that is not on");
    assert!(state.phase == Phase::Live || parts.people().iter().next().is_none());
}

/// The kept part is enough to go on with.
fn check_kept(room: &Harness) {
    let Some(kept) = room.authority.keep() else { return };
    let setup = Arc::clone(&room.setup);
    let restored = Authority::restore(super::harness::room(), &kept, Revision(9), setup, room.now);
    let restored = restored.unwrap();
    // Of the statistics the stage is away, as after a lost connection.
    let (record, last) = (kept.record.clone(), kept.last.clone());
    let kept_on = restored.keep().map(|kept| (kept.record, kept.last));
    assert_eq!(kept_on, Some((record, last)));
    assert!(restored.state().stage.iter().all(|entry| entry.away));
    let again = restored.parts().record_bytes();
    let mut once: BTreeMap<String, ciborium::Value> =
        ciborium::from_reader(&restored.keep().unwrap().record[..]).unwrap();
    let mut twice: BTreeMap<String, ciborium::Value> = ciborium::from_reader(&again[..]).unwrap();
    for field in ["next_track", "stage"] {
        once.remove(field);
        twice.remove(field);
    }
    assert_eq!(once, twice);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_course_of_events_keeps_the_rules(inputs in prop::collection::vec(input(), 1..120)) {
        let mut room = everybody();
        room.done(HOST, enter(Role::Host));
        let mut seen: BTreeSet<_> = [TrackId(1)].into();
        for input in inputs {
            let (before, revision) = (room.authority.state().clone(), room.revision());
            let rulings = room.authority.rulings();
            let effects = apply(&mut room, &input);
            let restarted = matches!(input, Input::Restart);
            let changed =
                *room.authority.state() != before || room.authority.rulings() != rulings;
            let published = effects.iter().filter(|effect| is_publish(effect)).count();
            if !restarted {
                assert!(published > 0 || !changed, "{input:?}: {effects:?}");
                assert_eq!(room.revision().0, revision.0 + published as u64);
                let once = !matches!(input, Input::Pass(_));
                assert!(published <= 1 || !once, "{effects:?}");
            }
            assert!(effects.len() <= MAX_EFFECTS);
            // A participant whose entry was not stored has not been there.
            let before = if restarted { room.authority.state().clone() } else { before };
            check_host(&room, &input, &before);
            check(&room, &mut seen, &before);
            if restarted {
                check_kept(&room);
            }
        }
        room.log();
        check_kept(&room);
    }
}

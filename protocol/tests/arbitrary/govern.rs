//! Any request that an origin decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::option;
use proptest::prelude::*;
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::domain::audience_text::{QuestionId, TextId};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::target::Target;

use super::governed::{access, duplicates, settings};
use super::{note, participant, role, statistics, subject};

/// Any request.
pub(super) fn govern() -> impl Strategy<Value = Govern> {
    prop_oneof![of_hands(), of_moderators(), of_targets(), of_rooms(), Just(Govern::Unknown)]
}

/// Any target.
pub(crate) fn target() -> impl Strategy<Value = Target> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    prop_oneof![
        participant().prop_map(Target::Participant),
        subject().prop_map(Target::Subject),
        prop_oneof![v4, v6].prop_map(Target::Address),
    ]
}

fn of_hands() -> impl Strategy<Value = Govern> {
    prop_oneof![
        participant().prop_map(|participant| Govern::LowerHand { participant }),
        participant().prop_map(|participant| Govern::Grant { participant }),
        (participant(), note())
            .prop_map(|(participant, reason)| Govern::Deny { participant, reason }),
        note().prop_map(|reason| Govern::ClearHands { reason }),
        Just(Govern::ListHands {}),
        target().prop_map(|target| Govern::Invite { target }),
        target().prop_map(|target| Govern::Uninvite { target }),
        any::<bool>().prop_map(|accept| Govern::AnswerInvite { accept }),
    ]
}

fn of_moderators() -> impl Strategy<Value = Govern> {
    prop_oneof![
        (participant(), note())
            .prop_map(|(participant, reason)| Govern::AskMute { participant, reason }),
        (participant(), any::<bool>(), note())
            .prop_map(|(participant, on, reason)| Govern::Silence { participant, on, reason }),
        (any::<bool>(), note()).prop_map(|(on, reason)| Govern::SilenceAll { on, reason }),
        (participant(), note())
            .prop_map(|(participant, reason)| Govern::RemoveFromStage { participant, reason }),
        participant().prop_map(|participant| Govern::HandOver { participant }),
    ]
}

fn of_targets() -> impl Strategy<Value = Govern> {
    let permission = prop::sample::select(Permission::ALL);
    prop_oneof![
        (target(), note()).prop_map(|(target, reason)| Govern::Kick { target, reason }),
        (target(), option::of(any::<u64>()), note())
            .prop_map(|(target, duration_s, reason)| Govern::Ban { target, duration_s, reason }),
        (target(), note()).prop_map(|(target, reason)| Govern::Unban { target, reason }),
        any::<u32>().prop_map(|after| Govern::ListBans { after }),
        (any::<u8>(), super::heard::ranking())
            .prop_map(|(worst, by)| Govern::ListListeners { worst, by }),
        participant().prop_map(|participant| Govern::ShowListener { participant }),
        (target(), role(), note()).prop_map(|(target, role, reason)| Govern::SetRole {
            target,
            role,
            reason
        }),
        (target(), permission, option::of(any::<bool>()), note()).prop_map(
            |(target, permission, allow, reason)| {
                Govern::SetPermission { target, permission, allow, reason }
            }
        ),
    ]
}

fn of_rooms() -> impl Strategy<Value = Govern> {
    prop_oneof![
        settings().prop_map(|settings| Govern::Create { settings }),
        (change(), note()).prop_map(|(change, reason)| Govern::Set { change, reason }),
        Just(Govern::Show {}),
        (option::of(subject()), role(), any::<u64>()).prop_map(|(subject, role, valid_for_s)| {
            Govern::MakeInvitation { subject, role, valid_for_s }
        }),
        any::<u64>().prop_map(|from| Govern::ReadLog { from }),
        (any::<u64>(), note()).prop_map(|(entry, text)| Govern::Appeal { entry, text }),
        (any::<u64>(), any::<bool>(), note())
            .prop_map(|(entry, uphold, reason)| Govern::AnswerAppeal { entry, uphold, reason }),
        Just(Govern::EndRoom {}),
        statistics::tag().prop_map(|tag| Govern::MakeShare { tag }),
        any::<bool>().prop_map(|on| Govern::TellMe { on }),
        (any::<u64>(), participant(), note()).prop_map(|(text, participant, reason)| {
            Govern::HideText { text: TextId(text), participant, reason }
        }),
        (any::<u32>(), any::<bool>(), note()).prop_map(|(question, answered, reason)| {
            Govern::CloseQuestion { question: QuestionId(question), answered, reason }
        }),
        (option::of(any::<u32>()), statistics::wanted())
            .prop_map(|(run, part)| Govern::ReadStatistics { run, part }),
    ]
}

fn change() -> impl Strategy<Value = RoomChange> {
    let texts =
        ((option::of(note()), option::of(note())), option::of(access()), option::of(duplicates()));
    let flags = proptest::array::uniform5(option::of(any::<bool>()));
    let numbers = (option::of(any::<u64>()), option::of(any::<u8>()), option::of(any::<u16>()));
    let counts = proptest::array::uniform6(option::of(any::<u32>()));
    (texts, flags, numbers, counts).prop_map(|(texts, flags, numbers, counts)| {
        let ((title, pinned), access, duplicates) = texts;
        let [listed, locked, hands_closed, texts, questions] = flags;
        let (starts_s, stage_size, playout_delay_ms) = numbers;
        let [capacity, hand_slow_s, reaction_slow_s, audience_from, duration_s, text_slow_s] =
            counts;
        RoomChange {
            duration_s,
            pinned,
            texts,
            questions,
            text_slow_s,
            title,
            starts_s,
            listed,
            access,
            locked,
            capacity,
            stage_size,
            hands_closed,
            hand_slow_s,
            reaction_slow_s,
            duplicates,
            audience_from,
            playout_delay_ms,
        }
    })
}

//! Any part of what an origin says about a room and about persons.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tribune_protocol::control::participant::{LogPage, RoomInfo};
use tribune_protocol::domain::access::Access;
use tribune_protocol::domain::ban::Ban;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::room::Listing;
use tribune_protocol::domain::ruling::{Moderated, Ruling};
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};
use tribune_protocol::ids::ByteString;
use tribune_protocol::log::{LogAction, LogPublicKey};

use super::govern::target;
use super::{name, note, phase, role, room, stage};

/// Any settings of a room.
pub(crate) fn settings() -> impl Strategy<Value = RoomSettings> {
    let flags = any::<[bool; 5]>();
    let numbers = (any::<u64>(), any::<u8>(), any::<[u32; 6]>(), any::<u16>());
    ((note(), note()), access(), duplicates(), flags, numbers).prop_map(
        |((title, pinned), access, duplicates, flags, numbers)| {
            let [listed, locked, hands_closed, texts, questions] = flags;
            let (starts_s, stage_size, counts, playout_delay_ms) = numbers;
            let [capacity, hand_slow_s, reaction_slow_s, audience_from, duration_s, text_slow_s] =
                counts;
            RoomSettings {
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
        },
    )
}

/// Any set of permissions.
pub(crate) fn permissions() -> impl Strategy<Value = PermissionSet> {
    prop::sample::subsequence(Permission::ALL, 0..=Permission::ALL.len())
        .prop_map(|permissions| PermissionSet::of(&permissions))
}

pub(super) fn access() -> impl Strategy<Value = Access> {
    let texts = ["open", "token", "invitation", "followers >= 600", "not has rank and level < 10"];
    prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().expect("an access"))
}

pub(super) fn duplicates() -> impl Strategy<Value = Duplicates> {
    prop_oneof![
        Just(Duplicates::Replace),
        Just(Duplicates::Refuse),
        any::<u8>().prop_map(Duplicates::Allow)
    ]
}

pub(super) fn key() -> impl Strategy<Value = LogPublicKey> {
    any::<[u8; 32]>().prop_map(LogPublicKey)
}

pub(super) fn person() -> impl Strategy<Value = PersonKey> {
    any::<[u8; 16]>().prop_map(PersonKey)
}

pub(super) fn reaction() -> impl Strategy<Value = Reaction> {
    prop::sample::select(vec![
        Reaction::Clap,
        Reaction::Heart,
        Reaction::Laugh,
        Reaction::Agree,
        Reaction::Disagree,
        Reaction::Wow,
        Reaction::Unknown,
    ])
}

pub(super) fn counts() -> impl Strategy<Value = BTreeMap<Reaction, u32>> {
    btree_map(reaction(), any::<u32>(), 0..5)
}

pub(super) fn moderated() -> impl Strategy<Value = Moderated> {
    let action = option::of(prop::sample::select(LogAction::ALL));
    (action, option::of(name()), note(), any::<u64>(), any::<u64>()).prop_map(
        |(action, by, reason, entry, until_s)| Moderated { action, by, reason, entry, until_s },
    )
}

pub(super) fn ruling() -> impl Strategy<Value = Ruling> {
    let bar = (any::<bool>(), any::<u64>(), any::<u64>(), any::<u64>());
    let rights = (option::of(role()), permissions(), permissions(), option::of(name()));
    (person(), bar, rights, option::of(moderated())).prop_map(|(who, bar, rights, news)| {
        let (barred, tokens_after_s, entry, until_s) = bar;
        let (role, allow, deny, invited_by) = rights;
        Ruling { who, barred, tokens_after_s, role, allow, deny, invited_by, entry, until_s, news }
    })
}

pub(super) fn listing() -> impl Strategy<Value = Listing> {
    let planned = (any::<u64>(), any::<u32>(), option::of(name()));
    (room(), phase(), note(), planned, any::<u64>()).prop_map(
        |(room, phase, title, (starts_s, duration_s, host), listeners)| Listing {
            duration_s,
            host,
            room,
            phase,
            title,
            starts_s,
            listeners,
        },
    )
}

pub(super) fn ban() -> impl Strategy<Value = Ban> {
    (target(), option::of(name()), any::<u64>(), note(), any::<u64>()).prop_map(
        |(target, name, until_s, reason, entry)| Ban { target, name, until_s, reason, entry },
    )
}

pub(super) fn room_info() -> impl Strategy<Value = RoomInfo> {
    (room(), phase(), settings(), stage(), any::<u64>(), option::of(key())).prop_map(
        |(room, phase, settings, stage, listeners, key)| RoomInfo {
            room,
            phase,
            settings,
            stage,
            listeners,
            key,
        },
    )
}

pub(super) fn log_page() -> impl Strategy<Value = LogPage> {
    let bytes = || vec(any::<u8>(), 0..60).prop_map(ByteString);
    (vec(bytes(), 0..4), any::<u64>(), option::of(bytes()), any::<bool>())
        .prop_map(|(entries, next, head, own_only)| LogPage { entries, next, head, own_only })
}

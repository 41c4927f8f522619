//! A log of 50 entries in which every action occurs, and every kind of text that is hard to write down.

use std::fmt::Debug;
use std::str::FromStr;

use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{ParticipantId, RoomName};
use tribune_protocol::log::{Chain, Draft, Head, LogAction, LogKey, Party, SignedEntry};

/// Number of entries in the sample.
pub(crate) const ENTRIES: usize = 50;

const REASONS: [&str; 7] = [
    "",
    "insults",
    "says \"no\", then, says it again; 'quoted'",
    "<script>alert(1)</script><!-- </script <b>&amp;",
    "=HYPERLINK(\"http://example.org\") \\u003c \\/ \\\\",
    "größte Störung — 停止してください x\u{300} 👩\u{200d}🔬",
    "'already quoted",
];
const DETAILS: [&str; 5] = [
    "",
    "speaker → cohost",
    "capacity 500\u{2028}\u{202e}drow",
    "-1, \"two\"",
    "</script>&<table>",
];

/// The sample's key.
pub(crate) fn key() -> LogKey {
    LogKey::from_seed(&[42; 32])
}

/// The sample's room.
pub(crate) fn room() -> RoomName {
    text("stage")
}

/// The entries, and a head that counts them.
pub(crate) fn log() -> (Vec<SignedEntry>, Head) {
    let mut chain = Chain::new(room());
    let entries = (0..ENTRIES).map(|place| chain.append(&key(), draft(place))).collect();
    (entries, chain.head(&key(), 1_795_382_103_000))
}

fn draft(place: usize) -> Draft {
    let action = LogAction::ALL[place % LogAction::ALL.len()];
    let (about, duration_s) = match action {
        LogAction::Appealed => (Some(14), None),
        LogAction::AppealUpheld => (Some(28), None),
        LogAction::AppealRejected => (Some(29), None),
        LogAction::TextHidden => (None, None),
        LogAction::Banned | LogAction::Silenced => (None, [None, Some(3_600)][place % 2]),
        LogAction::RoomCreated
        | LogAction::RoomOpened
        | LogAction::RoomEnded
        | LogAction::RoomChanged
        | LogAction::Locked
        | LogAction::Unlocked
        | LogAction::AskedToMute
        | LogAction::Unsilenced
        | LogAction::AllSilenced
        | LogAction::AllUnsilenced
        | LogAction::RemovedFromStage
        | LogAction::Kicked
        | LogAction::Unbanned
        | LogAction::BanRanOut
        | LogAction::HandGranted
        | LogAction::HandDenied
        | LogAction::HandsCleared
        | LogAction::HandsClosed
        | LogAction::HandsOpened
        | LogAction::InvitedToSpeak
        | LogAction::RoleChanged
        | LogAction::PermissionChanged
        | LogAction::HostHandedOver
        | LogAction::HostSucceeded
        | LogAction::InvitationMade => (None, None),
    };
    Draft {
        target: (!place.is_multiple_of(3)).then(|| party(place + 1)),
        reason: text(REASONS[place % REASONS.len()]),
        duration_s,
        about,
        detail: text(DETAILS[place % DETAILS.len()]),
        ..Draft::new(1_795_378_503_000 + 61_234 * place as u64, party(place), action)
    }
}

/// A party with many or few known attributes.
fn party(place: usize) -> Party {
    let ada = Party {
        subject: Some(text("ada@example.org")),
        name: Some(text("Ada \"the <b>first</b>\" O'Neil")),
        role: Some(Role::Host),
        participant: Some(ParticipantId(0x0123_4567_89ab_cdef)),
        address: Some(text("2001:db8::/56")),
    };
    match place % 5 {
        0 => ada,
        1 => Party {
            name: Some(text("+Грейс, 🎧")),
            role: Some(text("stage-manager")),
            address: None,
            ..ada
        },
        2 => Party { name: None, role: None, address: None, ..ada },
        3 => Party { name: Some(text("@bob")), ..Party::relay() },
        _ => Party::relay(),
    }
}

/// The largest entry that there can be, apart from its number.
pub(crate) fn largest() -> SignedEntry {
    let party = Party {
        subject: Some(text(&"s".repeat(128))),
        name: Some(text(&"n".repeat(64))),
        role: Some(text(&"r".repeat(24))),
        participant: Some(ParticipantId(u64::MAX)),
        address: Some(text(&"a".repeat(64))),
    };
    let draft = Draft {
        at_ms: u64::MAX,
        actor: party.clone(),
        action: LogAction::PermissionChanged,
        target: Some(party),
        reason: text(&"r".repeat(200)),
        duration_s: Some(u64::MAX),
        about: Some(u64::MAX),
        detail: text(&"d".repeat(300)),
    };
    Chain::new(text(&"r".repeat(64))).append(&key(), draft)
}

/// The text as what it is for.
pub(crate) fn text<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a valid text")
}

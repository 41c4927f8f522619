//! Holds SPEC.md against the code: limits, codes, and the CDDL of every message.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value;
use serde::Serialize;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::encode;
use tribune_protocol::control::participant::{
    FromParticipant, Heard, Join, Joined, ListenerReports, LogPage, OneShot, RoomInfo,
    ToParticipant, You,
};
use tribune_protocol::control::query::{RelayStatus, TreeAnswer, TreeQuery};
use tribune_protocol::control::trunk::{self, Action, ToChild, ToParent};
use tribune_protocol::domain::access::{Access, Credentials};
use tribune_protocol::domain::attributes::Attributes;
use tribune_protocol::domain::audience_text::{Question, QuestionId, TextId};
use tribune_protocol::domain::ban::Ban;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Listing, Phase, RoomState};
use tribune_protocol::domain::ruling::{Moderated, Ruling};
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};
use tribune_protocol::domain::share::ShareText;
use tribune_protocol::domain::stage::{Hand, StageEntry};
use tribune_protocol::domain::target::Target;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{
    ByteString, Channel, DisplayName, InvalidName, Note, ParticipantId, RelayId, RequestId,
    Revision, RoomName, Seq, SessionKey, Subject, TrackId,
};
use tribune_protocol::log::{Chain, Detail, Draft, LogAction, LogKey, LogPublicKey, Party};
use tribune_protocol::quality::report::{ListenerReport, Ranking, Report};
use tribune_protocol::quality::{FrameCounts, Measure, Quality, QualitySummary, Spread};
use tribune_protocol::statistics::{
    Bucket, LinkStatistics, Mark, RETENTION_S, RelayStatistics, Retention, RunListing,
    ShareStatistics, SpeakerStatistics, Statistics, StatisticsPart, StatisticsWanted,
    TalkStatistics,
};
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_TRUNK, ALPN_WEB, WEB_PATH, limits};

mod samples;

const SPEC: &str = include_str!("../SPEC.md");

/// A function that gives one value of each variant. A variant that is not named does not compile,
/// and each value is of the variant it stands beside.
macro_rules! one_of_each {
    ($name:ident, $enum:ident, $left_out:pat, { $($pattern:pat => $sample:expr,)* }) => {
        fn $name() -> Vec<$enum> {
            let _every_variant_is_named = |value: $enum| match value {
                $($pattern => (),)*
                $left_out => (),
            };
            vec![$({
                let sample = $sample;
                assert!(matches!(sample, $pattern), "{sample:?} is of another variant");
                sample
            },)*]
        }
    };
}

/// Name, value and unit of each limit of the code.
fn limits_of_the_code() -> Vec<[String; 3]> {
    let all = limits_of_media_and_tokens().into_iter().chain(limits_of_rooms());
    all.map(|(name, (value, unit))| [name.to_owned(), value.to_string(), unit.to_owned()]).collect()
}

type Limit = (&'static str, (usize, &'static str));

const fn ms(duration: Duration) -> (usize, &'static str) {
    (duration.as_millis() as usize, "ms")
}

const fn s(duration: Duration) -> (usize, &'static str) {
    (duration.as_secs() as usize, "s")
}

fn limits_of_media_and_tokens() -> Vec<Limit> {
    vec![
        ("FRAME_PERIOD", ms(limits::FRAME_PERIOD)),
        ("MAX_OPUS_BYTES", (limits::MAX_OPUS_BYTES, "bytes")),
        ("MAX_EXTENSION_BYTES", (limits::MAX_EXTENSION_BYTES, "bytes")),
        ("ONSET_FRAMES", (limits::ONSET_FRAMES.into(), "frames")),
        ("MAX_FRAMES_PER_DATAGRAM", (limits::MAX_FRAMES_PER_DATAGRAM, "frames")),
        ("MAX_DATAGRAM_BYTES", (limits::MAX_DATAGRAM_BYTES, "bytes")),
        ("MIN_PLAYOUT_DELAY", ms(limits::MIN_PLAYOUT_DELAY)),
        ("MAX_PLAYOUT_DELAY", ms(limits::MAX_PLAYOUT_DELAY)),
        ("DEFAULT_PLAYOUT_DELAY", ms(limits::DEFAULT_PLAYOUT_DELAY)),
        ("MAX_NACK_FRAMES", (limits::MAX_NACK_FRAMES, "frames")),
        ("MAX_MESSAGE_BYTES", (limits::MAX_MESSAGE_BYTES, "bytes")),
        ("MAX_MESSAGE_DEPTH", (limits::MAX_MESSAGE_DEPTH, "levels")),
        ("MAX_ROOM_NAME_BYTES", (limits::MAX_ROOM_NAME_BYTES, "bytes")),
        ("MAX_PLACE_BYTES", (limits::MAX_PLACE_BYTES, "bytes")),
        ("MAX_NAME_BYTES", (limits::MAX_NAME_BYTES, "bytes")),
        ("MAX_SUBJECT_BYTES", (limits::MAX_SUBJECT_BYTES, "bytes")),
        ("MAX_ROLE_NAME_BYTES", (limits::MAX_ROLE_NAME_BYTES, "bytes")),
        ("MAX_NOTE_BYTES", (limits::MAX_NOTE_BYTES, "bytes")),
        ("MAX_TOKEN_BYTES", (limits::MAX_TOKEN_BYTES, "bytes")),
        ("MAX_ATTRIBUTES", (limits::MAX_ATTRIBUTES, "attributes")),
        ("MAX_ATTRIBUTE_KEY_BYTES", (limits::MAX_ATTRIBUTE_KEY_BYTES, "bytes")),
        ("MAX_ATTRIBUTE_VALUE_BYTES", (limits::MAX_ATTRIBUTE_VALUE_BYTES, "bytes")),
        ("MAX_METADATA_BYTES", (limits::MAX_METADATA_BYTES, "bytes")),
        ("TOKEN_LEEWAY", s(limits::TOKEN_LEEWAY)),
        ("MAX_RULE_BYTES", (limits::MAX_RULE_BYTES, "bytes")),
        ("MAX_RULE_COMPARISONS", (limits::MAX_RULE_COMPARISONS, "comparisons")),
        ("MAX_RULE_DEPTH", (limits::MAX_RULE_DEPTH, "levels")),
        ("MAX_RULE_NUMBER_DIGITS", (limits::MAX_RULE_NUMBER_DIGITS, "digits")),
        ("MAX_STAGE", (limits::MAX_STAGE, "participants")),
        ("MAX_SHARE_TEXT_BYTES", (limits::MAX_SHARE_TEXT_BYTES, "bytes")),
        ("MAX_SHARE_TAG_BYTES", (limits::MAX_SHARE_TAG_BYTES, "bytes")),
        ("MAX_SHARE_GENERATION", (limits::MAX_SHARE_GENERATION.into(), "generations")),
        ("MAX_SHARES_COUNTED", (limits::MAX_SHARES_COUNTED, "links")),
        ("MAX_STATISTICS_ROWS", (limits::MAX_STATISTICS_ROWS, "rows")),
        ("MAX_RELAYS_COUNTED", (limits::MAX_RELAYS_COUNTED, "relays")),
        ("MAX_STATISTICS_BUCKETS", (limits::MAX_STATISTICS_BUCKETS, "buckets")),
        ("MAX_BUCKETS_A_MESSAGE", (limits::MAX_BUCKETS_A_MESSAGE, "buckets")),
        ("MAX_STATISTICS_MARKS", (limits::MAX_STATISTICS_MARKS, "marks")),
        ("MAX_MARKS_A_MESSAGE", (limits::MAX_MARKS_A_MESSAGE, "marks")),
        ("MAX_RUNS_LISTED", (limits::MAX_RUNS_LISTED, "runs")),
        ("MAX_TEXTS_A_SAMPLE", (limits::MAX_TEXTS_A_SAMPLE, "messages")),
        ("MAX_QUESTIONS", (limits::MAX_QUESTIONS, "questions")),
        ("MAX_QUESTIONS_VOTED", (limits::MAX_QUESTIONS_VOTED, "questions")),
        ("MAX_QUESTIONS_SHOWN", (limits::MAX_QUESTIONS_SHOWN, "questions")),
        ("MAX_QUESTIONS_REPORTED", (limits::MAX_QUESTIONS_REPORTED, "questions")),
        ("TALLY_PERIOD", ms(limits::TALLY_PERIOD)),
        ("STAY_PERIOD", s(limits::STAY_PERIOD)),
        ("SKETCH_PERIOD", s(limits::SKETCH_PERIOD)),
        ("MAX_SKETCH_BYTES", (limits::MAX_SKETCH_BYTES, "bytes")),
        ("TEXT_PERIOD", s(limits::TEXT_PERIOD)),
        ("QUESTIONS_A_SECOND", (limits::QUESTIONS_A_SECOND as usize, "questions")),
        ("TURN_PAUSE", s(limits::TURN_PAUSE)),
        ("MAX_DURATION_S", (limits::MAX_DURATION_S as usize, "s")),
    ]
}

fn limits_of_rooms() -> Vec<Limit> {
    vec![
        ("MAX_HANDS", (limits::MAX_HANDS, "hands")),
        ("MAX_HANDS_SHOWN", (limits::MAX_HANDS_SHOWN, "hands")),
        ("MAX_RULINGS", (limits::MAX_RULINGS, "rulings")),
        ("MAX_RULINGS_A_MESSAGE", (limits::MAX_RULINGS_A_MESSAGE, "rulings")),
        ("MAX_LIFTED_A_MESSAGE", (limits::MAX_LIFTED_A_MESSAGE, "rulings")),
        ("MAX_BANS_A_MESSAGE", (limits::MAX_BANS_A_MESSAGE, "bans")),
        ("MAX_ROOMS_A_MESSAGE", (limits::MAX_ROOMS_A_MESSAGE, "rooms")),
        ("MAX_LOG_PAGE_BYTES", (limits::MAX_LOG_PAGE_BYTES, "bytes")),
        ("MAX_TREE_DEPTH", (limits::MAX_TREE_DEPTH, "relays")),
        ("DEFAULT_TOP_N", (limits::DEFAULT_TOP_N, "tracks")),
        ("RING_SPAN", s(limits::RING_SPAN)),
        ("RECONNECT_GRACE", s(limits::RECONNECT_GRACE)),
        ("JOIN_TIMEOUT", s(limits::JOIN_TIMEOUT)),
        ("CAPTURE_STAMP_PERIOD", s(limits::CAPTURE_STAMP_PERIOD)),
        ("REPORT_PERIOD", s(limits::REPORT_PERIOD)),
        ("MIN_REPORT_PERIOD", s(limits::MIN_REPORT_PERIOD)),
        ("MAX_REPORTED_FRAMES", (limits::MAX_REPORTED_FRAMES as usize, "frames")),
        ("MAX_REPORTED_US", (limits::MAX_REPORTED_US as usize, "microseconds")),
        (
            "MAX_PROTECTED_LOSS_PERCENT",
            (usize::from(limits::MAX_PROTECTED_LOSS_PERCENT), "percent"),
        ),
        ("MAX_PROTECTED_SPAN", ms(limits::MAX_PROTECTED_SPAN)),
        ("MAX_LISTENERS_A_MESSAGE", (limits::MAX_LISTENERS_A_MESSAGE, "listeners")),
        ("MAX_RELAYS_A_MESSAGE", (limits::MAX_RELAYS_A_MESSAGE, "relays")),
        ("MAX_RELAYS_SEEN", (limits::MAX_RELAYS_SEEN, "relays")),
        ("MAX_VERSION_BYTES", (limits::MAX_VERSION_BYTES, "bytes")),
        ("MAX_DETAIL_BYTES", (limits::MAX_DETAIL_BYTES, "bytes")),
        ("MAX_ADDRESS_BYTES", (limits::MAX_ADDRESS_BYTES, "bytes")),
        ("MAX_LOG_ENTRY_BYTES", (limits::MAX_LOG_ENTRY_BYTES, "bytes")),
    ]
}

#[test]
fn limits_are_those_of_the_code() {
    let of_the_code = limits_of_the_code();
    let declared: Vec<&str> = include_str!("../src/limits.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split_once(':'))
        .map(|(name, _)| name)
        .collect();
    let named: Vec<&str> = of_the_code.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(declared, named, "limits of this test");

    let of_the_spec: Vec<[String; 3]> = table("## 9 ")
        .into_iter()
        .map(|row| {
            let [name, value, unit, reason, excess] =
                <[String; 5]>::try_from(row).expect("five columns");
            assert!(
                !reason.is_empty() && !excess.is_empty(),
                "{name} wants a reason and an excess"
            );
            [name, value, unit]
        })
        .collect();
    assert_eq!(of_the_spec, of_the_code);
}

one_of_each!(error_codes, ErrorCode, ErrorCode::Unknown, {
    ErrorCode::BadRequest => ErrorCode::BadRequest,
    ErrorCode::NotJoined => ErrorCode::NotJoined,
    ErrorCode::NotPermitted => ErrorCode::NotPermitted,
    ErrorCode::RoomNotFound => ErrorCode::RoomNotFound,
    ErrorCode::NoSuchParticipant => ErrorCode::NoSuchParticipant,
    ErrorCode::HostTaken => ErrorCode::HostTaken,
    ErrorCode::StageFull => ErrorCode::StageFull,
    ErrorCode::QueueFull => ErrorCode::QueueFull,
    ErrorCode::NoHand => ErrorCode::NoHand,
    ErrorCode::Cooldown => ErrorCode::Cooldown,
    ErrorCode::Barred => ErrorCode::Barred,
    ErrorCode::Locked => ErrorCode::Locked,
    ErrorCode::RoomFull => ErrorCode::RoomFull,
    ErrorCode::AccessDenied => ErrorCode::AccessDenied,
    ErrorCode::NameTaken => ErrorCode::NameTaken,
    ErrorCode::Duplicate => ErrorCode::Duplicate,
    ErrorCode::HandsClosed => ErrorCode::HandsClosed,
    ErrorCode::SlowMode => ErrorCode::SlowMode,
    ErrorCode::NotStarted => ErrorCode::NotStarted,
    ErrorCode::AlreadyAppealed => ErrorCode::AlreadyAppealed,
    ErrorCode::RulingsFull => ErrorCode::RulingsFull,
    ErrorCode::NotDurable => ErrorCode::NotDurable,
    ErrorCode::Unauthorised => ErrorCode::Unauthorised,
    ErrorCode::TokenMissing => ErrorCode::TokenMissing,
    ErrorCode::TokenMalformed => ErrorCode::TokenMalformed,
    ErrorCode::TokenInvalid => ErrorCode::TokenInvalid,
    ErrorCode::TokenExpired => ErrorCode::TokenExpired,
    ErrorCode::TokenNotYetValid => ErrorCode::TokenNotYetValid,
    ErrorCode::TokenWrongRoom => ErrorCode::TokenWrongRoom,
    ErrorCode::TokenWrongAlgorithm => ErrorCode::TokenWrongAlgorithm,
    ErrorCode::TokenUnknownKey => ErrorCode::TokenUnknownKey,
    ErrorCode::TokenGrantsNothing => ErrorCode::TokenGrantsNothing,
    ErrorCode::Draining => ErrorCode::Draining,
    ErrorCode::Unavailable => ErrorCode::Unavailable,
    ErrorCode::Overloaded => ErrorCode::Overloaded,
});

#[test]
fn error_codes_are_those_of_the_code() {
    let of_the_code: Vec<[String; 2]> = error_codes()
        .into_iter()
        .map(|code| {
            let wire = Value::serialized(&code).expect("a code is written");
            assert_eq!(wire.as_text(), Some(code.as_str()));
            [format!("`{code}`"), yes_or_no(code.is_transient())]
        })
        .collect();
    let of_the_spec: Vec<[String; 2]> =
        table("### 10.1 ").iter().map(|row| [row[0].clone(), row[1].clone()]).collect();
    assert_eq!(of_the_spec, of_the_code);
}

one_of_each!(close_codes, CloseCode, CloseCode::Other(_), {
    CloseCode::Done => CloseCode::Done,
    CloseCode::ProtocolViolation => CloseCode::ProtocolViolation,
    CloseCode::MessageTooLong => CloseCode::MessageTooLong,
    CloseCode::JoinTimeout => CloseCode::JoinTimeout,
    CloseCode::RateLimited => CloseCode::RateLimited,
    CloseCode::TooSlow => CloseCode::TooSlow,
    CloseCode::Kicked => CloseCode::Kicked,
    CloseCode::RoomEnded => CloseCode::RoomEnded,
    CloseCode::Replaced => CloseCode::Replaced,
    CloseCode::TokenExpired => CloseCode::TokenExpired,
    CloseCode::Draining => CloseCode::Draining,
    CloseCode::Shutdown => CloseCode::Shutdown,
    CloseCode::TrunkUnauthorised => CloseCode::TrunkUnauthorised,
    CloseCode::TrunkLoop => CloseCode::TrunkLoop,
    CloseCode::TreeTooDeep => CloseCode::TreeTooDeep,
    CloseCode::TrunkLagging => CloseCode::TrunkLagging,
});

#[test]
fn close_codes_are_those_of_the_code() {
    let of_the_code: Vec<[String; 3]> = close_codes()
        .into_iter()
        .map(|code| {
            let number = format!("{:#04x}", code.to_wire());
            [number, code.to_string(), yes_or_no(code.is_worth_a_retry())]
        })
        .collect();
    let of_the_spec: Vec<[String; 3]> = table("### 10.2 ")
        .iter()
        .map(|row| [row[0].clone(), row[1].clone(), row[2].clone()])
        .collect();
    assert_eq!(of_the_spec, of_the_code);
}

#[test]
fn alpn_names_are_those_of_the_code() {
    assert!(section("### 2.4 ").contains(&format!("PORT{WEB_PATH}`")));
    for name in [ALPN_PARTICIPANT, ALPN_TRUNK, ALPN_WEB] {
        let name = std::str::from_utf8(name).expect("an ALPN name is text");
        assert!(section("### 2.2 ").contains(&format!("| `{name}` |")), "{name}");
    }
}

one_of_each!(from_participant, FromParticipant, FromParticipant::Unknown, {
    FromParticipant::Join(_) => FromParticipant::Join(Join {
        room: room(),
        session: SessionKey([1; 16]),
        name: name(),
        role: Role::Host,
        token: Some("t".into()),
        returning: true,
        heard: heard(),
        profile: Some(Profile::Audience),
        redundancy: true,
        way: Some(Way::Embed),
        share: Some(samples::share().seal(&samples::share_key())),
        stay_s: Some(1),
    }),
    FromParticipant::Leave {} => FromParticipant::Leave {},
    FromParticipant::RaiseHand { .. } => FromParticipant::RaiseHand { note: note() },
    FromParticipant::LowerHand {} => FromParticipant::LowerHand {},
    FromParticipant::LeaveStage {} => FromParticipant::LeaveStage {},
    FromParticipant::OwnMute { .. } => FromParticipant::OwnMute { muted: true },
    FromParticipant::React { .. } => FromParticipant::React { reaction: Reaction::Clap },
    FromParticipant::Write { .. } => FromParticipant::Write { text: note() },
    FromParticipant::Ask { .. } => FromParticipant::Ask { text: note() },
    FromParticipant::Vote { .. } =>
        FromParticipant::Vote { question: QuestionId(1), on: true },
    FromParticipant::RenewToken { .. } => FromParticipant::RenewToken { token: "t".into() },
    FromParticipant::Govern { .. } => FromParticipant::Govern { act: Govern::ListHands {} },
    FromParticipant::OneShot(_) => FromParticipant::OneShot(OneShot {
        room: room(),
        session: SessionKey([1; 16]),
        name: name(),
        role: Role::Host,
        token: Some("t".into()),
        act: Govern::Ban { target: Target::Participant(ID), duration_s: Some(1), reason: note() },
    }),
    FromParticipant::ListRooms { .. } => FromParticipant::ListRooms { after: Some(room()) },
    FromParticipant::Report(_) => FromParticipant::Report(report()),
    FromParticipant::SetProfile { .. } =>
        FromParticipant::SetProfile { profile: Some(Profile::Live) },
});

one_of_each!(to_participant, ToParticipant, ToParticipant::Unknown, {
    ToParticipant::Joined(_) => ToParticipant::Joined(Joined {
        relay: name(),
        depth: 1,
        you: you(),
        stage: vec![entry()],
        listeners: 0,
        redundancy: true,
    }),
    ToParticipant::Ok {} => ToParticipant::Ok {},
    ToParticipant::Err { .. } =>
        ToParticipant::Err { code: ErrorCode::Barred, message: "no".to_owned() },
    ToParticipant::Stage { .. } => ToParticipant::Stage { stage: vec![entry()] },
    ToParticipant::Listeners { .. } => ToParticipant::Listeners { count: 0 },
    ToParticipant::You(_) => ToParticipant::You(you()),
    ToParticipant::Hands { .. } => ToParticipant::Hands { hands: vec![hand()], total: 1 },
    ToParticipant::Moderated(_) => ToParticipant::Moderated(moderated()),
    ToParticipant::Room(_) => ToParticipant::Room(RoomInfo {
        room: room(),
        phase: Phase::Live,
        settings: settings(),
        stage: vec![entry()],
        listeners: 1,
        key: Some(KEY),
    }),
    ToParticipant::Rooms { .. } => ToParticipant::Rooms { rooms: vec![listing()], more: true },
    ToParticipant::Bans { .. } => ToParticipant::Bans { bans: vec![ban()], total: 1 },
    ToParticipant::Log(_) => ToParticipant::Log(LogPage {
        entries: vec![ByteString(vec![1])],
        next: 2,
        head: Some(ByteString(vec![1])),
        own_only: true,
    }),
    ToParticipant::Invitation { .. } => ToParticipant::Invitation { token: "t".into() },
    ToParticipant::ListenerReports(_) => ToParticipant::ListenerReports(ListenerReports {
        room: Some(summary()),
        listeners: vec![listener()],
        missing: 1,
    }),
    ToParticipant::Reactions { .. } => ToParticipant::Reactions { counts: counts() },
    ToParticipant::Texts { .. } => ToParticipant::Texts {
        total: 1,
        texts: vec![samples::audience_text()],
        hidden: vec![TextId(1)],
    },
    ToParticipant::Questions(_) => ToParticipant::Questions(samples::questions()),
    ToParticipant::Share { .. } =>
        ToParticipant::Share { text: samples::share().seal(&samples::share_key()) },
    ToParticipant::Statistics { .. } =>
        ToParticipant::Statistics { part: samples::statistics_part(summary()) },
    ToParticipant::TokenExpires { .. } => ToParticipant::TokenExpires { in_s: 1 },
    ToParticipant::PleaseMute { .. } => ToParticipant::PleaseMute { by: name(), reason: note() },
    ToParticipant::Protect { .. } => ToParticipant::Protect { protection: BURSTS },
    ToParticipant::Moved { .. } =>
        ToParticipant::Moved { to: Some("relay:443".to_owned()), within_ms: 1 },
});

one_of_each!(to_parent, ToParent, ToParent::Unknown, {
    ToParent::Hello { .. } =>
        ToParent::Hello { relay: RelayId(1), name: name(), height: 1, token: Some("t".into()) },
    ToParent::Height { .. } => ToParent::Height { height: 1 },
    ToParent::Subscribe { .. } => ToParent::Subscribe { channel: ROOM, room: room(), heard: heard() },
    ToParent::Unsubscribe { .. } => ToParent::Unsubscribe { channel: ROOM },
    ToParent::Audience { .. } => ToParent::Audience { channel: ROOM, listeners: 0 },
    ToParent::Applied { .. } => ToParent::Applied { channel: ROOM, revision: Revision(1) },
    ToParent::Act { .. } => ToParent::Act {
        channel: ROOM,
        participant: ID,
        request: Some(RequestId(1)),
        by: Some(credentials()),
        action: Action::Present {},
    },
    ToParent::Reactions { .. } => ToParent::Reactions { channel: ROOM, counts: counts() },
    ToParent::ListRooms { .. } => ToParent::ListRooms { after: Some(room()) },
    ToParent::Quality { .. } => ToParent::Quality { channel: ROOM, quality: quality() },
    ToParent::Tally { .. } => ToParent::Tally { channel: ROOM, tally: samples::tally() },
    ToParent::Sketch { .. } =>
        ToParent::Sketch { channel: ROOM, sketch: ByteString(vec![1]) },
    ToParent::Talk { .. } =>
        ToParent::Talk { channel: ROOM, at_s: 1, tracks: BTreeMap::from([(TrackId(1), 1)]) },
    ToParent::Texts { .. } =>
        ToParent::Texts { channel: ROOM, texts: vec![samples::audience_text()] },
    ToParent::Query { .. } => ToParent::Query { number: 1, about: TreeQuery::Relays {} },
    ToParent::Answer { .. } => ToParent::Answer { number: 1, answer: sight(), more: true },
});

one_of_each!(actions, Action, Action::Unknown, {
    Action::Enter { .. } => Action::Enter { role: Role::Host },
    Action::Present {} => Action::Present {},
    Action::Away {} => Action::Away {},
    Action::Left {} => Action::Left {},
    Action::RaiseHand { .. } => Action::RaiseHand { note: note() },
    Action::LowerHand {} => Action::LowerHand {},
    Action::LeaveStage {} => Action::LeaveStage {},
    Action::OwnMute { .. } => Action::OwnMute { muted: true },
    Action::Ask { .. } => Action::Ask { text: note() },
    Action::Govern { .. } => Action::Govern { act: Govern::ListHands {} },
    Action::OneShot { .. } => Action::OneShot { act: Govern::ListHands {} },
});

one_of_each!(abouts, TreeQuery, TreeQuery::Unknown, {
    TreeQuery::Relays {} => TreeQuery::Relays {},
    TreeQuery::Listeners { .. } =>
        TreeQuery::Listeners { room: room(), worst: 1, by: Ranking::Concealed },
    TreeQuery::Listener { .. } => TreeQuery::Listener { room: room(), participant: ID },
});

one_of_each!(governs, Govern, Govern::Unknown, {
    Govern::LowerHand { .. } => Govern::LowerHand { participant: ID },
    Govern::Grant { .. } => Govern::Grant { participant: ID },
    Govern::Deny { .. } => Govern::Deny { participant: ID, reason: note() },
    Govern::ClearHands { .. } => Govern::ClearHands { reason: note() },
    Govern::ListHands {} => Govern::ListHands {},
    Govern::Invite { .. } => Govern::Invite { target: target() },
    Govern::Uninvite { .. } => Govern::Uninvite { target: target() },
    Govern::AnswerInvite { .. } => Govern::AnswerInvite { accept: true },
    Govern::AskMute { .. } => Govern::AskMute { participant: ID, reason: note() },
    Govern::Silence { .. } => Govern::Silence { participant: ID, on: true, reason: note() },
    Govern::SilenceAll { .. } => Govern::SilenceAll { on: true, reason: note() },
    Govern::RemoveFromStage { .. } => Govern::RemoveFromStage { participant: ID, reason: note() },
    Govern::Kick { .. } => Govern::Kick { target: target(), reason: note() },
    Govern::Ban { .. } =>
        Govern::Ban { target: target(), duration_s: Some(1), reason: note() },
    Govern::Unban { .. } => Govern::Unban { target: target(), reason: note() },
    Govern::ListBans { .. } => Govern::ListBans { after: 1 },
    Govern::SetRole { .. } =>
        Govern::SetRole { target: target(), role: Role::Speaker, reason: note() },
    Govern::SetPermission { .. } => Govern::SetPermission {
        target: target(),
        permission: Permission::Kick,
        allow: Some(true),
        reason: note(),
    },
    Govern::HandOver { .. } => Govern::HandOver { participant: ID },
    Govern::Create { .. } => Govern::Create { settings: settings() },
    Govern::Set { .. } => Govern::Set { change: change(), reason: note() },
    Govern::Show {} => Govern::Show {},
    Govern::MakeInvitation { .. } => Govern::MakeInvitation {
        subject: Some(subject()),
        role: Role::Speaker,
        valid_for_s: 1,
    },
    Govern::ReadLog { .. } => Govern::ReadLog { from: 1 },
    Govern::Appeal { .. } => Govern::Appeal { entry: 1, text: note() },
    Govern::AnswerAppeal { .. } =>
        Govern::AnswerAppeal { entry: 1, uphold: true, reason: note() },
    Govern::ListListeners { .. } => Govern::ListListeners { worst: 1, by: Ranking::Lost },
    Govern::ShowListener { .. } => Govern::ShowListener { participant: ID },
    Govern::MakeShare { .. } => Govern::MakeShare { tag: samples::tag() },
    Govern::TellMe { .. } => Govern::TellMe { on: true },
    Govern::HideText { .. } =>
        Govern::HideText { text: TextId(1), participant: ID, reason: note() },
    Govern::CloseQuestion { .. } => Govern::CloseQuestion {
        question: QuestionId(1),
        answered: true,
        reason: note(),
    },
    Govern::ReadStatistics { .. } =>
        Govern::ReadStatistics { run: Some(1), part: StatisticsWanted::Numbers },
    Govern::EndRoom {} => Govern::EndRoom {},
});

one_of_each!(reactions, Reaction, Reaction::Unknown, {
    Reaction::Clap => Reaction::Clap,
    Reaction::Heart => Reaction::Heart,
    Reaction::Laugh => Reaction::Laugh,
    Reaction::Agree => Reaction::Agree,
    Reaction::Disagree => Reaction::Disagree,
    Reaction::Wow => Reaction::Wow,
});

one_of_each!(to_child, ToChild, ToChild::Unknown, {
    ToChild::Welcome { .. } => ToChild::Welcome { path: vec![RelayId(1)], name: name() },
    ToChild::Path { .. } => ToChild::Path { path: vec![RelayId(1)] },
    ToChild::State { .. } => ToChild::State { channel: ROOM, revision: Revision(1), state: state() },
    ToChild::Rulings { .. } => ToChild::Rulings {
        channel: ROOM,
        reset: true,
        rulings: vec![ruling()],
        lifted: vec![PersonKey([1; 16])],
    },
    ToChild::Reactions { .. } => ToChild::Reactions { channel: ROOM, counts: counts() },
    ToChild::Rooms { .. } => ToChild::Rooms { rooms: vec![listing()], more: true },
    ToChild::Texts { .. } => ToChild::Texts {
        channel: ROOM,
        total: 1,
        texts: vec![samples::audience_text()],
        hidden: vec![TextId(1)],
    },
    ToChild::Questions { .. } =>
        ToChild::Questions { channel: ROOM, questions: samples::questions() },
    ToChild::Listeners { .. } => ToChild::Listeners { channel: ROOM, count: 0 },
    ToChild::Protect { .. } => ToChild::Protect { channel: ROOM, protection: BURSTS },
    ToChild::Deliver { .. } => ToChild::Deliver {
        channel: ROOM,
        participant: ID,
        request: Some(RequestId(1)),
        message: ToParticipant::Ok {},
    },
    ToChild::Replaced { .. } => ToChild::Replaced { channel: ROOM, participant: ID },
    ToChild::Query { .. } => ToChild::Query { number: 1, about: TreeQuery::Relays {} },
    ToChild::Answer { .. } => ToChild::Answer { number: 1, answer: sight(), more: true },
    ToChild::GoAway { .. } =>
        ToChild::GoAway { to: Some("relay:443".to_owned()), within_ms: 1 },
});

one_of_each!(protections, Protection, Protection::Unknown, {
    Protection::Nothing {} => Protection::Nothing {},
    Protection::Single { .. } => Protection::Single { loss_percent: 1 },
    Protection::Bursts { .. } => BURSTS,
});

#[test]
fn messages_are_those_of_the_cddl() {
    let participants = cddl("### 4.3 ");
    let relays = cddl("### 4.4 ");
    check_messages(&participants, "from-participant", "type", &from_participant());
    check_messages(&participants, "to-participant", "type", &to_participant());
    check_messages(&relays, "to-parent", "type", &to_parent());
    check_messages(&relays, "action", "do", &actions());
    check_messages(&relays, "to-child", "type", &to_child());
    check_messages(&relays, "about", "of", &abouts());
    check_messages(&cddl("### 4.2 "), "govern", "do", &governs());
    check_messages(&cddl("### 4.2 "), "protection", "against", &protections());
}

#[test]
fn the_deepest_message_is_as_deep_as_stated() {
    let delivered = to_participant().into_iter().map(|message| ToChild::Deliver {
        channel: ROOM,
        participant: ID,
        request: None,
        message,
    });
    let deepest = [depths(&from_participant()), depths(&to_participant()), depths(&to_parent())]
        .concat()
        .into_iter()
        .chain(depths(&to_child()))
        .chain(depths(&delivered.collect::<Vec<_>>()))
        .max();
    let stated = format!("deepest message of this version has {}.", deepest.unwrap_or(0));
    assert!(section("## 9 ").contains(&stated), "{stated}");
}

#[test]
fn parts_of_messages_are_those_of_the_cddl() {
    let common = cddl("### 4.2 ");
    check_fields(&common, "heard", &heard()[0]);
    check_fields(&common, "stage-entry", &entry());
    check_fields(&common, "room-state", &state());
    check_fields(&common, "hand", &hand());
    check_fields(&cddl("### 4.3 "), "own-place", &you());
    assert!(rule(&common, "role").starts_with("text .regexp \"[a-z][a-z0-9_-]{0,23}\""));
    check_words(&common, "phase", &[Phase::Absent, Phase::Announced, Phase::Live, Phase::Ended]);
    check_fields(&common, "settings", &settings());
    check_fields(&common, "settings-change", &change());
    check_fields(&common, "ruling", &ruling());
    check_fields(&common, "moderated", &moderated());
    check_fields(&common, "ban", &ban());
    check_fields(&common, "listing", &listing());
    check_fields(&cddl("### 4.4 "), "credentials", &credentials());
    check_fields(&common, "share", &samples::share());
    check_fields(&common, "audience-text", &samples::audience_text());
    check_fields(&common, "question", &samples::question());
    check_words(&common, "way", &Way::ALL);
    check_fields(&common, "listener-report", &listener());
    check_fields(&common, "report-body", &report());
    check_fields(&common, "quality", &quality());
    check_fields(&common, "quality-summary", &summary());
    check_fields(&common, "spread", &SPREAD);
    check_fields(&cddl("### 4.4 "), "sight", &sight());
    check_fields(&cddl("### 4.4 "), "vitals", &relay_status());
    check_words(&common, "ranking", &Ranking::ALL);
    check_words(&common, "permission", Permission::ALL);
    check_words(&common, "log-action", LogAction::ALL);
    check_words(&common, "reaction", &reactions());
}

/// All blocks are one document: a name that stands for two things is none.
#[test]
fn rules_of_the_cddl_are_defined_once() {
    let headings = SPEC.lines().filter(|line| line.starts_with("## ") || line.starts_with("### "));
    let blocks: String = headings.map(cddl).collect();
    let names = rule_names(&blocks);
    assert!(names.contains(&"join") && names.contains(&"tally"), "{names:?}");
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = names.into_iter().filter(|name| !seen.insert(*name)).collect();
    assert!(twice.is_empty(), "{twice:?} are defined twice");
}

#[test]
fn statistics_are_those_of_the_cddl() {
    let rules = cddl("### 8.23 ");
    let statistics = samples::statistics(summary());
    check_messages(&rules, "statistics-part", "part", &samples::statistics_parts(summary()));
    check_fields(&rules, "statistics", &statistics);
    check_fields(&rules, "estimate", &statistics.audience.unique);
    check_fields(&rules, "audience-numbers", &statistics.audience);
    check_fields(&rules, "retention", &statistics.retention[0]);
    check_fields(&rules, "relay-row", &samples::relay());
    check_fields(&rules, "talk", &statistics.talk);
    check_fields(&rules, "speaker", &samples::speaker());
    check_fields(&rules, "hand-numbers", &statistics.hands);
    check_fields(&rules, "invitation-numbers", &statistics.invitations);
    check_fields(&rules, "text-numbers", &statistics.texts);
    check_fields(&rules, "share-numbers", &statistics.shares);
    check_fields(&rules, "link", &samples::link());
    check_fields(&rules, "moment", &statistics.moments[0]);
    check_fields(&rules, "bucket", &Bucket::default());
    check_fields(&rules, "mark", &samples::mark());
    check_fields(&rules, "run", &samples::run_listing());
    check_fields(&rules, "tally", &samples::tally());
    check_fields(&rules, "share-count", &samples::share_count());
}

#[test]
fn the_share_link_of_the_specification_is_read() {
    let vector = section("### 8.24 ").split("vector share-link").nth(1).expect("a vector");
    let (bytes, rest) = vector.split_once("```").expect("an end");
    let digits = |line: &str| line.split('#').next().unwrap_or("").replace(' ', "");
    let bytes = unhex(&bytes.lines().map(digits).collect::<String>());
    let named: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let [text, key] = named[..2] else { panic!("a text and a key, not {named:?}") };
    let (share, share_key) = (samples::share(), samples::share_key());
    assert_eq!(ByteString::from(share_key.clone()).0, unhex(key));
    assert_eq!(URL_SAFE_NO_PAD.encode(bytes), text);
    assert_eq!(share.seal(&share_key).as_str(), text);
    assert_eq!(text.parse::<ShareText>().expect("a text").open(&share_key), Ok(share));
}

#[test]
fn statistics_of_the_largest_size_fit_a_message() {
    let longest = "n".repeat(limits::MAX_NAME_BYTES).parse().expect("a name");
    let runs = vec![
        RunListing { run: u32::MAX, began_at_s: u64::MAX, ended_at_s: u64::MAX };
        limits::MAX_RUNS_LISTED
    ];
    let bucket = Bucket {
        listeners: u64::MAX,
        joins: u64::MAX,
        leaves: u64::MAX,
        reactions: u64::MAX,
        texts: u64::MAX,
        hands: u32::MAX,
        speech_ms: u32::MAX,
    };
    let mark = Mark { after_s: u32::MAX, name: Some(longest), ..samples::mark() };
    let parts = [
        StatisticsPart::Numbers { statistics: Box::new(largest_statistics()), runs },
        StatisticsPart::Buckets {
            from: u32::MAX,
            buckets: vec![bucket; limits::MAX_BUCKETS_A_MESSAGE],
        },
        StatisticsPart::Marks { from: u32::MAX, marks: vec![mark; limits::MAX_MARKS_A_MESSAGE] },
    ];
    for part in parts {
        let message = ToParticipant::Statistics { part };
        let (participant, request) = (ParticipantId(u64::MAX), Some(RequestId(u32::MAX)));
        let deliver =
            ToChild::Deliver { channel: Channel(u32::MAX), participant, request, message };
        println!("{} bytes", encode(None, &deliver).expect("a part fits a message").len());
    }
}

fn largest_statistics() -> Statistics {
    let longest: DisplayName = "n".repeat(limits::MAX_NAME_BYTES).parse().expect("a name");
    let note: Note = "n".repeat(limits::MAX_NOTE_BYTES).parse().expect("a note");
    let rows = limits::MAX_STATISTICS_ROWS;
    let relay = RelayStatistics {
        relay: RelayId(u64::MAX),
        name: longest.clone(),
        joins: u64::MAX,
        listened_s: u64::MAX,
    };
    let speaker = SpeakerStatistics {
        name: longest.clone(),
        talk_ms: u64::MAX,
        turns: u32::MAX,
        longest_ms: u64::MAX,
    };
    let question = Question {
        name: longest.clone(),
        text: note.clone(),
        votes: u64::MAX,
        participant: ParticipantId(u64::MAX),
        ..samples::question()
    };
    let link = LinkStatistics { joins: u64::MAX, ..samples::link() };
    Statistics {
        title: note.clone(),
        pinned: note,
        retention: vec![
            Retention { after_s: u32::MAX, stayed: u64::MAX, of: u64::MAX };
            RETENTION_S.len()
        ],
        relays: vec![relay; rows],
        talk: TalkStatistics {
            speakers: vec![speaker; rows],
            ..samples::statistics(summary()).talk
        },
        reactions: reactions().into_iter().map(|reaction| (reaction, u64::MAX)).collect(),
        questions: vec![question; limits::MAX_QUESTIONS_REPORTED],
        moderation: LogAction::ALL.iter().map(|action| (*action, u64::MAX)).collect(),
        shares: ShareStatistics {
            generations: vec![u64::MAX; limits::MAX_SHARE_GENERATION.into()],
            links: vec![link; rows],
            ..ShareStatistics::default()
        },
        ..samples::statistics(largest_summary())
    }
}

fn largest_listener(longest: &str) -> ListenerReport {
    let report = Report {
        received: u32::MAX,
        lost: u32::MAX,
        repaired: u32::MAX,
        answered: u32::MAX,
        concealed: u32::MAX,
        late: u32::MAX,
        runs: u32::MAX,
        buffer_us: u32::MAX,
        jitter_us: u32::MAX,
        rtt_us: u32::MAX,
        latency_us: Some(u32::MAX),
        latency_max_us: Some(u32::MAX),
        latency_error_us: Some(u32::MAX),
        is_delayed: false,
    };
    ListenerReport {
        participant: ParticipantId(u64::MAX),
        name: longest.parse().expect("a name"),
        role: "r".repeat(limits::MAX_ROLE_NAME_BYTES).parse().expect("a role"),
        relay: longest.parse().expect("a name"),
        profile: Profile::Reliable,
        age_ms: u32::MAX,
        report,
    }
}

fn largest_summary() -> QualitySummary {
    let spread = Spread { p50: u32::MAX, p99: u32::MAX, mean: u32::MAX };
    QualitySummary {
        reports: u64::MAX,
        frames: FrameCounts {
            received: u64::MAX,
            lost: u64::MAX,
            repaired: u64::MAX,
            concealed: u64::MAX,
            late: u64::MAX,
            runs: u64::MAX,
        },
        latency: Some(spread),
        latency_error_us: Some(u32::MAX),
        jitter: Some(spread),
        buffer: Some(spread),
        round_trip: Some(spread),
    }
}

#[test]
fn answers_of_the_largest_size_fit_a_message() {
    let longest = "n".repeat(limits::MAX_NAME_BYTES);
    let (listener, summary) = (largest_listener(&longest), largest_summary());
    let message = ToParticipant::ListenerReports(ListenerReports {
        room: Some(summary),
        listeners: vec![listener; limits::MAX_LISTENERS_A_MESSAGE],
        missing: u32::MAX,
    });
    let (participant, request) = (ParticipantId(u64::MAX), Some(RequestId(u32::MAX)));
    let deliver = ToChild::Deliver { channel: Channel(u32::MAX), participant, request, message };
    let listeners = encode(None, &deliver).expect("as many listeners as may be named");
    let causes = (0..20u32).map(|cause| (format!("{cause:020}"), u32::MAX));
    let largest = RelayStatus {
        relay: RelayId(u64::MAX),
        name: longest.parse().expect("a name"),
        parent: Some(RelayId(u64::MAX)),
        version: "v".repeat(limits::MAX_VERSION_BYTES),
        uptime_s: u64::MAX,
        participants: u32::MAX,
        capacity: Some(u32::MAX),
        listeners: u64::MAX,
        rooms: u32::MAX,
        children: u32::MAX,
        load_ppm: u32::MAX,
        frames_in: u32::MAX,
        frames_out: u32::MAX,
        drops: causes.collect(),
        missing_ppm: u32::MAX,
        trunk_rtt_us: Some(u32::MAX),
        clock_error_us: Some(u32::MAX),
        quality: Some(summary),
        ..relay_status()
    };
    let relays = vec![largest; limits::MAX_RELAYS_A_MESSAGE];
    let sight = TreeAnswer { relays, listeners: Vec::new(), missing: u32::MAX };
    let seen = ToParent::Answer { number: u32::MAX, answer: sight, more: true };
    let relays = encode(None, &seen).expect("as many relays as may be named");
    println!("{} listeners, {} relays, in bytes", listeners.len(), relays.len());
}

#[test]
fn measures_are_those_of_the_code() {
    let rows: Vec<[String; 2]> =
        table("### 8.20 ").into_iter().map(|row| [row[0].clone(), row[3].clone()]).collect();
    let of_the_code = Measure::ALL.map(|measure| {
        let bounds: Vec<String> = measure.bounds().iter().map(u32::to_string).collect();
        [format!("`{}`", measure.as_str()), bounds.join(" ")]
    });
    assert_eq!(rows, of_the_code);
    let value = Value::serialized(&quality()).expect("it is written").into_map().expect("a map");
    for measure in Measure::ALL {
        assert!(
            value.iter().any(|(key, _)| key.as_text() == Some(measure.as_str())),
            "{measure:?}"
        );
    }
}

#[test]
fn choices_between_forms_are_those_of_the_cddl() {
    let common = cddl("### 4.2 ");
    let forms = |rule_name| {
        let rule = rule(&common, rule_name).replace(['\n', ' '], "");
        rule.split('/').map(str::to_owned).collect::<Vec<_>>()
    };
    let key = |value: Value| match value.into_map() {
        Ok(map) => map[0].0.as_text().expect("a key is text").to_owned(),
        Err(text) => text.into_text().expect("a form is a map or text"),
    };
    let of = |target: &Target| key(Value::serialized(target).expect("it is written"));
    let targets = [Target::Participant(ID), Target::Subject(subject()), address()];
    assert_eq!(forms("target"), targets.each_ref().map(|target| format!("target-{}", of(target))));
    for target in &targets {
        check_fields(&common, &format!("target-{}", of(target)), target);
    }
    let of = |duplicates| key(Value::serialized(&duplicates).expect("it is written"));
    assert_eq!(
        forms("duplicates"),
        [
            format!("{:?}", of(Duplicates::Replace)),
            format!("{:?}", of(Duplicates::Refuse)),
            format!("{}-duplicates", of(Duplicates::Allow(2))),
        ]
    );
    check_fields(&common, "allow-duplicates", &Duplicates::Allow(2));
    let text = Value::serialized(&address()).expect("it is written").into_map().expect("a map");
    assert_eq!(text[0].1.as_text(), Some("192.0.2.1"), "an address is text");
}

#[test]
fn hidden_characters_are_those_of_the_code() {
    let text = section("### 4.2 ");
    let paragraph = text.split_once("hidden ones, which are").expect("a list").1;
    let in_names = ranges(paragraph.split_once(':').expect("an end").0);
    let in_notes = text.split_once("may have U+").expect("what a note may have").1;
    let in_notes = ranges(in_notes.split_once(", and has").expect("an end").0);
    assert_eq!((in_names.len(), in_notes.len()), (17, 2));

    let is_in = |ranges: &[(u32, u32)], c| {
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c)))
    };
    let is_refused = |result: Result<(), InvalidName>| {
        result.is_err_and(|error| error.to_string().contains("cannot be seen"))
    };
    for c in '\0'..=char::MAX {
        let text = format!("a{c}b");
        let hidden = is_in(&in_names, c);
        let name = text.parse::<DisplayName>().map(|_| ());
        assert_eq!(is_refused(name), hidden || c == '\u{2800}', "{c:?} in a name");
        let note = text.parse::<Note>().map(|_| ());
        assert_eq!(is_refused(note), hidden && !is_in(&in_notes, c), "{c:?} in a note");
        let subject = text.parse::<Subject>().map(|_| ());
        assert_eq!(is_refused(subject), hidden, "{c:?} in a subject");
    }
}

/// The ranges of a list as `U+AD, U+115F–1160 and U+61C`.
fn ranges(list: &str) -> Vec<(u32, u32)> {
    let code = |digits: &str| u32::from_str_radix(digits, 16).expect("a code point");
    list.split([',', ' ', '\n'])
        .map(|word| word.trim_start_matches("U+"))
        .filter(|word| !word.is_empty() && *word != "and")
        .map(|range| range.split_once('–').unwrap_or((range, range)))
        .map(|(first, last)| (code(first), code(last)))
        .collect()
}

#[test]
fn examples_of_access_rules_are_those_of_the_code() {
    let text = section("## 14 ");
    let (head, examples) = text.split_once("Examples, for a token").expect("examples");
    let json = examples.split('`').nth(1).expect("attributes");
    let attributes: Attributes = serde_json::from_str(json).expect("attributes");
    let rows: Vec<Vec<&str>> = examples
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").map(|cell| cell.trim_matches(['`', '|', ' '])).collect())
        .collect();
    assert_eq!(rows.len(), 14);
    for row in rows {
        let (text, outcome) = (row[0], row[row.len() - 1]);
        match text.parse::<Access>() {
            Ok(access) => {
                let enters = access.check(&Credentials::Token(&attributes)).is_ok();
                let of_the_code = [text.to_owned(), access.to_string(), yes_or_no(enters)];
                assert_eq!(row, of_the_code);
            }
            Err(_) => assert_eq!(outcome, "refused", "{text}"),
        }
    }
    for word in ["open", "token", "invitation"] {
        assert_eq!(word.parse::<Access>().expect("an access").to_string(), word);
        assert!(head.contains(&format!("| `{word}` |")), "{word}");
    }
}

#[test]
fn the_log_is_that_of_the_cddl() {
    let rules = cddl("### 12.1 ");
    let party = Party {
        subject: Some("ada".parse().expect("a subject")),
        name: Some(name()),
        role: Some(Role::Host),
        participant: Some(ID),
        address: Some("192.0.2.1".parse().expect("an address")),
    };
    let draft = Draft {
        target: Some(party.clone()),
        reason: note(),
        duration_s: Some(1),
        about: Some(1),
        detail: Detail::cut("more"),
        ..Draft::new(1, party.clone(), LogAction::Banned)
    };
    let (key, mut chain) = (LogKey::from_seed(&[7; 32]), Chain::new(room()));
    let entry = chain.append(&key, draft);
    check_fields(&rules, "signed-entry", &entry);
    check_fields(&rules, "entry", &entry.entry);
    check_fields(&rules, "party", &party);
    check_fields(&rules, "log-head", &chain.head(&key, 1));
    let words: Vec<String> = table("### 12.1 ").into_iter().map(|row| row[0].clone()).collect();
    let of_the_code: Vec<String> =
        LogAction::ALL.iter().map(|action| format!("`{action}`")).collect();
    assert_eq!(words, of_the_code);
}

#[test]
fn a_message_is_called_what_its_type_on_the_wire_is() {
    check_kinds(&FromParticipant::KINDS, FromParticipant::kind, &from_participant());
    check_kinds(&ToParticipant::KINDS, ToParticipant::kind, &to_participant());
    check_kinds(&ToParent::KINDS, ToParent::kind, &to_parent());
    check_kinds(&ToChild::KINDS, ToChild::kind, &to_child());
    assert_eq!(FromParticipant::Unknown.kind(), "unknown");
    assert_eq!(ToParticipant::Unknown.kind(), "unknown");
    assert_eq!(ToParent::Unknown.kind(), "unknown");
    assert_eq!(ToChild::Unknown.kind(), "unknown");
}

/// The list has each sample's `type`, in their order, and `unknown` behind them.
fn check_kinds<M: Serialize>(kinds: &[&str], kind: fn(&M) -> &'static str, samples: &[M]) {
    let types: Vec<String> = samples
        .iter()
        .map(|sample| {
            let map = keys_and_values(sample);
            let (_, word) = map.into_iter().find(|(key, _)| key == "type").expect("a type");
            let word = word.into_text().expect("a type is text");
            assert_eq!(kind(sample), word);
            word
        })
        .chain(["unknown".to_owned()])
        .collect();
    assert_eq!(kinds, types);
}

fn depths<M: Serialize>(samples: &[M]) -> Vec<usize> {
    fn depth(value: &Value) -> usize {
        let inside = match (value.as_array(), value.as_map()) {
            (Some(items), _) => items.iter().map(depth).max(),
            (_, Some(pairs)) => pairs.iter().map(|(_, value)| depth(value)).max(),
            (None, None) => return 0,
        };
        1 + inside.unwrap_or(0)
    }
    let value = |sample| Value::serialized(sample).expect("it is written");
    samples.iter().map(|sample| depth(&value(sample))).collect()
}

/// The choice `group` names a rule for each message, and the rule has the message's fields.
fn check_messages<M: Serialize>(cddl: &str, group: &str, tag: &str, samples: &[M]) {
    let rules: Vec<&str> = rule(cddl, group).split('/').map(str::trim).collect();
    let mut left: BTreeSet<&str> = rules.iter().copied().collect();
    for sample in samples {
        let map = keys_and_values(sample);
        let value = map.iter().find(|(key, _)| key == tag).expect("a tag is there").1.as_text();
        let wanted = format!("{tag}: \"{}\"", value.expect("a tag is text"));
        let found = rules.iter().find(|name| rule(cddl, name).contains(&wanted));
        let name = found.unwrap_or_else(|| panic!("{group} has no {wanted}"));
        check_fields(cddl, name, sample);
        left.remove(name);
    }
    assert!(left.is_empty(), "{group} has {left:?}, which the code does not know");
}

/// The rule has exactly the keys that a value with all its optional fields is written with.
fn check_fields<M: Serialize>(cddl: &str, name: &str, sample: &M) {
    let of_the_code: BTreeSet<String> =
        keys_and_values(sample).into_iter().map(|(key, _)| key).collect();
    let text = rule(cddl, name);
    let of_the_spec: BTreeSet<String> = text
        .split(['{', ',', '}'])
        .filter_map(|field| field.split_once(':'))
        .map(|(key, _)| key.trim().trim_start_matches("? ").to_owned())
        .filter(|key| key != "id")
        .collect();
    assert_eq!(of_the_spec, of_the_code, "fields of {name}");
}

/// The choice `name` has exactly these words.
fn check_words<M: Serialize>(cddl: &str, name: &str, values: &[M]) {
    let of_the_code: Vec<String> = values
        .iter()
        .map(|value| Value::serialized(value).expect("it is written"))
        .map(|value| format!("{:?}", value.as_text().expect("it is text")))
        .collect();
    let of_the_spec: Vec<&str> = rule(cddl, name).split('/').map(str::trim).collect();
    assert_eq!(of_the_spec, of_the_code, "{name}");
}

fn keys_and_values<M: Serialize>(sample: &M) -> Vec<(String, Value)> {
    let value = Value::serialized(sample).expect("it is written");
    let map = value.into_map().expect("a message is a map");
    map.into_iter().map(|(key, value)| (key.into_text().expect("keys are text"), value)).collect()
}

/// The right side of a rule, without comments.
fn rule<'a>(cddl: &'a str, name: &str) -> &'a str {
    let start = format!("\n{name} = ");
    let at = cddl.find(&start).unwrap_or_else(|| panic!("the CDDL has no rule {name}"));
    let text = &cddl[at + start.len()..];
    let is_map = text.starts_with('{');
    let end = if is_map { text.find('}').map(|at| at + 1) } else { end_of_choice(text) };
    text[..end.unwrap_or(text.len())].trim()
}

/// Names of the rules of a block, in their order.
fn rule_names(cddl: &str) -> Vec<&str> {
    let names = cddl.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name));
    names.filter(|name| !name.is_empty() && !name.contains([' ', '{', ':'])).collect()
}

/// A choice goes on over lines that begin with white space.
fn end_of_choice(text: &str) -> Option<usize> {
    text.match_indices('\n').map(|(at, _)| at).find(|at| !text[at + 1..].starts_with(' '))
}

/// The CDDL blocks of a section, without comments and double spaces before the equals sign.
fn cddl(heading: &str) -> String {
    let mut out = String::from("\n");
    let mut inside = false;
    for line in section(heading).lines() {
        match line {
            "```cddl" => inside = true,
            "```" => inside = false,
            line if inside => {
                let code = line.split(';').next().unwrap_or("").trim_end();
                match code.split_once('=') {
                    Some((name, rest)) => out.push_str(&format!("{} ={rest}", name.trim_end())),
                    None => out.push_str(code),
                }
                out.push('\n');
            }
            _ => (),
        }
    }
    out
}

/// The rows of the first table of a section, without its head.
fn table(heading: &str) -> Vec<Vec<String>> {
    section(heading)
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The text from a heading to the next one of any level.
fn section(heading: &str) -> &'static str {
    let at = SPEC.find(&format!("\n{heading}")).unwrap_or_else(|| panic!("no section {heading}"));
    let text = &SPEC[at + 1..];
    &text[..text.find("\n##").unwrap_or(text.len())]
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

const ID: ParticipantId = ParticipantId(1);
const ROOM: Channel = Channel(1);
const KEY: LogPublicKey = LogPublicKey([1; 32]);

const BURSTS: Protection = Protection::Bursts { loss_percent: 1, span_ms: 20 };
const SPREAD: Spread = Spread { p50: 1, p99: 2, mean: 1 };

fn report() -> Report {
    Report {
        received: 1,
        lost: 1,
        repaired: 1,
        answered: 1,
        concealed: 1,
        late: 1,
        runs: 1,
        buffer_us: 1,
        jitter_us: 1,
        rtt_us: 1,
        latency_us: Some(1),
        latency_max_us: Some(1),
        latency_error_us: Some(1),
        is_delayed: false,
    }
}

fn listener() -> ListenerReport {
    let (role, relay) = (Role::Listener, name());
    let profile = Profile::Audience;
    ListenerReport {
        participant: ID,
        name: name(),
        role,
        relay,
        profile,
        age_ms: 1,
        report: report(),
    }
}

fn quality() -> Quality {
    let mut quality = Quality::default();
    quality.add(&report());
    quality
}

fn summary() -> QualitySummary {
    quality().summary().expect("there is a report")
}

fn sight() -> TreeAnswer {
    TreeAnswer { relays: vec![relay_status()], listeners: vec![listener()], missing: 1 }
}

fn relay_status() -> RelayStatus {
    RelayStatus {
        relay: RelayId(1),
        name: name(),
        parent: Some(RelayId(2)),
        depth: 2,
        version: "0.1.0".to_owned(),
        uptime_s: 1,
        participants: 1,
        capacity: Some(1),
        listeners: 1,
        rooms: 1,
        children: 1,
        draining: true,
        load_ppm: 1,
        frames_in: 1,
        frames_out: 1,
        drops: BTreeMap::from([("duplicate".to_owned(), 1)]),
        missing_ppm: 1,
        trunk_rtt_us: Some(1),
        clock_error_us: Some(1),
        quality: Some(summary()),
    }
}

fn you() -> You {
    You {
        participant: ID,
        role: Role::Speaker,
        track: Some(TrackId(1)),
        silenced: true,
        hand: Some(1),
        reason: note(),
        may: PermissionSet::of(&[Permission::Listen]),
        invited_by: Some(name()),
        profile: Profile::Audience,
    }
}

fn moderated() -> Moderated {
    let (action, by) = (Some(LogAction::Banned), Some(name()));
    Moderated { action, by, reason: note(), entry: 1, until_s: 1 }
}

fn ruling() -> Ruling {
    Ruling {
        who: PersonKey([1; 16]),
        barred: true,
        tokens_after_s: 1,
        role: Some(Role::Cohost),
        allow: PermissionSet::of(&[Permission::Kick]),
        deny: PermissionSet::of(&[Permission::React]),
        invited_by: Some(name()),
        entry: 1,
        until_s: 1,
        news: Some(moderated()),
    }
}

fn settings() -> RoomSettings {
    RoomSettings {
        title: note(),
        starts_s: 1,
        listed: true,
        access: Access::Invitation,
        locked: true,
        capacity: 1,
        stage_size: 1,
        hands_closed: true,
        hand_slow_s: 1,
        reaction_slow_s: 1,
        duplicates: Duplicates::Allow(2),
        audience_from: 1,
        playout_delay_ms: 1,
        duration_s: 1,
        pinned: note(),
        texts: true,
        questions: true,
        text_slow_s: 1,
    }
}

fn change() -> RoomChange {
    RoomChange {
        title: Some(note()),
        starts_s: Some(0),
        listed: Some(true),
        access: Some(Access::Open),
        locked: Some(true),
        capacity: Some(0),
        stage_size: Some(1),
        hands_closed: Some(true),
        hand_slow_s: Some(0),
        reaction_slow_s: Some(0),
        duplicates: Some(Duplicates::Refuse),
        audience_from: Some(0),
        playout_delay_ms: Some(0),
        duration_s: Some(0),
        pinned: Some(note()),
        texts: Some(true),
        questions: Some(true),
        text_slow_s: Some(0),
    }
}

fn listing() -> Listing {
    Listing {
        room: room(),
        phase: Phase::Live,
        title: note(),
        starts_s: 1,
        duration_s: 1,
        host: Some(name()),
        listeners: 1,
    }
}

fn ban() -> Ban {
    Ban { target: target(), name: Some(name()), until_s: 1, reason: note(), entry: 1 }
}

fn credentials() -> trunk::Credentials {
    let (subject, name) = (subject(), name());
    trunk::Credentials {
        subject,
        name,
        role: Role::Host,
        may_open: true,
        barred: true,
        came_by: Some(samples::share()),
    }
}

fn counts() -> BTreeMap<Reaction, u32> {
    BTreeMap::from([(Reaction::Clap, 1)])
}

fn subject() -> Subject {
    "ada@example.org".parse().expect("a subject")
}

fn target() -> Target {
    Target::Subject(subject())
}

fn address() -> Target {
    Target::Address("192.0.2.1".parse().expect("an address"))
}

fn entry() -> StageEntry {
    StageEntry {
        participant: ID,
        name: name(),
        role: Role::Speaker,
        track: TrackId(1),
        silenced: true,
        muted: true,
        away: true,
    }
}

fn state() -> RoomState {
    RoomState {
        room: room(),
        phase: Phase::Live,
        stage: vec![entry()],
        settings: settings(),
        key: Some(KEY),
        share_key: Some(samples::share_key()),
        host: Some(name()),
        run: 1,
    }
}

fn hand() -> Hand {
    Hand { participant: ID, name: name(), note: note(), waiting_s: 1 }
}

fn heard() -> Vec<Heard> {
    vec![Heard { track: TrackId(1), seq: Seq(1) }]
}

fn room() -> RoomName {
    "stage".parse().expect("a room name")
}

fn name() -> DisplayName {
    "Ada".parse().expect("a name")
}

fn note() -> Note {
    "a note".parse().expect("a note")
}

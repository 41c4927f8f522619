//! Any value of each control message, within the limits of SPEC.md section 9.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{
    FromParticipant, Heard, Join, Joined, ToParticipant, You,
};
use tribune_protocol::control::room::{Hand, Phase, Role, RoomState, StageEntry};
use tribune_protocol::control::trunk::{Action, ToChild, ToParent};
use tribune_protocol::ids::{
    Channel, DisplayName, Note, ParticipantId, RelayId, RequestId, Revision, RoomName, Seq,
    SessionKey, TrackId,
};
use tribune_protocol::limits::{MAX_STAGE, MAX_TREE_DEPTH};

/// Any message of a participant.
pub(crate) fn from_participant() -> impl Strategy<Value = FromParticipant> {
    prop_oneof![
        join().prop_map(FromParticipant::Join),
        Just(FromParticipant::Leave {}),
        note().prop_map(|note| FromParticipant::RaiseHand { note }),
        option::of(participant())
            .prop_map(|participant| FromParticipant::LowerHand { participant }),
        participant().prop_map(|participant| FromParticipant::Grant { participant }),
        moderation()
            .prop_map(|(participant, _, reason)| FromParticipant::Deny { participant, reason }),
        moderation()
            .prop_map(|(participant, _, reason)| FromParticipant::AskMute { participant, reason }),
        moderation().prop_map(|(participant, on, reason)| FromParticipant::Silence {
            participant,
            on,
            reason
        }),
        moderation()
            .prop_map(|(participant, _, reason)| FromParticipant::Kick { participant, reason }),
        Just(FromParticipant::LeaveStage {}),
        any::<bool>().prop_map(|muted| FromParticipant::OwnMute { muted }),
        Just(FromParticipant::EndRoom {}),
        Just(FromParticipant::Unknown),
    ]
}

/// Any message to a participant.
pub(crate) fn to_participant() -> impl Strategy<Value = ToParticipant> {
    prop_oneof![
        joined().prop_map(ToParticipant::Joined),
        Just(ToParticipant::Ok {}),
        (error_code(), ".{0,60}").prop_map(|(code, message)| ToParticipant::Err { code, message }),
        stage().prop_map(|stage| ToParticipant::Stage { stage }),
        any::<u64>().prop_map(|count| ToParticipant::Listeners { count }),
        you().prop_map(ToParticipant::You),
        (vec(hand(), 0..6), any::<u32>())
            .prop_map(|(hands, total)| ToParticipant::Hands { hands, total }),
        (name(), note()).prop_map(|(by, reason)| ToParticipant::PleaseMute { by, reason }),
        (option::of("[a-z.]{1,30}:[0-9]{1,5}"), any::<u32>())
            .prop_map(|(to, within_ms)| ToParticipant::Moved { to, within_ms }),
        Just(ToParticipant::Unknown),
    ]
}

/// Any message of a child.
pub(crate) fn to_parent() -> impl Strategy<Value = ToParent> {
    prop_oneof![
        (relay(), name(), any::<u8>(), token()).prop_map(|(relay, name, height, token)| {
            ToParent::Hello { relay, name, height, token }
        }),
        any::<u8>().prop_map(|height| ToParent::Height { height }),
        (channel(), room(), heard()).prop_map(|(channel, room, heard)| ToParent::Subscribe {
            channel,
            room,
            heard
        }),
        channel().prop_map(|channel| ToParent::Unsubscribe { channel }),
        (channel(), any::<u64>())
            .prop_map(|(channel, listeners)| ToParent::Audience { channel, listeners }),
        (channel(), revision())
            .prop_map(|(channel, revision)| ToParent::Applied { channel, revision }),
        (channel(), participant(), request(), action()).prop_map(
            |(channel, participant, request, action)| {
                ToParent::Act { channel, participant, request, action }
            }
        ),
        Just(ToParent::Unknown),
    ]
}

/// Any message of a parent.
pub(crate) fn to_child() -> impl Strategy<Value = ToChild> {
    prop_oneof![
        (path(), name()).prop_map(|(path, name)| ToChild::Welcome { path, name }),
        path().prop_map(|path| ToChild::Path { path }),
        (channel(), revision(), room_state())
            .prop_map(|(channel, revision, state)| ToChild::State { channel, revision, state }),
        (channel(), any::<u64>())
            .prop_map(|(channel, count)| ToChild::Listeners { channel, count }),
        (channel(), participant(), request(), to_participant()).prop_map(
            |(channel, participant, request, message)| {
                ToChild::Deliver { channel, participant, request, message }
            }
        ),
        (channel(), participant())
            .prop_map(|(channel, participant)| ToChild::Replaced { channel, participant }),
        any::<u32>().prop_map(|within_ms| ToChild::GoAway { within_ms }),
        Just(ToChild::Unknown),
    ]
}

/// A request's number, or none.
pub(crate) fn request() -> impl Strategy<Value = Option<RequestId>> {
    option::of(any::<u32>().prop_map(RequestId))
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (name(), role(), any::<bool>()).prop_map(|(name, role, may_govern)| Action::Enter {
            name,
            role,
            may_govern
        }),
        Just(Action::Present {}),
        Just(Action::Away {}),
        Just(Action::Left {}),
        (name(), note()).prop_map(|(name, note)| Action::RaiseHand { name, note }),
        option::of(participant()).prop_map(|subject| Action::LowerHand { subject }),
        participant().prop_map(|subject| Action::Grant { subject }),
        moderation().prop_map(|(subject, _, reason)| Action::Deny { subject, reason }),
        moderation().prop_map(|(subject, _, reason)| Action::AskMute { subject, reason }),
        moderation().prop_map(|(subject, on, reason)| Action::Silence { subject, on, reason }),
        moderation().prop_map(|(subject, _, reason)| Action::Kick { subject, reason }),
        Just(Action::LeaveStage {}),
        any::<bool>().prop_map(|muted| Action::OwnMute { muted }),
        Just(Action::EndRoom {}),
        Just(Action::Unknown),
    ]
}

/// Whom, whether, and why.
fn moderation() -> impl Strategy<Value = (ParticipantId, bool, Note)> {
    (participant(), any::<bool>(), note())
}

fn join() -> impl Strategy<Value = Join> {
    (room(), any::<[u8; 16]>(), name(), role(), token(), any::<bool>(), heard()).prop_map(
        |(room, session, name, role, token, returning, heard)| Join {
            room,
            session: SessionKey(session),
            name,
            role,
            token,
            returning,
            heard,
        },
    )
}

fn joined() -> impl Strategy<Value = Joined> {
    (name(), any::<u8>(), you(), stage(), any::<u64>()).prop_map(
        |(relay, depth, you, stage, listeners)| Joined { relay, depth, you, stage, listeners },
    )
}

fn you() -> impl Strategy<Value = You> {
    let hand = option::of(any::<u32>());
    (participant(), role(), option::of(track()), any::<bool>(), hand, note()).prop_map(
        |(participant, role, track, silenced, hand, reason)| You {
            participant,
            role,
            track,
            silenced,
            hand,
            reason,
        },
    )
}

fn room_state() -> impl Strategy<Value = RoomState> {
    let phase = prop_oneof![Just(Phase::Absent), Just(Phase::Live), Just(Phase::Ended)];
    (room(), phase, stage(), vec(participant(), 0..10))
        .prop_map(|(room, phase, stage, barred)| RoomState { room, phase, stage, barred })
}

fn stage() -> impl Strategy<Value = Vec<StageEntry>> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let entry = (participant(), name(), role(), track(), flags).prop_map(
        |(participant, name, role, track, (silenced, muted, away))| StageEntry {
            participant,
            name,
            role,
            track,
            silenced,
            muted,
            away,
        },
    );
    vec(entry, 0..6)
}

fn hand() -> impl Strategy<Value = Hand> {
    (participant(), name(), note(), any::<u32>()).prop_map(
        |(participant, name, note, waiting_s)| Hand { participant, name, note, waiting_s },
    )
}

fn heard() -> impl Strategy<Value = Vec<Heard>> {
    let one = (track(), any::<u16>()).prop_map(|(track, seq)| Heard { track, seq: Seq(seq) });
    vec(one, 0..=MAX_STAGE)
}

fn error_code() -> impl Strategy<Value = ErrorCode> {
    prop_oneof![
        Just(ErrorCode::BadRequest),
        Just(ErrorCode::NotJoined),
        Just(ErrorCode::NotPermitted),
        Just(ErrorCode::RoomNotFound),
        Just(ErrorCode::NoSuchParticipant),
        Just(ErrorCode::HostTaken),
        Just(ErrorCode::StageFull),
        Just(ErrorCode::QueueFull),
        Just(ErrorCode::NoHand),
        Just(ErrorCode::Cooldown),
        Just(ErrorCode::Barred),
        Just(ErrorCode::Unauthorised),
        Just(ErrorCode::Draining),
        Just(ErrorCode::Unavailable),
        Just(ErrorCode::Overloaded),
        Just(ErrorCode::Unknown),
    ]
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Host), Just(Role::Cohost), Just(Role::Speaker), Just(Role::Listener)]
}

fn room() -> impl Strategy<Value = RoomName> {
    "[a-z0-9][a-z0-9._-]{0,63}".prop_map(|name| name.parse().expect("a room name"))
}

fn name() -> impl Strategy<Value = DisplayName> {
    "[^\\p{Cc}\\s][^\\p{Cc}]{0,14}".prop_filter_map("not a name", |name| name.parse().ok())
}

fn note() -> impl Strategy<Value = Note> {
    "[^\\p{Cc}]{0,50}".prop_filter_map("not a note", |note| note.parse().ok())
}

fn token() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![4 => "[ -~]{0,60}", 1 => "[ -~]{4096}"])
}

fn path() -> impl Strategy<Value = Vec<RelayId>> {
    vec(relay(), 0..=MAX_TREE_DEPTH)
}

fn participant() -> impl Strategy<Value = ParticipantId> {
    any::<u64>().prop_map(ParticipantId)
}

fn relay() -> impl Strategy<Value = RelayId> {
    any::<u64>().prop_map(RelayId)
}

fn track() -> impl Strategy<Value = TrackId> {
    any::<u32>().prop_map(TrackId)
}

fn channel() -> impl Strategy<Value = Channel> {
    any::<u32>().prop_map(Channel)
}

fn revision() -> impl Strategy<Value = Revision> {
    any::<u64>().prop_map(Revision)
}

//! Any value of each control message, within the limits of SPEC.md section 9.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{
    FromParticipant, Heard, Join, Joined, OneShot, ToParticipant, You,
};
use tribune_protocol::control::trunk::{Action, Credentials, ToChild, ToParent};
use tribune_protocol::domain::audience_text::QuestionId;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Phase, RoomState};
use tribune_protocol::domain::stage::{Hand, StageEntry};
use tribune_protocol::ids::{
    ByteString, Channel, DisplayName, Note, ParticipantId, RelayId, RequestId, Revision, RoomName,
    Seq, SessionKey, Subject, TrackId,
};
use tribune_protocol::limits::{MAX_STAGE, MAX_TREE_DEPTH};
use tribune_protocol::token::TokenText;

use self::governed::{key, permissions, reaction};

pub(crate) use self::governed::settings;

mod govern;
mod governed;
mod heard;
mod statistics;

/// Any message of a participant.
pub(crate) fn from_participant() -> impl Strategy<Value = FromParticipant> {
    prop_oneof![
        join().prop_map(FromParticipant::Join),
        Just(FromParticipant::Leave {}),
        note().prop_map(|note| FromParticipant::RaiseHand { note }),
        Just(FromParticipant::LowerHand {}),
        Just(FromParticipant::LeaveStage {}),
        any::<bool>().prop_map(|muted| FromParticipant::OwnMute { muted }),
        reaction().prop_map(|reaction| FromParticipant::React { reaction }),
        note().prop_map(|text| FromParticipant::Write { text }),
        note().prop_map(|text| FromParticipant::Ask { text }),
        (any::<u32>(), any::<bool>()).prop_map(|(question, on)| FromParticipant::Vote {
            question: QuestionId(question),
            on
        }),
        token_text().prop_map(|token| FromParticipant::RenewToken { token }),
        govern::govern().prop_map(|act| FromParticipant::Govern { act }),
        one_shot().prop_map(FromParticipant::OneShot),
        option::of(room()).prop_map(|after| FromParticipant::ListRooms { after }),
        heard::report().prop_map(FromParticipant::Report),
        option::of(profile()).prop_map(|profile| FromParticipant::SetProfile { profile }),
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
        governed::moderated().prop_map(ToParticipant::Moderated),
        governed::room_info().prop_map(ToParticipant::Room),
        (vec(governed::listing(), 0..4), any::<bool>())
            .prop_map(|(rooms, more)| ToParticipant::Rooms { rooms, more }),
        (vec(governed::ban(), 0..4), any::<u32>())
            .prop_map(|(bans, total)| ToParticipant::Bans { bans, total }),
        governed::log_page().prop_map(ToParticipant::Log),
        token_text().prop_map(|token| ToParticipant::Invitation { token }),
        heard::listener_reports().prop_map(ToParticipant::ListenerReports),
        governed::counts().prop_map(|counts| ToParticipant::Reactions { counts }),
        any::<u32>().prop_map(|in_s| ToParticipant::TokenExpires { in_s }),
        (name(), note()).prop_map(|(by, reason)| ToParticipant::PleaseMute { by, reason }),
        protection().prop_map(|protection| ToParticipant::Protect { protection }),
        (option::of("[a-z.]{1,30}:[0-9]{1,5}"), any::<u32>())
            .prop_map(|(to, within_ms)| ToParticipant::Moved { to, within_ms }),
        statistics::texts().prop_map(|(total, texts, hidden)| ToParticipant::Texts {
            total,
            texts,
            hidden
        }),
        statistics::questions().prop_map(ToParticipant::Questions),
        statistics::share_text().prop_map(|text| ToParticipant::Share { text }),
        statistics::part().prop_map(|part| ToParticipant::Statistics { part }),
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
        (channel(), participant(), request(), option::of(credentials()), action()).prop_map(
            |(channel, participant, request, by, action)| {
                ToParent::Act { channel, participant, request, by, action }
            }
        ),
        (channel(), governed::counts())
            .prop_map(|(channel, counts)| ToParent::Reactions { channel, counts }),
        option::of(room()).prop_map(|after| ToParent::ListRooms { after }),
        (channel(), heard::quality())
            .prop_map(|(channel, quality)| ToParent::Quality { channel, quality }),
        (any::<u32>(), heard::about())
            .prop_map(|(number, about)| ToParent::Query { number, about }),
        (any::<u32>(), heard::sight(), any::<bool>())
            .prop_map(|(number, sight, more)| ToParent::Answer { number, answer: sight, more }),
        (channel(), statistics::tally())
            .prop_map(|(channel, tally)| ToParent::Tally { channel, tally }),
        (channel(), vec(any::<u8>(), 0..60))
            .prop_map(|(channel, sketch)| ToParent::Sketch { channel, sketch: ByteString(sketch) }),
        (channel(), any::<u64>(), btree_map(track(), any::<u64>(), 0..4))
            .prop_map(|(channel, at_s, tracks)| ToParent::Talk { channel, at_s, tracks }),
        (channel(), vec(statistics::audience_text(), 0..4))
            .prop_map(|(channel, texts)| ToParent::Texts { channel, texts }),
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
        (channel(), any::<bool>(), vec(governed::ruling(), 0..4), vec(governed::person(), 0..6))
            .prop_map(|(channel, reset, rulings, lifted)| {
                ToChild::Rulings { channel, reset, rulings, lifted }
            }),
        (channel(), governed::counts())
            .prop_map(|(channel, counts)| ToChild::Reactions { channel, counts }),
        (vec(governed::listing(), 0..4), any::<bool>())
            .prop_map(|(rooms, more)| ToChild::Rooms { rooms, more }),
        (channel(), any::<u64>())
            .prop_map(|(channel, count)| ToChild::Listeners { channel, count }),
        (channel(), protection())
            .prop_map(|(channel, protection)| ToChild::Protect { channel, protection }),
        (channel(), participant(), request(), to_participant()).prop_map(
            |(channel, participant, request, message)| {
                ToChild::Deliver { channel, participant, request, message }
            }
        ),
        (channel(), participant())
            .prop_map(|(channel, participant)| ToChild::Replaced { channel, participant }),
        (any::<u32>(), heard::about()).prop_map(|(number, about)| ToChild::Query { number, about }),
        (any::<u32>(), heard::sight(), any::<bool>())
            .prop_map(|(number, sight, more)| ToChild::Answer { number, answer: sight, more }),
        (option::of("[a-z.]{1,30}:[0-9]{1,5}"), any::<u32>())
            .prop_map(|(to, within_ms)| ToChild::GoAway { to, within_ms }),
        (channel(), statistics::texts()).prop_map(|(channel, (total, texts, hidden))| {
            ToChild::Texts { channel, total, texts, hidden }
        }),
        (channel(), statistics::questions())
            .prop_map(|(channel, questions)| ToChild::Questions { channel, questions }),
        Just(ToChild::Unknown),
    ]
}

/// A request's number, or none.
pub(crate) fn request() -> impl Strategy<Value = Option<RequestId>> {
    option::of(any::<u32>().prop_map(RequestId))
}

fn protection() -> impl Strategy<Value = Protection> {
    prop_oneof![
        Just(Protection::Nothing {}),
        any::<u8>().prop_map(|loss_percent| Protection::Single { loss_percent }),
        (any::<u8>(), any::<u16>())
            .prop_map(|(loss_percent, span_ms)| Protection::Bursts { loss_percent, span_ms }),
        Just(Protection::Unknown),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        role().prop_map(|role| Action::Enter { role }),
        Just(Action::Present {}),
        Just(Action::Away {}),
        Just(Action::Left {}),
        note().prop_map(|note| Action::RaiseHand { note }),
        Just(Action::LowerHand {}),
        Just(Action::LeaveStage {}),
        any::<bool>().prop_map(|muted| Action::OwnMute { muted }),
        note().prop_map(|text| Action::Ask { text }),
        govern::govern().prop_map(|act| Action::Govern { act }),
        govern::govern().prop_map(|act| Action::OneShot { act }),
        Just(Action::Unknown),
    ]
}

fn credentials() -> impl Strategy<Value = Credentials> {
    let came_by = option::of(statistics::share());
    (subject(), name(), role(), any::<bool>(), any::<bool>(), came_by).prop_map(
        |(subject, name, role, may_open, barred, came_by)| Credentials {
            came_by,
            subject,
            name,
            role,
            may_open,
            barred,
        },
    )
}

fn one_shot() -> impl Strategy<Value = OneShot> {
    (room(), any::<[u8; 16]>(), name(), role(), token(), govern::govern()).prop_map(
        |(room, session, name, role, token, act)| OneShot {
            room,
            session: SessionKey(session),
            name,
            role,
            token,
            act,
        },
    )
}

fn join() -> impl Strategy<Value = Join> {
    let delivery = (option::of(profile()), any::<bool>(), statistics::arrival());
    (room(), any::<[u8; 16]>(), name(), role(), token(), (any::<bool>(), heard()), delivery)
        .prop_map(|(room, session, name, role, token, (returning, heard), delivery)| Join {
            room,
            session: SessionKey(session),
            name,
            role,
            token,
            returning,
            heard,
            profile: delivery.0,
            redundancy: delivery.1,
            way: delivery.2.0,
            share: delivery.2.1,
            stay_s: delivery.2.2,
        })
}

fn profile() -> impl Strategy<Value = Profile> {
    let known = prop::sample::select(Profile::ALL.to_vec());
    prop_oneof![known, Just(Profile::Unknown)]
}

fn joined() -> impl Strategy<Value = Joined> {
    (name(), any::<u8>(), you(), stage(), any::<u64>(), any::<bool>()).prop_map(
        |(relay, depth, you, stage, listeners, redundancy)| Joined {
            relay,
            depth,
            you,
            stage,
            listeners,
            redundancy,
        },
    )
}

fn you() -> impl Strategy<Value = You> {
    let hand = option::of(any::<u32>());
    let rights = (permissions(), option::of(name()), profile());
    (participant(), role(), option::of(track()), any::<bool>(), hand, note(), rights).prop_map(
        |(participant, role, track, silenced, hand, reason, (may, invited_by, profile))| You {
            participant,
            role,
            track,
            silenced,
            hand,
            reason,
            may,
            invited_by,
            profile,
        },
    )
}

fn room_state() -> impl Strategy<Value = RoomState> {
    let run = (option::of(Just(statistics::share_key())), option::of(name()), any::<u32>());
    (room(), phase(), stage(), settings(), option::of(key()), run).prop_map(
        |(room, phase, stage, settings, key, (share_key, host, run))| RoomState {
            room,
            phase,
            stage,
            settings,
            key,
            share_key,
            host,
            run,
        },
    )
}

fn phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(vec![Phase::Absent, Phase::Announced, Phase::Live, Phase::Ended])
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
    prop::sample::select(vec![
        ErrorCode::BadRequest,
        ErrorCode::NotJoined,
        ErrorCode::NotPermitted,
        ErrorCode::RoomNotFound,
        ErrorCode::NoSuchParticipant,
        ErrorCode::HostTaken,
        ErrorCode::StageFull,
        ErrorCode::QueueFull,
        ErrorCode::NoHand,
        ErrorCode::Cooldown,
        ErrorCode::Barred,
        ErrorCode::Locked,
        ErrorCode::RoomFull,
        ErrorCode::AccessDenied,
        ErrorCode::NameTaken,
        ErrorCode::Duplicate,
        ErrorCode::HandsClosed,
        ErrorCode::SlowMode,
        ErrorCode::NotStarted,
        ErrorCode::AlreadyAppealed,
        ErrorCode::RulingsFull,
        ErrorCode::NotDurable,
        ErrorCode::Unauthorised,
        ErrorCode::TokenMissing,
        ErrorCode::TokenExpired,
        ErrorCode::Draining,
        ErrorCode::Unavailable,
        ErrorCode::Overloaded,
        ErrorCode::Unknown,
    ])
}

fn role() -> impl Strategy<Value = Role> {
    let known = vec![Role::Host, Role::Cohost, Role::Speaker, Role::Listener];
    let custom = "[a-z][a-z0-9_-]{0,23}".prop_map(|name| name.parse().expect("a role"));
    prop_oneof![2 => prop::sample::select(known), 1 => custom]
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

fn token() -> impl Strategy<Value = Option<TokenText>> {
    option::of(token_text())
}

fn token_text() -> impl Strategy<Value = TokenText> {
    prop_oneof![4 => "[ -~]{0,60}", 1 => "[ -~]{4096}"].prop_map(TokenText::from)
}

fn subject() -> impl Strategy<Value = Subject> {
    "[!-~][ -~]{0,40}[!-~]".prop_map(|subject| subject.parse().expect("a subject"))
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

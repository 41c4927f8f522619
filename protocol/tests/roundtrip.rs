//! Round trip of every message; and the largest messages fit the limit.

use std::collections::BTreeMap;

use ciborium::Value;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::participant::{
    FromParticipant, Heard, Join, Joined, LogPage, OneShot, Questions, RoomInfo, ToParticipant, You,
};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::control::{ControlReader, Envelope, decode, encode};
use tribune_protocol::domain::audience_text::{AudienceText, Question, QuestionId, TextId};
use tribune_protocol::domain::ban::Ban;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Listing, Phase, RoomState};
use tribune_protocol::domain::ruling::{Moderated, Ruling};
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};
use tribune_protocol::domain::share::{Share, ShareKey, ShareText};
use tribune_protocol::domain::stage::{Hand, StageEntry};
use tribune_protocol::domain::target::Target;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{
    ByteString, Channel, DisplayName, Note, ParticipantId, RelayId, RequestId, Revision, RoomName,
    Seq, SessionKey, Subject, TrackId,
};
use tribune_protocol::limits::{
    MAX_BANS_A_MESSAGE, MAX_HANDS_SHOWN, MAX_LIFTED_A_MESSAGE, MAX_LOG_ENTRY_BYTES,
    MAX_LOG_PAGE_BYTES, MAX_MESSAGE_BYTES, MAX_NAME_BYTES, MAX_NOTE_BYTES, MAX_QUESTIONS_SHOWN,
    MAX_ROLE_NAME_BYTES, MAX_ROOM_NAME_BYTES, MAX_ROOMS_A_MESSAGE, MAX_RULE_BYTES,
    MAX_RULINGS_A_MESSAGE, MAX_SHARE_TAG_BYTES, MAX_STAGE, MAX_SUBJECT_BYTES, MAX_TEXTS_A_SAMPLE,
    MAX_TOKEN_BYTES, MAX_TREE_DEPTH,
};
use tribune_protocol::log::{Chain, Draft, LogAction, LogKey, LogPublicKey, Party};
use tribune_protocol::token::TokenText;

mod arbitrary;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn from_participant(id in arbitrary::request(), message in arbitrary::from_participant()) {
        prop_assert_eq!(through_the_wire(id, &message), Envelope { id, message });
    }

    #[test]
    fn to_participant(id in arbitrary::request(), message in arbitrary::to_participant()) {
        prop_assert_eq!(through_the_wire(id, &message), Envelope { id, message });
    }

    #[test]
    fn to_parent(id in arbitrary::request(), message in arbitrary::to_parent()) {
        prop_assert_eq!(through_the_wire(id, &message), Envelope { id, message });
    }

    #[test]
    fn to_child(id in arbitrary::request(), message in arbitrary::to_child()) {
        prop_assert_eq!(through_the_wire(id, &message), Envelope { id, message });
    }

    #[test]
    fn permissions_are_read_and_other_words_passed_over(words in vec(words(), 0..40)) {
        let known = words.iter().filter_map(|word| word.parse::<Permission>().ok());
        let known = PermissionSet::of(&known.collect::<Vec<_>>());
        let wire = Value::Array(words.iter().map(|word| word.as_str().into()).collect());
        prop_assert_eq!(wire.deserialized::<PermissionSet>().expect("words"), known);
        let written = Value::serialized(&known).expect("it is written");
        prop_assert_eq!(written.deserialized::<PermissionSet>().expect("words"), known);
    }

    #[test]
    fn targets_are_of_one_form_or_refused(form in forms(), text in "[0-9a-f.:%/]{0,12}|\\PC{0,8}") {
        let wire = Value::Map(vec![(form.as_str().into(), text.as_str().into())]);
        let expected = match form.as_str() {
            "subject" => text.parse().ok().map(Target::Subject),
            "address" => text.parse().ok().map(Target::Address),
            _ => None,
        };
        prop_assert_eq!(wire.deserialized::<Target>().ok(), expected);
    }

    #[test]
    fn settings_are_read_past_unknown_keys(
        settings in arbitrary::settings(),
        more in vec(("[a-z]{1,6}_of_later", any::<u64>()), 0..4),
    ) {
        let written = Value::serialized(&settings).expect("it is written");
        let mut map = written.into_map().expect("settings are a map");
        map.extend(more.into_iter().map(|(key, value)| (key.into(), value.into())));
        prop_assert_eq!(Value::Map(map).deserialized::<RoomSettings>().expect("settings"), settings);
    }

    #[test]
    fn names_and_notes_are_in_their_one_form(text in text_of_people()) {
        if let Ok(name) = text.parse::<DisplayName>() {
            prop_assert!(name.as_str().len() <= MAX_NAME_BYTES);
            prop_assert_eq!(name.as_str().parse::<DisplayName>(), Ok(name));
        }
        if let Ok(note) = text.parse::<Note>() {
            prop_assert!(note.as_str().len() <= MAX_NOTE_BYTES);
            prop_assert_eq!(note.as_str().parse::<Note>(), Ok(note));
        }
    }
}

/// Words of permissions, and others.
fn words() -> impl Strategy<Value = String> {
    let known = prop::sample::select(Permission::ALL).prop_map(|known| known.to_string());
    prop_oneof![3 => known, 1 => "[a-z_]{0,12}"]
}

/// Forms of a target, and others.
fn forms() -> impl Strategy<Value = String> {
    let known = vec!["participant", "subject", "address", "planet"];
    prop::sample::select(known).prop_map(str::to_owned)
}

#[test]
fn words_of_a_later_version_close_nothing() {
    let text = |text: &str| Value::from(text);
    let moderated = vec![
        (text("type"), text("moderated")),
        (text("action"), text("teleported")),
        (text("entry"), 7.into()),
    ];
    let later = Moderated { action: None, by: None, reason: Note::default(), entry: 7, until_s: 0 };
    assert_eq!(read::<ToParticipant>(moderated), ToParticipant::Moderated(later));
    let counts = vec![(text("clap"), 2.into()), (text("confetti"), 3.into())];
    let reactions = vec![(text("type"), text("reactions")), (text("counts"), Value::Map(counts))];
    let counts = BTreeMap::from([(Reaction::Clap, 2), (Reaction::Unknown, 3)]);
    assert_eq!(read::<ToParticipant>(reactions), ToParticipant::Reactions { counts });
    let react = vec![(text("type"), text("react")), (text("reaction"), text("confetti"))];
    let react = read::<FromParticipant>(react);
    assert_eq!(react, FromParticipant::React { reaction: Reaction::Unknown });
    let act = Value::Map(vec![(text("do"), text("teleport")), (text("target"), 3.into())]);
    let govern = read::<FromParticipant>(vec![(text("type"), text("govern")), (text("act"), act)]);
    assert_eq!(govern, FromParticipant::Govern { act: Govern::Unknown });
}

/// Decodes a message of these keys and values.
fn read<M: DeserializeOwned>(map: Vec<(Value, Value)>) -> M {
    let mut body = Vec::new();
    ciborium::into_writer(&Value::Map(map), &mut body).expect("it is written");
    decode(&body).expect("it is read").message
}

/// Letters, and what they are easily mistaken or composed with.
fn text_of_people() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => any::<char>(),
        4 => prop::char::range('\u{300}', '\u{345}'),
        2 => prop::char::range('\u{1100}', '\u{11ff}'),
        2 => prop::char::range('\u{1f00}', '\u{206f}'),
        4 => prop::sample::select(vec!['a', 'e', ' ', '\u{a0}', '\u{3000}', '\u{212b}', '\u{958}']),
    ];
    vec(piece, 0..24).prop_map(String::from_iter)
}

#[test]
fn the_largest_messages_to_participants_fit() {
    fits(
        "joined",
        &ToParticipant::Joined(Joined {
            relay: name(),
            depth: u8::MAX,
            you: you(),
            stage: stage(),
            listeners: u64::MAX,
            redundancy: true,
        }),
    );
    fits("stage", &ToParticipant::Stage { stage: stage() });
    fits("hands", &hands());
    fits(
        "deliver",
        &ToChild::Deliver {
            channel: Channel(u32::MAX),
            participant: ParticipantId(u64::MAX),
            request: Some(RequestId(u32::MAX)),
            message: hands(),
        },
    );
}

#[test]
fn the_largest_messages_between_relays_fit() {
    let state = RoomState {
        room: room(),
        phase: Phase::Announced,
        stage: stage(),
        settings: settings(),
        key: Some(LogPublicKey([0xff; 32])),
        share_key: Some(ShareKey::of(&LogKey::from_seed(&[7; 32]), &room())),
        host: Some(name()),
        run: u32::MAX,
    };
    let (channel, revision) = (Channel(u32::MAX), Revision(u64::MAX));
    fits("state", &ToChild::State { channel, revision, state });
    let path = vec![RelayId(u64::MAX); MAX_TREE_DEPTH];
    fits("welcome", &ToChild::Welcome { path, name: name() });
    fits("subscribe", &ToParent::Subscribe { channel, room: room(), heard: heard() });
    let relay = RelayId(u64::MAX);
    fits("hello", &ToParent::Hello { relay, name: name(), height: u8::MAX, token: Some(token()) });
}

#[test]
fn the_largest_join_fits() {
    fits(
        "join",
        &FromParticipant::Join(Join {
            room: room(),
            session: SessionKey([0xff; 16]),
            name: name(),
            role: role(),
            token: Some(token()),
            returning: true,
            heard: heard(),
            profile: Some(Profile::Audience),
            redundancy: true,
            way: Some(Way::CommandLine),
            share: Some(share_text()),
            stay_s: Some(u32::MAX),
        }),
    );
}

#[test]
fn the_largest_words_of_the_audience_fit() {
    let channel = Channel(u32::MAX);
    let text = AudienceText {
        id: TextId(u64::MAX),
        participant: ParticipantId(u64::MAX),
        name: name(),
        text: note(),
    };
    let texts = vec![text; MAX_TEXTS_A_SAMPLE];
    // As many as a moderator hides in a busy period.
    let (total, hidden) = (u64::MAX, vec![TextId(u64::MAX); 64]);
    fits("texts below", &ToParent::Texts { channel, texts: texts.clone() });
    let (texts_down, hidden_down) = (texts.clone(), hidden.clone());
    fits("texts down", &ToChild::Texts { channel, total, texts: texts_down, hidden: hidden_down });
    fits("texts", &ToParticipant::Texts { total, texts, hidden });
    let question = Question {
        question: QuestionId(u32::MAX),
        participant: ParticipantId(u64::MAX),
        name: name(),
        text: note(),
        votes: u64::MAX,
        answered: true,
    };
    let kinds = [Reaction::Clap, Reaction::Heart, Reaction::Laugh, Reaction::Agree]
        .into_iter()
        .chain([Reaction::Disagree, Reaction::Wow, Reaction::Unknown]);
    let questions = Questions {
        questions: vec![question; MAX_QUESTIONS_SHOWN],
        open: u32::MAX,
        votes: u64::MAX,
        reactions: kinds.map(|reaction| (reaction, u64::MAX)).collect(),
    };
    fits("questions down", &ToChild::Questions { channel, questions: questions.clone() });
    fits("questions", &ToParticipant::Questions(questions));
    delivered_fits("share", ToParticipant::Share { text: share_text() });
    let tracks = (0..MAX_STAGE as u32).map(|track| (TrackId(u32::MAX - track), u64::MAX)).collect();
    fits("talk", &ToParent::Talk { channel, at_s: u64::MAX, tracks });
}

#[test]
fn the_largest_answers_to_those_who_govern_fit() {
    let info = RoomInfo {
        room: room(),
        phase: Phase::Announced,
        settings: settings(),
        stage: stage(),
        listeners: u64::MAX,
        key: Some(LogPublicKey([0xff; 32])),
    };
    delivered_fits("room", ToParticipant::Room(info));
    delivered_fits("you", ToParticipant::You(you()));
    let ban = Ban {
        target: target(),
        name: Some(name()),
        until_s: u64::MAX,
        reason: note(),
        entry: u64::MAX,
    };
    let (bans, total) = (vec![ban; MAX_BANS_A_MESSAGE], u32::MAX);
    delivered_fits("bans", ToParticipant::Bans { bans, total });
    delivered_fits("invitation", ToParticipant::Invitation { token: token() });
    delivered_fits("moderated", ToParticipant::Moderated(moderated()));
    let entry = ByteString(vec![0xff; 30]); // many small ones: the frames of the entries count too
    let entries = vec![entry; MAX_LOG_PAGE_BYTES / 33];
    let key = LogKey::from_seed(&[7; 32]);
    let mut chain = Chain::new(room());
    chain.append(&key, Draft::new(u64::MAX >> 12, Party::relay(), LogAction::RoomEnded));
    let head = chain.head(&key, u64::MAX >> 12).to_bytes();
    let page = LogPage { entries, next: u64::MAX, head: Some(ByteString(head)), own_only: true };
    delivered_fits("log", ToParticipant::Log(page.clone()));
    let entries = vec![ByteString(vec![0xff; MAX_LOG_ENTRY_BYTES]); 7];
    assert!(entries.iter().map(|entry| entry.0.len() + 3).sum::<usize>() <= MAX_LOG_PAGE_BYTES);
    delivered_fits("log of the largest", ToParticipant::Log(LogPage { entries, ..page }));
}

/// Of these as many are sent as fit, so that one has to fit at its largest, and as many as the limit
/// says at a usual size.
#[test]
fn rulings_and_lists_of_rooms_fit() {
    let rulings = |ruling: Ruling, count| ToChild::Rulings {
        channel: Channel(u32::MAX),
        reset: true,
        rulings: vec![ruling; count],
        lifted: Vec::new(),
    };
    let ruling = Ruling {
        who: PersonKey([0xff; 16]),
        barred: true,
        tokens_after_s: u64::MAX,
        role: Some(role()),
        allow: PermissionSet::of(Permission::ALL),
        deny: PermissionSet::of(Permission::ALL),
        invited_by: Some(name()),
        entry: u64::MAX,
        until_s: u64::MAX,
        news: Some(moderated()),
    };
    fits("the largest rulings", &rulings(ruling.clone(), 10));
    let usual = Ruling {
        role: None,
        allow: PermissionSet::NONE,
        deny: PermissionSet::NONE,
        invited_by: None,
        ..ruling
    };
    let without_news = Ruling { news: None, ..usual.clone() };
    fits("bans with news", &rulings(usual, 30));
    fits("bans", &rulings(without_news, MAX_RULINGS_A_MESSAGE));
    let lifted = vec![PersonKey([0xff; 16]); MAX_LIFTED_A_MESSAGE];
    let channel = Channel(u32::MAX);
    fits("lifted", &ToChild::Rulings { channel, reset: true, rulings: Vec::new(), lifted });
    let listing = Listing {
        room: room(),
        phase: Phase::Announced,
        title: note(),
        starts_s: u64::MAX,
        duration_s: u32::MAX,
        host: Some(name()),
        listeners: u64::MAX,
    };
    let rooms = vec![listing.clone(); 35];
    fits("the largest rooms", &ToChild::Rooms { rooms, more: true });
    let (room, title) = ("r".repeat(32).parse().unwrap(), "t".repeat(100).parse().unwrap());
    let rooms = vec![Listing { room, title, host: None, ..listing }; MAX_ROOMS_A_MESSAGE];
    fits("rooms", &ToParticipant::Rooms { rooms, more: true });
}

#[test]
fn the_largest_one_shot_request_fits() {
    let act = Govern::SetRole { target: target(), role: role(), reason: note() };
    fits(
        "errand",
        &FromParticipant::OneShot(OneShot {
            room: room(),
            session: SessionKey([0xff; 16]),
            name: name(),
            role: role(),
            token: Some(token()),
            act,
        }),
    );
    fits("create", &FromParticipant::Govern { act: Govern::Create { settings: settings() } });
}

/// To a participant directly, and by way of a trunk.
fn delivered_fits(what: &str, message: ToParticipant) {
    fits(what, &message);
    let (channel, participant) = (Channel(u32::MAX), ParticipantId(u64::MAX));
    let request = Some(RequestId(u32::MAX));
    fits(what, &ToChild::Deliver { channel, participant, request, message });
}

/// Writes the message, cuts it from a stream and reads it.
fn through_the_wire<M>(id: Option<RequestId>, message: &M) -> Envelope<M>
where
    M: Serialize + DeserializeOwned,
{
    let bytes = encode(id, message).expect("a message within the limits is written");
    let mut reader = ControlReader::default();
    reader.handle_bytes(&bytes);
    let body = reader.poll_message().expect("the length is right").expect("the message is whole");
    assert_eq!(reader.buffered_bytes(), 0);
    decode(&body).expect("what is written can be read")
}

/// `encode` refuses a message over [`MAX_MESSAGE_BYTES`]; the size itself is asserted for its message.
fn fits<M>(what: &str, message: &M)
where
    M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Clone,
{
    let id = Some(RequestId(u32::MAX));
    let len = encode(id, message).unwrap_or_else(|error| panic!("{what}: {error}")).len();
    assert!(len <= MAX_MESSAGE_BYTES, "{what} is {len} bytes");
    assert_eq!(through_the_wire(id, message), Envelope { id, message: message.clone() });
}

fn you() -> You {
    You {
        participant: ParticipantId(u64::MAX),
        role: role(),
        track: Some(TrackId(u32::MAX)),
        silenced: true,
        hand: Some(u32::MAX),
        reason: note(),
        may: PermissionSet::of(Permission::ALL),
        invited_by: Some(name()),
        profile: Profile::Audience,
    }
}

fn hands() -> ToParticipant {
    let hand = Hand {
        participant: ParticipantId(u64::MAX),
        name: name(),
        note: note(),
        waiting_s: u32::MAX,
    };
    ToParticipant::Hands { hands: vec![hand; MAX_HANDS_SHOWN], total: u32::MAX }
}

fn stage() -> Vec<StageEntry> {
    let entry = StageEntry {
        participant: ParticipantId(u64::MAX),
        name: name(),
        role: role(),
        track: TrackId(u32::MAX),
        silenced: true,
        muted: true,
        away: true,
    };
    vec![entry; MAX_STAGE]
}

fn settings() -> RoomSettings {
    let longest = |value: char| format!("a == \"{}\"", value.to_string().repeat(246));
    let rule = format!("{} or {}", longest('x'), longest('y'));
    assert!((MAX_RULE_BYTES - 16..=MAX_RULE_BYTES).contains(&rule.len()), "{}", rule.len());
    RoomSettings {
        title: note(),
        starts_s: u64::MAX,
        listed: true,
        access: rule.parse().expect("a rule"),
        locked: true,
        capacity: u32::MAX,
        stage_size: 31,
        hands_closed: true,
        hand_slow_s: u32::MAX,
        reaction_slow_s: u32::MAX,
        duplicates: Duplicates::Allow(u8::MAX),
        audience_from: u32::MAX,
        playout_delay_ms: u16::MAX,
        duration_s: u32::MAX,
        pinned: note(),
        texts: true,
        questions: true,
        text_slow_s: u32::MAX,
    }
}

fn moderated() -> Moderated {
    let action = Some(LogAction::PermissionChanged);
    Moderated { action, by: Some(name()), reason: note(), entry: u64::MAX, until_s: u64::MAX }
}

fn target() -> Target {
    let subject: Subject = "s".repeat(MAX_SUBJECT_BYTES).parse().expect("a subject");
    Target::Subject(subject)
}

/// The text of a link with the longest tag.
fn share_text() -> ShareText {
    let key = ShareKey::of(&LogKey::from_seed(&[7; 32]), &room());
    let tag = "t".repeat(MAX_SHARE_TAG_BYTES).parse().expect("a tag");
    Share::new(&key, &"ada".parse().expect("a subject"), None, tag).seal(&key)
}

fn role() -> Role {
    "r".repeat(MAX_ROLE_NAME_BYTES).parse().expect("a role")
}

fn heard() -> Vec<Heard> {
    vec![Heard { track: TrackId(u32::MAX), seq: Seq(u16::MAX) }; MAX_STAGE]
}

fn room() -> RoomName {
    "r".repeat(MAX_ROOM_NAME_BYTES).parse().expect("a room name")
}

fn name() -> DisplayName {
    "n".repeat(MAX_NAME_BYTES).parse().expect("a name")
}

fn note() -> Note {
    "o".repeat(MAX_NOTE_BYTES).parse().expect("a note")
}

fn token() -> TokenText {
    "t".repeat(MAX_TOKEN_BYTES).into()
}

//! What is written is read back, whatever it is; and the largest messages fit the limit.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tribune_protocol::control::participant::{
    FromParticipant, Heard, Join, Joined, ToParticipant, You,
};
use tribune_protocol::control::room::{Hand, Phase, Role, RoomState, StageEntry};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::control::{ControlReader, Envelope, decode, encode};
use tribune_protocol::ids::{
    Channel, DisplayName, Note, ParticipantId, RelayId, RequestId, Revision, RoomName, Seq,
    SessionKey, TrackId,
};
use tribune_protocol::limits::{
    MAX_BARRED, MAX_HANDS_SHOWN, MAX_MESSAGE_BYTES, MAX_NAME_BYTES, MAX_NOTE_BYTES,
    MAX_ROOM_NAME_BYTES, MAX_STAGE, MAX_TOKEN_BYTES, MAX_TREE_DEPTH,
};

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

/// Letters, and what they are easily mistaken or composed with.
fn text_of_people() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => any::<char>(),
        4 => prop::char::range('\u{300}', '\u{345}'),
        2 => prop::char::range('\u{1100}', '\u{11ff}'),
        2 => prop::char::range('\u{1f00}', '\u{206f}'),
        4 => prop::sample::select(vec!['a', 'e', ' ', '\u{a0}', '\u{3000}', '\u{212b}', '\u{958}']),
    ];
    prop::collection::vec(piece, 0..24).prop_map(String::from_iter)
}

#[test]
fn the_largest_messages_to_participants_fit() {
    fits(
        "joined",
        &ToParticipant::Joined(Joined {
            relay: name(),
            depth: u8::MAX,
            you: You {
                participant: ParticipantId(u64::MAX),
                role: Role::Listener,
                track: Some(TrackId(u32::MAX)),
                silenced: true,
                hand: Some(u32::MAX),
                reason: note(),
            },
            stage: stage(),
            listeners: u64::MAX,
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
        phase: Phase::Absent,
        stage: stage(),
        barred: vec![ParticipantId(u64::MAX); MAX_BARRED],
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
            role: Role::Listener,
            token: Some(token()),
            returning: true,
            heard: heard(),
        }),
    );
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

/// `encode` refuses what is over [`MAX_MESSAGE_BYTES`]; the size itself is asserted for its message.
fn fits<M>(what: &str, message: &M)
where
    M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Clone,
{
    let id = Some(RequestId(u32::MAX));
    let len = encode(id, message).unwrap_or_else(|error| panic!("{what}: {error}")).len();
    assert!(len <= MAX_MESSAGE_BYTES, "{what} is {len} bytes");
    assert_eq!(through_the_wire(id, message), Envelope { id, message: message.clone() });
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
        role: Role::Speaker,
        track: TrackId(u32::MAX),
        silenced: true,
        muted: true,
        away: true,
    };
    vec![entry; MAX_STAGE]
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

fn token() -> String {
    "t".repeat(MAX_TOKEN_BYTES)
}

//! Ten bytes must not be able to ask for a megabyte: what decoding allocates is bounded by the
//! length of its input. The only test of its file, so that nothing else allocates meanwhile.

use std::alloc::System;
use std::hint::black_box;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Serialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::control::{ControlReader, decode, encode};
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_protocol::media::Datagram;
use tribune_protocol::varint;

mod arbitrary;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes allocated for each byte of a control message, freed ones included.
///
/// A CBOR item can be one byte. serde holds it as a value of 32 bytes in each of two buffers, those
/// of the envelope (to find `id`) and of the message (to find `type`), and the list that it belongs
/// to reserves an entry for it, the largest of which is a ruling. serde reserves 1 MiB for a list at
/// most before it has read an entry, so that the largest message costs 2 MiB while it is read.
const CONTROL_FACTOR: usize = 2 * 32 + size_of::<Ruling>();
/// Bytes allocated for any control message: the sentence of its error.
const CONTROL_BASE: usize = 512;
/// Bytes allocated for each byte of a control stream: a buffer that grows by doubling.
const STREAM_FACTOR: usize = 2;
/// Bytes allocated by the reader of a control stream whatever comes.
const STREAM_BASE: usize = 256;
/// Bytes allocated for a datagram of any length: one counter of references. Frames share its bytes.
const DATAGRAM_BASE: usize = 64;

/// Kinds of small items, each as it is written; many of them make a message that costs much.
const ITEMS: [&[u8]; 11] = [
    &[0x00],                   // 0
    &[0x60],                   // ""
    &[0x40],                   // h''
    &[0x80],                   // []
    &[0xa0],                   // {}
    &[0x61, 0x01],             // a control character
    &[0x81, 0x00],             // [0]
    &[0x81, 0x81, 0x81, 0x00], // [[[0]]]
    &[0xa1, 0x00, 0x00],       // {0: 0}
    &[0xa1, 0x60, 0x81, 0x00], // {"": [0]}
    &[0xc1, 0x00],             // 1(0)
];
/// A message inside another: the key it is under, the key of its type, its type.
type Inside = (&'static str, &'static str, &'static str);

/// Position of such items in a message: the types of the message and of the inner ones, the key.
const PLACES: [(&str, &[Inside], &str); 64] = [
    ("hologram", &[], "x"),
    ("leave", &[], "x"),
    ("join", &[], "heard"),
    ("join", &[], "session"),
    ("react", &[], "reaction"),
    ("govern", &[], "act"),
    ("govern", &[("act", "do", "silence")], "on"),
    ("govern", &[("act", "do", "ban")], "target"),
    ("govern", &[("act", "do", "create")], "settings"),
    ("govern", &[("act", "do", "set")], "change"),
    ("errand", &[("act", "do", "kick")], "target"),
    ("you", &[], "may"),
    ("room", &[], "settings"),
    ("rooms", &[], "rooms"),
    ("bans", &[], "bans"),
    ("log", &[], "entries"),
    ("reactions", &[], "counts"),
    ("rulings", &[], "rulings"),
    ("rulings", &[], "lifted"),
    ("act", &[], "by"),
    ("act", &[("action", "do", "govern")], "act"),
    ("deliver", &[("message", "type", "bans")], "bans"),
    ("deliver", &[("message", "type", "you")], "may"),
    ("joined", &[], "you"),
    ("joined", &[], "stage"),
    ("stage", &[], "stage"),
    ("hands", &[], "hands"),
    ("subscribe", &[], "heard"),
    ("welcome", &[], "path"),
    ("state", &[], "state"),
    ("act", &[], "action"),
    ("act", &[("action", "do", "enter")], "name"),
    ("act", &[("action", "do", "beam")], "x"),
    ("deliver", &[], "message"),
    ("deliver", &[("message", "type", "joined")], "stage"),
    ("deliver", &[("message", "type", "hands")], "hands"),
    ("deliver", &[("message", "type", "hologram")], "x"),
    ("join", &[], "way"),
    ("join", &[], "share"),
    ("write", &[], "text"),
    ("govern", &[("act", "do", "make_share")], "tag"),
    ("govern", &[("act", "do", "read_statistics")], "part"),
    ("texts", &[], "texts"),
    ("texts", &[], "hidden"),
    ("questions", &[], "questions"),
    ("questions", &[], "reactions"),
    ("questions", &[("questions", "by", "votes")], "questions"),
    ("statistics", &[], "part"),
    ("statistics", &[("part", "part", "hologram")], "x"),
    ("statistics", &[("part", "part", "numbers")], "runs"),
    ("statistics", &[("part", "part", "numbers"), ("statistics", "room", "stage")], "relays"),
    ("statistics", &[("part", "part", "numbers"), ("statistics", "room", "stage")], "moderation"),
    ("statistics", &[("part", "part", "buckets")], "buckets"),
    ("deliver", &[("message", "type", "statistics"), ("part", "part", "marks")], "marks"),
    ("tally", &[], "tally"),
    ("tally", &[("tally", "name", "edge")], "stayed"),
    ("tally", &[("tally", "name", "edge")], "generations"),
    ("tally", &[("tally", "name", "edge")], "joins"),
    ("tally", &[("tally", "name", "edge")], "votes"),
    ("tally", &[("tally", "name", "edge")], "shares"),
    ("sketch", &[], "sketch"),
    ("talk", &[], "tracks"),
    ("act", &[("by", "name", "ada")], "came_by"),
    ("state", &[("state", "room", "stage")], "share_key"),
];

#[test]
fn decoding_allocates_no_more_than_its_input_justifies() {
    dense_messages_are_bounded();
    proptest!(config(), |(body in bodies(), stream in any::<bool>())| {
        check_control(&body, "arbitrary");
        if stream {
            check_stream(&body);
        }
    });
    proptest!(config(), |(bytes in datagrams())| {
        let len = bytes.len();
        let bytes = Bytes::from(bytes);
        let cost = allocated(|| {
            if let Ok(Datagram::Media(media)) = Datagram::parse(bytes.clone()) {
                media.frames().for_each(|frame| drop(black_box(frame)));
            }
        });
        prop_assert!(cost <= DATAGRAM_BASE, "{} bytes for a datagram of {}", cost, len);
    });
}

fn dense_messages_are_bounded() {
    for unit in ITEMS {
        for len in [16, 4_000] {
            let count = len / unit.len();
            let list = [vec![0x99], be16(count), unit.repeat(count)].concat();
            let map = [vec![0xb9], be16(count / 2), unit.repeat(count / 2 * 2)].concat();
            let text = [vec![0x79], be16(len), unit.repeat(len)[..len].to_vec()].concat();
            for item in [list, map, text] {
                for (outer, inner, key) in PLACES {
                    check_control(
                        &message(outer, inner, key, &item),
                        &format!("{outer} {key} {unit:x?}"),
                    );
                }
                check_control(&item, "bare");
            }
        }
        // One more key than a list has room for that doubles as it grows.
        for keys in [5, 17, 1_025] {
            let rest = unit.repeat(2 * (keys - 1));
            let map =
                |tag| [vec![0xb9], be16(keys), text(tag), text("state"), rest.clone()].concat();
            check_control(&map("type"), "keys");
            check_control(&message("act", &[], "action", &map("do")), "keys of an action");
            check_control(&message("deliver", &[], "message", &map("type")), "keys inside");
            let part = message("statistics", &[], "part", &map("part"));
            check_control(&message("deliver", &[], "message", &part), "keys of a part");
        }
    }
}

/// Bytes that `work` allocates. The smaller of two runs: the test harness has a thread too.
fn allocated(work: impl Fn()) -> usize {
    let once = || {
        let region = Region::new(GLOBAL);
        work();
        region.change().bytes_allocated
    };
    once().min(once())
}

fn check_control(body: &[u8], what: &str) {
    let costs = [
        allocated(|| drop(black_box(decode::<FromParticipant>(body)))),
        allocated(|| drop(black_box(decode::<ToParticipant>(body)))),
        allocated(|| drop(black_box(decode::<ToParent>(body)))),
        allocated(|| drop(black_box(decode::<ToChild>(body)))),
    ];
    let bound = body.len() * CONTROL_FACTOR + CONTROL_BASE;
    assert!(costs.iter().all(|cost| *cost <= bound), "{what}, {} bytes: {costs:?}", body.len());
}

/// The reader of a stream must not reserve by the length that the stream states.
fn check_stream(bytes: &[u8]) {
    let cost = allocated(|| {
        let mut reader = ControlReader::default();
        reader.handle_bytes(bytes);
        while let Ok(Some(message)) = reader.poll_message() {
            black_box(message);
        }
    });
    let bound = bytes.len() * STREAM_FACTOR + STREAM_BASE;
    assert!(cost <= bound, "{cost} bytes for {} of a stream", bytes.len());
}

/// No file of failures: one belongs beside a `lib.rs`, and here is none.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() }
}

/// Random bytes, messages, and messages with bytes changed, cut off or replaced by a claim of length.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let valid = prop_oneof![
        arbitrary::from_participant().prop_map(|message| body(&message)),
        arbitrary::to_participant().prop_map(|message| body(&message)),
        arbitrary::to_parent().prop_map(|message| body(&message)),
        arbitrary::to_child().prop_map(|message| body(&message)),
    ];
    let changes = vec((any::<Index>(), any::<u8>()), 0..4);
    let mutated = (valid, changes, claim(), any::<Option<Index>>()).prop_map(
        |(mut body, changes, claim, cut)| {
            for (at, byte) in changes {
                *at.get_mut(&mut body) = byte;
            }
            if let Some((at, claim)) = claim {
                let at = at.index(body.len());
                body.splice(at..body.len().min(at + 1), claim);
            }
            if let Some(cut) = cut {
                body.truncate(cut.index(body.len() + 1));
            }
            body
        },
    );
    prop_oneof![1 => vec(any::<u8>(), 0..600), 3 => mutated]
}

/// A head of any major type that claims a huge length, to be put somewhere.
fn claim() -> impl Strategy<Value = Option<(Index, Vec<u8>)>> {
    let claim = (2u8..6, prop_oneof![Just(0x1au8), Just(0x1b)], any::<u32>()).prop_map(
        |(major, info, low)| {
            let high = if info == 0x1b { vec![0; 4] } else { Vec::new() };
            [vec![major << 5 | info], high, low.to_be_bytes().to_vec()].concat()
        },
    );
    proptest::option::of((any::<Index>(), claim))
}

fn datagrams() -> impl Strategy<Value = Vec<u8>> {
    let small_frames = (1usize..200).prop_map(|n| [vec![0, 0], [1, 0, 0, 0, 0].repeat(n)].concat());
    let any_bytes = (0u8..4, vec(any::<u8>(), 0..MAX_DATAGRAM_BYTES))
        .prop_map(|(kind, rest)| [vec![kind], rest].concat());
    prop_oneof![any_bytes, small_frames]
}

/// A message of type `outer` that holds `item` under `key`, or in the last of the messages inside it.
fn message(outer: &str, inner: &[Inside], key: &str, item: &[u8]) -> Vec<u8> {
    let map = |tag: &str, value: &str, key: &str, item: &[u8]| {
        [vec![0xa2], text(tag), text(value), text(key), item.to_vec()].concat()
    };
    let (mut key, mut item) = (key, item.to_vec());
    for (place, tag, value) in inner.iter().rev() {
        (key, item) = (place, map(tag, value, key, &item));
    }
    map("type", outer, key, &item)
}

fn text(text: &str) -> Vec<u8> {
    [&[0x60 + text.len() as u8], text.as_bytes()].concat()
}

fn be16(value: usize) -> Vec<u8> {
    (value as u16).to_be_bytes().to_vec()
}

fn body<M: Serialize>(message: &M) -> Vec<u8> {
    let bytes = encode(None, message).expect("a message within the limits is written");
    let mut rest = &bytes[..];
    varint::take(&mut rest).expect("a length is there");
    rest.to_vec()
}

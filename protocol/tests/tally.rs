//! Tallies, share links and statistics of any bytes are read without a panic and stay within their limits; pieces of
//! a tally fit a message each and add up to the whole, in any order and as often as one likes.

use std::collections::BTreeMap;

use ciborium::Value;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Serialize;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::control::{decode, encode};
use tribune_protocol::domain::audience_text::QuestionId;
use tribune_protocol::domain::key::LogKey;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::share::{Share, ShareKey, ShareTag, ShareText};
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{ByteString, Channel, DisplayName, ParticipantId, RelayId, Subject};
use tribune_protocol::limits::{
    MAX_MESSAGE_BYTES, MAX_NAME_BYTES, MAX_QUESTIONS_VOTED, MAX_SHARE_GENERATION,
    MAX_SHARES_COUNTED, MAX_SKETCH_BYTES,
};
use tribune_protocol::statistics::RETENTION_S;
use tribune_protocol::statistics::tally::{RelayTally, ShareCount};
use tribune_protocol::varint;

mod arbitrary;

const REACTIONS: [Reaction; 7] = [
    Reaction::Clap,
    Reaction::Heart,
    Reaction::Laugh,
    Reaction::Agree,
    Reaction::Disagree,
    Reaction::Wow,
    Reaction::Unknown,
];

/// No file of failures: one belongs beside a `lib.rs`, and here is none.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() }
}

/// Growth of a tally: numbers, stays, votes by question, joins by generation and by sharer.
type Step = ([u16; 4], Vec<u16>, BTreeMap<u32, u16>, Vec<u16>, BTreeMap<u64, u16>);

proptest! {
    #![proptest_config(config())]

    /// Bytes of a relay or participant are a message or an error, whatever they are.
    #[test]
    fn any_bytes_are_read_without_a_panic(body in bodies()) {
        let _ = decode::<FromParticipant>(&body);
        let _ = decode::<ToParticipant>(&body);
        let _ = decode::<ToChild>(&body);
        if let Ok(envelope) = decode::<ToParent>(&body)
            && let ToParent::Tally { tally, .. } = envelope.message
        {
            assert_bounded(&tally);
            let mut sum = tally.clone();
            sum.update(tally);
            assert_bounded(&sum);
            sum.since(None).iter().for_each(assert_fits);
        }
    }

    /// Of a list beyond its limit the first entries are read, of votes the last questions; both can be passed on.
    #[test]
    fn longer_lists_are_cut(lengths in proptest::array::uniform4(0_usize..1_200), count in any::<u64>()) {
        let [stayed, generations, votes, shares] = lengths;
        let counts = |len: usize| Value::Array(vec![count.into(); len]);
        let votes_of = (0..votes as u64).map(|question| (question.into(), count.into())).collect();
        let links = (0..shares as u64).map(|id| {
            let share = vec![(text("share"), id.into()), (text("generation"), 1.into())];
            Value::Map(vec![(text("share"), Value::Map(share)), (text("joins"), count.into())])
        });
        let tally = Value::Map(vec![
            (text("relay"), 1.into()),
            (text("name"), text("edge")),
            (text("life"), 1.into()),
            (text("run"), 1.into()),
            (text("stayed"), counts(stayed)),
            (text("old_enough"), counts(stayed)),
            (text("generations"), counts(generations)),
            (text("votes"), Value::Map(votes_of)),
            (text("shares"), Value::Array(links.collect())),
        ]);
        let tally: RelayTally = tally.deserialized().expect("a tally");
        assert_bounded(&tally);
        prop_assert_eq!(tally.stayed.len(), stayed.min(RETENTION_S.len()));
        prop_assert_eq!(tally.generations.len(), generations.min(MAX_SHARE_GENERATION.into()));
        prop_assert_eq!(tally.votes.len(), votes.min(MAX_QUESTIONS_VOTED));
        let last = tally.votes.last_key_value().map(|(question, _)| question.0 as usize + 1);
        prop_assert_eq!(last, Some(votes).filter(|votes| *votes > 0), "the first ones are forgotten");
        prop_assert_eq!(tally.shares.len(), shares.min(MAX_SHARES_COUNTED));
        tally.since(None).iter().for_each(assert_fits);
    }

    /// A receiver that takes the pieces of growing tallies in any order, some of them twice, has the last tally.
    #[test]
    fn pieces_add_up_in_any_order(
        tallies in growing(),
        order in vec(any::<u64>(), 200),
        twice in vec(any::<bool>(), 200),
    ) {
        let mut pieces = Vec::new();
        let mut sent = None;
        for tally in &tallies {
            pieces.extend(tally.since(sent));
            sent = Some(tally);
        }
        pieces.iter().for_each(assert_fits);
        let again: Vec<_> =
            pieces.iter().zip(&twice).filter(|(_, twice)| **twice).map(|(it, _)| it.clone()).collect();
        pieces.extend(again);
        let mut keyed: Vec<_> = order.iter().copied().cycle().zip(pieces).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let mut sum = empty();
        for (_, piece) in keyed {
            sum.update(piece);
        }
        let mut last = tallies.last().expect("a tally").clone();
        sum.shares.sort_by_key(|count| count.share.id);
        last.shares.sort_by_key(|count| count.share.id);
        prop_assert_eq!(sum, last);
    }

    /// Nothing that anybody makes up or alters is a link of the room.
    #[test]
    fn only_a_links_own_text_counts(
        made_up in "[A-Za-z0-9_-]{1,64}",
        who in any::<u64>(),
        tag in "[a-z0-9-]{0,16}",
        at in any::<Index>(),
        other in "[A-Za-z0-9_-]",
    ) {
        let (key, foreign) = (share_key("stage"), share_key("other"));
        let made_up: ShareText = made_up.parse().expect("a text");
        prop_assert!(made_up.open(&key).is_err());
        let sharer = Subject::guest(ParticipantId(who));
        let share = Share::new(&key, &sharer, None, tag.parse().expect("a tag"));
        let sealed = share.seal(&key);
        prop_assert_eq!(sealed.open(&key), Ok(share));
        prop_assert!(sealed.open(&foreign).is_err());
        let mut altered = sealed.as_str().to_owned();
        let at = at.index(altered.len());
        altered.replace_range(at..=at, &other);
        let altered: ShareText = altered.parse().expect("a text");
        prop_assert!(altered == sealed || altered.open(&key).is_err(), "{:?}", altered);
    }
}

#[test]
fn a_tally_of_the_largest_size_fits_its_messages() {
    let tally = full(u64::MAX);
    let pieces = tally.since(None);
    pieces.iter().for_each(assert_fits);
    let RelayTally { relay, name, life, run, .. } = tally.clone();
    let mut sum = RelayTally::unchanged(relay, name, life, run);
    pieces.into_iter().for_each(|piece| sum.update(piece));
    assert_eq!(sum, tally);
    let sketch = ByteString(vec![0xff; MAX_SKETCH_BYTES]);
    let sketch = ToParent::Sketch { channel: Channel(u32::MAX), sketch };
    assert!(encode(None, &sketch).expect("a sketch fits a message").len() <= MAX_MESSAGE_BYTES);
}

/// As much as a tally may have in it, each count `count`.
fn full(count: u64) -> RelayTally {
    let longest: DisplayName = "n".repeat(MAX_NAME_BYTES).parse().expect("a name");
    let questions = u32::MAX - MAX_QUESTIONS_VOTED as u32..u32::MAX;
    let votes: BTreeMap<_, _> = questions.map(|question| (QuestionId(question), count)).collect();
    let tag: ShareTag = "t".repeat(16).parse().expect("a tag");
    let parent =
        Share::new(&share_key("stage"), &Subject::guest(ParticipantId(0)), None, tag.clone());
    let shares = (0..MAX_SHARES_COUNTED as u64).map(|who| {
        let sharer = Subject::guest(ParticipantId(who));
        let share = Share::new(&share_key("stage"), &sharer, Some(&parent), tag.clone());
        ShareCount { share, joins: count }
    });
    RelayTally {
        inside: Some(count),
        listened_ms: Some(count),
        joins: Way::ALL.into_iter().chain([Way::Unknown]).map(|way| (way, count)).collect(),
        gone: Some(count),
        resumed: Some(count),
        stayed: vec![count; RETENTION_S.len()],
        old_enough: vec![count; RETENTION_S.len()],
        reactions: REACTIONS.into_iter().map(|reaction| (reaction, count)).collect(),
        texts: Some(count),
        votes: votes.clone(),
        withdrawn: votes,
        generations: vec![count; MAX_SHARE_GENERATION.into()],
        shares: shares.collect(),
        ..RelayTally::unchanged(RelayId(u64::MAX), longest, u64::MAX, u32::MAX)
    }
}

fn empty() -> RelayTally {
    RelayTally::unchanged(RelayId(1), "edge".parse().expect("a name"), 1, 1)
}

/// Tallies of one life, each with counts as large as the one before or larger.
fn growing() -> impl Strategy<Value = Vec<RelayTally>> {
    let step = (
        any::<[u16; 4]>(),
        vec(any::<u16>(), 0..=RETENTION_S.len()),
        btree_map(0_u32..20, any::<u16>(), 0..8),
        vec(any::<u16>(), 0..=usize::from(MAX_SHARE_GENERATION)),
        btree_map(0_u64..12, any::<u16>(), 0..6),
    );
    vec(step, 1..6).prop_map(|steps| {
        let mut tally = empty();
        let grown = |step| {
            grow(&mut tally, step);
            tally.clone()
        };
        steps.into_iter().map(grown).collect()
    })
}

fn grow(tally: &mut RelayTally, (numbers, stays, votes, generations, links): Step) {
    let [inside, more_ms, joins, texts] = numbers;
    tally.inside = Some(inside.into());
    tally.listened_ms = Some(tally.listened_ms.unwrap_or(0) + u64::from(more_ms) + 1);
    *tally.joins.entry(Way::Browser).or_default() += u64::from(joins);
    tally.texts = Some(tally.texts.unwrap_or(0) + u64::from(texts));
    add_each(&mut tally.stayed, &stays);
    add_each(&mut tally.generations, &generations);
    for (question, count) in votes {
        *tally.votes.entry(QuestionId(question)).or_default() += u64::from(count);
    }
    for (who, count) in links {
        let sharer = Subject::guest(ParticipantId(who));
        let share = Share::new(&share_key("stage"), &sharer, None, ShareTag::default());
        // A link is counted from its first join on.
        let joins = tally.joins_by(share.id) + u64::from(count) + 1;
        tally.raise_share(ShareCount { share, joins });
    }
}

fn add_each(counts: &mut Vec<u64>, more: &[u16]) {
    counts.resize(counts.len().max(more.len()), 0);
    counts.iter_mut().zip(more).for_each(|(count, more)| *count += u64::from(*more));
}

fn share_key(room: &str) -> ShareKey {
    ShareKey::of(&LogKey::from_seed(&[7; 32]), &room.parse().expect("a room name"))
}

fn assert_bounded(tally: &RelayTally) {
    assert!(tally.stayed.len() <= RETENTION_S.len(), "{} stays", tally.stayed.len());
    assert!(tally.old_enough.len() <= RETENTION_S.len(), "{} ages", tally.old_enough.len());
    let generations = tally.generations.len();
    assert!(generations <= MAX_SHARE_GENERATION.into(), "{generations} generations");
    assert!(tally.votes.len() <= MAX_QUESTIONS_VOTED, "{} votes", tally.votes.len());
    assert!(tally.withdrawn.len() <= MAX_QUESTIONS_VOTED, "{} taken back", tally.withdrawn.len());
    assert!(tally.shares.len() <= MAX_SHARES_COUNTED, "{} links", tally.shares.len());
}

fn assert_fits(piece: &RelayTally) {
    let message = ToParent::Tally { channel: Channel(u32::MAX), tally: piece.clone() };
    let len = encode(None, &message).expect("a piece fits a message").len();
    assert!(len <= MAX_MESSAGE_BYTES, "{len} bytes");
}

/// Bytes of messages with some of them changed, and cut off; and random ones.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let valid = prop_oneof![
        2 => arbitrary::to_parent().prop_map(|message| body(&message)),
        1 => arbitrary::to_child().prop_map(|message| body(&message)),
        1 => arbitrary::to_participant().prop_map(|message| body(&message)),
        1 => arbitrary::from_participant().prop_map(|message| body(&message)),
        1 => Just(body(&tally_message(3))),
    ];
    let changes = vec((any::<Index>(), any::<u8>()), 0..4);
    let mutated = (valid, changes, any::<Option<Index>>()).prop_map(|(mut body, changes, cut)| {
        for (at, byte) in changes {
            *at.get_mut(&mut body) = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len() + 1));
        }
        body
    });
    prop_oneof![1 => vec(any::<u8>(), 0..600), 4 => mutated]
}

fn tally_message(count: u64) -> ToParent {
    let tally = RelayTally { votes: BTreeMap::new(), withdrawn: BTreeMap::new(), ..full(count) };
    let shares = tally.shares.iter().take(40).cloned().collect();
    ToParent::Tally { channel: Channel(1), tally: RelayTally { shares, ..tally } }
}

fn body<M: Serialize>(message: &M) -> Vec<u8> {
    let bytes = encode(None, message).expect("a message within the limits is written");
    let mut rest = &bytes[..];
    varint::take(&mut rest).expect("a length is there");
    rest.to_vec()
}

fn text(text: &str) -> Value {
    Value::from(text)
}

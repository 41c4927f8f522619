//! Any part of the statistics, and anything that the audience writes.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tribune_protocol::control::participant::Questions;
use tribune_protocol::domain::audience_text::{AudienceText, Question, QuestionId, TextId};
use tribune_protocol::domain::key::LogKey;
use tribune_protocol::domain::share::{Share, ShareKey, ShareTag, ShareText};
use tribune_protocol::domain::way::Way;
use tribune_protocol::statistics::tally::{RelayTally, ShareCount};
use tribune_protocol::statistics::{
    AudienceStatistics, Bucket, Estimate, Mark, MarkKind, RunListing, Statistics, StatisticsPart,
    StatisticsWanted, TalkStatistics,
};

use super::governed::reaction;
use super::{name, note, participant, relay, room, subject};

pub(super) fn share_key() -> ShareKey {
    ShareKey::of(&LogKey::from_seed(&[7; 32]), &"stage".parse().expect("a room name"))
}

pub(super) fn tag() -> impl Strategy<Value = ShareTag> {
    "[a-z0-9-]{0,16}".prop_map(|tag| tag.parse().expect("a tag"))
}

pub(super) fn share() -> impl Strategy<Value = Share> {
    (subject(), option::of(subject()), tag()).prop_map(|(sharer, parent, tag)| {
        let parent = parent.map(|who| Share::new(&share_key(), &who, None, ShareTag::default()));
        Share::new(&share_key(), &sharer, parent.as_ref(), tag)
    })
}

pub(super) fn share_text() -> impl Strategy<Value = ShareText> {
    share().prop_map(|share| share.seal(&share_key()))
}

pub(super) fn arrival() -> impl Strategy<Value = (Option<Way>, Option<ShareText>, Option<u32>)> {
    (option::of(way()), option::of(share_text()), option::of(any::<u32>()))
}

pub(super) fn wanted() -> impl Strategy<Value = StatisticsWanted> {
    prop_oneof![
        Just(StatisticsWanted::Numbers),
        any::<u32>().prop_map(StatisticsWanted::Buckets),
        any::<u32>().prop_map(StatisticsWanted::Marks),
    ]
}

pub(super) fn audience_text() -> impl Strategy<Value = AudienceText> {
    (any::<u64>(), participant(), name(), note()).prop_map(|(id, participant, name, text)| {
        AudienceText { id: TextId(id), participant, name, text }
    })
}

pub(super) fn texts() -> impl Strategy<Value = (u64, Vec<AudienceText>, Vec<TextId>)> {
    (any::<u64>(), vec(audience_text(), 0..4), vec(any::<u64>().prop_map(TextId), 0..4))
}

pub(super) fn questions() -> impl Strategy<Value = Questions> {
    let reactions = btree_map(reaction(), any::<u64>(), 0..4);
    (vec(question(), 0..4), any::<u32>(), any::<u64>(), reactions).prop_map(
        |(questions, open, votes, reactions)| Questions { questions, open, votes, reactions },
    )
}

pub(super) fn tally() -> impl Strategy<Value = RelayTally> {
    let who = (relay(), name(), any::<u64>(), any::<u32>());
    let stays = (any::<[Option<u64>; 4]>(), counts(), counts());
    let kinds = (btree_map(way(), any::<u64>(), 0..4), btree_map(reaction(), any::<u64>(), 0..4));
    let texts = (option::of(any::<u64>()), votes(), votes());
    let joins = (share(), any::<u64>()).prop_map(|(share, joins)| ShareCount { share, joins });
    (who, stays, kinds, texts, counts(), vec(joins, 0..4)).prop_map(
        |(who, stays, kinds, (texts, votes, withdrawn), generations, shares)| {
            let (relay, name, life, run) = who;
            let ([inside, listened_ms, gone, resumed], stayed, old_enough) = stays;
            let (joins, reactions) = kinds;
            RelayTally {
                inside,
                listened_ms,
                gone,
                resumed,
                joins,
                stayed,
                old_enough,
                reactions,
                texts,
                votes,
                withdrawn,
                generations,
                shares,
                ..RelayTally::unchanged(relay, name, life, run)
            }
        },
    )
}

pub(super) fn part() -> impl Strategy<Value = StatisticsPart> {
    let bucket = (any::<[u64; 5]>(), any::<[u32; 2]>()).prop_map(|(counts, [hands, speech_ms])| {
        let [listeners, joins, leaves, reactions, texts] = counts;
        Bucket { listeners, joins, leaves, reactions, texts, hands, speech_ms }
    });
    let kinds = vec![MarkKind::OnStage, MarkKind::Moderated, MarkKind::Unknown];
    let mark = (any::<u32>(), prop::sample::select(kinds), option::of(name()))
        .prop_map(|(after_s, kind, name)| Mark { after_s, kind, name });
    let run = any::<(u32, u64, u64)>().prop_map(|(run, began_at_s, ended_at_s)| RunListing {
        run,
        began_at_s,
        ended_at_s,
    });
    prop_oneof![
        (statistics(), vec(run, 0..4)).prop_map(|(statistics, runs)| {
            StatisticsPart::Numbers { statistics: Box::new(statistics), runs }
        }),
        (any::<u32>(), vec(bucket, 0..4))
            .prop_map(|(from, buckets)| StatisticsPart::Buckets { from, buckets }),
        (any::<u32>(), vec(mark, 0..4))
            .prop_map(|(from, marks)| StatisticsPart::Marks { from, marks }),
        Just(StatisticsPart::Unknown),
    ]
}

fn statistics() -> impl Strategy<Value = Statistics> {
    let texts = (room(), note(), note(), vec(question(), 0..3));
    let numbers = (any::<[u64; 6]>(), any::<[u32; 4]>(), option::of(any::<u64>()));
    (texts, numbers, btree_map(way(), any::<u64>(), 0..4)).prop_map(
        |((room, title, pinned, questions), (counts, sizes, ended_at_s), ways)| {
            let [began_at_s, at_s, joins, leaves, value, speech_ms] = counts;
            let [run, bucket_s, buckets, error_ppm] = sizes;
            let unique = Estimate { value, error_ppm };
            Statistics {
                room,
                run,
                title,
                began_at_s,
                ended_at_s,
                at_s,
                pinned,
                audience: AudienceStatistics {
                    joins,
                    leaves,
                    unique,
                    ways,
                    ..AudienceStatistics::default()
                },
                retention: Vec::new(),
                relays: Vec::new(),
                more_relays: 0,
                talk: TalkStatistics { speech_ms, ..TalkStatistics::default() },
                hands: Default::default(),
                invitations: Default::default(),
                reactions: BTreeMap::new(),
                texts: Default::default(),
                questions,
                moderation: BTreeMap::new(),
                shares: Default::default(),
                quality: None,
                moments: Vec::new(),
                bucket_s,
                buckets,
                marks: 0,
            }
        },
    )
}

fn question() -> impl Strategy<Value = Question> {
    (any::<u32>(), participant(), name(), note(), any::<u64>(), any::<bool>()).prop_map(
        |(question, participant, name, text, votes, answered)| Question {
            question: QuestionId(question),
            participant,
            name,
            text,
            votes,
            answered,
        },
    )
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![prop::sample::select(Way::ALL.to_vec()), Just(Way::Unknown)]
}

fn counts() -> impl Strategy<Value = Vec<u64>> {
    vec(any::<u64>(), 0..8)
}

fn votes() -> impl Strategy<Value = BTreeMap<QuestionId, u64>> {
    btree_map(any::<u32>().prop_map(QuestionId), any::<u64>(), 0..4)
}

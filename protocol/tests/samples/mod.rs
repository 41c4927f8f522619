//! One value of each part of the statistics and of what the audience writes, with all optional fields.

use std::collections::BTreeMap;

use tribune_protocol::control::participant::Questions;
use tribune_protocol::domain::action::LogAction;
use tribune_protocol::domain::audience_text::{AudienceText, Question, QuestionId, TextId};
use tribune_protocol::domain::key::LogKey;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::share::{Share, ShareKey, ShareTag};
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, RelayId, Subject};
use tribune_protocol::quality::QualitySummary;
use tribune_protocol::statistics::tally::{RelayTally, ShareCount};
use tribune_protocol::statistics::{
    AudienceStatistics, Bucket, Estimate, HandStatistics, InvitationStatistics, LinkStatistics,
    Mark, MarkKind, Moment, RelayStatistics, Retention, RunListing, ShareStatistics,
    SpeakerStatistics, Statistics, StatisticsPart, TalkStatistics, TextStatistics,
};

pub(crate) fn share_key() -> ShareKey {
    ShareKey::of(&LogKey::from_seed(&[7; 32]), &"stage".parse().expect("a room name"))
}

/// A link of the second generation.
pub(crate) fn share() -> Share {
    let of = |who: &str, came_by: Option<&Share>, tag: &str| {
        let who: Subject = who.parse().expect("a subject");
        Share::new(&share_key(), &who, came_by, tag.parse().expect("a tag"))
    };
    of("bob", Some(&of("ada", None, "")), "mastodon")
}

pub(crate) fn audience_text() -> AudienceText {
    AudienceText { id: TextId(1), participant: ParticipantId(1), name: name(), text: note() }
}

pub(crate) fn question() -> Question {
    Question {
        question: QuestionId(1),
        participant: ParticipantId(1),
        name: name(),
        text: note(),
        votes: 1,
        answered: true,
    }
}

pub(crate) fn questions() -> Questions {
    Questions {
        questions: vec![question()],
        open: 1,
        votes: 1,
        reactions: BTreeMap::from([(Reaction::Clap, 1)]),
    }
}

pub(crate) fn tally() -> RelayTally {
    RelayTally {
        inside: Some(1),
        listened_ms: Some(1),
        joins: BTreeMap::from([(Way::Browser, 1)]),
        gone: Some(1),
        resumed: Some(1),
        stayed: vec![1],
        old_enough: vec![1],
        reactions: BTreeMap::from([(Reaction::Clap, 1)]),
        texts: Some(1),
        votes: BTreeMap::from([(QuestionId(1), 1)]),
        withdrawn: BTreeMap::from([(QuestionId(1), 1)]),
        generations: vec![1],
        shares: vec![share_count()],
        ..RelayTally::unchanged(RelayId(1), name(), 1, 1)
    }
}

pub(crate) fn share_count() -> ShareCount {
    ShareCount { share: share(), joins: 1 }
}

pub(crate) fn statistics_part(quality: QualitySummary) -> StatisticsPart {
    StatisticsPart::Numbers { statistics: Box::new(statistics(quality)), runs: vec![run_listing()] }
}

pub(crate) fn statistics_parts(quality: QualitySummary) -> Vec<StatisticsPart> {
    vec![
        statistics_part(quality),
        StatisticsPart::Buckets { from: 0, buckets: vec![Bucket::default()] },
        StatisticsPart::Marks { from: 0, marks: vec![mark()] },
    ]
}

pub(crate) const fn run_listing() -> RunListing {
    RunListing { run: 1, began_at_s: 1, ended_at_s: 2 }
}

pub(crate) fn mark() -> Mark {
    Mark { after_s: 1, kind: MarkKind::OnStage, name: Some(name()) }
}

pub(crate) fn statistics(quality: QualitySummary) -> Statistics {
    Statistics {
        room: "stage".parse().expect("a room name"),
        run: 1,
        title: note(),
        began_at_s: 1,
        ended_at_s: Some(2),
        at_s: 2,
        pinned: note(),
        audience: audience(),
        retention: vec![Retention { after_s: 10, stayed: 1, of: 1 }],
        relays: vec![relay()],
        more_relays: 1,
        talk: TalkStatistics { speakers: vec![speaker()], ..TalkStatistics::default() },
        hands: HandStatistics::default(),
        invitations: InvitationStatistics::default(),
        reactions: BTreeMap::from([(Reaction::Clap, 1)]),
        texts: TextStatistics::default(),
        questions: vec![question()],
        moderation: BTreeMap::from([(LogAction::Kicked, 1)]),
        shares: ShareStatistics { links: vec![link()], ..ShareStatistics::default() },
        quality: Some(quality),
        moments: vec![Moment { at_s: 1, reactions: 1, texts: 1 }],
        bucket_s: 15,
        buckets: 1,
        marks: 1,
    }
}

pub(crate) fn audience() -> AudienceStatistics {
    AudienceStatistics {
        unique: Estimate { value: 1, error_ppm: 1 },
        ways: BTreeMap::from([(Way::Share, 1)]),
        ..AudienceStatistics::default()
    }
}

pub(crate) fn relay() -> RelayStatistics {
    RelayStatistics { relay: RelayId(1), name: name(), joins: 1, listened_s: 1 }
}

pub(crate) fn speaker() -> SpeakerStatistics {
    SpeakerStatistics { name: name(), talk_ms: 1, turns: 1, longest_ms: 1 }
}

pub(crate) fn link() -> LinkStatistics {
    let Share { id, parent, generation, tag } = share();
    LinkStatistics { share: id, parent, generation, tag, joins: 1 }
}

pub(crate) fn tag() -> ShareTag {
    "mastodon".parse().expect("a tag")
}

fn name() -> DisplayName {
    "Ada".parse().expect("a name")
}

fn note() -> Note {
    "a note".parse().expect("a note")
}

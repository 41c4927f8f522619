//! Statistics of one run of a room, as its host reads them: SPEC.md section 8.23. A run is one opening of the
//! room, up to its end. Everything is exact but [`Estimate`]s, which state their error.
//!
//! * [`Statistics`] — the whole in numbers; [`Bucket`], [`Mark`] — the course of it
//! * [`tally`] — what one relay has counted, on its way up the tree
//! * [`RETENTION_S`] — stays that the retention curve is read at

mod bounded;
pub mod tally;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::action::LogAction;
use crate::domain::audience_text::Question;
use crate::domain::reaction::Reaction;
use crate::domain::share::{ShareId, ShareTag};
use crate::domain::way::Way;
use crate::ids::{DisplayName, Note, RelayId, RoomName};
use crate::quality::QualitySummary;

/// Stays, in seconds, at which the retention curve is read.
pub const RETENTION_S: [u32; 18] = [
    10, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 2_700, 3_600, 5_400, 7_200, 10_800, 14_400,
    21_600, 43_200, 86_400,
];

/// Statistics of one run of a room. Times are seconds since the Unix epoch where they end in `_at_s`, and
/// durations otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// The room.
    pub room: RoomName,
    /// Number of the run, from 1.
    pub run: u32,
    /// The title at the end, or now.
    #[serde(default)]
    pub title: Note,
    /// When the room was opened.
    pub began_at_s: u64,
    /// When it ended; absent while it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_s: Option<u64>,
    /// When these numbers were read, or the run ended.
    pub at_s: u64,
    /// Pinned link or note; may be empty.
    #[serde(default)]
    pub pinned: Note,
    /// People who came.
    pub audience: AudienceStatistics,
    /// Retention: for each of [`RETENTION_S`] that has passed, how many stays were as long.
    pub retention: Vec<Retention>,
    /// Joins and time by relay, the most joins first; at most 20.
    pub relays: Vec<RelayStatistics>,
    /// Relays beyond those.
    #[serde(default)]
    pub more_relays: u32,
    /// Speech.
    pub talk: TalkStatistics,
    /// Raised hands.
    pub hands: HandStatistics,
    /// Invitations to the stage.
    pub invitations: InvitationStatistics,
    /// Reactions by kind.
    pub reactions: BTreeMap<Reaction, u64>,
    /// Messages and questions.
    pub texts: TextStatistics,
    /// The questions with the most votes; at most 10.
    pub questions: Vec<Question>,
    /// Entries of the moderation log by action.
    pub moderation: BTreeMap<LogAction, u64>,
    /// Joins by share link.
    pub shares: ShareStatistics,
    /// How well it was heard, over the whole run; absent without a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualitySummary>,
    /// Minutes with the most reactions and messages, the most first; at most 5.
    pub moments: Vec<Moment>,
    /// Length of a bucket of the course, in seconds: 15, doubled as often as the run needs to have 1,024 at most.
    pub bucket_s: u32,
    /// Number of buckets.
    pub buckets: u32,
    /// Number of marks.
    pub marks: u32,
}

/// A number with an error, from a sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: u64,
    /// Standard error, in millionths of the number: two of three estimates are within it, 95 of 100 within
    /// twice as much.
    pub error_ppm: u32,
}

/// People who came into a room. The stage counts too, except where it says listeners.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AudienceStatistics {
    /// Participants not on the stage now.
    pub listeners: u64,
    /// Participants in the room now, the stage included.
    pub inside: u64,
    /// Most listeners at the same time.
    pub peak: u64,
    /// When that was first so.
    pub peak_at_s: u64,
    /// Joins. One who loses the connection and is back within 30 s, or moves to another relay, has not left.
    pub joins: u64,
    /// Leaves. A lost connection counts as one once its 30 s are over.
    pub leaves: u64,
    /// Distinct persons: subjects, and sessions of guests.
    pub unique: Estimate,
    /// Time that all stays add up to, in seconds.
    pub listened_s: u64,
    /// Average stay so far, in seconds.
    pub average_s: u64,
    /// Joins by way of arrival.
    pub ways: BTreeMap<Way, u64>,
    /// Persons who asked to be told of the room before it began.
    #[serde(default)]
    pub interested: u64,
}

/// One point of the retention curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The stay, in seconds.
    pub after_s: u32,
    /// Stays that were as long.
    pub stayed: u64,
    /// Stays that could have been: those begun as long ago.
    pub of: u64,
}

/// Stays at one relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayStatistics {
    /// The relay.
    pub relay: RelayId,
    /// Its name.
    pub name: DisplayName,
    /// Joins there.
    pub joins: u64,
    /// Time of stays there, in seconds.
    pub listened_s: u64,
}

/// Speech in a room, by the voice activity of the frames' levels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TalkStatistics {
    /// Speakers, the most talk first; at most 20.
    pub speakers: Vec<SpeakerStatistics>,
    /// Time in which somebody spoke, in milliseconds.
    pub speech_ms: u64,
    /// Time in which two or more spoke, in milliseconds.
    pub overlap_ms: u64,
    /// Longest time in which nobody spoke, in milliseconds.
    pub silence_ms: u64,
    /// When that began; 0: never.
    pub silence_at_s: u64,
}

/// One person's speech.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeakerStatistics {
    /// The name.
    pub name: DisplayName,
    /// Time spoken, in milliseconds.
    pub talk_ms: u64,
    /// Turns: speech without a pause of 2 s or more.
    pub turns: u32,
    /// The longest turn, in milliseconds.
    pub longest_ms: u64,
}

/// Raised hands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HandStatistics {
    /// Hands raised.
    pub raised: u64,
    /// Hands granted.
    pub granted: u64,
    /// Hands denied.
    pub denied: u64,
    /// Hands that went down otherwise: lowered, cleared, gone with their owner, up for too long.
    pub lowered: u64,
    /// Hands that are up.
    pub up: u64,
    /// Average wait of those granted, in milliseconds.
    pub wait_ms: u64,
    /// Longest wait of those granted, in milliseconds.
    pub longest_wait_ms: u64,
}

/// Invitations to the stage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InvitationStatistics {
    /// Invitations made.
    pub made: u64,
    /// Accepted ones.
    pub accepted: u64,
    /// Declined ones.
    pub declined: u64,
}

/// Messages and questions of the audience.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TextStatistics {
    /// Messages written.
    pub written: u64,
    /// Messages and questions hidden by moderators.
    pub hidden: u64,
    /// Questions asked.
    pub asked: u64,
    /// Questions answered.
    pub answered: u64,
    /// Votes for questions.
    pub votes: u64,
}

/// Joins by share link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShareStatistics {
    /// Joins by all links.
    pub joins: u64,
    /// Joins by generation of the link: the first generation first.
    pub generations: Vec<u64>,
    /// Links, the most joins first; at most 20.
    pub links: Vec<LinkStatistics>,
    /// Joins by links beyond those that relays keep apart (256 each).
    pub other: u64,
}

/// Joins by one share link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatistics {
    /// The share.
    pub share: ShareId,
    /// The share by which its sharer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ShareId>,
    /// Its generation.
    pub generation: u8,
    /// Where it was shared.
    #[serde(default, skip_serializing_if = "ShareTag::is_empty")]
    pub tag: ShareTag,
    /// Joins by it.
    pub joins: u64,
}

/// A minute that moved people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When it began.
    pub at_s: u64,
    /// Reactions in it.
    pub reactions: u64,
    /// Messages in it.
    pub texts: u64,
}

/// One bucket of the course of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bucket {
    /// Most listeners in it.
    #[serde(rename = "l")]
    pub listeners: u64,
    /// Joins in it.
    #[serde(rename = "j")]
    pub joins: u64,
    /// Leaves in it.
    #[serde(rename = "v")]
    pub leaves: u64,
    /// Reactions in it.
    #[serde(rename = "r")]
    pub reactions: u64,
    /// Messages in it.
    #[serde(rename = "t")]
    pub texts: u64,
    /// Hands raised in it.
    #[serde(rename = "h")]
    pub hands: u32,
    /// Milliseconds of it in which somebody spoke.
    #[serde(rename = "s")]
    pub speech_ms: u32,
}

/// Something that happened in a run, to be drawn over its course.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When, in seconds since the run began.
    pub after_s: u32,
    /// The kind.
    pub kind: MarkKind,
    /// Name of the person it is about; absent where it is nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
}

/// Kind of a [`Mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Somebody came on the stage.
    OnStage,
    /// Somebody left the stage.
    OffStage,
    /// A moderator acted on somebody.
    Moderated,
    /// A link or note was pinned.
    Pinned,
    /// A question was answered.
    Answered,
    /// A kind of a later version.
    #[serde(other)]
    Unknown,
}

/// A part of the statistics: the numbers, or a part of the course.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum StatisticsPart {
    /// The numbers.
    Numbers {
        /// The numbers.
        statistics: Box<Statistics>,
        /// Runs of which statistics are kept, the newest first; at most 50.
        runs: Vec<RunListing>,
    },
    /// A part of the course: buckets from the one asked for, as many as fit.
    Buckets {
        /// Number of the first, from 0.
        from: u32,
        /// The buckets.
        buckets: Vec<Bucket>,
    },
    /// Marks from the one asked for, as many as fit.
    Marks {
        /// Number of the first, from 0.
        from: u32,
        /// The marks.
        marks: Vec<Mark>,
    },
    /// A part of a later version.
    #[serde(other)]
    Unknown,
}

/// A run of a room in a list of its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunListing {
    /// Its number.
    pub run: u32,
    /// When it began.
    pub began_at_s: u64,
    /// When it ended; 0: it is on.
    pub ended_at_s: u64,
}

/// Part of the statistics that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsWanted {
    /// The numbers.
    #[default]
    Numbers,
    /// The course, from that bucket on.
    Buckets(u32),
    /// Marks, from that one on.
    Marks(u32),
}

impl Estimate {
    /// Whether a true value is within a number of standard errors.
    #[must_use]
    pub fn covers(&self, truth: u64, errors: u32) -> bool {
        let bound = u128::from(truth) * u128::from(self.error_ppm) * u128::from(errors) / 1_000_000;
        u128::from(self.value.abs_diff(truth)) <= bound.max(1)
    }
}

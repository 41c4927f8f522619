//! Statistics of a run of a room: on a terminal, as a page, as JSON and CSV. Pure.
//!
//! | module | content |
//! |---|---|
//! | [`sections`] | the numbers in words, the same for terminal and page |
//! | [`text`], [`chart`] | lines for a terminal, with a chart of block characters |
//! | [`html`], `pictures`, `svg` | a page without scripts, and its pictures |
//! | [`record`] | JSON and CSV for programs |
//! | `axis`, `phrases` | ticks, and formats of values |

mod axis;
pub(crate) mod chart;
pub(crate) mod html;
mod phrases;
mod pictures;
pub(crate) mod record;
pub(crate) mod sections;
mod svg;
pub(crate) mod text;

use tribune_protocol::statistics::{Bucket, Mark, RunListing, Statistics};

/// Everything that is known about one run of a room.
#[derive(Debug, Clone)]
pub(crate) struct RunReport {
    numbers: Statistics,
    /// Runs of which statistics are kept, the newest first.
    runs: Vec<RunListing>,
    buckets: Vec<Bucket>,
    marks: Vec<Mark>,
}

impl RunReport {
    /// The numbers of a run, without its course yet.
    pub(crate) const fn new(numbers: Statistics, runs: Vec<RunListing>) -> Self {
        Self { numbers, runs, buckets: Vec::new(), marks: Vec::new() }
    }

    /// Adds the course and what happened in it.
    pub(crate) fn with_course(self, buckets: Vec<Bucket>, marks: Vec<Mark>) -> Self {
        Self { buckets, marks, ..self }
    }

    /// The numbers.
    pub(crate) const fn numbers(&self) -> &Statistics {
        &self.numbers
    }

    /// Runs of which statistics are kept, the newest first.
    pub(crate) fn runs(&self) -> &[RunListing] {
        &self.runs
    }

    /// The course, and what happened in it.
    pub(crate) fn into_course(self) -> (Vec<Bucket>, Vec<Mark>) {
        (self.buckets, self.marks)
    }

    /// Whether the run is over.
    pub(crate) const fn is_over(&self) -> bool {
        self.numbers.ended_at_s.is_some()
    }

    /// Seconds from the beginning to the end, or up to now; at least the course's length.
    fn lasted_s(&self) -> u64 {
        let end_s = self.numbers.ended_at_s.unwrap_or(self.numbers.at_s);
        end_s.saturating_sub(self.numbers.began_at_s).max(1)
    }

    /// The course in at most `most` equal parts, and their length in seconds: counts added up, the most listeners
    /// of each.
    fn parts(&self, most: usize) -> (u64, Vec<Bucket>) {
        let each = self.buckets.len().div_ceil(most.max(1)).max(1);
        let parts = self.buckets.chunks(each).map(|chunk| {
            chunk.iter().fold(Bucket::default(), |sum, bucket| Bucket {
                listeners: sum.listeners.max(bucket.listeners),
                joins: sum.joins + bucket.joins,
                leaves: sum.leaves + bucket.leaves,
                reactions: sum.reactions + bucket.reactions,
                texts: sum.texts + bucket.texts,
                hands: sum.hands.saturating_add(bucket.hands),
                speech_ms: sum.speech_ms.saturating_add(bucket.speech_ms),
            })
        });
        (u64::from(self.numbers.bucket_s.max(1)) * each as u64, parts.collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use tribune_protocol::domain::action::LogAction;
    use tribune_protocol::domain::audience_text::{Question, QuestionId};
    use tribune_protocol::domain::reaction::Reaction;
    use tribune_protocol::domain::share::{Share, ShareKey, ShareTag};
    use tribune_protocol::domain::way::Way;
    use tribune_protocol::ids::{ParticipantId, RelayId};
    use tribune_protocol::limits::{
        MAX_QUESTIONS_REPORTED, MAX_STATISTICS_MARKS, MAX_STATISTICS_ROWS,
    };
    use tribune_protocol::log::LogKey;
    use tribune_protocol::quality::{FrameCounts, QualitySummary, Spread};
    use tribune_protocol::statistics::{
        AudienceStatistics, Estimate, HandStatistics, InvitationStatistics, LinkStatistics,
        MarkKind, Moment, RETENTION_S, RelayStatistics, Retention, ShareStatistics,
        SpeakerStatistics, TalkStatistics, TextStatistics,
    };

    use super::*;

    /// 2027-01-15 08:00:00 UTC.
    pub(crate) const BEGAN_S: u64 = 1_800_000_000;

    /// An evening of two hours with something of everything, and names that have to be escaped.
    pub(crate) fn evening() -> RunReport {
        let runs = vec![
            RunListing { run: 3, began_at_s: BEGAN_S, ended_at_s: BEGAN_S + 7_200 },
            RunListing { run: 2, began_at_s: BEGAN_S - 86_400, ended_at_s: BEGAN_S - 82_800 },
        ];
        RunReport::new(numbers(), runs).with_course(buckets(), marks())
    }

    /// An evening with as much of everything as a relay tells, and names and texts at their longest.
    pub(crate) fn largest() -> RunReport {
        let mut report = evening();
        let numbers = &mut report.numbers;
        let name = "Ŵ".repeat(32);
        numbers.title = "W".repeat(200).parse().unwrap();
        numbers.pinned = "W".repeat(200).parse().unwrap();
        numbers.relays = vec![numbers.relays[0].clone(); MAX_STATISTICS_ROWS];
        numbers.relays.iter_mut().for_each(|relay| relay.name = name.parse().unwrap());
        numbers.talk.speakers = vec![numbers.talk.speakers[0].clone(); MAX_STATISTICS_ROWS];
        numbers.talk.speakers.iter_mut().for_each(|speaker| speaker.name = name.parse().unwrap());
        numbers.shares.links = vec![numbers.shares.links[1].clone(); MAX_STATISTICS_ROWS];
        numbers.shares.generations = vec![1_000_000; 8];
        numbers.questions = vec![numbers.questions[0].clone(); MAX_QUESTIONS_REPORTED];
        for question in &mut numbers.questions {
            question.name = name.parse().unwrap();
            question.text = "a question ".repeat(18).trim().parse().unwrap();
        }
        numbers.retention = RETENTION_S
            .map(|after_s| Retention { after_s, stayed: 900_000, of: 1_000_000 })
            .to_vec();
        numbers.moments = vec![numbers.moments[0]; 5];
        numbers.moderation = LogAction::ALL.iter().map(|action| (*action, 1_000)).collect();
        let mark = Mark { name: Some(name.parse().unwrap()), ..report.marks[0].clone() };
        report.marks = vec![mark; MAX_STATISTICS_MARKS];
        report
    }

    /// A room that has been opened just now.
    pub(crate) fn beginning() -> RunReport {
        let numbers = Statistics {
            ended_at_s: None,
            at_s: BEGAN_S,
            audience: AudienceStatistics::default(),
            retention: Vec::new(),
            relays: Vec::new(),
            more_relays: 0,
            talk: TalkStatistics::default(),
            hands: HandStatistics::default(),
            invitations: InvitationStatistics::default(),
            reactions: BTreeMap::new(),
            texts: TextStatistics::default(),
            questions: Vec::new(),
            moderation: BTreeMap::new(),
            shares: ShareStatistics::default(),
            quality: None,
            moments: Vec::new(),
            buckets: 0,
            marks: 0,
            ..numbers()
        };
        RunReport::new(numbers, Vec::new())
    }

    fn numbers() -> Statistics {
        let speaker = |name: &str, talk_ms, turns, longest_ms| SpeakerStatistics {
            name: name.parse().unwrap(),
            talk_ms,
            turns,
            longest_ms,
        };
        Statistics {
            room: "agora".parse().unwrap(),
            run: 3,
            title: "Rivers <b>& bridges</b>".parse().unwrap(),
            began_at_s: BEGAN_S,
            ended_at_s: Some(BEGAN_S + 7_200),
            at_s: BEGAN_S + 7_200,
            pinned: "https://example.org/?a=1&b=2".parse().unwrap(),
            audience: audience(),
            retention: vec![
                Retention { after_s: 10, stayed: 1_000, of: 1_024 },
                Retention { after_s: 60, stayed: 900, of: 1_024 },
                Retention { after_s: 600, stayed: 512, of: 1_024 },
                Retention { after_s: 3_600, stayed: 100, of: 1_000 },
            ],
            relays: vec![RelayStatistics {
                relay: RelayId(7),
                name: "edge & co".parse().unwrap(),
                joins: 1_024,
                listened_s: 1_000_000,
            }],
            more_relays: 2,
            talk: TalkStatistics {
                speakers: vec![
                    speaker("Ada <script>", 3_600_000, 40, 300_000),
                    speaker("Bob & Eve", 600_000, 12, 90_000),
                ],
                speech_ms: 4_000_000,
                overlap_ms: 200_000,
                silence_ms: 65_000,
                silence_at_s: BEGAN_S + 100,
            },
            hands: HandStatistics {
                raised: 9,
                granted: 5,
                denied: 1,
                lowered: 2,
                up: 1,
                wait_ms: 61_500,
                longest_wait_ms: 130_000,
            },
            invitations: InvitationStatistics { made: 3, accepted: 2, declined: 1 },
            reactions: BTreeMap::from([(Reaction::Clap, 1_200), (Reaction::Heart, 34)]),
            texts: TextStatistics { written: 310, hidden: 2, asked: 8, answered: 3, votes: 412 },
            questions: vec![Question {
                question: QuestionId(4),
                participant: ParticipantId(5),
                name: "Eve".parse().unwrap(),
                text: "Is 1 < 2 & 3 > 2?".parse().unwrap(),
                votes: 77,
                answered: true,
            }],
            moderation: BTreeMap::from([(LogAction::Silenced, 2), (LogAction::Kicked, 1)]),
            shares: shares(),
            quality: Some(quality()),
            moments: vec![Moment { at_s: BEGAN_S + 2_700, reactions: 300, texts: 40 }],
            bucket_s: 10,
            buckets: 720,
            marks: 5,
        }
    }

    fn audience() -> AudienceStatistics {
        AudienceStatistics {
            listeners: 0,
            inside: 0,
            peak: 640,
            peak_at_s: BEGAN_S + 3_600,
            joins: 1_024,
            leaves: 1_024,
            unique: Estimate { value: 1_001, error_ppm: 16_000 },
            listened_s: 2_500_000,
            average_s: 2_441,
            ways: BTreeMap::from([(Way::CommandLine, 24), (Way::Browser, 600), (Way::Share, 400)]),
            interested: 12,
        }
    }

    fn shares() -> ShareStatistics {
        let key = ShareKey::of(&LogKey::from_seed(&[7; 32]), &"agora".parse().unwrap());
        let ada = "ada".parse().unwrap();
        let first = Share::new(&key, &ada, None, "mastodon".parse().unwrap());
        let second = Share::new(&key, &ada, Some(&first), ShareTag::default());
        let link = |share: &Share, joins| LinkStatistics {
            share: share.id,
            parent: share.parent,
            generation: share.generation,
            tag: share.tag.clone(),
            joins,
        };
        ShareStatistics {
            joins: 400,
            generations: vec![300, 100],
            links: vec![link(&first, 300), link(&second, 90)],
            other: 10,
        }
    }

    fn quality() -> QualitySummary {
        let frames = FrameCounts {
            received: 1_000_000,
            lost: 1_000,
            repaired: 700,
            concealed: 400,
            late: 20,
            runs: 300,
        };
        let spread = Spread { p50: 82_000, p99: 131_000, mean: 84_000 };
        QualitySummary {
            reports: 9_000,
            frames,
            latency: Some(spread),
            latency_error_us: Some(2_000),
            jitter: Some(spread),
            buffer: None,
            round_trip: Some(spread),
        }
    }

    fn buckets() -> Vec<Bucket> {
        let bucket = |n: u64| Bucket {
            listeners: if n < 360 { n * 640 / 360 } else { (720 - n) * 640 / 360 },
            joins: u64::from(n < 512) * 2,
            leaves: u64::from(n >= 208) * 2,
            reactions: n % 5,
            texts: n % 2,
            hands: u32::from(n.is_multiple_of(80)),
            speech_ms: 5_000,
        };
        (0..720).map(bucket).collect()
    }

    fn marks() -> Vec<Mark> {
        let mark = |after_s, kind, name: Option<&str>| Mark {
            after_s,
            kind,
            name: name.map(|name| name.parse().unwrap()),
        };
        vec![
            mark(5, MarkKind::OnStage, Some("Ada <script>")),
            mark(900, MarkKind::OnStage, Some("Bob & Eve")),
            mark(1_800, MarkKind::Pinned, None),
            mark(2_400, MarkKind::Moderated, Some("Mallory")),
            mark(5_400, MarkKind::OffStage, Some("Bob & Eve")),
        ]
    }

    #[test]
    fn parts_add_up_and_are_as_many_as_wanted_at_most() {
        let evening = evening();
        for most in [1, 7, 60, 720, 2_000] {
            let (part_s, parts) = evening.parts(most);
            assert!(parts.len() <= most, "{most}");
            assert!(part_s * parts.len() as u64 >= 7_200, "{most}");
            let sum = |of: fn(&Bucket) -> u64| parts.iter().map(of).sum::<u64>();
            assert_eq!((sum(|part| part.joins), sum(|part| part.leaves)), (1_024, 1_024));
            assert_eq!(parts.iter().map(|part| part.listeners).max(), Some(640));
        }
        assert_eq!(beginning().parts(10), (10, Vec::new()));
    }
}

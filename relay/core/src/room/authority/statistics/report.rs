//! Report of a run, as the host reads it, in parts that fit a message.

use tribune_protocol::limits::{
    MAX_BUCKETS_A_MESSAGE, MAX_MARKS_A_MESSAGE, MAX_QUESTIONS_REPORTED,
};
use tribune_protocol::statistics::{
    AudienceStatistics, RETENTION_S, Retention, RunListing, Statistics, StatisticsPart,
    StatisticsWanted,
};

use super::RunStatistics;

impl RunStatistics {
    /// A part of the report, as of now.
    pub(in crate::room::authority) fn part(
        &self,
        at_ms: u64,
        wanted: StatisticsWanted,
        runs: Vec<RunListing>,
    ) -> StatisticsPart {
        match wanted {
            StatisticsWanted::Numbers => {
                StatisticsPart::Numbers { statistics: Box::new(self.numbers(at_ms)), runs }
            }
            StatisticsWanted::Buckets(from) => {
                let buckets = self.course.buckets().iter().skip(from as usize);
                let buckets = buckets.take(MAX_BUCKETS_A_MESSAGE).copied().collect();
                StatisticsPart::Buckets { from, buckets }
            }
            StatisticsWanted::Marks(from) => {
                let marks = self.course.marks().iter().skip(from as usize);
                let marks = marks.take(MAX_MARKS_A_MESSAGE).cloned().collect();
                StatisticsPart::Marks { from, marks }
            }
        }
    }

    /// The numbers, as of now or of the end.
    pub(in crate::room::authority) fn numbers(&self, at_ms: u64) -> Statistics {
        let at_ms = self.ended_ms.unwrap_or(at_ms);
        let (relays, more_relays) = self.relays.rows(at_ms);
        let mut questions = self.questions.clone();
        questions.truncate(MAX_QUESTIONS_REPORTED);
        Statistics {
            room: self.room.clone(),
            run: self.run,
            title: self.title.clone(),
            began_at_s: self.began_ms / 1_000,
            ended_at_s: self.ended_ms.map(|ended_ms| ended_ms / 1_000),
            at_s: at_ms / 1_000,
            pinned: self.pinned.clone(),
            audience: self.audience(at_ms),
            retention: self.retention(),
            relays,
            more_relays,
            talk: self.talk.report_now(at_ms),
            hands: self.decided.hands(self.hands_up),
            invitations: self.decided.invitations(),
            reactions: self.relays.reactions(),
            texts: self.decided.texts(self.relays.texts(), self.relays.votes().values().sum()),
            questions,
            moderation: self.decided.moderation(),
            shares: self.relays.shares(),
            quality: self.quality.summary(),
            moments: self.course.moments(),
            bucket_s: self.course.bucket_s(),
            buckets: self.course.buckets().len() as u32,
            marks: self.course.marks().len() as u32,
        }
    }

    fn audience(&self, at_ms: u64) -> AudienceStatistics {
        let (joins, inside) = (self.relays.joins(), self.inside());
        let listened_ms = self.relays.listened_ms(at_ms);
        AudienceStatistics {
            listeners: self.listeners,
            inside,
            peak: self.peak,
            peak_at_s: self.peak_at_ms / 1_000,
            joins,
            // A relay that is lost says of nobody that they have left.
            leaves: if self.ended_ms.is_some() { joins } else { self.seen.leaves },
            unique: self.persons.estimate(),
            listened_s: listened_ms / 1_000,
            average_s: listened_ms.checked_div(joins).unwrap_or(0) / 1_000,
            ways: self.relays.ways(),
            interested: self.interested,
        }
    }

    fn retention(&self) -> Vec<Retention> {
        let (stayed, old_enough) = (self.relays.stayed(), self.relays.old_enough());
        let points =
            RETENTION_S.iter().zip(old_enough).enumerate().map(|(index, (after_s, of))| {
                let stayed = stayed.get(index).copied().unwrap_or(0);
                // A stay that goes on at another relay than the one it began at may be known first.
                Retention { after_s: *after_s, stayed, of: of.max(stayed) }
            });
        points.take_while(|point| point.of > 0).collect()
    }
}

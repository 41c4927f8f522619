//! Course of a run: what happened in each bucket of time, and marks on it. A long run has longer buckets, so that
//! it takes no more space than a short one.

use serde::{Deserialize, Serialize};
use tribune_protocol::ids::DisplayName;
use tribune_protocol::limits::{MAX_STATISTICS_BUCKETS, MAX_STATISTICS_MARKS};
use tribune_protocol::statistics::{Bucket, Mark, MarkKind, Moment};

/// Seconds of a bucket at the beginning: four make a minute.
const FIRST_BUCKET_S: u32 = 15;
/// Moments that are named.
const MOMENTS: usize = 5;

/// See the module's documentation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Course {
    began_ms: u64,
    bucket_s: u32,
    buckets: Vec<Bucket>,
    marks: Vec<Mark>,
    /// Listeners, as they were last.
    listeners: u64,
}

impl Course {
    /// A run that begins now.
    pub(super) const fn new(began_ms: u64) -> Self {
        Self {
            began_ms,
            bucket_s: FIRST_BUCKET_S,
            buckets: Vec::new(),
            marks: Vec::new(),
            listeners: 0,
        }
    }

    /// There are so many listeners from now on.
    pub(super) fn set_listeners(&mut self, at_ms: u64, listeners: u64) {
        self.bucket(at_ms);
        self.listeners = listeners;
        let bucket = self.bucket(at_ms);
        bucket.listeners = bucket.listeners.max(listeners);
    }

    /// The bucket of a time: the last one, for times before it too, so that the past does not change.
    pub(super) fn bucket(&mut self, at_ms: u64) -> &mut Bucket {
        let after_s = at_ms.saturating_sub(self.began_ms) / 1_000;
        while after_s / u64::from(self.bucket_s) >= MAX_STATISTICS_BUCKETS as u64 {
            self.double();
        }
        let index = (after_s / u64::from(self.bucket_s)) as usize;
        let listeners = self.listeners;
        while self.buckets.len() <= index {
            self.buckets.push(Bucket { listeners, ..Bucket::default() });
        }
        let last = self.buckets.len() - 1;
        &mut self.buckets[last]
    }

    /// Marks something. Of too many, the first ones stay.
    pub(super) fn mark(&mut self, at_ms: u64, kind: MarkKind, name: Option<DisplayName>) {
        if self.marks.len() < MAX_STATISTICS_MARKS {
            let after_s = at_ms.saturating_sub(self.began_ms) / 1_000;
            let after_s = u32::try_from(after_s).unwrap_or(u32::MAX);
            self.marks.push(Mark { after_s, kind, name });
        }
    }

    /// Seconds of a bucket.
    pub(super) const fn bucket_s(&self) -> u32 {
        self.bucket_s
    }

    pub(super) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Minutes with the most reactions and messages, the most first; longer where buckets are.
    pub(super) fn moments(&self) -> Vec<Moment> {
        let group = (60 / self.bucket_s).max(1) as usize;
        let minutes = self.buckets.chunks(group).enumerate().map(|(index, buckets)| Moment {
            at_s: self.began_ms / 1_000 + index as u64 * group as u64 * u64::from(self.bucket_s),
            reactions: buckets.iter().map(|bucket| bucket.reactions).sum(),
            texts: buckets.iter().map(|bucket| bucket.texts).sum(),
        });
        let weight = |moment: &Moment| moment.reactions + moment.texts;
        let mut moments: Vec<Moment> = minutes.filter(|moment| weight(moment) > 0).collect();
        moments.sort_by(|a, b| weight(b).cmp(&weight(a)).then(a.at_s.cmp(&b.at_s)));
        moments.truncate(MOMENTS);
        moments
    }

    fn double(&mut self) {
        self.bucket_s *= 2;
        let pairs = self.buckets.chunks(2).map(|pair| {
            let mut sum = pair[0];
            if let Some(second) = pair.get(1) {
                sum.listeners = sum.listeners.max(second.listeners);
                sum.joins += second.joins;
                sum.leaves += second.leaves;
                sum.reactions += second.reactions;
                sum.texts += second.texts;
                sum.hands += second.hands;
                sum.speech_ms += second.speech_ms;
            }
            sum
        });
        self.buckets = pairs.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_takes_no_more_space_and_loses_no_count() {
        let mut course = Course::new(0);
        for second in (0..200_000_u64).step_by(10) {
            course.set_listeners(second * 1_000, second % 77);
            course.bucket(second * 1_000).joins += 1;
        }
        assert!(course.buckets().len() <= MAX_STATISTICS_BUCKETS);
        assert_eq!(course.bucket_s(), 240);
        assert_eq!(course.buckets().iter().map(|bucket| bucket.joins).sum::<u64>(), 20_000);
        assert_eq!(course.buckets().iter().map(|bucket| bucket.listeners).max(), Some(76));
    }

    #[test]
    fn listeners_carry_over_and_moments_are_minutes() {
        let mut course = Course::new(1_000_000);
        course.set_listeners(1_000_000, 7);
        course.bucket(1_000_000 + 130_000).reactions += 3;
        course.bucket(1_000_000 + 178_000).texts += 1;
        assert_eq!(course.buckets()[5].listeners, 7);
        let moment = course.moments()[0];
        assert_eq!((moment.at_s, moment.reactions, moment.texts), (1_120, 3, 1));
        assert_eq!(course.moments().len(), 1);
    }
}

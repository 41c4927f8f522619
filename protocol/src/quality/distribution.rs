//! Distribution of one measure: counts over fixed bounds, and their sum.

use serde::{Deserialize, Serialize};

use super::measure::Measure;

/// Buckets of a [`Distribution`] at the most: those of the measure with the most bounds, and the one
/// above all bounds.
pub const MAX_BUCKETS: usize = 20;

/// Counts of values between fixed bounds, and the sum of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Distribution {
    counts: [u64; MAX_BUCKETS],
    sum: u64,
}

impl Distribution {
    /// Counts of values by bucket of [`Measure::bounds`], the last one above them all.
    #[must_use]
    pub fn counts(&self, measure: Measure) -> &[u64] {
        &self.counts[..=measure.bounds().len()]
    }

    /// The sum of all values, in the measure's unit.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The mean; `None` without a value.
    #[must_use]
    pub fn mean(&self) -> Option<u32> {
        let mean = self.sum.checked_div(self.count())?;
        Some(u32::try_from(mean).unwrap_or(u32::MAX))
    }

    /// The value that a share of all stays under, `quantile` from 0 to 1, evenly between the bounds of
    /// its bucket; the highest bound for values above it. `None` without a value.
    #[must_use]
    pub fn quantile(&self, measure: Measure, quantile: f64) -> Option<u32> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let wanted = (quantile.clamp(0.0, 1.0) * total as f64).max(f64::MIN_POSITIVE);
        let (mut below, mut lower) = (0.0, 0);
        for (count, upper) in self.counts.iter().zip(measure.bounds()) {
            let here = *count as f64;
            if here > 0.0 && below + here >= wanted {
                let share = (wanted - below) / here;
                return Some(lower + (f64::from(upper - lower) * share).round() as u32);
            }
            below += here;
            lower = *upper;
        }
        Some(lower)
    }

    pub(super) fn add(&mut self, measure: Measure, value: u32) {
        let bucket = measure.bounds().partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(u64::from(value));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine = mine.saturating_add(theirs);
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

/// The wire form of a distribution: counts without the zeros at their end.
#[derive(Serialize, Deserialize)]
pub(super) struct WrittenDistribution {
    pub(super) sum: u64,
    pub(super) counts: Vec<u64>,
}

impl WrittenDistribution {
    pub(super) fn of(distribution: &Distribution) -> Option<Self> {
        let len = distribution.counts.iter().rposition(|count| *count > 0)? + 1;
        Some(Self { sum: distribution.sum, counts: distribution.counts[..len].to_vec() })
    }

    /// Counts beyond the last bucket, which a later version may have, go into the last one.
    pub(super) fn read(self, measure: Measure) -> Distribution {
        let last = measure.bounds().len();
        let mut read = Distribution { sum: self.sum, ..Distribution::default() };
        for (bucket, count) in self.counts.into_iter().enumerate() {
            let mine = &mut read.counts[bucket.min(last)];
            *mine = mine.saturating_add(count);
        }
        read
    }
}

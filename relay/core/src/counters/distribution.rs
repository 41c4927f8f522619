//! Distribution of values over fixed bounds: plain numbers, without a lock and without an allocation. The
//! crate `tribune-relay` shows it as a Prometheus histogram.
//!
//! Values are in millionths of the metric's unit: microseconds of a time, parts per million of a ratio.

/// Bounds that a distribution has at most, so that its numbers lie side by side in an array.
pub const MAX_BOUNDS: usize = 20;

/// Values seen, counted between bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    bounds: &'static [u64],
    counts: [u64; MAX_BOUNDS + 1],
    sum: u64,
}

impl Distribution {
    /// An empty one. The bounds ascend, in millionths; a value that equals one lies below it.
    ///
    /// # Panics
    /// If there are more than [`MAX_BOUNDS`] bounds.
    #[must_use]
    pub const fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() <= MAX_BOUNDS, "too many bounds");
        Self { bounds, counts: [0; MAX_BOUNDS + 1], sum: 0 }
    }

    /// Adds a value, in millionths.
    pub fn observe(&mut self, value: u64) {
        let at = self.bounds.iter().position(|bound| value <= *bound);
        self.counts[at.unwrap_or(self.bounds.len())] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// The bounds, in millionths.
    #[must_use]
    pub const fn bounds(&self) -> &'static [u64] {
        self.bounds
    }

    /// Number of values between the bounds: up to the first, up to the second, …, above the last.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts[..=self.bounds.len()]
    }

    /// The sum of all values, in millionths.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Number of all values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_below_the_first_bound_that_it_does_not_pass() {
        let mut values = Distribution::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1_000] {
            values.observe(value);
        }
        assert_eq!(values.counts(), [2, 2, 2]);
        assert_eq!((values.count(), values.sum()), (6, 1_062));
        values.observe(u64::MAX);
        assert_eq!(values.sum(), u64::MAX, "a sum that is full stays so");
    }
}

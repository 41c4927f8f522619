//! Series of the store's writes, observed by its thread, [`crate::store::worker`].

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use tribune_relay_core::store::StoreError;

use super::register;

/// Bounds of the histogram of writes, in seconds. Memory takes microseconds, a solid-state disk
/// flushes in about a millisecond, a spinning one in about ten; beyond that something is wrong.
const WRITE_BUCKETS: [f64; 10] =
    [0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 1.0];

/// Outcomes of a write, by label. In the order of [`place`].
const RESULTS: [&str; 6] = ["stored", "gap", "too_large", "full", "busy", "failed"];

/// The series of the store.
#[derive(Debug)]
pub(super) struct StoreSeries {
    seconds: Histogram,
    results: Vec<IntCounter>,
}

impl StoreSeries {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = HistogramOpts::new(
            "tribune_relay_store_write_seconds",
            "Time that the store takes to make decisions durable, those that waited together as one.",
        );
        let seconds = seconds.buckets(WRITE_BUCKETS.to_vec());
        let results = Opts::new(
            "tribune_relay_store_writes_total",
            "Decisions given to the store, by result.",
        );
        let results = register(registry, IntCounterVec::new(results, &["result"]))?;
        Ok(Self {
            seconds: register(registry, Histogram::with_opts(seconds))?,
            results: RESULTS.iter().map(|name| results.with_label_values(&[name])).collect(),
        })
    }

    pub(super) fn observe(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn count(&self, result: &Result<(), StoreError>) {
        self.results[place(result)].inc();
    }
}

const fn place(result: &Result<(), StoreError>) -> usize {
    match result {
        Ok(()) => 0,
        Err(StoreError::Gap { .. }) => 1,
        Err(StoreError::TooLarge { .. }) => 2,
        Err(StoreError::Full(_)) => 3,
        Err(StoreError::Busy) => 4,
        Err(StoreError::Failed(_) | StoreError::Damaged(_) | StoreError::Unusable { .. }) => 5,
    }
}

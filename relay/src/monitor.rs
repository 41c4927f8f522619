//! Metrics and readiness of this relay, as operators see them. Filled in by snapshots; the audio path
//! never waits for anything here.

use std::num::NonZeroU8;
use std::sync::{Mutex, PoisonError};

use tribune_relay_core::query::Readiness;

use crate::metrics::{Metrics, SeriesLimits};

/// Shared state behind the HTTP side: one per relay, for the shards, the hub and the HTTP server.
#[derive(Debug)]
pub struct Monitor {
    metrics: Metrics,
    readiness: Mutex<Readiness>,
}

impl Monitor {
    /// Monitor of a relay that is starting, with that many shards and series.
    ///
    /// # Errors
    /// [`prometheus::Error`], if two metrics have one name.
    pub fn new(shards: NonZeroU8, limits: SeriesLimits) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new(shards, limits)?;
        Ok(Self { metrics, readiness: Mutex::new(Readiness::Starting) })
    }

    /// The counters and gauges.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sets whether participants should be sent here.
    pub fn set_readiness(&self, readiness: Readiness) {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    /// Whether participants should be sent here.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

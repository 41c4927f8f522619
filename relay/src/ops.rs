//! What operators see: metrics, health, logs. Hangs off the relay by snapshots; the audio path never
//! waits for anything here.

use std::sync::{Mutex, PoisonError};

use tribune_relay_core::query::Readiness;

use crate::metrics::{Metrics, SeriesLimits};

/// What the HTTP side answers from. One per relay, shared by the driver, the hub and the HTTP server.
#[derive(Debug)]
pub struct Ops {
    /// The counters and gauges.
    pub metrics: Metrics,
    readiness: Mutex<Readiness>,
}

impl Ops {
    /// A relay that is starting, with that many shards and series.
    ///
    /// # Errors
    /// [`prometheus::Error`], if two metrics have one name.
    pub fn new(
        shards: std::num::NonZeroU8,
        limits: SeriesLimits,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new(shards, limits)?;
        Ok(Self { metrics, readiness: Mutex::new(Readiness::Starting) })
    }

    /// Says whether participants should be sent here.
    pub fn set_readiness(&self, readiness: Readiness) {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    /// Whether participants should be sent here.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What operators see: metrics, health, logs. Hangs off the relay by snapshots; the audio path never
//! waits for anything here.

use std::sync::{Mutex, PoisonError};

pub mod api;
pub mod desk;
pub mod entitlement;
pub mod http;
mod json;
pub mod load;
pub mod log;
pub mod metrics;
pub mod query;

use metrics::{Metrics, SeriesLimits};

/// What the HTTP side answers from. One per relay, shared by the driver, the hub and the HTTP server.
#[derive(Debug)]
pub struct Ops {
    /// The counters and gauges.
    pub metrics: Metrics,
    readiness: Mutex<Readiness>,
}

/// Whether participants should be sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The sockets are not open yet.
    Starting,
    /// Yes.
    Ready,
    /// No parent is attached, though there should be one.
    Detached,
    /// The relay is on its way out.
    Draining,
}

impl Readiness {
    /// The answer to `/readyz`, as a line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Detached => "not attached to a parent",
            Self::Draining => "draining",
        }
    }
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

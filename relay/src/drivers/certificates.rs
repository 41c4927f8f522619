//! Task of the relay's certificates: looks at their files from time to time and when it is told to, renews the
//! ones for browsers, and tells of it in log and metrics.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

use super::orders::Orders;
use crate::monitor::Monitor;
use crate::tls::{CertificateKeeper, Outcome, Reason, Subject};

/// Period of the looks: soon enough for a person who waits, and a few calls of the system a minute.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// Keeps the certificates until the task is ended.
pub(crate) async fn keep(mut keeper: CertificateKeeper, orders: Orders, monitor: Arc<Monitor>) {
    monitor.metrics().set_certificate_expiry(keeper.expiry());
    let mut looks = tokio::time::interval(LOOK_PERIOD);
    // A machine that slept takes one look, and not all that it has missed.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let reason = tokio::select! {
            _ = looks.tick() => Reason::Time,
            () = orders.reload_ordered() => Reason::Order,
        };
        // Disks may be slow, and the hub shares this thread.
        let look = tokio::task::spawn_blocking(move || {
            let outcomes = keeper.handle_look(SystemTime::now(), reason);
            (keeper, outcomes)
        });
        let outcomes;
        (keeper, outcomes) = match look.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "certificates are not looked after any more");
                return;
            }
        };
        for outcome in outcomes {
            tell(&outcome, &monitor);
        }
        monitor.metrics().set_certificate_expiry(keeper.expiry());
    }
}

fn tell(outcome: &Outcome, monitor: &Monitor) {
    monitor.metrics().count_certificate(outcome);
    let which = match outcome.subject {
        Subject::Relay => "the relay's certificate",
        Subject::Trunk => "the certificate for parents",
        Subject::Web => "the certificates for browsers",
    };
    match &outcome.result {
        Ok(fingerprint) => {
            tracing::info!(%fingerprint, "{which}: new connections are shown this one")
        }
        Err(error) => tracing::warn!(%error, "{which}: the present one stays in use"),
    }
}

//! Series of the relay's certificates, from [`crate::drivers::certificates`].

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry};

use super::register;
use crate::tls::{Expiry, Outcome, Subject};

/// The series of certificates.
#[derive(Debug)]
pub(super) struct CertificateSeries {
    expiry: [Gauge; 3],
    /// By subject: taken, failed.
    renewals: [[IntCounter; 2]; 3],
}

/// Certificates by label, in the order of [`place`].
const SUBJECTS: [&str; 3] = ["relay", "trunk", "web"];

impl CertificateSeries {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let expiry = Opts::new(
            "tribune_relay_certificate_expiry_time_seconds",
            "End of a certificate's validity, in seconds since the Unix epoch; 0 if there is none.",
        );
        let expiry = register(registry, GaugeVec::new(expiry, &["certificate"]))?;
        let renewals = Opts::new(
            "tribune_relay_certificate_renewals_total",
            "Certificates replaced while the relay runs (ok), and files that could not be used (failed).",
        );
        let renewals =
            register(registry, IntCounterVec::new(renewals, &["certificate", "result"]))?;
        let results =
            |subject| ["ok", "failed"].map(|result| renewals.with_label_values(&[subject, result]));
        Ok(Self {
            expiry: SUBJECTS.map(|subject| expiry.with_label_values(&[subject])),
            renewals: SUBJECTS.map(results),
        })
    }

    pub(super) fn set_expiry(&self, Expiry { relay, trunk, web }: Expiry) {
        let unix = |end: Option<SystemTime>| {
            end.and_then(|end| end.duration_since(UNIX_EPOCH).ok()).unwrap_or_default()
        };
        for (gauge, end) in self.expiry.iter().zip([relay, trunk, web]) {
            gauge.set(unix(end).as_secs_f64());
        }
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        let [ok, failed] = &self.renewals[place(outcome.subject)];
        if outcome.result.is_ok() { ok.inc() } else { failed.inc() }
    }
}

const fn place(subject: Subject) -> usize {
    match subject {
        Subject::Relay => 0,
        Subject::Trunk => 1,
        Subject::Web => 2,
    }
}

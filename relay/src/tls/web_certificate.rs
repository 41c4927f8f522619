//! Certificates for browsers of a relay that makes its own. A browser takes one that no authority has signed if the
//! page knows its hash, and if it is P-256 and valid for 14 days at most; so there is a new one every six days.
//!
//! Time is cut into epochs of six days, counted from 1970, and each epoch has its certificate, made in the epoch
//! before. So nothing is kept about the state of the change, and relays that share a directory change together.

use std::path::Path;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use super::error::TlsError;
use super::identity::{TlsIdentity, parameters};
use crate::identity::{Readers, keep};

/// Length of an epoch.
const EPOCH_S: i64 = 6 * DAY_S;
/// Time by which a clock may be behind, before the epoch in which the certificate is made; and ahead.
const SLACK_S: i64 = DAY_S / 2;
const DAY_S: i64 = 24 * 3_600;

/// Span of time in which one certificate for browsers is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Epoch(i64);

impl Epoch {
    /// The epoch of a time, in seconds since 1970.
    pub(super) const fn at(unix_s: i64) -> Self {
        Self(unix_s.div_euclid(EPOCH_S))
    }

    /// The epoch after this one.
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Seconds from `unix_s`, within the epoch, to its end.
    pub(super) const fn ends_in_s(self, unix_s: i64) -> i64 {
        self.next().0 * EPOCH_S - unix_s
    }

    /// The first and the last second for which its certificate is valid: from the epoch before, in which pages
    /// learn the hash, to its end.
    const fn validity(self) -> (i64, i64) {
        ((self.0 - 1) * EPOCH_S - SLACK_S, (self.0 + 1) * EPOCH_S + SLACK_S)
    }
}

/// The certificate of an epoch: the one in the directory, made if it is not there; without a directory a fresh one.
pub(super) fn of_epoch(
    directory: Option<&Path>,
    name: &str,
    epoch: Epoch,
) -> Result<TlsIdentity, TlsError> {
    let Some(directory) = directory else { return from_pem(&fresh(name, epoch)?, Path::new("")) };
    let path = directory.join(format!("web-{}.pem", epoch.0));
    let made = fresh(name, epoch)?;
    from_pem(&keep(&path, Readers::OnlyUs, || made)?, &path)
}

/// Removes the certificate of the epoch before the last, which nobody is shown any more.
pub(super) fn forget(directory: Option<&Path>, present: Epoch) {
    if let Some(directory) = directory {
        // Another relay may have removed it, or it was never there.
        let _ = std::fs::remove_file(directory.join(format!("web-{}.pem", present.0 - 2)));
    }
}

fn fresh(name: &str, epoch: Epoch) -> Result<String, TlsError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = parameters(name)?;
    let (from, until) = epoch.validity();
    let at = |unix_s| OffsetDateTime::from_unix_timestamp(unix_s);
    if let (Ok(from), Ok(until)) = (at(from), at(until)) {
        (parameters.not_before, parameters.not_after) = (from, until);
    }
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = parameters.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

fn from_pem(pem: &str, path: &Path) -> Result<TlsIdentity, TlsError> {
    let wrong = |what, error: rustls::pki_types::pem::Error| TlsError::File {
        path: path.to_owned(),
        what,
        why: error.to_string(),
    };
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    let certificate = certificate.map_err(|error| wrong("certificate", error))?;
    Ok(TlsIdentity::new(vec![certificate], key.map_err(|error| wrong("private key", error))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_valid_from_the_epoch_before_and_for_less_than_fourteen_days() {
        let now = 1_800_000_000;
        let epoch = Epoch::at(now);
        let (from, until) = epoch.validity();
        assert!(until - from < 14 * DAY_S);
        for present in [epoch, Epoch(epoch.0 - 1)] {
            let (begins, ends) = (present.0 * EPOCH_S, present.next().0 * EPOCH_S);
            assert!(from < begins && ends < until, "it is published or shown in {present:?}");
        }
        assert_eq!(Epoch::at(now + epoch.ends_in_s(now)), epoch.next());
        assert_eq!(Epoch::at(now + epoch.ends_in_s(now) - 1), epoch);
    }

    #[test]
    fn relays_that_share_a_directory_show_the_same_one() {
        let directory = tempfile::tempdir().unwrap();
        let epoch = Epoch::at(1_800_000_000);
        let fingerprint =
            |name, epoch| of_epoch(Some(directory.path()), name, epoch).unwrap().fingerprint();
        let first = fingerprint("a", epoch);
        assert_eq!(fingerprint("b", epoch), first);
        assert_ne!(fingerprint("a", epoch.next()), first);
        forget(Some(directory.path()), epoch.next().next());
        assert_ne!(fingerprint("a", epoch), first, "it was forgotten, and is made anew");
    }
}

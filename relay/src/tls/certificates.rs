//! Certificates that the port shows, by who comes: browsers (ALPN `h3`) are shown one of their own where the relay has
//! made its certificate itself; everybody else, and everybody where it is from files, the relay's own. They
//! are replaced while the relay runs; connections that there are keep what they were shown.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tribune_protocol::ALPN_WEB;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::error::TlsError;
use super::identity::TlsIdentity;
use super::provider::crypto_provider;
use super::web_certificate::{self, Epoch};
use crate::config::{CertificateSource, Config, Fingerprint};

/// Longest validity, in seconds, of a certificate that browsers take by its hash: 14 days.
const MAX_PINNED_S: i64 = 14 * 24 * 3_600;

/// See the module's documentation. One for all shards.
#[derive(Debug)]
pub struct Certificates {
    shown: RwLock<Shown>,
    of_web: Option<WebSource>,
}

#[derive(Debug, Clone)]
struct Shown {
    own: Arc<CertifiedKey>,
    web: Arc<CertifiedKey>,
    /// SHA-256 of what browsers are shown now and next, where they take it by that.
    hashes: Vec<Fingerprint>,
    /// End of the own certificate's validity, in seconds since 1970.
    expires_s: i64,
}

/// Source of certificates for browsers, where the relay makes them.
#[derive(Debug, Clone)]
struct WebSource {
    kept_in: Option<PathBuf>,
    name: String,
}

impl Certificates {
    /// The certificates of a configuration. `identity` is the relay's own; `unix_s` is now.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(config: &Config, identity: &TlsIdentity, unix_s: i64) -> Result<Self, TlsError> {
        let of_web = match &config.certificate {
            CertificateSource::Files { .. } => None,
            CertificateSource::SelfSigned { kept_in } => {
                Some(WebSource { kept_in: kept_in.clone(), name: config.name.to_string() })
            }
        };
        let mut shown = Shown::of(identity)?;
        if let Some(source) = &of_web {
            shown.set_web(source, Epoch::at(unix_s))?;
        }
        Ok(Self { shown: RwLock::new(shown), of_web })
    }

    /// The same certificate for everybody.
    ///
    /// # Errors
    /// [`TlsError::Unusable`].
    pub fn single(identity: &TlsIdentity) -> Result<Self, TlsError> {
        Ok(Self { shown: RwLock::new(Shown::of(identity)?), of_web: None })
    }

    /// SHA-256 of the certificates that browsers are shown now and next; none where an authority has signed.
    #[must_use]
    pub fn web_hashes(&self) -> Vec<Fingerprint> {
        self.shown().hashes
    }

    /// End of the validity of the relay's own certificate, in seconds since 1970.
    #[must_use]
    pub fn expires_s(&self) -> i64 {
        self.shown().expires_s
    }

    /// Replaces the relay's own certificate, for connections from now on.
    ///
    /// # Errors
    /// [`TlsError::Unusable`]; then everything is as before.
    pub fn replace(&self, identity: &TlsIdentity) -> Result<(), TlsError> {
        let mut shown = Shown::of(identity)?;
        if self.of_web.is_some() {
            let before = self.shown();
            (shown.web, shown.hashes) = (before.web, before.hashes);
        }
        self.set(shown);
        Ok(())
    }

    /// Shows browsers the certificate of this time. Gives the seconds until it is to be called again; `None`: never.
    ///
    /// # Errors
    /// [`TlsError`]; then everything is as before.
    pub fn renew_web(&self, unix_s: i64) -> Result<Option<u64>, TlsError> {
        let Some(source) = &self.of_web else { return Ok(None) };
        let epoch = Epoch::at(unix_s);
        let mut shown = self.shown();
        shown.set_web(source, epoch)?;
        self.set(shown);
        web_certificate::forget(source.kept_in.as_deref(), epoch);
        Ok(Some(u64::try_from(epoch.ends_in_s(unix_s)).unwrap_or(1).max(1)))
    }

    fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, shown: Shown) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_browser = hello.alpn().is_some_and(|mut alpn| alpn.any(|name| name == ALPN_WEB));
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(if is_browser { &shown.web } else { &shown.own }))
    }
}

impl Shown {
    fn of(identity: &TlsIdentity) -> Result<Self, TlsError> {
        let own = certified(identity)?;
        let validity = Validity::of(identity)?;
        let hashes = if validity.is_pinned { vec![identity.fingerprint()] } else { Vec::new() };
        Ok(Self { web: Arc::clone(&own), own, hashes, expires_s: validity.expires_s })
    }

    fn set_web(&mut self, source: &WebSource, epoch: Epoch) -> Result<(), TlsError> {
        let of = |epoch| web_certificate::of_epoch(source.kept_in.as_deref(), &source.name, epoch);
        let (present, next) = (of(epoch)?, of(epoch.next())?);
        self.web = certified(&present)?;
        self.hashes = vec![present.fingerprint(), next.fingerprint()];
        Ok(())
    }
}

/// Facts about a certificate that its hash, or an operator, depends on.
struct Validity {
    expires_s: i64,
    /// Browsers take it by its hash.
    is_pinned: bool,
}

impl Validity {
    fn of(identity: &TlsIdentity) -> Result<Self, TlsError> {
        let chain = identity.chain();
        let leaf = chain.first().map(|leaf| X509Certificate::from_der(leaf));
        let Some(Ok((_, leaf))) = leaf else {
            return Err(TlsError::Unusable(rustls::CertificateError::BadEncoding.into()));
        };
        let (from_s, expires_s) =
            (leaf.validity.not_before.timestamp(), leaf.validity.not_after.timestamp());
        let algorithm = &leaf.subject_pki.algorithm;
        let curve = algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        let is_p256 = algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
            && curve.is_some_and(|curve| curve == OID_EC_P256);
        Ok(Self { expires_s, is_pinned: is_p256 && expires_s - from_s <= MAX_PINNED_S })
    }
}

fn certified(identity: &TlsIdentity) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = CertifiedKey::from_der(identity.chain(), identity.key(), &crypto_provider());
    Ok(Arc::new(key.map_err(TlsError::Unusable)?))
}

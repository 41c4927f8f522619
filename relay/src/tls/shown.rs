//! Certificates that a relay shows at the moment. All its TLS configurations choose from them at each
//! handshake, so that a new certificate holds for new connections and leaves the old ones alone.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_TRUNK, ALPN_WEB};

use super::error::TlsError;
use super::identity::{TlsIdentity, fingerprint};
use crate::config::Fingerprint;

/// The certificates of one relay, shared by everything that shows one.
///
/// Held for the time of a copied reference by each handshake, and by who replaces them; frames pass it by.
#[derive(Clone)]
pub struct Certificates(Arc<RwLock<Shown>>);

/// Certificates, by those who see them.
#[derive(Clone)]
pub(super) struct Shown {
    /// Participants by `tribune/1`, child relays, and visitors over HTTPS.
    pub(super) relay: Arc<CertifiedKey>,
    /// Browsers by `h3`.
    pub(super) web: Arc<CertifiedKey>,
    /// Parents of this relay, if it shows them any.
    pub(super) trunk: Option<Arc<CertifiedKey>>,
    /// Hashes that pages are given for `h3`: present and coming. None where authorities vouch for it.
    pub(super) hashes: Vec<Fingerprint>,
}

impl Certificates {
    /// Shares certificates.
    pub(super) fn new(shown: Shown) -> Self {
        Self(Arc::new(RwLock::new(shown)))
    }

    /// One certificate for all, which does not change: for simulations and measurements.
    ///
    /// # Errors
    /// [`TlsError::Unusable`].
    pub fn fixed(identity: &TlsIdentity) -> Result<Self, TlsError> {
        let relay = identity.certified()?;
        let web = Arc::clone(&relay);
        Ok(Self::new(Shown { relay, web, trunk: None, hashes: Vec::new() }))
    }

    /// Hashes by which pages accept the certificate of `h3`; empty where authorities vouch for it.
    #[must_use]
    pub fn web_hashes(&self) -> Vec<Fingerprint> {
        self.read(|shown| shown.hashes.clone())
    }

    /// SHA-256 of the certificate that participants are shown.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.read(|shown| fingerprint_of(&shown.relay))
    }

    /// Replaces all of them, for handshakes from now on.
    pub(super) fn replace(&self, shown: Shown) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    pub(super) fn read<T>(&self, of: impl FnOnce(&Shown) -> T) -> T {
        of(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (relay, web) =
            self.read(|shown| (fingerprint_of(&shown.relay), fingerprint_of(&shown.web)));
        write!(f, "Certificates({relay}, {web} for browsers)")
    }
}

/// SHA-256 of a chain's first certificate.
fn fingerprint_of(certified: &CertifiedKey) -> Fingerprint {
    // A chain is never empty; an empty one would have no fingerprint that anything matches.
    certified.cert.first().map_or(Fingerprint([0; 32]), fingerprint)
}

/// The certificate of the QUIC port, by the protocol that the connection is going to speak.
#[derive(Debug)]
pub(super) struct ByProtocol(pub(super) Certificates);

impl ResolvesServerCert for ByProtocol {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offers = |protocol: &[u8]| {
            hello.alpn().is_some_and(|mut offered| offered.any(|name| name == protocol))
        };
        // The server prefers its own protocols, whatever else is offered.
        let is_web = offers(ALPN_WEB) && !offers(ALPN_PARTICIPANT) && !offers(ALPN_TRUNK);
        Some(self.0.read(|shown| Arc::clone(if is_web { &shown.web } else { &shown.relay })))
    }
}

/// The certificate of the relay's HTTPS.
#[derive(Debug)]
pub(super) struct ForVisitors(pub(super) Certificates);

impl ResolvesServerCert for ForVisitors {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read(|shown| Arc::clone(&shown.relay)))
    }
}

/// The certificate that a parent is shown.
#[derive(Debug)]
pub(super) struct ForParent(pub(super) Certificates);

impl ResolvesClientCert for ForParent {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let own = self.0.read(|shown| shown.trunk.clone())?;
        // A parent that cannot check its signature gets none, as if there were no certificate.
        own.key.choose_scheme(schemes).is_some().then_some(own)
    }

    fn has_certs(&self) -> bool {
        self.0.read(|shown| shown.trunk.is_some())
    }
}

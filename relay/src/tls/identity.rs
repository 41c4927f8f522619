//! Certificate chain and private key of a relay: from files, kept, or fresh.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pem::Pem;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use ring::digest;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::error::TlsError;
use super::leaf::Leaf;
use super::provider::crypto_provider;
use super::roots::certificates;
use crate::config::{CertificateSource, Config, Fingerprint};
use crate::identity::{Readers, keep};

/// A certificate chain and its private key: the identity of a relay. `Debug` shows no key.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl TlsIdentity {
    /// The identity that the configuration asks for. A self-signed one is made at the first start.
    ///
    /// # Errors
    /// [`TlsError`], naming the file that cannot be used.
    pub fn from_config(config: &Config) -> Result<Self, TlsError> {
        match &config.certificate {
            CertificateSource::Files { cert, key } => Self::from_files(cert, key),
            CertificateSource::SelfSigned { kept_in: Some(directory) } => {
                Self::kept_in(directory, config.name.as_str())
            }
            CertificateSource::SelfSigned { kept_in: None } => {
                let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
                Self::self_signed(&key, config.name.as_str())
            }
        }
    }

    /// Reads a chain, the relay's own certificate first, and its key from PEM files.
    ///
    /// # Errors
    /// [`TlsError::File`].
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = certificates(cert)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
            path: key.to_owned(),
            what: "private key",
            why: error.to_string(),
        })?;
        Ok(Self { chain, key })
    }

    /// The self-signed certificate in a directory (`cert.pem`, `key.pem`), made if it is not there.
    /// Good for this machine and for `name`, if that is a DNS name.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn kept_in(directory: &Path, name: &str) -> Result<Self, TlsError> {
        let (cert_path, key_path) = (directory.join("cert.pem"), directory.join("key.pem"));
        let fresh = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let pem = keep(&key_path, Readers::OnlyUs, || fresh.serialize_pem())?;
        let key = KeyPair::from_pem(&pem).map_err(|error| TlsError::File {
            path: key_path.clone(),
            what: "private key",
            why: error.to_string(),
        })?;
        // Any certificate made from the kept key fits it, also one made by another process.
        let certificate = parameters(name)?.self_signed(&key)?;
        keep(&cert_path, Readers::Anybody, || certificate.pem())?;
        Self::from_files(&cert_path, &key_path)
    }

    /// A fresh self-signed Ed25519 certificate that is kept nowhere. Its signatures all have one
    /// length, so a simulation with it is the same each time.
    ///
    /// # Errors
    /// [`TlsError::SelfSigned`].
    pub fn ephemeral(name: &str) -> Result<Self, TlsError> {
        Self::self_signed(&KeyPair::generate_for(&rcgen::PKCS_ED25519)?, name)
    }

    fn self_signed(key: &KeyPair, name: &str) -> Result<Self, TlsError> {
        Self::signed_by_itself(&parameters(name)?, key)
    }

    /// SHA-256 of the relay's own certificate, as `--fingerprint` and `--parent-fingerprint` take it.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        // A chain is never empty; an empty one would have no fingerprint that anything matches.
        self.chain.first().map_or(Fingerprint([0; 32]), fingerprint)
    }

    /// Authorities that accept this identity and, if it is self-signed, no other.
    ///
    /// # Errors
    /// [`TlsError::Unusable`], if the last certificate of the chain is none.
    pub fn as_roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(last) = self.chain.last() {
            roots.add(last.clone()).map_err(TlsError::Unusable)?;
        }
        Ok(Arc::new(roots))
    }
}

impl TlsIdentity {
    /// A chain and the key of its first certificate.
    pub(super) const fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        Self { chain, key }
    }

    /// A certificate of these contents, signed by its own key.
    pub(super) fn signed_by_itself(
        parameters: &CertificateParams,
        key: &KeyPair,
    ) -> Result<Self, TlsError> {
        let certificate = parameters.self_signed(key)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Self { chain: vec![certificate.into()], key })
    }

    /// Chain and key, checked to belong together, as TLS shows them.
    pub(super) fn certified(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let provider = crypto_provider();
        let certified = CertifiedKey::from_der(self.chain(), self.key(), &provider);
        certified.map(Arc::new).map_err(TlsError::Unusable)
    }

    /// Facts of the relay's own certificate.
    pub(super) fn leaf(&self) -> Option<Leaf> {
        Leaf::read(self.chain.first()?)
    }

    /// Chain and key in PKCS#8, as PEM.
    pub(super) fn to_pem(&self) -> String {
        let chain = self.chain.iter().map(|certificate| Pem::new("CERTIFICATE", &**certificate));
        let key = Pem::new("PRIVATE KEY", self.key.secret_der());
        chain.chain([key]).map(|pem| pem::encode(&pem)).collect()
    }

    /// The chain, for a TLS configuration.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The private key, for a TLS configuration.
    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl Clone for TlsIdentity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({})", self.fingerprint())
    }
}

/// SHA-256 of a certificate.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    let hash = digest::digest(&digest::SHA256, certificate);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    Fingerprint(bytes)
}

/// Contents of a self-signed certificate. It is no authority, and yet its own trust anchor.
pub(super) fn parameters(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if DnsName::try_from(name).is_ok() && !name.eq_ignore_ascii_case("localhost") {
        names.push(name.to_owned());
    }
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, format!("tribune-relay {name}"));
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(parameters)
}

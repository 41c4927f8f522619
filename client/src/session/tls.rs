//! Whether a relay is to be trusted: four ways, from the system's roots to not at all.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use tribune_protocol::ALPN_PARTICIPANT;

/// How a relay is authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// By a certificate that the system's roots vouch for.
    #[default]
    System,
    /// By a certificate that one in this PEM file vouches for, or that is in it.
    Ca(PathBuf),
    /// By the certificate of this fingerprint, regardless of its name and issuer.
    Pinned(Fingerprint),
    /// Not at all.
    Anything,
}

/// SHA-256 of a certificate (DER).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// Text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a fingerprint: 64 hexadecimal digits, with or without colons")]
pub struct InvalidFingerprint(String);

/// Another certificate than the pinned one.
#[derive(Debug, thiserror::Error)]
#[error("its fingerprint is {presented}, and {pinned} is what was asked for")]
struct WrongFingerprint {
    presented: Fingerprint,
    pinned: Fingerprint,
}

/// TLS cannot be set up on this side.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsSetupError(String);

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let invalid = || InvalidFingerprint(text.chars().take(80).collect());
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).map(|digit| digit as u8))
            .collect::<Option<_>>()
            .ok_or_else(invalid)?;
        let bytes: Vec<u8> =
            digits.chunks(2).map(|pair| pair[0] << 4 | pair[pair.len() - 1]).collect();
        if digits.len() != 64 {
            return Err(invalid());
        }
        bytes.try_into().map(Self).map_err(|_| invalid())
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The TLS side of a participant's connection.
///
/// # Errors
/// [`TlsSetupError`], if the roots or the file of [`Trust::Ca`] cannot be read.
pub fn client_config(trust: &Trust) -> Result<QuicClientConfig, TlsSetupError> {
    let provider = Arc::new(provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsSetupError(format!("TLS 1.3 cannot be set up: {error}")))?;
    let verifier = |pin| Arc::new(Verifier { pin, provider: Arc::clone(&provider) });
    let mut config = match trust {
        Trust::System => builder.with_root_certificates(system_roots()?).with_no_client_auth(),
        Trust::Ca(file) => builder.with_root_certificates(roots_of(file)?).with_no_client_auth(),
        Trust::Pinned(pin) => builder
            .dangerous()
            .with_custom_certificate_verifier(verifier(Some(*pin)))
            .with_no_client_auth(),
        Trust::Anything => builder
            .dangerous()
            .with_custom_certificate_verifier(verifier(None))
            .with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_PARTICIPANT.to_vec()];
    config.enable_early_data = false;
    QuicClientConfig::try_from(config)
        .map_err(|error| TlsSetupError(format!("TLS for QUIC cannot be set up: {error}")))
}

/// AES-128-GCM first: the cheapest one where the processor has AES.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}

fn system_roots() -> Result<RootCertStore, TlsSetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(TlsSetupError(
            "the system has no root certificates; use --ca FILE or --fingerprint HEX".to_owned(),
        ));
    }
    Ok(roots)
}

fn roots_of(file: &Path) -> Result<RootCertStore, TlsSetupError> {
    let failed = |why: &dyn std::fmt::Display| {
        TlsSetupError(format!("cannot read certificates from {}: {why}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"it holds none in PEM form"));
    }
    Ok(roots)
}

/// Compares with a pin, or with nothing. That the relay holds the certificate's key is checked in
/// both cases.
#[derive(Debug)]
struct Verifier {
    pin: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = Fingerprint::of(end_entity);
        match self.pin {
            Some(pinned) if pinned != presented => {
                Err(Error::Other(OtherError(Arc::new(WrongFingerprint { presented, pinned }))))
            }
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_read_what_they_print_and_what_openssl_prints() {
        let print = Fingerprint::of(&CertificateDer::from(vec![1, 2, 3]));
        assert_eq!(print.to_string().parse::<Fingerprint>().unwrap(), print);
        let pairs: Vec<String> = print.0.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(pairs.join(":").parse::<Fingerprint>().unwrap(), print);
        for bad in ["", "12", &"0".repeat(63), &"g".repeat(64), &"0".repeat(65), &"0".repeat(66)] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error =
            client_config(&Trust::Ca(file.path().to_owned())).map(drop).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
        let error = client_config(&Trust::Ca("/does/not/exist.pem".into())).map(drop).unwrap_err();
        assert!(error.to_string().contains("/does/not/exist.pem"), "{error}");
    }
}

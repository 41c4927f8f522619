//! TLS of dialled connections: trust in the relay at the other end, and the certificate shown to it.

use std::sync::Arc;

use quinn_proto::crypto::rustls::QuicClientConfig;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tribune_protocol::ALPN_TRUNK;
use tribune_relay_core::tree::host_port::HostPort;

use super::error::TlsError;
use super::identity::{TlsIdentity, fingerprint};
use super::provider::crypto_provider;
use super::roots::{roots, system_roots};
use super::shown::{Certificates, ForParent};
use crate::config::{Config, Fingerprint, ParentTrust};

/// Certificates that are accepted from a dialled relay.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// Those of these authorities, for the name that is dialled.
    Roots(Arc<RootCertStore>),
    /// This one, with any name and dates.
    Pinned(Fingerprint),
    /// Any. For development on one machine, where nobody else can answer.
    Anything,
}

/// TLS of the connection to a parent, which is shown what [`Certificates`] has for it at that moment.
///
/// # Errors
/// [`TlsError`].
pub fn trunk_client_crypto(
    config: &Config,
    certificates: &Certificates,
    parent: &HostPort,
) -> Result<Arc<QuicClientConfig>, TlsError> {
    let trust = match config.trust_in(parent) {
        ParentTrust::SystemRoots => ServerTrust::Roots(system_roots()?),
        ParentTrust::Authority(path) => ServerTrust::Roots(roots(path)?),
        ParentTrust::Pinned(fingerprint) => ServerTrust::Pinned(fingerprint),
        ParentTrust::AnythingOnLoopback => ServerTrust::Anything,
    };
    let own = Arc::new(ForParent(certificates.clone()));
    let client = finished(ALPN_TRUNK, trusting(trust)?.with_client_cert_resolver(own));
    Ok(Arc::new(QuicClientConfig::try_from(client)?))
}

/// As [`trunk_client_crypto`], from values, for either kind of connection.
///
/// # Errors
/// [`TlsError`].
pub fn client_crypto(
    alpn: &[u8],
    trust: ServerTrust,
    shown: Option<&TlsIdentity>,
) -> Result<Arc<QuicClientConfig>, TlsError> {
    Ok(Arc::new(QuicClientConfig::try_from(client_tls(alpn, trust, shown)?)?))
}

/// The TLS of [`client_crypto`], without QUIC.
///
/// # Errors
/// [`TlsError`].
pub fn client_tls(
    alpn: &[u8],
    trust: ServerTrust,
    shown: Option<&TlsIdentity>,
) -> Result<ClientConfig, TlsError> {
    let builder = trusting(trust)?;
    let client = match shown {
        None => builder.with_no_client_auth(),
        Some(own) => {
            builder.with_client_auth_cert(own.chain(), own.key()).map_err(TlsError::Unusable)?
        }
    };
    Ok(finished(alpn, client))
}

/// The part about the server's certificate.
fn trusting(trust: ServerTrust) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let provider = crypto_provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?;
    Ok(match trust {
        ServerTrust::Roots(roots) => builder.with_root_certificates(roots),
        ServerTrust::Pinned(fingerprint) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Pin {
                expected: Some(fingerprint),
                provider,
            }))
        }
        ServerTrust::Anything => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pin { expected: None, provider })),
    })
}

/// The part that all clients have in common.
fn finished(alpn: &[u8], mut client: ClientConfig) -> ClientConfig {
    client.alpn_protocols = vec![alpn.to_vec()];
    client.resumption = rustls::client::Resumption::disabled();
    client.enable_early_data = false;
    client
}

/// Accepts one certificate, or any, by its bytes. That the peer holds its key is verified all the same.
#[derive(Debug)]
struct Pin {
    expected: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.expected {
            Some(expected) if fingerprint(end_entity) != expected => {
                Err(rustls::CertificateError::ApplicationVerificationFailure.into())
            }
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

//! TLS of the port: participants and children.

use std::sync::Arc;

use quinn_proto::crypto::rustls::QuicServerConfig;
use rustls::RootCertStore;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_TRUNK, ALPN_WEB};

use super::certificates::Certificates;
use super::error::TlsError;
use super::identity::TlsIdentity;
use super::provider::crypto_provider;
use super::roots::roots;
use crate::config::Config;

/// TLS of this relay's port, for all kinds of connections, told apart by ALPN. Client certificates are
/// asked for, and verified, where the configuration names an authority for them.
///
/// # Errors
/// [`TlsError`].
pub fn server_crypto(
    config: &Config,
    certificates: Arc<Certificates>,
) -> Result<Arc<QuicServerConfig>, TlsError> {
    let children = config.trunk_ca.as_deref().map(roots).transpose()?;
    Ok(Arc::new(QuicServerConfig::try_from(tls_of(certificates, children)?)?))
}

/// As [`server_crypto`], from values. `children` are the authorities of client certificates; `None`
/// asks for none. A client may show none, but not a wrong one.
///
/// # Errors
/// [`TlsError`].
pub fn server_crypto_for(
    identity: &TlsIdentity,
    children: Option<Arc<RootCertStore>>,
) -> Result<Arc<QuicServerConfig>, TlsError> {
    Ok(Arc::new(QuicServerConfig::try_from(server_tls(identity, children)?)?))
}

/// The TLS of [`server_crypto_for`], without QUIC: to measure the cost of a handshake by itself.
///
/// # Errors
/// [`TlsError`].
pub fn server_tls(
    identity: &TlsIdentity,
    children: Option<Arc<RootCertStore>>,
) -> Result<rustls::ServerConfig, TlsError> {
    tls_of(Arc::new(Certificates::single(identity)?), children)
}

/// TLS of the pages' port: the relay's own certificate, as it is at the time of each handshake.
///
/// # Errors
/// [`TlsError`].
pub fn web_tls(certificates: Arc<Certificates>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let builder = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?;
    let mut server = builder.with_no_client_auth().with_cert_resolver(certificates);
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

fn tls_of(
    certificates: Arc<Certificates>,
    children: Option<Arc<RootCertStore>>,
) -> Result<rustls::ServerConfig, TlsError> {
    let provider = crypto_provider();
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?;
    let builder = match children {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()?,
        ),
    };
    let mut server = builder.with_cert_resolver(certificates);
    server.alpn_protocols = vec![ALPN_PARTICIPANT.to_vec(), ALPN_TRUNK.to_vec(), ALPN_WEB.to_vec()];
    server.ignore_client_order = true;
    server.max_early_data_size = 0;
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(server)
}

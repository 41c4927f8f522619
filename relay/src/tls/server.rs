//! TLS of the ports: participants, children and browsers over QUIC, and visitors over HTTPS.

use std::sync::Arc;

use quinn_proto::crypto::rustls::QuicServerConfig;
use rustls::RootCertStore;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_TRUNK, ALPN_WEB};
use tribune_relay_core::link::bridge::ALPN_BRIDGE;

use super::error::TlsError;
use super::identity::TlsIdentity;
use super::provider::crypto_provider;
use super::roots::roots;
use super::shown::{ByProtocol, Certificates, ForVisitors};
use crate::config::Config;

/// ALPN of HTTPS.
const ALPN_HTTP: &[u8] = b"http/1.1";

/// TLS of this relay's port, for all kinds of connection, told apart by ALPN. Client certificates are
/// asked for, and verified, where the configuration names an authority for them.
///
/// # Errors
/// [`TlsError`].
pub fn server_crypto(
    config: &Config,
    certificates: &Certificates,
) -> Result<Arc<QuicServerConfig>, TlsError> {
    let children = config.trunk_ca.as_deref().map(roots).transpose()?;
    Ok(Arc::new(QuicServerConfig::try_from(tls(certificates, children)?)?))
}

/// As [`server_crypto`], from values, with one certificate for all. `children` are the authorities of client certificates; `None`
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
    tls(&Certificates::fixed(identity)?, children)
}

fn tls(
    certificates: &Certificates,
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
    let mut server = builder.with_cert_resolver(Arc::new(ByProtocol(certificates.clone())));
    server.alpn_protocols = vec![
        ALPN_PARTICIPANT.to_vec(),
        ALPN_TRUNK.to_vec(),
        ALPN_WEB.to_vec(),
        ALPN_BRIDGE.to_vec(),
    ];
    server.ignore_client_order = true;
    server.max_early_data_size = 0;
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(server)
}

/// TLS of HTTPS. Unlike over QUIC sessions are resumed: a browser opens several connections for one page.
///
/// # Errors
/// [`TlsError`].
pub fn https_tls(certificates: &Certificates) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let mut server = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ForVisitors(certificates.clone())));
    server.alpn_protocols = vec![ALPN_HTTP.to_vec()];
    Ok(Arc::new(server))
}

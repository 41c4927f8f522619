//! TLS of the port: participants and children.

use std::sync::Arc;

use quinn_proto::crypto::rustls::QuicServerConfig;
use rustls::RootCertStore;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tribune_protocol::{ALPN_PARTICIPANT, ALPN_TRUNK, ALPN_WEB};

use super::error::TlsError;
use super::identity::TlsIdentity;
use super::provider::crypto_provider;
use super::roots::roots;
use crate::config::Config;

/// TLS of this relay's port, for both kinds of connection, told apart by ALPN. Client certificates are
/// asked for, and verified, where the configuration names an authority for them.
///
/// # Errors
/// [`TlsError`].
pub fn server_crypto(
    config: &Config,
    identity: &TlsIdentity,
) -> Result<Arc<QuicServerConfig>, TlsError> {
    let children = config.trunk_ca.as_deref().map(roots).transpose()?;
    server_crypto_for(identity, children)
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
    let mut server =
        builder.with_single_cert(identity.chain(), identity.key()).map_err(TlsError::Unusable)?;
    server.alpn_protocols = vec![ALPN_PARTICIPANT.to_vec(), ALPN_TRUNK.to_vec(), ALPN_WEB.to_vec()];
    server.ignore_client_order = true;
    server.max_early_data_size = 0;
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(server)
}

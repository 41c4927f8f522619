//! Address of the relay under load, and the trust in it.

use std::net::SocketAddr;

use tribune_relay::tls::ServerTrust;

/// The relay under load.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Address on which it listens.
    pub(crate) address: SocketAddr,
    /// Name that is dialled.
    pub(crate) name: String,
    /// Trust in its certificate.
    pub(crate) trust: ServerTrust,
}

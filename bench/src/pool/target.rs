//! Address of the relay under load, the trust in it, and the ways there.

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

/// Way of a participant to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// QUIC, as the command line comes.
    Quic,
    /// WebTransport, as a browser comes.
    Web,
}

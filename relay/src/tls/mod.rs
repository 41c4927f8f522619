//! TLS under QUIC and HTTPS: the certificates that this relay shows, and the ones that it accepts. TLS 1.3
//! only, AES-128-GCM first, under QUIC no 0-RTT and no session tickets: a resumed session saves little beside
//! what a lost one costs.
//!
//! Three kinds of peers see a certificate of their own: participants, child relays and visitors over HTTPS the
//! relay's; parents the one for trunks; browsers over QUIC (`h3`) one that they accept by its hash, unless
//! the relay's own is from an authority. [`CertificateKeeper`] reads files at the start and again when they
//! change, and makes and renews the one for browsers. The simulated network builds the same configurations
//! from [`TlsIdentity::ephemeral`].

mod client;
mod error;
mod file_watch;
mod identity;
mod keeper;
mod leaf;
mod provider;
mod roots;
mod server;
mod shown;
#[cfg(test)]
mod tests;
mod web_pair;

pub use client::{ServerTrust, client_crypto, client_tls, trunk_client_crypto};
pub use error::TlsError;
pub use identity::{TlsIdentity, fingerprint};
pub use keeper::{CertificateKeeper, Expiry, Outcome, Reason, Subject};
pub use server::{https_tls, server_crypto, server_crypto_for, server_tls};
pub use shown::Certificates;

//! TLS under QUIC: the certificate that this relay shows, and the ones that it accepts. TLS 1.3 only,
//! AES-128-GCM first, no 0-RTT and no session tickets: a resumed session saves little beside what a lost
//! one costs.
//!
//! Files are read here, at the start and nowhere else. The simulated network builds the same
//! configurations from [`TlsIdentity::ephemeral`].

mod client;
mod error;
mod identity;
mod provider;
mod roots;
mod server;
#[cfg(test)]
mod tests;

pub use client::{ServerTrust, client_crypto, client_tls, trunk_client_crypto};
pub use error::TlsError;
pub use identity::{TlsIdentity, fingerprint};
pub use server::{server_crypto, server_crypto_for, server_tls};

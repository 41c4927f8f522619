//! Errors of TLS, at the start of a relay.

use std::path::PathBuf;

use crate::identity::IdentityError;

/// Error of setting TLS up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds nothing of the kind.
    #[error("{} has no usable {what}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The content that it should have.
        what: &'static str,
        /// The fault.
        why: String,
    },
    /// The self-signed certificate cannot be kept.
    #[error(transparent)]
    Kept(#[from] IdentityError),
    /// The self-signed certificate cannot be made.
    #[error("no self-signed certificate can be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// Certificate and key do not go together, or are of a kind that TLS 1.3 does not know.
    #[error("the certificate and the key cannot be used: {0}")]
    Unusable(rustls::Error),
    /// There is nothing to check client certificates against.
    #[error("client certificates cannot be verified: {0}")]
    ClientVerifier(#[from] rustls::server::VerifierBuilderError),
    /// The system has no list of authorities to check a parent against.
    #[error(
        "the system has no trusted certificate authorities; name one for the parent with --parent-ca"
    )]
    NoSystemRoots,
    /// The cryptography lacks the suite that QUIC begins with.
    #[error("TLS lacks a cipher suite that QUIC needs: {0}")]
    NoInitialSuite(#[from] quinn_proto::crypto::rustls::NoInitialCipherSuite),
}

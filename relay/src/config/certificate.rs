//! Certificates by configuration: the relay's own, and the proof asked of a parent.

use std::path::{Path, PathBuf};

use super::fingerprint::Fingerprint;

/// Source of the relay's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// PEM files.
    Files {
        /// The chain, the relay's own certificate first.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// Made by the relay (`--dev`).
    SelfSigned {
        /// Directory of `cert.pem` and `key.pem`: the data directory, or else the user's state
        /// directory (`$XDG_STATE_HOME/tribune-relay`, `~/.local/state/tribune-relay`), which all
        /// relays of that user share. `None` keeps it in memory.
        kept_in: Option<PathBuf>,
    },
}

/// Proof of identity that is asked of a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParentTrust<'a> {
    /// By a certificate of the system's authorities for its name.
    SystemRoots,
    /// By a certificate of the authorities in this file.
    Authority(&'a Path),
    /// By this certificate.
    Pinned(Fingerprint),
    /// Not at all: it is on this machine, and this relay is for development.
    AnythingOnLoopback,
}

//! Errors of the configuration.

use std::path::PathBuf;

/// A setting that cannot be used. Its display is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is wrong.
    #[error("{option}: {value} {why}")]
    Wrong {
        /// The flag, variable or key that it was given by.
        option: String,
        /// The value, quoted; secrets are not.
        value: String,
        /// The fault.
        why: String,
    },
    /// Two settings do not go together, or one is missing.
    #[error("{0}")]
    Conflict(&'static str),
    /// The file cannot be read or is not TOML.
    #[error("--config: {} cannot be used: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// The file has keys that mean nothing.
    #[error("--config: {} has unknown keys: {}", path.display(), keys.join(", "))]
    UnknownKeys {
        /// The file.
        path: PathBuf,
        /// The keys.
        keys: Vec<String>,
    },
}

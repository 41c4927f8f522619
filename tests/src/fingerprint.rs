//! Fingerprints of simulated runs: one number for everything that happened in a run, so that two builds
//! can be compared seed by seed. With `TRIBUNE_EVENT_HASHES=FILE` each run appends a line to the file;
//! `scripts/event-hashes` collects them.

use std::io::Write;

/// A hash of bytes in order (FNV-1a, 64 bits). For comparing runs, not for security.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Takes in more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// Appends a run's fingerprint to the file that `TRIBUNE_EVENT_HASHES` names; does nothing without it.
/// Lines come in the order in which runs end.
pub(crate) fn record(network: &str, seed: u64, fingerprint: Fingerprint) {
    let Ok(path) = std::env::var("TRIBUNE_EVENT_HASHES") else { return };
    let line = format!("{network} seed {seed}: {:016x}\n", fingerprint.value());
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("the fingerprint of seed {seed} is not in {path}: {error}");
    }
}

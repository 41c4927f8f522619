//! Conditions under which a matrix is measured.

use serde::Serialize;

/// Conditions of all cells.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setup {
    pub(crate) machine: String,
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) command: String,
    pub(crate) seeds: Vec<u64>,
    pub(crate) bitrate_bps: u32,
    pub(crate) voices: String,
    pub(crate) speech_seconds: f64,
    /// Reason that there is no PESQ.
    pub(crate) no_pesq: Option<String>,
    pub(crate) took_seconds: f64,
}

//! Check of the plan's arithmetic: a tree on this machine is predicted, run, and compared. Each layer is
//! one relay; the last one has all listeners.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use tribune_protocol::domain::profile::Profile;

use super::costs::Costs;
use super::tree::{Prediction, Speech, predict};
use crate::child_run::{ChildRun, split_words};

/// Size of the tree that is run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Size {
    pub(crate) listeners: u32,
    /// Layers, one relay each.
    pub(crate) depth: u8,
    /// Length of the run.
    pub(crate) seconds: u32,
    /// Opus bytes in a frame.
    pub(crate) frame_bytes: u16,
}

/// Prediction and measurement, row by row.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Checked {
    pub(crate) size: Size,
    pub(crate) rows: Vec<Row>,
}

/// One metric, predicted and measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    #[serde(rename = "figure")]
    pub(crate) metric: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) predicted: f64,
    pub(crate) measured: f64,
    /// Error of the prediction, in percent of the measurement.
    pub(crate) error_percent: f64,
}

/// Predicts, runs a load of that size, and compares.
///
/// # Errors
/// The load fails or does not report what is predicted.
pub(crate) fn run(costs: &Costs, size: Size) -> Result<Checked> {
    let profile = Profile::Live;
    let speech = Speech { speakers: 1, frame_bytes: size.frame_bytes, profile, web_share: 0.0 };
    let predicted = predict(costs, size.listeners, size.depth, speech);
    let Size { listeners, depth, seconds, frame_bytes } = size;
    let load = format!(
        "load --listeners {listeners} --depth {depth} --seconds {seconds} --frame-bytes {frame_bytes}"
    );
    compare(size, &predicted, &ChildRun::run_load(&split_words(&load))?)
}

fn compare(size: Size, predicted: &Prediction, load: &ChildRun) -> Result<Checked> {
    let row = |metric, unit, predicted: f64, measured: f64| Row {
        metric,
        unit,
        predicted,
        measured,
        error_percent: (predicted - measured) / measured * 100.0,
    };
    let memory_mib =
        load.number("/relay_memory_kib_per_listener_after")? * f64::from(size.listeners) / 1024.0;
    let p50_ms = load.number("/added_delay_us/p50")? / 1e3;
    let p99_ms = load.number("/added_delay_us/p99")? / 1e3;
    Ok(Checked {
        size,
        rows: vec![
            row(
                "CPU of the last relay",
                "cores",
                predicted.edge_cores,
                load.number("/relay_cores")?,
            ),
            row("memory its listeners add", "MiB", predicted.edge_memory_mib, memory_mib),
            row("delay p50", "ms", predicted.p50_ms, p50_ms),
            row("delay p99", "ms", predicted.p99_ms, p99_ms),
        ],
    })
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { listeners, depth, seconds, .. } = self.size;
        writeln!(f, "{listeners} listeners behind {depth} layer(s), {seconds} s")?;
        write!(f, "  {:<28}{:>12}{:>12}{:>10}", "figure", "predicted", "measured", "error")?;
        for row in &self.rows {
            let metric = format!("{}, {}", row.metric, row.unit);
            let (predicted, measured) = (row.predicted, row.measured);
            write!(f, "\n  {metric:<28}{predicted:>12.2}{measured:>12.2}")?;
            write!(f, "{:>8.0} %", row.error_percent)?;
        }
        Ok(())
    }
}

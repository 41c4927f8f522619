//! What listeners report, as the hub has added it up: the series of [`QualityTotals`].

use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::distribution::Distribution;
use super::histogram::Histograms;
use super::register;

/// From the microphone to the ear, in microseconds.
const LATENCY_BOUNDS_US: [u64; 19] = [
    10_000, 20_000, 30_000, 40_000, 50_000, 60_000, 80_000, 100_000, 120_000, 150_000, 200_000,
    250_000, 300_000, 400_000, 500_000, 750_000, 1_000_000, 2_000_000, 5_000_000,
];
/// How far off a latency may be, in microseconds: a network of one's own to a bad mobile one.
const ERROR_BOUNDS_US: [u64; 10] =
    [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];
const JITTER_BOUNDS_US: [u64; 9] =
    [1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000];
/// A listener's buffer is 40 to 400 ms deep, in whole frames.
const BUFFER_BOUNDS_US: [u64; 10] =
    [20_000, 40_000, 60_000, 80_000, 100_000, 120_000, 160_000, 200_000, 300_000, 400_000];
const RTT_BOUNDS_US: [u64; 13] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 75_000, 100_000, 150_000, 200_000,
    300_000, 500_000,
];
/// Shares of frames, in parts per million. The first is none at all.
const SHARE_BOUNDS_PPM: [u64; 10] =
    [0, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000];

/// Everything that participants of this relay have reported since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualityTotals {
    /// Reports taken.
    pub reports: u64,
    /// Reports that were not: too many, or of somebody who is not in a room.
    pub reports_refused: u64,
    /// Frames that came.
    pub received: u64,
    /// Frames that never came, or too late to be played.
    pub lost: u64,
    /// Frames that came because they were asked for.
    pub repaired: u64,
    /// Frames that were filled in.
    pub concealed: u64,
    /// Frames that came too late.
    pub late: u64,
    /// From the microphone to the ear, a value a report, in microseconds.
    pub latency: Distribution,
    /// How far off that may be, in microseconds.
    pub latency_error: Distribution,
    /// Jitter of arrivals, in microseconds.
    pub jitter: Distribution,
    /// Depth of the buffer, in microseconds.
    pub buffer: Distribution,
    /// Round trip to the relay, in microseconds.
    pub rtt: Distribution,
    /// Lost frames of those expected, in parts per million.
    pub loss: Distribution,
    /// Concealed frames of those played, in parts per million.
    pub concealment: Distribution,
}

impl Default for QualityTotals {
    fn default() -> Self {
        Self {
            reports: 0,
            reports_refused: 0,
            received: 0,
            lost: 0,
            repaired: 0,
            concealed: 0,
            late: 0,
            latency: Distribution::new(&LATENCY_BOUNDS_US),
            latency_error: Distribution::new(&ERROR_BOUNDS_US),
            jitter: Distribution::new(&JITTER_BOUNDS_US),
            buffer: Distribution::new(&BUFFER_BOUNDS_US),
            rtt: Distribution::new(&RTT_BOUNDS_US),
            loss: Distribution::new(&SHARE_BOUNDS_PPM),
            concealment: Distribution::new(&SHARE_BOUNDS_PPM),
        }
    }
}

/// A distribution and the metric that it becomes.
struct Shown {
    name: &'static str,
    help: &'static str,
    read: fn(&QualityTotals) -> &Distribution,
}

#[rustfmt::skip]
const SHOWN: [Shown; 7] = [
    Shown { name: "tribune_relay_listener_latency_seconds", help: "From the microphone to the ear, as listeners report it.", read: |q| &q.latency },
    Shown { name: "tribune_relay_listener_latency_error_seconds", help: "How far off the latencies reported may be.", read: |q| &q.latency_error },
    Shown { name: "tribune_relay_listener_jitter_seconds", help: "Jitter of arrivals, as listeners report it.", read: |q| &q.jitter },
    Shown { name: "tribune_relay_listener_buffer_seconds", help: "Depth of listeners' buffers.", read: |q| &q.buffer },
    Shown { name: "tribune_relay_listener_rtt_seconds", help: "Round trip of listeners to this relay.", read: |q| &q.rtt },
    Shown { name: "tribune_relay_listener_loss_ratio", help: "Share of frames that listeners lost.", read: |q| &q.loss },
    Shown { name: "tribune_relay_listener_concealed_ratio", help: "Share of frames that listeners had to fill in.", read: |q| &q.concealment },
];

/// How a number is read.
type Read = fn(&QualityTotals) -> u64;

/// Frames by what became of them at listeners, as the label `result` says.
const RESULTS: [(&str, Read); 5] = [
    ("received", |q| q.received),
    ("lost", |q| q.lost),
    ("repaired", |q| q.repaired),
    ("concealed", |q| q.concealed),
    ("late", |q| q.late),
];

/// The series, and what was published last.
#[derive(Debug)]
pub(super) struct QualitySeries {
    distributions: Vec<Histograms>,
    frames: Vec<IntCounter>,
    reports: IntCounter,
    refused: IntCounter,
    last: Mutex<QualityTotals>,
}

impl QualitySeries {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let empty = QualityTotals::default();
        let distributions = SHOWN.iter().map(|shown| {
            let opts = Opts::new(shown.name, shown.help);
            Histograms::register(registry, opts, (shown.read)(&empty))
        });
        let distributions = distributions.collect::<Result<_, _>>()?;
        let frames = Opts::new(
            "tribune_relay_listener_frames_total",
            "Frames in listeners' reports, by what became of them.",
        );
        let frames = register(registry, IntCounterVec::new(frames, &["result"]))?;
        let counter = |name, help| register(registry, IntCounter::new(name, help));
        Ok(Self {
            distributions,
            frames: RESULTS.iter().map(|(word, _)| frames.with_label_values(&[word])).collect(),
            reports: counter(
                "tribune_relay_listener_reports_total",
                "Reports of participants of this relay.",
            )?,
            refused: counter(
                "tribune_relay_listener_reports_refused_total",
                "Reports that were not taken.",
            )?,
            last: Mutex::default(),
        })
    }

    pub(super) fn publish(&self, now: &QualityTotals) {
        // Nobody else takes this lock: the hub's loop alone publishes.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (histogram, shown) in self.distributions.iter().zip(&SHOWN) {
            histogram.grow(0, (shown.read)(&last), (shown.read)(now));
        }
        for (counter, (_, read)) in self.frames.iter().zip(&RESULTS) {
            counter.inc_by(read(now).saturating_sub(read(&last)));
        }
        self.reports.inc_by(now.reports.saturating_sub(last.reports));
        self.refused.inc_by(now.reports_refused.saturating_sub(last.reports_refused));
        last.clone_from(now);
    }
}

//! Series of participants' reports, as the hub has added them up.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tribune_protocol::quality::{FrameCounts, Measure, Quality};

use super::histogram::Histograms;
use super::register;

/// Accessor of a count.
type Read = fn(&FrameCounts) -> u64;

/// Fates of frames at listeners, by the label `result`.
const RESULTS: [(&str, Read); 5] = [
    ("received", |frames| frames.received),
    ("lost", |frames| frames.lost),
    ("repaired", |frames| frames.repaired),
    ("concealed", |frames| frames.concealed),
    ("late", |frames| frames.late),
];

/// The series and the last values published.
#[derive(Debug)]
pub(super) struct QualitySeries {
    /// In the order of [`Measure::ALL`].
    distributions: Vec<Histograms>,
    frames: Vec<IntCounter>,
    reports: IntCounter,
    last: Mutex<Quality>,
}

impl QualitySeries {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let distributions = Measure::ALL.iter().map(|measure| {
            let (name, help) = shown(*measure);
            // Microseconds are millionths of a second; shares and runs are in millionths as they are.
            let bounds = measure.bounds().iter().map(|bound| u64::from(*bound)).collect();
            Histograms::register_bounds(registry, Opts::new(name, help), bounds)
        });
        let distributions = distributions.collect::<Result<_, _>>()?;
        let frames = Opts::new(
            "tribune_relay_listener_frames_total",
            "Frames in reports of participants of this relay, by what became of them.",
        );
        let frames = register(registry, IntCounterVec::new(frames, &["result"]))?;
        let reports = IntCounter::new(
            "tribune_relay_listener_reports_total",
            "Reports of participants of this relay.",
        );
        Ok(Self {
            distributions,
            frames: RESULTS.iter().map(|(word, _)| frames.with_label_values(&[word])).collect(),
            reports: register(registry, reports)?,
            last: Mutex::default(),
        })
    }

    pub(super) fn publish(&self, now: &Quality) {
        // Nobody else takes this lock: the hub's loop alone publishes.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for (histogram, measure) in self.distributions.iter().zip(Measure::ALL) {
            let (then, now) = (last.of(measure), now.of(measure));
            let sum = now.sum().saturating_sub(then.sum());
            histogram.grow_counts(0, (then.counts(measure), now.counts(measure)), sum);
        }
        for (counter, (_, read)) in self.frames.iter().zip(&RESULTS) {
            counter.inc_by(read(&now.frames).saturating_sub(read(&last.frames)));
        }
        self.reports.inc_by(now.reports.saturating_sub(last.reports));
        *last = *now;
    }
}

/// A measure's metric and its help text.
const fn shown(measure: Measure) -> (&'static str, &'static str) {
    match measure {
        Measure::Latency => (
            "tribune_relay_listener_latency_seconds",
            "From capture at the speaker to playout, as participants of this relay report it.",
        ),
        Measure::LatencyError => (
            "tribune_relay_listener_latency_error_seconds",
            "How far the latencies reported can be from the truth.",
        ),
        Measure::Jitter => (
            "tribune_relay_listener_jitter_seconds",
            "Interarrival jitter, as participants of this relay report it.",
        ),
        Measure::Buffer => (
            "tribune_relay_listener_buffer_seconds",
            "Sound that waits to be played, as participants of this relay report it.",
        ),
        Measure::RoundTrip => {
            ("tribune_relay_listener_rtt_seconds", "Round trip of participants to this relay.")
        }
        Measure::Loss => (
            "tribune_relay_listener_loss_ratio",
            "Share of frames that never came, as participants of this relay report it.",
        ),
        Measure::Concealed => (
            "tribune_relay_listener_concealed_ratio",
            "Share of frame periods made up, as participants of this relay report it.",
        ),
        Measure::RunLength => (
            "tribune_relay_listener_run_length_frames",
            "Mean length of the runs of lost frames, as participants of this relay report it.",
        ),
    }
}

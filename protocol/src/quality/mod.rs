//! Reception quality of a room, in a form that adds up: listeners' reports folded into counts over fixed
//! bounds. Edges fold, relays add, and no report is tied to its listener. SPEC.md section 8.20.
//!
//! Pure and of fixed size: a [`Quality`] has about 1.5 KB, for any number of listeners.

use serde::{Deserialize, Serialize};

mod distribution;
mod measure;
pub mod protection_filter;
pub mod report;

use distribution::WrittenDistribution;
pub use distribution::{Distribution, MAX_BUCKETS};
pub use measure::Measure;
use report::Report;

/// Longest latency that is told apart, in microseconds: a longer one is a clock's fault.
const MAX_MEASURED_US: u32 = 60_000_000;
/// Parts of a whole, in the unit of ratios.
const MILLION: u64 = 1_000_000;

/// Frames, as listeners count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FrameCounts {
    /// Received, late ones included and duplicates not.
    pub received: u64,
    /// Never received.
    pub lost: u64,
    /// Missing at first, and then had by repair or from the following frame.
    pub repaired: u64,
    /// Frame periods made up.
    pub concealed: u64,
    /// Received too late to be played.
    pub late: u64,
    /// Runs of frames that were not there in their turn.
    #[serde(default)]
    pub runs: u64,
}

/// Reports of any number of listeners, folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quality {
    /// The number of reports.
    pub reports: u64,
    /// The frames that they count.
    pub frames: FrameCounts,
    distributions: [Distribution; Measure::ALL.len()],
}

/// A [`Quality`] in a few numbers, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualitySummary {
    /// The number of reports.
    pub reports: u64,
    /// The frames that they count.
    #[serde(flatten)]
    pub frames: FrameCounts,
    /// From capture to playout, in microseconds; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Spread>,
    /// Error bound of the latencies, for 99 of 100, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_error_us: Option<u32>,
    /// Interarrival jitter, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Spread>,
    /// Sound that waits to be played, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Spread>,
    /// Round trips to the edges, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip: Option<Spread>,
}

/// Quantiles and mean of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them stay under.
    pub p50: u32,
    /// 99 of 100 stay under.
    pub p99: u32,
    /// The mean.
    pub mean: u32,
}

impl Quality {
    /// The distribution of a measure.
    #[must_use]
    pub const fn of(&self, measure: Measure) -> &Distribution {
        &self.distributions[measure as usize]
    }

    /// Whether nobody has reported.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.reports == 0
    }

    /// Adds a listener's report.
    pub fn add(&mut self, report: &Report) {
        self.reports += 1;
        let frames = &mut self.frames;
        frames.received = frames.received.saturating_add(u64::from(report.received));
        frames.lost = frames.lost.saturating_add(u64::from(report.lost));
        frames.repaired = frames.repaired.saturating_add(u64::from(report.repaired));
        frames.concealed = frames.concealed.saturating_add(u64::from(report.concealed));
        frames.late = frames.late.saturating_add(u64::from(report.late));
        frames.runs = frames.runs.saturating_add(u64::from(report.runs));
        let mut note = |measure: Measure, value: Option<u32>| {
            if let Some(value) = value {
                self.distributions[measure as usize].add(measure, value.min(MAX_MEASURED_US));
            }
        };
        let latency_us = report.latency_us.filter(|_| !report.is_delayed);
        note(Measure::Latency, latency_us);
        note(Measure::LatencyError, latency_us.and(report.latency_error_us));
        note(Measure::RoundTrip, Some(report.rtt_us).filter(|rtt_us| *rtt_us > 0));
        // Who has heard nobody has neither jitter nor loss.
        if report.expected() > 0 {
            note(Measure::Jitter, Some(report.jitter_us).filter(|_| !report.is_delayed));
            note(Measure::Buffer, Some(report.buffer_us).filter(|_| !report.is_delayed));
            note(Measure::Loss, Some(report.loss_ppm()));
            note(Measure::Concealed, Some(report.concealed_ppm()));
            note(Measure::RunLength, report.run_length());
        }
    }

    /// Adds reports folded elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.reports = self.reports.saturating_add(other.reports);
        let frames = &mut self.frames;
        frames.received = frames.received.saturating_add(other.frames.received);
        frames.lost = frames.lost.saturating_add(other.frames.lost);
        frames.repaired = frames.repaired.saturating_add(other.frames.repaired);
        frames.concealed = frames.concealed.saturating_add(other.frames.concealed);
        frames.late = frames.late.saturating_add(other.frames.late);
        frames.runs = frames.runs.saturating_add(other.frames.runs);
        for (mine, theirs) in self.distributions.iter_mut().zip(&other.distributions) {
            mine.merge(theirs);
        }
    }

    /// The same in a few numbers; `None` if nobody has reported.
    #[must_use]
    pub fn summary(&self) -> Option<QualitySummary> {
        let spread = |measure| {
            let distribution = self.of(measure);
            Some(Spread {
                p50: distribution.quantile(measure, 0.5)?,
                p99: distribution.quantile(measure, 0.99)?,
                mean: distribution.mean()?,
            })
        };
        (!self.is_empty()).then(|| QualitySummary {
            reports: self.reports,
            frames: self.frames,
            latency: spread(Measure::Latency),
            latency_error_us: self.of(Measure::LatencyError).quantile(Measure::LatencyError, 0.99),
            jitter: spread(Measure::Jitter),
            buffer: spread(Measure::Buffer),
            round_trip: spread(Measure::RoundTrip),
        })
    }
}

impl FrameCounts {
    /// Frames that never came, of those that should have, in millionths; 0 if none should have.
    #[must_use]
    pub const fn loss_ppm(&self) -> u32 {
        ppm(self.lost, self.received.saturating_add(self.lost))
    }

    /// Frame periods made up, of those in which somebody spoke, in millionths; 0 if nobody did.
    #[must_use]
    pub const fn concealed_ppm(&self) -> u32 {
        ppm(self.concealed, self.received.saturating_add(self.lost))
    }
}

/// A share in millionths, 1,000,000 at the most; 0 of nothing.
#[must_use]
pub const fn ppm(part: u64, whole: u64) -> u32 {
    if whole == 0 {
        return 0;
    }
    let share = part as u128 * MILLION as u128 / whole as u128;
    if share > MILLION as u128 { MILLION as u32 } else { share as u32 }
}

/// The wire form: an array of counts for each measure that has any, without zeros at its end.
#[derive(Serialize, Deserialize)]
struct Written {
    reports: u64,
    #[serde(flatten)]
    frames: FrameCounts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency: Option<WrittenDistribution>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_error: Option<WrittenDistribution>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jitter: Option<WrittenDistribution>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    buffer: Option<WrittenDistribution>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    round_trip: Option<WrittenDistribution>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss: Option<WrittenDistribution>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concealment: Option<WrittenDistribution>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_length: Option<WrittenDistribution>,
}

impl Serialize for Quality {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = |measure| WrittenDistribution::of(self.of(measure));
        let written = Written {
            reports: self.reports,
            frames: self.frames,
            latency: of(Measure::Latency),
            latency_error: of(Measure::LatencyError),
            jitter: of(Measure::Jitter),
            buffer: of(Measure::Buffer),
            round_trip: of(Measure::RoundTrip),
            loss: of(Measure::Loss),
            concealment: of(Measure::Concealed),
            run_length: of(Measure::RunLength),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Quality {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let mut read = Self { reports: written.reports, frames: written.frames, ..Self::default() };
        let of_each = [
            (Measure::Latency, written.latency),
            (Measure::LatencyError, written.latency_error),
            (Measure::Jitter, written.jitter),
            (Measure::Buffer, written.buffer),
            (Measure::RoundTrip, written.round_trip),
            (Measure::Loss, written.loss),
            (Measure::Concealed, written.concealment),
            (Measure::RunLength, written.run_length),
        ];
        for (measure, distribution) in of_each {
            if let Some(distribution) = distribution {
                read.distributions[measure as usize] = distribution.read(measure);
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report() -> impl Strategy<Value = Report> {
        let frames = (0u32..400, 0u32..100, 0u32..50, 0u32..100, 0u32..20, 0u32..30);
        let delays = (0u32..500_000, 0u32..300_000, 0u32..400_000);
        let latency = prop::option::of((0u32..9_000_000, 0u32..200_000));
        (frames, delays, latency).prop_map(|(frames, delays, latency)| {
            let (received, lost, repaired, concealed, late, runs) = frames;
            let (buffer_us, jitter_us, rtt_us) = delays;
            Report {
                received,
                lost,
                repaired,
                answered: repaired,
                concealed,
                late,
                runs,
                buffer_us,
                jitter_us,
                rtt_us,
                latency_us: latency.map(|(latency, _)| latency),
                latency_max_us: latency.map(|(latency, _)| latency),
                latency_error_us: latency.map(|(_, error)| error),
                is_delayed: false,
            }
        })
    }

    fn folded(reports: &[Report]) -> Quality {
        let mut quality = Quality::default();
        reports.iter().for_each(|report| quality.add(report));
        quality
    }

    proptest! {
        /// Folding apart and adding later gives the same as folding all at once.
        #[test]
        fn adding_up_is_the_same_in_any_order(
            reports in prop::collection::vec(report(), 0..40), cut in 0usize..40,
        ) {
            let (first, second) = reports.split_at(cut.min(reports.len()));
            let (mut one, mut other) = (folded(first), folded(second));
            one.merge(&folded(second));
            other.merge(&folded(first));
            prop_assert_eq!(one, folded(&reports));
            prop_assert_eq!(other, one);
        }

        /// The quantile lies in the bucket of the value that it stands for.
        #[test]
        fn quantiles_are_right_to_a_bucket(values in prop::collection::vec(0u32..6_000_000, 1..60), q in 0.0f64..1.0) {
            let mut distribution = Distribution::default();
            let mut sorted = values.clone();
            sorted.sort_unstable();
            values.iter().for_each(|value| distribution.add(Measure::Latency, *value));
            let bounds = Measure::Latency.bounds();
            let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let bucket = bounds.partition_point(|bound| *bound < sorted[rank - 1]);
            let upper = bounds.get(bucket).copied().unwrap_or(5_000_000);
            let lower = bucket.checked_sub(1).map_or(0, |below| bounds[below]);
            let found = distribution.quantile(Measure::Latency, q).unwrap();
            prop_assert!((lower..=upper).contains(&found), "{found} not in {lower}..={upper}");
        }

        #[test]
        fn what_is_written_is_read_back(reports in prop::collection::vec(report(), 0..40)) {
            let quality = folded(&reports);
            let value = ciborium::Value::serialized(&quality).unwrap();
            prop_assert_eq!(value.deserialized::<Quality>().unwrap(), quality);
        }
    }

    #[test]
    fn buckets_fit_and_ascend() {
        for (number, measure) in Measure::ALL.into_iter().enumerate() {
            assert_eq!(measure as usize, number);
            let bounds = measure.bounds();
            assert!(bounds.len() < MAX_BUCKETS, "{measure:?}");
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{measure:?}");
        }
    }

    #[test]
    fn counts_of_a_later_version_go_into_the_last_bucket() {
        let counts = vec![1u64; 40];
        let written = WrittenDistribution { sum: 7, counts };
        let read = written.read(Measure::Jitter);
        assert_eq!(read.count(), 40);
        assert_eq!(read.counts(Measure::Jitter)[9], 31);
    }

    #[test]
    fn who_hears_nobody_has_no_loss_and_no_jitter() {
        let silent = Report { rtt_us: 300, ..Report::default() };
        let quality = folded(&[silent]);
        assert_eq!(quality.of(Measure::Loss).count(), 0);
        assert_eq!(quality.of(Measure::RoundTrip).count(), 1);
        let summary = quality.summary().unwrap();
        assert_eq!((summary.latency, summary.jitter), (None, None));
        assert_eq!(Quality::default().summary(), None);
    }
}

//! Distributions of the relay core as Prometheus histograms. The library's own histogram takes one value
//! after another; these take counts that are in buckets already, a few times a second.
//!
//! Everything is atomic: a publisher never waits for a scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Opts, Registry};
use tribune_relay_core::counters::distribution::Distribution;

use super::MILLION;

/// One metric with a histogram for each value of its label, or with one alone.
#[derive(Debug, Clone)]
pub(super) struct Histograms(Arc<Family>);

#[derive(Debug)]
struct Family {
    opts: Opts,
    desc: Desc,
    /// In millionths.
    bounds: Vec<u64>,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    labels: Vec<LabelPair>,
    /// Of each range between bounds, and above the last.
    counts: Vec<AtomicU64>,
    /// In millionths.
    sum: AtomicU64,
}

impl Histograms {
    /// A metric without a label.
    pub(super) fn register(
        registry: &Registry,
        opts: Opts,
        empty: &Distribution,
    ) -> Result<Self, prometheus::Error> {
        Self::new(registry, opts, None, empty.bounds().to_vec())
    }

    /// A metric without a label, with those bounds, in millionths.
    pub(super) fn register_bounds(
        registry: &Registry,
        opts: Opts,
        bounds: Vec<u64>,
    ) -> Result<Self, prometheus::Error> {
        Self::new(registry, opts, None, bounds)
    }

    /// A metric with a series for each of a label's values, in their order.
    pub(super) fn register_by(
        registry: &Registry,
        opts: Opts,
        (label, values): (&str, &[&str]),
        empty: &Distribution,
    ) -> Result<Self, prometheus::Error> {
        Self::new(registry, opts, Some((label, values)), empty.bounds().to_vec())
    }

    /// Adds a series' growth since `last`.
    pub(super) fn grow(&self, series: usize, last: &Distribution, now: &Distribution) {
        let sum = now.sum().saturating_sub(last.sum());
        self.grow_counts(series, (last.counts(), now.counts()), sum);
    }

    /// As [`Self::grow`], from the counts of each bucket then and now, and the sum's growth.
    pub(super) fn grow_counts(&self, series: usize, (last, now): (&[u64], &[u64]), sum: u64) {
        let series = &self.0.series[series];
        for (cell, (now, last)) in series.counts.iter().zip(now.iter().zip(last)) {
            cell.fetch_add(now.saturating_sub(*last), Ordering::Relaxed);
        }
        series.sum.fetch_add(sum, Ordering::Relaxed);
    }

    fn new(
        registry: &Registry,
        opts: Opts,
        by: Option<(&str, &[&str])>,
        bounds: Vec<u64>,
    ) -> Result<Self, prometheus::Error> {
        let series = |labels| Series {
            labels,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        };
        let names = by.iter().map(|(label, _)| (*label).to_owned()).collect();
        let desc =
            Desc::new(opts.name.clone(), opts.help.clone(), names, opts.const_labels.clone())?;
        let series = match by {
            None => vec![series(Vec::new())],
            Some((label, values)) => {
                values.iter().map(|value| series(vec![pair(label, value)])).collect()
            }
        };
        let family = Self(Arc::new(Family { opts, desc, bounds, series }));
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

impl Collector for Histograms {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.0.opts.name.clone());
        family.set_help(self.0.opts.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family
            .set_metric(self.0.series.iter().map(|series| series.metric(&self.0.bounds)).collect());
        vec![family]
    }
}

impl Series {
    /// The number of values is that of the buckets, also while some are being added.
    fn metric(&self, bounds: &[u64]) -> Metric {
        let mut below = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (place, cell) in self.counts.iter().enumerate() {
            below += cell.load(Ordering::Relaxed);
            // Values above the last bound are in the count alone.
            let Some(bound) = bounds.get(place) else { break };
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / MILLION);
            bucket.set_cumulative_count(below);
            buckets.push(bucket);
        }
        let mut histogram = Histogram::default();
        histogram.set_sample_count(below);
        histogram.set_sample_sum(self.sum.load(Ordering::Relaxed) as f64 / MILLION);
        histogram.set_bucket(buckets);
        let mut metric = Metric::from_label(self.labels.clone());
        metric.set_histogram(histogram);
        metric
    }
}

fn pair(label: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(label.to_owned());
    pair.set_value(value.to_owned());
    pair
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, TextEncoder};

    use super::*;

    #[test]
    fn what_is_published_adds_up_and_is_cumulative() {
        let registry = Registry::new();
        let empty = Distribution::new(&[1_000, 20_000]);
        let by = ("side", &["left", "right"][..]);
        let opts = Opts::new("x_seconds", "Seconds.");
        let family = Histograms::register_by(&registry, opts, by, &empty).unwrap();
        // Two shards publish into the same series.
        let (mut one, mut two) = (empty.clone(), empty.clone());
        one.observe(500);
        one.observe(30_000);
        two.observe(20_000);
        family.grow(1, &empty, &one);
        family.grow(1, &empty, &two);
        let before = one.clone();
        one.observe(700);
        family.grow(1, &before, &one);
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{side=\"right\",le=\"0.001\"} 2",
            "x_seconds_bucket{side=\"right\",le=\"0.02\"} 3",
            "x_seconds_bucket{side=\"right\",le=\"+Inf\"} 4",
            "x_seconds_sum{side=\"right\"} 0.0512",
            "x_seconds_count{side=\"right\"} 4",
            "x_seconds_count{side=\"left\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in {text}");
        }
    }
}

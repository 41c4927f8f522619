//! Prometheus metrics. The pure cores count in plain structs ([`ShardCounters`], [`HubCounters`]);
//! whoever drives them publishes snapshots here, a few times a second, off the audio path. The store's
//! thread counts here itself.
//!
//! The number of series depends on the number of shards and on nothing else: no label names a room, a
//! listener or an address.

use std::num::NonZeroU8;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

mod counters;
mod process;
mod store;

pub use counters::{DropCause, Drops, HubCounters, REFUSALS, Refusals, ShardCounters};
use counters::{HUB_COUNTERS, HUB_GAUGES, Row, SHARD_COUNTERS, SHARD_GAUGES};
use process::ProcessMetrics;
use store::StoreSeries;

use crate::store::StoreError;

/// Bounds of the loop-turn histogram, in seconds. A frame waits for at most one turn, so what counts
/// is how far below the 20 ms of a frame period turns stay.
const TURN_BUCKETS: [f64; 11] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2];

/// All metrics of one relay.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    shards: Vec<ShardSeries>,
    hub: HubSeries,
    store: StoreSeries,
    process: ProcessMetrics,
}

/// One shard's series and what was published last.
#[derive(Debug)]
struct ShardSeries {
    counters: Vec<IntCounter>,
    gauges: Vec<IntGauge>,
    drops: Vec<IntCounter>,
    turns: Histogram,
    last: Mutex<ShardCounters>,
}

#[derive(Debug)]
struct HubSeries {
    counters: Vec<IntCounter>,
    gauges: Vec<IntGauge>,
    refusals: Vec<IntCounter>,
    last: Mutex<HubCounters>,
}

impl Metrics {
    /// Metrics of a relay with that many shards, all at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`], if two metrics have one name.
    pub fn new(shards: NonZeroU8) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new("tribune_relay_build_info", "The version that runs. Always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        Ok(Self {
            shards: shard_series(&registry, shards.get())?,
            hub: hub_series(&registry)?,
            store: StoreSeries::register(&registry)?,
            process: ProcessMetrics::register(&registry)?,
            registry,
        })
    }

    /// Takes a shard's counters as they are now: counters grow by the difference to the last time,
    /// gauges are set. A shard that the relay does not have is passed over.
    pub fn publish_shard(&self, shard: u8, now: &ShardCounters) {
        let Some(series) = self.shards.get(usize::from(shard)) else { return };
        let mut last = series.last.lock().unwrap_or_else(PoisonError::into_inner);
        grow(&series.counters, &SHARD_COUNTERS, &last, now);
        set(&series.gauges, &SHARD_GAUGES, now);
        for (counter, cause) in series.drops.iter().zip(DropCause::ALL) {
            counter
                .inc_by(now.frames_dropped.of(cause).saturating_sub(last.frames_dropped.of(cause)));
        }
        last.clone_from(now);
    }

    /// Takes the hub's counters as they are now.
    pub fn publish_hub(&self, now: &HubCounters) {
        let mut last = self.hub.last.lock().unwrap_or_else(PoisonError::into_inner);
        grow(&self.hub.counters, &HUB_COUNTERS, &last, now);
        set(&self.hub.gauges, &HUB_GAUGES, now);
        for (counter, code) in self.hub.refusals.iter().zip(REFUSALS) {
            counter.inc_by(now.joins_refused.of(code).saturating_sub(last.joins_refused.of(code)));
        }
        last.clone_from(now);
    }

    /// Notes how long one turn of a shard's loop took, waiting not counted.
    pub fn observe_turn(&self, shard: u8, turn: Duration) {
        if let Some(series) = self.shards.get(usize::from(shard)) {
            series.turns.observe(turn.as_secs_f64());
        }
    }

    /// Notes how long one commit of the store took, failed or not.
    pub fn observe_store_write(&self, took: Duration) {
        self.store.observe(took);
    }

    /// Counts a decision that the store has taken or refused.
    pub fn count_store_write(&self, result: &Result<(), StoreError>) {
        self.store.count(result);
    }

    /// Everything in Prometheus's text format, version 0.0.4.
    ///
    /// # Errors
    /// [`prometheus::Error`], if a metric cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        self.process.refresh();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

fn shard_series(registry: &Registry, shards: u8) -> Result<Vec<ShardSeries>, prometheus::Error> {
    let counters =
        SHARD_COUNTERS.map(|row| register(registry, IntCounterVec::new(row.opts(), &["shard"])));
    let gauges =
        SHARD_GAUGES.map(|row| register(registry, IntGaugeVec::new(row.opts(), &["shard"])));
    let drops = Opts::new(
        "tribune_relay_frames_dropped_total",
        "Frames that this relay did not pass on, by cause.",
    );
    let drops = register(registry, IntCounterVec::new(drops, &["shard", "cause"]))?;
    let turns = HistogramOpts::new(
        "tribune_relay_turn_seconds",
        "Time of one turn of a shard's loop, waiting not counted.",
    );
    let turns = turns.buckets(TURN_BUCKETS.to_vec());
    let turns = register(registry, HistogramVec::new(turns, &["shard"]))?;
    let counters: Vec<_> = counters.into_iter().collect::<Result<_, _>>()?;
    let gauges: Vec<_> = gauges.into_iter().collect::<Result<_, _>>()?;
    let one = |shard: u8| {
        let shard = shard.to_string();
        let shard = shard.as_str();
        ShardSeries {
            counters: counters.iter().map(|vec| vec.with_label_values(&[shard])).collect(),
            gauges: gauges.iter().map(|vec| vec.with_label_values(&[shard])).collect(),
            drops: DropCause::ALL
                .iter()
                .map(|cause| drops.with_label_values(&[shard, cause.as_str()]))
                .collect(),
            turns: turns.with_label_values(&[shard]),
            last: Mutex::default(),
        }
    };
    Ok((0..shards).map(one).collect())
}

fn hub_series(registry: &Registry) -> Result<HubSeries, prometheus::Error> {
    let counters = HUB_COUNTERS.map(|row| register(registry, IntCounter::with_opts(row.opts())));
    let gauges = HUB_GAUGES.map(|row| register(registry, IntGauge::with_opts(row.opts())));
    let refusals =
        Opts::new("tribune_relay_joins_refused_total", "Joins refused, by the error code.");
    let refusals = register(registry, IntCounterVec::new(refusals, &["code"]))?;
    Ok(HubSeries {
        counters: counters.into_iter().collect::<Result<_, _>>()?,
        gauges: gauges.into_iter().collect::<Result<_, _>>()?,
        refusals: REFUSALS
            .iter()
            .map(|code| refusals.with_label_values(&[code.as_str()]))
            .collect(),
        last: Mutex::default(),
    })
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn grow<S>(counters: &[IntCounter], rows: &[Row<S>], last: &S, now: &S) {
    for (counter, row) in counters.iter().zip(rows) {
        counter.inc_by((row.read)(now).saturating_sub((row.read)(last)));
    }
}

fn set<S>(gauges: &[IntGauge], rows: &[Row<S>], now: &S) {
    for (gauge, row) in gauges.iter().zip(rows) {
        gauge.set(i64::try_from((row.read)(now)).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tribune_protocol::codes::ErrorCode;

    fn metrics(shards: u8) -> Metrics {
        Metrics::new(NonZeroU8::new(shards).unwrap()).unwrap()
    }

    /// The value of one series in the rendered text.
    fn value(metrics: &Metrics, series: &str) -> f64 {
        let text = metrics.render().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }

    #[test]
    fn counters_grow_by_differences_and_gauges_are_set() {
        let metrics = metrics(2);
        let mut shard = ShardCounters { frames_in: 5, connections: 9, ..ShardCounters::default() };
        metrics.publish_shard(1, &shard);
        shard.frames_in = 7;
        shard.connections = 3;
        metrics.publish_shard(1, &shard);
        metrics.publish_shard(1, &shard);
        assert_eq!(value(&metrics, "tribune_relay_frames_received_total{shard=\"1\"}"), 7.0);
        assert_eq!(value(&metrics, "tribune_relay_frames_received_total{shard=\"0\"}"), 0.0);
        assert_eq!(value(&metrics, "tribune_relay_connections{shard=\"1\"}"), 3.0);
    }

    #[test]
    fn every_cause_of_a_drop_has_its_series() {
        let metrics = metrics(1);
        let mut shard = ShardCounters::default();
        for (n, cause) in DropCause::ALL.into_iter().enumerate() {
            shard.frames_dropped.count(cause, n as u64 + 1);
        }
        metrics.publish_shard(0, &shard);
        for (n, cause) in DropCause::ALL.into_iter().enumerate() {
            let cause = cause.as_str();
            let series =
                format!("tribune_relay_frames_dropped_total{{cause=\"{cause}\",shard=\"0\"}}");
            assert_eq!(value(&metrics, &series), n as f64 + 1.0);
        }
    }

    #[test]
    fn the_hub_counts_refusals_by_code() {
        let metrics = metrics(1);
        let mut hub = HubCounters { rooms: 2, joins_ok: 4, ..HubCounters::default() };
        hub.joins_refused.count(ErrorCode::StageFull);
        hub.joins_refused.count(ErrorCode::StageFull);
        hub.joins_refused.count(ErrorCode::Unknown);
        metrics.publish_hub(&hub);
        metrics.publish_hub(&hub);
        let refused = |code: &str| format!("tribune_relay_joins_refused_total{{code=\"{code}\"}}");
        assert_eq!(value(&metrics, &refused("stage_full")), 2.0);
        assert_eq!(value(&metrics, &refused("unknown")), 1.0);
        assert_eq!(value(&metrics, &refused("barred")), 0.0);
        assert_eq!(value(&metrics, "tribune_relay_rooms"), 2.0);
        assert_eq!(value(&metrics, "tribune_relay_joins_total"), 4.0);
    }

    #[test]
    fn turns_are_observed_per_shard() {
        let metrics = metrics(2);
        metrics.observe_turn(1, Duration::from_micros(300));
        metrics.observe_turn(7, Duration::from_secs(1));
        let below =
            |le: &str| format!("tribune_relay_turn_seconds_bucket{{shard=\"1\",le=\"{le}\"}}");
        assert_eq!(value(&metrics, &below("0.00025")), 0.0);
        assert_eq!(value(&metrics, &below("0.0005")), 1.0);
        assert_eq!(value(&metrics, "tribune_relay_turn_seconds_count{shard=\"0\"}"), 0.0);
    }

    #[test]
    fn names_follow_the_conventions_and_the_number_of_series_is_fixed() {
        let metrics = metrics(2);
        let series = |text: String| text.lines().filter(|line| !line.starts_with('#')).count();
        let before = metrics.render().unwrap();
        for line in before.lines().filter(|line| line.starts_with("# TYPE")) {
            let mut words = line.split(' ').skip(2);
            let (name, kind) = (words.next().unwrap(), words.next().unwrap());
            assert!(name.starts_with("tribune_relay_") || name.starts_with("process_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        }
        let busy = ShardCounters { rooms: 500, connections: 2_000, ..ShardCounters::default() };
        metrics.publish_shard(0, &busy);
        assert_eq!(series(metrics.render().unwrap()), series(before));
    }
}

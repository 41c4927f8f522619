//! Prometheus metrics. The relay core counts in plain structs ([`ShardCounters`], [`HubCounters`]); its
//! drivers publish snapshots here, a few times a second, off the audio path. The store's thread counts
//! here itself.
//!
//! A scrape holds nothing up: it reads atomic numbers, and takes no lock that a shard takes.
//!
//! The number of series is fixed by the number of shards, except those of rooms, which are bounded
//! ([`SeriesLimits`]). No label names a listener or an address.
//!
//! * [`tribune_relay_core::counters`] — the counters themselves; a line there is a metric
//! * [`histogram`] — distributions of the core as histograms
//! * [`shard`], [`hub`], [`rooms`], [`quality`], [`store`], [`certificates`], [`web`], [`process`] — the series, by
//!   their subject

use std::num::NonZeroU8;
use std::time::Duration;

use prometheus::{Encoder, Gauge, IntCounter, IntGauge, Opts, Registry, TextEncoder};
use tribune_protocol::quality::Quality;
use tribune_relay_core::counters::load::Totals;
use tribune_relay_core::counters::{HubCounters, Queue, RoomMetrics, Row, ShardCounters};
use tribune_relay_core::store::StoreError;

mod certificates;
mod histogram;
mod hub;
mod process;
mod quality;
mod rooms;
mod shard;
mod store;
pub mod web;

use certificates::CertificateSeries;
use hub::{HubSeries, QueueSeries};
use process::ProcessMetrics;
use quality::QualitySeries;
use rooms::{RoomSeries, SERIES_PER_ROOM};
use shard::ShardsSeries;
use store::StoreSeries;
use web::WebSeries;

use crate::tls::{Expiry, Outcome};

/// Divisor of values in millionths: microseconds are shown as seconds, parts per million as ratios.
const MILLION: f64 = 1_000_000.0;

/// Bounds of the number of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesLimits {
    /// Rooms that have series of their own, the largest first, as far as `series` reaches.
    pub rooms: usize,
    /// Series of a scrape.
    pub series: usize,
}

impl Default for SeriesLimits {
    /// 20 rooms, 5,000 series: little for a Prometheus that watches a hundred relays.
    fn default() -> Self {
        Self { rooms: 20, series: 5_000 }
    }
}

/// All metrics of one relay.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    shards: ShardsSeries,
    hub: HubSeries,
    queues: QueueSeries,
    rooms: RoomSeries,
    quality: QualitySeries,
    store: StoreSeries,
    certificates: CertificateSeries,
    web: WebSeries,
    process: ProcessMetrics,
    series: IntGauge,
}

impl Metrics {
    /// Metrics of a relay with that many shards, all at zero.
    ///
    /// # Errors
    /// [`prometheus::Error`], if two metrics have one name.
    pub fn new(shards: NonZeroU8, limits: SeriesLimits) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = prometheus::IntGaugeVec::new(
            Opts::new("tribune_relay_build_info", "The version that runs. Always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        let gauge = |name, help| register(&registry, IntGauge::new(name, help));
        let series = gauge("tribune_relay_series", "Series of this answer.")?;
        gauge("tribune_relay_series_limit", "Series that there may be (--metrics-max-series).")?
            .set(i64::try_from(limits.series).unwrap_or(i64::MAX));
        let mut metrics = Self {
            shards: ShardsSeries::register(&registry, shards.get())?,
            hub: HubSeries::register(&registry)?,
            queues: QueueSeries::register(&registry)?,
            rooms: RoomSeries::register(&registry)?,
            quality: QualitySeries::register(&registry)?,
            store: StoreSeries::register(&registry)?,
            certificates: CertificateSeries::register(&registry)?,
            web: WebSeries::register(&registry)?,
            process: ProcessMetrics::register(&registry)?,
            series,
            registry,
        };
        let free = limits.series.saturating_sub(metrics.count_series()?);
        metrics.rooms.set_places(limits.rooms.min(free / SERIES_PER_ROOM));
        Ok(metrics)
    }

    /// The series that a relay with that many shards has in any case: the least that
    /// [`SeriesLimits::series`] can be.
    ///
    /// # Errors
    /// [`prometheus::Error`], if two metrics have one name.
    pub fn fixed_series(shards: NonZeroU8) -> Result<usize, prometheus::Error> {
        Self::new(shards, SeriesLimits { rooms: 0, series: 0 })?.count_series()
    }

    /// Publishes a shard's counters: counters grow by the difference to the last time, gauges are set. A
    /// shard that the relay does not have is passed over.
    pub fn publish_shard(&self, shard: u8, now: &ShardCounters) {
        self.shards.publish(shard, now);
    }

    /// Totals over all shards, by their last publication.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shards.totals()
    }

    /// Publishes the hub's counters.
    pub fn publish_hub(&self, now: &HubCounters) {
        self.hub.publish(now);
    }

    /// Publishes all rooms of the relay; series of a room that is not among them go.
    pub fn publish_rooms(&self, rooms: &[RoomMetrics<'_>]) {
        self.rooms.publish(rooms);
    }

    /// Publishes participants' reports since the relay started.
    pub fn publish_quality(&self, now: &Quality) {
        self.quality.publish(now);
    }

    /// Sets the length of a queue that is not a shard's own: those come with the shard's counters.
    pub fn set_queue_length(&self, queue: Queue, length: usize) {
        self.queues.set_length(queue, length as u64);
    }

    /// Says how much the queues of a kind can hold, over all shards.
    pub fn set_queue_capacity(&self, queue: Queue, capacity: usize) {
        self.queues.set_capacity(queue, capacity as u64);
    }

    /// Notes how long one turn of a shard's loop took, waiting not counted.
    pub fn observe_turn(&self, shard: u8, turn: Duration) {
        self.shards.observe_turn(shard, turn);
    }

    /// Notes how long one commit of the store took, failed or not.
    pub fn observe_store_write(&self, took: Duration) {
        self.store.observe(took);
    }

    /// Counts a decision that the store has taken or refused.
    pub fn count_store_write(&self, result: &Result<(), StoreError>) {
        self.store.count(result);
    }

    /// Sets the end of each certificate's validity.
    pub fn set_certificate_expiry(&self, expiry: Expiry) {
        self.certificates.set_expiry(expiry);
    }

    /// Counts a certificate that was replaced, or could not be.
    pub fn count_certificate(&self, outcome: &Outcome) {
        self.certificates.count(outcome);
    }

    /// Series of the pages' port.
    #[must_use]
    pub const fn web(&self) -> &WebSeries {
        &self.web
    }

    /// Everything in Prometheus's text format, version 0.0.4.
    ///
    /// # Errors
    /// [`prometheus::Error`], if a metric cannot be written as text.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        self.process.refresh();
        for queue in Queue::ALL {
            if let Some(length) = self.shards.waiting(queue) {
                self.queues.set_length(queue, length);
            }
        }
        let text = self.text()?;
        let count = series_of(&text);
        // As a rule no series has come or gone since the last time, and the text says so already.
        if u64::try_from(self.series.get()) == Ok(count as u64) {
            return Ok(text);
        }
        self.series.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.text()
    }

    fn count_series(&self) -> Result<usize, prometheus::Error> {
        Ok(series_of(&self.text()?))
    }

    fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// Lines that are no comment; the parts of a histogram count one by one, as they are stored.
fn series_of(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn register_all<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collectors: impl IntoIterator<Item = Result<C, prometheus::Error>>,
) -> Result<Vec<C>, prometheus::Error> {
    collectors.into_iter().map(|collector| register(registry, collector)).collect()
}

fn opts<S>(row: &Row<S>) -> Opts {
    Opts::new(row.name(), row.help())
}

fn grow<S>(counters: &[IntCounter], rows: &[Row<S>], last: &S, now: &S) {
    for (counter, row) in counters.iter().zip(rows) {
        counter.inc_by(row.read(now).saturating_sub(row.read(last)));
    }
}

fn set<S>(gauges: &[IntGauge], rows: &[Row<S>], now: &S) {
    for (gauge, row) in gauges.iter().zip(rows) {
        gauge.set(i64::try_from(row.read(now)).unwrap_or(i64::MAX));
    }
}

fn set_millionths<S>(gauges: &[Gauge], rows: &[Row<S>], now: &S) {
    for (gauge, row) in gauges.iter().zip(rows) {
        gauge.set(row.read(now) as f64 / MILLION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tribune_protocol::codes::ErrorCode;
    use tribune_protocol::quality::report::Report;
    use tribune_relay_core::counters::{DropCause, HandshakeResult, Side, TrunkState};

    fn metrics(shards: u8) -> Metrics {
        Metrics::new(NonZeroU8::new(shards).unwrap(), SeriesLimits::default()).unwrap()
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
    fn what_shards_share_is_added_up_and_queues_are_summed() {
        let metrics = metrics(2);
        for (shard, waiting) in [(0, 3), (1, 4)] {
            let mut counters = ShardCounters {
                commands_waiting: waiting,
                queue_to_hub: 10 * waiting,
                busy_ppm: 250_000,
                ..ShardCounters::default()
            };
            counters.frames_missing.count(Side::Child, 5);
            counters.frames_repaired.count(Side::Child, 4);
            counters.handshakes.count(HandshakeResult::Retried, 2);
            counters.frame_age.observe(Side::Parent, 40_000);
            counters.hold.observe(Duration::from_millis(12));
            metrics.publish_shard(shard, &counters);
            metrics.publish_shard(shard, &counters);
        }
        metrics.set_queue_length(Queue::Store, 6);
        metrics.set_queue_capacity(Queue::Store, 1_024);
        for (series, wanted) in [
            ("tribune_relay_frames_missing_total{from=\"child\"}", 10.0),
            ("tribune_relay_frames_repaired_total{from=\"child\"}", 8.0),
            ("tribune_relay_frames_repaired_total{from=\"parent\"}", 0.0),
            ("tribune_relay_handshakes_total{result=\"retried\",shard=\"1\"}", 2.0),
            ("tribune_relay_frame_age_seconds_bucket{from=\"parent\",le=\"0.05\"}", 2.0),
            ("tribune_relay_frame_age_seconds_bucket{from=\"parent\",le=\"0.03\"}", 0.0),
            ("tribune_relay_hold_seconds_count", 2.0),
            ("tribune_relay_hold_seconds_sum", 0.024),
            ("tribune_relay_busy_ratio{shard=\"0\"}", 0.25),
            ("tribune_relay_queue_length{queue=\"commands\"}", 7.0),
            ("tribune_relay_queue_length{queue=\"hub_waiting\"}", 70.0),
            ("tribune_relay_queue_length{queue=\"store\"}", 6.0),
            ("tribune_relay_queue_capacity{queue=\"store\"}", 1_024.0),
        ] {
            assert_eq!(value(&metrics, series), wanted, "{series}");
        }
    }

    #[test]
    fn the_hub_tells_of_messages_and_of_the_trunk() {
        let metrics = metrics(1);
        let mut hub = HubCounters {
            trunk_state: Some(TrunkState::Greeting),
            trunk_rtt_us: 30_000,
            clock_error_us: 1_500,
            ..HubCounters::default()
        };
        hub.control_received.count("join");
        hub.control_sent.count("stage");
        hub.control_sent.count("stage");
        metrics.publish_hub(&hub);
        let messages = |direction: &str, kind: &str| {
            let name = "tribune_relay_control_messages_total";
            value(&metrics, &format!("{name}{{direction=\"{direction}\",kind=\"{kind}\"}}"))
        };
        assert_eq!((messages("received", "join"), messages("sent", "stage")), (1.0, 2.0));
        assert_eq!(messages("received", "unknown"), 0.0);
        let state = |state: &str| {
            value(&metrics, &format!("tribune_relay_trunk_state{{state=\"{state}\"}}"))
        };
        let states = TrunkState::ALL.map(|known| state(known.as_str()));
        assert_eq!((states.iter().sum::<f64>(), state("greeting")), (1.0, 1.0));
        assert_eq!(value(&metrics, "tribune_relay_trunk_rtt_seconds"), 0.03);
        assert_eq!(value(&metrics, "tribune_relay_clock_error_seconds"), 0.0015);
    }

    #[test]
    fn what_listeners_report_is_shown_under_its_names() {
        let metrics = metrics(1);
        let mut totals = Quality::default();
        let report = |latency_us, lost| Report {
            received: 1_000 - lost,
            lost,
            latency_us: Some(latency_us),
            latency_error_us: Some(300),
            ..Report::default()
        };
        totals.add(&report(90_000, 0));
        metrics.publish_quality(&totals);
        totals.add(&report(6_000_000, 4));
        metrics.publish_quality(&totals);
        for (series, wanted) in [
            ("tribune_relay_listener_latency_seconds_bucket{le=\"0.1\"}", 1.0),
            ("tribune_relay_listener_latency_seconds_bucket{le=\"0.08\"}", 0.0),
            ("tribune_relay_listener_latency_seconds_bucket{le=\"5\"}", 1.0),
            ("tribune_relay_listener_latency_seconds_count", 2.0),
            ("tribune_relay_listener_loss_ratio_bucket{le=\"0\"}", 1.0),
            ("tribune_relay_listener_loss_ratio_bucket{le=\"0.005\"}", 2.0),
            ("tribune_relay_listener_latency_error_seconds_bucket{le=\"0.0005\"}", 2.0),
            ("tribune_relay_listener_latency_seconds_sum", 6.09),
            ("tribune_relay_listener_frames_total{result=\"lost\"}", 4.0),
            ("tribune_relay_listener_reports_total", 2.0),
        ] {
            assert_eq!(value(&metrics, series), wanted, "{series}");
        }
    }

    /// Prometheus's conventions: base units at the end of the name, `_total` for counters alone, help for
    /// each; and labels of which all values are known, but for the rooms' names.
    #[test]
    fn names_follow_the_conventions() {
        const LABELS: [&str; 14] = [
            "transport",
            "certificate",
            "shard",
            "cause",
            "result",
            "from",
            "code",
            "direction",
            "kind",
            "state",
            "queue",
            "room",
            "quantile",
            "version",
        ];
        const OTHER_UNITS: [&str; 10] = [
            "_ms", "_us", "_millis", "_micros", "_minutes", "_percent", "_ppm", "_kb", "_mb",
            "_time",
        ];
        let metrics = metrics(2);
        metrics.publish_rooms(&[room_metrics(&"a".parse().unwrap())]);
        let text = metrics.render().unwrap();
        let mut types = std::collections::BTreeMap::new();
        let mut helped = std::collections::BTreeSet::new();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "TYPE", name, kind] => _ = types.insert(name, kind),
                ["#", "HELP", name, help] => {
                    assert!(help.ends_with('.') && help.len() > 10, "{line}");
                    helped.insert(name);
                }
                _ => {
                    let (series, _) = line.rsplit_once(' ').unwrap();
                    let labels = series.split_once('{').map_or("", |(_, labels)| labels);
                    for label in labels.split("\",").filter_map(|label| label.split_once('=')) {
                        assert!(LABELS.contains(&label.0) || label.0 == "le", "{line}");
                    }
                }
            }
        }
        for (name, kind) in types {
            assert!(helped.contains(name), "{name} has no help");
            assert!(name.starts_with("tribune_relay_") || name.starts_with("process_"), "{name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            let units = ["_seconds", "_bytes", "_ratio", "_length_frames"];
            let unit = units.into_iter().find(|u| name.contains(u));
            let bare = name.trim_end_matches("_total");
            assert!(
                unit.is_none_or(|unit| bare.ends_with(unit)),
                "{name}: the unit is the last word"
            );
            assert!(kind != "histogram" || unit.is_some(), "{name} has no unit");
            assert!(!OTHER_UNITS.iter().any(|unit| bare.ends_with(unit)), "{name}");
        }
    }

    fn room_metrics(room: &tribune_protocol::ids::RoomName) -> RoomMetrics<'_> {
        RoomMetrics {
            room,
            listeners: 1,
            stage: 1,
            hands: 0,
            reports: 1,
            latency_p50_us: Some(1),
            latency_p99_us: Some(2),
            loss_ppm: Some(3),
            concealed_ppm: Some(4),
        }
    }

    #[test]
    fn five_hundred_rooms_and_any_number_of_listeners_stay_below_the_limit() {
        let two = NonZeroU8::new(2).unwrap();
        let fixed = Metrics::fixed_series(two).unwrap();
        let names: Vec<_> = (0..500).map(|n| format!("room-{n}").parse().unwrap()).collect();
        let series = |limits: SeriesLimits, listeners: u64| {
            let metrics = Metrics::new(two, limits).unwrap();
            let all = names.iter().map(|name| RoomMetrics { listeners, ..room_metrics(name) });
            metrics.publish_rooms(&all.collect::<Vec<_>>());
            let busy = ShardCounters { connections: listeners, ..ShardCounters::default() };
            metrics.publish_shard(0, &busy);
            let count = series_of(&metrics.render().unwrap());
            // The answer counts itself.
            assert_eq!(value(&metrics, "tribune_relay_series"), count as f64);
            count
        };
        for (rooms, limit, shown) in [
            (0, 5_000, 0),
            (20, 5_000, 20),
            (200, 5_000, 200),
            (200, fixed + 5 * SERIES_PER_ROOM + 7, 5),
            (200, fixed, 0),
        ] {
            let limits = SeriesLimits { rooms, series: limit };
            let count = series(limits, 10);
            assert_eq!(count, fixed + shown * SERIES_PER_ROOM, "{limits:?}");
            assert!(count <= limit);
            assert_eq!(count, series(limits, 2_000), "more listeners are no more series");
        }
    }
}

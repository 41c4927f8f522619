//! Series of shards. Each shard publishes into those with its number; series without a number are sums
//! over all shards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use tribune_relay_core::counters::load::Totals;
use tribune_relay_core::counters::{DropCause, HandshakeResult, Queue, Side, Transport};
use tribune_relay_core::counters::{SHARD_COUNTERS, SHARD_GAUGES, SHARD_MILLIONTHS, ShardCounters};

use super::histogram::Histograms;
use super::{grow, opts, register, register_all, set, set_millionths};

/// Bounds of the loop-turn histogram, in seconds. A frame waits for at most one turn, so
/// turns should stay far below the 20 ms of a frame period.
const TURN_BUCKETS: [f64; 11] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2];

/// The series of all shards.
#[derive(Debug)]
pub(super) struct ShardsSeries {
    each: Vec<ShardSeries>,
    missing: Vec<IntCounter>,
    repaired: Vec<IntCounter>,
    age: Histograms,
    hold: Histograms,
}

/// One shard's series and the last values published.
#[derive(Debug)]
struct ShardSeries {
    counters: Vec<IntCounter>,
    gauges: Vec<IntGauge>,
    millionths: Vec<Gauge>,
    drops: Vec<IntCounter>,
    handshakes: Vec<IntCounter>,
    transports: Vec<IntGauge>,
    turns: Histogram,
    commands: AtomicU64,
    shard_messages: AtomicU64,
    waiting: AtomicU64,
    last: Mutex<ShardCounters>,
}

impl ShardsSeries {
    pub(super) fn register(registry: &Registry, shards: u8) -> Result<Self, prometheus::Error> {
        let empty = ShardCounters::default();
        let sides = Side::ALL.map(Side::as_str);
        let by_side = |name, help| {
            let vec = register(registry, IntCounterVec::new(Opts::new(name, help), &["from"]))?;
            Ok::<_, prometheus::Error>(
                sides.iter().map(|side| vec.with_label_values(&[side])).collect(),
            )
        };
        Ok(Self {
            each: each_shard(registry, shards)?,
            missing: by_side(
                "tribune_relay_frames_missing_total",
                "Frames found missing on arrival: numbers left out, at most 10 in a row, where no silence was announced.",
            )?,
            repaired: by_side(
                "tribune_relay_frames_repaired_total",
                "Frames found missing that have come later.",
            )?,
            age: Histograms::register_by(
                registry,
                Opts::new(
                    "tribune_relay_frame_age_seconds",
                    "Capture to arrival here, of frames that say when they were captured.",
                ),
                ("from", &sides),
                empty.frame_age.of(Side::Participant),
            )?,
            hold: Histograms::register(
                registry,
                Opts::new(
                    "tribune_relay_hold_seconds",
                    "How long the oldest frame of what a view sends has waited in this relay.",
                ),
                empty.hold.all(),
            )?,
        })
    }

    pub(super) fn publish(&self, shard: u8, now: &ShardCounters) {
        let Some(series) = self.each.get(usize::from(shard)) else { return };
        // Nobody else takes this lock: a scrape reads the series.
        let mut last = series.last.lock().unwrap_or_else(PoisonError::into_inner);
        series.publish(&last, now);
        for side in Side::ALL {
            let at = side as usize;
            let grown = |now: u64, last: u64| now.saturating_sub(last);
            self.missing[at]
                .inc_by(grown(now.frames_missing.of(side), last.frames_missing.of(side)));
            self.repaired[at]
                .inc_by(grown(now.frames_repaired.of(side), last.frames_repaired.of(side)));
            self.age.grow(at, last.frame_age.of(side), now.frame_age.of(side));
        }
        self.hold.grow(0, last.hold.all(), now.hold.all());
        last.clone_from(now);
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for series in &self.each {
            // A copy of some numbers, once a second: a shard that publishes just then waits no longer.
            let last = series.last.lock().unwrap_or_else(PoisonError::into_inner);
            totals.add(&last);
        }
        totals
    }

    pub(super) fn observe_turn(&self, shard: u8, turn: Duration) {
        if let Some(series) = self.each.get(usize::from(shard)) {
            series.turns.observe(turn.as_secs_f64());
        }
    }

    /// Length of all queues of a kind together; `None` for kinds that are not the shards' own.
    pub(super) fn waiting(&self, queue: Queue) -> Option<u64> {
        let read: fn(&ShardSeries) -> &AtomicU64 = match queue {
            Queue::Commands => |shard| &shard.commands,
            Queue::ShardMessages => |shard| &shard.shard_messages,
            Queue::HubWaiting => |shard| &shard.waiting,
            Queue::Events | Queue::Store => return None,
        };
        Some(self.each.iter().map(|shard| read(shard).load(Ordering::Relaxed)).sum())
    }
}

impl ShardSeries {
    fn publish(&self, last: &ShardCounters, now: &ShardCounters) {
        grow(&self.counters, &SHARD_COUNTERS, last, now);
        set(&self.gauges, &SHARD_GAUGES, now);
        set_millionths(&self.millionths, &SHARD_MILLIONTHS, now);
        for (counter, cause) in self.drops.iter().zip(DropCause::ALL) {
            let (now, last) = (now.frames_dropped.of(cause), last.frames_dropped.of(cause));
            counter.inc_by(now.saturating_sub(last));
        }
        for (counter, result) in self.handshakes.iter().zip(HandshakeResult::ALL) {
            let (now, last) = (now.handshakes.of(result), last.handshakes.of(result));
            counter.inc_by(now.saturating_sub(last));
        }
        for (gauge, transport) in self.transports.iter().zip(Transport::ALL) {
            let open = now.opened.of(transport).saturating_sub(now.ended.of(transport));
            gauge.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        self.commands.store(now.commands_waiting, Ordering::Relaxed);
        self.shard_messages.store(now.shard_messages_waiting, Ordering::Relaxed);
        self.waiting.store(now.queue_to_hub, Ordering::Relaxed);
    }
}

fn each_shard(registry: &Registry, shards: u8) -> Result<Vec<ShardSeries>, prometheus::Error> {
    let counters = register_all(
        registry,
        SHARD_COUNTERS.map(|row| IntCounterVec::new(opts(&row), &["shard"])),
    )?;
    let gauges =
        register_all(registry, SHARD_GAUGES.map(|row| IntGaugeVec::new(opts(&row), &["shard"])))?;
    let millionths =
        register_all(registry, SHARD_MILLIONTHS.map(|row| GaugeVec::new(opts(&row), &["shard"])))?;
    let labelled = |name, help, label| {
        register(registry, IntCounterVec::new(Opts::new(name, help), &["shard", label]))
    };
    let drops = labelled(
        "tribune_relay_frames_dropped_total",
        "Frames that this relay did not pass on, by cause.",
        "cause",
    )?;
    let handshakes = labelled(
        "tribune_relay_handshakes_total",
        "QUIC handshakes, by result; retried are those sent a Retry packet, to verify the address under load.",
        "result",
    )?;
    let transports = Opts::new(
        "tribune_relay_transport_connections",
        "Connections that are open, by transport.",
    );
    let transports = register(registry, IntGaugeVec::new(transports, &["shard", "transport"]))?;
    let turns = HistogramOpts::new(
        "tribune_relay_turn_seconds",
        "Time of one turn of a shard's loop, waiting not counted.",
    );
    let turns = turns.buckets(TURN_BUCKETS.to_vec());
    let turns = register(registry, HistogramVec::new(turns, &["shard"]))?;
    let one = |shard: u8| {
        let shard = shard.to_string();
        let shard = shard.as_str();
        ShardSeries {
            counters: counters.iter().map(|vec| vec.with_label_values(&[shard])).collect(),
            gauges: gauges.iter().map(|vec| vec.with_label_values(&[shard])).collect(),
            millionths: millionths.iter().map(|vec| vec.with_label_values(&[shard])).collect(),
            drops: DropCause::ALL
                .iter()
                .map(|cause| drops.with_label_values(&[shard, cause.as_str()]))
                .collect(),
            handshakes: HandshakeResult::ALL
                .iter()
                .map(|result| handshakes.with_label_values(&[shard, result.as_str()]))
                .collect(),
            transports: Transport::ALL
                .iter()
                .map(|way| transports.with_label_values(&[shard, way.as_str()]))
                .collect(),
            turns: turns.with_label_values(&[shard]),
            commands: AtomicU64::new(0),
            shard_messages: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            last: Mutex::default(),
        }
    };
    Ok((0..shards).map(one).collect())
}

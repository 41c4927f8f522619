//! The series of the hub, and of the queues around it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_relay_core::counters::{HUB_COUNTERS, HUB_GAUGES, HUB_MILLIONTHS, HubCounters};
use tribune_relay_core::counters::{Queue, REFUSALS, TrunkState};

use super::{grow, opts, register, register_all, set, set_millionths};

/// The hub's series and the last values published.
#[derive(Debug)]
pub(super) struct HubSeries {
    counters: Vec<IntCounter>,
    gauges: Vec<IntGauge>,
    millionths: Vec<Gauge>,
    refusals: Vec<IntCounter>,
    received: Vec<(&'static str, IntCounter)>,
    sent: Vec<(&'static str, IntCounter)>,
    trunk: Vec<IntGauge>,
    last: Mutex<HubCounters>,
}

impl HubSeries {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refusals =
            Opts::new("tribune_relay_joins_refused_total", "Joins refused, by the error code.");
        let refusals = register(registry, IntCounterVec::new(refusals, &["code"]))?;
        let messages = Opts::new(
            "tribune_relay_control_messages_total",
            "Control messages by kind, of participants and of relays; one to everybody in a room counts once.",
        );
        let messages = register(registry, IntCounterVec::new(messages, &["direction", "kind"]))?;
        let kinds = |direction: &str, kinds: BTreeSet<&'static str>| {
            let one = |kind| (kind, messages.with_label_values(&[direction, kind]));
            kinds.into_iter().map(one).collect()
        };
        let trunk = Opts::new(
            "tribune_relay_trunk_state",
            "How far the way to a parent is: 1 for the state that this relay is in.",
        );
        let trunk = register(registry, IntGaugeVec::new(trunk, &["state"]))?;
        Ok(Self {
            counters: register_all(
                registry,
                HUB_COUNTERS.map(|row| IntCounter::with_opts(opts(&row))),
            )?,
            gauges: register_all(registry, HUB_GAUGES.map(|row| IntGauge::with_opts(opts(&row))))?,
            millionths: register_all(
                registry,
                HUB_MILLIONTHS.map(|row| Gauge::with_opts(opts(&row))),
            )?,
            refusals: REFUSALS
                .iter()
                .map(|code| refusals.with_label_values(&[code.as_str()]))
                .collect(),
            received: kinds("received", received_kinds()),
            sent: kinds("sent", sent_kinds()),
            trunk: TrunkState::ALL
                .iter()
                .map(|state| trunk.with_label_values(&[state.as_str()]))
                .collect(),
            last: Mutex::default(),
        })
    }

    pub(super) fn publish(&self, now: &HubCounters) {
        // Nobody else takes this lock: a scrape reads the series.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        grow(&self.counters, &HUB_COUNTERS, &last, now);
        set(&self.gauges, &HUB_GAUGES, now);
        set_millionths(&self.millionths, &HUB_MILLIONTHS, now);
        for (counter, code) in self.refusals.iter().zip(REFUSALS) {
            counter.inc_by(now.joins_refused.of(code).saturating_sub(last.joins_refused.of(code)));
        }
        for (kind, counter) in &self.received {
            let (now, last) = (now.control_received.of(kind), last.control_received.of(kind));
            counter.inc_by(now.saturating_sub(last));
        }
        for (kind, counter) in &self.sent {
            let (now, last) = (now.control_sent.of(kind), last.control_sent.of(kind));
            counter.inc_by(now.saturating_sub(last));
        }
        for (gauge, state) in self.trunk.iter().zip(TrunkState::ALL) {
            gauge.set(i64::from(now.trunk_state == Some(state)));
        }
        last.clone_from(now);
    }
}

/// Kinds of received messages: from participants, children and the parent.
fn received_kinds() -> BTreeSet<&'static str> {
    [&FromParticipant::KINDS[..], &ToParent::KINDS, &ToChild::KINDS].concat().into_iter().collect()
}

/// Kinds of sent messages: to participants, children and the parent. An unknown kind is never sent.
fn sent_kinds() -> BTreeSet<&'static str> {
    let kinds = [&ToParticipant::KINDS[..], &ToParent::KINDS, &ToChild::KINDS].concat();
    kinds.into_iter().filter(|kind| *kind != "unknown").collect()
}

/// Lengths and capacities of the queues.
#[derive(Debug)]
pub(super) struct QueueSeries {
    lengths: Vec<IntGauge>,
    capacities: Vec<IntGauge>,
}

impl QueueSeries {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name, help| {
            let vec = register(registry, IntGaugeVec::new(Opts::new(name, help), &["queue"]))?;
            let one = |queue: &Queue| vec.with_label_values(&[queue.as_str()]);
            Ok::<_, prometheus::Error>(Queue::ALL.iter().map(one).collect())
        };
        Ok(Self {
            lengths: gauges(
                "tribune_relay_queue_length",
                "What waits in the queues of a kind, over all shards.",
            )?,
            capacities: gauges(
                "tribune_relay_queue_capacity",
                "What the queues of a kind can hold, over all shards.",
            )?,
        })
    }

    pub(super) fn set_length(&self, queue: Queue, length: u64) {
        self.lengths[queue as usize].set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    pub(super) fn set_capacity(&self, queue: Queue, capacity: u64) {
        self.capacities[queue as usize].set(i64::try_from(capacity).unwrap_or(i64::MAX));
    }
}

//! Task of the hub: events, store replies, queries and time in; commands, store requests and dials out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc::{Receiver, Sender};
use tribune_protocol::codes::CloseCode;
use tribune_relay_core::counters::Queue;
use tribune_relay_core::counters::load::LoadMeter;
use tribune_relay_core::hub::{Hub, HubEffect};
use tribune_relay_core::messages::{ShardCommand, ShardEvent, ShardId};
use tribune_relay_core::query::Readiness;
use tribune_relay_core::store::StoreReply;

use super::dials::Dials;
use super::orders::Orders;
use crate::api::query_channel::QueryReceiver;
use crate::monitor::Monitor;
use crate::store::worker::RequestSender;

/// Events taken in one turn, before time and orders are looked at again.
const EVENTS_PER_TURN: usize = 256;
/// Period of the hub's gauges in the metrics.
const PUBLISH_PERIOD: Duration = Duration::from_millis(500);
/// Period of the rooms' metrics: there may be thousands of rooms.
const ROOMS_PERIOD: Duration = Duration::from_secs(1);
/// Time for the last closes to leave the sockets.
const FAREWELL: Duration = Duration::from_millis(200);

/// Connections of the hub, like those of a shard in [`super::shard::Wiring`].
#[derive(Debug)]
pub(crate) struct Wiring {
    /// To the shards, by number.
    pub(crate) shards: Vec<Sender<ShardCommand>>,
    /// From the shards.
    pub(crate) events: Receiver<(ShardId, ShardEvent)>,
    /// To the store.
    pub(crate) requests: RequestSender,
    /// From the store.
    pub(crate) replies: Receiver<StoreReply>,
    /// From the HTTP side.
    pub(crate) queries: QueryReceiver,
    /// Look-ups of parents.
    pub(crate) dials: Dials,
    /// Metrics and readiness.
    pub(crate) monitor: Arc<Monitor>,
}

/// Runs the hub until it has drained, or until the order to end. Shards and store end once it returns,
/// with the channels to them. `drain_timeout` is for the log: the hub keeps it itself.
///
/// # Errors
/// A sentence about the part that has ended before its time: a shard, the store.
pub(crate) async fn run(
    hub: Hub,
    wiring: Wiring,
    orders: &Orders,
    drain_timeout: Duration,
) -> Result<()> {
    let mut task = HubTask { hub, wiring, drain_timeout };
    tokio::select! {
        outcome = task.until_drained(orders) => outcome,
        () = orders.ended() => {
            task.close_shards(CloseCode::Shutdown).await;
            Ok(())
        }
    }
}

/// The hub at work.
struct HubTask {
    hub: Hub,
    wiring: Wiring,
    drain_timeout: Duration,
}

impl HubTask {
    /// The hub's turns: events, time, effects.
    async fn until_drained(&mut self, orders: &Orders) -> Result<()> {
        let mut batch = Vec::with_capacity(EVENTS_PER_TURN);
        let mut publish = tokio::time::interval(PUBLISH_PERIOD);
        let mut meter = LoadMeter::new(Instant::now());
        let mut publish_rooms = tokio::time::interval(ROOMS_PERIOD);
        let mut ordered = Box::pin(orders.drained());
        let mut draining = false;
        loop {
            self.wiring.monitor.set_readiness(self.hub.readiness());
            if self.carry_out_effects().await? {
                self.close_shards(CloseCode::Draining).await;
                return Ok(());
            }
            let deadline = self.hub.poll_timeout();
            let deadline = deadline.unwrap_or_else(|| Instant::now() + PUBLISH_PERIOD);
            tokio::select! {
                count = self.wiring.events.recv_many(&mut batch, EVENTS_PER_TURN) => {
                    anyhow::ensure!(count > 0, "all shards are gone");
                    let now = Instant::now();
                    for (shard, event) in batch.drain(..) {
                        self.hub.handle_event(now, shard, event);
                    }
                }
                reply = self.wiring.replies.recv() => {
                    let reply = reply.context("the store has ended")?;
                    self.hub.handle_stored(Instant::now(), reply);
                }
                (ticket, query) = self.wiring.queries.next() => {
                    self.hub.handle_query(Instant::now(), ticket, query);
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    self.hub.handle_timeout(Instant::now());
                }
                _ = publish.tick() => self.publish_gauges(),
                _ = publish_rooms.tick() => self.publish_rooms(&mut meter),
                () = &mut ordered, if !draining => {
                    draining = true;
                    tracing::info!(within = ?self.drain_timeout, "draining");
                    self.wiring.monitor.set_readiness(Readiness::Draining);
                    self.hub.handle_drain(Instant::now(), None, None);
                }
            }
        }
    }

    /// Carries out the hub's effects, in their order. `true` once it has drained.
    async fn carry_out_effects(&mut self) -> Result<bool> {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                // A shard that is behind holds the hub up, never the other way round.
                HubEffect::Shard(shard, command) => {
                    let sent = self.wiring.shards[usize::from(shard.0)].send(command).await;
                    sent.map_err(|_| anyhow!("shard {} is gone", shard.0))?;
                }
                HubEffect::Store(request) => {
                    if let Err(refused) = self.wiring.requests.hand_in(request) {
                        self.hub.handle_stored(Instant::now(), refused);
                    }
                }
                HubEffect::Dial { dial, target } => {
                    self.wiring.dials.dial(dial, &target, &self.wiring.shards[0]);
                }
                HubEffect::Answer { ticket, answer } => self.wiring.queries.answer(ticket, answer),
                HubEffect::Drained => return Ok(true),
            }
        }
        Ok(false)
    }

    fn publish_gauges(&mut self) {
        let metrics = self.wiring.monitor.metrics();
        metrics.set_queue_length(Queue::Events, self.wiring.events.len());
        metrics.set_queue_length(Queue::Store, self.wiring.requests.waiting());
        metrics.publish_hub(self.hub.counters());
    }

    fn publish_rooms(&mut self, meter: &mut LoadMeter) {
        let now = Instant::now();
        let metrics = self.wiring.monitor.metrics();
        if let Some(load) = meter.handle_totals(now, metrics.totals()) {
            self.hub.handle_load(load);
        }
        metrics.publish_rooms(&self.hub.room_metrics(now).collect::<Vec<_>>());
        metrics.publish_quality(self.hub.heard());
    }

    /// Closes all connections, and gives the shards' last packets a moment.
    async fn close_shards(&self, code: CloseCode) {
        for shard in &self.wiring.shards {
            let _ = shard.try_send(ShardCommand::CloseAll(code));
        }
        tokio::time::sleep(FAREWELL).await;
    }
}

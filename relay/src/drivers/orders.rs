//! Orders to a running relay, from the program around it: read certificates again, drain, or end at once.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// The latest order. Later ones are stronger, and none is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Run,
    Drain,
    End,
}

/// Sender of orders. Clones order the same relay.
#[derive(Debug, Clone)]
pub struct Orders {
    latest: watch::Sender<Order>,
    /// Several before anybody looks are one.
    reload: Arc<Notify>,
}

impl Orders {
    /// Orders of a relay that is about to run.
    pub(crate) fn new() -> Self {
        Self { latest: watch::Sender::new(Order::Run), reload: Arc::default() }
    }

    /// Drains the relay: participants and children are sent elsewhere, then it ends, at the latest after
    /// its drain timeout.
    pub fn drain(&self) {
        self.give(Order::Drain);
    }

    /// Ends the relay at once. Connections are closed, nobody is sent elsewhere.
    pub fn end(&self) {
        self.give(Order::End);
    }

    /// Has the files of certificates read again, whether they seem to have changed or not.
    pub fn reload_certificates(&self) {
        self.reload.notify_one();
    }

    fn give(&self, order: Order) {
        self.latest.send_if_modified(|latest| {
            let is_stronger = *latest < order;
            *latest = (*latest).max(order);
            is_stronger
        });
    }

    /// Done once the relay is to drain or to end.
    pub(crate) async fn drained(&self) {
        self.reached(Order::Drain).await;
    }

    /// Done once the relay is to end at once.
    pub(crate) async fn ended(&self) {
        self.reached(Order::End).await;
    }

    /// Done at the next order to read certificates again. For one caller.
    pub(crate) async fn reload_ordered(&self) {
        self.reload.notified().await;
    }

    async fn reached(&self, order: Order) {
        // An error would mean that no sender is left, but `self` is one.
        let _ = self.latest.subscribe().wait_for(|latest| *latest >= order).await;
    }
}

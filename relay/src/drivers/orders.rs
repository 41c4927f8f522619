//! Orders to a running relay, from the program around it: drain, or end at once.

use tokio::sync::watch;

/// The latest order. Later ones are stronger, and none is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Run,
    Drain,
    End,
}

/// Sender of orders. Clones order the same relay.
#[derive(Debug, Clone)]
pub struct Orders(watch::Sender<Order>);

impl Orders {
    /// Orders of a relay that is about to run.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Order::Run))
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

    fn give(&self, order: Order) {
        self.0.send_if_modified(|latest| {
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

    async fn reached(&self, order: Order) {
        // An error would mean that no sender is left, but `self` is one.
        let _ = self.0.subscribe().wait_for(|latest| *latest >= order).await;
    }
}

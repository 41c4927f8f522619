//! Queries of the HTTP side to the hub: a bounded channel, each query with the way back of its answer.
//! The hub's side numbers them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tribune_relay_core::query::{Answer, Query};
use tribune_relay_core::tree::query::Ticket;

/// Queries that wait for the hub: as many as there can be HTTP connections.
const WAITING: usize = 64;
/// Longest time until an answer: a whole tree has to be asked.
const PATIENCE: Duration = Duration::from_secs(8);

/// The HTTP side's end.
#[derive(Debug, Clone)]
pub struct QuerySender(mpsc::Sender<Pending>);

/// The hub's end.
#[derive(Debug)]
pub struct QueryReceiver {
    pending: mpsc::Receiver<Pending>,
    /// Callers by the ticket of their query. At most as many as there are HTTP connections: those that
    /// have gone are removed at the next query.
    waiting: BTreeMap<Ticket, oneshot::Sender<Answer>>,
    next: u64,
}

/// Too many queries wait, or the relay is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay does not answer at the moment")]
pub struct Busy;

#[derive(Debug)]
struct Pending {
    query: Query,
    reply: oneshot::Sender<Answer>,
}

/// Both ends of a channel.
#[must_use]
pub fn query_channel() -> (QuerySender, QueryReceiver) {
    let (sender, pending) = mpsc::channel(WAITING);
    (QuerySender(sender), QueryReceiver { pending, waiting: BTreeMap::new(), next: 0 })
}

impl QuerySender {
    /// Sends a query and waits for the answer.
    ///
    /// # Errors
    /// [`Busy`], if too many queries wait, or after 8 s.
    pub async fn ask(&self, query: Query) -> Result<Answer, Busy> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Pending { query, reply }).map_err(|_| Busy)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }
}

impl QueryReceiver {
    /// The next query, with the ticket that its answer needs. Never ends: pending for good once all senders
    /// are gone.
    pub async fn next(&mut self) -> (Ticket, Query) {
        let Some(Pending { query, reply }) = self.pending.recv().await else {
            return std::future::pending().await;
        };
        self.waiting.retain(|_, reply| !reply.is_closed());
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, reply);
        (ticket, query)
    }

    /// Hands an answer to its caller, if they still wait.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(reply) = self.waiting.remove(&ticket) {
            // The caller may have gone.
            let _ = reply.send(answer);
        }
    }
}

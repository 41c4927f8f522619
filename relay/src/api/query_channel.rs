//! Between the HTTP side and the hub: questions over a bounded channel, each with the way back of its
//! answer. The hub numbers them; [`crate::run`] carries both.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use tribune_relay_core::query::{Answer, Query};
use tribune_relay_core::tree::query::Ticket;

/// Questions that wait for the hub: as many as there can be HTTP connections.
const WAITING: usize = 64;
/// How long an answer may take: a whole tree has to be asked.
const PATIENCE: Duration = Duration::from_secs(8);

/// Where questions are handed in.
#[derive(Debug, Clone)]
pub struct QuerySender(mpsc::Sender<Asked>);

/// Where the hub's side takes them.
#[derive(Debug)]
pub struct QueryReceiver {
    asked: mpsc::Receiver<Asked>,
    /// Who waits for which answer. As many as there are HTTP connections at the most: whoever goes away
    /// is found out with the answer.
    waiting: BTreeMap<Ticket, oneshot::Sender<Answer>>,
    next: u64,
}

/// The relay has no time for the question, or is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay does not answer at the moment")]
pub struct Busy;

#[derive(Debug)]
struct Asked {
    query: Query,
    reply: oneshot::Sender<Answer>,
}

/// Both sides.
#[must_use]
pub fn desk() -> (QuerySender, QueryReceiver) {
    let (sender, asked) = mpsc::channel(WAITING);
    (QuerySender(sender), QueryReceiver { asked, waiting: BTreeMap::new(), next: 0 })
}

impl QuerySender {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`Busy`], if too many ask, or after 8 s.
    pub async fn ask(&self, query: Query) -> Result<Answer, Busy> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Asked { query, reply }).map_err(|_| Busy)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }
}

impl QueryReceiver {
    /// The next question, with the number that its answer needs. Never ends: without a desk nobody asks.
    pub async fn next(&mut self) -> (Ticket, Query) {
        let Some(Asked { query, reply }) = self.asked.recv().await else {
            return std::future::pending().await;
        };
        self.waiting.retain(|_, reply| !reply.is_closed());
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, reply);
        (ticket, query)
    }

    /// Hands an answer to whoever asked, if they still wait.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(reply) = self.waiting.remove(&ticket) {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }
}

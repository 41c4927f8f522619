//! Thread of a load that takes rounds and returns one result for each.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::round::Round;

/// Time for a worker to return the result of a round that is over.
const RESULT_WITHIN: Duration = Duration::from_secs(10);

/// Worker thread: takes rounds, returns a `T` for each.
#[derive(Debug)]
pub(crate) struct Worker<T> {
    rounds: SyncSender<Round>,
    results: Receiver<T>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts the thread. `work` receives rounds and sends results until its fleet stops.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(
        name: String,
        work: impl FnOnce(Receiver<Round>, SyncSender<T>) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        // One round at a time, and one result of each.
        let (rounds, own_rounds) = sync_channel(1);
        let (own_results, results) = sync_channel(1);
        let thread = std::thread::Builder::new().name(name);
        let thread = thread.spawn(move || work(own_rounds, own_results))?;
        Ok(Self { rounds, results, thread: Some(thread) })
    }

    /// Hands a round to the thread. Returns false if it has ended or is still busy with another.
    pub(crate) fn offer(&self, round: Round) -> bool {
        self.rounds.try_send(round).is_ok()
    }

    /// Result of the round that is over; `None` if the thread has ended.
    ///
    /// # Errors
    /// No result within the time that a worker has.
    pub(crate) fn result(&self) -> Result<Option<T>> {
        match self.results.recv_timeout(RESULT_WITHIN) {
            Ok(result) => Ok(Some(result)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("a thread of the load has been silent for {RESULT_WITHIN:?} after a round")
            }
        }
    }

    /// Whether the thread is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end of the thread.
    ///
    /// # Errors
    /// The thread panicked or failed.
    pub(crate) fn join(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let name = thread.thread().name().unwrap_or("a").to_owned();
        thread.join().map_err(|_| anyhow!("the {name} thread panicked"))?.context(name)
    }
}

//! Listeners: connections on few sockets, a task each, on one thread with its own runtime.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use quinn::{Connection, Endpoint, VarInt};
use tokio::task::JoinSet;
use tribune_bench::contender::{Said, say};
use tribune_bench::frame::Schedule;
use tribune_bench::window_tally::{WindowCounts, WindowTally};

use crate::server::Dial;

/// Listeners that share a socket, as in Tribune's own load.
const PER_SOCKET: usize = 100;
/// Time from one join to the next: 250 per second.
const JOIN_PERIOD: Duration = Duration::from_millis(4);
/// Time for the last joins beyond the schedule.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two sweeps of the sockets in a window, as in Tribune's own load: no thread blocks on them,
/// so that the relay is not charged for waking it.
const SWEEP: Duration = Duration::from_micros(250);
/// Period in which the thread polls for a window.
const IDLE: Duration = Duration::from_millis(20);

/// Listeners that are in. They leave with this value.
#[derive(Debug)]
pub(crate) struct Audience {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// State shared with the listeners' thread.
#[derive(Debug, Default)]
struct Shared {
    /// Tally of the running window.
    tally: Mutex<Option<WindowTally>>,
    /// Datagrams received, counted or not.
    arrived: AtomicU64,
    /// Listeners that are in.
    joined: AtomicU32,
    /// Listeners whose connection ended.
    gone: AtomicU32,
    /// Stop flag of the thread.
    stop: AtomicBool,
}

impl Audience {
    /// Joins listeners and reports progress.
    ///
    /// # Errors
    /// A listener is not admitted.
    pub(crate) fn join(dial: Dial, listeners: u32) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, joined) = mpsc::sync_channel(1);
        let theirs = Arc::clone(&shared);
        let builder = std::thread::Builder::new().name("listeners".to_owned());
        let thread = builder.spawn(move || {
            if let Err(error) = attend(&dial, listeners, &theirs, &sender) {
                // The receiver is gone once all were in.
                let _ = sender.try_send(Err(error));
            }
        })?;
        let audience = Self { shared, thread: Some(thread) };
        loop {
            match joined.recv_timeout(Duration::from_secs(1)) {
                Ok(outcome) => return outcome.map(|()| audience),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let joined = audience.shared.joined.load(Ordering::Relaxed);
                    say(&Said::Joining { joined })?;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(anyhow!("the listeners' thread has panicked"));
                }
            }
        }
    }

    /// Listeners whose connection ended.
    pub(crate) fn gone(&self) -> u32 {
        self.shared.gone.load(Ordering::Relaxed)
    }

    /// Starts the tally of a window.
    ///
    /// # Errors
    /// None; see [`WindowTally::new`].
    pub(crate) fn begin(&self, number: u16, schedule: Schedule) -> Result<()> {
        *self.shared.tally() = Some(WindowTally::new(number, schedule)?);
        Ok(())
    }

    /// Ends the window and returns its counts.
    ///
    /// # Errors
    /// No window is running.
    pub(crate) fn end(&self) -> Result<WindowCounts> {
        self.shared.tally().take().map(WindowTally::close).context("no window goes on")
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Option<WindowTally>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Main function of the listeners' thread, from the first join to the end.
fn attend(
    dial: &Dial,
    listeners: u32,
    shared: &Arc<Shared>,
    joined: &mpsc::SyncSender<Result<()>>,
) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let sockets = (listeners as usize).div_ceil(PER_SOCKET);
        let endpoints: Vec<_> = (0..sockets).map(|_| dial.endpoint()).collect::<Result<_>>()?;
        let within = JOIN_PERIOD * listeners + JOIN_PATIENCE;
        let all = join_all(dial, &endpoints, listeners, shared);
        let all = tokio::time::timeout(within, all).await;
        all.with_context(|| format!("not all listeners were let in within {within:?}"))??;
        joined.send(Ok(())).context("nobody waits for the listeners")?;
        sweep(shared).await;
        endpoints.iter().for_each(|endpoint| endpoint.close(VarInt::from_u32(0), b""));
        Ok(())
    })
}

async fn join_all(
    dial: &Dial,
    endpoints: &[Endpoint],
    listeners: u32,
    shared: &Arc<Shared>,
) -> Result<()> {
    let mut ticks = tokio::time::interval(JOIN_PERIOD);
    let mut joining = JoinSet::new();
    for listener in 0..listeners as usize {
        ticks.tick().await;
        let (dial, endpoint) = (dial.clone(), endpoints[listener / PER_SOCKET].clone());
        let shared = Arc::clone(shared);
        joining.spawn(async move {
            let connection = dial.connect(&endpoint).await;
            let connection = connection.with_context(|| format!("listener {listener}"))?;
            shared.joined.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(listen(connection, shared));
            anyhow::Ok(())
        });
        // One refusal ends the run.
        while let Some(outcome) = joining.try_join_next() {
            outcome??;
        }
    }
    while let Some(outcome) = joining.join_next().await {
        outcome??;
    }
    Ok(())
}

async fn listen(connection: Connection, shared: Arc<Shared>) {
    let why = loop {
        match connection.read_datagram().await {
            Ok(datagram) => {
                let now = Instant::now();
                shared.arrived.fetch_add(1, Ordering::Relaxed);
                if let Some(tally) = shared.tally().as_mut() {
                    tally.handle_frame(now, &datagram);
                }
            }
            Err(why) => break why,
        }
    };
    if !shared.stopped() && shared.gone.fetch_add(1, Ordering::Relaxed) == 0 {
        eprintln!("a listener is gone: {why}");
    }
}

/// Paces the runtime until the end. In a window this thread sleeps outside the reactor, as each packet would
/// wake it otherwise.
async fn sweep(shared: &Shared) {
    let mut before = 0;
    while !shared.stopped() {
        if shared.tally().is_none() {
            tokio::time::sleep(IDLE).await;
            continue;
        }
        let arrived = shared.arrived.load(Ordering::Relaxed);
        if std::mem::replace(&mut before, arrived) == arrived {
            std::thread::sleep(SWEEP);
        }
        tokio::task::yield_now().await;
    }
}

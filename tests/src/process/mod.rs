//! Real relays and real clients on this machine, for the end-to-end tests and for `tribune-demo`.
//!
//! Processes are started from the built binaries, on ports that the system chooses, with a
//! directory of their own. They end when their handle is dropped, by their own process id. Every
//! wait has a limit and says what it waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

mod binary;
mod child;
mod client;
mod document;
mod drain;
mod http;
pub mod jwt;
mod listeners;
mod metrics;
mod prometheus;
mod relay;
mod scratch;
pub mod sound;

pub use child::{Ended, Process, Signal};
pub use client::{Client, Latency, Statistics, Track};
pub use document::{Document, Terminal, shell_commands};
pub use drain::Drain;
pub use http::{Answer, ask, get};
pub use listeners::{Listeners, Record};
pub use metrics::Metrics;
pub use prometheus::Prometheus;
pub use relay::{Relay, RelayOptions};
pub use scratch::{Scratch, with_scratch};

/// Polling period of a condition.
const POLL_PERIOD: Duration = Duration::from_millis(10);

/// Whether all waits are to end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends every wait of this process with an error, future ones too, so that the waiting code releases
/// the processes it started.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Waits this long.
///
/// # Errors
/// If it is interrupted.
pub fn pause(length: Duration) -> Result<()> {
    let deadline = Instant::now() + length;
    wait_for("the time to pass", length * 2 + POLL_PERIOD, || {
        Ok((Instant::now() >= deadline).then_some(()))
    })
}

/// Waits until `accepts` returns something.
///
/// # Errors
/// The error that `accepts` returns, or that `what` has not happened within `limit`.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut accepts: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
        if let Some(found) = accepts()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(anyhow!("waited {limit:?} in vain for {what}"));
        }
        std::thread::sleep(POLL_PERIOD);
    }
}

//! Real relays and real clients on this machine, for the end-to-end tests and for `tribune-demo`.
//!
//! Processes are started from the built binaries, on ports that the system chooses, with a
//! directory of their own. They end when their handle is dropped, by their own process id. Every
//! wait has a limit and says what it waited for.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

mod binary;
mod child;
mod client;
mod http;
mod metrics;
mod relay;
mod scratch;
pub mod sound;

pub use child::{Ended, Process, Signal};
pub use client::{Client, Latency, Statistics, Track};
pub use http::{Answer, get};
pub use metrics::Metrics;
pub use relay::{Relay, RelayOptions};
pub use scratch::{Scratch, with_scratch};

/// How often a condition is looked at while it is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(10);

/// Waits until `look` finds something.
///
/// # Errors
/// What `look` says, or that `what` has not happened within `limit`.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(anyhow!("waited {limit:?} in vain for {what}"));
        }
        std::thread::sleep(POLL_PERIOD);
    }
}

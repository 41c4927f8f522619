//! Start of the local clock: the one reading of the wall clock in a session.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use tribune_client_core::clock::LocalClock;

/// A clock that begins with the wall clock's time.
#[must_use]
pub fn start() -> LocalClock {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_us = u64::try_from(since_epoch.as_micros()).unwrap_or(0);
    LocalClock::new(Instant::now(), unix_us)
}

//! CPU time of the calling thread. What waits for the other core costs nothing.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A span of CPU time that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    started: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { started: thread_cpu() }
    }

    pub(crate) fn elapsed(self) -> Duration {
        thread_cpu().saturating_sub(self.started)
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

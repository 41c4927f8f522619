//! CPU over the measured span, second by second, for the plot.

use std::time::{Duration, Instant};

use tribune_bench::accounting::process_cpu;

/// Sampling period: /proc counts hundredths of a second.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);

/// CPU used in one sampling period, in cores.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Sample {
    /// End of the period, in seconds of the measured span.
    pub(crate) at_seconds: f64,
    /// The edge relay.
    pub(crate) relay_cores: f64,
    /// This process.
    pub(crate) generator_cores: f64,
}

/// Samples of a run.
#[derive(Debug)]
pub(crate) struct Samples {
    relay: Option<u32>,
    began: Instant,
    last: (Instant, Duration, Duration),
    taken: Vec<Sample>,
}

impl Samples {
    /// Starts with a first reading: instant, CPU of the edge relay if its process is known, CPU of this process.
    pub(crate) const fn new(relay: Option<u32>, first: (Instant, Duration, Duration)) -> Self {
        Self { relay, began: first.0, last: first, taken: Vec::new() }
    }

    /// Takes a sample if one is due.
    pub(crate) fn poll(&mut self) {
        if self.last.0.elapsed() >= SAMPLE_PERIOD {
            self.take();
        }
    }

    fn take(&mut self) {
        let (at, relay, own) = self.last;
        let now = Instant::now();
        let cpu = |pid: Option<u32>| pid.and_then(|pid| process_cpu(pid).ok());
        let relay_now = cpu(self.relay).unwrap_or(relay);
        let own_now = cpu(Some(std::process::id())).unwrap_or(own);
        let cores = |now_cpu: Duration, cpu: Duration| {
            (now_cpu - cpu).as_secs_f64() / (now - at).as_secs_f64()
        };
        self.taken.push(Sample {
            at_seconds: (now - self.began).as_secs_f64(),
            relay_cores: cores(relay_now, relay),
            generator_cores: cores(own_now, own),
        });
        self.last = (now, relay_now, own_now);
    }

    /// All samples, with a last one unless its period is too short for ticks of 10 ms.
    pub(crate) fn finish(mut self) -> Vec<Sample> {
        if self.last.0.elapsed() >= SAMPLE_PERIOD / 2 {
            self.take();
        }
        self.taken
    }
}

//! One of several systems that are measured in turn, so that all see the same machine. Each is a
//! process of its own: it starts its server, joins its listeners once, says [`Said::Ready`] and then
//! measures a window whenever it is asked to. Between two windows it is as quiet as its protocol lets it
//! be. `tribune-bench peers` asks; each load client answers by [`serve`].
//!
//! Both directions are one JSON object a line: [`Said`] on standard output, [`Ask`] on standard input.
//! The end of standard input ends the contender with exit code 0. What prevents a measurement is one
//! sentence on standard error and exit code 2; a server that is not installed is exit code 3.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::accounting::{machine_cpu, process_cpu, process_drops};

/// The exit code of a contender whose server is not there.
pub const MISSING: u8 = 3;
/// Latencies above are counted as this: they are all too late.
const LATEST: Duration = Duration::from_secs(60);

/// What a contender says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Said {
    /// How far it is with joining, at most once a second.
    Joining {
        /// Listeners that are in.
        joined: u32,
    },
    /// All listeners are in.
    Ready(Ready),
    /// A window is over.
    Window(Window),
}

/// What a contender is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// The server's name and version.
    pub system: String,
    /// What of the audio is encrypted, and how.
    pub encrypted: String,
    /// What it does not do, of what the others do.
    pub lacks: String,
    /// Listeners that are in.
    pub listeners: u32,
    /// How long joining took, with the pauses that the server needs.
    pub join_seconds: f64,
    /// Resident memory of the server that joining has added, in KiB a listener.
    pub memory_kib_per_listener: f64,
}

/// What a contender is asked to measure.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ask {
    /// Speakers, a frame each every 20 ms, their schedules spread over the period.
    pub speakers: u16,
    /// Length of the measured span, in seconds. Half a second of speech before and a little after it
    /// are not counted.
    pub seconds: u32,
}

/// What a window has measured. One that is void says nothing of the server; see [`Window::void`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    /// Speakers that spoke.
    pub speakers: u16,
    /// Length of the measured span, in seconds.
    pub seconds: f64,
    /// Frames due in the span, times listeners.
    pub frames_expected: u64,
    /// Frames that listeners got in the span.
    pub frames_delivered: u64,
    /// CPU time of the server's processes in the span, in microseconds.
    pub server_cpu_us: f64,
    /// CPU time of this process in the span, in microseconds.
    pub generator_cpu_us: f64,
    /// CPU time of everything else on the machine, in cores.
    pub others_cores: f64,
    /// Datagrams dropped by the kernel at the sockets of server and generator.
    pub kernel_drops: u64,
    /// How late frames left the speakers, 99th percentile.
    pub speaker_late_p99_us: u64,
    /// From when a frame was due to when a listener had it. All zero where it cannot be told.
    pub latency_us: Percentiles,
}

impl Window {
    /// Server CPU per frame that a listener got, in microseconds.
    #[must_use]
    pub fn cpu_us_per_frame(&self) -> f64 {
        self.server_cpu_us / self.frames_delivered.max(1) as f64
    }

    /// Whether the kernel dropped more than 0.1 % of what was due.
    #[must_use]
    pub fn void(&self) -> bool {
        self.kernel_drops as f64 > self.frames_expected as f64 * 0.001
    }

    /// Whether the server did not keep up: less than 99 % of what was due came in time.
    #[must_use]
    pub fn saturated(&self) -> bool {
        (self.frames_delivered as f64) < self.frames_expected as f64 * 0.99
    }
}

/// A distribution in five numbers, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: u64,
    /// The 90th percentile.
    pub p90: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The 99.9th percentile.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

impl Percentiles {
    /// Of what a histogram of microseconds holds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

/// A histogram of microseconds.
///
/// # Errors
/// None with these bounds.
pub fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATEST.as_micros() as u64, 3)?)
}

/// The system's counters between two moments.
#[derive(Debug)]
pub struct Meter {
    servers: Vec<u32>,
    began: Instant,
    first: Counters,
}

/// What a [`Meter`] has counted.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// How long it counted.
    pub span: Duration,
    /// CPU time of the servers.
    pub server_cpu: Duration,
    /// CPU time of this process.
    pub own_cpu: Duration,
    /// CPU time of everything else.
    pub others: Duration,
    /// Datagrams dropped at the sockets of both.
    pub drops: u64,
}

#[derive(Debug, Clone, Copy)]
struct Counters {
    servers: Duration,
    own: Duration,
    machine: Duration,
    drops: u64,
}

impl Meter {
    /// Begins to count, for the processes of a server; none if the server is a part of this process.
    ///
    /// # Errors
    /// There is no such process, or no /proc.
    pub fn start(servers: &[u32]) -> Result<Self> {
        let servers = servers.to_vec();
        Ok(Self { first: Counters::read(&servers)?, began: Instant::now(), servers })
    }

    /// What has been counted since the start.
    ///
    /// # Errors
    /// A server is gone.
    pub fn read(&self) -> Result<Reading> {
        let (first, last) = (self.first, Counters::read(&self.servers)?);
        let (server_cpu, own_cpu) = (last.servers - first.servers, last.own - first.own);
        Ok(Reading {
            span: self.began.elapsed(),
            server_cpu,
            own_cpu,
            others: (last.machine - first.machine).saturating_sub(server_cpu + own_cpu),
            drops: last.drops - first.drops,
        })
    }
}

impl Counters {
    fn read(servers: &[u32]) -> Result<Self> {
        let own = std::process::id();
        let mut drops = process_drops(own)?;
        let mut cpu = Duration::ZERO;
        for server in servers {
            cpu += process_cpu(*server)?;
            drops += process_drops(*server)?;
        }
        Ok(Self { servers: cpu, own: process_cpu(own)?, machine: machine_cpu()?, drops })
    }
}

/// Says something on standard output.
///
/// # Errors
/// Nobody reads it any more.
pub fn say(said: &Said) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    out.write_all(b"\n")?;
    out.flush().context("nobody reads what is measured")
}

/// Says that all are in, then measures a window for each line of standard input, until its end.
///
/// # Errors
/// A line is not an [`Ask`]; what `window` says.
pub fn serve(ready: Ready, mut window: impl FnMut(Ask) -> Result<Window>) -> Result<()> {
    say(&Said::Ready(ready))?;
    for line in std::io::stdin().lock().lines() {
        let ask = serde_json::from_str(&line?).context("a line that asks for no window")?;
        say(&Said::Window(window(ask)?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_judged_by_what_was_due() {
        let window = Window {
            speakers: 1,
            seconds: 1.0,
            frames_expected: 10_000,
            frames_delivered: 9_900,
            server_cpu_us: 99_000.0,
            generator_cpu_us: 0.0,
            others_cores: 0.0,
            kernel_drops: 10,
            speaker_late_p99_us: 0,
            latency_us: Percentiles::default(),
        };
        assert!(!window.void() && !window.saturated());
        assert!(Window { kernel_drops: 11, ..window.clone() }.void());
        assert!(Window { frames_delivered: 9_899, ..window.clone() }.saturated());
        assert_eq!(window.cpu_us_per_frame(), 10.0);
        let said = serde_json::to_string(&Said::Window(window)).unwrap();
        assert!(said.starts_with(r#"{"event":"window","speakers":1,"#), "{said}");
    }

    #[test]
    fn a_meter_counts_this_process() {
        let meter = Meter::start(&[]).unwrap();
        let until = process_cpu(std::process::id()).unwrap() + Duration::from_millis(20);
        while process_cpu(std::process::id()).unwrap() < until {}
        let reading = meter.read().unwrap();
        assert!(reading.own_cpu >= Duration::from_millis(20), "{reading:?}");
        assert_eq!(reading.server_cpu, Duration::ZERO);
    }
}

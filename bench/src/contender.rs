//! Protocol between `tribune-bench peers` and its contenders, systems that are measured in turn so that all
//! see the same machine. Each contender is a process: it starts its server, joins its listeners once, sends
//! [`Said::Ready`], and then measures a window per request. Between two windows it is as quiet as its
//! protocol allows. [`serve`] is the contender's side.
//!
//! Both directions are one JSON object per line: [`Said`] on standard output, [`Ask`] on standard input.
//! The end of standard input ends the contender with exit code 0. An error that prevents a measurement is
//! one sentence on standard error and exit code 2; a server that is not installed is exit code 3.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::accounting::{machine_cpu, process_cpu, process_drops};

/// Exit code of a contender whose server is not installed.
pub const MISSING: u8 = 3;
/// Largest latency that is told apart; later ones count as this.
const LATEST: Duration = Duration::from_secs(60);

/// Message of a contender.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Said {
    /// Progress of the joins, at most once per second.
    Joining {
        /// Listeners that are in.
        joined: u32,
    },
    /// All listeners are in.
    Ready(Ready),
    /// A window is over.
    Window(Window),
}

/// Description of a contender.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    /// Name and version of the server.
    pub system: String,
    /// Encryption of the audio.
    pub encrypted: String,
    /// Features of the others that it lacks.
    pub lacks: String,
    /// Listeners that are in.
    pub listeners: u32,
    /// Duration of the joins, with the pauses that the server needs.
    pub join_seconds: f64,
    /// Resident memory that the joins added to the server, in KiB per listener.
    pub memory_kib_per_listener: f64,
}

/// Request for a window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ask {
    /// Speakers, one frame each per 20 ms, their schedules spread over the period.
    pub speakers: u16,
    /// Length of the measured span, in seconds. Half a second of speech before it, and a little after it, is
    /// not counted.
    pub seconds: u32,
}

/// Results of a window. A void one says nothing about the server; see [`Window::void`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    /// Speakers that spoke.
    pub speakers: u16,
    /// Length of the measured span, in seconds.
    pub seconds: f64,
    /// Frames due in the span, over all listeners.
    pub frames_expected: u64,
    /// Frames received in the span, over all listeners.
    pub frames_delivered: u64,
    /// CPU time of the server's processes in the span, in microseconds.
    pub server_cpu_us: f64,
    /// CPU time of this process in the span, in microseconds.
    pub generator_cpu_us: f64,
    /// CPU time of all other processes of the machine, in cores.
    pub others_cores: f64,
    /// Datagrams dropped by the kernel at the sockets of server and generator.
    pub kernel_drops: u64,
    /// Lateness of frames at the speakers, 99th percentile.
    pub speaker_late_p99_us: u64,
    /// Time from due to received. All zero if it cannot be measured.
    pub latency_us: Percentiles,
}

impl Window {
    /// Server CPU per frame that a listener received, in microseconds.
    #[must_use]
    pub fn cpu_us_per_frame(&self) -> f64 {
        self.server_cpu_us / self.frames_delivered.max(1) as f64
    }

    /// Whether the kernel dropped more than 0.1 % of the due frames.
    #[must_use]
    pub fn void(&self) -> bool {
        self.kernel_drops as f64 > self.frames_expected as f64 * 0.001
    }

    /// Whether the server did not keep up: less than 99 % of the due frames arrived in time.
    #[must_use]
    pub fn saturated(&self) -> bool {
        (self.frames_delivered as f64) < self.frames_expected as f64 * 0.99
    }
}

/// Percentiles of a distribution, in microseconds.
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
    /// Percentiles of a histogram of microseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

/// Empty histogram of microseconds.
///
/// # Errors
/// None with these bounds.
pub fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATEST.as_micros() as u64, 3)?)
}

/// Meter of the system's counters from one instant on.
#[derive(Debug)]
pub struct Meter {
    servers: Vec<u32>,
    began: Instant,
    first: Counters,
}

/// Reading of a [`Meter`].
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Time since the start.
    pub span: Duration,
    /// CPU time of the servers.
    pub server_cpu: Duration,
    /// CPU time of this process.
    pub own_cpu: Duration,
    /// CPU time of all other processes.
    pub others: Duration,
    /// Datagrams dropped at the sockets of the servers and of this process.
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
    /// Starts to count for the processes of a server; none if the server is part of this process.
    ///
    /// # Errors
    /// There is no such process, or no /proc.
    pub fn start(servers: &[u32]) -> Result<Self> {
        let servers = servers.to_vec();
        Ok(Self { first: Counters::read(&servers)?, began: Instant::now(), servers })
    }

    /// Counts since the start.
    ///
    /// # Errors
    /// A server has ended.
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

/// Writes a message to standard output.
///
/// # Errors
/// The reader has closed it.
pub fn say(said: &Said) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    out.write_all(b"\n")?;
    out.flush().context("nobody reads what is measured")
}

/// Sends [`Said::Ready`], then measures a window for each line of standard input, until its end.
///
/// # Errors
/// A line is not an [`Ask`], or `window` fails.
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

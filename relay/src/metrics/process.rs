//! The process itself, under the names that Prometheus client libraries agree on. Read from `/proc` at
//! each scrape; off Linux there is nothing to read and the series stay at zero.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Counter, Gauge, IntGauge, Registry};

use super::register;

/// Clock ticks a second in `/proc/self/stat`, the same on every Linux that Rust has a standard
/// library for (proc(5), USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Metrics of the process.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    cpu: Counter,
    resident: IntGauge,
    descriptors: IntGauge,
    threads: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name, help| register(registry, IntGauge::new(name, help));
        let started = Gauge::new(
            "process_start_time_seconds",
            "Start time of the process, in seconds since the Unix epoch.",
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        register(registry, started)?.set(now.as_secs_f64());
        let cpu = Counter::new("process_cpu_seconds_total", "CPU time, user and system.");
        Ok(Self {
            cpu: register(registry, cpu)?,
            resident: gauge("process_resident_memory_bytes", "Resident memory.")?,
            descriptors: gauge("process_open_fds", "Open file descriptors.")?,
            threads: gauge("process_threads", "Threads of the process.")?,
        })
    }

    /// Reads the process's state. A value that cannot be read stays as it was.
    pub(super) fn refresh(&self) {
        if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().and_then(|s| cpu(&s)) {
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        if let Ok(status) = fs::read_to_string("/proc/self/status") {
            if let Some(kilobytes) = field(&status, "VmRSS:") {
                self.resident.set(kilobytes * 1024);
            }
            if let Some(threads) = field(&status, "Threads:") {
                self.threads.set(threads);
            }
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            self.descriptors.set(i64::try_from(descriptors.count()).unwrap_or(i64::MAX));
        }
    }
}

/// User and system time in seconds: fields 14 and 15 of `/proc/self/stat`. The command's name, field 2,
/// is in parentheses and may hold blanks.
fn cpu(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS_PER_SECOND)
}

/// The number after a name in `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_blanks() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 4 0 100";
        assert_eq!(cpu(stat), Some(2.0));
        assert_eq!(cpu("12 (a"), None);
        assert_eq!(field("Name:\tx\nVmRSS:\t  42 kB\n", "VmRSS:"), Some(42));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        let metrics = ProcessMetrics::register(&Registry::new()).unwrap();
        metrics.refresh();
        assert!(metrics.resident.get() > 100_000);
        assert!(metrics.threads.get() >= 1);
        assert!(metrics.descriptors.get() >= 3);
    }
}

//! CPU, memory and dropped datagrams of processes and threads, read from Linux's /proc. All values are
//! totals; the caller takes differences.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Tick of times in /proc: 100 per second on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process, user and system together. The split between the two is not usable: the kernel
/// samples it, and its ticks alias with the frame period.
///
/// # Errors
/// There is no such process.
pub fn process_cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    parse_stat(&text).with_context(|| format!("{path} is not as expected"))
}

/// CPU time of the calling thread up to now: /proc lags by up to a tick for a running thread.
#[must_use]
pub fn this_thread_cpu_now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of a process's current threads, to the nanosecond. A running thread is counted up to the
/// scheduler's last tick.
///
/// # Errors
/// There is no such process, or the kernel does not count it (CONFIG_SCHED_INFO).
pub fn process_cpu_exact(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).with_context(|| format!("{path} cannot be read"))?;
    let mut total = Duration::ZERO;
    for task in tasks {
        let path = task?.path().join("schedstat");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        total += parse_schedstat(&text)
            .with_context(|| format!("{} is not as expected", path.display()))?;
    }
    Ok(total)
}

/// CPU time of one thread of this process.
///
/// # Errors
/// There is no such thread.
pub fn thread_cpu(thread: u32) -> Result<Duration> {
    let path = format!("/proc/self/task/{thread}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    parse_stat(&text).with_context(|| format!("{path} is not as expected"))
}

/// Thread id of the calling thread.
///
/// # Errors
/// /proc is not there.
pub fn this_thread() -> Result<u32> {
    let link = fs::read_link("/proc/thread-self").context("/proc/thread-self cannot be read")?;
    let number = link.file_name().and_then(|name| name.to_str()?.parse().ok());
    number.context("/proc/thread-self is not as expected")
}

/// CPU time of the calling thread, to the nanosecond.
///
/// # Errors
/// The kernel does not count it (CONFIG_SCHED_INFO).
pub fn this_thread_cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")
        .context("/proc/thread-self/schedstat cannot be read")?;
    parse_schedstat(&text).context("/proc/thread-self/schedstat is not as expected")
}

/// Memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Peak of the resident memory, in bytes.
    pub peak_bytes: u64,
}

/// Memory of a process.
///
/// # Errors
/// There is no such process.
pub fn process_memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    parse_status(&text).with_context(|| format!("{path} is not as expected"))
}

/// CPU time of all processes of the machine, over all cores.
///
/// # Errors
/// /proc is not there.
pub fn machine_cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    parse_machine(&text).context("/proc/stat is not as expected")
}

/// Datagrams of the whole machine, both IP versions, that the kernel dropped because a receive buffer was
/// full, or could not send for want of a buffer.
///
/// # Errors
/// /proc is not there.
pub fn machine_drops() -> Result<u64> {
    let v4 = fs::read_to_string("/proc/net/snmp").context("/proc/net/snmp cannot be read")?;
    let v6 = fs::read_to_string("/proc/net/snmp6").unwrap_or_default();
    let v4 = parse_snmp(&v4).context("/proc/net/snmp is not as expected")?;
    Ok(v4 + parse_snmp6(&v6))
}

/// Datagrams dropped at a process's own UDP sockets.
///
/// # Errors
/// The process has ended, or its files may not be read.
pub fn process_drops(pid: u32) -> Result<u64> {
    let inodes = socket_inodes(pid)?;
    let mut drops = 0;
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        drops += parse_udp_table(&text)
            .filter(|(inode, _)| inodes.contains(inode))
            .map(|(_, drops)| drops)
            .sum::<u64>();
    }
    Ok(drops)
}

/// Machine in one line: cores, processor, kernel.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, {model}, Linux {}", kernel.trim())
}

fn socket_inodes(pid: u32) -> Result<HashSet<u64>> {
    let directory = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(Path::new(&directory))
        .with_context(|| format!("{directory} cannot be read"))?;
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(links.filter_map(|link| parse_socket_link(link.to_str()?)).collect())
}

/// Inode in `socket:[12345]`.
fn parse_socket_link(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The name, in parentheses, may have spaces; utime and stime are the 12th and 13th field after it.
fn parse_stat(text: &str) -> Option<Duration> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

/// Nanoseconds on a core, then two more numbers.
fn parse_schedstat(text: &str) -> Option<Duration> {
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn parse_status(text: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some(Memory { resident_bytes: bytes("VmRSS:")?, peak_bytes: bytes("VmHWM:")? })
}

/// The first line: user nice system idle iowait irq softirq steal, in ticks over all cores.
fn parse_machine(text: &str) -> Option<Duration> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else { return None };
    let busy = user + nice + system + irq + softirq;
    Some(Duration::from_millis(busy * TICK.as_millis() as u64))
}

/// A line of names, then a line of values, each for UDP.
fn parse_snmp(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |wanted| {
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        pairs.find(|(name, _)| *name == wanted)?.1.parse::<u64>().ok()
    };
    Some(value("RcvbufErrors")? + value("SndbufErrors")?)
}

/// A name and a value a line. A machine without IPv6 has none.
fn parse_snmp6(text: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let errors = lines.filter(|(name, _)| matches!(*name, "Udp6RcvbufErrors" | "Udp6SndbufErrors"));
    errors.filter_map(|(_, value)| value.trim().parse::<u64>().ok()).sum()
}

/// Inode and drops of each socket: the 10th and the last field.
fn parse_udp_table(text: &str) -> impl Iterator<Item = (u64, u64)> {
    text.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Some((fields.get(9)?.parse().ok()?, fields.last()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "77 (a ) b) S 1 77 77 0 -1 4194560 10 0 0 0 250 50 3 4 20 0 5 0 1 2 3";
        assert_eq!(parse_stat(stat), Some(Duration::from_secs(3)));
        assert_eq!(parse_stat("77 (a) S 1"), None);
    }

    #[test]
    fn exact_cpu_time_is_the_first_number() {
        assert_eq!(parse_schedstat("1500 20 3\n"), Some(Duration::from_nanos(1_500)));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let memory = Memory { resident_bytes: 1024 * 1024, peak_bytes: 2048 * 1024 };
        assert_eq!(parse_status(status), Some(memory));
        assert_eq!(parse_status("VmRSS:\t12 kB\n"), None);
    }

    #[test]
    fn busy_time_leaves_idle_and_steal_out() {
        let stat = "cpu  100 10 20 9999 888 3 7 55 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(parse_machine(stat), Some(Duration::from_millis(1_400)));
    }

    #[test]
    fn drops_are_found_by_name_and_by_inode() {
        let snmp = "Tcp: A\nTcp: 1\nUdp: InDatagrams RcvbufErrors SndbufErrors InCsumErrors\nUdp: 9 5 2 1\nUdpLite: x\n";
        assert_eq!(parse_snmp(snmp), Some(7));
        let snmp6 = "Udp6InDatagrams 3\nUdp6RcvbufErrors                \t4\nUdp6SndbufErrors 1\n";
        assert_eq!(parse_snmp6(snmp6), 5);
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n 3515: 00000000:8806 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 132622 2 00000000b256ab33 12\n";
        assert_eq!(parse_udp_table(table).collect::<Vec<_>>(), [(132_622, 12)]);
        assert_eq!(parse_socket_link("socket:[132622]"), Some(132_622));
        assert_eq!(parse_socket_link("pipe:[1]"), None);
    }
}

//! `tribune-bench suite`, also the default without a command: measures everything that is judged, prints
//! the table of verdicts, and writes the results to `target/bench/`. [`metrics`] computes what is judged,
//! [`verdict`] has the bounds.

mod metrics;
mod verdict;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use serde::Serialize;
use tribune_bench::accounting::machine;

use self::metrics::{Hop, LoadRun, Measurements, Outcome};
use self::verdict::{Judged, Verdict};
use crate::child_run::{ChildRun, split_words};
use crate::paths;
use crate::peers::results::PeersReport;
use crate::peers::{self, PeersPlan};
use crate::plan::costs::MeasuredCosts;
use crate::plan::{self, Checked, Size, TreeReport};

/// How much to measure.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SuitePlan {
    /// Everything at small sizes, within about three minutes: to see that it runs. Its figures say little.
    #[arg(long)]
    quick: bool,
    /// Where results.md and results.json go [default: target/bench of the workspace]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the load clients of other systems are [default: bench/peers/target/release of the workspace]
    #[arg(long, value_name = "DIR")]
    peers_dir: Option<PathBuf>,
}

/// Sizes of the measurements.
struct Scale {
    peers: PeersPlan,
    /// Listeners of the loads with one shard and with two.
    listeners: u32,
    load_seconds: u32,
    load_pairs: u32,
    handshakes: &'static str,
    /// Connected listeners, and as many that join within a second.
    storm: u32,
    storm_runs: u32,
    hop_listeners: u32,
    hop_runs: u32,
    check: Size,
}

impl Scale {
    fn of(plan: &SuitePlan) -> Self {
        let peers = |sizes: &[u32], rounds, seconds, minutes| PeersPlan {
            sizes: sizes.to_vec(),
            rounds,
            seconds,
            minutes,
            only: Vec::new(),
            peers_dir: plan.peers_dir.clone(),
        };
        let check = Size { listeners: 600, depth: 2, seconds: 10, frame_bytes: 120 };
        if plan.quick {
            return Self {
                peers: peers(&[50], 1, 1, 2),
                listeners: 50,
                load_seconds: 1,
                load_pairs: 1,
                handshakes: "handshakes --joins 50 --rounds 1",
                storm: 50,
                storm_runs: 1,
                hop_listeners: 20,
                hop_runs: 1,
                check: Size { listeners: 50, seconds: 2, ..check },
            };
        }
        Self {
            peers: peers(&[200, 500, 1_000], 5, 3, 12),
            listeners: 1_000,
            load_seconds: 8,
            load_pairs: 3,
            handshakes: "handshakes --rounds 15",
            storm: 500,
            storm_runs: 3,
            hop_listeners: 200,
            hop_runs: 3,
            check,
        }
    }
}

/// Results of a suite. The fields are the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct SuiteReport {
    machine: String,
    /// Start of the run, UTC.
    date: String,
    commit: String,
    command: String,
    /// Sizes are too small for meaningful metrics.
    quick: bool,
    took_seconds: f64,
    #[serde(rename = "figures")]
    judged: Vec<Judged>,
    costs: MeasuredCosts,
    trees: Option<TreeReport>,
    check: Option<Checked>,
    peers: Option<PeersReport>,
    /// Measurements that failed, one sentence each.
    failures: Vec<String>,
    parts: Vec<PartDuration>,
}

/// Duration of one measurement.
#[derive(Debug, Serialize)]
struct PartDuration {
    part: &'static str,
    seconds: f64,
}

/// Measures everything and writes the results.
///
/// # Errors
/// The results cannot be written. A measurement that fails is named in the report instead.
pub(crate) fn run(plan: &SuitePlan) -> Result<SuiteReport> {
    let began = Instant::now();
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let scale = Scale::of(plan);
    let mut log = Log { began, parts: Vec::new(), failures: Vec::new() };
    let measurements = measure(&scale, &mut log);
    let costs = measurements.costs();
    let check =
        log.part("a plan's prediction, checked", || plan::check_measured(&costs, scale.check));
    let trees = log.keep(plan::of_measured(&costs).map_err(|error| format!("plan: {error:#}")));
    let report = SuiteReport {
        machine: machine(),
        date,
        commit: paths::commit(),
        command: paths::command(),
        quick: plan.quick,
        took_seconds: began.elapsed().as_secs_f64(),
        judged: measurements.judge(),
        costs,
        trees,
        check: check.ok(),
        peers: measurements.peers.ok(),
        failures: log.failures,
        parts: log.parts,
    };
    report.write(&plan.out.clone().unwrap_or_else(paths::output))?;
    Ok(report)
}

fn measure(scale: &Scale, log: &mut Log) -> Measurements {
    let peers = log.part("peers: other systems in turn", || peers::run(&scale.peers));
    let (one_shard, two_shards) =
        match log.part("loads: one shard and two, in turn", || shards(scale)) {
            Ok((one, two)) => (Ok(one), Ok(two)),
            Err(why) => (Err(why.clone()), Err(why)),
        };
    let handshakes = log.part("handshakes: joins beside bare handshakes", || {
        ChildRun::run(&split_words(scale.handshakes))?.numbers("/ratios")
    });
    let storm_ms = log.part("a storm of joins", || storms(scale));
    let hops = log.part("loads: trees of depth 1 to 3", || hops(scale));
    Measurements {
        peers,
        listeners: scale.listeners,
        one_shard,
        two_shards,
        handshakes,
        storm_ms,
        storm: format!("{0} join in 1 s, {0} listen", scale.storm),
        hops,
    }
}

/// Loads with one shard, each followed by one with two.
fn shards(scale: &Scale) -> Result<(Vec<LoadRun>, Vec<LoadRun>)> {
    let run = |shards: u8| -> Result<LoadRun> {
        let load = format!(
            "load --listeners {} --seconds {} --shards {shards}",
            scale.listeners, scale.load_seconds
        );
        let part = ChildRun::run_load(&split_words(&load))?;
        Ok(LoadRun {
            cpu_us_per_frame: part.number("/relay_cpu_us_per_frame")?,
            join_cpu_us: part.number("/relay_cpu_us_per_join")?,
            joined_kib: part.number("/relay_memory_kib_per_listener")?,
            after_kib: part.number("/relay_memory_kib_per_listener_after")?,
            p99_ms: part.number("/added_delay_us/p99")? / 1e3,
        })
    };
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..scale.load_pairs {
        one.push(run(1)?);
        two.push(run(2)?);
    }
    Ok((one, two))
}

fn storms(scale: &Scale) -> Result<Vec<f64>> {
    let load = format!("load --listeners {0} --storm {0} --seconds 6", scale.storm);
    let run =
        |_| Ok(ChildRun::run_load(&split_words(&load))?.number("/storm/added_gap_p99_us")? / 1e3);
    (0..scale.storm_runs).map(run).collect()
}

/// Delay of one more relay on the way: half of what two more add, so that the first relay and the
/// generator's own delay cancel out.
fn hops(scale: &Scale) -> Result<Vec<Hop>> {
    let run = |depth: u8| -> Result<Hop> {
        let load = format!("load --listeners {} --depth {depth} --seconds 4", scale.hop_listeners);
        let part = ChildRun::run_load(&split_words(&load))?;
        let ms = |percentile: &str| Ok::<_, anyhow::Error>(part.number(percentile)? / 1e3);
        Ok(Hop { p50_ms: ms("/added_delay_us/p50")?, p99_ms: ms("/added_delay_us/p99")? })
    };
    let compare = |_| {
        let (one, two, three) = (run(1)?, run(2)?, run(3)?);
        eprintln!(
            "p50 / p99 at depth 1, 2, 3: {:.1} / {:.1}, {:.1} / {:.1}, {:.1} / {:.1} ms",
            one.p50_ms, one.p99_ms, two.p50_ms, two.p99_ms, three.p50_ms, three.p99_ms
        );
        Ok(Hop {
            p50_ms: (three.p50_ms - one.p50_ms) / 2.0,
            p99_ms: (three.p99_ms - one.p99_ms) / 2.0,
        })
    };
    (0..scale.hop_runs).map(compare).collect()
}

/// Log of the measurements: durations and failures.
struct Log {
    began: Instant,
    parts: Vec<PartDuration>,
    failures: Vec<String>,
}

impl Log {
    fn part<T>(&mut self, name: &'static str, run: impl FnOnce() -> Result<T>) -> Outcome<T> {
        let started = Instant::now();
        eprintln!("\n== {name} (at {})", clock(self.began.elapsed()));
        let found = run().map_err(|error| format!("{error:#}"));
        if let Err(why) = &found {
            eprintln!("== {name}: could not be run: {why}");
            self.failures.push(format!("{name}: {why}"));
        }
        eprintln!("== {name}: {}", clock(started.elapsed()));
        self.parts.push(PartDuration { part: name, seconds: started.elapsed().as_secs_f64() });
        found
    }

    fn keep<T>(&mut self, found: Outcome<T>) -> Option<T> {
        found.map_err(|why| self.failures.push(why)).ok()
    }
}

fn clock(time: Duration) -> String {
    format!("{}:{:02} min", time.as_secs() / 60, time.as_secs() % 60)
}

impl SuiteReport {
    /// Whether everything that is judged was measured, whatever the verdict.
    pub(crate) fn complete(&self) -> bool {
        let not = |row: &Judged| matches!(row.verdict, Verdict::NotMeasured { .. });
        self.failures.is_empty() && !self.judged.iter().any(not)
    }

    fn write(&self, directory: &Path) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            eprintln!("written: {}", path.display());
            Ok::<_, anyhow::Error>(())
        };
        fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        write("results.json", serde_json::to_string_pretty(self)?)?;
        write("results.md", self.markdown()?)
    }

    fn markdown(&self) -> Result<String> {
        let mut text = String::from("# Results\n\n");
        for line in self.head() {
            writeln!(text, "- {line}")?;
        }
        writeln!(text, "\n## What must be reached\n\nMedian (least–most).\n")?;
        text.push_str(&verdict::table(&self.judged).markdown());
        if let Some(peers) = &self.peers {
            let (rounds, seconds) = (peers.rounds, peers.window_seconds);
            writeln!(
                text,
                "\n## Beside other systems\n\nThe same schedule for all: a frame every 20 ms; {rounds} rounds \
                 of windows of {seconds} s, in turn, the order rotated. Median (least–most); ratios within a round.\n"
            )?;
            text.push_str(&peers.metrics_table().markdown());
            text.push('\n');
            text.push_str(&peers.systems_table().markdown());
            text.push_str("\nNot measured:\n\n");
            let absent = peers.absent();
            for line in &absent {
                writeln!(text, "- {line}")?;
            }
            if absent.is_empty() {
                text.push_str("- nothing was left out\n");
            }
        }
        if let Some(trees) = &self.trees {
            writeln!(text, "\n## Trees for larger audiences\n\n```text\n{trees}\n```")?;
        }
        if let Some(check) = &self.check {
            writeln!(text, "\n## The prediction, checked\n\n```text\n{check}\n```")?;
        }
        writeln!(text, "\n## How long it took\n")?;
        for PartDuration { part, seconds } in &self.parts {
            writeln!(text, "- {part}: {}", clock(Duration::from_secs_f64(*seconds)))?;
        }
        for failure in &self.failures {
            writeln!(text, "- could not be run: {failure}")?;
        }
        Ok(text)
    }

    fn head(&self) -> Vec<String> {
        let mut head = vec![
            format!("Machine: {}", self.machine),
            format!("Date: {}", self.date),
            format!("Commit: {}", self.commit),
            format!("Command: `{}`", self.command),
            format!("PartDuration: {}", clock(Duration::from_secs_f64(self.took_seconds))),
        ];
        if self.quick {
            head.push("Quick: sizes far too small for figures that mean something".to_owned());
        }
        head
    }
}

impl std::fmt::Display for SuiteReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.head() {
            writeln!(f, "{line}")?;
        }
        if let Some(peers) = &self.peers {
            writeln!(f, "\n{peers}")?;
        }
        if let Some(trees) = &self.trees {
            writeln!(f, "\n{trees}")?;
        }
        if let Some(check) = &self.check {
            writeln!(f, "\n{check}")?;
        }
        writeln!(f, "\n{}", verdict::table(&self.judged).text())?;
        for failure in &self.failures {
            writeln!(f, "could not be run: {failure}")?;
        }
        Ok(())
    }
}

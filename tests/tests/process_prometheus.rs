//! Queries of `deploy/` for Prometheus and Grafana, run on a real Prometheus that scrapes a real tree:
//! every panel has something to show, every rule is healthy, and a relay that dies raises its alerts.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tribune_tests::process::{
    Client, Process, Prometheus, Relay, RelayOptions, Scratch, pause, wait_for, with_scratch,
};

const ROOM: &str = "stage";
/// Time limit of a one-shot command on a busy machine.
const COMMAND: Duration = Duration::from_secs(20);
/// Period of scrapes and rule evaluations.
const SCRAPE_PERIOD: Duration = Duration::from_secs(1);
/// Time limit of the first scrape and rule evaluation, on a busy machine.
const SCRAPED: Duration = Duration::from_secs(30);
/// Time limit until every panel shows something. Listeners report every 5 s, relays sum up every 5 s,
/// and rates need two of each.
const SHOWN: Duration = Duration::from_secs(75);
/// Time limit of the alerts about a dead relay.
const ALERTED: Duration = Duration::from_secs(30);
/// Grafana's value of `$__rate_interval`, and the time span of a panel.
const WINDOW: &str = "15s";
const SHOWN_SECONDS: u64 = 60;

#[test]
fn every_panel_and_every_rule_has_an_answer_from_a_tree() {
    let Some(program) = Prometheus::installed() else {
        // scripts/setup installs it where CI runs, so that a missing one is a fault there.
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "prometheus is not installed");
        println!("prometheus is not installed: dashboards and rules are not asked");
        return;
    };
    with_scratch(|scratch| {
        let tree = Tree::start(scratch)?;
        let _audience = tree.audience(scratch)?;
        let prometheus = Prometheus::start(scratch, &program, &configuration(scratch, &tree)?)?;
        wait_for("all targets to be up", SCRAPED, || {
            Ok((prometheus.query("up == 1")?.len() == tree.relays().len()).then_some(()))
        })?;

        ask_panels(scratch, &tree, &prometheus)?;
        ask_variables(&prometheus)?;
        ask_rules(&prometheus)?;
        metrics_are_those_of_the_list(&tree)?;
        health_check(&tree.origin)?;

        let silent = alerts(&prometheus)?;
        println!("before a relay dies: {silent:?}");
        for (name, instance) in [("TribuneRelayDown", "mid"), ("TribuneTrunkDown", "leaf-a")] {
            assert!(!silent.contains(&(name.to_owned(), instance.to_owned())), "{silent:?}");
        }
        // One leaf knows no other parent; the other one goes to the origin.
        tree.mid.kill()?;
        for (name, instance) in [("TribuneRelayDown", "mid"), ("TribuneTrunkDown", "leaf-a")] {
            wait_for(&format!("{name} of {instance}"), ALERTED, || {
                let alerts = alerts(&prometheus)?;
                Ok(alerts.contains(&(name.to_owned(), instance.to_owned())).then_some(()))
            })?;
            println!("{name} of {instance} is raised");
        }
        assert!(prometheus.log().is_empty(), "{}", prometheus.log());
        Ok(())
    });
}

/// An origin that keeps its rooms, a relay between, two leaves.
struct Tree {
    origin: Relay,
    mid: Relay,
    leaves: [Relay; 2],
}

impl Tree {
    fn start(scratch: &Scratch) -> Result<Self> {
        let data = scratch.file("origin.data").display().to_string();
        let origin = RelayOptions::new("origin").arg("--data").arg(&data).start(scratch)?;
        let mid = RelayOptions::new("mid").parent(&origin).start(scratch)?;
        let leaves = [
            RelayOptions::new("leaf-a").parent(&mid).start(scratch)?,
            RelayOptions::new("leaf-b").parent(&mid).parent(&origin).start(scratch)?,
        ];
        Ok(Self { origin, mid, leaves })
    }

    fn relays(&self) -> [&Relay; 4] {
        [&self.origin, &self.mid, &self.leaves[0], &self.leaves[1]]
    }

    /// Somebody speaks at the origin, somebody at a leaf, somebody has a hand up at the other one, and
    /// there is a listener everywhere, as long as the processes live.
    fn audience(&self, scratch: &Scratch) -> Result<Vec<Process>> {
        let speak = |name: &str, more: &[&str], relay: &Relay| {
            Client::new(&["speak", ROOM, "--name", name, "--tone", "300"], relay)
                .args(more)
                .start(scratch, name)
        };
        let mut all = vec![speak("Host", &[], &self.origin)?];
        all[0].wait_event("joined", COMMAND, |_| true)?;
        all.push(speak("Guest", &[], &self.leaves[0])?);
        all.push(speak("Asker", &["--raise-hand", "About the bridges"], &self.leaves[1])?);
        for relay in self.relays() {
            let name = format!("at-{}", relay.name());
            all.push(Client::listen(ROOM, "null".as_ref(), relay).start(scratch, &name)?);
        }
        for process in &mut all[1..] {
            process.wait_event("joined", COMMAND, |_| true)?;
        }
        Ok(all)
    }

    /// A decision that the store keeps and nobody hears: somebody who never comes is banned.
    fn decide(&self, scratch: &Scratch, number: u32) -> Result<()> {
        let subject = format!("sub:nobody-{number}");
        Client::new(&["ban", "create", ROOM, &subject, "--for", "1h"], &self.origin)
            .run_well(scratch, "decide", COMMAND)
            .map(|_| ())
    }
}

/// The rules of `deploy/`, waiting for seconds instead of minutes, and a scrape a second.
fn configuration(scratch: &Scratch, tree: &Tree) -> Result<PathBuf> {
    let rules = scratch.file("rules");
    fs::create_dir(&rules)?;
    for name in ["recording.yml", "alerts.yml"] {
        let text = fs::read_to_string(deploy("prometheus/rules").join(name))?;
        let hurried = text.lines().map(|line| match line.trim_start().starts_with("for: ") {
            true => "        for: 2s",
            false => line,
        });
        fs::write(rules.join(name), hurried.collect::<Vec<_>>().join("\n"))?;
    }
    let mut text = format!(
        "global: {{ scrape_interval: {period}s, evaluation_interval: {period}s }}\n\
         rule_files: [\"{}/*.yml\"]\nscrape_configs:\n- job_name: tribune\n  static_configs:\n",
        rules.display(),
        period = SCRAPE_PERIOD.as_secs(),
    );
    for relay in tree.relays() {
        let (address, name) = (relay.http(), relay.name());
        writeln!(text, "  - {{ targets: [\"{address}\"], labels: {{ instance: {name} }} }}")?;
    }
    let file = scratch.file("prometheus.yml");
    fs::write(&file, text)?;
    Ok(file)
}

/// Asks every query of every panel until each has a series with a number. Meanwhile decisions are made,
/// as panels about the store show nothing without.
fn ask_panels(scratch: &Scratch, tree: &Tree, prometheus: &Prometheus) -> Result<()> {
    let boards = dashboards()?;
    let mut waiting = Vec::new();
    for (board, text) in &boards {
        for panel in array(&text["panels"])? {
            for (n, target) in panel["targets"].as_array().into_iter().flatten().enumerate() {
                let title = format!("{board}: {} ({n})", string(&panel["title"])?);
                waiting.push((title, substituted(string(&target["expr"])?)));
            }
        }
    }
    let (panels, queries) =
        (boards.iter().map(|(_, board)| panels(board)).sum::<usize>(), waiting.len());
    let mut decisions = 0;
    let all = wait_for("every panel to show something", SHOWN, || {
        decisions += 1;
        tree.decide(scratch, decisions)?;
        // Nothing changes between two scrapes.
        pause(SCRAPE_PERIOD)?;
        let mut left = Vec::new();
        for (title, query) in waiting.drain(..) {
            match prometheus.series_with_a_value(&query, SHOWN_SECONDS)? {
                0 => left.push((title, query)),
                series => println!("{title}: {series} series"),
            }
        }
        waiting = left;
        Ok(waiting.is_empty().then_some(()))
    });
    let left = || waiting.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>().join("; ");
    all.with_context(|| format!("without an answer: {}", left()))?;
    println!("{panels} panels of {} dashboards answered, {queries} queries", boards.len());
    Ok(())
}

/// The variables of the dashboards have values to choose from.
fn ask_variables(prometheus: &Prometheus) -> Result<()> {
    for (board, text) in dashboards()? {
        for variable in array(&text["templating"]["list"])? {
            let Some(definition) = variable["definition"].as_str() else { continue };
            let inner =
                definition.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
            let (selector, label) =
                inner.and_then(|it| it.rsplit_once(", ")).context("no label_values")?;
            let series = prometheus.query(&substituted(selector))?;
            let values: BTreeSet<&str> =
                series.iter().filter_map(|one| one["metric"][label].as_str()).collect();
            ensure!(!values.is_empty(), "{board}: nothing to choose from for {definition}");
            println!("{board}: {label} is one of {values:?}");
        }
    }
    Ok(())
}

/// Prometheus has read all rules and evaluated each without an error.
fn ask_rules(prometheus: &Prometheus) -> Result<()> {
    let mut written = 0;
    for name in ["recording.yml", "alerts.yml"] {
        let text = fs::read_to_string(deploy("prometheus/rules").join(name))?;
        let begins_one = |line: &&str| {
            line.trim_start().starts_with("- record: ")
                || line.trim_start().starts_with("- alert: ")
        };
        written += text.lines().filter(begins_one).count();
    }
    let healthy = wait_for("all rules to be evaluated", SCRAPED, || {
        let data = prometheus.ask("/api/v1/rules", &[])?;
        let groups = array(&data["groups"])?;
        let rules: Vec<&Value> =
            groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
        if let Some(rule) = rules.iter().find(|rule| rule["health"] == "err") {
            anyhow::bail!("{}: {}", rule["name"], rule["lastError"]);
        }
        let evaluated = rules.iter().all(|rule| rule["health"] == "ok");
        Ok(evaluated.then_some(rules.len()))
    })?;
    assert_eq!(healthy, written, "rules that Prometheus has read");
    println!("{healthy} rules are healthy");
    Ok(())
}

/// The list that rules and dashboards are checked against is what a relay exports.
fn metrics_are_those_of_the_list(tree: &Tree) -> Result<()> {
    let list = fs::read_to_string(deploy("metrics.txt"))?;
    let listed: BTreeSet<(&str, &str)> = list
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?))
        })
        .collect();
    let answer = tree.origin.get("/metrics")?;
    let exported: BTreeSet<(&str, &str)> = answer
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let missing: Vec<_> = listed.difference(&exported).collect();
    let new: Vec<_> = exported.difference(&listed).collect();
    assert!(missing.is_empty() && new.is_empty(), "not exported: {missing:?}; not listed: {new:?}");
    println!("{} metrics are those of deploy/metrics.txt", exported.len());
    Ok(())
}

/// The script by which a container asks its relay.
fn health_check(relay: &Relay) -> Result<()> {
    let asked = |path: &str| {
        let mut command = Command::new("bash");
        let status = command
            .arg(deploy("docker/healthcheck"))
            .arg(path)
            .arg(relay.http().port().to_string());
        status.status().map(|status| status.code())
    };
    assert_eq!(asked("/healthz")?, Some(0));
    assert_eq!(asked("/readyz")?, Some(0));
    assert_eq!(asked("/nothing")?, Some(1));
    Ok(())
}

/// The alerts that are pending or firing, and the relays that they are about.
fn alerts(prometheus: &Prometheus) -> Result<BTreeSet<(String, String)>> {
    let data = prometheus.ask("/api/v1/alerts", &[])?;
    let label =
        |alert: &Value, label: &str| alert["labels"][label].as_str().unwrap_or_default().to_owned();
    let alerts = array(&data["alerts"])?;
    Ok(alerts.iter().map(|alert| (label(alert, "alertname"), label(alert, "instance"))).collect())
}

/// The dashboards, by name.
fn dashboards() -> Result<Vec<(String, Value)>> {
    let one = |name: &str| {
        let path = deploy("grafana/dashboards").join(format!("{name}.json"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok((name.to_owned(), serde_json::from_str(&text)?))
    };
    ["relay", "tree", "room"].into_iter().map(one).collect()
}

/// Panels of a dashboard that ask something.
fn panels(board: &Value) -> usize {
    let panels = board["panels"].as_array().into_iter().flatten();
    panels.filter(|panel| panel["targets"].is_array()).count()
}

/// A query as Grafana sends it, with all relays and rooms chosen.
fn substituted(query: &str) -> String {
    query
        .replace("$__rate_interval", WINDOW)
        .replace("$job", "tribune")
        .replace("$instance", ".*")
        .replace("$room", ".*")
}

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("not a list: {value}"))
}

fn string(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("not a text: {value}"))
}

//! Commands that run other measurements, over real processes: every contender is measured or named as
//! missing. Costs are not judged here.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tribune-bench")).args(arguments).output();
    output.expect("tribune-bench can be started")
}

fn report(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

#[test]
fn tribune_is_measured_in_turn_with_the_ceiling() {
    let relay = Path::new(env!("CARGO_BIN_EXE_tribune-bench")).with_file_name("tribune-relay");
    assert!(relay.is_file(), "{} is not built: run `make test`", relay.display());
    let output = bench(&[
        "peers",
        "--json",
        "--only",
        "ceiling,tribune",
        "--sizes",
        "20",
        "--rounds",
        "2",
        "--seconds",
        "1",
    ]);
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["missing"], Value::Array(Vec::new()), "{report}");
    let entries = report["entries"].as_array().unwrap();
    let names: Vec<_> =
        entries.iter().map(|entry| (&entry["contender"], &entry["speakers"])).collect();
    assert_eq!(
        names,
        [
            (&"ceiling".into(), &1.into()),
            (&"tribune".into(), &1.into()),
            (&"tribune".into(), &4.into())
        ]
    );
    for entry in entries {
        let windows = entry["windows"].as_array().unwrap();
        assert_eq!(windows.len(), 2, "{entry}");
        let due = 20 * 50 * entry["speakers"].as_u64().unwrap();
        assert!(windows.iter().all(|taken| taken["window"]["frames_expected"] == due), "{entry}");
        assert!(entry["cpu_us_per_frame"]["median"].as_f64().unwrap() > 0.0, "{entry}");
    }
    // A relay does what the ceiling does, and more.
    assert!(entries[1]["over_ceiling"]["median"].as_f64().unwrap() > 1.0, "{report}");
    assert_eq!(entries[0]["over_ceiling"], Value::Null, "{report}");
}

#[test]
fn a_contender_that_is_not_there_is_named_and_nothing_is_made_up() {
    let output = bench(&[
        "peers",
        "--json",
        "--only",
        "janus,mumble",
        "--sizes",
        "20",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--peers-dir",
        "/nowhere",
    ]);
    let report = report(&output);
    assert_eq!(report["entries"], Value::Array(Vec::new()), "{report}");
    let missing = report["missing"].as_array().unwrap();
    let names: Vec<_> = missing.iter().map(|missing| &missing["contender"]).collect();
    assert_eq!(names, ["mumble", "janus"], "{report}");
    let why = missing[0]["why"].as_str().unwrap();
    assert!(why.contains("/nowhere/peer-mumble is not built"), "{why}");
}

#[test]
fn a_contender_that_nobody_knows_is_an_error() {
    let output = bench(&["peers", "--only", "skype"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"skype\""));
}

#[test]
fn a_plan_takes_the_figures_it_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let figures = directory.path().join("results.json");
    std::fs::write(&figures, r#"{"costs":{"cpu_us_per_frame":4.0,"join_cpu_us":250.0}}"#).unwrap();
    let output = bench(&[
        "plan",
        "--json",
        "--audience",
        "1000",
        "1000000",
        "--figures",
        figures.to_str().unwrap(),
        "--join-cpu-us",
        "300",
    ]);
    let report = report(&output);
    assert_eq!(report["costs"]["cpu_us_per_frame"]["value"], 4.0, "{report}");
    assert_eq!(report["costs"]["cpu_us_per_frame"]["source"], "suite", "{report}");
    assert_eq!(report["costs"]["join_cpu_us"]["value"], 300.0, "{report}");
    assert_eq!(report["costs"]["join_cpu_us"]["source"], "flag", "{report}");
    let trees = report["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 2, "{report}");
    // 2 cores × 0.6 / (50 × 4 µs), less one packet in.
    assert_eq!(trees[1]["edge_capacity"]["fan_out"], 5_999, "{report}");
}

#[test]
fn figures_that_cannot_be_read_are_named() {
    let output = bench(&["plan", "--figures", "/nowhere/results.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/results.json"));
}

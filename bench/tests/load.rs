//! A small load over real processes: what is printed adds up. Costs are not judged here.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn a_small_load_loses_nothing_and_says_so() {
    let bench = env!("CARGO_BIN_EXE_tribune-bench");
    let relay = Path::new(bench).with_file_name("tribune-relay");
    assert!(relay.is_file(), "{} is not built: run `make test`", relay.display());
    let output = Command::new(bench)
        .args(["load", "--json", "--listeners", "20", "--rooms", "2", "--speakers", "2"])
        .args(["--seconds", "1", "--per-socket", "7"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).expect(&told);
    // 50 frames of each of two speakers, for each listener of their room.
    assert_eq!(report["frames_expected"], 20 * 2 * 50, "{report}");
    assert_eq!(report["frames_delivered"], 20 * 2 * 50, "{report}");
    assert_eq!(report["frames_foreign"], 0, "{report}");
    assert_eq!(report["listener_sockets"], 3, "{report}");
    assert_eq!(report["verdict"], "good", "{report}");
    assert!(report["relay_cpu_us_per_frame"].as_f64().is_some_and(|cpu| cpu > 0.0), "{report}");
    assert!(output.status.success(), "{told}");
}

#[test]
fn a_relay_that_cannot_be_started_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_tribune-bench"))
        .args(["load", "--relay", "/nowhere/tribune-relay"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("/nowhere/tribune-relay"), "{told}");
}

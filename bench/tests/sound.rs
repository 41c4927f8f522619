//! `tribune-bench sound`, small: a few seconds of speech over a chain of relays in virtual time.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn sound(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tribune-bench"));
    command.args(["sound", "--quick", "--seconds", "4", "--out"]).arg(directory).args(arguments);
    command.output().expect("tribune-bench can be started")
}

/// Lines of a kind in JSON lines.
fn lines(text: &[u8], kind: &str) -> Vec<Value> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON"));
    lines.filter(|line: &Value| line["kind"] == kind).collect()
}

fn mean(cell: &Value, figure: &str) -> f64 {
    cell[figure]["mean"].as_f64().unwrap_or_else(|| panic!("no {figure}: {cell}"))
}

#[test]
fn loss_is_heard_and_its_absence_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let only = ["--json", "--only", "last hop,RTT 60"];
    let output = sound(directory.path(), &only);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let cells = lines(&output.stdout, "cell");
    let cell = |fault: &str| {
        let found = cells.iter().find(|cell| cell["fault"] == fault);
        found.unwrap_or_else(|| panic!("no cell with {fault}: {cells:?}"))
    };
    let (clean, lossy) = (cell("no loss"), cell("30 % random"));
    assert_eq!(mean(clean, "playable_percent"), 100.0);
    assert_eq!(mean(clean, "longest_gap_ms"), 0.0);
    assert_eq!(mean(clean, "repaired_percent"), 0.0);
    assert!(mean(lossy, "repaired_percent") > 10.0, "{lossy}");
    assert!(mean(lossy, "mouth_to_ear_p50_ms") > 30.0 + mean(clean, "mouth_to_ear_p50_ms"));
    // 20 ms of the frame itself, 30 ms of the path, and a buffer.
    let delay = mean(clean, "mouth_to_ear_p50_ms");
    assert!((50.0..200.0).contains(&delay), "{clean}");
    let bytes = mean(clean, "ip_per_opus_byte");
    assert!((1.2..4.0).contains(&bytes), "headers cost something: {clean}");
    // PESQ where it is installed; else the run says how to get it.
    let run = &lines(&output.stdout, "run")[0];
    match run["no_pesq"].as_str() {
        None => assert!(mean(clean, "pesq") > mean(lossy, "pesq"), "{clean} {lossy}"),
        Some(why) => {
            assert!(why.contains("scripts/setup sound") && stderr.contains(why), "{stderr}")
        }
    }
    let written = std::fs::read(directory.path().join("sound.json")).unwrap();
    assert_eq!(written, output.stdout);
    let picture = std::fs::read_to_string(directory.path().join("sound.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("<polyline"), "{picture}");

    // The same again, beside itself: virtual time leaves nothing to chance.
    let baseline = directory.path().join("baseline.json");
    std::fs::rename(directory.path().join("sound.json"), &baseline).unwrap();
    let only = ["--json", "--only", "no loss,RTT 60", "--against", baseline.to_str().unwrap()];
    let output = sound(directory.path(), &only);
    let differences = lines(&output.stdout, "difference");
    assert_eq!(differences.len(), 1, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(differences[0]["playable_percent"], 0.0, "{differences:?}");
    assert_eq!(differences[0]["mouth_to_ear_p99_ms"], 0.0, "{differences:?}");
    assert_eq!(differences[0]["ip_bytes_ratio"], 1.0, "{differences:?}");
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let not_json = directory.path().join("not.json");
    std::fs::write(&not_json, "PESQ 4.1").unwrap();
    let inside_a_file = not_json.join("results");
    for (arguments, named) in [
        (["--only", "submarine cable"], "submarine cable"),
        (["--only", "outages"], "too short"),
        (["--bitrate", "1000"], "1000"),
        (["--against", not_json.to_str().unwrap()], "no result of `sound`"),
        (["--voices", "/nowhere/voices.flac"], "/nowhere/voices.flac"),
        (["--against", "/nowhere/sound.json"], "/nowhere/sound.json"),
    ] {
        let output = sound(directory.path(), &arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(named), "{stderr}");
    }
    let output = sound(&inside_a_file, &["--only", "no loss"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("cannot be made") && !stderr.contains("runs"),
        "before any run: {stderr}"
    );
}

//! The contender over its protocol. Where Janus is not installed, it must report so.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tribune_bench::contender::{MISSING, Said};

fn run(arguments: &[&str], asks: &str) -> std::io::Result<Output> {
    let mut peer = Command::new(env!("CARGO_BIN_EXE_peer-janus"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = peer.stdin.take() {
        // A contender that ends before a request closes its input; its exit code has the reason.
        let _ = stdin.write_all(asks.as_bytes());
    }
    peer.wait_with_output()
}

fn is_missing(output: &Output) -> bool {
    let missing = output.status.code() == Some(i32::from(MISSING));
    assert!(!missing || complaint(output).contains("janus is not installed"));
    missing
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn viewers_hear_the_speaker_with_event_loops_and_without() {
    for (event_loops, system) in [("2", ", 2 event loops"), ("0", ", a thread per viewer")] {
        let arguments = ["--listeners", "10", "--event-loops", event_loops];
        let output = run(&arguments, &"{\"speakers\":1,\"seconds\":1}\n".repeat(2)).unwrap();
        if is_missing(&output) {
            return;
        }
        assert!(output.status.success(), "{}", complaint(&output));
        let said: Vec<Said> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|said| !matches!(said, Said::Joining { .. }))
            .collect();
        let [Said::Ready(ready), Said::Window(first), Said::Window(second)] = &said[..] else {
            panic!("{said:?}")
        };
        assert!(ready.system.starts_with("Janus 1.") && ready.system.ends_with(system));
        for window in [first, second] {
            assert_eq!(window.frames_expected, 10 * 50);
            // A busy machine may lose frames, but never counts one twice.
            assert!(window.frames_delivered <= 10 * 50, "{window:?}");
            assert!(window.frames_delivered > 10 * 25, "{window:?}");
            assert!(window.latency_us.p50 > 0, "{window:?}");
        }
    }
}

#[test]
fn several_speakers_are_refused() {
    let output = run(&["--listeners", "1"], "{\"speakers\":4,\"seconds\":1}\n").unwrap();
    if !is_missing(&output) {
        assert_eq!(output.status.code(), Some(2));
        assert!(complaint(&output).contains("one speaker, not 4"), "{}", complaint(&output));
    }
}

#[test]
fn a_janus_that_is_not_there_is_told_of() {
    let mut peer = Command::new(env!("CARGO_BIN_EXE_peer-janus"));
    let output = peer.args(["--listeners", "1"]).env("PATH", "/nowhere").output().unwrap();
    assert!(is_missing(&output));
}

//! The contender over its protocol, where Icecast is installed.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tribune_bench::contender::{MISSING, Said};

fn run(arguments: &[&str], asks: &str) -> std::io::Result<Output> {
    let mut peer = Command::new(env!("CARGO_BIN_EXE_peer-icecast"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = peer.stdin.take() {
        // A contender that ends at once does not read it.
        let _ = stdin.write_all(asks.as_bytes());
    }
    peer.wait_with_output()
}

/// Whether the contender reports that Icecast is not installed.
fn missing(output: &Output) -> bool {
    let missing = output.status.code() == Some(i32::from(MISSING));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!missing || why.contains("icecast2 is not installed"), "{why}");
    missing
}

#[test]
fn listeners_hear_the_source_in_pages_of_either_size() {
    for page_ms in ["20", "100"] {
        let arguments = ["--listeners", "3", "--page-ms", page_ms];
        let output =
            run(&arguments, "{\"speakers\":1,\"seconds\":1}\n".repeat(2).as_str()).unwrap();
        if missing(&output) {
            return;
        }
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<Said> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [Said::Ready(ready), Said::Window(first), Said::Window(second)] = &said[..] else {
            panic!("{said:?}")
        };
        assert!(ready.system.starts_with("Icecast 2."), "{ready:?}");
        for window in [first, second] {
            assert_eq!(window.frames_expected, 3 * 50);
            assert!(window.frames_delivered <= window.frames_expected, "{window:?}");
            // On a busy machine some frames arrive too late to count.
            assert!(window.frames_delivered > window.frames_expected / 2, "{window:?}");
            assert!(window.latency_us.max > 0, "{window:?}");
        }
    }
}

#[test]
fn a_second_speaker_is_refused() {
    let output = run(&["--listeners", "1"], "{\"speakers\":4,\"seconds\":1}\n").unwrap();
    if !missing(&output) {
        assert_eq!(output.status.code(), Some(2));
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(why.contains("4 speakers are asked for"), "{why}");
    }
}

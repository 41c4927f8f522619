//! The contender over its protocol: a few listeners, a window of each kind.

use std::io::Write;
use std::process::{Command, Stdio};

use tribune_bench::contender::Said;

#[test]
fn listeners_hear_all_speakers() {
    let mut peer = Command::new(env!("CARGO_BIN_EXE_peer-stock-quinn"))
        .args(["--listeners", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asks = peer.stdin.take().unwrap();
    asks.write_all(b"{\"speakers\":1,\"seconds\":1}\n{\"speakers\":4,\"seconds\":1}\n").unwrap();
    drop(asks);
    let output = peer.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<Said> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [Said::Ready(ready), Said::Window(one), Said::Window(four)] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(ready.listeners, 3);
    for (window, speakers) in [(one, 1), (four, 4)] {
        assert_eq!(window.frames_expected, speakers * 3 * 50);
        assert!(window.frames_delivered <= window.frames_expected, "{window:?}");
        // On a busy machine some frames arrive too late to count.
        assert!(window.frames_delivered > window.frames_expected / 2, "{window:?}");
        assert!(window.latency_us.max > 0, "{window:?}");
    }
}

#[test]
fn more_speakers_than_can_be_had_are_refused() {
    let mut peer = Command::new(env!("CARGO_BIN_EXE_peer-stock-quinn"))
        .args(["--listeners", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asks = peer.stdin.take().unwrap();
    asks.write_all(b"{\"speakers\":5,\"seconds\":1}\n").unwrap();
    let output = peer.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let why = String::from_utf8(output.stderr).unwrap();
    assert!(why.contains("5 speakers are asked for"), "{why}");
}

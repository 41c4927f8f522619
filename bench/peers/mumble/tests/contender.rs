//! The contender with a real mumble-server. Where none is installed, the test checks that it reports so.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use tribune_bench::contender::{MISSING, Said};

#[test]
fn a_contender_measures_what_it_is_asked_to() {
    let mut contender = Command::new(env!("CARGO_BIN_EXE_peer-mumble"))
        .args(["--listeners", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asks = contender.stdin.take().unwrap();
    let lines = BufReader::new(contender.stdout.take().unwrap()).lines();
    let mut said = lines.map(|line| serde_json::from_str::<Said>(&line.unwrap()).unwrap());

    let Some(ready) = said.find(|said| !matches!(said, Said::Joining { .. })) else {
        assert_eq!(contender.wait().unwrap().code(), Some(i32::from(MISSING)));
        eprintln!("mumble-server is not installed: little is tested");
        return;
    };
    let Said::Ready(ready) = ready else { panic!("{ready:?}") };
    assert!(ready.system.starts_with("mumble-server 1."), "{ready:?}");
    assert_eq!(ready.listeners, 3);

    // Each active speaker receives the others; inactive ones receive nothing.
    for (speakers, hearers) in [(4, 3 + 3), (1, 3)] {
        writeln!(asks, r#"{{"speakers":{speakers},"seconds":1}}"#).unwrap();
        let Some(Said::Window(window)) = said.next() else { panic!("no window") };
        assert_eq!(window.speakers, speakers);
        assert_eq!(window.frames_expected, 50 * u64::from(speakers) * hearers);
        assert!(window.frames_delivered > 0, "{window:?}");
        assert!(window.latency_us.max > 0, "{window:?}");
    }
    drop(asks);
    assert!(said.next().is_none());
    assert!(contender.wait().unwrap().success());
}

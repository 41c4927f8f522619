//! Relays that die, drain, come back or are full: listeners hear again by themselves.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tribune_tests::process::sound::{read_wav, rms};
use tribune_tests::process::{Client, Process, Relay, RelayOptions, Scratch, Signal, with_scratch};

const ROOM: &str = "stage";
/// Time limit until speech is heard, on a busy machine.
const HEARD: Duration = Duration::from_secs(20);
/// Time limit until it is heard again after a failure: timeouts, backoff, and a busy machine.
const HEARD_AGAIN: Duration = Duration::from_secs(30);
/// Samples of a frame period.
const FRAME: usize = 960;
/// Above is the tone, below is silence.
const TONE_RMS: f32 = 0.01;

/// Speaks without a pause, so that every missing frame shows.
fn tone(scratch: &Scratch, relay: &Relay) -> Result<Process> {
    Client::new(&["speak", ROOM, "--name", "Tone", "--tone", "440"], relay)
        .enter(scratch, "speaker")
}

fn recorder(scratch: &Scratch, relay: &Relay, name: &str) -> Result<Process> {
    let mut process =
        Client::listen(ROOM, &scratch.file(&format!("{name}.wav")), relay).enter(scratch, name)?;
    heard(&mut process, HEARD, 50)?;
    Ok(process)
}

/// Waits until a listener has received that many more frames than it has now.
fn heard(listener: &mut Process, limit: Duration, more: u64) -> Result<()> {
    let now = listener.statistics().map_or(0, |statistics| statistics.received);
    listener.wait_statistics("speech to be heard", limit, |next| next.received >= now + more)?;
    Ok(())
}

fn finish(listener: &mut Process) -> Result<tribune_tests::process::Statistics> {
    listener.signal(Signal::TERM)?;
    let ended = listener.wait(HEARD)?;
    ensure!(ended.code == Some(0), "{}: {:?} {}", listener.name(), ended.code, ended.stderr);
    ended.summary()
}

/// The longest silence in a recording between the first tone and the last, in ms.
fn longest_silence_ms(recording: &Path) -> Result<usize> {
    let samples = read_wav(recording)?;
    let mut loud: Vec<bool> =
        samples.chunks_exact(FRAME).map(|frame| rms(frame) > TONE_RMS).collect();
    let last = loud.iter().rposition(|&loud| loud).map_or(0, |last| last + 1);
    loud.truncate(last);
    let runs = loud.split(|&loud| loud).skip_while(|run| !run.is_empty());
    Ok(runs.map(<[bool]>::len).max().unwrap_or(0) * 20)
}

#[test]
fn a_killed_mid_relay_is_replaced_by_the_standby() {
    with_scratch(|scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let first = RelayOptions::new("first").parent(&origin).start(scratch)?;
        let standby = RelayOptions::new("standby").parent(&origin).start(scratch)?;
        let leaf = |name| RelayOptions::new(name).parent(&first).parent(&standby).start(scratch);
        let leaves = [leaf("leaf-a")?, leaf("leaf-b")?];
        let _speaker = tone(scratch, &origin)?;
        let names = ["at-leaf-a", "at-leaf-b"];
        let listeners = leaves.iter().zip(names).map(|(leaf, name)| recorder(scratch, leaf, name));
        let mut listeners = listeners.collect::<Result<Vec<_>>>()?;

        let killed = Instant::now();
        first.kill()?;
        for leaf in &leaves {
            leaf.wait_metrics("the standby to be taken", HEARD_AGAIN, |metrics| {
                metrics.sum("tribune_relay_reattachments_total", &[]) >= 1.0
                    && metrics.sum("tribune_relay_attached", &[]) == 1.0
            })?;
        }
        println!("after {} ms both leaves are with the standby", killed.elapsed().as_millis());
        for listener in &mut listeners {
            heard(listener, HEARD_AGAIN, 100)?;
        }
        for listener in &mut listeners {
            let summary = finish(listener)?;
            let silence = longest_silence_ms(&scratch.file(&format!("{}.wav", listener.name())))?;
            println!(
                "{}: the gap is {silence} ms of silence and {} ms made up; {} frames lost",
                listener.name(),
                summary.concealed * 20,
                summary.lost,
            );
            assert_eq!(summary.reconnects, 0, "the listener's own relay has not moved");
            assert!(Duration::from_millis(silence as u64) < HEARD_AGAIN);
        }
        assert_eq!(standby.metrics()?.sum("tribune_relay_children", &[]), 2.0);
        Ok(())
    });
}

#[test]
fn listeners_and_speakers_come_back_when_their_edge_does() {
    with_scratch(|scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let edge = RelayOptions::new("edge").parent(&origin).start(scratch)?;
        let _speaker = tone(scratch, &origin)?;
        let mut guest = Client::new(&["speak", ROOM, "--name", "Guest", "--tone", "880"], &edge)
            .enter(scratch, "guest")?;
        let mut listener = recorder(scratch, &edge, "listener")?;
        let address = edge.address();
        edge.kill()?;
        let again = RelayOptions::new("edge-again").listen(address).parent(&origin);
        let _again = again.start(scratch)?;

        listener.wait_event("reconnecting", HEARD_AGAIN, |_| true)?;
        listener.wait_event("joined", HEARD_AGAIN, |event| event["reconnects"] == 1)?;
        heard(&mut listener, HEARD_AGAIN, 100)?;
        // Back on the stage, with the role that the guest had.
        let back = guest.wait_event("joined", HEARD_AGAIN, |event| event["reconnects"] == 1)?;
        assert_eq!(back["role"], "speaker", "{back}");
        let before = listener.statistics().map_or(0, |statistics| statistics.received_of("Guest"));
        listener.wait_statistics("the guest to be heard again", HEARD_AGAIN, |statistics| {
            statistics.received_of("Guest") >= before + 50
        })?;
        assert_eq!(finish(&mut listener)?.reconnects, 1);
        Ok(())
    });
}

#[test]
fn a_relay_that_drains_sends_its_participants_on_and_ends_well() {
    with_scratch(|scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let other = RelayOptions::new("other").parent(&origin).start(scratch)?;
        let mut draining = RelayOptions::new("draining")
            .parent(&origin)
            .arg("--drain-to")
            .arg(&other.address().to_string())
            .arg("--drain-timeout=5s")
            .start(scratch)?;
        let _speaker = tone(scratch, &origin)?;
        let mut listener = recorder(scratch, &draining, "listener")?;

        draining.terminate()?;
        let to = other.address().to_string();
        listener.wait_event("moving", HEARD_AGAIN, |event| event["to"] == to.as_str())?;
        listener.wait_event("joined", HEARD_AGAIN, |event| event["relay"] == "other")?;
        let ended = draining.process().wait(Duration::from_secs(20))?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        heard(&mut listener, HEARD_AGAIN, 100)?;
        let summary = finish(&mut listener)?;
        let silence = longest_silence_ms(&scratch.file("listener.wav"))?;
        println!("moved with {silence} ms of silence, {} frames lost", summary.lost);
        let was_away = |line: &str| line.contains(r#""event":"reconnecting""#).then_some(());
        assert!(listener.last(was_away).is_none(), "it is let in before it lets go");
        assert_eq!((summary.lost, summary.reconnects), (0, 1));
        Ok(())
    });
}

#[test]
fn a_full_relay_sends_one_more_to_another() {
    with_scratch(|scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let other = RelayOptions::new("other").parent(&origin).start(scratch)?;
        let full = RelayOptions::new("full")
            .parent(&origin)
            .arg("--capacity=1")
            .arg("--redirect-to")
            .arg(&other.address().to_string())
            .start(scratch)?;
        let _speaker = tone(scratch, &origin)?;
        let mut first = recorder(scratch, &full, "first")?;
        first.wait_event("joined", HEARD, |event| event["relay"] == "full")?;

        // It asks the full relay, and hears at the other one.
        let mut second = recorder(scratch, &full, "second")?;
        second.wait_event("joined", HEARD, |event| event["relay"] == "other")?;
        assert_eq!(finish(&mut second)?.lost, 0);
        assert_eq!(full.metrics()?.sum("tribune_relay_joins_redirected_total", &[]), 1.0);
        assert_eq!(finish(&mut first)?.reconnects, 0);
        Ok(())
    });
}

#[test]
fn a_second_signal_ends_a_draining_relay_at_once() {
    with_scratch(|scratch| {
        let mut relay = RelayOptions::new("relay").arg("--drain-timeout=1h").start(scratch)?;
        let _speaker = tone(scratch, &relay)?;
        let mut listener = recorder(scratch, &relay, "listener")?;
        relay.terminate()?;
        listener.wait_event("moving", HEARD_AGAIN, |event| event["to"].is_null())?;
        assert_eq!(relay.get("/readyz")?.status, 503);
        assert!(relay.get("/readyz")?.body.contains("draining"));
        assert_eq!(relay.get("/healthz")?.status, 200);
        let late = Client::listen(ROOM, "null".as_ref(), &relay).args(&["--duration", "2s"]).run(
            scratch,
            "late",
            HEARD_AGAIN,
        )?;
        assert_ne!(late.code, Some(0), "a draining relay lets nobody in");

        relay.terminate()?;
        let ended = relay.process().wait(Duration::from_secs(10))?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        Ok(())
    });
}

#[test]
fn a_relay_says_how_it_is() {
    with_scratch(|scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let child = RelayOptions::new("child").parent(&origin).start(scratch)?;
        assert_eq!(child.get("/healthz")?.status, 200);
        assert_eq!(child.get("/readyz")?.status, 200);
        assert_eq!(child.get("/nothing")?.status, 404);
        let metrics = child.wait_metrics("its place in the tree", HEARD, |metrics| {
            metrics.sum("tribune_relay_attached", &[]) == 1.0
                && metrics.sum("tribune_relay_depth", &[]) == 2.0
        })?;

        // With nothing to do it sleeps: what turns its loop are time probes and the metrics.
        let turns = "tribune_relay_turn_seconds_count";
        let before = metrics.sum(turns, &[]);
        std::thread::sleep(Duration::from_secs(2));
        let turned = child.metrics()?.sum(turns, &[]) - before;
        assert!(turned < 400.0, "{turned} turns of the loop in two idle seconds");

        // Without its parent it is alive, and not ready.
        origin.kill()?;
        child.wait_metrics("the parent to be missed", HEARD_AGAIN, |metrics| {
            metrics.sum("tribune_relay_attached", &[]) == 0.0
        })?;
        assert_eq!(child.get("/readyz")?.status, 503);
        assert_eq!(child.get("/healthz")?.status, 200);
        Ok(())
    });
}

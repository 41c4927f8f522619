//! The commands as scripts see them: recordings of the right length, exit codes, one sentence about
//! what went wrong.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tribune_tests::process::sound::{clip, decode, rms};
use tribune_tests::process::{Client, Ended, RelayOptions, Signal, with_scratch};

const ROOM: &str = "stage";
/// Time limit of a command on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

/// The playback length that opusinfo reads, in seconds.
fn opusinfo_seconds(file: &std::path::Path) -> Result<f64> {
    let output = Command::new("opusinfo").arg(file).output();
    let output =
        output.context("opusinfo is missing: run make setup, which installs opus-tools")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "opusinfo: {text}");
    ensure!(!text.contains("WARNING"), "opusinfo: {text}");
    let length = text.lines().find_map(|line| line.trim().strip_prefix("Playback length: "));
    // 0m:12.345s
    let length = length.with_context(|| format!("no length: {text}"))?.trim_end_matches('s');
    let (minutes, seconds) = length.split_once("m:").context("no minutes")?;
    Ok(minutes.parse::<f64>()? * 60.0 + seconds.parse::<f64>()?)
}

#[test]
fn an_ogg_recording_has_its_length_across_silence_and_a_reconnect() {
    with_scratch(|scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let edge = RelayOptions::new("edge").parent(&origin).start(scratch)?;
        // One side of a conversation: half of it is silence.
        let _speaker = Client::speak(ROOM, "Ada", &clip("ada"), &origin)
            .args(&["--loop"])
            .enter(scratch, "speaker")?;
        let file = scratch.file("x.ogg");
        let mut listener = Client::listen(ROOM, &file, &edge)
            .args(&["--duration", "14s"])
            .enter(scratch, "listener")?;
        listener.wait_statistics("speech", LIMIT, |statistics| statistics.t_s >= 5.0)?;
        let address = edge.address();
        edge.kill()?;
        let again = RelayOptions::new("edge-again").listen(address).parent(&origin);
        let _again = again.start(scratch)?;
        listener.wait_event("joined", LIMIT, |event| event["reconnects"] == 1)?;
        let ended = listener.wait(LIMIT)?;
        ensure!(ended.code == Some(0), "{}", ended.stderr);

        let seconds = opusinfo_seconds(&file)?;
        assert!((seconds - 14.0).abs() < 0.05, "{seconds} s of 14");
        let wav = scratch.file("x.wav");
        let status = Command::new("opusdec").arg("--quiet").arg(&file).arg(&wav).status()?;
        assert!(status.success(), "opusdec: {status}");
        let samples = decode(&wav)?;
        assert!(samples.len().abs_diff(14 * 48_000) < 2_400, "{} samples", samples.len());
        assert!(rms(&samples[..5 * 48_000]) > 0.005, "nothing to hear before the reconnect");
        Ok(())
    });
}

#[test]
fn a_recording_that_is_interrupted_is_complete() {
    with_scratch(|scratch| {
        let relay = RelayOptions::new("relay").start(scratch)?;
        let _speaker =
            Client::new(&["speak", ROOM, "--tone", "440"], &relay).enter(scratch, "speaker")?;
        let file = scratch.file("x.ogg");
        let mut listener = Client::listen(ROOM, &file, &relay).enter(scratch, "listener")?;
        listener.wait_statistics("speech", LIMIT, |statistics| statistics.t_s >= 3.0)?;
        listener.signal(Signal::INT)?;
        let ended = listener.wait(LIMIT)?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let (seconds, listened) = (opusinfo_seconds(&file)?, ended.summary()?.t_s);
        assert!((seconds - listened).abs() < 0.05, "{seconds} s of {listened}");
        Ok(())
    });
}

/// One sentence on standard error, and the same as JSON on standard output.
fn assert_refusal(ended: &Ended, code: i32, names: &str) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    let said: Vec<&str> =
        ended.stderr.lines().filter(|line| line.starts_with("tribune: ")).collect();
    assert_eq!(said.len(), 1, "{}", ended.stderr);
    assert!(said[0].contains(names) && said[0].ends_with(['.', '!']), "{}", said[0]);
    let last = ended.stdout.last().map(String::as_str).unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
    assert!(json["error"]["code"].is_string(), "{last}");
    assert!(said[0].contains(json["error"]["message"].as_str().unwrap_or("?")), "{last}");
}

#[test]
fn a_relay_that_cannot_be_reached_is_named() {
    with_scratch(|scratch| {
        // Bound and never read: nobody answers there.
        let nobody = std::net::UdpSocket::bind(("127.0.0.1", 0))?;
        let url = nobody.local_addr()?.to_string();
        let speak = ["speak", ROOM, "--tone", "440", "--insecure", "--url", &url];
        let ended = Client::bare(&speak).run(scratch, "speak", LIMIT)?;
        assert_refusal(&ended, 3, &url);
        Ok(())
    });
}

#[test]
fn a_relay_with_another_certificate_is_not_trusted() {
    with_scratch(|scratch| {
        let relay = RelayOptions::new("relay").start(scratch)?;
        let url = relay.address().to_string();
        let speak = ["speak", ROOM, "--tone", "440", "--url", &url];
        let pinned = Client::bare(&speak).args(&["--fingerprint", &"ab".repeat(32)]);
        assert_refusal(&pinned.run(scratch, "pinned", LIMIT)?, 3, relay.fingerprint());
        // Nor is it vouched for by anybody that this machine knows.
        assert_refusal(&Client::bare(&speak).run(scratch, "system", LIMIT)?, 3, &url);
        Ok(())
    });
}

#[test]
fn wrong_words_are_named() {
    with_scratch(|scratch| {
        let listen = ["listen", "Not A Room!", "--out", "null"];
        let ended = Client::bare(&listen).run(scratch, "listen", LIMIT)?;
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains("Not A Room!"), "{}", ended.stderr);
        let ended =
            Client::bare(&["speak", ROOM, "--file", "/absent.wav"]).run(scratch, "file", LIMIT)?;
        assert_refusal(&ended, 7, "/absent.wav");
        let ended =
            Client::bare(&["person", "kick", ROOM, "Nobody", "--insecure", "--url", "127.0.0.1:1"])
                .run(scratch, "kick", LIMIT)?;
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        Ok(())
    });
}

#[test]
fn nobody_can_be_silenced_who_is_not_there() {
    with_scratch(|scratch| {
        let relay = RelayOptions::new("relay").start(scratch)?;
        let silence = Client::new(&["stage", "silence", ROOM, "Nobody"], &relay);
        assert_refusal(&silence.run(scratch, "no-room", LIMIT)?, 6, ROOM);
        let show = Client::new(&["room", "show", ROOM], &relay);
        assert_refusal(&show.run(scratch, "show", LIMIT)?, 6, ROOM);
        let _speaker = Client::new(&["speak", ROOM, "--name", "Host", "--tone", "440"], &relay)
            .enter(scratch, "speaker")?;
        assert_refusal(&silence.run(scratch, "no-subject", LIMIT)?, 4, "Nobody");
        Ok(())
    });
}

#[test]
fn without_sound_hardware_only_what_needs_it_fails() {
    // Where there is a device, this is what a person hears and not for a test.
    if std::path::Path::new("/dev/snd").exists() {
        println!("this machine has sound hardware: not tested");
        return;
    }
    with_scratch(|scratch| {
        let relay = RelayOptions::new("relay").start(scratch)?;
        let speak = Client::new(&["speak", ROOM, "--mic"], &relay);
        assert_refusal(&speak.run(scratch, "mic", LIMIT)?, 7, "microphone");
        let listen = Client::listen(ROOM, "device".as_ref(), &relay);
        assert_refusal(&listen.run(scratch, "device", LIMIT)?, 7, "loudspeaker");
        Ok(())
    });
}

//! Faults between a speaker and a browser, and what is heard of it: a relay that stands still, lost and
//! broken packets, relays that drain or die, no WebTransport.

use std::time::Duration;

use anyhow::{Result, ensure};
use tribune_tests::browser::{
    Browser, BrowserOptions, Ear, Kind, Network, Speaker, WebStatistics, find, longest_silence_ms,
    room_url, web_relay, with_browsers,
};
use tribune_tests::process::sound::{conversation, write_wav};
use tribune_tests::process::{Client, Process, Relay, RelayOptions, Scratch, Signal, pause};

const ROOM: &str = "stage";
const BOTH: [Kind; 2] = [Kind::Chromium, Kind::Firefox];
/// Time limit of what takes a browser and a relay a moment, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest silence in a tone that goes on: what the sound device of a busy machine leaves out. Of frames, the page's
/// counts know.
const NO_GAP_MS: usize = 150;

fn ear(scratch: &Scratch, kind: Kind) -> Result<Ear> {
    Ear::start(scratch, BrowserOptions::new(kind), kind.name(), 48_000)
}

fn tone(scratch: &Scratch, relay: &Relay, name: &str, hertz: &str) -> Result<Process> {
    Client::new(&["speak", ROOM, "--name", name, "--tone", hertz], relay).enter(scratch, name)
}

/// The relay stands still for longer than the buffer is, and goes on.
#[test]
fn after_an_underrun_the_buffer_fills_again() {
    with_browsers(&BOTH, |scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let mut leaf = web_relay("leaf").parent(&origin).start(scratch)?;
        let _speaker = tone(scratch, &origin, "Ada", "440")?;
        for kind in BOTH {
            let mut ear = ear(scratch, kind)?;
            ear.listen(&room_url(&leaf, ROOM)?, "Eve")?;
            let before =
                ear.browser.wait_statistics("two seconds of frames", LIMIT, |statistics| {
                    statistics.frames > 100
                })?;
            leaf.process().signal(Signal::STOP)?;
            pause(Duration::from_secs(3))?;
            leaf.process().signal(Signal::CONT)?;
            let dry = ear.browser.wait_statistics("an underrun", LIMIT, |statistics| {
                statistics.underruns > before.underruns
            })?;
            // Half of what it was: it was measured between two frames.
            let full = before.buffer_ms.unwrap_or(0.0) / 2.0;
            let after = ear.browser.wait_statistics("a full buffer", LIMIT, |statistics| {
                statistics.frames > dry.frames + 50 && statistics.buffer_ms >= Some(full)
            })?;
            println!("{}: {before:?}\n{dry:?}\n{after:?}", kind.name());
            // And it does not run dry again at each frame.
            ear.wait_heard()?;
            let mark = ear.loudspeaker.mark()?;
            ear.loudspeaker.wait_recorded(Duration::from_secs(3))?;
            let silence = longest_silence_ms(&ear.loudspeaker.heard_since(mark)?, 48_000);
            assert!(silence <= NO_GAP_MS, "{}: {silence} ms of silence", kind.name());
            let later = ear.browser.statistics()?;
            assert_eq!(later.underruns, after.underruns, "{}: {later:?}", kind.name());
        }
        Ok(())
    });
}

/// For more than a second nothing gets through, which no repair makes good in time: what was lost is
/// silent or made up where it was, and what follows comes neither later nor earlier for it.
#[test]
fn loss_is_concealed_in_place_and_the_delay_does_not_grow() {
    with_browsers(&BOTH, |scratch| {
        // Pages may connect to where they are sent, and to no other address.
        let relay = web_relay("relay").arg("--drain-to=127.0.0.1:9").start(scratch)?;
        let talk = &conversation()?[..24 * 48_000];
        write_wav(&scratch.file("talk.wav"), talk)?;
        let _host = Client::new(&["speak", ROOM, "--name", "Host", "--stdin"], &relay)
            .enter(scratch, "host")?;
        for kind in BOTH {
            let network = Network::to(relay.address())?;
            let mut ear = ear(scratch, kind)?;
            let url = format!("{}?relay={}", room_url(&relay, ROOM)?, network.address());
            ear.browser.listen(&url, "Eve")?;
            let mut speaker = Client::speak(ROOM, "Ada", &scratch.file("talk.wav"), &relay)
                .args(&["--bitrate", "64000"])
                .enter(scratch, &format!("{}-speaker", kind.name()))?;
            ear.wait_heard()?;
            pause(Duration::from_secs(3))?;
            for _ in 0..2 {
                network.cut(true);
                pause(Duration::from_millis(1_200))?;
                network.cut(false);
                pause(Duration::from_secs(3))?;
            }
            let statistics = ear.browser.statistics()?;
            let found = find(&ear.loudspeaker.heard()?, talk);
            println!("{}: {} packets lost; {statistics:?}\n{found:?}", kind.name(), network.lost());
            assert!(statistics.concealed > 0, "nothing was lost: {statistics:?}");
            assert!(!found.missing.is_empty(), "nothing is missing");
            // The way out of an underrun may add delay; frames that come after all may not.
            let moved: f64 = found.jumps.iter().map(|(_, ms)| ms).sum();
            assert!(moved.abs() < 200.0, "{} ms earlier: {found:?}", moved);
            assert!(found.share() > 0.6, "{found:?}");
            speaker.signal(Signal::INT)?;
            speaker.wait(LIMIT)?;
        }
        Ok(())
    });
}

#[test]
fn a_broken_packet_costs_one_frame() {
    const BROKEN: u64 = 3;
    with_browsers(&BOTH, |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let speaker = Speaker::tone(&relay, ROOM, "Ada", 440.0)?;
        let mut ears = Vec::new();
        for kind in BOTH {
            let mut ear = ear(scratch, kind)?;
            ear.listen(&room_url(&relay, ROOM)?, "Eve")?;
            let before = ear.browser.statistics()?;
            ears.push((ear.loudspeaker.mark()?, before, ear));
        }
        for _ in 0..BROKEN {
            speaker.break_one()?;
        }
        for (mark, before, mut ear) in ears {
            let name = ear.browser.name().to_owned();
            ear.loudspeaker.wait_recorded(Duration::from_secs(3))?;
            let after = ear.browser.statistics()?;
            let silence = longest_silence_ms(&ear.loudspeaker.heard_since(mark)?, 48_000);
            println!("{name}: {silence} ms; {before:?}\n{after:?}");
            assert_eq!(after.decode_errors - before.decode_errors, BROKEN, "{name}");
            assert_eq!(after.lost, 0, "{name}");
            assert!(after.frames > before.frames + 100, "{name}");
            // A decoder that begins again needs a frame to sound as before.
            assert!(silence <= 40, "{name}: {silence} ms of silence");
        }
        Ok(())
    });
}

/// origin ⟶ leaf and next, both with the page; the leaf names the next.
fn pair(scratch: &Scratch) -> Result<[Relay; 3]> {
    let origin = RelayOptions::new("origin").start(scratch)?;
    let next = web_relay("next").parent(&origin).start(scratch)?;
    let leaf = web_relay("leaf")
        .parent(&origin)
        .arg("--drain-to")
        .arg(&next.address().to_string())
        .arg("--drain-timeout=30s")
        .start(scratch)?;
    Ok([origin, leaf, next])
}

#[test]
fn a_relay_that_drains_under_a_listening_browser_costs_no_frame() {
    with_browsers(&BOTH, |scratch| {
        let [origin, mut leaf, _next] = pair(scratch)?;
        let _speaker = tone(scratch, &origin, "Ada", "440")?;
        let mut ears = Vec::new();
        for kind in BOTH {
            let mut ear = ear(scratch, kind)?;
            ear.listen(&room_url(&leaf, ROOM)?, "Eve")?;
            assert_eq!(ear.browser.ask::<String>("tribune.room.relay")?, "leaf");
            ears.push(ear);
        }
        // A browser that starts takes the machine from the one that plays.
        let before: Vec<_> = ears
            .iter_mut()
            .map(|ear| Ok((ear.loudspeaker.mark()?, ear.browser.statistics()?)))
            .collect::<Result<_>>()?;
        leaf.terminate()?;
        for ear in &mut ears {
            ear.browser.wait_relay("next", LIMIT)?;
        }
        let end = leaf.process().wait(LIMIT)?;
        ensure!(end.code == Some(0), "{:?} {}", end.code, end.stderr);
        for (mut ear, (mark, before)) in ears.into_iter().zip(before) {
            let name = ear.browser.name().to_owned();
            let frames = ear.browser.statistics()?.frames;
            ear.browser.wait_statistics("sound from the next relay", LIMIT, |statistics| {
                statistics.frames > frames + 100
            })?;
            let statistics = ear.browser.statistics()?;
            let silence = longest_silence_ms(&ear.loudspeaker.heard_since(mark)?, 48_000);
            println!("{name}: {silence} ms of silence; {before:?}\n{statistics:?}");
            let costs = |all: &WebStatistics| (all.lost, all.concealed, all.underruns);
            assert_eq!(costs(&statistics), costs(&before), "{name}");
            assert!(silence <= NO_GAP_MS, "{name}: {silence} ms");
        }
        Ok(())
    });
}

#[test]
fn after_its_relay_was_killed_a_page_is_back_by_itself_at_the_next() {
    with_browsers(&BOTH, |scratch| {
        let [origin, leaf, _next] = pair(scratch)?;
        let _speaker = tone(scratch, &origin, "Ada", "440")?;
        let mut ears = Vec::new();
        for kind in BOTH {
            let mut ear = ear(scratch, kind)?;
            ear.listen(&room_url(&leaf, ROOM)?, "Eve")?;
            ears.push(ear);
        }
        leaf.kill()?;
        for mut ear in ears {
            ear.browser.wait_relay("next", LIMIT)?;
            ear.browser.wait_state("joined", LIMIT)?;
            ear.wait_heard()?;
        }
        Ok(())
    });
}

/// A decision reaches the page in its moderator's words.
#[test]
fn a_kick_and_a_ban_arrive_with_their_words() {
    with_browsers(&BOTH, |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _host = tone(scratch, &relay, "Host", "440")?;
        for kind in BOTH {
            let mut browser = BrowserOptions::new(kind).start(scratch, kind.name())?;
            let name = format!("Mallory {}", kind.name());
            browser.listen(&room_url(&relay, ROOM)?, &name)?;
            // Of listeners, a terminal knows the ids.
            let id = |browser: &mut Browser| -> Result<String> {
                let id: String = browser.ask("tribune.room.you.participant")?;
                Ok(format!("{:016x}", id.parse::<u64>()?))
            };
            let govern = |words: &[&str]| {
                let run = format!("{}-{}", kind.name(), words[1]);
                Client::new(words, &relay).run_well(scratch, &run, LIMIT).map(drop)
            };
            let mallory = id(&mut browser)?;
            govern(&["person", "kick", ROOM, &mallory, "--reason", "Good night"])?;
            browser.wait_state("ended", LIMIT)?;
            browser.wait_shown("removed you from the room", LIMIT)?;
            browser.wait_shown("Good night", LIMIT)?;

            // A tab keeps who it is; as another guest it begins anew.
            browser.ask::<Option<bool>>("sessionStorage.clear()")?;
            let name = format!("Trudy {}", kind.name());
            browser.listen(&room_url(&relay, ROOM)?, &name)?;
            let reason = "shouting at guests";
            let trudy = id(&mut browser)?;
            govern(&["ban", "create", ROOM, &trudy, "--for", "1h", "--reason", reason])?;
            browser.wait_state("ended", LIMIT)?;
            browser.wait_shown("banned you from the room", LIMIT)?;
            browser.wait_shown(reason, LIMIT)?;
        }
        Ok(())
    });
}

/// A WebKit of before, or a network without UDP.
#[test]
fn without_web_transport_a_web_socket_does() {
    with_browsers(&BOTH, |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _speaker = tone(scratch, &relay, "Ada", "440")?;
        for kind in BOTH {
            let options = BrowserOptions::new(kind).without_web_transport();
            let mut ear = Ear::start(scratch, options, kind.name(), 48_000)?;
            // Chromium cannot be without it in workers.
            let how = if kind == Kind::Chromium { "?transport=websocket" } else { "" };
            ear.listen(&format!("{}{how}", room_url(&relay, ROOM)?), "Eve")?;
            let mark = ear.loudspeaker.mark()?;
            ear.loudspeaker.wait_recorded(Duration::from_secs(4))?;
            let statistics = ear.browser.statistics()?;
            let silence = longest_silence_ms(&ear.loudspeaker.heard_since(mark)?, 48_000);
            println!("{}: {silence} ms of silence; {statistics:?}", kind.name());
            assert_eq!(statistics.transport, "websocket");
            assert_eq!(statistics.lost, 0);
            assert!(silence <= NO_GAP_MS, "{silence} ms");
        }
        Ok(())
    });
}

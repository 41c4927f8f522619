//! A room heard in browsers, from their loudspeakers: whole, in order, at its pitch, in front and hidden.

use std::time::Duration;

use anyhow::{Result, ensure};
use tribune_tests::browser::{
    BrowserOptions, Ear, Kind, find, longest_silence_ms, loud_part, loudness_at, pitch_hz,
    room_url, silences, web_relay, with_browsers,
};
use tribune_tests::process::sound::{conversation, write_wav};
use tribune_tests::process::{Client, Process, Relay, RelayOptions, Scratch, pause};

const ROOM: &str = "stage";
const BOTH: [Kind; 2] = [Kind::Chromium, Kind::Firefox];
/// Time limit of what takes a browser and a relay a moment, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest silence in a tone that goes on: what the sound device of a busy machine leaves out. Of frames, the page's
/// counts know.
const NO_GAP_MS: usize = 150;

fn ear(scratch: &Scratch, kind: Kind, rate_hz: u32) -> Result<Ear> {
    Ear::start(scratch, BrowserOptions::new(kind), kind.name(), rate_hz)
}

/// A host who opens the room and says nothing.
fn silent_host(scratch: &Scratch, relay: &Relay) -> Result<Process> {
    Client::new(&["speak", ROOM, "--name", "Host", "--stdin"], relay).enter(scratch, "host")
}

fn tone(scratch: &Scratch, relay: &Relay, name: &str, hertz: &str) -> Result<Process> {
    Client::new(&["speak", ROOM, "--name", name, "--tone", hertz], relay).enter(scratch, name)
}

#[test]
fn both_browsers_hear_a_talk_whole_three_relays_deep() {
    with_browsers(&BOTH, |scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let mid = RelayOptions::new("mid").parent(&origin).start(scratch)?;
        let leaf = web_relay("leaf").parent(&mid).start(scratch)?;
        let _host = silent_host(scratch, &origin)?;
        let talk = &conversation()?[..15 * 48_000];
        write_wav(&scratch.file("talk.wav"), talk)?;
        let mut ears = Vec::new();
        for kind in BOTH {
            let mut ear = ear(scratch, kind, 48_000)?;
            ear.browser.listen(&room_url(&leaf, ROOM)?, kind.name())?;
            ear.browser.wait_text("stage", "Host", LIMIT)?;
            ears.push(ear);
        }
        let speaker = Client::speak(ROOM, "Ada", &scratch.file("talk.wav"), &origin)
            .args(&["--bitrate", "64000"]);
        speaker.run_well(scratch, "speaker", Duration::from_secs(15) + LIMIT)?;
        for mut ear in ears {
            let name = ear.browser.name().to_owned();
            ear.loudspeaker.wait_recorded(Duration::from_secs(2))?;
            let statistics = ear.browser.statistics()?;
            let found = find(&ear.loudspeaker.heard()?, talk);
            println!("{name}: {statistics:?}\n{found:?}");
            assert_eq!(statistics.transport, "webtransport", "{name}");
            assert_eq!((statistics.lost, statistics.decode_errors), (0, 0), "{name}");
            // Of 750 frame periods, those of the pauses are not sent.
            assert!(statistics.frames > 500, "{name}: {statistics:?}");
            found.ensure_whole(0.5, 14.0)?;
            assert_eq!(ear.browser.errors()?, Vec::<String>::new(), "{name}");
        }
        Ok(())
    });
}

/// A page may be in the room without a gesture, such as after it was loaded again: sound waits for a tap, wherever.
#[test]
fn sound_starts_by_a_tap_although_it_was_to_start_before() {
    with_browsers(&BOTH, |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _speaker = tone(scratch, &relay, "Ada", "440")?;
        for kind in BOTH {
            let mut ear = ear(scratch, kind, 48_000)?;
            ear.browser.open(&format!("{}/", relay.web()?))?;
            let join = format!(
                "import('/web/tribune.js').then(({{ connect }}) => connect({{ room: '{ROOM}', name: 'Eve' }}))
                    .then(room => (globalThis.probe = room, room.listen(), true))"
            );
            assert!(ear.browser.ask::<bool>(&join)?);
            ear.browser.wait(
                "frames to come",
                LIMIT,
                "probe.stats().then(({ frames }) => frames > 50)",
            )?;
            ear.loudspeaker.wait_recorded(Duration::from_secs(1))?;
            assert_eq!(loud_part(&ear.loudspeaker.heard()?), 0..0, "sound without a gesture");
            ear.browser.click_on("body", "")?;
            ear.wait_heard()?;
        }
        Ok(())
    });
}

#[test]
fn a_device_of_44100_hertz_keeps_the_pitch() {
    const RATE_HZ: u32 = 44_100;
    with_browsers(&BOTH, |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _speaker = tone(scratch, &relay, "Ada", "440")?;
        let mut ears = Vec::new();
        for kind in BOTH {
            let mut ear = ear(scratch, kind, RATE_HZ)?;
            ear.listen(&room_url(&relay, ROOM)?, kind.name())?;
            ears.push(ear);
        }
        // A browser that starts takes the machine from the one that plays.
        let marks: Vec<_> = ears.iter().map(|ear| ear.loudspeaker.mark()).collect::<Result<_>>()?;
        for (mut ear, mark) in ears.into_iter().zip(marks) {
            ear.loudspeaker.wait_recorded(Duration::from_secs(6))?;
            let heard = ear.loudspeaker.heard_since(mark)?;
            let (pitch, silence) = (pitch_hz(&heard, RATE_HZ), longest_silence_ms(&heard, RATE_HZ));
            println!("{:?}", silences(&heard, RATE_HZ));
            let statistics = ear.browser.statistics()?;
            println!("{}: {pitch} Hz, {silence} ms, {statistics:?}", ear.browser.name());
            // Playout follows the speaker's clock by up to 0.2 %.
            assert!((pitch - 440.0).abs() < 1.0, "{pitch} Hz");
            assert!(silence <= NO_GAP_MS, "{silence} ms");
            assert_eq!(statistics.lost, 0);
        }
        Ok(())
    });
}

/// Browsers slow the timers of a page that is not in front; its sound may not notice. A speaker who comes meanwhile
/// is heard like the others.
#[test]
fn a_hidden_tab_is_heard_for_a_minute_and_so_is_who_comes_meanwhile() {
    const HIDDEN: Duration = Duration::from_secs(30);
    with_browsers(&BOTH, |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _ada = tone(scratch, &relay, "Ada", "440")?;
        let mut ears = Vec::new();
        for kind in BOTH {
            let mut ear = ear(scratch, kind, 48_000)?;
            ear.listen(&room_url(&relay, ROOM)?, kind.name())?;
            ears.push(ear);
        }
        // A browser that starts takes the machine from the one that plays.
        for ear in &mut ears {
            ear.browser.hide()?;
        }
        let marks: Vec<_> = ears.iter().map(|ear| ear.loudspeaker.mark()).collect::<Result<_>>()?;
        pause(HIDDEN)?;
        let before: Vec<_> =
            ears.iter_mut().map(|ear| ear.browser.statistics()).collect::<Result<_>>()?;
        let _ben = tone(scratch, &relay, "Ben", "1000")?;
        pause(HIDDEN)?;
        for ((mut ear, mark), before) in ears.into_iter().zip(marks).zip(before) {
            let name = ear.browser.name().to_owned();
            let heard = ear.loudspeaker.heard_since(mark)?;
            let statistics = ear.browser.statistics()?;
            let silence = longest_silence_ms(&heard, 48_000);
            println!("{:?}", silences(&heard, 48_000));
            let last = &heard[heard.len() - 5 * 48_000..];
            let (ada, ben) = (loudness_at(last, 48_000, 440.0), loudness_at(last, 48_000, 1_000.0));
            println!("{name}: {silence} ms of silence, {ada} and {ben}, {statistics:?}");
            ensure!(heard.len() > 58 * 48_000, "{name} has played for {} samples", heard.len());
            assert!(silence <= NO_GAP_MS, "{name}: {silence} ms");
            assert!(ada > 0.02 && ben > 0.02, "{name}: {ada}, {ben}");
            assert_eq!(statistics.lost, 0, "{name}");
            // The first alone had one for each 20 ms.
            assert!(before.frames > 29 * 50, "{name}: {before:?}");
            assert!(statistics.frames - before.frames > 2 * 28 * 50, "{name}: {statistics:?}");
            ear.browser.show()?;
        }
        Ok(())
    });
}

//! A browser that speaks: what its microphone hears is heard in terminals and in other browsers.

use std::time::Duration;

use anyhow::Result;
use tribune_tests::browser::{
    BrowserOptions, Ear, Kind, find_altered, room_url, web_relay, with_browsers,
};
use tribune_tests::process::sound::{conversation, read_wav, rms, write_wav};
use tribune_tests::process::{Client, Process, Relay, RelayOptions, Scratch, pause};

const ROOM: &str = "stage";
/// Time limit of what takes a moment, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A host who opens the room and says nothing.
fn silent_host(scratch: &Scratch, relay: &Relay) -> Result<Process> {
    Client::new(&["speak", ROOM, "--name", "Host", "--stdin"], relay).enter(scratch, "host")
}

#[test]
fn a_browser_that_speaks_is_heard_by_a_terminal_and_by_the_other_browser() {
    with_browsers(&[Kind::Chromium, Kind::Firefox], |scratch| {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let near = web_relay("near").parent(&origin).start(scratch)?;
        let far = web_relay("far").parent(&origin).start(scratch)?;
        let _host = silent_host(scratch, &origin)?;
        let talk = &conversation()?[..14 * 48_000];
        let file = scratch.file("talk.wav");
        write_wav(&file, talk)?;
        let mut ear = Ear::start(scratch, BrowserOptions::new(Kind::Firefox), "firefox", 48_000)?;
        ear.browser.listen(&room_url(&far, ROOM)?, "Eve")?;
        let heard = scratch.file("heard.wav");
        let mut terminal = Client::listen(ROOM, &heard, &origin).enter(scratch, "terminal")?;

        let options = BrowserOptions::new(Kind::Chromium).microphone(&file);
        let mut speaker = options.start(scratch, "chromium")?;
        speaker.enter(&room_url(&near, ROOM)?, "Ada", "speaker")?;
        ear.browser.wait_text("stage", "Ada", LIMIT)?;
        let summary = terminal.wait_statistics("the talk", LIMIT * 2, |statistics| {
            statistics.received_of("Ada") > 500
        })?;
        pause(Duration::from_secs(4))?;
        terminal.signal(tribune_tests::process::Signal::INT)?;
        let ended = terminal.wait(LIMIT)?;
        println!("{summary:?}\n{:?}", ended.summary()?);
        assert_eq!((ended.summary()?.lost, ended.summary()?.late), (0, 0));
        let statistics = ear.browser.statistics()?;
        println!("{statistics:?}");
        assert_eq!((statistics.lost, statistics.decode_errors), (0, 0));
        // The microphone is processed as in a call: quieter noise, even loudness.
        for (who, recording) in
            [("terminal", read_wav(&heard)?), ("browser", ear.loudspeaker.heard()?)]
        {
            let found = find_altered(&recording, talk);
            println!("{who}: {found:?}");
            assert!(found.share() > 0.7, "{who}: {found:?}");
            let (first, last) = found.span_s;
            assert!(last - first > 10.0, "{who}: {found:?}");
        }
        assert_eq!(speaker.errors()?, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_browser_that_is_muted_sends_nothing_and_goes_on_when_it_is_not() {
    with_browsers(&[Kind::Chromium, Kind::Firefox], |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _host = silent_host(scratch, &relay)?;
        let file = scratch.file("talk.wav");
        write_wav(&file, &conversation()?[..20 * 48_000])?;
        for kind in [Kind::Chromium, Kind::Firefox] {
            let name = kind.name();
            let mut listener = Client::listen(ROOM, "null".as_ref(), &relay)
                .enter(scratch, &format!("{name}-listener"))?;
            let options = BrowserOptions::new(kind).microphone(&file).repeating();
            // Where there is no loudspeaker, Firefox hears no microphone.
            let mut ear = Ear::start(scratch, options, name, 48_000)?;
            let speaker = &mut ear.browser;
            speaker.enter(&room_url(&relay, ROOM)?, name, "speaker")?;
            listener.wait_statistics("the speaker", LIMIT, |next| next.received_of(name) > 50)?;
            // By key, then by button.
            speaker.press("KeyM", Duration::ZERO)?;
            speaker.wait("a muted microphone", LIMIT, MUTED)?;
            let later = |listener: &mut Process, seconds: f64| {
                let now = listener.statistics().map_or(0.0, |statistics| statistics.t_s);
                listener.wait_statistics("later", LIMIT, |next| next.t_s >= now + seconds)
            };
            let muted = later(&mut listener, 2.0)?.received_of(name);
            assert_eq!(later(&mut listener, 3.0)?.received_of(name), muted, "{name}");
            speaker.click("mute")?;
            listener.wait_statistics("the speaker again", LIMIT, |next| {
                next.received_of(name) > muted + 50
            })?;
        }
        Ok(())
    });
}

const MUTED: &str = "document.querySelector('[data-testid=mute]')?.dataset.mic === 'muted'";

#[test]
fn a_microphone_that_is_denied_or_silent_is_told() {
    with_browsers(&[Kind::Chromium, Kind::Firefox], |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _host = silent_host(scratch, &relay)?;
        for kind in [Kind::Chromium, Kind::Firefox] {
            let name = format!("{}-denied", kind.name());
            let mut browser =
                BrowserOptions::new(kind).microphone_denied().start(scratch, &name)?;
            browser.enter(&room_url(&relay, ROOM)?, &name, "speaker")?;
            browser.wait_for("problem", LIMIT)?;
            browser.wait_text("problem", "microphone", LIMIT)?;
        }
        let silence = vec![0.0; 48_000];
        assert!(rms(&silence) < 0.001);
        write_wav(&scratch.file("silence.wav"), &silence)?;
        let options = BrowserOptions::new(Kind::Chromium);
        let options = options.microphone(&scratch.file("silence.wav")).repeating();
        let mut browser = options.start(scratch, "silent")?;
        browser.enter(&room_url(&relay, ROOM)?, "Silent", "speaker")?;
        browser.wait_shown("Nothing comes from your microphone", LIMIT)
    });
}

//! A whole evening in two browsers and one terminal: announced, opened, a hand, a grant, a disturbance, a ban, an
//! appeal, the end. Every view on the way is looked at in four forms; with `TRIBUNE_SCREENSHOTS=DIR` they are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tribune_tests::browser::{
    Browser, BrowserOptions, Ear, Kind, room_url, web_relay, with_browsers,
};
use tribune_tests::process::sound::{clip, decode, write_wav};
use tribune_tests::process::{Client, Process, Relay, Scratch};

const ROOM: &str = "rivers";
/// Time limit of what takes a moment, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// A phone and a laptop.
const SIZES: [(u32, u32); 2] = [(390, 844), (1_280, 800)];

/// Parts that everybody needs.
struct Evening<'a> {
    scratch: &'a Scratch,
    relay: Relay,
    shots: Option<PathBuf>,
}

impl Evening<'_> {
    /// A token from the operator's key.
    fn token(&self, who: &str, name: &str, more: &[&str]) -> Result<String> {
        let keys = self.scratch.file("keys.toml").display().to_string();
        let made = Client::bare(&["token", "create", "--key-file", &keys, "--room", ROOM])
            .args(&["--identity", who, "--name", name])
            .args(more)
            .run_well(self.scratch, &format!("token-{who}"), LIMIT)?;
        let token = made.json(|value| value["token"].is_string())?;
        Ok(token["token"].as_str().unwrap_or_default().to_owned())
    }

    /// A command in the terminal, by somebody with a token.
    fn command(&self, words: &[&str], token: &str) -> Client {
        Client::new(words, &self.relay).args(&["--token", token])
    }

    /// Looks at a view at both sizes, light and dark: nothing is wider than the window, and axe finds nothing.
    fn look(&self, browser: &mut Browser, view: &str) -> Result<()> {
        for (width, height) in SIZES {
            for scheme in ["light", "dark"] {
                let wide = browser.look(width, height, scheme)?;
                ensure!(wide <= u64::from(width), "{view}: {wide} pixels in a window of {width}");
                if let Some(shots) = &self.shots {
                    browser.screenshot(&shots.join(format!("{view}-{width}-{scheme}.png")))?;
                }
                let found = browser.violations()?;
                ensure!(found.is_empty(), "{view}, {width} pixels, {scheme}: {found:#?}");
            }
        }
        Ok(())
    }
}

#[test]
fn an_evening_in_two_browsers_and_a_terminal() {
    with_browsers(&[Kind::Chromium, Kind::Firefox], |scratch| {
        let keys = scratch.file("keys.toml").display().to_string();
        let generate = ["keys", "generate", "--name", "web", "--out", &keys].map(str::to_owned);
        Process::start(scratch, "keys", "tribune-relay", &generate)?.wait(LIMIT)?;
        let data = scratch.file("data").display().to_string();
        let relay = web_relay("relay").arg("--keys").arg(&keys).arg("--data").arg(&data);
        let relay = relay.start(scratch)?;
        let evening = Evening { scratch, relay, shots: shots()? };

        let ada = evening.token("ada", "Ada", &["--role", "host", "--create"])?;
        let cleo = evening.token("cleo", "Cleo", &[])?;
        let eve = evening.token("eve", "Eve", &[])?;
        let mallory = evening.token("mallory", "Mallory", &["--role", "speaker"])?;
        let mut guest = announced(&evening, &ada, &cleo)?;
        let mut host = opened(&evening, &ada, &mut guest)?;
        hand(&evening, &mut host, &mut guest, &eve)?;
        disturbance(&evening, &mut host, &mallory)?;
        the_end(&evening, &mut host, &mut guest, &ada)
    });
}

/// Where the pictures go: relative to the project.
fn shots() -> Result<Option<PathBuf>> {
    let Some(directory) = std::env::var_os("TRIBUNE_SCREENSHOTS") else { return Ok(None) };
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory);
    std::fs::create_dir_all(&directory)?;
    Ok(Some(directory))
}

/// Ada makes the room in the terminal; Cleo has the link and is early.
fn announced(evening: &Evening<'_>, ada: &str, cleo: &str) -> Result<Ear> {
    let make = ["room", "create", ROOM, "--title", "Rivers and bridges", "--starts", "in 40m"];
    evening.command(&make, ada).args(&["--listed"]).run_well(evening.scratch, "create", LIMIT)?;
    let options = BrowserOptions::new(Kind::Firefox);
    let mut guest = Ear::start(evening.scratch, options, "cleo", 48_000)?;
    guest.browser.open(&format!("{}#token={cleo}", room_url(&evening.relay, ROOM)?))?;
    guest.browser.wait_text("title", "Rivers and bridges", LIMIT)?;
    guest.browser.wait_shown("in 39 min", LIMIT)?;
    let address: String = guest.browser.ask("location.href")?;
    ensure!(!address.contains("token"), "the token stays in the address: {address}");
    evening.look(&mut guest.browser, "announced")?;
    Ok(guest)
}

/// Ada comes in with her microphone, which opens the room; Cleo taps once and hears her.
fn opened(evening: &Evening<'_>, ada: &str, guest: &mut Ear) -> Result<Browser> {
    let talk = evening.scratch.file("ada.wav");
    write_wav(&talk, &decode(&clip("ada"))?)?;
    let options = BrowserOptions::new(Kind::Chromium).microphone(&talk).repeating();
    let mut host = options.start(evening.scratch, "ada")?;
    host.open(&format!("{}#token={ada}", room_url(&evening.relay, ROOM)?))?;
    host.wait_text("title", "Rivers and bridges", LIMIT)?;
    host.click("join")?;
    host.wait_state("joined", LIMIT)?;
    host.wait_text("stage", "Ada", LIMIT)?;

    // Two hours before its time, a page looks for its room now and then only.
    guest.browser.reload()?;
    guest.browser.tap_listen()?;
    guest.browser.wait_text("stage", "Ada", LIMIT)?;
    guest.wait_heard()?;
    guest.browser.click("react-clap")?;
    evening.look(&mut guest.browser, "listener")?;
    Ok(host)
}

/// Cleo raises a hand with a note, Ada grants it, and Cleo is heard in the terminal once she unmutes.
fn hand(evening: &Evening<'_>, host: &mut Browser, guest: &mut Ear, eve: &str) -> Result<()> {
    guest.browser.click("hand")?;
    guest.browser.write("hand-note", "About the bridges")?;
    guest.browser.click("hand-send")?;
    guest.browser.wait_text("place", "number 1", LIMIT)?;
    host.wait_text("hands", "About the bridges", LIMIT)?;
    evening.look(host, "host")?;

    let mut terminal = evening
        .command(&["listen", ROOM, "--out", "null"], eve)
        .enter(evening.scratch, "terminal")?;
    host.click("grant")?;
    guest.browser.wait_text("stage", "Cleo", LIMIT)?;
    guest.browser.wait("a microphone that is muted", LIMIT, &mic("muted"))?;
    guest.browser.click("mute")?;
    guest.browser.wait("a microphone that is open", LIMIT, &mic("open"))?;
    terminal.wait_statistics("Cleo to be heard", LIMIT, |statistics| {
        statistics.received_of("Cleo") > 100
    })?;
    evening.look(&mut guest.browser, "speaker")?;
    Ok(())
}

fn mic(state: &str) -> String {
    format!("document.querySelector('[data-testid=mute]')?.dataset.mic === '{state}'")
}

/// Mallory shouts from the terminal. Ada silences him, then bans him; he appeals, and she takes it back.
fn disturbance(evening: &Evening<'_>, host: &mut Browser, mallory: &str) -> Result<()> {
    let Evening { scratch, .. } = evening;
    let heckler = clip("heckler").display().to_string();
    let mut shouting = evening
        .command(&["speak", ROOM, "--file", &heckler, "--loop"], mallory)
        .enter(scratch, "mallory")?;
    host.wait_text("stage", "Mallory", LIMIT)?;
    host.govern("Mallory", "silence", "one at a time")?;
    let told = shouting.wait_event("silenced", LIMIT, |event| event["on"] == true)?;
    assert_eq!(told["reason"], "one at a time");
    host.govern("Mallory", "ban", "shouting at guests")?;
    let told = shouting.wait_event("moderated", LIMIT, |event| event["action"] == "banned")?;
    assert_eq!((&told["by"], &told["reason"]), (&"Ada".into(), &"shouting at guests".into()));
    assert_eq!(shouting.wait(LIMIT)?.code, Some(5));

    let entry = told["entry"].as_u64().context("no entry")?.to_string();
    let appeal = ["appeal", "create", ROOM, "--entry", &entry, "That was my brother"];
    evening.command(&appeal, mallory).run_well(scratch, "appeal", LIMIT)?;
    host.click("log")?;
    host.wait_text("log-entries", "shouting at guests", LIMIT)?;
    evening.look(host, "log")?;
    host.write("reason", "Welcome back")?;
    host.click("uphold")?;
    host.wait_text("log-entries", "Welcome back", LIMIT)?;
    host.click_on("dialog header button", "")?;
    let listen = ["listen", ROOM, "--out", "null", "--duration", "1s"];
    evening.command(&listen, mallory).run_well(scratch, "back", LIMIT)?;
    Ok(())
}

/// Ada ends the room, and everybody is told. The log tells what was done, and is whole.
fn the_end(evening: &Evening<'_>, host: &mut Browser, guest: &mut Ear, ada: &str) -> Result<()> {
    let log = ["log", ROOM, "--verify"];
    let told = evening.command(&log, ada).run_well(evening.scratch, "log", LIMIT)?;
    let actions: Vec<String> = told
        .stdout
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|value| value["action"].as_str().map(str::to_owned))
        .collect();
    let expected = [
        "room_created",
        "room_opened",
        "hand_granted",
        "silenced",
        "banned",
        "appealed",
        "appeal_upheld",
    ];
    assert_eq!(actions, expected);
    host.click("end-room")?;
    host.click("confirm")?;
    for browser in [host, &mut guest.browser] {
        browser.wait_state("ended", LIMIT)?;
        browser.wait_shown("over", LIMIT)?;
        assert_eq!(browser.errors()?, Vec::<String>::new(), "{}", browser.name());
    }
    evening.look(&mut guest.browser, "over")
}

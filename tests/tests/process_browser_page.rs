//! The page as a thing by itself: for everybody (axe, keys, narrow windows), light, and alone with its relay.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tribune_tests::browser::{
    Browser, BrowserOptions, Ear, Kind, room_url, web_relay, with_browsers,
};
use tribune_tests::process::Client;

const ROOM: &str = "stage";
const BOTH: [Kind; 2] = [Kind::Chromium, Kind::Firefox];
/// Time limit of what takes a moment, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of all that is served, compressed where the relay compresses.
const PAGE_BYTES: u64 = 100_000;

fn ensure_accessible(browser: &mut Browser, view: &str) -> Result<()> {
    let found = browser.violations()?;
    ensure!(found.is_empty(), "{view} in {}: {found:#?}", browser.name());
    Ok(())
}

#[test]
fn axe_finds_nothing_in_any_view_and_nothing_is_asked_of_others() {
    with_browsers(&BOTH, |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _host = Client::new(&["speak", ROOM, "--name", "Host", "--tone", "440"], &relay)
            .enter(scratch, "host")?;
        let web = relay.web()?.to_owned();
        for kind in BOTH {
            let mut ear = Ear::start(scratch, BrowserOptions::new(kind), kind.name(), 48_000)?;
            let browser = &mut ear.browser;
            browser.open(&format!("{web}/"))?;
            browser.wait("the rooms", LIMIT, "document.querySelector('main h1') !== null")?;
            ensure_accessible(browser, "the rooms")?;
            browser.open(&room_url(&relay, "nowhere")?)?;
            browser.wait_for("join-name", LIMIT)?;
            ensure_accessible(browser, "a room that is not there")?;
            browser.listen(&room_url(&relay, ROOM)?, "Eve")?;
            ear.wait_heard()?;
            let browser = &mut ear.browser;
            ensure_accessible(browser, "a room")?;
            browser.click("hand")?;
            browser.wait_for("hand-note", LIMIT)?;
            ensure_accessible(browser, "a hand")?;
            browser.click("hand-send")?;
            browser.wait_for("place", LIMIT)?;
            // At the narrowest window nothing is wider than it.
            if kind == Kind::Chromium {
                let wide = browser.look(320, 640, "light")?;
                assert!(wide <= 320, "{wide} pixels in a window of 320");
            }
            browser.click("leave")?;
            browser.wait_state("ended", LIMIT)?;
            ensure_accessible(browser, "after a room")?;
            browser.open(&format!("{web}/embed/{ROOM}"))?;
            browser.wait("the player", LIMIT, "document.querySelector('button') !== null")?;
            ensure_accessible(browser, "the player")?;

            // WebTransport is of the relay too, at its other port.
            let ours =
                |origin: &str| origin == web || origin == format!("https://{}", relay.address());
            let others: Vec<_> =
                browser.origins()?.into_iter().filter(|(origin, _)| !ours(origin)).collect();
            assert!(others.is_empty(), "{}: {others:?}", kind.name());
            assert_eq!(browser.errors()?, Vec::<String>::new(), "{}", kind.name());
        }
        Ok(())
    });
}

/// Everything can be done without a pointer: the name, the tap that lets sound begin, a hand. In Chromium: keys that
/// WebDriver gives Firefox press no button of any page.
#[test]
fn a_room_is_entered_and_a_hand_is_raised_by_keys_alone() {
    with_browsers(&[Kind::Chromium], |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let _host = Client::new(&["speak", ROOM, "--name", "Host", "--tone", "440"], &relay)
            .enter(scratch, "host")?;
        let mut ear = Ear::start(scratch, BrowserOptions::new(Kind::Chromium), "chromium", 48_000)?;
        let browser = &mut ear.browser;
        browser.open(&room_url(&relay, ROOM)?)?;
        browser.wait("a live room", LIMIT, LIVE)?;
        tab_to(browser, "join-name")?;
        for key in ["KeyE", "KeyV", "KeyE"] {
            browser.press(key, Duration::ZERO)?;
        }
        browser.press("Enter", Duration::ZERO)?;
        browser.wait_state("joined", LIMIT)?;
        ear.wait_heard()?;
        let browser = &mut ear.browser;
        tab_to(browser, "hand")?;
        browser.press("Enter", Duration::ZERO)?;
        browser.wait_for("hand-note", LIMIT)?;
        tab_to(browser, "hand-send")?;
        browser.press("Enter", Duration::ZERO)?;
        browser.wait_for("place", LIMIT)?;
        Ok(())
    });
}

const LIVE: &str = "document.querySelector('[data-testid=listen]')?.textContent.includes('Listen')";

/// Presses Tab until what has this `data-testid` has the focus.
fn tab_to(browser: &mut Browser, id: &str) -> Result<()> {
    const STOPS: usize = 40;
    for _ in 0..STOPS {
        if browser.ask::<Option<String>>("document.activeElement?.dataset.testid")?.as_deref()
            == Some(id)
        {
            return Ok(());
        }
        browser.press("Tab", Duration::ZERO)?;
    }
    anyhow::bail!("{id} is not among the first {STOPS} stops of Tab")
}

/// Files of `web/` that are served, by their path in it.
fn served(directory: &Path, below: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if entry.file_type()?.is_dir() {
            if !["test", "browser", "node_modules"].contains(&name.as_str()) {
                files.extend(served(directory, &path)?);
            }
        } else if [".js", ".css", ".html"].iter().any(|ending| name.ends_with(ending)) {
            files.push(path);
        }
    }
    Ok(files)
}

#[test]
fn all_that_is_served_weighs_less_than_100_kb_as_it_travels() {
    with_browsers(&[Kind::Chromium], |scratch| {
        let relay = web_relay("relay").start(scratch)?;
        let mut browser = BrowserOptions::new(Kind::Chromium).start(scratch, "chromium")?;
        browser.open(&format!("{}/", relay.web()?))?;
        let weight = |browser: &mut Browser, path: &str| -> Result<(u64, u64)> {
            let asked = format!(
                "fetch('{path}', {{ cache: 'reload' }}).then(async answer => [answer.status,
                    (await answer.text(), Number(answer.headers.get('content-length')))])"
            );
            browser.ask(&asked)
        };
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
        let files = served(&directory, "")?;
        let mut bytes = 0;
        for file in &files {
            let path = match file.as_str() {
                "index.html" => "/".to_owned(),
                "embed.html" => "/embed/stage".to_owned(),
                "example.html" => "/example".to_owned(),
                file => format!("/web/{file}"),
            };
            let (status, length) = weight(&mut browser, &path)?;
            assert_eq!(status, 200, "{path}");
            assert!(length > 0, "{path} without a length");
            bytes += length;
        }
        println!("{} files, {bytes} bytes", files.len());
        assert!(files.len() > 10, "{files:?}");
        assert!(bytes < PAGE_BYTES, "{bytes} bytes in {} files", files.len());
        for path in ["/web/package.json", "/web/test/wire.test.mjs", "/web/browser/drive.mjs"] {
            assert_eq!(weight(&mut browser, path)?.0, 404, "{path}");
        }
        Ok(())
    });
}

//! The commands of README.md, of docs/guide.md and of docs/operating.md, run as they stand there.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tribune_tests::process::{Document, Relay, Scratch, Terminal, with_scratch};

const README: &str = include_str!("../../README.md");
const GUIDE: &str = include_str!("../../docs/guide.md");
const OPERATING: &str = include_str!("../../docs/operating.md");
/// Time for a command on a busy machine.
const COMMAND: Duration = Duration::from_secs(30);
/// The certificate of relays with `--dev`, as people write it and where it is in a test.
const CERTIFICATE: &str = "~/.local/state/tribune-relay/cert.pem";
const CERTIFICATE_HERE: &str = "state/tribune-relay/cert.pem";

#[test]
fn the_tour_of_the_readme_goes_as_it_says() {
    with_scratch(|scratch| {
        let document = Document::new("README.md", README);
        let mut terminal = Terminal::new(&document, scratch);
        let relay = terminal.relay("tribune-relay --dev --name origin")?;
        terminal = terminal.option("--url", relay.address());
        terminal.replace(CERTIFICATE, scratch.file(CERTIFICATE_HERE).display());
        let _ada = terminal.enter(
            "tribune speak stage --name Ada --file demo/clips/ada.opus --loop --ca ~/.local/state/tribune-relay/cert.pem",
        )?;
        let listen = "tribune listen stage --out heard.wav --duration 3s --ca ~/.local/state/tribune-relay/cert.pem";
        let heard = terminal.run(listen, 0)?.summary()?;
        assert!(heard.received_of("Ada") > 50, "{heard:?}");
        document.check_all_taken()
    });
}

#[test]
fn the_guide_goes_as_it_says() {
    with_scratch(|scratch| {
        let document = Document::new("docs/guide.md", GUIDE);
        let mut terminal = Terminal::new(&document, scratch);
        let tree = tree(&mut terminal)?;
        document.take(
            "tribune() { command tribune --ca ~/.local/state/tribune-relay/cert.pem \"$@\"; }",
        )?;
        let terminal = terminal
            .option("--url", tree[0].address())
            .option("--ca", scratch.file(CERTIFICATE_HERE).display());
        let _ada = terminal.enter(
            "tribune speak stage --name Ada --file demo/clips/ada.opus --loop --session ada.key",
        )?;
        let listen = "tribune listen stage --url 127.0.0.1:4435 --out heard.wav --duration 3s";
        let heard = terminal.run(listen, 0)?.summary()?;
        assert!(heard.received_of("Ada") > 50, "{heard:?}");
        assert_eq!(heard.depth, 3);
        govern(&terminal)?;
        programs(&terminal)?;
        let line = "tribune listen stage --url 127.0.0.1:4434,127.0.0.1:4435 --out null";
        // A killed relay is for process_failures.rs.
        let _listener = terminal.enter(line)?;
        document.check_all_taken()
    });
}

/// An origin, a relay between, a leaf.
fn tree(terminal: &mut Terminal<'_>) -> Result<[Relay; 3]> {
    let origin = terminal.relay("tribune-relay --dev --name origin --listen 127.0.0.1:4433")?;
    terminal.replace("127.0.0.1:4433", origin.address());
    let mid = terminal.relay(
        "tribune-relay --dev --name mid --listen 127.0.0.1:4434 --http 127.0.0.1:9434 --parent 127.0.0.1:4433",
    )?;
    terminal.replace("127.0.0.1:4434", mid.address());
    let leaf = terminal.relay(
        "tribune-relay --dev --name leaf --listen 127.0.0.1:4435 --http 127.0.0.1:9435 --parent 127.0.0.1:4434 --parent 127.0.0.1:4433",
    )?;
    terminal.replace("127.0.0.1:4435", leaf.address());
    Ok([origin, mid, leaf])
}

/// A hand, moderation, and the messages that Cleo gets.
fn govern(terminal: &Terminal<'_>) -> Result<()> {
    let mut cleo = terminal.start(
        "tribune speak stage --url 127.0.0.1:4435 --name Cleo --tone 440 --raise-hand \"About the bridges\"",
    )?;
    cleo.wait_event("hand", COMMAND, |event| event["place"] == 1)?;
    let queue = terminal.run("tribune hand list stage", 0)?;
    let hand = queue.json(|value| value["place"] == 1)?;
    assert_eq!((&hand["name"], &hand["note"]), (&"Cleo".into(), &"About the bridges".into()));
    terminal.run("tribune hand grant stage Cleo", 0)?;
    cleo.wait_event("granted", COMMAND, |_| true)?;
    terminal.run("tribune stage mute stage Cleo", 0)?;
    terminal.run("tribune stage silence stage Cleo --reason \"one at a time\"", 0)?;
    cleo.wait_event("silenced", COMMAND, |event| event["on"] == true)?;
    terminal.run("tribune person kick stage Cleo --reason \"see the room rules\"", 0)?;
    let ended = cleo.wait(COMMAND)?;
    ensure!(ended.code == Some(5), "{:?}: {}", ended.code, ended.stderr);
    Ok(())
}

/// The commands that a program can wrap, and the screen over a pipe.
fn programs(terminal: &Terminal<'_>) -> Result<()> {
    let _host = terminal.enter("tribune join stage --role cohost --name Host")?;
    let _watcher = terminal.enter("tribune join stage --name Watcher --out null --json")?;
    let mut log = terminal.start("tribune log stage --follow --json")?;
    log.wait_line("an entry of the log", COMMAND, |line| {
        let entry: Value = serde_json::from_str(line).ok()?;
        (entry["action"] == "silenced").then_some(())
    })
}

#[test]
fn the_page_for_operators_goes_as_it_says() {
    with_scratch(|scratch| {
        let document = Document::new("docs/operating.md", OPERATING);
        let terminal = Terminal::new(&document, scratch);
        let help = terminal.run_plainly("tribune-relay --help", &[])?.stdout.join("\n");
        settings_are_those_of(&help)?;
        let roles = terminal.run_plainly("tribune-relay roles", &[])?;
        assert!(roles.stdout.iter().any(|line| line.contains("cohost")), "{:?}", roles.stdout);
        terminal.run_plainly("tribune-relay keys generate --name web --out keys.toml", &[])?;
        top(&terminal, scratch)?;
        document.check_all_taken()
    });
}

/// Every flag that the page's tables name is one of the relay's, or of a command that the page shows.
fn settings_are_those_of(help: &str) -> Result<()> {
    for row in OPERATING.lines().filter(|line| line.starts_with("| `--")) {
        let cell = row.split('|').nth(1).unwrap_or_default();
        for flag in cell.split(['`', ' ', ',']).filter(|word| word.starts_with("--")) {
            ensure!(
                help.contains(&format!("{flag} <"))
                    || help.contains(&format!("{flag}\n"))
                    || help.contains(&format!("{flag} ")),
                "no setting {flag}"
            );
        }
    }
    Ok(())
}

fn top(terminal: &Terminal<'_>, scratch: &Scratch) -> Result<()> {
    let relay = tribune_tests::process::RelayOptions::new("origin").start(scratch)?;
    let http = relay.http().to_string();
    let table = terminal.run_plainly("tribune top --once", &["--http", &http])?;
    assert!(table.stdout.iter().any(|line| line.starts_with("origin")), "{:?}", table.stdout);
    let line = terminal.run_plainly("tribune top --once --json", &["--http", &http])?;
    let seen = line.json(|value| value["tree"].is_object() || value["tree"].is_array())?;
    assert!(seen["unix_ms"].is_u64() && !seen["status"].is_null(), "{seen}");
    Ok(())
}

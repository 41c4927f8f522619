//! A host's evening, as docs/hosting.md tells it: every command of the page, run as it stands there.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tribune_tests::process::{Document, Scratch, Terminal, with_scratch};

const HOSTING: &str = include_str!("../../docs/hosting.md");
const ROOM: &str = "rivers";
/// Time for a command on a busy machine.
const COMMAND: Duration = Duration::from_secs(30);

/// The terminals of the evening: all trust the relay; a command without a token shows the host's.
struct Evening<'a> {
    scratch: &'a Scratch,
    terminal: Terminal<'a>,
}

#[test]
fn a_hosts_evening_goes_as_the_page_says() {
    with_scratch(|scratch| {
        let document = Document::new("docs/hosting.md", HOSTING);
        let first = Terminal::new(&document, scratch);
        first.run_plainly("tribune-relay keys generate --name web --out keys.toml", &[])?;
        let relay = first.relay("tribune-relay --dev --keys keys.toml --data rivers.data")?;
        document.take("tribune() { command tribune --ca rivers.data/cert.pem \"$@\"; }")?;
        document.take("export TRIBUNE_TOKEN_FILE=ada.token")?;
        let terminal = Terminal::new(&document, scratch)
            .option("--url", relay.address())
            .option("--ca", scratch.file("rivers.data/cert.pem").display())
            .option("--token-file", scratch.file("ada.token").display());
        let evening = Evening { scratch, terminal };
        before(&evening.terminal)?;
        let mut host =
            evening.terminal.enter("tribune speak rivers --file demo/clips/ada.opus --loop")?;
        let list = evening.terminal.run("tribune room list", 0)?;
        let rivers = list.json(|value| value["room"] == ROOM)?;
        assert_eq!(
            (&rivers["phase"], &rivers["title"]),
            (&"live".into(), &"Rivers and bridges".into())
        );
        doors(&evening.terminal)?;
        hands(&evening.terminal)?;
        disturbance(&evening.terminal)?;
        afterwards(&evening)?;
        let ended = host.wait(COMMAND)?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        document.check_all_taken()
    });
}

/// Tokens for everybody, and the room ahead of time.
fn before(evening: &Terminal<'_>) -> Result<()> {
    for line in [
        "tribune token create --key-file keys.toml --room rivers --identity ada --name Ada --role host --create --valid-for 5h > ada.token",
        "tribune token create --key-file keys.toml --room rivers --identity cleo --name Cleo --attribute followers=612 > cleo.token",
        "tribune token create --key-file keys.toml --room rivers --identity mallory --name Mallory --role speaker --attribute followers=300 > mallory.token",
        "tribune token create --key-file keys.toml --room rivers --identity eve --name Eve --attribute followers=7 > eve.token",
    ] {
        evening.run(line, 0)?;
    }
    let shown = evening.run("tribune token show - --key-file keys.toml < cleo.token", 0)?;
    let claims = shown.json(|value| value.to_string().contains("612"))?;
    ensure!(claims.to_string().contains("cleo"), "{claims}");
    evening.run(
        "tribune room create rivers --title \"Rivers and bridges\" --starts \"in 2h\" --listed --access \"followers >= 100\"",
        0,
    )?;
    let shown = evening.run("tribune room show rivers", 0)?;
    let room = shown.json(|value| value["room"] == ROOM)?;
    assert_eq!(room["phase"], "announced");
    assert_eq!(room["settings"]["access"], "followers >= 100");
    Ok(())
}

/// Access to the room.
fn doors(evening: &Terminal<'_>) -> Result<()> {
    let refused = evening.run("tribune listen rivers --out eve.ogg --token-file eve.token", 4)?;
    assert_eq!(refused.error_code()?, "access_denied");
    assert!(refused.stderr.contains("followers = 7"), "{}", refused.stderr);
    evening.run("tribune room invite rivers --for eve > eve-invited.token", 0)?;
    let line = "tribune listen rivers --out eve.ogg --duration 3s --token-file eve-invited.token";
    let heard = evening.run(line, 0)?.summary()?;
    assert!(heard.received_of("Ada") > 50, "{heard:?}");
    Ok(())
}

/// A question from the audience.
fn hands(evening: &Terminal<'_>) -> Result<()> {
    let mut cleo = evening.enter(
        "tribune speak rivers --file demo/clips/question.opus --raise-hand \"About the bridges\" --token-file cleo.token",
    )?;
    cleo.wait_event("hand", COMMAND, |event| event["place"] == 1)?;
    let queue = evening.run("tribune hand list rivers", 0)?;
    let hand = queue.json(|value| value["place"] == 1)?;
    assert_eq!((&hand["name"], &hand["note"]), (&"Cleo".into(), &"About the bridges".into()));
    evening.run("tribune hand grant rivers Cleo", 0)?;
    cleo.wait_event("granted", COMMAND, |_| true)?;
    let ended = cleo.wait(COMMAND * 2)?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    Ok(())
}

/// Silence, ban, appeal.
fn disturbance(evening: &Terminal<'_>) -> Result<()> {
    let mut mallory = evening.enter(
        "tribune speak rivers --file demo/clips/heckler.opus --loop --token-file mallory.token",
    )?;
    evening.run("tribune stage silence rivers Mallory --reason \"one at a time\"", 0)?;
    mallory.wait_event("silenced", COMMAND, |event| event["on"] == true)?;
    evening.run("tribune ban create rivers Mallory --for 1h --reason \"shouting at guests\"", 0)?;
    let told = mallory.wait_event("moderated", COMMAND, |event| event["action"] == "banned")?;
    assert_eq!((&told["by"], &told["reason"]), (&"Ada".into(), &"shouting at guests".into()));
    assert!(told["until_s"].as_u64().is_some_and(|until_s| until_s > 0), "{told}");
    let entry = told["entry"].clone();
    let ended = mallory.wait(COMMAND)?;
    assert_eq!(ended.code, Some(5), "{}", ended.stderr);
    let refused = evening.run("tribune listen rivers --out null --token-file mallory.token", 4)?;
    assert_eq!(refused.error_code()?, "barred");

    let own = evening.run("tribune log rivers --token-file mallory.token", 0)?;
    let ban = own.json(|value| value["action"] == "banned")?;
    assert_eq!((&ban["number"], &ban["duration_s"]), (&entry, &3_600.into()));
    assert_eq!(entry, 6, "the number that the page names");
    let line =
        "tribune appeal create rivers --entry 6 \"That was my brother\" --token-file mallory.token";
    evening.run(line, 0)?;
    let again = evening.run(line, 4)?;
    assert_eq!(again.error_code()?, "already_appealed");
    evening.run("tribune ban list rivers", 0)?;
    evening.run("tribune appeal answer rivers --entry 7 --uphold --reason \"Welcome back\"", 0)?;
    evening.run("tribune listen rivers --out null --duration 2s --token-file mallory.token", 0)?;
    Ok(())
}

/// The log of the evening.
fn afterwards(evening: &Evening<'_>) -> Result<()> {
    let Evening { scratch, terminal: evening } = evening;
    let log = evening.run("tribune log rivers --verify", 0)?;
    let actions: Vec<String> = log
        .stdout
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|value| value["action"].as_str().map(str::to_owned))
        .collect();
    let expected = [
        "room_created",
        "room_opened",
        "invitation_made",
        "hand_granted",
        "silenced",
        "banned",
        "appealed",
        "appeal_upheld",
    ];
    assert!(actions.iter().zip(expected).all(|(is, wanted)| is == wanted), "{actions:?}");
    let verified = log.json(|value| value["event"] == "verified")?;
    assert_eq!(verified["entries"], actions.len());
    evening.run("tribune log rivers --export evening.html", 0)?;
    let report = std::fs::read_to_string(scratch.file("evening.html"))?;
    assert!(report.contains("shouting at guests"), "no reason in the report");
    evening.run("tribune log --file evening.html --verify", 0)?;
    std::fs::write(scratch.file("evening.html"), report.replacen("Mallory", "Nallory", 1))?;
    let altered = evening.run("tribune log --file evening.html --verify", 8)?;
    assert_eq!(altered.error_code()?, "log_altered");
    evening.run("tribune room end rivers", 0)?;
    Ok(())
}

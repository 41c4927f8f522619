//! A host's evening, as the README tells it: every command of the tour, run as it stands there.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tribune_tests::process::{
    Client, Ended, Process, Relay, RelayOptions, Scratch, sound, with_scratch,
};

const README: &str = include_str!("../../README.md");
const ROOM: &str = "rivers";
/// Time limit of a command on a busy machine.
const COMMAND: Duration = Duration::from_secs(30);

/// The relay of the evening, and where its files are.
struct Evening<'a> {
    scratch: &'a Scratch,
    relay: Relay,
    commands: std::cell::Cell<usize>,
}

impl<'a> Evening<'a> {
    /// Makes the key and starts the relay.
    fn begin(scratch: &'a Scratch) -> Result<Self> {
        let line = "tribune-relay keys generate --name web --out keys.toml";
        ensure!(README.contains(line), "the README does not say: {line}");
        let keys = scratch.file("keys.toml").display().to_string();
        let args = ["keys", "generate", "--name", "web", "--out", &keys].map(str::to_owned);
        let made = Process::start(scratch, "keys", "tribune-relay", &args)?.wait(COMMAND)?;
        ensure!(made.code == Some(0), "{}", made.stderr);
        let data = scratch.file("rivers.data").display().to_string();
        let relay = RelayOptions::new("origin")
            .arg("--keys")
            .arg(&keys)
            .arg("--data")
            .arg(&data)
            .start(scratch)?;
        Ok(Self { scratch, relay, commands: std::cell::Cell::new(0) })
    }

    /// A command of the README, with its files in the scratch directory.
    fn command(&self, line: &str) -> Result<(Client, Option<PathBuf>, String)> {
        ensure!(README.contains(line), "the README does not say: {line}");
        let mut words = split(line);
        ensure!(words.first().is_some_and(|word| word == "tribune"), "not ours: {line}");
        words.remove(0);
        let into = match words.iter().position(|word| word == ">") {
            None => None,
            Some(at) => {
                let file = words.get(at + 1).context("no file")?;
                let file = self.scratch.file(file);
                words.truncate(at);
                Some(file)
            }
        };
        let is_offline =
            words[0] == "token" || words.iter().any(|word| word == "--file") && words[0] == "log";
        let shows_no_token = !words.iter().any(|word| word == "--token-file");
        let words: Vec<String> = words.into_iter().map(|word| self.place(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.commands.set(self.commands.get() + 1);
        let name = format!("{:02}-{}-{}", self.commands.get(), words[0], words[1]);
        if is_offline {
            return Ok((Client::bare(&words), into, name));
        }
        let client = Client::new(&words, &self.relay);
        // The host's terminal has TRIBUNE_TOKEN_FILE=ada.token.
        let host = self.place("ada.token".to_owned());
        let client = if shows_no_token { client.args(&["--token-file", &host]) } else { client };
        Ok((client, into, name))
    }

    /// Runs a command to its end, with the exit code that it is to have.
    fn run(&self, line: &str, code: i32) -> Result<Ended> {
        let (client, into, name) = self.command(line)?;
        let ended = client.run(self.scratch, &name, COMMAND)?;
        ensure!(ended.code == Some(code), "{line}: {:?}: {}", ended.code, ended.stderr);
        if let Some(file) = into {
            let printed = json(&ended, |value| value["token"].is_string())?;
            std::fs::write(file, printed["token"].as_str().unwrap_or_default())?;
        }
        Ok(ended)
    }

    /// Starts a command that goes on, and waits until it is in the room.
    fn start(&self, line: &str) -> Result<Process> {
        let (client, _, name) = self.command(line)?;
        client.enter(self.scratch, &name.replace('/', "-"))
    }

    /// Files of the host are in the scratch directory, those of the demo where they are.
    fn place(&self, word: String) -> String {
        let clip = word.strip_prefix("demo/clips/").and_then(|name| name.strip_suffix(".opus"));
        if let Some(clip) = clip {
            return sound::clip(clip).display().to_string();
        }
        let endings = [".token", ".toml", ".html", ".ogg"];
        if endings.iter().any(|ending| word.ends_with(ending)) {
            return self.scratch.file(&word).display().to_string();
        }
        word
    }
}

/// Words as a shell takes them, with double quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words
}

/// The first JSON line that is that `accepts` accepts.
fn json(ended: &Ended, accepts: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut values =
        ended.stdout.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = values.find(|value| accepts(value));
    found.with_context(|| format!("no such line in {:?}; {}", ended.stdout, ended.stderr))
}

fn refusal(ended: &Ended) -> Result<String> {
    let error = json(ended, |value| value["error"].is_object())?;
    Ok(error["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_hosts_evening_goes_as_the_readme_says() {
    with_scratch(|scratch| {
        let evening = Evening::begin(scratch)?;
        before(&evening)?;
        let mut host = evening.start("tribune speak rivers --file demo/clips/ada.opus --loop")?;
        let list = evening.run("tribune room list", 0)?;
        let rivers = json(&list, |value| value["room"] == ROOM)?;
        assert_eq!(
            (&rivers["phase"], &rivers["title"]),
            (&"live".into(), &"Rivers and bridges".into())
        );
        doors(&evening)?;
        hands(&evening)?;
        disturbance(&evening)?;
        afterwards(&evening)?;
        let ended = host.wait(COMMAND)?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        Ok(())
    });
}

/// Tokens for everybody, and the room ahead of time.
fn before(evening: &Evening<'_>) -> Result<()> {
    for line in [
        "tribune token create --key-file keys.toml --room rivers --identity ada --name Ada --role host --create --valid-for 5h > ada.token",
        "tribune token create --key-file keys.toml --room rivers --identity cleo --name Cleo --attribute followers=612 > cleo.token",
        "tribune token create --key-file keys.toml --room rivers --identity mallory --name Mallory --role speaker --attribute followers=300 > mallory.token",
        "tribune token create --key-file keys.toml --room rivers --identity eve --name Eve --attribute followers=7 > eve.token",
    ] {
        evening.run(line, 0)?;
    }
    evening.run(
        "tribune room create rivers --title \"Rivers and bridges\" --starts \"in 2h\" --listed --access \"followers >= 100\"",
        0,
    )?;
    let shown = evening.run("tribune room show rivers", 0)?;
    let room = json(&shown, |value| value["room"] == ROOM)?;
    assert_eq!(room["phase"], "announced");
    assert_eq!(room["settings"]["access"], "followers >= 100");
    Ok(())
}

/// Access to the room.
fn doors(evening: &Evening<'_>) -> Result<()> {
    let refused = evening.run("tribune listen rivers --out eve.ogg --token-file eve.token", 4)?;
    assert_eq!(refusal(&refused)?, "access_denied");
    assert!(refused.stderr.contains("followers = 7"), "{}", refused.stderr);
    evening.run("tribune room invite rivers --for eve > eve-invited.token", 0)?;
    let line = "tribune listen rivers --out eve.ogg --duration 3s --token-file eve-invited.token";
    let heard = evening.run(line, 0)?.summary()?;
    assert!(heard.received_of("Ada") > 50, "{heard:?}");
    Ok(())
}

/// A question from the audience.
fn hands(evening: &Evening<'_>) -> Result<()> {
    let mut cleo = evening.start(
        "tribune speak rivers --file demo/clips/question.opus --raise-hand \"About the bridges\" --token-file cleo.token",
    )?;
    cleo.wait_event("hand", COMMAND, |event| event["place"] == 1)?;
    let queue = evening.run("tribune hand list rivers", 0)?;
    let hand = json(&queue, |value| value["place"] == 1)?;
    assert_eq!((&hand["name"], &hand["note"]), (&"Cleo".into(), &"About the bridges".into()));
    evening.run("tribune hand grant rivers Cleo", 0)?;
    cleo.wait_event("granted", COMMAND, |_| true)?;
    let ended = cleo.wait(COMMAND * 2)?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    Ok(())
}

/// Silence, ban, appeal.
fn disturbance(evening: &Evening<'_>) -> Result<()> {
    let mut mallory = evening.start(
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
    assert_eq!(refusal(&refused)?, "barred");

    let own = evening.run("tribune log rivers --token-file mallory.token", 0)?;
    let ban = json(&own, |value| value["action"] == "banned")?;
    assert_eq!((&ban["number"], &ban["duration_s"]), (&entry, &3_600.into()));
    assert_eq!(entry, 6, "the number that the README names");
    let line =
        "tribune appeal create rivers --entry 6 \"That was my brother\" --token-file mallory.token";
    evening.run(line, 0)?;
    let again = evening.run(line, 4)?;
    assert_eq!(refusal(&again)?, "already_appealed");
    evening.run("tribune ban list rivers", 0)?;
    evening.run("tribune appeal answer rivers --entry 7 --uphold --reason \"Welcome back\"", 0)?;
    evening.run("tribune listen rivers --out null --duration 2s --token-file mallory.token", 0)?;
    Ok(())
}

/// Information shown about it.
fn afterwards(evening: &Evening<'_>) -> Result<()> {
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
    let verified = json(&log, |value| value["event"] == "verified")?;
    assert_eq!(verified["entries"], actions.len());
    evening.run("tribune log rivers --export evening.html", 0)?;
    let report = std::fs::read_to_string(evening.scratch.file("evening.html"))?;
    assert!(report.contains("shouting at guests"), "no reason in the report");
    evening.run("tribune log --file evening.html --verify", 0)?;
    std::fs::write(evening.scratch.file("evening.html"), report.replacen("Mallory", "Nallory", 1))?;
    let altered = evening.run("tribune log --file evening.html --verify", 8)?;
    assert_eq!(refusal(&altered)?, "log_altered");
    evening.run("tribune room end rivers", 0)?;
    Ok(())
}

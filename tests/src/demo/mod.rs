//! `make demo`: a tree of relays, a conversation, a question and a heckler, on this machine and with
//! the programs as they are. Measurements come from the listeners' own statistics.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

mod audience;
mod report;
mod tree;

use audience::Audience;
pub use report::{Depth, Recording, Report, Silence};
use tree::Tree;

use crate::process::sound::clip;
use crate::process::{Client, Ended, Process, Relay, Scratch, Statistics, pause, wait_for};

const ROOM: &str = "rivers";
/// Time limit of any step on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// From the conversation's first word to the heckler's.
const HECKLER_AFTER: Duration = Duration::from_secs(6);
/// Time for which the heckler is heard.
const HECKLER_HEARD: Duration = Duration::from_secs(3);
/// Time for which he continues, silenced, before he is removed.
const HECKLER_IGNORED: Duration = Duration::from_secs(3);
/// Time for the last frames to reach the last leaf.
const LAST_FRAMES: Duration = Duration::from_millis(500);

/// Options of the demo.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether the result is one JSON object for programs; progress then goes to stderr.
    pub json: bool,
    /// Whether the output of the processes is kept.
    pub keep: bool,
    /// Destination of the recording.
    pub out: PathBuf,
}

/// Runs the demo, which takes about 40 s, and ends all that it has started.
///
/// # Errors
/// If a step fails altogether; deviations of the measurements are in the report.
pub fn run(options: &Options) -> Result<Report> {
    let mut scratch = Scratch::new()?;
    if options.keep {
        scratch.keep();
    }
    let narrator = Narrator { began: Instant::now(), json: options.json };
    let result = Play::set_up(options, &scratch, &narrator).and_then(Play::perform);
    if options.keep {
        narrator.say(&format!("What the processes said is in {}.", scratch.path().display()));
    } else if result.is_err() {
        eprintln!("{}", scratch.errors());
    }
    result
}

/// Says what happens.
#[derive(Debug)]
struct Narrator {
    began: Instant,
    json: bool,
}

impl Narrator {
    fn say(&self, text: &str) {
        let line = format!("{:5.1} s  {text}", self.began.elapsed().as_secs_f64());
        if self.json {
            eprintln!("{line}");
        } else {
            println!("{line}");
        }
    }
}

/// Everybody, in their places. Fields are dropped in this order: people first, then the relays.
struct Play<'a> {
    narrator: &'a Narrator,
    scratch: &'a Scratch,
    audience: Audience,
    host: Process,
    tree: Tree,
}

impl<'a> Play<'a> {
    fn set_up(options: &Options, scratch: &'a Scratch, narrator: &'a Narrator) -> Result<Self> {
        narrator.say("Seven relays start on this machine:");
        let tree = Tree::start(scratch)?;
        for line in tree.picture().lines() {
            narrator.say(&format!("    {line}"));
        }
        // The host opens the room, governs and stays silent.
        let host = Client::new(
            &["speak", ROOM, "--name", "Host", "--role", "host", "--stdin"],
            &tree.origin,
        )
        .enter(scratch, "host")?;
        fs::create_dir_all(&options.out)
            .with_context(|| format!("{} cannot be made", options.out.display()))?;
        let recording = options.out.join("heard.ogg");
        let audience = Audience::enter(scratch, &tree, &recording)?;
        narrator.say(&format!(
            "The host has opened the room; {} listeners are in, most of them at the leaves. \
             One at {} records.",
            audience.size(),
            tree.far_leaf().name(),
        ));
        Ok(Self { narrator, scratch, audience, host, tree })
    }

    fn perform(mut self) -> Result<Report> {
        let [near, _, _, far] = &self.tree.leaves;
        let mut ada = self.speaker("Ada", "ada", &self.tree.origin)?;
        let mut ben = self.speaker("Ben", "ben", far)?;
        for speaker in [&mut ada, &mut ben] {
            speaker.wait_event("joined", PATIENCE, |_| true)?;
        }
        self.narrator.say("Ada, at the origin, and Ben, at a leaf, talk about rivers and bridges.");
        pause(HECKLER_AFTER)?;

        let mut heckler = Client::speak(ROOM, "Heckler", &clip("heckler"), near)
            .args(&["--loop", "--ignore-mute"])
            .enter(self.scratch, "heckler")?;
        self.narrator.say("A heckler speaks up at the first leaf. He ignores requests to mute.");
        pause(HECKLER_HEARD)?;
        let mut silence = self.silence()?;

        let mut guest = Client::speak(ROOM, "Guest", &clip("question"), near)
            .args(&["--raise-hand", "Which bridge?"])
            .enter(self.scratch, "guest")?;
        guest.wait_event("hand", PATIENCE, |event| event["place"] == 1)?;
        self.narrator.say("A listener raises a hand: \"Which bridge?\"");

        pause(HECKLER_IGNORED)?;
        self.judge_silence(&mut silence)?;
        let kicked = self.kick(&mut heckler)?;

        for speaker in [&mut ada, &mut ben] {
            let ended = speaker.wait(PATIENCE * 2)?;
            ensure!(ended.code == Some(0), "{}: {}", speaker.name(), ended.stderr);
        }
        self.narrator.say("Ada and Ben have finished.");
        let granted = self.grant(&mut guest)?;
        pause(LAST_FRAMES)?;
        ensure!(self.host.is_running()?, "the host is gone: {}", self.host.stderr());
        self.narrator.say("The listeners leave and say what they have heard.");
        let (heard, recording) = self.audience.leave()?;
        let depths = (1..=3).map(|depth| Depth::of(depth, &heard)).collect();
        let granted = granted && heard.iter().all(|listener| listener.received_of("Guest") > 0);
        let seconds = self.narrator.began.elapsed().as_secs_f64();
        Ok(Report { depths, silence, kicked, granted, recording, seconds })
    }

    fn speaker(&self, name: &str, file: &str, relay: &Relay) -> Result<Process> {
        Client::speak(ROOM, name, &clip(file), relay).start(self.scratch, file)
    }

    fn moderate(&self, command: &[&str], event: &str) -> Result<Value> {
        let ended =
            Client::new(command, &self.tree.origin).run_well(self.scratch, command[1], PATIENCE)?;
        said(&ended, event)
    }

    /// Has the heckler silenced, who must have been heard before.
    fn silence(&self) -> Result<Silence> {
        let heard = wait_for("the heckler to be heard at the farthest leaf", PATIENCE, || {
            let statistics = self.audience.far().statistics();
            Ok(statistics.map(|s| s.received_of("Heckler")).filter(|&frames| frames > 0))
        })?;
        let event = self.moderate(
            &["stage", "silence", ROOM, "Heckler", "--reason", "Let them talk"],
            "silenced",
        )?;
        let time = |key: &str| event[key].as_u64().with_context(|| format!("no {key}: {event}"));
        let (asked, acknowledged) = (time("asked_unix_ms")?, time("acknowledged_unix_ms")?);
        let took_ms = acknowledged.saturating_sub(asked);
        self.narrator.say(&format!(
            "The host has him silenced: {took_ms} ms until every relay has confirmed it.",
        ));
        Ok(Silence {
            asked_unix_ms: asked,
            took_ms,
            heard_before: heard,
            last_heard_ms: None,
            heard_after: 0,
        })
    }

    /// Frames of the heckler still received anywhere.
    fn judge_silence(&self, silence: &mut Silence) -> Result<()> {
        let all: Vec<Statistics> = self.audience.statistics();
        ensure!(all.len() == self.audience.size(), "a listener has printed no statistics");
        let last = |statistics: &Statistics| {
            statistics.track("Heckler").and_then(|track| track.last_received_unix_ms)
        };
        let far = self.audience.far().statistics();
        let asked = i64::try_from(silence.asked_unix_ms)?;
        silence.last_heard_ms = far.as_ref().and_then(last).map(|last| last as i64 - asked);
        let acknowledged = silence.asked_unix_ms + silence.took_ms;
        let too_late = acknowledged + report::READ_LATE_MS;
        silence.heard_after = all
            .iter()
            .filter(|statistics| last(statistics).is_some_and(|at| at > too_late))
            .count();
        self.narrator.say("He goes on, and nobody hears him.");
        Ok(())
    }

    fn kick(&self, heckler: &mut Process) -> Result<bool> {
        self.moderate(&["person", "kick", ROOM, "Heckler", "--reason", "Good night"], "kicked")?;
        let ended = heckler.wait(PATIENCE)?;
        self.narrator.say("He is removed from the room.");
        Ok(ended.code == Some(audience::EXIT_REMOVED))
    }

    /// Lets the guest speak; whether that has gone well.
    fn grant(&self, guest: &mut Process) -> Result<bool> {
        self.moderate(&["hand", "grant", ROOM, "Guest"], "granted")?;
        guest.wait_event("granted", PATIENCE, |_| true)?;
        self.narrator.say("The host grants the raised hand, and the listener asks a question.");
        let ended = guest.wait(PATIENCE * 2)?;
        let sent = said(&ended, "ended")?["sent"].as_u64().unwrap_or(0);
        Ok(ended.code == Some(0) && sent > 0)
    }
}

/// The event that a command has printed.
fn said(ended: &Ended, event: &str) -> Result<Value> {
    let mut values =
        ended.stdout.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = values.find(|value| value["event"] == event);
    found.with_context(|| format!("no event {event}; it said: {}", ended.stderr))
}

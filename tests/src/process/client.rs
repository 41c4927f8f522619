//! The command `tribune` as a process, and its JSON lines.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde::Deserialize;
use serde_json::Value;

use super::{Ended, Process, Relay, Scratch};

/// Time limit of a join.
const JOIN_LIMIT: Duration = Duration::from_secs(20);

/// A command line of `tribune`, with `--json`.
#[derive(Debug, Clone)]
pub struct Client {
    args: Vec<String>,
}

/// A listener's line of statistics; counters are since the beginning.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Statistics {
    /// Seconds since joining.
    pub t_s: f64,
    /// Whether this is the last line.
    #[serde(default)]
    pub summary: bool,
    /// Frames received.
    pub received: u64,
    /// Frames that never came.
    pub lost: u64,
    /// Frames that came too late.
    pub late: u64,
    /// Frames made up.
    pub concealed: u64,
    /// Frames dropped by the client, for want of room.
    pub dropped: u64,
    /// Time in the jitter buffer, in ms.
    pub buffer_ms: f64,
    /// From capture to playout.
    pub e2e_ms: Latency,
    /// Relays from the origin to the one that it listens at.
    pub depth: u8,
    /// Times that it has come back.
    pub reconnects: u32,
    /// Reception of each track.
    pub tracks: Vec<Track>,
}

/// Percentiles in ms; `None` before the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// Reception of one track.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Track {
    /// Its number.
    pub track: u32,
    /// Its speaker's name.
    pub name: Option<String>,
    /// Frames received.
    pub received: u64,
    /// Arrival of the last one, in Unix milliseconds.
    pub last_received_unix_ms: Option<u64>,
    /// Frames received after the room announced that the speaker is silenced.
    pub received_silenced: Option<u64>,
    /// Time from that announcement to the last one, in ms.
    pub silenced_after_ms: Option<f64>,
}

impl Statistics {
    /// Reads a line, if it is one of statistics.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }

    /// Reception of the speaker with this name.
    #[must_use]
    pub fn track(&self, name: &str) -> Option<&Track> {
        self.tracks.iter().find(|track| track.name.as_deref() == Some(name))
    }

    /// Frames received of the speaker with this name.
    #[must_use]
    pub fn received_of(&self, name: &str) -> u64 {
        self.track(name).map_or(0, |track| track.received)
    }
}

impl Client {
    /// `tribune COMMAND` at a relay whose certificate is pinned.
    #[must_use]
    pub fn new(command: &[&str], relay: &Relay) -> Self {
        let url = relay.address().to_string();
        Self::bare(command).args(&["--url", &url, "--fingerprint", relay.fingerprint()])
    }

    /// `tribune COMMAND`, without saying where.
    #[must_use]
    pub fn bare(command: &[&str]) -> Self {
        Self { args: vec!["--json".to_owned()] }.args(command)
    }

    /// `tribune speak ROOM --file FILE` under this name.
    #[must_use]
    pub fn speak(room: &str, name: &str, file: &Path, relay: &Relay) -> Self {
        let file = file.display().to_string();
        Self::new(&["speak", room, "--name", name, "--file", &file], relay)
    }

    /// `tribune listen ROOM --out OUT`.
    #[must_use]
    pub fn listen(room: &str, out: &Path, relay: &Relay) -> Self {
        Self::new(&["listen", room, "--out", &out.display().to_string()], relay)
    }

    /// With more arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self, scratch: &Scratch, name: &str) -> Result<Process> {
        Process::start(scratch, name, "tribune", &self.args)
    }

    /// As [`Self::start`]; it logs everything that it and its libraries have to say.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_logging_everything(&self, scratch: &Scratch, name: &str) -> Result<Process> {
        Process::start_logging_everything(scratch, name, "tribune", &self.args)
    }

    /// Starts it and waits until it is in the room.
    ///
    /// # Errors
    /// If it does not get in.
    pub fn enter(&self, scratch: &Scratch, name: &str) -> Result<Process> {
        let mut process = self.start(scratch, name)?;
        process.wait_event("joined", JOIN_LIMIT, |_| true)?;
        Ok(process)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// If it still runs after `limit`.
    pub fn run(&self, scratch: &Scratch, name: &str, limit: Duration) -> Result<Ended> {
        self.start(scratch, name)?.wait(limit)
    }

    /// Runs it to its end, which is to be a success.
    ///
    /// # Errors
    /// If it fails, with what it says.
    pub fn run_well(&self, scratch: &Scratch, name: &str, limit: Duration) -> Result<Ended> {
        let ended = self.run(scratch, name, limit)?;
        match ended.code {
            Some(0) => Ok(ended),
            code => Err(anyhow!("{name} ended with {code:?}: {}", ended.stderr)),
        }
    }
}

impl Process {
    /// Waits for a JSON line with this `event` that is that `accepts` accepts.
    ///
    /// # Errors
    /// If none comes within `limit`, or the process ends before.
    pub fn wait_event(
        &mut self,
        event: &str,
        limit: Duration,
        accepts: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        self.wait_line(&format!("the event {event}"), limit, |line| {
            let value: Value = serde_json::from_str(line).ok()?;
            (value["event"] == event && accepts(&value)).then_some(value)
        })
    }

    /// Waits for a listener's statistics to be accepted by `accepts`.
    ///
    /// # Errors
    /// If they are not within `limit`, or the process ends before.
    pub fn wait_statistics(
        &mut self,
        what: &str,
        limit: Duration,
        accepts: impl Fn(&Statistics) -> bool,
    ) -> Result<Statistics> {
        self.wait_line(what, limit, |line| Statistics::parse(line).filter(&accepts))
    }

    /// A listener's last line of statistics.
    #[must_use]
    pub fn statistics(&self) -> Option<Statistics> {
        self.last(Statistics::parse)
    }
}

impl Ended {
    /// The last line of statistics of a listener.
    ///
    /// # Errors
    /// If it has printed none.
    pub fn summary(&self) -> Result<Statistics> {
        let mut found = self.stdout.iter().filter_map(|line| Statistics::parse(line));
        let summary = found.find(|statistics| statistics.summary);
        summary.ok_or_else(|| anyhow!("no summary; standard error: {}", self.stderr))
    }
}

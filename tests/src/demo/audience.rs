//! The demo's listeners: one process each, as they would be anywhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::report::Recording;
use super::tree::Tree;
use super::{PATIENCE, ROOM};
use crate::process::sound::{decode, rms};
use crate::process::{Client, Process, Relay, Scratch, Signal, Statistics};

/// Exit code of a client that a moderator has removed.
pub(super) const EXIT_REMOVED: i32 = 5;
/// Listeners at the origin and at each relay between, and at each leaf: 40 in all.
const PER_INNER_RELAY: usize = 4;
const PER_LEAF: usize = 7;
/// Listeners that start together: as many as two cores let in without anybody waiting.
const AT_ONCE: usize = 8;
/// Sound that is speech and no noise floor: −46 dBFS.
const SPEECH_RMS: f32 = 0.005;

/// Everybody who listens.
pub(super) struct Audience {
    listeners: Vec<Process>,
    recording: PathBuf,
}

impl Audience {
    /// Lets them in. The last one sits at the farthest leaf and records.
    pub(super) fn enter(scratch: &Scratch, tree: &Tree, recording: &Path) -> Result<Self> {
        let inner = std::iter::once(&tree.origin).chain(&tree.mids);
        let seats = inner.flat_map(|relay| std::iter::repeat_n(relay, PER_INNER_RELAY));
        let leaves = tree.leaves.iter();
        let seats: Vec<&Relay> =
            seats.chain(leaves.flat_map(|relay| std::iter::repeat_n(relay, PER_LEAF))).collect();
        let mut listeners = Vec::new();
        for (number, seats) in seats.chunks(AT_ONCE).enumerate() {
            for (place, relay) in seats.iter().enumerate() {
                let number = number * AT_ONCE + place + 1;
                let is_last = number == 3 * PER_INNER_RELAY + 4 * PER_LEAF;
                let out = if is_last { recording } else { Path::new("null") };
                let name = format!("listener-{number:02}");
                listeners.push(Client::listen(ROOM, out, relay).start(scratch, &name)?);
            }
            for listener in listeners.iter_mut().rev().take(seats.len()) {
                listener.wait_event("joined", PATIENCE, |_| true)?;
            }
        }
        Ok(Self { listeners, recording: recording.to_owned() })
    }

    pub(super) fn size(&self) -> usize {
        self.listeners.len()
    }

    /// The one at the farthest leaf.
    pub(super) fn far(&self) -> &Process {
        &self.listeners[self.listeners.len() - 1]
    }

    /// Last statistics of each listener.
    pub(super) fn statistics(&self) -> Vec<Statistics> {
        self.listeners.iter().filter_map(Process::statistics).collect()
    }

    /// Stops all listeners; returns their statistics and the recording.
    pub(super) fn leave(mut self) -> Result<(Vec<Statistics>, Recording)> {
        for listener in &self.listeners {
            listener.signal(Signal::TERM)?;
        }
        let mut all = Vec::new();
        for listener in &mut self.listeners {
            let ended = listener.wait(PATIENCE)?;
            let name = listener.name();
            ensure!(ended.code == Some(0), "{name} ended with {:?}: {}", ended.code, ended.stderr);
            all.push(ended.summary()?);
        }
        let listened_s = all.last().context("no listeners")?.t_s;
        Ok((all, recorded(self.recording, Duration::from_secs_f64(listened_s))?))
    }
}

/// Length of the recording, and of the speech in it.
fn recorded(path: PathBuf, listened: Duration) -> Result<Recording> {
    let samples = decode(&path)?;
    let second = 48_000;
    let seconds = samples.len() as f64 / f64::from(second);
    let loud = samples.chunks(second as usize).filter(|second| rms(second) > SPEECH_RMS).count();
    Ok(Recording { path, seconds, speech_s: loud, listened_s: listened.as_secs_f64() })
}

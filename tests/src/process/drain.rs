//! A relay that drains under many listeners, and what they miss meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tribune_protocol::ids::TrackId;

use super::{Listeners, Record, Relay};

/// Margin before and after the drain that is judged with it.
const MARGIN: Duration = Duration::from_secs(1);
/// Time limit for a relay to drain, and for the listeners to hear on. A busy machine makes
/// it longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The time around a drain, seen by many listeners.
#[derive(Debug)]
pub struct Drain {
    began: Instant,
    ended: Instant,
    records: Vec<Record>,
}

impl Drain {
    /// Drains a relay as SIGTERM does, waits until it has ended by itself, and hears on for a while.
    ///
    /// # Errors
    /// If the relay does not end well, or a listener is closed or hears nothing any more.
    pub fn of(mut relay: Relay, listeners: &Listeners) -> Result<Self> {
        let began = Instant::now();
        relay.terminate()?;
        let end = relay.process().wait(LIMIT)?;
        let ended = Instant::now();
        ensure!(end.code == Some(0), "{}: {:?} {}", relay.name(), end.code, end.stderr);
        listeners.wait("everybody to hear on", LIMIT, |record| {
            record.last_heard().is_some_and(|at| at > ended + MARGIN)
        })?;
        Ok(Self { began, ended, records: listeners.records() })
    }

    /// The same time, seen by others, who have heard on until [`Self::end_of_margin`].
    #[must_use]
    pub fn seen_by(&self, listeners: &Listeners) -> Self {
        Self { began: self.began, ended: self.ended, records: listeners.records() }
    }

    /// Until when frames are held against the drain.
    #[must_use]
    pub fn end_of_margin(&self) -> Instant {
        self.ended + MARGIN
    }

    /// Time until the relay ended.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.ended - self.began
    }

    /// Records of all listeners.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// How long after the signal each listener was let in at another relay, the first one first.
    ///
    /// # Errors
    /// If a listener has not moved once, and straight on to the relay of that name.
    pub fn moves(&self, to: &str) -> Result<Vec<Duration>> {
        let moves = self.records.iter().map(|record| {
            let [_, (at, relay)] = &record.joined[..] else {
                anyhow::bail!("a listener has joined {} times", record.joined.len());
            };
            ensure!(relay == to, "a listener has moved to {relay}");
            ensure!(record.lost == 0, "a listener was without a connection");
            Ok(*at - self.began)
        });
        let mut moves = moves.collect::<Result<Vec<_>>>()?;
        moves.sort_unstable();
        Ok(moves)
    }

    /// Checks that each listener heard every frame of every track around the drain, and each once.
    ///
    /// # Errors
    /// If a listener did not, or does not hear a track before the drain or after it.
    pub fn ensure_whole(&self) -> Result<()> {
        for track in self.tracks() {
            let misses = self.misses(track)?;
            let (count, first) = (misses.len(), misses.first());
            ensure!(count == 0, "{count} listeners missed frames of {track:?}, such as {first:?}");
        }
        let twice: usize = self.records.iter().map(Record::twice).sum();
        ensure!(twice == 0, "{twice} frames were handed out twice");
        Ok(())
    }

    /// For each listener who missed frames of the track around the drain: who, and which frames.
    fn misses(&self, track: TrackId) -> Result<Vec<(usize, Vec<i64>)>> {
        let (from, to) = (self.began.checked_sub(MARGIN).context("early")?, self.ended + MARGIN);
        let mut misses = Vec::new();
        for (n, record) in self.records.iter().enumerate() {
            let before = record.heard_between(track, from, self.began);
            let after = record.heard_between(track, self.ended, to);
            ensure!(!before.is_empty(), "listener {n} does not hear {track:?} before the drain");
            ensure!(!after.is_empty(), "listener {n} does not hear {track:?} after the drain");
            let missing = record.missing_between(track, from, to);
            if !missing.is_empty() {
                misses.push((n, missing));
            }
        }
        Ok(misses)
    }

    /// The tracks that the listeners have heard.
    #[must_use]
    pub fn tracks(&self) -> Vec<TrackId> {
        self.records.first().map(|record| record.tracks().collect()).unwrap_or_default()
    }

    /// Longest gap in a track around the drain, over all listeners.
    #[must_use]
    pub fn longest_pause(&self, track: TrackId) -> Duration {
        let (from, to) = (self.began, self.ended + MARGIN);
        let pauses = self.records.iter().map(|record| record.longest_pause(track, from, to));
        pauses.max().unwrap_or_default()
    }

    /// Prints what it has come to.
    pub fn report(&self, what: &str) {
        let sum = |of: fn(&Record) -> u64| self.records.iter().map(of).sum::<u64>();
        println!(
            "{what} drained under {} listeners in {} ms; {} duplicates were dropped, {} frames for \
             want of room",
            self.records.len(),
            self.took().as_millis(),
            sum(|record| record.duplicates),
            sum(|record| record.dropped),
        );
        for track in self.tracks() {
            let frames = self
                .records
                .iter()
                .map(|record| record.heard_between(track, self.began, self.ended + MARGIN).len());
            println!(
                "track {}: at least {} frames heard by each meanwhile, the longest pause {} ms",
                track.0,
                frames.min().unwrap_or(0),
                self.longest_pause(track).as_millis(),
            );
        }
    }
}

//! Load of a relay at the moment: rates, out of its shards' counters. Pure; the publisher of the counters
//! feeds it, and hands the result to the hub.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::quality::ppm;

use super::{DropCause, ShardCounters, Side};

/// Shortest time between two rates: over less, single frames would make it jump.
const PERIOD: Duration = Duration::from_millis(900);

/// Totals of all shards since they started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    frames_in: u64,
    frames_out: u64,
    drops: [u64; DropCause::COUNT],
    /// From other relays.
    missing: u64,
    /// Of the busiest shard, at the moment.
    busy_ppm: u64,
}

/// Rates over the last second or so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    /// The share of time that the busiest shard is at work, in millionths.
    pub busy_ppm: u32,
    /// Frames received a second.
    pub frames_in: u32,
    /// Frames passed on a second, once for each connection that they go to.
    pub frames_out: u32,
    /// Frames not passed on a second, by cause; causes without any are left out.
    pub drops: BTreeMap<&'static str, u32>,
    /// Frames of other relays that were missing when the next one came, of all that should have come, in
    /// millionths.
    pub missing_ppm: u32,
}

/// Makes rates of totals.
#[derive(Debug)]
pub struct LoadMeter {
    at: Instant,
    last: Totals,
}

impl Totals {
    /// Adds a shard's counters.
    pub fn add(&mut self, shard: &ShardCounters) {
        self.frames_in += shard.frames_in;
        self.frames_out += shard.frames_forwarded;
        for (total, cause) in self.drops.iter_mut().zip(DropCause::ALL) {
            *total += shard.frames_dropped.of(cause);
        }
        self.missing +=
            shard.frames_missing.of(Side::Parent) + shard.frames_missing.of(Side::Child);
        self.busy_ppm = self.busy_ppm.max(shard.busy_ppm);
    }
}

impl LoadMeter {
    /// Nothing has been counted yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { at: now, last: Totals::default() }
    }

    /// The rates since the last time; `None` if that was just now.
    pub fn handle_totals(&mut self, now: Instant, totals: Totals) -> Option<Load> {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed < PERIOD {
            return None;
        }
        self.at = now;
        let last = std::mem::replace(&mut self.last, totals);
        let grown = |now: u64, then: u64| now.saturating_sub(then);
        let rate = |now: u64, then: u64| {
            (grown(now, then) as f64 / elapsed.as_secs_f64()).round().min(f64::from(u32::MAX))
                as u32
        };
        let totals = &self.last;
        let drops = DropCause::ALL.into_iter().zip(totals.drops.iter().zip(last.drops));
        let drops = drops.map(|(cause, (now, then))| (cause.as_str(), rate(*now, then)));
        let missing = grown(totals.missing, last.missing);
        let came = grown(totals.frames_in, last.frames_in);
        Some(Load {
            busy_ppm: u32::try_from(totals.busy_ppm).unwrap_or(u32::MAX),
            frames_in: rate(totals.frames_in, last.frames_in),
            frames_out: rate(totals.frames_out, last.frames_out),
            drops: drops.filter(|(_, rate)| *rate > 0).collect(),
            missing_ppm: ppm(missing, came + missing),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between() {
        let start = Instant::now();
        let mut meter = LoadMeter::new(start);
        let mut shard = ShardCounters { frames_in: 80, busy_ppm: 7, ..ShardCounters::default() };
        shard.frames_dropped.count(DropCause::Duplicate, 6);
        shard.frames_missing.count(Side::Parent, 15);
        shard.frames_missing.count(Side::Child, 5);
        shard.frames_missing.count(Side::Participant, 500);
        let totals = |shards: &[&ShardCounters]| {
            let mut totals = Totals::default();
            shards.iter().for_each(|shard| totals.add(shard));
            totals
        };
        let second = Duration::from_secs(1);
        let load = meter.handle_totals(start + 2 * second, totals(&[&shard, &shard])).unwrap();
        assert_eq!((load.frames_in, load.busy_ppm, load.missing_ppm), (80, 7, 200_000));
        assert_eq!(load.drops, BTreeMap::from([("duplicate", 6)]));
        let soon = start + 2 * second + second / 2;
        assert_eq!(meter.handle_totals(soon, totals(&[&shard, &shard])), None);
        let load = meter.handle_totals(start + 4 * second, totals(&[&shard, &shard])).unwrap();
        assert_eq!((load.frames_in, load.drops.len(), load.missing_ppm), (0, 0, 0));
    }
}

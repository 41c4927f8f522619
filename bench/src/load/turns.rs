//! Length of the turns of a relay's shards, read from its metrics: a turn takes what has come and sends what is due,
//! and the frames that come meanwhile wait for its end.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::relay_process::get;

/// Series of the histogram's buckets.
const SERIES: &str = "tribune_relay_turn_seconds_bucket{";

/// Cumulative buckets of all shards, by their upper bounds in seconds, ascending; the last one is all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Turns {
    buckets: Vec<(f64, u64)>,
}

/// Turns within a span.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct TurnMetrics {
    /// Turns of all shards.
    pub(crate) turns: u64,
    /// Bound, in milliseconds, that 99 of 100 turns kept to: that of a bucket; `None`: they are beyond the last.
    pub(crate) p99_within_ms: Option<f64>,
    /// Turns longer than 10 ms.
    pub(crate) over_10_ms: u64,
    /// Turns longer than a frame period, 20 ms.
    pub(crate) over_20_ms: u64,
}

impl Turns {
    /// Reads them from a relay.
    ///
    /// # Errors
    /// The relay does not answer, or not with this histogram.
    pub(crate) fn read(http: SocketAddr) -> Result<Self> {
        let turns = Self::parse(&get(http, "/metrics")?.body);
        ensure!(!turns.buckets.is_empty(), "the relay has no tribune_relay_turn_seconds");
        Ok(turns)
    }

    fn parse(body: &str) -> Self {
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for line in body.lines().filter_map(|line| line.strip_prefix(SERIES)) {
            let bound = line.split_once("le=\"").and_then(|(_, rest)| rest.split_once('"'));
            let count = line.rsplit_once(' ').and_then(|(_, count)| count.parse::<f64>().ok());
            let (Some((bound, _)), Some(count)) = (bound, count) else { continue };
            let Ok(bound) = bound.replace("+Inf", "inf").parse::<f64>() else { continue };
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, sum)) => *sum += count as u64,
                None => buckets.push((bound, count as u64)),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Self { buckets }
    }

    /// Turns since `first`.
    pub(crate) fn since(&self, first: &Self) -> TurnMetrics {
        let buckets: Vec<(f64, u64)> = self
            .buckets
            .iter()
            .zip(&first.buckets)
            .map(|((bound, now), (_, before))| (*bound, now.saturating_sub(*before)))
            .collect();
        let turns = buckets.last().map_or(0, |(_, all)| *all);
        let within = |seconds: f64| {
            let bucket = buckets.iter().rev().find(|(bound, _)| *bound <= seconds);
            bucket.map_or(0, |(_, count)| *count)
        };
        let p99 = buckets.iter().find(|(_, count)| count * 100 >= turns * 99);
        TurnMetrics {
            turns,
            p99_within_ms: p99.map(|(bound, _)| bound * 1_000.0).filter(|ms| ms.is_finite()),
            over_10_ms: turns - within(0.010),
            over_20_ms: turns - within(0.020),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_of_all_shards_are_added_up_over_a_span() {
        let at = |fast: u64, slow: u64| {
            let all = fast + slow;
            let of = |shard: u8| {
                format!(
                    "tribune_relay_turn_seconds_bucket{{shard=\"{shard}\",le=\"0.001\"}} {fast}\n\
                     tribune_relay_turn_seconds_bucket{{shard=\"{shard}\",le=\"0.01\"}} {fast}\n\
                     tribune_relay_turn_seconds_bucket{{shard=\"{shard}\",le=\"0.02\"}} {all}\n\
                     tribune_relay_turn_seconds_bucket{{shard=\"{shard}\",le=\"+Inf\"}} {all}\n\
                     tribune_relay_turn_seconds_sum{{shard=\"{shard}\"}} 3\n"
                )
            };
            Turns::parse(&(of(0) + &of(1)))
        };
        let span = at(1_000, 4).since(&at(0, 0));
        let TurnMetrics { turns, p99_within_ms, over_10_ms, over_20_ms } = span;
        assert_eq!((turns, p99_within_ms, over_10_ms, over_20_ms), (2_008, Some(1.0), 8, 0));
        assert_eq!(at(1_000, 104).since(&at(1_000, 4)).p99_within_ms, Some(20.0));
        assert_eq!(Turns::parse("nothing").buckets, []);
    }
}

//! Metrics that are judged, and costs that trees are planned with, from the measurements of a suite.
//! Arithmetic only.

use super::verdict::{Judged, METRICS, Measured, MetricId, judge};
use crate::peers::contenders::{MOQ, MUMBLE, TRIBUNE, TRIBUNE_FAR};
use crate::peers::results::{Entry, PeersReport};
use crate::plan::costs::MeasuredCosts;
use crate::spread::Spread;

/// KB per KiB: memory is read in KiB and judged in KB.
const KB_PER_KIB: f64 = 1.024;

/// A measurement, or one sentence on why there is none.
pub(crate) type Outcome<T> = Result<T, String>;

/// Results of one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LoadRun {
    pub(crate) cpu_us_per_frame: f64,
    pub(crate) join_cpu_us: f64,
    /// Resident memory per listener after the joins, in KiB.
    pub(crate) joined_kib: f64,
    /// The same after the speech.
    pub(crate) after_kib: f64,
    pub(crate) p99_ms: f64,
}

/// Delay of one more relay on the way, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hop {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Measurements of a suite.
#[derive(Debug, Clone)]
pub(crate) struct Measurements {
    pub(crate) peers: Outcome<PeersReport>,
    /// Listeners of the loads with one shard and with two shards.
    pub(crate) listeners: u32,
    /// Runs with one shard, each followed by one with two.
    pub(crate) one_shard: Outcome<Vec<LoadRun>>,
    pub(crate) two_shards: Outcome<Vec<LoadRun>>,
    /// Joins per second ÷ bare handshakes, per round.
    pub(crate) handshakes: Outcome<Vec<f64>>,
    /// Longest gap that a join storm adds for connected listeners, p99 per run, in milliseconds.
    pub(crate) storm_ms: Outcome<Vec<f64>>,
    pub(crate) storm: String,
    /// Hop delay, per comparison of chains of different depth.
    pub(crate) hops: Outcome<Vec<Hop>>,
}

impl Measurements {
    /// All metrics, judged.
    pub(crate) fn judge(&self) -> Vec<Judged> {
        let spread_ms = self.median(|load| load.cpu_us_per_frame);
        let spread_ms = spread_ms.map(|cpu_us| cpu_us * f64::from(self.listeners) / 1e3);
        METRICS.iter().map(|metric| judge(metric, self.measured(metric.id), spread_ms)).collect()
    }

    /// Costs to plan trees with.
    pub(crate) fn costs(&self) -> MeasuredCosts {
        let hop = |of: fn(&Hop) -> f64| {
            let hops = self.hops.as_ref().ok()?;
            // If a relay adds less than runs vary, the difference may be negative.
            Spread::of(hops.iter().map(of)).map(|spread| spread.median.max(0.0))
        };
        MeasuredCosts {
            cpu_us_per_frame: self.median(|load| load.cpu_us_per_frame),
            cpu_us_per_further_frame: self.further_frame(),
            memory_kib_per_listener: self.median(|load| load.joined_kib.max(load.after_kib)),
            join_cpu_us: self.median(|load| load.join_cpu_us),
            hop_p50_ms: hop(|hop| hop.p50_ms),
            hop_p99_ms: hop(|hop| hop.p99_ms),
            // The suite has no listeners in browsers.
            web_cpu_factor: None,
        }
    }

    fn measured(&self, metric: MetricId) -> Measured {
        let listeners = self.listeners;
        match metric {
            MetricId::CeilingShare => self.share(TRIBUNE, 1),
            MetricId::CeilingShareFar => self.share(TRIBUNE_FAR, 1),
            MetricId::CeilingShareFour => self.share(TRIBUNE, 4),
            MetricId::MoqOverTribune => self.ratio(MOQ, 1),
            MetricId::MumbleOverTribune => self.ratio(MUMBLE, 1),
            MetricId::MumbleOverTribuneFour => self.ratio(MUMBLE, 4),
            MetricId::MemoryPerListener => of_runs(
                &self.one_shard,
                // Memory after speech is more than right after the joins; the larger one is judged.
                |load| load.joined_kib.max(load.after_kib) * KB_PER_KIB,
                &format!("{listeners} listeners, after the speech"),
            ),
            MetricId::AddedDelay => of_runs(
                &self.one_shard,
                |load| load.p99_ms,
                &format!("{listeners} listeners, from sent to heard"),
            ),
            MetricId::TwoShards => self.two_shards_ratio(),
            MetricId::Handshakes => of_runs(&self.handshakes, |ratio| *ratio, "same certificate"),
            MetricId::Storm => of_runs(&self.storm_ms, |ms| *ms, &self.storm),
        }
    }

    /// Ceiling's CPU per datagram ÷ a contender's CPU per frame.
    fn share(&self, contender: &str, speakers: u16) -> Measured {
        self.of_peers(contender, speakers, |entry| entry.ceiling_share)
    }

    fn ratio(&self, contender: &str, speakers: u16) -> Measured {
        self.of_peers(contender, speakers, |entry| entry.over_tribune)
    }

    fn of_peers(
        &self,
        contender: &str,
        speakers: u16,
        of: impl Fn(&Entry) -> Option<Spread>,
    ) -> Measured {
        let peers = match &self.peers {
            Ok(peers) => peers,
            Err(why) => return Measured::Not { why: why.clone() },
        };
        let Some(entry) = peers.largest(contender, speakers) else {
            return Measured::Not { why: peers.why_not(contender) };
        };
        match of(entry) {
            Some(spread) => {
                let flaws: Vec<&str> = entry.flaws.iter().map(|flaw| flaw.words()).collect();
                let mut how = format!("{} listeners, rounds in turn", entry.listeners);
                if !flaws.is_empty() {
                    how = format!("{how}; {}", flaws.join(", "));
                }
                Measured::Value { spread, how }
            }
            None => {
                let why = "what it is compared with was not measured in the same round";
                Measured::Not { why: why.to_owned() }
            }
        }
    }

    fn two_shards_ratio(&self) -> Measured {
        let (one, two) = match (&self.one_shard, &self.two_shards) {
            (Ok(one), Ok(two)) => (one, two),
            (Err(why), _) | (_, Err(why)) => return Measured::Not { why: why.clone() },
        };
        let pairs = one.iter().zip(two);
        let ratios = pairs.map(|(one, two)| two.cpu_us_per_frame / one.cpu_us_per_frame).collect();
        of_runs(&Ok(ratios), |ratio| *ratio, &format!("{} listeners, in turn", self.listeners))
    }

    /// CPU per further frame in a datagram, from windows with one speaker and with four.
    fn further_frame(&self) -> Option<f64> {
        let peers = self.peers.as_ref().ok()?;
        let four = peers.largest(TRIBUNE, 4)?;
        let same = |entry: &&Entry| {
            entry.contender == TRIBUNE && entry.speakers == 1 && entry.listeners == four.listeners
        };
        let one = peers.entries.iter().find(same)?.cpu_us_per_frame?.median;
        Some(((four.cpu_us_per_frame?.median * 4.0 - one) / 3.0).max(0.0))
    }

    fn median(&self, of: fn(&LoadRun) -> f64) -> Option<f64> {
        Spread::of(self.one_shard.as_ref().ok()?.iter().map(of)).map(|spread| spread.median)
    }
}

fn of_runs<T>(runs: &Outcome<Vec<T>>, of: impl Fn(&T) -> f64, how: &str) -> Measured {
    let runs = match runs {
        Ok(runs) => runs,
        Err(why) => return Measured::Not { why: why.clone() },
    };
    match Spread::of(runs.iter().map(of)) {
        Some(spread) => Measured::Value { spread, how: format!("{how}, {} run(s)", runs.len()) },
        None => Measured::Not { why: "no run was made".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::verdict::Verdict;

    fn load(cpu_us_per_frame: f64) -> LoadRun {
        LoadRun {
            cpu_us_per_frame,
            join_cpu_us: 400.0,
            joined_kib: 19.0,
            after_kib: 25.0,
            p99_ms: 10.0,
        }
    }

    fn measurements() -> Measurements {
        let why = "nobody asked".to_owned();
        Measurements {
            peers: Err(why.clone()),
            listeners: 1_000,
            one_shard: Ok(vec![load(8.0), load(10.0), load(9.0)]),
            two_shards: Ok(vec![load(8.8), load(10.0), load(9.0)]),
            handshakes: Err(why),
            storm_ms: Ok(vec![30.0]),
            storm: "500 in 1 s".to_owned(),
            hops: Ok(vec![Hop { p50_ms: -0.1, p99_ms: 1.5 }]),
        }
    }

    fn measured(measurements: &Measurements, id: MetricId) -> Option<f64> {
        match measurements.measured(id) {
            Measured::Value { spread, .. } => Some(spread.median),
            Measured::Not { .. } => None,
        }
    }

    #[test]
    fn loads_give_memory_delay_and_the_ratio_of_shards() {
        let measurements = measurements();
        let memory = measured(&measurements, MetricId::MemoryPerListener).unwrap();
        assert!((memory - 25.6).abs() < 1e-9, "KB, not KiB: {memory}");
        assert_eq!(measured(&measurements, MetricId::AddedDelay), Some(10.0));
        // 1.1, 1.0, 1.0: ratios within pairs, not of medians.
        assert_eq!(measured(&measurements, MetricId::TwoShards), Some(1.0));
        assert_eq!(measured(&measurements, MetricId::Handshakes), None);
    }

    #[test]
    fn all_figures_are_judged_measured_or_not() {
        let judged = measurements().judge();
        assert_eq!(judged.len(), 11);
        let verdict = |id| &judged.iter().find(|row| row.metric == id).unwrap().verdict;
        // 9 µs × 1,000 + 1 ms.
        assert_eq!(verdict(MetricId::AddedDelay), &Verdict::ReachedAim);
        assert!(matches!(verdict(MetricId::Storm), Verdict::Short { .. }));
        assert!(matches!(verdict(MetricId::MoqOverTribune), Verdict::NotMeasured { .. }));
    }

    #[test]
    fn costs_are_medians_and_never_below_zero() {
        let costs = measurements().costs();
        assert_eq!(costs.cpu_us_per_frame, Some(9.0));
        assert_eq!((costs.hop_p50_ms, costs.hop_p99_ms), (Some(0.0), Some(1.5)));
        assert_eq!(costs.memory_kib_per_listener, Some(25.0));
        assert_eq!(costs.cpu_us_per_further_frame, None);
    }
}

//! Cells: the runs of one profile under one condition, over all seeds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::profile::Profile;
use super::trial::Outcome;

/// A figure over the seeds: mean, and the worst with its seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) mean: f64,
    pub(crate) worst: f64,
    pub(crate) worst_seed: u64,
}

/// Direction in which a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

impl Figure {
    /// Figure of values, each with its seed; `None` if there are none.
    pub(crate) fn of(better: Better, values: impl IntoIterator<Item = (u64, f64)>) -> Option<Self> {
        let mut values: Vec<(u64, f64)> = values.into_iter().collect();
        values.sort_by(|(_, a), (_, b)| match better {
            Better::More => a.total_cmp(b),
            Better::Less => b.total_cmp(a),
        });
        let &(worst_seed, worst) = values.first()?;
        let mean = values.iter().map(|(_, value)| value).sum::<f64>() / values.len() as f64;
        Some(Self { mean, worst, worst_seed })
    }
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) seed: u64,
    pub(crate) outcome: Outcome,
    pub(crate) pesq: Option<f64>,
}

/// Figures of a cell; the fields are the JSON, and `None` is what does not apply or could not be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) profile: String,
    pub(crate) hop: String,
    pub(crate) fault: String,
    pub(crate) rtt_ms: u32,
    pub(crate) speakers: u8,
    pub(crate) seeds: u64,
    /// Frames sent, over all seeds.
    pub(crate) frames_sent: u64,
    /// Frames played from their own bytes or a later packet's, of those sent.
    pub(crate) playable_percent: Option<Figure>,
    /// Frames recovered from a later packet, by FEC or DRED, of those sent.
    pub(crate) recovered_percent: Option<Figure>,
    /// Periods made up, of the frames sent.
    pub(crate) concealed_percent: Option<Figure>,
    pub(crate) longest_gap_ms: Option<Figure>,
    /// Against what was said.
    pub(crate) pesq: Option<Figure>,
    /// By how much that is less than the same without the fault.
    pub(crate) pesq_lost: Option<f64>,
    pub(crate) mouth_to_ear_p50_ms: Option<Figure>,
    pub(crate) mouth_to_ear_p99_ms: Option<Figure>,
    /// From being sent to reaching the listener.
    pub(crate) frame_age_ms: Option<Figure>,
    /// Ten seconds after a jitter, compared with before it.
    pub(crate) extra_delay_ms: Option<Figure>,
    /// Bytes of IP packets that the listener got for each Opus byte sent.
    pub(crate) ip_per_opus_byte: Option<Figure>,
    /// Frames that came to some hop after they had been missing there, of those sent.
    pub(crate) repaired_percent: Option<Figure>,
    /// CPU of a speaker's codec, for each 20 ms.
    pub(crate) speaker_cpu_us: Option<Figure>,
    /// CPU of the listener's player, for each 20 ms.
    pub(crate) listener_cpu_us: Option<Figure>,
    pub(crate) reconnects: u32,
}

impl Cell {
    pub(crate) fn new(profile: Profile, condition: Condition, runs: &[Finished]) -> Self {
        let figure = |better, value: &dyn Fn(&Finished) -> Option<f64>| {
            Figure::of(better, runs.iter().filter_map(|run| Some((run.seed, value(run)?))))
        };
        let more = |value: &dyn Fn(&Finished) -> Option<f64>| figure(Better::More, value);
        let fewer = |value: &dyn Fn(&Finished) -> Option<f64>| figure(Better::Less, value);
        let of_sent =
            |run: &Finished, count: f64| Some(100.0 * count / f64::from(run.outcome.sent));
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Self {
            name: condition.name_in(profile),
            profile: profile.name().to_owned(),
            hop: condition.place(),
            fault: condition.fault.name(),
            rtt_ms: condition.rtt_ms,
            speakers: condition.speakers,
            seeds: runs.len() as u64,
            frames_sent: runs.iter().map(|run| u64::from(run.outcome.sent)).sum(),
            playable_percent: more(&|run| of_sent(run, run.outcome.playable.into())),
            recovered_percent: fewer(&|run| of_sent(run, run.outcome.recovered.into())),
            concealed_percent: fewer(&|run| of_sent(run, run.outcome.made_up.into())),
            longest_gap_ms: fewer(&|run| Some(ms(run.outcome.longest_gap))),
            pesq: more(&|run| run.pesq),
            pesq_lost: None,
            mouth_to_ear_p50_ms: fewer(&|run| Some(run.outcome.mouth_to_ear_ms?.0)),
            mouth_to_ear_p99_ms: fewer(&|run| Some(run.outcome.mouth_to_ear_ms?.1)),
            frame_age_ms: fewer(&|run| run.outcome.frame_age_ms),
            extra_delay_ms: fewer(&|run| run.outcome.extra_delay_ms),
            ip_per_opus_byte: fewer(&|run| {
                Some(run.outcome.ip_bytes as f64 / run.outcome.opus_bytes as f64)
            }),
            repaired_percent: fewer(&|run| of_sent(run, run.outcome.repaired as f64)),
            speaker_cpu_us: fewer(&|run| Some(run.outcome.speaker_cpu.as_secs_f64() * 1e6)),
            listener_cpu_us: fewer(&|run| Some(run.outcome.listener_cpu.as_secs_f64() * 1e6)),
            reconnects: runs.iter().map(|run| run.outcome.reconnects).sum(),
        }
    }

    /// Compares the sound with that of the cell without the fault.
    pub(crate) fn compare_with(&mut self, clean: &Self) {
        let pesq = |cell: &Self| cell.pesq.map(|pesq| pesq.mean);
        self.pesq_lost = pesq(clean).zip(pesq(self)).map(|(clean, own)| clean - own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_named_with_its_seed() {
        let values = [(1, 99.0), (2, 97.0), (3, 98.0)];
        let more = Figure::of(Better::More, values).unwrap();
        assert_eq!((more.mean, more.worst, more.worst_seed), (98.0, 97.0, 2));
        let less = Figure::of(Better::Less, values).unwrap();
        assert_eq!((less.worst, less.worst_seed), (99.0, 1));
        assert_eq!(Figure::of(Better::More, []), None);
    }
}

//! Bounds that the profiles must reach, and the verdicts.

use serde::Serialize;

use super::cell::{Better, Cell, Figure};
use super::profile::Profile;
use crate::text_table::TextTable;

/// A figure that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    /// Mean share of frames played.
    Playable,
    /// Frames that were not played, in the worst run.
    Missing,
    /// The longest gap of any seed.
    Gap,
    /// PESQ in the mean.
    Pesq,
    /// PESQ without the fault, less that with it.
    PesqLost,
    Age,
    Concealed,
    ExtraDelay,
    IpPerOpus,
}

/// A bound: which cells, which figure, which value.
struct Bound {
    profile: Profile,
    fault: &'static str,
    /// `None`: each.
    hop: Option<&'static str>,
    /// `None`: each.
    rtt_ms: Option<u32>,
    judged: Judged,
    must: f64,
}

const SINGLE_HOPS: [&str; 3] = ["first hop", "last hop", "trunk"];
const THREE: &str = "three hops";
const TRACKS: &str = "trunk of 8 tracks";
const CLEAN: &str = "no loss";
const RANDOM: [&str; 3] = ["10 % random", "20 % random", "30 % random"];
const BURSTS: &str = "10 % in bursts of 3";
const OUTAGES: [&str; 2] = ["outages of 300 ms", "outages of 1000 ms"];
const JITTER: &str = "jitter of 100 ms that ends";

/// A bound with its verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) figure: String,
    pub(crate) cell: String,
    /// `None`: not measured.
    pub(crate) measured: Option<f64>,
    pub(crate) must: f64,
    pub(crate) is_reached: Option<bool>,
    #[serde(skip)]
    digits: usize,
    #[serde(skip)]
    better: &'static str,
}

impl Judged {
    const fn better(self) -> Better {
        match self {
            Self::Playable | Self::Pesq => Better::More,
            Self::Missing
            | Self::Gap
            | Self::PesqLost
            | Self::Age
            | Self::Concealed
            | Self::ExtraDelay
            | Self::IpPerOpus => Better::Less,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Playable => "frames playable, %",
            Self::Missing => "frames missing",
            Self::Gap => "longest gap, ms",
            Self::Pesq => "PESQ",
            Self::PesqLost => "PESQ lost",
            Self::Age => "frame age, ms",
            Self::Concealed => "concealed, %",
            Self::ExtraDelay => "extra delay 10 s after, ms",
            Self::IpPerOpus => "IP bytes ÷ Opus bytes",
        }
    }

    const fn digits(self) -> usize {
        match self {
            Self::Playable | Self::Pesq | Self::PesqLost | Self::Concealed | Self::IpPerOpus => 2,
            Self::Missing | Self::Gap | Self::Age | Self::ExtraDelay => 0,
        }
    }

    fn of(self, cell: &Cell) -> Option<f64> {
        let mean = |figure: Option<Figure>| figure.map(|figure| figure.mean);
        match self {
            Self::Playable => mean(cell.playable_percent),
            Self::Missing => cell.playable_percent.map(|playable| {
                let sent = cell.frames_sent as f64 / cell.seeds as f64;
                (sent * (100.0 - playable.worst) / 100.0).round()
            }),
            Self::Gap => cell.longest_gap_ms.map(|figure| figure.worst),
            Self::Pesq => mean(cell.pesq),
            Self::PesqLost => cell.pesq_lost,
            Self::Age => mean(cell.frame_age_ms),
            Self::Concealed => mean(cell.concealed_percent),
            Self::ExtraDelay => mean(cell.extra_delay_ms),
            Self::IpPerOpus => mean(cell.ip_per_opus_byte),
        }
    }
}

fn bounds() -> Vec<Bound> {
    let of = |profile, fault, hop: Option<&'static str>, rtt_ms, judged, must| Bound {
        profile,
        fault,
        hop,
        rtt_ms,
        judged,
        must,
    };
    let bound =
        |fault, hop, rtt_ms, judged, must| of(Profile::Live, fault, hop, rtt_ms, judged, must);
    let mut bounds = Vec::new();
    for (rtt_ms, least) in [(10, [99.9, 99.5, 98.0]), (60, [99.5, 98.5, 96.0])] {
        for (fault, must) in RANDOM.into_iter().zip(least) {
            for hop in SINGLE_HOPS {
                bounds.push(bound(fault, Some(hop), Some(rtt_ms), Judged::Playable, must));
            }
        }
    }
    bounds.extend([
        bound(RANDOM[0], Some(THREE), None, Judged::Playable, 99.7),
        bound(BURSTS, Some(THREE), None, Judged::Playable, 98.0),
        bound(BURSTS, None, Some(60), Judged::Gap, 100.0),
        bound(RANDOM[0], Some(TRACKS), Some(60), Judged::Age, 60.0),
        bound(RANDOM[0], Some(TRACKS), Some(60), Judged::Concealed, 2.0),
        bound(RANDOM[0], Some(THREE), None, Judged::PesqLost, 0.3),
        bound(CLEAN, Some("last hop"), Some(10), Judged::Pesq, 4.05),
        bound(JITTER, None, None, Judged::ExtraDelay, 10.0),
        bound(CLEAN, Some("last hop"), Some(10), Judged::IpPerOpus, 2.06),
        of(Profile::Audience, RANDOM[0], Some(THREE), None, Judged::Playable, 100.0),
        of(Profile::Audience, BURSTS, Some(THREE), None, Judged::Playable, 99.9),
        of(Profile::Audience, CLEAN, Some("last hop"), Some(10), Judged::IpPerOpus, 1.5),
    ]);
    bounds.extend(OUTAGES.map(|outage| {
        of(Profile::AudienceLate, outage, Some("last hop"), None, Judged::Missing, 0.0)
    }));
    bounds
}

impl Bound {
    fn is_of(&self, cell: &Cell) -> bool {
        cell.profile == self.profile.name()
            && cell.fault == self.fault
            && self.hop.is_none_or(|hop| cell.hop == hop)
            && self.rtt_ms.is_none_or(|rtt_ms| cell.rtt_ms == rtt_ms)
    }

    fn judge(&self, cell: &Cell) -> Verdict {
        let measured = self.judged.of(cell);
        let is_reached = measured.map(|measured| match self.judged.better() {
            Better::More => measured >= self.must,
            Better::Less => measured <= self.must,
        });
        let better = match self.judged.better() {
            Better::More => "≥",
            Better::Less => "≤",
        };
        Verdict {
            figure: self.judged.name().to_owned(),
            cell: cell.name.clone(),
            measured,
            must: self.must,
            is_reached,
            digits: self.judged.digits(),
            better,
        }
    }
}

/// Judges all cells that there is a bound for.
pub(crate) fn judge(cells: &[Cell]) -> Vec<Verdict> {
    let of_bound = |bound: &Bound| -> Vec<Verdict> {
        cells.iter().filter(|cell| bound.is_of(cell)).map(|cell| bound.judge(cell)).collect()
    };
    bounds().iter().flat_map(of_bound).collect()
}

/// Table of the verdicts.
pub(crate) fn table(verdicts: &[Verdict]) -> TextTable {
    let mut table = TextTable::new(&["what", "where", "measured", "must reach", "verdict"]);
    for verdict in verdicts {
        let digits = verdict.digits;
        let measured =
            verdict.measured.map_or("–".to_owned(), |value| format!("{value:.digits$}"));
        let verdict_in_words = match verdict.is_reached {
            Some(true) => "reached",
            Some(false) => "SHORT",
            None => "not measured",
        };
        let better = verdict.better;
        table.row([
            verdict.figure.clone(),
            verdict.cell.clone(),
            measured,
            format!("{better} {:.digits$}", verdict.must),
            verdict_in_words.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::condition::Condition;
    use super::*;

    fn cells() -> Vec<Cell> {
        let profiles = <Profile as clap::ValueEnum>::value_variants().iter();
        let of = |&profile| {
            let all = Condition::matrix(profile).into_iter();
            all.map(move |condition| Cell::new(profile, condition, &[]))
        };
        profiles.flat_map(of).collect()
    }

    #[test]
    fn every_bound_has_its_cells_and_judges_them() {
        let cells = cells();
        for bound in bounds() {
            assert!(cells.iter().any(|cell| bound.is_of(cell)), "{}", bound.fault);
        }
        assert!(judge(&cells).iter().all(|verdict| verdict.is_reached.is_none()));
    }

    #[test]
    fn a_figure_on_its_bound_reaches_it() {
        let mut cells = cells();
        let at = |value| Some(Figure { mean: value, worst: value, worst_seed: 1 });
        let trunk = cells.iter_mut().find(|cell| cell.name == "live: trunk, 10 % random, RTT 60");
        let trunk = trunk.unwrap();
        trunk.playable_percent = at(99.5);
        let reached = |cells: &[Cell]| {
            let verdicts = judge(cells);
            verdicts.iter().find_map(|verdict| verdict.is_reached)
        };
        let trunk = trunk.clone();
        assert_eq!(reached(std::slice::from_ref(&trunk)), Some(true));
        let short = Cell { playable_percent: at(99.4), ..trunk };
        assert_eq!(reached(&[short]), Some(false));
    }
}

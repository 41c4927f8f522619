//! Bounds that a relay must reach, aims beyond them, and the verdicts. All bounds are in [`METRICS`].

use serde::Serialize;

use crate::spread::Spread;
use crate::text_table::TextTable;

/// Metric that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetricId {
    CeilingShare,
    CeilingShareFar,
    CeilingShareFour,
    MoqOverTribune,
    MumbleOverTribune,
    MumbleOverTribuneFour,
    MemoryPerListener,
    AddedDelay,
    TwoShards,
    Handshakes,
    Storm,
}

/// Metric with its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    pub(crate) id: MetricId,
    pub(crate) name: &'static str,
    unit: &'static str,
    /// Decimals.
    digits: usize,
    better: Better,
    must: Bound,
    aim: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    More,
    Less,
}

/// Bound of a metric: a number, or derived from another measurement.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Fixed(f64),
    /// Milliseconds above the time in which a relay serves all listeners once.
    AboveSpread(f64),
}

/// All metrics, in the order of the table.
pub(crate) const METRICS: [Metric; 11] = [
    Metric {
        id: MetricId::CeilingShare,
        name: "frames per CPU-second ÷ ceiling, 1 speaker, RTT 0",
        unit: "",
        digits: 2,
        better: Better::More,
        must: Bound::Fixed(0.45),
        aim: Bound::Fixed(0.60),
    },
    Metric {
        id: MetricId::CeilingShareFar,
        name: "the same at an RTT of 50 ms",
        unit: "",
        digits: 2,
        better: Better::More,
        must: Bound::Fixed(0.50),
        aim: Bound::Fixed(0.65),
    },
    Metric {
        id: MetricId::CeilingShareFour,
        name: "the same with 4 speakers, bundled",
        unit: "",
        digits: 2,
        better: Better::More,
        must: Bound::Fixed(1.6),
        aim: Bound::Fixed(2.0),
    },
    Metric {
        id: MetricId::MoqOverTribune,
        name: "CPU per frame: moq-relay, 1 frame a group ÷ Tribune",
        unit: "",
        digits: 2,
        better: Better::More,
        must: Bound::Fixed(9.0),
        aim: Bound::Fixed(14.0),
    },
    Metric {
        id: MetricId::MumbleOverTribune,
        name: "mumble-server, listeners that ping ÷ Tribune, 1 speaker",
        unit: "",
        digits: 2,
        better: Better::More,
        must: Bound::Fixed(1.0),
        aim: Bound::Fixed(1.5),
    },
    Metric {
        id: MetricId::MumbleOverTribuneFour,
        name: "the same with 4 speakers",
        unit: "",
        digits: 2,
        better: Better::More,
        must: Bound::Fixed(1.8),
        aim: Bound::Fixed(2.5),
    },
    Metric {
        id: MetricId::MemoryPerListener,
        name: "memory added per listener",
        unit: "KB",
        digits: 1,
        better: Better::Less,
        must: Bound::Fixed(28.0),
        aim: Bound::Fixed(20.0),
    },
    Metric {
        id: MetricId::AddedDelay,
        name: "frame delay added by one relay, p99",
        unit: "ms",
        digits: 1,
        better: Better::Less,
        must: Bound::AboveSpread(3.0),
        aim: Bound::AboveSpread(1.0),
    },
    Metric {
        id: MetricId::TwoShards,
        name: "CPU per frame: two shards ÷ one",
        unit: "",
        digits: 2,
        better: Better::Less,
        must: Bound::Fixed(1.15),
        aim: Bound::Fixed(1.03),
    },
    Metric {
        id: MetricId::Handshakes,
        name: "joins per second ÷ bare TLS handshakes",
        unit: "",
        digits: 2,
        better: Better::More,
        must: Bound::Fixed(0.4),
        aim: Bound::Fixed(0.6),
    },
    Metric {
        id: MetricId::Storm,
        name: "join storm: added gap p99 for those who listen",
        unit: "ms",
        digits: 1,
        better: Better::Less,
        must: Bound::Fixed(20.0),
        aim: Bound::Fixed(5.0),
    },
];

/// Measurement of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Measured {
    /// Spread over several windows or runs, and how they were measured, in a few words.
    Value { spread: Spread, how: String },
    /// One sentence on why there is none.
    Not { why: String },
}

/// Metric with its verdict. The fields are the JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Judged {
    #[serde(rename = "figure")]
    pub(crate) metric: MetricId,
    name: &'static str,
    unit: &'static str,
    measured: Option<Spread>,
    /// How it was measured, in a few words.
    how: String,
    must: Option<f64>,
    aim: Option<f64>,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    #[serde(skip)]
    digits: usize,
    #[serde(skip)]
    better: Better,
}

/// Verdict on a metric, by its median.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The aim is reached.
    ReachedAim,
    /// The bound is reached.
    Reached,
    /// The bound is missed.
    Short {
        /// Distance to the bound, in percent of the bound.
        short_by_percent: f64,
    },
    /// There is no measurement.
    NotMeasured {
        /// One sentence on why there is none.
        why: String,
    },
}

/// Judges a metric. `spread_ms` is the time in which a relay serves all listeners once, if known.
pub(crate) fn judge(metric: &Metric, measured: Measured, spread_ms: Option<f64>) -> Judged {
    let bound = |bound| match bound {
        Bound::Fixed(value) => Some(value),
        Bound::AboveSpread(ms) => spread_ms.map(|spread| spread + ms),
    };
    let (must, aim) = (bound(metric.must), bound(metric.aim));
    let (spread, how, verdict) = match (measured, must.zip(aim)) {
        (Measured::Value { spread, how }, Some((must, aim))) => {
            let verdict = against(metric.better, spread.median, must, aim);
            (Some(spread), how, verdict)
        }
        (Measured::Value { spread, how }, None) => {
            let why = "CPU per frame, which the bound follows from, was not measured".to_owned();
            (Some(spread), how, Verdict::NotMeasured { why })
        }
        (Measured::Not { why }, _) => (None, String::new(), Verdict::NotMeasured { why }),
    };
    let Metric { id, name, unit, digits, better, .. } = *metric;
    Judged { metric: id, name, unit, measured: spread, how, must, aim, verdict, digits, better }
}

fn against(better: Better, value: f64, must: f64, aim: f64) -> Verdict {
    let reaches = |bound: f64| match better {
        Better::More => value >= bound,
        Better::Less => value <= bound,
    };
    if reaches(aim) {
        Verdict::ReachedAim
    } else if reaches(must) {
        Verdict::Reached
    } else {
        Verdict::Short { short_by_percent: (value - must).abs() / must * 100.0 }
    }
}

impl Verdict {
    fn words(&self) -> String {
        match self {
            Self::ReachedAim => "reached, and the aim".to_owned(),
            Self::Reached => "reached".to_owned(),
            Self::Short { short_by_percent } => format!("SHORT by {short_by_percent:.0} %"),
            Self::NotMeasured { why } => format!("not measured: {why}"),
        }
    }
}

/// Table of all metrics.
pub(crate) fn table(judged: &[Judged]) -> TextTable {
    let mut table = TextTable::new(&[
        "figure",
        "measured",
        "must reach",
        "aim",
        "verdict",
        "how it was measured",
    ]);
    for row in judged {
        let sign = if row.better == Better::More { "≥" } else { "≤" };
        let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
        let bound = |bound: Option<f64>| {
            bound.map_or_else(
                || "–".to_owned(),
                |bound| format!("{sign} {bound:.digits$}{unit}", digits = row.digits),
            )
        };
        let measured = row.measured.map(|spread| format!("{}{unit}", spread.words(row.digits)));
        table.row([
            row.name.to_owned(),
            measured.unwrap_or_else(|| "–".to_owned()),
            bound(row.must),
            bound(row.aim),
            row.verdict.words(),
            row.how.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(id: MetricId) -> &'static Metric {
        METRICS.iter().find(|metric| metric.id == id).unwrap()
    }

    fn verdict(id: MetricId, value: f64, spread_ms: Option<f64>) -> Verdict {
        let spread = Spread { median: value, min: value, max: value };
        let measured = Measured::Value { spread, how: String::new() };
        judge(metric(id), measured, spread_ms).verdict
    }

    #[test]
    fn more_is_better_where_it_is() {
        let share = |value| verdict(MetricId::CeilingShare, value, None);
        assert_eq!(share(0.60), Verdict::ReachedAim);
        assert_eq!(share(0.59), Verdict::Reached);
        assert_eq!(share(0.45), Verdict::Reached);
        let Verdict::Short { short_by_percent } = share(0.36) else { panic!("0.36 is short") };
        assert!((short_by_percent - 20.0).abs() < 1e-9);
    }

    #[test]
    fn less_is_better_where_it_is() {
        let memory = |value| verdict(MetricId::MemoryPerListener, value, None);
        assert_eq!(memory(20.0), Verdict::ReachedAim);
        assert_eq!(memory(28.0), Verdict::Reached);
        assert_eq!(memory(35.0), Verdict::Short { short_by_percent: 25.0 });
    }

    #[test]
    fn the_bound_of_delay_follows_from_the_cost_of_a_frame() {
        // 1,000 listeners at 8 µs.
        let delay = |value| verdict(MetricId::AddedDelay, value, Some(8.0));
        assert_eq!(delay(9.0), Verdict::ReachedAim);
        assert_eq!(delay(11.0), Verdict::Reached);
        assert!(matches!(delay(11.1), Verdict::Short { .. }));
        let unknown = verdict(MetricId::AddedDelay, 1.0, None);
        assert!(matches!(unknown, Verdict::NotMeasured { .. }));
    }

    #[test]
    fn what_was_not_measured_is_in_the_table_with_its_reason() {
        let why = "icecast is not a figure".to_owned();
        let judged = judge(metric(MetricId::Storm), Measured::Not { why }, None);
        let text = table(&[judged]).text();
        assert!(text.contains("not measured: icecast is not a figure"), "{text}");
        assert!(text.contains("≤ 20.0 ms"), "{text}");
    }

    #[test]
    fn every_aim_is_harder_than_what_must_be() {
        for metric in &METRICS {
            let (must, aim) = match (metric.must, metric.aim) {
                (Bound::Fixed(must), Bound::Fixed(aim)) => (must, aim),
                (Bound::AboveSpread(must), Bound::AboveSpread(aim)) => (must, aim),
                (must, aim) => panic!("{must:?} and {aim:?} are of two kinds"),
            };
            assert!(if metric.better == Better::More { aim > must } else { aim < must });
        }
    }
}

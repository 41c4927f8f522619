//! Comparison with a baseline: the JSON lines of an earlier or another build, cell by cell.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::cell::{Cell, Figure};
use super::setup::Setup;
use crate::text_table::TextTable;

/// Lines of a baseline that are read.
const LINES_MAX: usize = 10_000;

/// The cells of a baseline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Baseline {
    bitrate_bps: u64,
    seeds: Vec<u64>,
    seconds: f64,
    voices: String,
    has_pesq: bool,
    cells: Vec<Cell>,
}

/// A cell now, less the same cell of the baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Difference {
    pub(crate) cell: String,
    pub(crate) playable_percent: Option<f64>,
    pub(crate) longest_gap_ms: Option<f64>,
    pub(crate) pesq: Option<f64>,
    pub(crate) mouth_to_ear_p50_ms: Option<f64>,
    pub(crate) mouth_to_ear_p99_ms: Option<f64>,
    pub(crate) frame_age_ms: Option<f64>,
    /// Now over then.
    pub(crate) ip_bytes_ratio: Option<f64>,
}

impl Baseline {
    /// Reads the JSON lines of a run.
    ///
    /// # Errors
    /// The file cannot be read, or is none.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no result of `sound`", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut baseline = Self {
            bitrate_bps: 0,
            seeds: Vec::new(),
            seconds: 0.0,
            voices: String::new(),
            has_pesq: false,
            cells: Vec::new(),
        };
        for line in text.lines().take(LINES_MAX) {
            let mut line: serde_json::Value = serde_json::from_str(line)?;
            match line["kind"].as_str() {
                Some("run") => {
                    baseline.bitrate_bps = line["bitrate_bps"].as_u64().unwrap_or(0);
                    baseline.seconds = line["speech_seconds"].as_f64().unwrap_or(0.0);
                    baseline.voices = line["voices"].as_str().unwrap_or_default().to_owned();
                    baseline.has_pesq = line["no_pesq"].is_null();
                    let seeds = line["seeds"].take();
                    baseline.seeds = serde_json::from_value(seeds).context("no seeds")?;
                }
                Some("cell") => baseline.cells.push(serde_json::from_value(line)?),
                Some(_) => {}
                None => bail!("a line has no kind"),
            }
        }
        if baseline.seeds.is_empty() || baseline.cells.is_empty() {
            bail!("it has no cells");
        }
        Ok(baseline)
    }

    /// Differences between this run and a baseline that cannot be put down to the builds, in sentences.
    pub(crate) fn caveats(&self, now: &Setup) -> Vec<String> {
        let mut caveats = Vec::new();
        if self.bitrate_bps != u64::from(now.bitrate_bps) {
            caveats.push(format!("the baseline speaks at {} b/s", self.bitrate_bps));
        }
        if self.seeds != now.seeds {
            caveats.push("the baseline has other seeds".to_owned());
        }
        if (self.seconds - now.speech_seconds).abs() > 0.01 {
            caveats.push(format!("the baseline speaks for {:.1} s", self.seconds));
        }
        if self.voices != now.voices {
            caveats.push(format!("the baseline's voices are those of {}", self.voices));
        }
        if self.has_pesq != now.no_pesq.is_none() {
            caveats.push("only one of both has PESQ".to_owned());
        }
        caveats
    }

    /// Whether it has a cell of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.cells.iter().any(|cell| cell.name == name)
    }

    /// Cells that are in both.
    pub(crate) fn differences(&self, cells: &[Cell]) -> Vec<Difference> {
        let pairs = cells.iter().filter_map(|now| {
            let then = self.cells.iter().find(|then| then.name == now.name)?;
            Some((now, then))
        });
        pairs.map(|(now, then)| Difference::between(now, then)).collect()
    }
}

impl Difference {
    fn between(now: &Cell, then: &Cell) -> Self {
        let mean = |figure: Option<Figure>| figure.map(|figure| figure.mean);
        let difference = |of: fn(&Cell) -> Option<Figure>| Some(mean(of(now))? - mean(of(then))?);
        let worst = |cell: &Cell| cell.longest_gap_ms.map(|figure| figure.worst);
        let bytes = mean(now.ip_per_opus_byte).zip(mean(then.ip_per_opus_byte));
        Self {
            cell: now.name.clone(),
            playable_percent: difference(|cell| cell.playable_percent),
            longest_gap_ms: worst(now).zip(worst(then)).map(|(now, then)| now - then),
            pesq: difference(|cell| cell.pesq),
            mouth_to_ear_p50_ms: difference(|cell| cell.mouth_to_ear_p50_ms),
            mouth_to_ear_p99_ms: difference(|cell| cell.mouth_to_ear_p99_ms),
            frame_age_ms: difference(|cell| cell.frame_age_ms),
            ip_bytes_ratio: bytes.map(|(now, then)| now / then),
        }
    }
}

/// Table of the differences.
pub(crate) fn table(differences: &[Difference]) -> TextTable {
    let mut table = TextTable::new(&[
        "now less the baseline",
        "playable",
        "longest gap",
        "PESQ",
        "mouth to ear p50 / p99",
        "frame age",
        "IP bytes ÷ baseline's",
    ]);
    let signed = |value: Option<f64>, digits: usize, unit: &str| {
        value.map_or("–".to_owned(), |value| format!("{value:+.digits$}{unit}"))
    };
    for row in differences {
        let (p50, p99) = (row.mouth_to_ear_p50_ms, row.mouth_to_ear_p99_ms);
        table.row([
            row.cell.clone(),
            signed(row.playable_percent, 2, " %"),
            signed(row.longest_gap_ms, 0, " ms"),
            signed(row.pesq, 2, ""),
            format!("{} / {} ms", signed(p50, 0, ""), signed(p99, 0, "")),
            signed(row.frame_age_ms, 1, " ms"),
            row.ip_bytes_ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::condition::Condition;
    use super::super::profile::Profile;
    use super::*;

    fn cell(playable: f64) -> Cell {
        let figure = Figure { mean: playable, worst: playable, worst_seed: 1 };
        let condition = Condition::quick(Profile::Live)[0];
        let cell = Cell::new(Profile::Live, condition, &[]);
        Cell { playable_percent: Some(figure), ip_per_opus_byte: Some(figure), ..cell }
    }

    fn lines(cell: &Cell) -> String {
        let mut line = serde_json::to_value(cell).unwrap();
        line["kind"] = "cell".into();
        let run = r#"{"kind":"run","bitrate_bps":24000,"seeds":[1,2],"speech_seconds":36.0,"voices":"v.flac","no_pesq":null}"#;
        format!("{run}\n{line}\n{{\"kind\":\"verdict\"}}\n")
    }

    #[test]
    fn a_run_is_compared_with_its_own_lines() {
        let baseline = Baseline::parse(&lines(&cell(50.0))).unwrap();
        let differences = baseline.differences(&[cell(75.0)]);
        assert_eq!(differences[0].playable_percent, Some(25.0));
        assert_eq!(differences[0].ip_bytes_ratio, Some(1.5));
        assert_eq!(differences[0].pesq, None);
        assert!(table(&differences).text().contains("+25.00 %"));
        let same = Setup {
            machine: String::new(),
            date: String::new(),
            commit: String::new(),
            command: String::new(),
            seeds: vec![1, 2],
            bitrate_bps: 24_000,
            voices: "v.flac".to_owned(),
            speech_seconds: 36.0,
            no_pesq: None,
            took_seconds: 1.0,
        };
        assert_eq!(baseline.caveats(&same), Vec::<String>::new());
        let other = Setup {
            seeds: vec![1],
            bitrate_bps: 32_000,
            voices: "w.flac".to_owned(),
            speech_seconds: 20.0,
            no_pesq: Some("it is not there".to_owned()),
            ..same
        };
        assert_eq!(baseline.caveats(&other).len(), 5);
    }

    #[test]
    fn a_file_that_is_no_result_is_refused() {
        assert!(Baseline::parse("{}").is_err());
        assert!(Baseline::parse("").is_err());
        assert!(Baseline::parse("nothing").is_err());
    }
}

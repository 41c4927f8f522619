//! Report of the whole matrix: tables for people, JSON lines for programs.

use std::fmt::{self, Display};

use serde::Serialize;

use super::against::{self, Difference};
use super::bounds::{self, Verdict};
use super::cell::{Cell, Figure};
use super::setup::Setup;
use crate::text_table::TextTable;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct SoundReport {
    pub(crate) setup: Setup,
    pub(crate) cells: Vec<Cell>,
    /// Differences to the baseline that are not the build.
    pub(crate) caveats: Vec<String>,
    pub(crate) differences: Vec<Difference>,
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a, T> {
    kind: &'a str,
    #[serde(flatten)]
    what: &'a T,
}

impl SoundReport {
    /// One JSON object a line: the run, its cells, the verdicts, and the differences if there are any.
    ///
    /// # Errors
    /// None that is known: numbers and texts can be written.
    pub(crate) fn lines(&self) -> serde_json::Result<String> {
        let mut lines = line("run", &self.setup)?;
        for cell in &self.cells {
            lines.push_str(&line("cell", cell)?);
        }
        for verdict in self.verdicts() {
            lines.push_str(&line("verdict", &verdict)?);
        }
        for difference in &self.differences {
            lines.push_str(&line("difference", difference)?);
        }
        Ok(lines)
    }

    fn verdicts(&self) -> Vec<Verdict> {
        bounds::judge(&self.cells)
    }

    fn head(&self) -> Vec<String> {
        let Setup { machine, date, commit, command, seeds, bitrate_bps, voices, .. } = &self.setup;
        let seconds = self.setup.speech_seconds;
        let mut head = vec![
            format!("Machine: {machine}"),
            format!("Date: {date}"),
            format!("Commit: {commit}"),
            format!("Command: `{command}`"),
            format!("Speech: {seconds:.1} s of {voices}, {bitrate_bps} b/s"),
            format!("Seeds: {}", words(seeds)),
        ];
        head.push(format!("Took: {:.0} s", self.setup.took_seconds));
        head.extend(self.setup.no_pesq.clone());
        head
    }

    /// Mean over the seeds, with the worst and its seed in brackets where it differs.
    fn cells_table(&self) -> TextTable {
        let mut table = TextTable::new(&[
            "profile",
            "hop",
            "fault",
            "RTT",
            "playable %",
            "longest gap ms",
            "PESQ",
            "PESQ lost",
            "mouth to ear p50 / p99 ms",
            "IP ÷ Opus",
            "from FEC or DRED %",
            "repaired %",
            "concealed %",
            "speaker / player, CPU µs",
        ]);
        for cell in &self.cells {
            let mean = |figure: Option<Figure>, digits: usize| {
                figure.map_or("–".to_owned(), |figure| format!("{:.digits$}", figure.mean))
            };
            table.row([
                cell.profile.clone(),
                cell.hop.clone(),
                cell.fault.clone(),
                cell.rtt_ms.to_string(),
                with_worst(cell.playable_percent, 2),
                with_worst(cell.longest_gap_ms, 0),
                with_worst(cell.pesq, 2),
                cell.pesq_lost.map_or("–".to_owned(), |lost| format!("{lost:.2}")),
                format!(
                    "{} / {}",
                    mean(cell.mouth_to_ear_p50_ms, 0),
                    mean(cell.mouth_to_ear_p99_ms, 0)
                ),
                mean(cell.ip_per_opus_byte, 2),
                mean(cell.recovered_percent, 2),
                mean(cell.repaired_percent, 1),
                mean(cell.concealed_percent, 2),
                format!("{} / {}", mean(cell.speaker_cpu_us, 0), mean(cell.listener_cpu_us, 0)),
            ]);
        }
        table
    }

    /// Figures that few cells have, and reconnects, in sentences.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for cell in &self.cells {
            if let (Some(age), true) = (cell.frame_age_ms, cell.speakers > 1) {
                remarks.push(format!(
                    "{}: frames are {:.1} ms old when they come",
                    cell.name, age.mean
                ));
            }
            if let Some(extra) = cell.extra_delay_ms {
                remarks.push(format!(
                    "{}: {:.0} ms more delay than before, 10 s after it has ended (worst {:.0})",
                    cell.name, extra.mean, extra.worst
                ));
            }
            if cell.reconnects > 0 {
                remarks.push(format!("{}: {} reconnects", cell.name, cell.reconnects));
            }
        }
        remarks
    }

    /// Page of Markdown with the same tables.
    pub(crate) fn markdown(&self) -> String {
        let list = |lines: &[String]| -> String {
            lines.iter().map(|line| format!("- {line}\n")).collect()
        };
        let mut text = format!("# Sound\n\n{}\n", list(&self.head()));
        text.push_str(&self.cells_table().markdown());
        text.push_str(&format!("\n{}\n", list(&self.remarks())));
        text.push_str(&bounds::table(&self.verdicts()).markdown());
        if !self.differences.is_empty() {
            text.push_str(&format!("\n{}\n", list(&self.caveats)));
            text.push_str(&against::table(&self.differences).markdown());
        }
        text
    }
}

impl Display for SoundReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.head() {
            writeln!(f, "{line}")?;
        }
        writeln!(
            f,
            "\nMean of the seeds; in brackets the worst, and its seed.\n\n{}",
            self.cells_table().text()
        )?;
        for remark in self.remarks() {
            writeln!(f, "{remark}")?;
        }
        write!(f, "\n{}", bounds::table(&self.verdicts()).text())?;
        if !self.differences.is_empty() {
            writeln!(f)?;
            for caveat in &self.caveats {
                writeln!(f, "Beware: {caveat}")?;
            }
            write!(f, "{}", against::table(&self.differences).text())?;
        }
        Ok(())
    }
}

fn line(kind: &str, what: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string(&Line { kind, what })? + "\n")
}

fn with_worst(figure: Option<Figure>, digits: usize) -> String {
    let Some(Figure { mean, worst, worst_seed }) = figure else { return "–".to_owned() };
    let (mean, worst) = (format!("{mean:.digits$}"), format!("{worst:.digits$}"));
    if mean == worst { mean } else { format!("{mean} ({worst}, seed {worst_seed})") }
}

fn words(seeds: &[u64]) -> String {
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_stands_beside_the_mean_where_it_differs() {
        let figure = |mean, worst| Some(Figure { mean, worst, worst_seed: 3 });
        assert_eq!(with_worst(figure(99.123, 98.0), 2), "99.12 (98.00, seed 3)");
        assert_eq!(with_worst(figure(100.0, 99.999), 1), "100.0");
        assert_eq!(with_worst(None, 1), "–");
    }
}

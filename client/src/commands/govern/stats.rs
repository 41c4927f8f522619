//! `tribune stats`: the statistics of a run of a room, on the terminal, as a page, as JSON or CSV.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::commands::Context;
use crate::commands::oneshot::{Place, Requests, unix_ms};
use crate::commands::signals::Signals;
use crate::outcome::{CommandError, Exit, sentence};
use crate::output::Output;
use crate::stats::{RunReport, html, record, text};

mod read;

use read::read;

/// Time between two looks with --watch.
const WATCH_PERIOD: Duration = Duration::from_secs(2);
/// Width of the chart where the terminal does not say its own, in cells.
const WIDTH_DEFAULT: usize = 80;
/// Goes to the start of the screen and clears it.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// See who came, how long they stayed, who spoke, and what moved people
///
/// For hosts and cohosts, while the room is on and after its end. Without --run the present run, or the
/// last one.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is counted exactly, except for numbers with ~: different people are estimated from a
sketch, and percentiles are read from classes of values. The error stands beside them.

With --json, one object: the numbers, course (one object for each bucket) and marks; estimates are
{value, error_ppm}, and two of three are within error_ppm millionths. With --watch, one each time.")]
pub(crate) struct Stats {
    #[command(flatten)]
    place: Place,
    /// The run: an opening of the room, from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    run: Option<u32>,
    /// List the runs of which statistics are kept
    #[arg(long, conflicts_with_all = ["run", "watch", "csv", "html"])]
    runs: bool,
    /// Look every 2s, until the run ends
    #[arg(long, conflicts_with_all = ["csv", "html"])]
    watch: bool,
    /// Print the course as CSV, a line for each bucket
    #[arg(long, conflicts_with = "html")]
    csv: bool,
    /// Write a page with pictures, to read and print; - for stdout
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Stats {
    pub(crate) async fn run(
        self,
        context: &Context,
        output: &mut Output,
    ) -> Result<(), CommandError> {
        let mut signals = Signals::new()?;
        let mut requests = Requests::open(context, &self.place.room, self.place.acting.role)?;
        let result = tokio::select! {
            result = self.work(&mut requests, output) => result,
            () = signals.stop() => Ok(()),
        };
        requests.close(result).await
    }

    async fn work(&self, requests: &mut Requests, output: &mut Output) -> Result<(), CommandError> {
        if self.watch {
            return self.watch(requests, output).await;
        }
        if self.runs {
            let report = read::numbers(requests, None).await?;
            output.json(&json!({ "room": self.place.room, "runs": record::runs(report.runs()) }));
            text::runs(report.runs()).iter().for_each(|line| output.result(line));
            return Ok(());
        }
        let report = read(requests, self.run, None).await?;
        match &self.html {
            _ if self.csv => print_csv(&report),
            Some(file) => write_page(file, &report, output),
            None => {
                output.json(&record::json(&report));
                let lines = text::page(&report, chart_width());
                lines.iter().for_each(|line| output.result(line));
                Ok(())
            }
        }
    }

    /// Prints the numbers again and again, until the run is over or the reader is gone.
    async fn watch(&self, requests: &mut Requests, output: &Output) -> Result<(), CommandError> {
        let mut ticks = tokio::time::interval(WATCH_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known: Option<RunReport> = None;
        loop {
            ticks.tick().await;
            // Another run that begins meanwhile is another matter: it has its own numbers.
            let run = self.run.or_else(|| known.as_ref().map(|report| report.numbers().run));
            let report = read(requests, run, known.take()).await?;
            let mut line = record::json(&report);
            line["unix_ms"] = unix_ms().into();
            if output.try_json(&line).is_err() || !show(&report, output) || report.is_over() {
                return Ok(());
            }
            known = Some(report);
        }
    }
}

/// Draws the page over the one before; `false` if nobody reads it any more.
fn show(report: &RunReport, output: &Output) -> bool {
    if output.is_json() {
        return true;
    }
    let mut stdout = std::io::stdout().lock();
    let clear = if stdout.is_terminal() { CLEAR } else { "" };
    let text = text::page(report, chart_width()).join("\n");
    writeln!(stdout, "{clear}{text}").and_then(|()| stdout.flush()).is_ok()
}

fn print_csv(report: &RunReport) -> Result<(), CommandError> {
    let text = record::csv(report).map_err(|error| cannot_write("CSV", &error))?;
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| cannot_write("stdout", &error))
}

fn write_page(file: &Path, report: &RunReport, output: &Output) -> Result<(), CommandError> {
    let page = html::page(report);
    if file == Path::new("-") {
        let written = std::io::stdout().write_all(page.as_bytes());
        return written.map_err(|error| cannot_write("stdout", &error));
    }
    let name = file.display().to_string();
    std::fs::write(file, page).map_err(|error| cannot_write(&name, &error))?;
    output.json(&json!({ "event": "written", "file": name, "run": report.numbers().run }));
    output.result(&format!("{name} holds the statistics of run {}", report.numbers().run));
    Ok(())
}

/// Width for a chart of block characters; `None` where there is no terminal, or one that has none.
fn chart_width() -> Option<usize> {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let has_blocks = locale.is_some_and(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    if !has_blocks || !std::io::stdout().is_terminal() {
        return None;
    }
    let width = crossterm::terminal::size().map_or(WIDTH_DEFAULT, |(columns, _)| columns.into());
    Some(width)
}

fn cannot_write(what: &str, error: &dyn std::error::Error) -> CommandError {
    let message = format!("cannot write {what}: {error}");
    CommandError::new(Exit::Other, "io", sentence(&message))
}

//! A run's statistics as lines for a terminal. Pure.

use tribune_protocol::log::span;
use tribune_protocol::statistics::RunListing;

use super::RunReport;
use super::chart;
use super::phrases::{mark, minute, time_of_day};
use super::sections::{ESTIMATES, Section, Table, heading, sections};
use crate::status::phrases::printable;
use crate::status::table::cells;

/// Cells of the names of facts.
const NAME_CELLS: usize = 34;
/// Widest cell of a table; longer text is cut, but for the last column of words.
const CELL_MAX: usize = 40;
/// Marks shown: the last ones.
const MARKS_SHOWN: usize = 20;

/// The whole, in lines. `chart_width`: the terminal's, where it shows block characters.
pub(crate) fn page(report: &RunReport, chart_width: Option<usize>) -> Vec<String> {
    let (title, time) = heading(report);
    let mut lines = vec![printable(&title), time];
    if !report.numbers().pinned.as_str().is_empty() {
        lines.push(format!("Pinned: {}", printable(report.numbers().pinned.as_str())));
    }
    let chart = chart_width.map(|width| chart::listeners(report, width)).unwrap_or_default();
    if !chart.is_empty() {
        lines.extend([String::new(), "LISTENERS".to_owned()]);
        lines.extend(chart);
    }
    for section in sections(report) {
        lines.push(String::new());
        lines.extend(section_lines(&section));
    }
    lines.extend(mark_lines(report));
    lines.extend([String::new(), ESTIMATES.to_owned()]);
    lines
}

/// A list of runs, in lines.
pub(crate) fn runs(runs: &[RunListing]) -> Vec<String> {
    let line = |run: &RunListing| {
        let from = minute(run.began_at_s);
        match run.ended_at_s {
            0 => format!("{:>5}  {from}  on now", run.run),
            ended_at_s => {
                let lasted = span(ended_at_s.saturating_sub(run.began_at_s));
                format!("{:>5}  {from}  {lasted}", run.run)
            }
        }
    };
    match runs {
        [] => vec!["no statistics are kept of this room".to_owned()],
        runs => runs.iter().map(line).collect(),
    }
}

/// One section, with its title.
pub(crate) fn section_lines(section: &Section) -> Vec<String> {
    let mut lines = vec![section.title.to_uppercase()];
    for (name, value) in &section.facts {
        lines.push(format!("  {name:NAME_CELLS$}{}", printable(value)));
    }
    lines.extend(section.table.iter().flat_map(table_lines));
    lines.extend(section.note.iter().map(|note| format!("  {note}")));
    lines
}

fn mark_lines(report: &RunReport) -> Vec<String> {
    let left_out = report.marks.len().saturating_sub(MARKS_SHOWN);
    let shown = report.marks.iter().skip(left_out);
    let mut lines: Vec<String> = shown
        .map(|event| {
            let at_s = report.numbers.began_at_s + u64::from(event.after_s);
            format!("  {}  {}", time_of_day(at_s), printable(&mark(event)))
        })
        .collect();
    if lines.is_empty() {
        return lines;
    }
    let title = match left_out {
        0 => "COURSE".to_owned(),
        left_out => format!("COURSE (the last {MARKS_SHOWN}; {left_out} before them)"),
    };
    lines.splice(0..0, [String::new(), title]);
    lines
}

fn table_lines(table: &Table) -> Vec<String> {
    let heads = table.columns.iter().map(|column| column.head().to_owned()).collect();
    let last = table.columns.len() - 1;
    let shown = |row: &Vec<String>| -> Vec<String> {
        let cell = |(place, text): (usize, &String)| {
            let text = printable(text);
            if place + 2 > last { text } else { cut(&text) }
        };
        row.iter().enumerate().map(cell).collect()
    };
    let rows: Vec<Vec<String>> =
        std::iter::once(heads).chain(table.rows.iter().map(shown)).collect();
    let wide = |place: usize| rows.iter().map(|row| cells(&row[place])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table.columns.len()).map(wide).collect();
    let line = |row: &Vec<String>| {
        let filled = row.iter().zip(&widths).zip(&table.columns).map(|((text, width), column)| {
            let blank = " ".repeat(width.saturating_sub(cells(text)));
            if column.is_numbers() { format!("{blank}{text}") } else { format!("{text}{blank}") }
        });
        format!("  {}", filled.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn cut(text: &str) -> String {
    if cells(text) <= CELL_MAX {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if cells(&kept) + 2 > CELL_MAX {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::super::tests::{BEGAN_S, beginning, evening};
    use super::*;

    #[test]
    fn the_page_has_title_chart_sections_and_course() {
        let text = page(&evening(), Some(80)).join("\n");
        let has = |what: &str| assert!(text.contains(what), "no {what:?} in\n{text}");
        has("Rivers <b>& bridges</b> (agora, run 3)\nFrom 2027-01-15 08:00 UTC");
        has("Pinned: https://example.org/?a=1&b=2");
        has("LISTENERS\n800 ▕");
        has("PEOPLE\n  most listeners at a time          640, at 2027-01-15 09:00 UTC");
        has("  speaker         talk   share  turns  longest turn\n");
        has("  Ada <script>     1 h  85.7 %     40         5 min\n");
        has("COURSE\n  08:00:05  Ada <script> came on the stage");
        has(ESTIMATES);
        assert!(!page(&evening(), None).join("\n").contains("LISTENERS"));
        assert!(!page(&beginning(), Some(80)).join("\n").contains("COURSE"));
    }

    #[test]
    fn runs_are_listed_with_their_length() {
        let lines = runs(evening().runs());
        assert_eq!(lines[0], "    3  2027-01-15 08:00 UTC  2 h");
        let on = RunListing { run: 12, began_at_s: BEGAN_S, ended_at_s: 0 };
        assert_eq!(runs(&[on]), ["   12  2027-01-15 08:00 UTC  on now"]);
        assert_eq!(runs(&[]).len(), 1);
    }

    #[test]
    fn the_last_marks_are_shown() {
        let report = evening();
        let marks = report.marks.iter().cycle().take(100).cloned().collect();
        let lines = mark_lines(&report.with_course(Vec::new(), marks));
        assert_eq!(lines.len(), MARKS_SHOWN + 2);
        assert_eq!(lines[1], "COURSE (the last 20; 80 before them)");
    }
}

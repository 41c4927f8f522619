//! Line charts of block characters, for terminals. Pure.

use super::RunReport;
use super::axis::Scale;
use super::phrases::{count, time_of_day};

/// Blocks of 0 to 8 eighths of a cell.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Rows of a chart.
const ROWS: usize = 6;
/// Widest chart, in columns: a wider one is not easier to read.
const COLUMNS_MAX: usize = 72;
/// Narrowest chart, in columns.
const COLUMNS_MIN: usize = 16;

/// Listeners over time in lines of at most `width` cells; empty without a course or room.
pub(crate) fn listeners(report: &RunReport, width: usize) -> Vec<String> {
    let peak = report.buckets.iter().map(|bucket| bucket.listeners).max().unwrap_or(0);
    let scale = Scale::up_to(peak);
    let label_cells = count(scale.top).len();
    let columns = width.saturating_sub(label_cells + 2).min(COLUMNS_MAX);
    if report.buckets.is_empty() || columns < COLUMNS_MIN {
        return Vec::new();
    }
    let heights: Vec<usize> = stretched(report, columns)
        .map(|listeners| (scale.part(listeners) * (ROWS * 8) as f64).round() as usize)
        .collect();
    let mut lines = Vec::with_capacity(ROWS + 1);
    for row in (0..ROWS).rev() {
        let label = match row {
            row if row == ROWS - 1 => count(scale.top),
            0 => "0".to_owned(),
            _ => String::new(),
        };
        let cells: String =
            heights.iter().map(|height| BLOCKS[height.saturating_sub(row * 8).min(8)]).collect();
        lines.push(format!("{label:>label_cells$} ▕{}", cells.trim_end()));
    }
    let (from, to) = (report.numbers.began_at_s, report.numbers.began_at_s + report.lasted_s());
    let (from, to) = (time_of_day(from), format!("{} UTC", time_of_day(to)));
    let gap = columns.saturating_sub(from.len() + to.len()).max(1);
    lines.push(format!("{:label_cells$}  {from}{}{to}", "", " ".repeat(gap)));
    lines
}

/// The most listeners in each of `columns` parts of the course.
fn stretched(report: &RunReport, columns: usize) -> impl Iterator<Item = u64> {
    let buckets = &report.buckets;
    (0..columns).map(move |column| {
        let from = column * buckets.len() / columns;
        let to = ((column + 1) * buckets.len()).div_ceil(columns).max(from + 1);
        let part = buckets.get(from..to.min(buckets.len())).unwrap_or_default();
        part.iter().map(|bucket| bucket.listeners).max().unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{beginning, evening};
    use super::*;

    #[test]
    fn the_chart_rises_and_falls_with_the_evening() {
        let lines = listeners(&evening(), 40);
        assert_eq!(lines.len(), ROWS + 1);
        assert!(lines[0].starts_with("800 ▕"), "{}", lines[0]);
        assert!(lines[ROWS - 1].starts_with("  0 ▕"), "{}", lines[ROWS - 1]);
        assert!(lines[ROWS - 1].contains("████████████████████████"), "{}", lines[ROWS - 1]);
        assert!(lines[ROWS].ends_with("10:00:00 UTC"), "{}", lines[ROWS]);
        assert!(lines.iter().all(|line| line.chars().count() <= 40));
        let middle: Vec<char> = lines[1].chars().collect();
        assert_eq!((middle[5], middle[22]), (' ', '▆'), "640 of 800 are in the fifth of six rows");
    }

    #[test]
    fn there_is_no_chart_without_room_or_course() {
        assert!(listeners(&beginning(), 80).is_empty());
        assert!(listeners(&evening(), 18).is_empty());
        assert_eq!(listeners(&evening(), 500)[ROWS].chars().count(), COLUMNS_MAX + 5);
    }
}

//! Aligned text tables. Pure.

use ratatui::text::Span;

/// Widest column, in cells; longer text is cut.
const COLUMN_CELLS: usize = 40;
/// Cells between two columns.
const GAP: &str = "  ";

/// Head and alignment of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// Rows of `N` cells each.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| cut(&cell)));
    }

    /// Head and rows, without the first `left_out` columns after the first one.
    pub(crate) fn lines(&self, left_out: usize) -> Vec<String> {
        let shown = |at: &usize| *at == 0 || *at > left_out.min(N.saturating_sub(2));
        let columns: Vec<usize> = (0..N).filter(shown).collect();
        let heads = self.columns.map(|column| match column {
            Column::Left(head) | Column::Right(head) => head.to_owned(),
        });
        let wide = |at: usize| {
            let rows = self.rows.iter().map(|row| cells(&row[at]));
            rows.chain([cells(&heads[at])]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = columns.iter().map(|at| wide(*at)).collect();
        let line = |row: &[String; N]| {
            let filled = columns.iter().zip(&widths).map(|(at, width)| {
                let blank = " ".repeat(width.saturating_sub(cells(&row[*at])));
                match self.columns[*at] {
                    Column::Left(_) => format!("{}{blank}", row[*at]),
                    Column::Right(_) => format!("{blank}{}", row[*at]),
                }
            });
            filled.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        };
        std::iter::once(&heads).chain(&self.rows).map(line).collect()
    }
}

/// Width of a text on a terminal, in cells.
pub(crate) fn cells(text: &str) -> usize {
    Span::raw(text).width()
}

fn cut(text: &str) -> String {
    if cells(text) <= COLUMN_CELLS {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if cells(&kept) >= COLUMN_CELLS {
            kept.pop();
            break;
        }
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<3> {
        let mut table =
            Table::new([Column::Left("name"), Column::Right("lost %"), Column::Left("relay")]);
        table.push(["Ada".to_owned(), "0.12".to_owned(), "edge".to_owned()]);
        table.push(["日本".to_owned(), "100.0".to_owned(), "x".repeat(60)]);
        table
    }

    #[test]
    fn columns_stand_under_each_other_whatever_the_script() {
        let lines = table().lines(0);
        assert_eq!(lines[0], "name  lost %  relay");
        assert_eq!(lines[1], "Ada     0.12  edge");
        assert_eq!(lines[2], format!("日本   100.0  {}…", "x".repeat(39)));
    }

    #[test]
    fn the_first_column_and_one_more_stay() {
        assert_eq!(table().lines(1)[1], "Ada   edge");
        assert_eq!(table().lines(9)[1], "Ada   edge");
    }
}

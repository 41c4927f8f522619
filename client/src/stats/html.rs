//! A run's statistics as one page: pictures and tables, no script, nothing loaded from elsewhere. Pure.

use std::fmt::Write;

use super::RunReport;
use super::phrases::{mark, time_of_day};
use super::pictures::{Figure, figures};
use super::sections::{ESTIMATES, Section, Table, heading, sections};
use super::svg::escaped;

const STYLE: &str = include_str!("page.css");
/// Policy that blocks what an oversight here would let through.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
/// Marks in the table: those that fit beside the other tables on the second sheet.
const MARKS_SHOWN: usize = 30;

/// Writes the page.
pub(crate) fn page(report: &RunReport) -> String {
    let (title, time) = heading(report);
    let title = escaped(title);
    let mut page = String::new();
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Statistics: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1><bdi>{title}</bdi></h1>\n<p>{}</p>\n",
        escaped(time)
    );
    let pinned = report.numbers().pinned.as_str();
    if !pinned.is_empty() {
        let _ = writeln!(page, "<p>Pinned: <bdi>{}</bdi></p>", escaped(pinned));
    }
    let _ = writeln!(page, "<p>{}</p>\n</header>\n<main>", escaped(ESTIMATES));
    let mut sections = sections(report).into_iter();
    // The most important numbers come first, then pictures, then the rest.
    if let Some(people) = sections.next() {
        write_people(&mut page, &people);
    }
    page.push_str("<div class=\"figures\">\n");
    figures(report).iter().for_each(|figure| write_figure(&mut page, figure));
    page.push_str("</div>\n<div class=\"sections\">\n");
    sections.for_each(|section| write_section(&mut page, &section));
    write_marks(&mut page, report);
    page.push_str("</div>\n</main>\n</body>\n</html>\n");
    page
}

fn write_people(page: &mut String, section: &Section) {
    let _ = writeln!(page, "<h2>{}</h2>\n<dl class=\"people\">", escaped(section.title));
    for (name, value) in &section.facts {
        let (name, value) = (escaped(name), escaped(value));
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    page.push_str("</dl>\n");
}

fn write_figure(page: &mut String, figure: &Figure) {
    let class = if figure.is_wide { " class=\"wide\"" } else { "" };
    let _ = write!(page, "<figure{class}>\n<figcaption>{}", escaped(figure.title));
    for (class, meaning) in &figure.keys {
        let _ = write!(page, " <span class=\"key {class}\">{}</span>", escaped(meaning));
    }
    let _ = write!(page, "</figcaption>\n{}</figure>\n", figure.svg);
}

fn write_section(page: &mut String, section: &Section) {
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", escaped(section.title));
    if !section.facts.is_empty() {
        page.push_str("<table><tbody>\n");
        for (name, value) in &section.facts {
            let (name, value) = (escaped(name), escaped(value));
            let _ = writeln!(
                page,
                "<tr><th scope=\"row\">{name}</th><td class=\"n\">{value}</td></tr>"
            );
        }
        page.push_str("</tbody></table>\n");
    }
    if let Some(table) = &section.table {
        write_table(page, table);
    }
    if let Some(note) = &section.note {
        let _ = writeln!(page, "<p>{}</p>", escaped(note));
    }
    page.push_str("</section>\n");
}

fn write_table(page: &mut String, table: &Table) {
    page.push_str("<table><thead><tr>");
    for column in &table.columns {
        let class = if column.is_numbers() { " class=\"n\"" } else { "" };
        let _ = write!(page, "<th scope=\"col\"{class}>{}</th>", escaped(column.head()));
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (cell, column) in row.iter().zip(&table.columns) {
            // The direction of writing ends with the cell, for any characters of a name.
            let text = escaped(cell);
            let _ = match column.is_numbers() {
                true => write!(page, "<td class=\"n\">{text}</td>"),
                false => write!(page, "<td><bdi>{text}</bdi></td>"),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

fn write_marks(page: &mut String, report: &RunReport) {
    if report.marks.is_empty() {
        return;
    }
    page.push_str("<section class=\"course\">\n<h2>Course</h2>\n<table><tbody>\n");
    for event in report.marks.iter().take(MARKS_SHOWN) {
        let at = time_of_day(report.numbers().began_at_s + u64::from(event.after_s));
        let what = escaped(mark(event));
        let _ = writeln!(page, "<tr><td class=\"t\">{at}</td><td><bdi>{what}</bdi></td></tr>");
    }
    page.push_str("</tbody></table>\n");
    let left_out = report.marks.len().saturating_sub(MARKS_SHOWN);
    if left_out > 0 {
        let _ = writeln!(page, "<p>And {left_out} more, all of them in the picture.</p>");
    }
    page.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::super::tests::{beginning, evening, largest};
    use super::*;

    #[test]
    fn the_page_has_pictures_and_tables_and_no_script() {
        let html = page(&evening());
        assert_eq!(html.matches("<svg ").count(), 6);
        assert_eq!(html.matches("</svg>").count(), 6);
        assert_eq!(html.matches("<section").count(), 11);
        for part in [
            "<title>Statistics: Rivers &lt;b&gt;&amp; bridges&lt;/b&gt; (agora, run 3)</title>",
            "<dt>different people</dt><dd>~1,001 (± 1.60 %)</dd>",
            "<bdi>Ada &lt;script&gt;</bdi>",
            "<bdi>Is 1 &lt; 2 &amp; 3 &gt; 2?</bdi>",
            "<bdi>https://example.org/?a=1&amp;b=2</bdi>",
            "<td class=\"t\">08:00:05</td><td><bdi>Ada &lt;script&gt; came on the stage</bdi>",
        ] {
            assert!(html.contains(part), "no {part}");
        }
        for part in ["<script", "<b>", "javascript:", "@import", "url(", " onload", "<img", "<a "] {
            assert!(!html.contains(part), "{part} is in the page");
        }
    }

    /// Every element that is opened is closed, in order.
    #[test]
    fn the_page_is_well_formed() {
        for html in [page(&evening()), page(&largest()), page(&beginning())] {
            let mut open: Vec<&str> = Vec::new();
            for tag in html.split('<').skip(1) {
                let (tag, _) = tag.split_once('>').expect("a tag ends");
                let name = tag.split([' ', '\n']).next().unwrap();
                match name.strip_prefix('/') {
                    Some(closed) => assert_eq!(open.pop(), Some(closed)),
                    None if tag.ends_with('/') || ["!DOCTYPE", "meta"].contains(&name) => {}
                    None => open.push(name),
                }
            }
            assert!(open.is_empty(), "{open:?}");
        }
    }

    #[test]
    fn a_room_that_has_just_begun_has_a_page_too() {
        let html = page(&beginning());
        assert!(!html.contains("<svg"));
        assert!(html.contains("<dt>listening now</dt><dd>0</dd>"));
    }
}

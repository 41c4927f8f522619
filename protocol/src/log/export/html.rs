//! A log as a page: a transparency report that a person can read and print, with the log itself as
//! JSON in a block that no browser runs. Nothing is loaded from elsewhere. SPEC.md section 12.6.

use std::fmt::Display;

use super::Export;
use super::json;
use super::page::{Lines, Page};
use super::report::{Actions, Appeal, Durations, Report, total};
use crate::domain::action::LogAction;
use crate::log::entry::Entry;
use crate::log::fault::Fault;
use crate::log::time::{span, utc};

/// Text in front of the title. The content policy blocks scripts that an oversight here would let through.
const TOP: [&str; 5] = [
    "<!DOCTYPE html>",
    "<html lang=\"en\">",
    "<head>",
    "<meta charset=\"utf-8\">",
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
     'unsafe-inline'\">",
];
/// Text in front of the JSON.
const BLOCK: &str = "<script type=\"application/json\" id=\"tribune-log\">";
const STYLE: &str = include_str!("report.css");
/// Reasons that are listed; the rest is a number. A list of every wording is no overview.
const MAX_REASONS: usize = 30;
/// Actors that are listed; the rest is a number.
const MAX_ACTORS: usize = 50;

/// Writes the page.
pub(super) fn write(page: &mut Page, export: &Export) {
    TOP.iter().for_each(|line| page.line(line));
    page.line(&format!("<title>Moderation log of {}</title>", escaped(&export.head.room)));
    page.line(BLOCK);
    json::write(page, export);
    page.line("</script>");
    page.lines(STYLE);
    page.line("</head>");
    page.line("<body>");
    write_summary(page, export);
    let report = Report::of(&export.entries);
    write_actions(page, &report);
    write_reasons(page, &report);
    write_actors(page, &report);
    write_durations(page, &report);
    write_appeals(page, &report);
    write_entries(page, export);
    write_proof(page, export);
    page.line("</body>");
    page.line("</html>");
}

/// Reads the log out of the page. The rest of the page is passed over, as in `json::read`.
pub(super) fn read(lines: &mut Lines<'_>) -> Result<Export, Fault> {
    TOP.iter().try_for_each(|line| lines.expect(line))?;
    let title = lines.next_line();
    if !title.is_some_and(|line| line.starts_with(b"<title>") && line.ends_with(b"</title>")) {
        return Err(lines.fault(title));
    }
    lines.expect(BLOCK)?;
    json::read(lines)
}

fn write_summary(page: &mut Page, export: &Export) {
    let head = &export.head;
    page.line(&format!("<h1>Moderation log of room {}</h1>", escaped(&head.room)));
    let period = match (export.entries.first(), export.entries.last()) {
        (Some(first), Some(last)) => {
            format!("from {} to {}", utc(first.entry.at_ms), utc(last.entry.at_ms))
        }
        (None, _) | (_, None) => "none yet".to_owned(),
    };
    page.line(&format!(
        "<p>{} entries, {period}. This is the whole log as of {}.</p>",
        head.entries,
        utc(head.at_ms)
    ));
    page.line(
        "<p>Every decision is written down once and never changed: each entry names the one before, \
         and all are signed by the relay that the room lives on. The log itself is part of this \
         page, and <code>tribune log --verify</code> finds each byte of the page that was \
         changed.</p>",
    );
}

fn write_actions(page: &mut Page, report: &Report) {
    page.line("<h2>What was done</h2>");
    open_table(page, &["Action", "Times"]);
    for (action, count) in &report.by_action {
        row(page, &[text(words(*action)), number(count)]);
    }
    close_table(page);
}

fn write_reasons(page: &mut Page, report: &Report) {
    page.line("<h2>Why people were restricted</h2>");
    if report.by_reason.is_empty() {
        page.line("<p>Nobody was restricted.</p>");
        return;
    }
    open_table(page, &["Reason", "Times", "Of these"]);
    for (reason, actions) in report.by_reason.iter().take(MAX_REASONS) {
        let reason = if reason.is_empty() { "(none given)" } else { reason };
        row(page, &[text(reason), number(total(actions)), text(listed(actions))]);
    }
    close_table(page);
    write_rest(page, &report.by_reason, MAX_REASONS, "other reasons");
}

fn write_actors(page: &mut Page, report: &Report) {
    page.line("<h2>Who decided</h2>");
    open_table(page, &["Who", "Subject", "Times", "Of these"]);
    for (actor, actions) in report.by_actor.iter().take(MAX_ACTORS) {
        let subject = actor.subject.as_ref().map_or_else(String::new, ToString::to_string);
        row(page, &[text(actor), text(subject), number(total(actions)), text(listed(actions))]);
    }
    close_table(page);
    write_rest(page, &report.by_actor, MAX_ACTORS, "others");
}

/// Note on rows that a table leaves out.
fn write_rest<T>(page: &mut Page, all: &[(T, Actions)], shown: usize, what: &str) {
    if all.len() > shown {
        let times: usize = all[shown..].iter().map(|(_, actions)| total(actions)).sum();
        page.line(&format!("<p>And {} {what}, {times} times together.</p>", all.len() - shown));
    }
}

fn write_durations(page: &mut Page, report: &Report) {
    page.line("<h2>For how long</h2>");
    if report.durations.is_empty() {
        page.line("<p>Nobody was silenced or banned.</p>");
        return;
    }
    open_table(page, &["Action", "With an end", "Shortest", "Median", "Longest", "Without an end"]);
    for (action, Durations { open, set_s }) in &report.durations {
        let [shortest, median, longest] = spread(set_s);
        let of = |seconds: Option<u64>| text(seconds.map_or_else(|| "–".to_owned(), span));
        row(
            page,
            &[
                text(words(*action)),
                number(set_s.len()),
                of(shortest),
                of(median),
                of(longest),
                number(open),
            ],
        );
    }
    close_table(page);
}

fn write_appeals(page: &mut Page, report: &Report) {
    page.line("<h2>Appeals</h2>");
    if report.appeals.is_empty() {
        page.line("<p>Nobody appealed.</p>");
        return;
    }
    let answers = || report.appeals.iter().filter_map(|appeal| appeal.answer.as_ref());
    let upheld = answers().filter(|answer| answer.upheld).count();
    let rejected = answers().count() - upheld;
    let open = report.appeals.len() - upheld - rejected;
    let times = match spread(&report.answered_after_s()) {
        [Some(_), Some(median), Some(longest)] => {
            format!(" Time to answer: median {}, longest {}.", span(median), span(longest))
        }
        _ => String::new(),
    };
    page.line(&format!(
        "<p>{} appeals: {upheld} upheld, {rejected} rejected, {open} not answered.{times}</p>",
        report.appeals.len()
    ));
    let columns =
        ["Appeal", "About", "By", "Made after", "Outcome", "Answered by", "Answered after"];
    open_table(page, &columns);
    report.appeals.iter().for_each(|appeal| write_appeal(page, appeal));
    close_table(page);
}

fn write_appeal(page: &mut Page, appeal: &Appeal) {
    let Appeal { number, about, by, after_s, answer } = appeal;
    let numbered = |number: u64| format!("#{number}");
    let [outcome, answered_by, answered_after] = match answer {
        Some(answer) => {
            let outcome = if answer.upheld { "upheld" } else { "rejected" };
            [
                format!("{outcome} by #{}", answer.number),
                answer.by.to_string(),
                span(answer.after_s),
            ]
        }
        None => ["not answered".to_owned(), String::new(), String::new()],
    };
    row(
        page,
        &[
            text(numbered(*number)),
            text(about.map_or_else(String::new, numbered)),
            text(by),
            text(after_s.map_or_else(String::new, span)),
            text(outcome),
            text(answered_by),
            text(answered_after),
        ],
    );
}

fn write_entries(page: &mut Page, export: &Export) {
    page.line("<h2>Every entry</h2>");
    open_table(page, &["#", "Time", "What"]);
    for signed in &export.entries {
        let entry: &Entry = &signed.entry;
        page.entry(entry.number, |page| {
            let time = format!("<td class=\"t\">{}</td>", utc(entry.at_ms));
            row(page, &[number(entry.number), time, text(entry.statement())]);
        });
    }
    close_table(page);
}

fn write_proof(page: &mut Page, export: &Export) {
    let head = &export.head;
    page.line("<h2>Proof</h2>");
    open_table(page, &["What", "Value"]);
    for (what, value) in [
        ("Key that signed", head.key.to_string()),
        ("Its fingerprint", head.key.fingerprint()),
        ("Hash of the last entry", head.hash.to_string()),
        ("Signature of the head", head.signature.to_string()),
    ] {
        row(page, &[text(what), format!("<td><code>{value}</code></td>")]);
    }
    close_table(page);
}

fn open_table(page: &mut Page, columns: &[&str]) {
    let cells: String = columns.iter().map(|column| format!("<th>{column}</th>")).collect();
    page.line(&format!("<table><thead><tr>{cells}</tr></thead><tbody>"));
}

fn close_table(page: &mut Page) {
    page.line("</tbody></table>");
}

fn row(page: &mut Page, cells: &[String]) {
    page.line(&format!("<tr>{}</tr>", cells.concat()));
}

fn number(value: impl Display) -> String {
    format!("<td class=\"n\">{value}</td>")
}

/// The direction of writing ends with the cell, for any characters of a name.
fn text(value: impl Display) -> String {
    format!("<td><bdi>{}</bdi></td>", escaped(value))
}

fn escaped(value: impl Display) -> String {
    let text = value.to_string();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn words(action: LogAction) -> String {
    action.as_str().replace('_', " ")
}

/// `3 × banned, 1 × kicked`.
fn listed(actions: &Actions) -> String {
    let parts: Vec<String> =
        actions.iter().map(|(action, count)| format!("{count} × {}", words(*action))).collect();
    parts.join(", ")
}

/// The shortest, the median (of two the shorter) and the longest of sorted spans.
fn spread(sorted: &[u64]) -> [Option<u64>; 3] {
    let median = sorted.len().checked_sub(1).and_then(|last| sorted.get(last / 2));
    [sorted.first(), median, sorted.last()].map(Option::<&u64>::copied)
}

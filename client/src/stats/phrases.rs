//! Formats of values in statistics. Pure.

use tribune_protocol::domain::way::Way;
use tribune_protocol::log::span;
use tribune_protocol::statistics::{Estimate, Mark, MarkKind};

use crate::session::words;
use crate::status::phrases::percent;

/// A count with commas between thousands.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An estimate, marked as one, with its error.
pub(super) fn estimate(estimate: Estimate) -> String {
    match estimate.error_ppm {
        0 => count(estimate.value),
        error_ppm => format!("~{} (± {} %)", count(estimate.value), percent(error_ppm)),
    }
}

/// A part of a whole, in percent.
pub(super) fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => "–".to_owned(),
        whole => format!("{:.1} %", part as f64 * 100.0 / whole as f64),
    }
}

/// A time of milliseconds: tenths of a second below a minute.
pub(super) fn time_ms(ms: u64) -> String {
    match ms {
        0 => "0 s".to_owned(),
        1..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        _ => span(ms / 1_000),
    }
}

/// A point in time up to the minute, for example `2027-01-15 08:00 UTC`.
pub(super) fn minute(at_s: u64) -> String {
    let utc = words::utc(at_s);
    // "…:SS UTC"
    let cut = utc.len().saturating_sub(":00 UTC".len());
    format!("{} UTC", utc.get(..cut).unwrap_or(&utc))
}

/// Time of day up to the second, for example `08:00:10`.
pub(super) fn time_of_day(at_s: u64) -> String {
    let second = at_s % 86_400;
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// A way of arrival.
pub(super) const fn way(way: Way) -> &'static str {
    match way {
        Way::CommandLine => "command line or program",
        Way::Browser => "browser",
        Way::Embed => "player in another page",
        Way::Share => "share link",
        Way::Unknown => "another way",
    }
}

/// The thing that happened at a mark.
pub(super) fn mark(mark: &Mark) -> String {
    let name = mark.name.as_ref().map_or("somebody", |name| name.as_str());
    match mark.kind {
        MarkKind::OnStage => format!("{name} came on the stage"),
        MarkKind::OffStage => format!("{name} left the stage"),
        MarkKind::Moderated => format!("a moderator acted on {name}"),
        MarkKind::Pinned => "a link or note was pinned".to_owned(),
        MarkKind::Answered => "a question was answered".to_owned(),
        MarkKind::Unknown => "something that only a later version can name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_at_a_glance() {
        assert_eq!(
            [0, 999, 1_000, 12_345_678].map(count),
            ["0", "999", "1,000", "12,345,678"].map(str::to_owned)
        );
        let unique = Estimate { value: 12_345, error_ppm: 16_250 };
        assert_eq!(estimate(unique), "~12,345 (± 1.62 %)");
        assert_eq!(estimate(Estimate { value: 3, error_ppm: 0 }), "3");
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(0, 0), "–");
        assert_eq!([0, 1_540, 61_500].map(time_ms), ["0 s", "1.5 s", "1 min 1 s"]);
        assert_eq!(minute(1_800_000_059), "2027-01-15 08:00 UTC");
        assert_eq!(time_of_day(1_800_000_059), "08:00:59");
    }
}

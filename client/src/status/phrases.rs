//! Formats of measured values: few digits, and a dash for unknown ones. Pure.

use super::answer::Spread;

/// Placeholder of an unknown value.
pub(crate) const UNKNOWN: &str = "-";
/// Millionths in a hundredth.
const PPM_PER_PERCENT: f64 = 10_000.0;

/// Microseconds as milliseconds.
pub(crate) fn ms(us: u32) -> String {
    let ms = f64::from(us) / 1_000.0;
    if us < 100_000 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// Microseconds as milliseconds, if known.
pub(crate) fn ms_or_unknown(us: Option<u32>) -> String {
    us.map_or_else(|| UNKNOWN.to_owned(), ms)
}

/// Median and 99th percentile, in milliseconds.
pub(crate) fn spread(spread: Option<Spread>) -> String {
    match spread {
        Some(Spread { p50, p99, .. }) => format!("{}/{}", ms(p50), ms(p99)),
        None => UNKNOWN.to_owned(),
    }
}

/// Millionths as percent, without the sign. Only exactly zero is `0`.
pub(crate) fn percent(ppm: u32) -> String {
    let percent = f64::from(ppm) / PPM_PER_PERCENT;
    match ppm {
        0 => "0".to_owned(),
        1..50 => "<0.01".to_owned(),
        50..100_000 => format!("{percent:.2}"),
        _ => format!("{percent:.1}"),
    }
}

/// Count with a unit prefix.
pub(crate) fn count(count: u64) -> String {
    match count {
        0..100_000 => count.to_string(),
        100_000..10_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}M", count / 1_000_000),
    }
}

/// Ratio as a bar of that many cells, and in whole percent.
pub(crate) fn bar(ppm: u32, cells: usize) -> String {
    let ppm = ppm.min(1_000_000) as usize;
    let lit = (ppm * cells + 500_000) / 1_000_000;
    let percent = (ppm + 5_000) / 10_000;
    format!("{}{} {percent:>3}%", "█".repeat(lit), "·".repeat(cells - lit))
}

/// Age, from milliseconds.
pub(crate) fn age(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        10_000..120_000 => format!("{} s", ms / 1_000),
        _ => format!("{} min", ms / 60_000),
    }
}

/// Foreign text with control characters replaced, which could move a terminal's cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_few_digits() {
        assert_eq!([0, 340, 82_149, 131_400].map(ms), ["0.0", "0.3", "82.1", "131"]);
        assert_eq!(
            [0, 1, 50, 1_234, 250_000, 1_000_000].map(percent),
            ["0", "<0.01", "0.01", "0.12", "25.0", "100.0"]
        );
        assert_eq!([7, 99_999, 123_456, 12_345_678].map(count), ["7", "99999", "123k", "12M"]);
        assert_eq!([400, 12_900, 600_000].map(age), ["0.4 s", "12 s", "10 min"]);
        assert_eq!(ms_or_unknown(None), "-");
        assert_eq!(spread(Some(Spread { p50: 82_000, p99: 131_000, mean: 1 })), "82.0/131");
    }

    #[test]
    fn bars_are_filled_to_the_nearest_cell() {
        assert_eq!(
            [0, 14_000, 400_000, 1_000_000, u32::MAX].map(|ppm| bar(ppm, 4)),
            ["····   0%", "····   1%", "██··  40%", "████ 100%", "████ 100%"]
        );
    }

    #[test]
    fn nobody_elses_text_moves_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\r"), "a?[2Jb?");
    }
}

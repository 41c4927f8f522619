//! Times and time spans as they are written on the command line. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tribune_protocol::limits::{MAX_PLAYOUT_DELAY, MIN_PLAYOUT_DELAY};

/// Longest validity: ten years. More is a mistake.
const SPAN_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// Longest stay or recording: a week. More is a mistake.
const STAY_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Running time of a command.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() || duration > STAY_MAX {
        return Err("a duration is longer than nothing and at most 7 days, such as 20s".to_owned());
    }
    Ok(duration)
}

/// Delay of playout in the profile `audience`.
pub(crate) fn parse_playout_delay(text: &str) -> Result<Duration, String> {
    let delay = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let is_in_range = (MIN_PLAYOUT_DELAY..=MAX_PLAYOUT_DELAY).contains(&delay);
    let why = || "a delay of playout is from 200ms to 2s".to_owned();
    is_in_range.then_some(delay).ok_or_else(why)
}

/// Validity of a decision, in whole seconds.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span.as_secs() == 0 || span > SPAN_MAX {
        return Err("a time is at least 1s and at most 10 years, such as 30min".to_owned());
    }
    Ok(Duration::from_secs(span.as_secs()))
}

/// A pause in whole seconds, or `none` or 0.
pub(crate) fn parse_pause(text: &str) -> Result<u32, String> {
    if matches!(text, "none" | "0") {
        return Ok(0);
    }
    let span = parse_span(text)?;
    u32::try_from(span.as_secs()).map_err(|error| error.to_string())
}

/// A point in time: `in 2h`, or a date and time of day in UTC, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Not stated.
    None,
    /// After this time.
    In(Duration),
    /// At that second since the Unix epoch.
    At(u64),
}

impl Start {
    /// Seconds since the Unix epoch; 0: not stated.
    pub(crate) fn unix_s(self, now: SystemTime) -> u64 {
        match self {
            Self::None => 0,
            Self::In(after) => {
                (now + after).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
            }
            Self::At(at_s) => at_s,
        }
    }
}

/// Reads a point in time.
pub(crate) fn parse_start(text: &str) -> Result<Start, String> {
    let text = text.trim();
    if text == "none" {
        return Ok(Start::None);
    }
    if let Some(after) = text.strip_prefix("in ") {
        return parse_span(after.trim()).map(Start::In);
    }
    // Minutes are enough for people.
    let with_seconds = if text.len() == "2026-01-31 20:00".len() { ":00" } else { "" };
    let at = humantime::parse_rfc3339_weak(&format!("{text}{with_seconds}")).map_err(|_| {
        format!("{text:?} is no time: \"in 2h\", \"2026-01-31 20:00\" (UTC) or none")
    })?;
    Ok(Start::At(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let at = |text: &str| parse_start(text).map(|start| start.unix_s(now));
        assert_eq!(at("none"), Ok(0));
        assert_eq!(at("in 2h"), Ok(1_000 + 7_200));
        for text in ["2027-01-15 08:00", "2027-01-15T08:00:00Z", "2027-01-15 08:00:00"] {
            assert_eq!(at(text), Ok(1_800_000_000), "{text}");
        }
        for text in ["soon", "in a while", "2027-13-01 00:00", ""] {
            assert!(at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_and_pauses() {
        assert_eq!(parse_span("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_pause("none"), Ok(0));
        assert_eq!(parse_pause("0"), Ok(0));
        assert_eq!(parse_pause("90s"), Ok(90));
        for text in ["", "0s", "300ms", "20years", "x"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}

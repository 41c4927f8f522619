//! Times and spans as people read them.

const DAY_MS: u64 = 86_400_000;

/// A time in UTC, for example `2026-11-22 20:15:03 UTC`, from milliseconds since the Unix epoch.
#[must_use]
pub fn utc(at_ms: u64) -> String {
    let (year, month, day) = date(at_ms / DAY_MS);
    let second = at_ms % DAY_MS / 1_000;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// A span of whole seconds in its two largest units, for example `1 h`, `2 d 3 h` or `45 s`; what is
/// smaller is cut off.
#[must_use]
pub fn span(seconds: u64) -> String {
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let largest = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    let shown = units[largest..].iter().take(2).enumerate();
    let parts: Vec<String> = shown
        .filter(|(place, (count, _))| *place == 0 || *count > 0)
        .map(|(_, (count, unit))| format!("{count} {unit}"))
        .collect();
    parts.join(" ")
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar.
///
/// Days are counted from 0000-03-01, so that the leap day is the last of a year: a date then follows
/// from the lengths of 400, 100, 4 and 1 years, and the months' lengths repeat every five months.
fn date(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days_since_1970 + DAYS_TO_1970;
    let (cycle, day_of_cycle) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let century = (day_of_cycle / 36_524).min(3);
    let day_of_century = day_of_cycle - century * 36_524;
    let four = day_of_century / 1_461;
    let day_of_four = day_of_century - four * 1_461;
    let one = (day_of_four / 365).min(3);
    let day_of_year = day_of_four - one * 365;
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = cycle * 400 + century * 100 + four * 4 + one + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (at_ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (951_868_800_000, "2000-03-01 00:00:00 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
            (1_795_378_503_000, "2026-11-22 20:15:03 UTC"),
            (253_402_300_799_000, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(at_ms), text);
        }
        assert_eq!(utc(u64::MAX), "584556019-04-03 14:25:51 UTC");
    }

    /// Counts every day of 1,000 years by the calendar's own rule.
    #[test]
    fn every_day_follows_the_one_before() {
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..365_250 {
            assert_eq!(date(days), (year, month, day), "day {days}");
            let last = match month {
                2 => 28 + u64::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > last {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn spans() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (90, "1 min 30 s"),
            (3_600, "1 h"),
            (3_601, "1 h"),
            (97_200, "1 d 3 h"),
            (86_400, "1 d"),
            (31_536_000, "365 d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}

//! Axes of pictures: ticks at round numbers and at round times of day. Pure.

/// Distances between two ticks of a time axis, in seconds.
const TIME_STEPS_S: [u64; 14] =
    [1, 5, 10, 30, 60, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200];

/// A scale from 0 to a round number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// The highest value.
    pub(super) top: u64,
    /// The distance between two ticks.
    pub(super) step: u64,
}

impl Scale {
    /// The scale that holds `max`, with about four ticks.
    pub(super) fn up_to(max: u64) -> Self {
        let step = round_up((max.max(1)).div_ceil(4));
        Self { top: max.max(1).div_ceil(step).saturating_mul(step), step }
    }

    /// The ticks, from 0.
    pub(super) fn ticks(self) -> impl Iterator<Item = u64> {
        (0..=self.top / self.step).map(move |n| n * self.step)
    }

    /// A value as a part of the scale, from 0 to 1.
    pub(super) fn part(self, value: u64) -> f64 {
        (value as f64 / self.top as f64).clamp(0.0, 1.0)
    }
}

/// Ticks of a time axis, at round times of day: seconds since its beginning, and the label. At most `most`, where
/// days are not too many for that.
pub(super) fn time_ticks(began_at_s: u64, lasted_s: u64, most: u64) -> Vec<(u64, String)> {
    let fits = |step: &&u64| lasted_s / **step < most;
    let days = || lasted_s.div_ceil(86_400).div_ceil(most.max(1)).max(1) * 86_400;
    let step_s = TIME_STEPS_S.iter().find(fits).copied().unwrap_or_else(days);
    let first = began_at_s.div_ceil(step_s) * step_s;
    (first..=began_at_s.saturating_add(lasted_s))
        .step_by(usize::try_from(step_s).unwrap_or(usize::MAX))
        .map(|at_s| (at_s - began_at_s, label(at_s, step_s)))
        .collect()
}

fn label(at_s: u64, step_s: u64) -> String {
    let second = at_s % 86_400;
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    match step_s {
        0..60 => format!("{hour:02}:{minute:02}:{:02}", second % 60),
        _ => format!("{hour:02}:{minute:02}"),
    }
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round_up(number: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let round = power.saturating_mul(factor);
            if round >= number {
                return round;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scales_are_round() {
        assert_eq!(Scale::up_to(0), Scale { top: 1, step: 1 });
        assert_eq!(Scale::up_to(7), Scale { top: 8, step: 2 });
        assert_eq!(Scale::up_to(640), Scale { top: 800, step: 200 });
        assert_eq!(Scale::up_to(1_000_000), Scale { top: 1_000_000, step: 500_000 });
        assert_eq!(Scale::up_to(3).ticks().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn times_are_round_times_of_day() {
        let labels = |began_s, lasted_s| -> Vec<String> {
            time_ticks(began_s, lasted_s, 8).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(1_800_000_000 + 420, 7_200)[..3], ["08:30", "09:00", "09:30"]);
        assert_eq!(labels(1_800_000_000, 60)[1], "08:00:10");
        assert_eq!(labels(1_800_000_000, 7 * 86_400).len(), 7);
    }

    proptest! {
        #[test]
        fn ticks_are_few_and_within(began_s in 0..4_000_000_000_u64, lasted_s in 1..1_000_000_u64) {
            let ticks = time_ticks(began_s, lasted_s, 8);
            prop_assert!(ticks.len() <= 9);
            prop_assert!(ticks.iter().all(|(after_s, _)| *after_s <= lasted_s));
        }

        #[test]
        fn scales_hold_what_they_are_for(max: u64) {
            let scale = Scale::up_to(max);
            prop_assert!(scale.top >= max);
            prop_assert!(scale.ticks().count() <= 6);
        }
    }
}

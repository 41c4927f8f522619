//! Filter from losses, as they are measured from time to time, to the protection against them: more at once,
//! less after a while. For the origin, about a room, and for a speaker, about the way to its edge.
//! SPEC.md section 8.22.
//!
//! Pure: `now` is a parameter.

use std::time::{Duration, Instant};

use crate::domain::protection::Protection;

/// Time for which less must have been needed before there is less: losses come in spells, and each change
/// of the encoder can be heard.
pub const PROTECTION_HOLD: Duration = Duration::from_secs(30);
/// Loss from which on there is protection, in millionths. Below, it costs more than it mends.
const LOSS_FROM_PPM: u32 = 10_000;
/// Loss below which there is none any more, in millionths.
const LOSS_UNTIL_PPM: u32 = 5_000;
/// Losses that an encoder is told to expect, in percent. Few, as each change of the encoder can be heard.
const LOSS_LEVELS_PERCENT: [u8; 3] = [5, 10, 20];
/// Mean run of lost frames from which on losses are bursts, in millionths of a frame. Losses of a fifth of
/// the frames at random have 1.25.
const BURSTS_FROM: u32 = 1_750_000;
/// Mean run below which they are none any more.
const BURSTS_UNTIL: u32 = 1_500_000;
/// Mean run up to which bursts are short, in millionths of a frame.
const SHORT_UNTIL: u32 = 2_500_000;
/// Span of protection against short bursts, in milliseconds: over twice their mean.
const SHORT_SPAN_MS: u16 = 120;
/// The same against longer ones, in milliseconds: the longest span.
const LONG_SPAN_MS: u16 = 240;

/// Losses of a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Frames lost, in millionths.
    pub loss_ppm: u32,
    /// Frames lost in a row, on average, in millionths of a frame; `None` if that is not known.
    pub run_length: Option<u32>,
}

/// Protection by the losses so far.
#[derive(Debug, Clone, Default)]
pub struct ProtectionFilter {
    current: Protection,
    /// Since when less than `current` has been needed.
    excess_since: Option<Instant>,
}

impl ProtectionFilter {
    /// The protection by what has been lost.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.current
    }

    /// Takes the losses since the last such call.
    pub fn handle_losses(&mut self, now: Instant, losses: Losses) {
        let needed = self.needed(losses);
        self.current = self.current.and(needed);
        if self.current == needed {
            self.excess_since = None;
        } else if now.saturating_duration_since(*self.excess_since.get_or_insert(now))
            >= PROTECTION_HOLD
        {
            (self.current, self.excess_since) = (needed, None);
        }
    }

    /// Ends the protection at once: nothing is known of losses any more.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn needed(&self, Losses { loss_ppm, run_length }: Losses) -> Protection {
        let is_on = self.current != Protection::default();
        if loss_ppm < if is_on { LOSS_UNTIL_PPM } else { LOSS_FROM_PPM } {
            return Protection::default();
        }
        let covers = |percent: &u8| u32::from(*percent) * 10_000 >= loss_ppm;
        let [.., highest] = LOSS_LEVELS_PERCENT;
        let loss_percent = LOSS_LEVELS_PERCENT.into_iter().find(covers).unwrap_or(highest);
        Protection::against(loss_percent, self.span_ms(run_length))
    }

    /// Span of the bursts; 0 if single frames are lost.
    fn span_ms(&self, run_length: Option<u32>) -> u16 {
        let was_bursts = self.current.span_ms() > 0;
        let from = if was_bursts { BURSTS_UNTIL } else { BURSTS_FROM };
        match run_length {
            Some(run) if run >= from && run <= SHORT_UNTIL => SHORT_SPAN_MS,
            Some(run) if run >= from => LONG_SPAN_MS,
            Some(_) | None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEP: Duration = Duration::from_secs(5);

    fn losses(percent: f64, run: f64) -> Losses {
        let run_length = Some((run * 1e6) as u32);
        Losses { loss_ppm: (percent * 1e4) as u32, run_length }
    }

    #[test]
    fn losses_decide_against_what() {
        for (losses, wanted) in [
            (Losses::default(), Protection::Nothing {}),
            (losses(0.9, 9.0), Protection::Nothing {}),
            (losses(1.0, 1.0), Protection::Single { loss_percent: 5 }),
            (losses(8.0, 1.7), Protection::Single { loss_percent: 10 }),
            (losses(60.0, 1.7), Protection::Single { loss_percent: 20 }),
            (losses(3.0, 1.75), Protection::Bursts { loss_percent: 5, span_ms: 120 }),
            (losses(8.0, 3.0), Protection::Bursts { loss_percent: 10, span_ms: 240 }),
            (losses(100.0, 60.0), Protection::Bursts { loss_percent: 20, span_ms: 240 }),
            (
                Losses { loss_ppm: 80_000, run_length: None },
                Protection::Single { loss_percent: 10 },
            ),
        ] {
            let mut filter = ProtectionFilter::default();
            filter.handle_losses(Instant::now(), losses);
            assert_eq!(filter.protection(), wanted, "{losses:?}");
        }
    }

    #[test]
    fn more_comes_at_once_and_less_after_a_while() {
        let (mut filter, mut now) = (ProtectionFilter::default(), Instant::now());
        let mut handle = |losses, seconds: u32| {
            for _ in 0..seconds / 5 {
                now += STEP;
                filter.handle_losses(now, losses);
            }
            filter.protection()
        };
        let single = Protection::Single { loss_percent: 10 };
        assert_eq!(handle(losses(8.0, 1.0), 5), single);
        assert_eq!(handle(losses(0.6, 1.0), 30), single, "between the thresholds");
        assert_eq!(handle(losses(0.6, 1.0), 5), Protection::Single { loss_percent: 5 });
        let bursts = Protection::Bursts { loss_percent: 10, span_ms: 240 };
        assert_eq!(handle(losses(8.0, 3.0), 5), bursts);
        for _ in 0..20 {
            assert_eq!(handle(Losses::default(), 30), bursts, "a spell without loss");
            assert_eq!(handle(losses(8.0, 3.0), 5), bursts);
        }
        assert_eq!(handle(losses(8.0, 1.6), 100).span_ms(), 120, "not yet single");
        assert_eq!(handle(losses(8.0, 1.4), 30).span_ms(), 120);
        assert_eq!(handle(losses(8.0, 1.4), 5), single);
        assert_eq!(handle(Losses::default(), 30), single);
        assert_eq!(handle(Losses::default(), 5), Protection::Nothing {});
    }

    proptest! {
        /// Whatever is lost, the protection is within its bounds, and less only after what was has been held.
        #[test]
        fn changes_are_bounded(rounds in prop::collection::vec((0u32..=1_000_000, 0u32..9_000_000), 1..80)) {
            let (mut filter, mut now) = (ProtectionFilter::default(), Instant::now());
            let (mut shown, mut since) = (Protection::default(), now);
            for (loss_ppm, run) in rounds {
                now += STEP;
                filter.handle_losses(now, Losses { loss_ppm, run_length: Some(run) });
                let protection = filter.protection();
                prop_assert_eq!(protection.bounded(), protection);
                if protection != shown {
                    let is_more = protection.and(shown) == protection;
                    prop_assert!(is_more || now - since >= PROTECTION_HOLD, "{protection:?} after {shown:?}");
                    (shown, since) = (protection, now);
                }
            }
        }
    }
}

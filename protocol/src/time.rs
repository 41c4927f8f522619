//! The origin's clock, estimated over one hop.
//!
//! Pure: time comes in as microseconds of the local clock. Of the last eight exchanges the one with
//! the shortest round trip is believed (the clock filter of NTP, RFC 5905 section 10): queues only
//! ever lengthen a round trip, so the shortest one bends the estimate least.

use std::collections::VecDeque;
use std::time::Duration;

use crate::media::datagram::OriginTime;
use crate::media::probe::Answer;

/// Exchanges kept. Eight, as in NTP: at one a second, the estimate follows a clock that drifts.
const SAMPLES: usize = 8;
/// The largest drift assumed between two clocks: each by 200 ppm, four times what crystals
/// are sold with, for virtual machines whose clocks are slewed.
const DRIFT_PPM: u64 = 400;
/// Time between two questions once the estimate stands.
pub const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// Time between the first [`SAMPLES`] questions.
pub const FIRST_PROBE_PERIOD: Duration = Duration::from_millis(100);

/// Offset of the origin's clock from the local one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// To be added to local time, in microseconds.
    pub offset_us: i64,
    /// The true offset is no further away than this, in microseconds.
    pub error_us: u32,
}

impl Offset {
    /// The origin's own: its clock is the reference.
    pub const ORIGIN: Self = Self { offset_us: 0, error_us: 0 };

    /// The same some time later: two clocks drift apart, and the true offset can be further away. The
    /// origin's own stays exact.
    #[must_use]
    pub fn aged(self, by: Duration) -> Self {
        if self == Self::ORIGIN {
            return self;
        }
        let drift_us = u64::try_from(by.as_micros()).unwrap_or(u64::MAX).saturating_mul(DRIFT_PPM)
            / 1_000_000
            + 1;
        let drift_us = u32::try_from(drift_us).unwrap_or(u32::MAX);
        Self { error_us: self.error_us.saturating_add(drift_us).min(u32::MAX - 1), ..self }
    }

    /// Local microseconds in the origin's clock.
    #[must_use]
    pub const fn to_origin(self, local_us: u64) -> OriginTime {
        OriginTime(local_us.wrapping_add_signed(self.offset_us))
    }
}

/// Collects exchanges with one next hop.
#[derive(Debug, Clone, Default)]
pub struct ClockFilter {
    samples: VecDeque<Sample>,
    answers: u32,
    next_question_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at_us: u64,
    round_trip_us: u64,
    offset_us: i64,
    error_us: u64,
}

impl ClockFilter {
    /// Whether a question is due; to be sent at once if so.
    pub fn poll_question(&mut self, local_us: u64) -> bool {
        if local_us < self.next_question_us {
            return false;
        }
        let settled = self.answers as usize >= SAMPLES;
        let period = if settled { PROBE_PERIOD } else { FIRST_PROBE_PERIOD };
        self.next_question_us = local_us + period.as_micros() as u64;
        true
    }

    /// When the next question is due, in local microseconds.
    #[must_use]
    pub const fn next_question_us(&self) -> u64 {
        self.next_question_us
    }

    /// Takes an answer that came at `local_us`. Impossible ones (negative round trip) are passed over.
    pub fn handle_answer(&mut self, local_us: u64, answer: &Answer) {
        let away = local_us.checked_sub(answer.asked_us);
        let held = answer.answered_us.checked_sub(answer.received_us);
        let (Some(away), Some(held)) = (away, held) else { return };
        let Some(round_trip_us) = away.checked_sub(held) else { return };
        self.answers = self.answers.saturating_add(1);
        let there = answer.received_us.wrapping_sub(answer.asked_us) as i64;
        let back = answer.answered_us.wrapping_sub(local_us) as i64;
        if answer.error_us == u32::MAX {
            return;
        }
        let sample = Sample {
            at_us: local_us,
            round_trip_us,
            offset_us: there / 2 + back / 2,
            error_us: round_trip_us / 2 + 1 + u64::from(answer.error_us),
        };
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The estimate at `local_us`; `None` before the first answer.
    #[must_use]
    pub fn offset(&self, local_us: u64) -> Option<Offset> {
        let error_now = |sample: &Sample| {
            sample.error_us + local_us.saturating_sub(sample.at_us) * DRIFT_PPM / 1_000_000
        };
        let best = self.samples.iter().min_by_key(|sample| error_now(sample))?;
        let error_us = u32::try_from(error_now(best)).unwrap_or(u32::MAX - 1);
        Some(Offset { offset_us: best.offset_us, error_us })
    }

    /// The shortest round trip of the last exchanges.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.samples.iter().map(|sample| Duration::from_micros(sample.round_trip_us)).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the delays and however far the clocks are apart, the truth is within the bound.
        #[test]
        fn the_bound_holds(
            truth in -3_600_000_000i64..3_600_000_000,
            delays in prop::collection::vec((0u64..200_000, 0u64..200_000, 0u64..1_000), 1..20),
        ) {
            let mut filter = ClockFilter::default();
            let mut local = 1_700_000_000_000_000u64;
            for (there, back, held) in delays {
                local += 1_000_000;
                let received_us = (local + there).wrapping_add_signed(truth);
                let answer = Answer { asked_us: local, received_us, answered_us: received_us + held, error_us: 0 };
                local += there + held + back;
                filter.handle_answer(local, &answer);
                let offset = filter.offset(local).unwrap();
                prop_assert!((offset.offset_us - truth).unsigned_abs() <= u64::from(offset.error_us));
            }
        }
    }

    #[test]
    fn the_shortest_round_trip_wins() {
        let mut filter = ClockFilter::default();
        let mut exchange = |asked_us: u64, there: u64, back: u64| {
            let received_us = asked_us + there + 5_000;
            let answer = Answer { asked_us, received_us, answered_us: received_us, error_us: 10 };
            filter.handle_answer(asked_us + there + back, &answer);
        };
        exchange(1_000_000, 50_000, 0);
        exchange(2_000_000, 100, 100);
        exchange(3_000_000, 0, 80_000);
        let offset = filter.offset(3_080_000).unwrap();
        assert_eq!(offset.offset_us, 5_000);
        assert!(offset.error_us < 600, "{offset:?}");
        assert_eq!(filter.round_trip(), Some(Duration::from_micros(200)));
    }

    #[test]
    fn an_estimate_is_worth_less_as_it_grows_old_and_the_origins_own_is_not() {
        let offset = Offset { offset_us: -5, error_us: 300 };
        let later = offset.aged(Duration::from_secs(1));
        assert_eq!((later.offset_us, later.error_us), (-5, 300 + 400 + 1));
        let much_later = offset.aged(Duration::from_secs(1 << 40));
        assert_eq!(much_later.error_us, u32::MAX - 1, "and never becomes the sign for none");
        assert_eq!(Offset::ORIGIN.aged(Duration::from_secs(9)), Offset::ORIGIN);
    }

    #[test]
    fn an_answer_that_knows_no_time_gives_none() {
        let mut filter = ClockFilter::default();
        let answer = Answer { asked_us: 0, received_us: 5, answered_us: 5, error_us: u32::MAX };
        filter.handle_answer(10, &answer);
        assert_eq!(filter.offset(10), None);
    }
}

//! Clocks of a load's participants: each is off by a fixed offset and estimates the origin's time from
//! probes, as a real participant does (SPEC.md section 7). Pure. Used by [`super::speakers`] and
//! [`super::reporting`].

use std::time::Instant;

use tribune_protocol::limits::CAPTURE_STAMP_PERIOD;
use tribune_protocol::media::datagram::{Capture, OriginTime};
use tribune_protocol::media::probe::{Answer, Probe};
use tribune_protocol::time::{ClockFilter, Offset};
use tribune_relay_core::clock::WallClock;

/// Clock of a participant, with its estimate of the origin's clock.
#[derive(Debug)]
pub(crate) struct OwnClock {
    wall: WallClock,
    wrong_us: i64,
    filter: ClockFilter,
}

impl OwnClock {
    /// Clock that is up to 36 minutes off from `wall`, depending on the participant's number, so that using
    /// it as the origin's time shows as an error. It runs at the rate of `wall`.
    pub(crate) fn new(wall: WallClock, number: usize) -> Self {
        // The golden ratio of 2^32 spreads consecutive numbers.
        let spread = (number as u32).wrapping_mul(0x9e37_79b9).cast_signed();
        Self { wall, wrong_us: spread.into(), filter: ClockFilter::default() }
    }

    /// Next probe for the origin's time, to be sent at once, if one is due.
    pub(crate) fn poll_question(&mut self, now: Instant) -> Option<Probe> {
        let asked_us = self.local_us(now);
        self.filter.poll_question(asked_us).then_some(Probe::Question { asked_us })
    }

    /// Takes the relay's answer to a probe.
    pub(crate) fn handle_answer(&mut self, now: Instant, answer: &Answer) {
        self.filter.handle_answer(self.local_us(now), answer);
    }

    /// An instant in the origin's clock and the bound of its error, both in microseconds; `None` before the
    /// first answer.
    pub(crate) fn origin_us(&self, at: Instant) -> Option<(u64, u32)> {
        let local_us = self.local_us(at);
        let offset: Offset = self.filter.offset(local_us)?;
        Some((offset.to_origin(local_us).0, offset.error_us))
    }

    /// Shortest round trip of the last probes, in microseconds; 0 before the first answer.
    pub(crate) fn round_trip_us(&self) -> u32 {
        let shortest = self.filter.round_trip().map_or(0, |rtt| rtt.as_micros().max(1));
        u32::try_from(shortest).unwrap_or(u32::MAX)
    }

    fn local_us(&self, at: Instant) -> u64 {
        self.wall.unix_us(at).wrapping_add_signed(self.wrong_us)
    }
}

/// Capture times of a speaker: its clock, and which of its frames carry one.
#[derive(Debug)]
pub(crate) struct Stamper {
    clock: OwnClock,
    stamped: Option<Instant>,
}

impl Stamper {
    /// Speaker without a stamped frame.
    pub(crate) const fn new(clock: OwnClock) -> Self {
        Self { clock, stamped: None }
    }

    /// Next probe for the origin's time, to be sent at once, if one is due.
    pub(crate) fn poll_question(&mut self, now: Instant) -> Option<Probe> {
        self.clock.poll_question(now)
    }

    /// Takes the relay's answer to a probe.
    pub(crate) fn handle_answer(&mut self, now: Instant, answer: &Answer) {
        self.clock.handle_answer(now, answer);
    }

    /// Capture time of a frame that is captured now, if that frame is to carry one.
    pub(crate) fn poll_capture(&mut self, now: Instant) -> Option<Capture> {
        let is_due = |last| now.saturating_duration_since(last) >= CAPTURE_STAMP_PERIOD;
        if !self.stamped.is_none_or(is_due) {
            return None;
        }
        let (at_us, error_us) = self.clock.origin_us(now)?;
        self.stamped = Some(now);
        Some(Capture { at: OriginTime(at_us), error_us: Some(error_us) })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    const US: Duration = Duration::from_micros(1);
    pub(crate) const UNIX_US: u64 = 1_700_000_000_000_000;

    /// Sends one probe at `now` to an origin whose clock is `wall`, and delivers the answer.
    pub(crate) fn learn(clock: &mut OwnClock, wall: WallClock, now: Instant, round_trip: Duration) {
        let Some(Probe::Question { asked_us }) = clock.poll_question(now) else {
            panic!("it does not ask");
        };
        let time = wall.unix_us(now + round_trip / 2);
        let answer = Answer { asked_us, received_us: time, answered_us: time, error_us: 0 };
        clock.handle_answer(now + round_trip, &answer);
    }

    #[test]
    fn a_wrong_clock_learns_the_right_time() {
        let wall = WallClock { at: Instant::now(), unix_us: UNIX_US };
        for number in 0..100 {
            let mut clock = OwnClock::new(wall, number);
            let wrong = clock.local_us(wall.at).abs_diff(UNIX_US);
            assert!(number == 0 || wrong > 1_000_000, "{number}: {wrong}");
            assert_eq!((clock.origin_us(wall.at), clock.round_trip_us()), (None, 0));
            learn(&mut clock, wall, wall.at, 600 * US);
            assert!(clock.poll_question(wall.at + 99_999 * US).is_none(), "the protocol's pace");
            let at = wall.at + 600 * US;
            let (origin_us, error_us) = clock.origin_us(at).unwrap();
            // Half microseconds are rounded.
            assert!(origin_us.abs_diff(UNIX_US + 600) <= 1, "{number}: {origin_us}");
            assert_eq!(error_us, 301);
            assert_eq!(clock.round_trip_us(), 600);
        }
    }

    #[test]
    fn a_frame_a_second_bears_its_capture_time() {
        let wall = WallClock { at: Instant::now(), unix_us: UNIX_US };
        let mut stamper = Stamper::new(OwnClock::new(wall, 7));
        assert_eq!(stamper.poll_capture(wall.at), None, "the time is not known yet");
        learn(&mut stamper.clock, wall, wall.at, 600 * US);
        let stamps = (0..200).filter_map(|n| stamper.poll_capture(wall.at + n * 20_000 * US));
        let stamps: Vec<Capture> = stamps.collect();
        assert_eq!(stamps.len(), 4);
        assert!(stamps[3].at.0.abs_diff(UNIX_US + 3_000_000) <= 1, "{stamps:?}");
        assert!(stamps[3].error_us > Some(301), "the estimate grows older: {stamps:?}");
    }
}

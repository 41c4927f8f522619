//! Moves of playout: where a talkspurt begins, and inside one.

use super::{
    FRAME_PERIOD_US, JitterBuffer, LOST_FRAMES_MAX, Phase, frames_up, place_us, us_samples,
};

/// Samples at 48 kHz by which stretching may make the delay longer than wanted, 10 ms: with [`TOO_SHORT_US`] that is a
/// period of any voice's pitch, and little enough not to have to be made shorter again.
pub const STRETCH_OVER_SAMPLES: i64 = 480;
/// Excess of the delay over the target, in µs, from which on it is made shorter inside a talkspurt: a period of any
/// voice's pitch, 2.5 to 12.5 ms, has to fit, or a part of one would be cut out.
const TOO_LONG_US: i64 = 12_500;
/// The same where the network has settled: the target itself moves by as much.
const TOO_LONG_SETTLED_US: i64 = 5_000;
/// Excess in µs that a talkspurt may begin with: silence is cut at any length, and it is not to be too long a little later.
const BEGIN_OVER_US: i64 = 2_500;
/// How much shorter than the target the delay may be, in µs, before it is made longer. The margin has room for it.
const TOO_SHORT_US: i64 = 2_500;
/// Time in µs from a stream's first frame on in which its delay may still be corrected at once.
const SETTLING_US: i64 = 1_000_000;
/// How much longer than wanted what has piled up may make the delay, in µs, while a stream is beginning: more than jitter
/// or a hiccup of a machine makes it, and little enough to be stretched away within a second.
const SETTLING_SLACK_US: i64 = 150_000;
/// Frame periods for which a missing frame is waited for in a stream's first seconds: where one is lost then, others will
/// be, and the delay is needed in which they can be repaired.
const EARLY_WAIT_PERIODS: u32 = 4;
/// Frames in a row that were waited for in vain from which on none is waited for so: they are not repaired, and may be
/// recovered from the one after them.
const EARLY_WAITS_IN_VAIN: u8 = 2;
/// Delay in µs up to which that may make it longer: what has not been repaired within as much is lost.
const EARLY_DELAY_US: i64 = 200_000;

impl<P> JitterBuffer<P> {
    /// By how many samples at 48 kHz the delay should become longer (positive) or shorter (negative) while a frame
    /// is being played; 0 while it is as it should be. Less than that is welcome, and so are up to
    /// [`STRETCH_OVER_SAMPLES`] more where it should become longer.
    pub fn wanted_stretch(&self) -> i64 {
        let Some(delay_us) = self.delay_us() else { return 0 };
        let least_us = self.least_delay_us();
        let missing_us = least_us - delay_us;
        if missing_us > TOO_SHORT_US {
            return us_samples(missing_us);
        }
        let excess_us = delay_us - self.delays.held_target_us().max(least_us);
        let settled_excess_us = delay_us - self.delays.settled_target_us().max(least_us);
        let is_long = excess_us > TOO_LONG_US || settled_excess_us > TOO_LONG_SETTLED_US;
        if is_long { -us_samples(excess_us) } else { 0 }
    }

    /// Chooses when the talkspurt begins whose first frame is in the buffer, if one is: µs from `at_us` until then,
    /// 0 or less if it is due. Silence is made longer or shorter without being heard, so the delay is moved to where it
    /// should be.
    pub(super) fn anchor(&mut self, at_us: i64) -> Option<i64> {
        let (&first, _) = self.slots.first_key_value()?;
        let quickest_us = self.delays.min_transit_us()?;
        let least_us = self.least_delay_us();
        let delay_us = match self.delay_us().filter(|_| !self.is_settling(at_us)) {
            Some(delay_us) => delay_us.clamp(least_us, least_us + BEGIN_OVER_US),
            None => least_us,
        };
        self.base_us = Some(quickest_us + delay_us);
        let wait_us = place_us(first) + quickest_us + delay_us - at_us;
        if wait_us > 0 {
            self.next = first - frames_up(wait_us);
        }
        Some(wait_us)
    }

    /// Begins the talkspurt whose first frame is in the buffer and has been due for `late_us`; µs until it is due
    /// if it turns out not to be.
    pub(super) fn begin_talkspurt(&mut self, at_us: i64, late_us: i64) -> Option<i64> {
        let phase = self.phase;
        if self.is_settling(at_us) && late_us > SETTLING_SLACK_US && !self.config.keeps_all {
            // What came in a burst before much was heard is not worth a longer delay.
            self.next = self.slots.first_key_value().map_or(self.next, |(&first, _)| first);
            self.skip((late_us / FRAME_PERIOD_US) as u64);
            self.phase = phase;
            if let Some(wait_us) = self.anchor(at_us).filter(|wait_us| *wait_us > 0) {
                return Some(wait_us);
            }
        }
        match phase {
            Phase::Fresh => self.settled_at_us = at_us + SETTLING_US,
            Phase::Starved => self.is_piled_up = true,
            Phase::Silent | Phase::Talking => {}
        }
        self.end_wait();
        self.next = self.slots.first_key_value().map_or(self.next, |(&first, _)| first);
        if phase == Phase::Starved {
            self.give_up_outage();
        }
        self.phase = Phase::Talking;
        self.base_us = Some(at_us - place_us(self.next));
        self.pass_to(self.next);
        None
    }

    /// The talk goes on after a stall: what has not come of it is lost, as far as it can be told from silence.
    fn give_up_outage(&mut self) {
        let outage = self.floor..self.next;
        if outage.end.saturating_sub(outage.start) <= LOST_FRAMES_MAX {
            self.pass_to(outage.end);
            outage.for_each(|place| self.give_up(place));
        }
    }

    /// Waits for the next place if its frame is missing and may still come, and drops frames that have piled up. `true`
    /// if this frame period is to be filled without playing anything.
    pub(super) fn move_while_talking(&mut self, at_us: i64) -> bool {
        self.base_us = Some(at_us - place_us(self.next));
        let Some(delay_us) = self.delay_us() else { return false };
        let mut excess_us = delay_us - self.least_delay_us();
        if !self.slots.contains_key(&self.next) {
            // While nothing newer has come, it is late rather than lost.
            let is_early = self.delays.is_beginning()
                && delay_us + FRAME_PERIOD_US <= EARLY_DELAY_US.min(self.config.max_us())
                && self.waited_periods < EARLY_WAIT_PERIODS
                && self.waits_in_vain < EARLY_WAITS_IN_VAIN;
            let is_worth_it = self.slots.is_empty() || excess_us <= -FRAME_PERIOD_US || is_early;
            if is_worth_it && self.waited_periods < self.config.starved_after_periods() {
                self.waited_periods += 1;
                return true;
            }
        }
        if self.slots.is_empty() {
            self.phase = Phase::Starved;
            return false;
        }
        excess_us -= self.end_wait() as i64 * FRAME_PERIOD_US;
        let delay_us = self.least_delay_us() + excess_us;
        if self.config.keeps_all {
            self.is_piled_up = false;
        } else if self.is_settling(at_us) && excess_us > SETTLING_SLACK_US {
            self.skip((excess_us / FRAME_PERIOD_US) as u64);
        } else if self.is_piled_up && delay_us > self.config.max_us() + FRAME_PERIOD_US {
            // After a stall: what has piled up is no longer live.
            self.skip((excess_us / FRAME_PERIOD_US) as u64);
        } else if delay_us <= self.config.max_us() {
            self.is_piled_up = false;
        }
        self.base_us = Some(at_us - place_us(self.next));
        false
    }

    /// Ends the waiting for a frame. If newer ones are here and it is not, it is lost, and the periods that were
    /// concealed meanwhile stood for it and for those lost after it: so many places are given up. Other periods have
    /// made the delay longer.
    fn end_wait(&mut self) -> u64 {
        let waited = u64::from(std::mem::take(&mut self.waited_periods));
        let first = self.slots.first_key_value().map_or(self.floor, |(&first, _)| first);
        let lost = first.saturating_sub(self.floor).min(waited);
        if waited > 0 {
            self.waits_in_vain = if lost > 0 { self.waits_in_vain.saturating_add(1) } else { 0 };
        }
        for _ in 0..lost {
            let place = self.floor;
            self.pass_to(place + 1);
            self.give_up(place);
        }
        self.next = self.next.max(self.floor);
        self.counts.stretched += waited - lost;
        lost
    }

    /// Drops `frames` places from the front, but never the last frame in the buffer.
    fn skip(&mut self, frames: u64) {
        let Some((&last, _)) = self.slots.last_key_value() else { return };
        let end = (self.next + frames).min(last);
        while self.next < end {
            let place = self.next;
            self.next += 1;
            self.pass_to(place + 1);
            match self.slots.remove(&place) {
                Some(slot) => {
                    self.counts.skipped += 1;
                    self.arrived.insert(place);
                    if slot.talkspurt_end {
                        self.phase = Phase::Silent;
                    }
                }
                None if self.is_talking() => self.give_up(place),
                None => {}
            }
        }
    }
}

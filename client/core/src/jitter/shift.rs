//! Moves of playout: where a talkspurt begins, and inside one that is too early or too late.

use super::{FRAME_PERIOD_US, JitterBuffer, Phase, frames_up, micros, transit_us};

impl<P> JitterBuffer<P> {
    /// A talkspurt is about to begin with the first frame in the buffer: chooses when.
    pub(super) fn anchor(&mut self, now_us: i64) {
        let Some((&first, _)) = self.slots.first_key_value() else { return };
        let is_settling = self.is_settling(now_us);
        let target_us = self.delays.target_us();
        let most_us = if is_settling { self.start_delay_us() } else { target_us };
        let may_shrink = is_settling || self.delays.is_trusted();
        match self.delay_us() {
            Some(delay_us) if delay_us <= target_us - FRAME_PERIOD_US => {
                self.move_playout(-(frames_up(target_us - delay_us) as i64));
            }
            Some(delay_us) if may_shrink && delay_us > most_us + micros(self.config.slack) => {
                let excess = (delay_us - most_us) / FRAME_PERIOD_US;
                let silence = first as i64 - self.next as i64;
                if is_settling && excess > silence {
                    // What came in a burst before much was heard is not worth a longer delay. In a stall playout is past
                    // a frame that comes after all, and goes back to it first.
                    self.move_playout(silence);
                    self.skip((excess - silence) as u64);
                } else {
                    self.move_playout(excess);
                }
            }
            Some(_) => {}
            // Nothing has been polled since the stream began.
            None => {
                let quickest_us = self.delays.min_transit_us().unwrap_or_default();
                let wait_us = quickest_us + self.start_delay_us() - transit_us(now_us, first);
                self.next = first - frames_up(wait_us);
                if -wait_us > micros(self.config.slack) {
                    self.skip((-wait_us / FRAME_PERIOD_US) as u64);
                }
            }
        }
        // The first frame may be later than the delay allows for: then it is played next.
        let Some((&first, _)) = self.slots.first_key_value() else { return };
        if self.next > first {
            self.move_playout(first as i64 - self.next as i64);
        }
    }

    /// Moves the delay inside a talkspurt if it must be. `true` if this frame period is to be filled
    /// without playing anything.
    pub(super) fn move_while_talking(&mut self, now_us: i64) -> bool {
        let Some(delay_us) = self.delay_us() else { return false };
        let excess_us = delay_us - self.delays.target_us();
        let is_here = self.slots.contains_key(&self.next);
        let grew_ago_us = now_us - self.last_growth_us;
        if excess_us <= -FRAME_PERIOD_US
            && (!is_here || grew_ago_us >= micros(self.config.grow_interval))
        {
            self.last_growth_us = now_us;
            self.schedule.shift(FRAME_PERIOD_US);
            self.counts.stretched += 1;
            return true;
        }
        if excess_us <= micros(self.config.slack_talking) {
            self.too_long_since_us = None;
        }
        let start_excess_us = delay_us - self.start_delay_us();
        if self.is_settling(now_us) && start_excess_us > micros(self.config.slack) {
            self.skip((start_excess_us / FRAME_PERIOD_US) as u64);
        } else if delay_us > self.config.max_us() + FRAME_PERIOD_US {
            // After a stall: what has piled up is no longer live.
            self.skip((excess_us / FRAME_PERIOD_US) as u64);
        } else if excess_us > micros(self.config.slack) && !is_here && !self.slots.is_empty() {
            // A lost frame makes the delay shorter for free.
            self.skip(1);
        } else if excess_us > micros(self.config.slack_talking) {
            let since_us = *self.too_long_since_us.get_or_insert(now_us);
            if now_us - since_us >= micros(self.config.shrink_after) {
                self.too_long_since_us = None;
                self.skip(1);
            }
        }
        false
    }

    /// Drops `frames` places from the front, but never the last frame in the buffer.
    pub(super) fn skip(&mut self, frames: u64) {
        let Some((&last, _)) = self.slots.last_key_value() else { return };
        let end = (self.next + frames).min(last);
        while self.next < end {
            let place = self.next;
            self.move_playout(1);
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

    /// Moves playout by `frames` places: forward (positive) makes the delay shorter.
    pub(super) fn move_playout(&mut self, frames: i64) {
        self.next = self.next.saturating_add_signed(frames);
        self.schedule.shift(-frames * FRAME_PERIOD_US);
    }
}

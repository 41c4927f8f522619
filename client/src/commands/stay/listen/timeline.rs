//! Timeline of a recording. What is heard later on purpose, in `audience` and `reliable`, is not later in the file:
//! the delay at the beginning is left out, and what waits at the end is played out. Pure.

use std::time::Duration;

use crate::audio::TICK_PERIOD;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Timeline {
    /// It is written as fast as it comes, not heard now.
    is_file: bool,
    /// Ticks at the beginning that were left out.
    left_out: u64,
    has_begun: bool,
}

impl Timeline {
    /// The timeline of a file, or of a loudspeaker, which plays every tick as it comes.
    pub(super) const fn new(is_file: bool) -> Self {
        Self { is_file, left_out: 0, has_begun: false }
    }

    /// Whether the sink takes the next tick, of a playout with this delay.
    pub(super) fn takes(&mut self, delay: Option<Duration>) -> bool {
        if self.is_file && !self.has_begun && self.left_out < ticks(delay) {
            self.left_out += 1;
            return false;
        }
        self.has_begun = true;
        true
    }

    /// Ticks to be played out at the end: at once, as nobody hears them.
    pub(super) const fn left(&self) -> u64 {
        self.left_out
    }

    /// Ticks to be played out in their time when a room has ended: a loudspeaker's listeners want to hear its end.
    pub(super) fn left_to_hear(&self, delay: Option<Duration>) -> u64 {
        if self.is_file { 0 } else { ticks(delay) }
    }
}

fn ticks(delay: Option<Duration>) -> u64 {
    let ticks = delay.unwrap_or_default().as_micros() / TICK_PERIOD.as_micros();
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_A_SECOND: Option<Duration> = Some(Duration::from_millis(500));

    #[test]
    fn a_file_has_as_many_ticks_as_were_heard_and_none_of_the_delay() {
        for heard in [30_u64, 100, 101, 1_000] {
            let mut timeline = Timeline::new(true);
            let taken = (0..heard).filter(|_| timeline.takes(HALF_A_SECOND)).count() as u64;
            assert_eq!(taken, heard.saturating_sub(100));
            assert_eq!(taken + timeline.left(), heard);
            assert_eq!(timeline.left_to_hear(HALF_A_SECOND), 0);
        }
    }

    #[test]
    fn a_delay_that_comes_or_goes_in_the_middle_changes_nothing_of_the_length() {
        let mut timeline = Timeline::new(true);
        assert!(timeline.takes(None));
        assert!(timeline.takes(HALF_A_SECOND));
        assert_eq!(timeline.left(), 0);
        let mut timeline = Timeline::new(true);
        assert!((0..100).all(|_| !timeline.takes(HALF_A_SECOND)));
        assert!(timeline.takes(HALF_A_SECOND) && timeline.takes(None) && timeline.takes(None));
        assert_eq!(timeline.left(), 100);
    }

    #[test]
    fn a_loudspeaker_plays_from_the_first_tick_to_the_end_of_the_room() {
        let mut timeline = Timeline::new(false);
        assert!((0..200).all(|_| timeline.takes(HALF_A_SECOND)));
        assert_eq!((timeline.left(), timeline.left_to_hear(HALF_A_SECOND)), (0, 100));
        assert_eq!(timeline.left_to_hear(None), 0);
    }
}

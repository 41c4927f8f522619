//! Tally of one window of a contender: frames that its listeners received in time. Pure; used by load
//! clients of other systems.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::contender::latencies;
use crate::frame::{Schedule, Stamp};

/// Time after the end of the span in which a frame still counts, so that a server that falls behind does
/// not catch up for free.
const GRACE: Duration = Duration::from_millis(200);

/// Running tally of one window.
#[derive(Debug)]
pub struct WindowTally {
    number: u16,
    schedule: Schedule,
    counted: WindowCounts,
}

/// Counts of one window.
#[derive(Debug)]
pub struct WindowCounts {
    /// Measured frames that arrived in time, over all listeners.
    pub frames: u64,
    /// Time from due to received, in microseconds.
    pub latency_us: Histogram<u64>,
}

impl WindowTally {
    /// No frame yet, in the window of that number.
    ///
    /// # Errors
    /// None; see [`latencies`].
    pub fn new(number: u16, schedule: Schedule) -> Result<Self> {
        let counted = WindowCounts { frames: 0, latency_us: latencies()? };
        Ok(Self { number, schedule, counted })
    }

    /// Counts a frame that a listener received. Each is passed once.
    pub fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        let Some(stamp) = Stamp::read(frame).filter(|stamp| stamp.room == self.number) else {
            return;
        };
        let (_, to) = self.schedule.span();
        if self.schedule.measured_place(stamp.index).is_none() || now > to + GRACE {
            return;
        }
        self.counted.frames += 1;
        let due = self.schedule.start + Duration::from_nanos(stamp.due_ns);
        let age = now.saturating_duration_since(due);
        self.counted.latency_us.saturating_record(age.as_micros() as u64);
    }

    /// Ends the window.
    #[must_use]
    pub fn close(self) -> WindowCounts {
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::STAMP_BYTES;

    #[test]
    fn only_frames_of_the_window_that_came_in_time_are_counted() {
        let start = Instant::now();
        let schedule = Schedule { start, before: 10, measured: 5, after: 2 };
        let mut tally = WindowTally::new(3, schedule).unwrap();
        let ms = Duration::from_millis;
        let mut hear = |room: u16, index: u32, age: Duration| {
            let due = schedule.due(index, 0, 1);
            let mut frame = [0; STAMP_BYTES + 2];
            let due_ns = (due - start).as_nanos() as u64;
            Stamp { room, speaker: 0, index, due_ns }.write(&mut frame);
            tally.handle_frame(due + age, &frame);
        };
        hear(3, 10, ms(7));
        hear(3, 14, ms(220)); // the span ends 20 ms after it is due
        hear(3, 14, ms(221)); // too late
        hear(3, 9, ms(1)); // before the span
        hear(3, 15, ms(1)); // after it
        hear(2, 10, ms(1)); // of the window before
        tally.handle_frame(start, b"TB");
        let heard = tally.close();
        assert_eq!(heard.frames, 2);
        assert_eq!(heard.latency_us.len(), 2);
        assert!((7_000..7_010).contains(&heard.latency_us.min()), "{}", heard.latency_us.min());
    }
}

//! Tally of the frames that listeners received in a window.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use tribune_bench::contender::latencies;
use tribune_bench::frame::{Schedule, Stamp};

/// Counts of a thread's listeners.
#[derive(Debug)]
pub(crate) struct Heard {
    window: Option<Span>,
    frames: u64,
    latency: Histogram<u64>,
    last: Option<Instant>,
}

/// Window to which frames belong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Number of the window, which frames carry in place of the room.
    pub(crate) number: u16,
    /// Schedule of the speakers.
    pub(crate) schedule: Schedule,
}

impl Heard {
    /// No frame yet.
    ///
    /// # Errors
    /// None.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { window: None, frames: 0, latency: latencies()?, last: None })
    }

    /// Resets the counts and starts a window.
    pub(crate) fn begin(&mut self, span: Span) {
        self.window = Some(span);
        self.frames = 0;
        self.latency.reset();
    }

    /// Takes a frame. It counts if it arrives while measured frames are due, whichever frame it is, so that the
    /// count covers the same span as the relay's CPU time.
    pub(crate) fn hear(&mut self, frame: &[u8], now: Instant) {
        self.last = Some(now);
        let (Some(span), Some(stamp)) = (self.window, Stamp::read(frame)) else { return };
        let (from, to) = span.schedule.span();
        if stamp.room != span.number || now < from || now >= to {
            return;
        }
        self.frames += 1;
        let due = span.schedule.start + Duration::from_nanos(stamp.due_ns);
        self.latency.saturating_record(now.saturating_duration_since(due).as_micros() as u64);
    }

    /// Frames received in the window.
    pub(crate) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Their latencies, in microseconds.
    pub(crate) const fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// Arrival of the last frame.
    pub(crate) const fn last(&self) -> Option<Instant> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_count_by_when_they_come() {
        let start = Instant::now();
        let schedule = Schedule { start, before: 10, measured: 5, after: 2 };
        let (from, to) = schedule.span();
        let mut heard = Heard::new().unwrap();
        let frame = |number| {
            let mut frame = [0; 20];
            Stamp { room: number, speaker: 0, index: 9, due_ns: 180_000_000 }.write(&mut frame);
            frame
        };
        heard.hear(&frame(1), from);
        heard.begin(Span { number: 1, schedule });
        assert_eq!((heard.frames(), heard.last()), (0, Some(from)));
        heard.hear(&frame(1), from - Duration::from_nanos(1));
        heard.hear(&frame(0), from);
        heard.hear(&frame(1), to);
        heard.hear(b"not ours", from);
        assert_eq!(heard.frames(), 0);
        heard.hear(&frame(1), from + Duration::from_millis(5));
        assert_eq!((heard.frames(), heard.latency().len()), (1, 1));
        assert_eq!(heard.latency().max() / 100, 250);
    }
}

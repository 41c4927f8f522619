//! Longest gap of each listener in each second of a round, beyond the frame period: the effect of a join
//! storm on listeners that are already connected. Pure.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use tribune_bench::contender::latencies;
use tribune_protocol::limits::FRAME_PERIOD;

/// Gaps of a thread's listeners in the measured span.
#[derive(Debug)]
pub(crate) struct Gaps {
    from: Instant,
    to: Instant,
    seconds: usize,
    speakers: usize,
    /// Last frame of each speaker at each listener.
    last: Vec<Option<Instant>>,
    /// Per listener and second, the longest gap that ended in it, in microseconds.
    longest_us: Vec<u32>,
    /// Per second, the longest time between two sweeps of the sockets, in microseconds: the resolution of
    /// the gaps.
    sweeps_us: Vec<u32>,
}

impl Gaps {
    /// No frame yet, in a span between two instants.
    pub(crate) fn new((from, to): (Instant, Instant), listeners: usize, speakers: u16) -> Self {
        let seconds = (to - from).as_secs_f64().ceil() as usize;
        let speakers = usize::from(speakers);
        Self {
            from,
            to,
            seconds,
            speakers,
            last: vec![None; listeners * speakers],
            longest_us: vec![0; listeners * seconds],
            sweeps_us: vec![0; seconds],
        }
    }

    /// Takes a frame that a listener received; `speaker` is the index of the pair of listener and speaker.
    pub(crate) fn handle_frame(&mut self, now: Instant, speaker: usize) {
        if let (Some(last), Some(second)) = (self.last[speaker], self.second(now)) {
            let gap = now.saturating_duration_since(last).saturating_sub(FRAME_PERIOD);
            let longest = &mut self.longest_us[speaker / self.speakers * self.seconds + second];
            *longest = (*longest).max(gap.as_micros() as u32);
        }
        self.last[speaker] = Some(now);
    }

    /// Takes a sweep of the sockets, `since` after the previous one.
    pub(crate) fn handle_sweep(&mut self, now: Instant, since: Duration) {
        if let Some(second) = self.second(now) {
            self.sweeps_us[second] = self.sweeps_us[second].max(since.as_micros() as u32);
        }
    }

    /// Ends the span: a silence that lasts to its end counts as a gap.
    pub(crate) fn close(&mut self) {
        let end = self.to - Duration::from_nanos(1);
        for speaker in 0..self.last.len() {
            if self.last[speaker].is_some_and(|last| last < end) {
                self.handle_frame(end, speaker);
            }
        }
    }

    /// Adds the listeners of another thread.
    pub(crate) fn merge(&mut self, other: Self) {
        self.longest_us.extend(other.longest_us);
        for (sum, more) in self.sweeps_us.iter_mut().zip(other.sweeps_us) {
            *sum = (*sum).max(more);
        }
    }

    /// Seconds of the span, the last one perhaps incomplete.
    pub(crate) const fn seconds(&self) -> usize {
        self.seconds
    }

    /// Longest gap of each listener in a range of seconds, in microseconds.
    ///
    /// # Errors
    /// None with the bounds of a histogram of latencies.
    pub(crate) fn longest(&self, seconds: Range<usize>) -> Result<Histogram<u64>> {
        let mut all = latencies()?;
        for listener in self.longest_us.chunks_exact(self.seconds) {
            let longest = listener[seconds.clone()].iter().max().copied().unwrap_or_default();
            all.saturating_record(u64::from(longest));
        }
        Ok(all)
    }

    /// Longest time between two sweeps in a range of seconds, in microseconds.
    pub(crate) fn longest_sweep(&self, seconds: Range<usize>) -> u32 {
        self.sweeps_us[seconds].iter().max().copied().unwrap_or_default()
    }

    fn second(&self, now: Instant) -> Option<usize> {
        let inside = now >= self.from && now < self.to;
        inside.then(|| (now - self.from).as_secs() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_gap_belongs_to_its_listener_and_to_the_second_in_which_it_ends() {
        let from = Instant::now();
        let mut gaps = Gaps::new((from, from + 3_000 * MS), 2, 1);
        let mut at = from - 20 * MS;
        while at < from + 3_000 * MS {
            gaps.handle_frame(at, 0);
            // The second listener hears nothing for 60 ms in the middle of the second second.
            if at <= from + 1_500 * MS || at >= from + 1_560 * MS {
                gaps.handle_frame(at, 1);
            }
            at += 20 * MS;
        }
        gaps.handle_sweep(from + 2_100 * MS, 7 * MS);
        gaps.close();
        let of = |seconds| gaps.longest(seconds).unwrap();
        assert_eq!((of(0..1).max(), of(0..1).len()), (0, 2));
        assert!(of(1..2).equivalent(of(1..2).max(), 40_000));
        assert_eq!((of(1..2).min(), of(2..3).max()), (0, 0));
        assert_eq!((gaps.longest_sweep(0..2), gaps.longest_sweep(2..3)), (0, 7_000));
        let mut more = Gaps::new((from, from + 3_000 * MS), 1, 1);
        more.handle_frame(from + 1_000 * MS, 0);
        more.close();
        gaps.merge(more);
        let last = gaps.longest(2..3).unwrap();
        assert_eq!(last.len(), 3);
        assert!(
            last.equivalent(last.max(), 1_980_000),
            "silence to the end counts: {}",
            last.max()
        );
    }
}

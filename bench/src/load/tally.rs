//! Tally of a thread's listeners in a round: each measured frame counts once, by its number. Pure.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use tribune_bench::contender::latencies;
use tribune_bench::frame::Stamp;
use tribune_protocol::media::datagram::Frame;

use super::gaps::Gaps;
use super::reporting::Reported;
use super::round::Round;
use crate::pool::events::MemberId;

/// Sums over the listeners of a thread, or of all threads.
#[derive(Debug, Default)]
pub(crate) struct ListenerStats {
    /// Measured frames received, each once per listener.
    pub(crate) frames: u64,
    /// Measured frames received again.
    pub(crate) duplicates: u64,
    /// Frames that no speaker of the load sent, or that do not match what was sent.
    pub(crate) foreign: u64,
    /// Listeners that missed a frame.
    pub(crate) listeners_with_loss: u64,
    /// Per room, a bit for each frame that at least one listener received.
    heard_by_some: BTreeMap<u16, Vec<u64>>,
    /// Time from due to read, in microseconds.
    pub(crate) latency_us: Option<Histogram<u64>>,
    /// Time from sent to read, in microseconds.
    pub(crate) added_us: Option<Histogram<u64>>,
    /// Time from one sweep of the sockets to the next, in microseconds: bound of the error of both latencies.
    pub(crate) sweeps_us: Option<Histogram<u64>>,
    /// Gaps of the listeners, if the round records them.
    pub(crate) gaps: Option<Gaps>,
    /// Packets of these listeners that the kernel did not accept.
    pub(crate) send_refused: u64,
    /// Questions for missing frames in the round, if packets are lost on purpose.
    pub(crate) questions: Option<u64>,
    /// Reports of the listeners up to the end of the round, if they report.
    pub(crate) reported: Option<Reported>,
}

impl ListenerStats {
    /// Adds the listeners of another thread.
    pub(crate) fn merge(&mut self, other: Self) {
        self.frames += other.frames;
        self.duplicates += other.duplicates;
        self.foreign += other.foreign;
        self.listeners_with_loss += other.listeners_with_loss;
        self.send_refused += other.send_refused;
        self.questions = match (self.questions, other.questions) {
            (Some(sum), Some(more)) => Some(sum + more),
            (sum, more) => sum.or(more),
        };
        for (room, seen) in other.heard_by_some {
            merge_bits(self.heard_by_some.entry(room).or_default(), &seen);
        }
        merge_histograms(&mut self.latency_us, other.latency_us);
        merge_histograms(&mut self.added_us, other.added_us);
        merge_histograms(&mut self.sweeps_us, other.sweeps_us);
        match (&mut self.reported, other.reported) {
            (Some(sum), Some(more)) => sum.merge(&more),
            (sum @ None, more) => *sum = more,
            (Some(_), None) => {}
        }
        match (&mut self.gaps, other.gaps) {
            (Some(sum), Some(more)) => sum.merge(more),
            (sum @ None, more) => *sum = more,
            (Some(_), None) => {}
        }
    }

    /// Frames that at least one listener of the speaker's room received. The rest of what was sent was lost
    /// on the way to the relay, or in it before fan-out.
    pub(crate) fn heard_by_some(&self) -> u64 {
        self.heard_by_some.values().flatten().map(|word| u64::from(word.count_ones())).sum()
    }
}

fn merge_bits(sum: &mut Vec<u64>, more: &[u64]) {
    sum.resize(sum.len().max(more.len()), 0);
    sum.iter_mut().zip(more).for_each(|(all, own)| *all |= own);
}

fn merge_histograms(sum: &mut Option<Histogram<u64>>, more: Option<Histogram<u64>>) {
    match (&mut *sum, more) {
        // All histograms have the same bounds, so this cannot fail.
        (Some(sum), Some(more)) => drop(sum.add(&more)),
        (None, more) => *sum = more,
        (Some(_), None) => {}
    }
}

/// Counts of a running round.
#[derive(Debug)]
pub(crate) struct Tally {
    round: Round,
    /// Room of each listener.
    rooms: Vec<u16>,
    /// A bit per listener, speaker and measured frame.
    seen: Vec<u64>,
    words_per_speaker: usize,
    swept: Option<Instant>,
    heard: ListenerStats,
}

impl Tally {
    /// No frame yet; `rooms` has the room of each listener.
    pub(crate) fn new(round: Round, rooms: Vec<u16>) -> Self {
        let words_per_speaker = round.schedule.measured.div_ceil(u64::BITS) as usize;
        let words = words_per_speaker * usize::from(round.speakers) * rooms.len();
        let gaps = || Gaps::new(round.schedule.span(), rooms.len(), round.speakers);
        let heard = ListenerStats {
            latency_us: latencies().ok(),
            added_us: latencies().ok(),
            sweeps_us: latencies().ok(),
            gaps: round.gaps.then(gaps),
            ..ListenerStats::default()
        };
        Self { round, rooms, seen: vec![0; words], words_per_speaker, swept: None, heard }
    }

    /// Counts a frame that a listener received.
    pub(crate) fn handle_frame(&mut self, now: Instant, listener: MemberId, frame: &Frame) {
        let Round { schedule, speakers, .. } = self.round;
        let fits =
            |stamp: &Stamp| stamp.room == self.rooms[listener] && stamp.index as u16 == frame.seq.0;
        let Some(stamp) = Stamp::read(&frame.opus).filter(fits) else {
            self.heard.foreign += 1;
            return;
        };
        let Some(place) = schedule.measured_place(stamp.index) else { return };
        if stamp.speaker >= speakers {
            self.heard.foreign += 1;
            return;
        }
        let speaker = listener * usize::from(speakers) + usize::from(stamp.speaker);
        let word = speaker * self.words_per_speaker + (place / u64::BITS) as usize;
        let bit = 1 << (place % u64::BITS);
        if self.seen[word] & bit != 0 {
            self.heard.duplicates += 1;
            return;
        }
        self.seen[word] |= bit;
        self.heard.frames += 1;
        let age = now.saturating_duration_since(schedule.start).as_nanos() as u64;
        if let Some(latency) = &mut self.heard.latency_us {
            latency.saturating_record(age.saturating_sub(stamp.due_ns) / 1_000);
        }
        if let (Some(added), Some(sent)) = (&mut self.heard.added_us, Stamp::read_sent(&frame.opus))
        {
            added.saturating_record(age.saturating_sub(sent) / 1_000);
        }
        if let Some(gaps) = &mut self.heard.gaps {
            gaps.handle_frame(now, speaker);
        }
    }

    /// Takes the start of a sweep of the sockets.
    pub(crate) fn handle_sweep(&mut self, now: Instant) {
        let (from, to) = self.round.schedule.span();
        if let Some(before) = self.swept.replace(now).filter(|_| now >= from && now < to) {
            if let Some(sweeps) = &mut self.heard.sweeps_us {
                sweeps.saturating_record((now - before).as_micros() as u64);
            }
            if let Some(gaps) = &mut self.heard.gaps {
                gaps.handle_sweep(now, now - before);
            }
        }
    }

    /// Whether the round is over, so that missing frames count as lost.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.round.schedule.end()
    }

    /// Ends the round.
    pub(crate) fn close(mut self) -> ListenerStats {
        let Round { schedule, speakers, .. } = self.round;
        if let Some(gaps) = &mut self.heard.gaps {
            gaps.close();
        }
        let per_listener = self.words_per_speaker * usize::from(speakers);
        let expected = u64::from(schedule.measured) * u64::from(speakers);
        if per_listener == 0 {
            return self.heard;
        }
        for (seen, room) in self.seen.chunks_exact(per_listener).zip(&self.rooms) {
            let frames: u64 = seen.iter().map(|word| u64::from(word.count_ones())).sum();
            self.heard.listeners_with_loss += u64::from(frames < expected);
            merge_bits(self.heard.heard_by_some.entry(*room).or_default(), seen);
        }
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tribune_bench::frame::{SENT_STAMP_BYTES, Schedule};
    use tribune_protocol::ids::{Seq, TrackId};
    use tribune_protocol::media::datagram::Level;

    use super::*;

    #[test]
    fn each_measured_frame_counts_once_per_listener() {
        let start = Instant::now();
        let schedule = Schedule { start, before: 10, measured: 100, after: 10 };
        let round = Round { schedule, first: 0, speakers: 2, gaps: false };
        let mut tally = Tally::new(round, vec![0, 0, 1]);
        let late = start + Duration::from_millis(5);
        for index in 0..120 {
            tally.handle_frame(late, 0, &frame(0, 0, index));
            tally.handle_frame(late, 0, &frame(0, 1, index));
            if index != 50 {
                tally.handle_frame(late, 1, &frame(0, 0, index));
            }
            tally.handle_frame(late, 2, &frame(1, 1, index));
        }
        tally.handle_frame(late, 0, &frame(0, 0, 60)); // again
        tally.handle_frame(late, 0, &frame(1, 0, 61)); // of the other room
        tally.handle_frame(late, 0, &frame(0, 2, 61)); // of nobody
        tally.handle_frame(late, 0, &Frame { seq: Seq(7), ..frame(0, 0, 61) });
        let heard = tally.close();
        assert_eq!(heard.frames, 100 + 100 + 99 + 100);
        assert_eq!((heard.duplicates, heard.foreign), (1, 3));
        assert_eq!(heard.listeners_with_loss, 2);
        assert_eq!(heard.heard_by_some(), 300);
        let latency = heard.latency_us.as_ref().unwrap();
        assert_eq!(latency.len(), 399);
        assert!(latency.equivalent(latency.max(), 5_000));
        let added = heard.added_us.as_ref().unwrap();
        assert!(added.len() == 399 && added.equivalent(added.max(), 3_000), "{added:?}");
        let mut sum = ListenerStats::default();
        sum.merge(heard);
        assert_eq!((sum.frames, sum.heard_by_some()), (399, 300));
    }

    fn frame(room: u16, speaker: u16, index: u32) -> Frame {
        let mut opus = [0; SENT_STAMP_BYTES];
        Stamp { room, speaker, index, due_ns: 0 }.write(&mut opus);
        Stamp::write_sent(&mut opus, 2_000_000);
        Frame {
            track: TrackId(1),
            seq: Seq(index as u16),
            level: Level::SILENCE,
            talkspurt_end: false,
            captured: None,
            onset: None,
            opus: Bytes::copy_from_slice(&opus),
            wire: Bytes::new(),
        }
    }
}

//! Frames of the own track that were sent in the last two seconds, for the edge to ask for again.

use std::collections::VecDeque;

use bytes::Bytes;
use tribune_protocol::ids::{Channel, Seq, TrackId};
use tribune_protocol::media::datagram::MediaWriter;
use tribune_protocol::media::nack::Nack;

use crate::encoding::UplinkCounts;

/// Frames that are kept: 2 s, as a relay keeps.
const KEPT: usize = 100;
/// Frames that are sent again at once; one more for each that is sent.
const REPAIRS_AT_ONCE: u32 = 50;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct SentFrames {
    frames: VecDeque<SentFrame>,
    /// Frames that may be sent again.
    credit: u32,
    /// Since they were taken last.
    counts: UplinkCounts,
}

#[derive(Debug)]
struct SentFrame {
    track: TrackId,
    seq: Seq,
    wire: Bytes,
    /// How often it has been asked for.
    asked: u8,
}

impl Default for SentFrames {
    fn default() -> Self {
        Self { frames: VecDeque::new(), credit: REPAIRS_AT_ONCE, counts: UplinkCounts::default() }
    }
}

impl SentFrames {
    /// Keeps a frame's written form.
    pub(super) fn push(&mut self, track: TrackId, seq: Seq, wire: Bytes) {
        if self.frames.len() == KEPT {
            self.frames.pop_front();
        }
        self.frames.push_back(SentFrame { track, seq, wire, asked: 0 });
        self.counts.sent += 1;
        self.credit = REPAIRS_AT_ONCE.min(self.credit + 1);
    }

    /// The frames right before one of a track, as many of `count` as follow each other up to it, oldest first.
    pub(super) fn before(&self, track: TrackId, seq: Seq, count: usize) -> Vec<Bytes> {
        let mut next = seq;
        let follows = |sent: &&SentFrame| {
            let follows = sent.track == track && sent.seq.plus(1) == next;
            next = sent.seq;
            follows
        };
        let before = self.frames.iter().rev().take(count).take_while(follows);
        let mut before: Vec<Bytes> = before.map(|sent| sent.wire.clone()).collect();
        before.reverse();
        before
    }

    /// A datagram with the frames that are asked for, of at most so many bytes; what does not fit is asked
    /// for again. `note` is told of each whether it is asked for the first time.
    pub(super) fn answer(
        &mut self,
        nack: &Nack,
        datagram_bytes: usize,
        note: impl FnMut(bool),
    ) -> Option<Bytes> {
        self.count(nack, note);
        let mut writer = MediaWriter::repair(Channel(0), datagram_bytes);
        for seq in nack.seqs() {
            let asked = |kept: &&SentFrame| (kept.track, kept.seq) == (nack.track, seq);
            let Some(kept) = self.frames.iter().find(asked) else { continue };
            if self.credit == 0 || !writer.push(&kept.wire) {
                break;
            }
            self.credit -= 1;
        }
        (!writer.is_empty()).then(|| writer.take())
    }

    /// Takes what has been counted since the last time.
    pub(super) fn take_counts(&mut self) -> UplinkCounts {
        std::mem::take(&mut self.counts)
    }

    /// Counts the frames that are asked for: each once, and once more if it is asked for again.
    fn count(&mut self, nack: &Nack, mut note: impl FnMut(bool)) {
        let mut is_in_run = false;
        for seq in nack.seqs() {
            let asked = |kept: &&mut SentFrame| (kept.track, kept.seq) == (nack.track, seq);
            let Some(kept) = self.frames.iter_mut().find(asked) else { continue };
            kept.asked = kept.asked.saturating_add(1);
            let is_first = kept.asked == 1;
            note(is_first);
            self.counts.asked += u64::from(is_first);
            self.counts.runs += u64::from(is_first && !is_in_run);
            self.counts.asked_again += u64::from(kept.asked == 2);
            is_in_run = is_first;
        }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::media::Datagram;
    use tribune_protocol::media::datagram::{FrameHeader, Level};

    use super::*;

    #[test]
    fn the_last_two_seconds_are_answered_and_not_more_than_were_sent() {
        let mut sent = SentFrames::default();
        for seq in 0..150 {
            let header = FrameHeader {
                track: TrackId(3),
                seq: Seq(seq),
                level: Level::SILENCE,
                talkspurt_end: false,
                captured: None,
                onset: None,
            };
            sent.push(TrackId(3), Seq(seq), header.write(&[7; 60]).unwrap());
        }
        let nack = |first, count| Nack {
            channel: Channel(0),
            track: TrackId(3),
            first: Seq(first),
            count,
        };
        assert_eq!(sent.answer(&nack(40, 10), 1_200, |_| {}), None, "too old");
        assert_eq!(frames(sent.answer(&nack(48, 4), 1_200, |_| {})), [50, 51]);
        assert_eq!(frames(sent.answer(&nack(149, 2), 1_200, |_| {})), [149]);
        let other = Nack { track: TrackId(4), ..nack(100, 1) };
        assert_eq!(sent.answer(&other, 1_200, |_| {}), None);
        let answered =
            (0..60).filter(|_| sent.answer(&nack(100, 1), 1_200, |_| {}).is_some()).count();
        assert_eq!(answered, 47, "three are used up");
    }

    #[test]
    fn frames_asked_for_are_counted_once_and_once_again() {
        let mut sent = SentFrames::default();
        for seq in 0..20 {
            sent.push(TrackId(3), Seq(seq), Bytes::from_static(&[1; 9]));
        }
        let mut ask = |first, count| {
            let (channel, track) = (Channel(0), TrackId(3));
            sent.answer(&Nack { channel, track, first: Seq(first), count }, 1_200, |_| {});
        };
        ask(2, 3);
        ask(9, 1);
        ask(2, 3);
        ask(4, 2); // one for the third time, one for the first
        ask(70, 5); // never sent
        let counted = UplinkCounts { sent: 20, asked: 5, runs: 3, asked_again: 3 };
        assert_eq!(sent.take_counts(), counted);
        assert_eq!(sent.take_counts(), UplinkCounts::default());
    }

    #[test]
    fn only_what_leads_up_to_a_frame_is_before_it() {
        let mut sent = SentFrames::default();
        for seq in [7, 8, 65_534, 65_535, 0] {
            sent.push(TrackId(3), Seq(seq), Bytes::copy_from_slice(&seq.to_be_bytes()));
        }
        let before = |track, seq, count| sent.before(TrackId(track), Seq(seq), count).len();
        assert_eq!(sent.before(TrackId(3), Seq(1), 2), [&[255, 255][..], &[0, 0][..]]);
        assert_eq!(before(3, 1, 4), 3, "a silence is before the rest");
        assert_eq!(before(3, 2, 2), 0, "one has not been sent");
        assert_eq!(before(4, 1, 2), 0, "another track's");
    }

    fn frames(datagram: Option<Bytes>) -> Vec<u16> {
        let Ok(Datagram::Media(media)) = Datagram::parse(datagram.unwrap()) else {
            panic!("is media")
        };
        media.frames().map(|frame| frame.unwrap().seq.0).collect()
    }
}

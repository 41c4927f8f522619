//! Frames of the own track that were sent in the last two seconds, for the edge to ask for again.

use std::collections::VecDeque;

use bytes::Bytes;
use tribune_protocol::ids::{Channel, Seq, TrackId};
use tribune_protocol::media::datagram::MediaWriter;
use tribune_protocol::media::nack::Nack;

/// Frames that are kept: 2 s, as a relay keeps.
const KEPT: usize = 100;
/// Frames that are sent again at once; one more for each that is sent.
const REPAIRS_AT_ONCE: u32 = 50;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct SentFrames {
    frames: VecDeque<Sent>,
    /// Frames that may be sent again.
    credit: u32,
}

#[derive(Debug)]
struct Sent {
    track: TrackId,
    seq: Seq,
    wire: Bytes,
    was_asked_for: bool,
}

impl Default for SentFrames {
    fn default() -> Self {
        Self { frames: VecDeque::new(), credit: REPAIRS_AT_ONCE }
    }
}

impl SentFrames {
    /// Keeps a frame's written form.
    pub(super) fn push(&mut self, track: TrackId, seq: Seq, wire: Bytes) {
        if self.frames.len() == KEPT {
            self.frames.pop_front();
        }
        self.frames.push_back(Sent { track, seq, wire, was_asked_for: false });
        self.credit = REPAIRS_AT_ONCE.min(self.credit + 1);
    }

    /// The last frames of a track that follow each other, oldest first.
    pub(super) fn last(&self, track: TrackId, count: usize) -> Vec<Bytes> {
        let mut last: Vec<&Sent> = Vec::new();
        for sent in self.frames.iter().rev().take(count) {
            let follows = last.last().is_none_or(|later| later.seq == sent.seq.plus(1));
            if sent.track != track || !follows {
                break;
            }
            last.push(sent);
        }
        last.iter().rev().map(|sent| sent.wire.clone()).collect()
    }

    /// A datagram with the frames that are asked for, of at most so many bytes; what does not fit is asked
    /// for again. `note` is told of each whether it is asked for the first time.
    pub(super) fn answer(
        &mut self,
        nack: &Nack,
        datagram_bytes: usize,
        mut note: impl FnMut(bool),
    ) -> Option<Bytes> {
        let mut writer = MediaWriter::repair(Channel(0), datagram_bytes);
        for seq in nack.seqs() {
            let asked = |sent: &&mut Sent| (sent.track, sent.seq) == (nack.track, seq);
            let Some(sent) = self.frames.iter_mut().find(asked) else { continue };
            if self.credit == 0 || !writer.push(&sent.wire) {
                break;
            }
            note(!std::mem::replace(&mut sent.was_asked_for, true));
            self.credit -= 1;
        }
        (!writer.is_empty()).then(|| writer.take())
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

    fn frames(datagram: Option<Bytes>) -> Vec<u16> {
        let Ok(Datagram::Media(media)) = Datagram::parse(datagram.unwrap()) else {
            panic!("is media")
        };
        media.frames().map(|frame| frame.unwrap().seq.0).collect()
    }
}

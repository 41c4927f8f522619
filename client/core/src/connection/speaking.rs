//! Frames on the own track: written, kept in case the edge asks for them, and said again where need be.

use std::time::Instant;

use bytes::Bytes;
use tribune_protocol::ids::{Channel, Seq, TrackId};
use tribune_protocol::limits::CAPTURE_STAMP_PERIOD;
use tribune_protocol::media::datagram::{Capture, FrameHeader, MediaWriter};
use tribune_protocol::media::nack::Nack;
use tribune_protocol::media::protection::PathState;

use super::{Connection, Path};
use crate::clock::LocalClock;
use crate::frame::SpokenFrame;

impl Connection {
    /// Datagrams of frames that were spoken in a row on the own track, if there is one: as many
    /// frames in each as it holds.
    pub fn write_frames<'a>(
        &mut self,
        now: Instant,
        frames: impl Iterator<Item = &'a SpokenFrame>,
        clock: LocalClock,
    ) -> Vec<Bytes> {
        let Some(track) = self.track else { return Vec::new() };
        let mut datagrams = Vec::new();
        let mut writer: Option<MediaWriter> = None;
        for frame in frames {
            let header = FrameHeader {
                track,
                seq: frame.seq,
                level: frame.level,
                talkspurt_end: frame.talkspurt_end,
                captured: self.stamp(now, frame, clock),
                onset: self.onset.handle_frame(frame.seq, frame.talkspurt_end),
            };
            let wire = match header.write(&frame.opus) {
                Ok(wire) => wire,
                Err(error) => {
                    tracing::debug!(%error, "frame not sent");
                    continue;
                }
            };
            let fits = writer.as_mut().is_some_and(|writer| writer.push(&wire));
            if !fits {
                datagrams.extend(writer.take().map(|mut writer| writer.take()));
                writer = self.begin_datagram(track, frame.seq, &wire, datagrams.is_empty());
                if writer.is_none() {
                    tracing::debug!("frame does not fit a datagram");
                    continue;
                }
            }
            self.handle_sent(now, track, frame.seq, wire);
        }
        datagrams.extend(writer.map(|mut writer| writer.take()));
        datagrams
    }

    /// Keeps the written form of a frame that is sent otherwise, in case the relay asks for it.
    pub fn handle_sent(&mut self, now: Instant, track: TrackId, seq: Seq, wire: Bytes) {
        self.sent.push(track, seq, wire);
        let Path { round_trip, sent_packets, lost_packets, .. } = self.path;
        self.protection.handle_sent(now, 1, || PathState {
            round_trip,
            sent_packets,
            lost_packets,
        });
    }

    pub(super) fn answer_nack(&mut self, nack: &Nack) -> Option<Bytes> {
        let (sent, protection) = (&mut self.sent, &mut self.protection);
        sent.answer(nack, self.path.datagram_bytes, |is_first| protection.handle_asked(is_first))
    }

    /// A datagram with a frame of the own track, after those before it that are sent once more if it `may` have
    /// such. There is none if the frame is too long for it.
    fn begin_datagram(
        &self,
        track: TrackId,
        seq: Seq,
        wire: &[u8],
        may_protect: bool,
    ) -> Option<MediaWriter> {
        let most = self.path.datagram_bytes;
        let again = if may_protect && self.takes_redundancy { self.protection.again() } else { 0 };
        let earlier = self.sent.before(track, seq, again.into());
        let earlier_bytes = earlier.iter().map(|wire| wire.len()).sum::<usize>();
        // Half a datagram: the other half is for the frames that are new.
        if !earlier.is_empty() && earlier_bytes <= most / 2 {
            let count = u8::try_from(earlier.len()).unwrap_or(u8::MAX);
            let mut writer = MediaWriter::protected(Channel(0), count, most);
            if earlier.iter().all(|wire| writer.push(wire)) && writer.push(wire) {
                return Some(writer);
            }
        }
        let mut writer = MediaWriter::new(Channel(0), most);
        writer.push(wire).then_some(writer)
    }

    /// The capture time of a frame, if it is one that is to bear it.
    fn stamp(&mut self, now: Instant, frame: &SpokenFrame, clock: LocalClock) -> Option<Capture> {
        let is_due =
            |last: Instant| frame.captured.saturating_duration_since(last) >= CAPTURE_STAMP_PERIOD;
        if !self.stamped.is_none_or(is_due) {
            return None;
        }
        let offset = self.clock.offset(clock.us_at(now))?;
        self.stamped = Some(frame.captured);
        let at = offset.to_origin(clock.us_at(frame.captured));
        Some(Capture { at, error_us: Some(offset.error_us) })
    }
}

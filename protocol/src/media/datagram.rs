//! Media datagrams: a channel, then frames back to back. SPEC.md section 5.
//!
//! A frame's bytes are written once, by the speaker, and never change on the way: every relay
//! forwards the same [`Bytes`] ([`Frame::wire`]), in any datagram that the next hop needs.

use bytes::{BufMut, Bytes, BytesMut};

use super::session_datagram::{QUARTER_STREAM_ID, SessionDatagram};
use super::{DatagramError, FrameSource, KIND_LATE, KIND_MEDIA, KIND_PROTECTED, KIND_REPAIR};
use crate::ids::{Channel, Seq, TrackId};
use crate::limits::{MAX_EXTENSION_BYTES, MAX_FRAMES_PER_DATAGRAM, MAX_OPUS_BYTES};
use crate::varint;

/// Extension id of the capture time.
const EXTENSION_CAPTURE_TIME: u64 = 1;
/// Extension id of the capture time's error.
const EXTENSION_CAPTURE_ERROR: u64 = 2;
/// Extension id of the place in a talkspurt.
const EXTENSION_ONSET: u64 = 3;
/// Bits below the length in a frame's length field.
const LENGTH_SHIFT: u32 = 2;
const FLAG_TALKSPURT_END: u64 = 1;
const FLAG_EXTENSIONS: u64 = 2;

/// Audio level of a frame, in one byte (RFC 6464 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Whether the frame is speech.
    pub voice: bool,
    /// Level in −dBov: 0 is the loudest, 127 is silence. Larger values are cut to 127.
    pub minus_dbov: u8,
}

impl Level {
    /// Digital silence.
    pub const SILENCE: Self = Self { voice: false, minus_dbov: 127 };

    const fn to_wire(self) -> u8 {
        let level = if self.minus_dbov > 127 { 127 } else { self.minus_dbov };
        (self.voice as u8) << 7 | level
    }

    const fn from_wire(byte: u8) -> Self {
        Self { voice: byte & 0x80 != 0, minus_dbov: byte & 0x7f }
    }
}

/// Microseconds since the Unix epoch in the clock of the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OriginTime(pub u64);

/// When a frame's first sample was captured, as the speaker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// The time.
    pub at: OriginTime,
    /// Error bound, in microseconds; `None` where the speaker does not say.
    pub error_us: Option<u32>,
}

/// One frame as it lies in a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The track.
    pub track: TrackId,
    /// Its place in the track.
    pub seq: Seq,
    /// The audio level.
    pub level: Level,
    /// The next frame periods are silence; frames that do not come are not lost.
    pub talkspurt_end: bool,
    /// When the first sample of the frame was captured, about once a second.
    pub captured: Option<Capture>,
    /// Frames of the talkspurt before this one, of its first frames.
    pub onset: Option<u8>,
    /// The Opus packet (RFC 6716). Empty in a mark: a frame that only says that the talkspurt is over.
    pub opus: Bytes,
    /// The whole frame as it was written, to be forwarded unchanged.
    pub wire: Bytes,
}

/// A frame before it is written; [`Frame`] without its bytes.
#[derive(Debug, Clone, Copy)]
pub struct FrameHeader {
    /// The track.
    pub track: TrackId,
    /// Its place in the track.
    pub seq: Seq,
    /// The audio level.
    pub level: Level,
    /// Whether silence follows.
    pub talkspurt_end: bool,
    /// The capture time, where one is due.
    pub captured: Option<Capture>,
    /// Frames of the talkspurt before this one, where it is one of the first.
    pub onset: Option<u8>,
}

/// Extensions of a frame.
#[derive(Debug, Clone, Copy, Default)]
struct Extensions {
    captured: Option<Capture>,
    onset: Option<u8>,
}

impl FrameHeader {
    /// Writes the frame, to be sent by [`MediaWriter::push`].
    ///
    /// # Errors
    /// [`DatagramError::OutOfRange`] if `opus` is over 640 bytes.
    pub fn write(&self, opus: &[u8]) -> Result<Bytes, DatagramError> {
        if opus.len() > MAX_OPUS_BYTES {
            return Err(DatagramError::OutOfRange);
        }
        let mut out = BytesMut::with_capacity(opus.len() + 32);
        varint::put(&mut out, u64::from(self.track.0));
        out.put_u16(self.seq.0);
        out.put_u8(self.level.to_wire());
        let mut length = (opus.len() as u64) << LENGTH_SHIFT;
        if self.talkspurt_end {
            length |= FLAG_TALKSPURT_END;
        }
        let extensions = Extensions { captured: self.captured, onset: self.onset };
        if extensions.len() > 0 {
            length |= FLAG_EXTENSIONS;
        }
        varint::put(&mut out, length);
        extensions.write(&mut out);
        out.put_slice(opus);
        Ok(out.freeze())
    }
}

impl Extensions {
    /// Bytes of the area. Each extension has an id, a length and its value.
    const fn len(&self) -> u64 {
        let captured = match self.captured {
            Some(Capture { error_us: Some(_), .. }) => 16,
            Some(Capture { error_us: None, .. }) => 10,
            None => 0,
        };
        captured + if self.onset.is_some() { 3 } else { 0 }
    }

    fn write(&self, out: &mut BytesMut) {
        if self.len() == 0 {
            return;
        }
        varint::put(out, self.len());
        if let Some(capture) = self.captured {
            varint::put(out, EXTENSION_CAPTURE_TIME);
            varint::put(out, 8);
            out.put_u64(capture.at.0);
            if let Some(error_us) = capture.error_us {
                varint::put(out, EXTENSION_CAPTURE_ERROR);
                varint::put(out, 4);
                out.put_u32(error_us);
            }
        }
        if let Some(onset) = self.onset {
            varint::put(out, EXTENSION_ONSET);
            varint::put(out, 1);
            out.put_u8(onset);
        }
    }
}

/// A media datagram whose frames are not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDatagram {
    /// The room, on a trunk; 0 on a participant's connection.
    pub channel: Channel,
    source: FrameSource,
    /// Frames at its beginning that were sent before.
    redundant: usize,
    frames: Bytes,
}

impl MediaDatagram {
    pub(super) fn parse(bytes: Bytes) -> Result<Self, DatagramError> {
        let (source, is_protected) = match bytes[0] {
            KIND_REPAIR => (FrameSource::Repair, false),
            KIND_LATE => (FrameSource::Late, false),
            kind => (FrameSource::Sent, kind == KIND_PROTECTED),
        };
        let mut rest = &bytes[1..];
        let channel = take_u32(&mut rest)?;
        let redundant = if is_protected { take_u32(&mut rest)? as usize } else { 0 };
        if redundant > MAX_FRAMES_PER_DATAGRAM {
            return Err(DatagramError::OutOfRange);
        }
        let frames = bytes.slice(bytes.len() - rest.len()..);
        if frames.is_empty() {
            return Err(DatagramError::Truncated);
        }
        Ok(Self { channel: Channel(channel), source, redundant, frames })
    }

    /// The frames, in order. An error ends the iteration: frames behind a broken one cannot be found.
    #[must_use]
    pub fn frames(&self) -> Frames {
        Frames { rest: self.frames.clone(), left: MAX_FRAMES_PER_DATAGRAM }
    }

    /// Reason for which the frame at a place of [`Self::frames`] came.
    #[must_use]
    pub const fn source(&self, place: usize) -> FrameSource {
        if place < self.redundant { FrameSource::Redundancy } else { self.source }
    }
}

/// Iterator over the frames of a datagram.
#[derive(Debug, Clone)]
pub struct Frames {
    rest: Bytes,
    left: usize,
}

impl Iterator for Frames {
    type Item = Result<Frame, DatagramError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let frame = if self.left == 0 {
            Err(DatagramError::OutOfRange)
        } else {
            self.left -= 1;
            read_frame(&self.rest)
        };
        match &frame {
            Ok(frame) => self.rest = self.rest.slice(frame.wire.len()..),
            Err(_) => self.rest.clear(),
        }
        Some(frame)
    }
}

/// Track of a frame's written form.
#[must_use]
pub fn track_of(wire: &[u8]) -> Option<TrackId> {
    take_u32(&mut &wire[..]).ok().map(TrackId)
}

fn read_frame(bytes: &Bytes) -> Result<Frame, DatagramError> {
    let mut rest = &bytes[..];
    let track = TrackId(take_u32(&mut rest)?);
    let [high, low, level, ..] = *rest else { return Err(DatagramError::Truncated) };
    rest = &rest[3..];
    let length = varint::take(&mut rest).ok_or(DatagramError::Truncated)?;
    let opus_len =
        usize::try_from(length >> LENGTH_SHIFT).map_err(|_| DatagramError::OutOfRange)?;
    if opus_len > MAX_OPUS_BYTES {
        return Err(DatagramError::OutOfRange);
    }
    let Extensions { captured, onset } = if length & FLAG_EXTENSIONS != 0 {
        take_extensions(&mut rest)?
    } else {
        Extensions::default()
    };
    let (opus, rest) = rest.split_at_checked(opus_len).ok_or(DatagramError::Truncated)?;
    Ok(Frame {
        track,
        seq: Seq(u16::from_be_bytes([high, low])),
        level: Level::from_wire(level),
        talkspurt_end: length & FLAG_TALKSPURT_END != 0,
        captured,
        onset,
        opus: bytes.slice_ref(opus),
        wire: bytes.slice(..bytes.len() - rest.len()),
    })
}

/// Reads the extension area; extensions that this version does not know are passed over.
fn take_extensions(rest: &mut &[u8]) -> Result<Extensions, DatagramError> {
    let len = varint::take(rest).ok_or(DatagramError::Truncated)?;
    let len = usize::try_from(len).map_err(|_| DatagramError::OutOfRange)?;
    if len > MAX_EXTENSION_BYTES {
        return Err(DatagramError::OutOfRange);
    }
    let (mut area, after) = rest.split_at_checked(len).ok_or(DatagramError::Truncated)?;
    *rest = after;
    let (mut captured, mut error_us, mut onset) = (None, None, None);
    while !area.is_empty() {
        let id = varint::take(&mut area).ok_or(DatagramError::Truncated)?;
        let len = varint::take(&mut area).ok_or(DatagramError::Truncated)?;
        let len = usize::try_from(len).map_err(|_| DatagramError::OutOfRange)?;
        let (value, after) = area.split_at_checked(len).ok_or(DatagramError::Truncated)?;
        area = after;
        if id == EXTENSION_CAPTURE_TIME {
            let value = value.try_into().map_err(|_| DatagramError::OutOfRange)?;
            captured = Some(OriginTime(u64::from_be_bytes(value)));
        } else if id == EXTENSION_CAPTURE_ERROR {
            let value = value.try_into().map_err(|_| DatagramError::OutOfRange)?;
            error_us = Some(u32::from_be_bytes(value));
        } else if id == EXTENSION_ONSET {
            let [before] = *value else { return Err(DatagramError::OutOfRange) };
            onset = Some(before);
        }
    }
    Ok(Extensions { captured: captured.map(|at| Capture { at, error_us }), onset })
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, DatagramError> {
    let value = varint::take(rest).ok_or(DatagramError::Truncated)?;
    u32::try_from(value).map_err(|_| DatagramError::OutOfRange)
}

/// Writes one media datagram.
#[derive(Debug)]
pub struct MediaWriter {
    /// The datagram so far, behind the byte of a browser's session.
    out: BytesMut,
    header_len: usize,
    frames: usize,
    max_bytes: usize,
}

impl MediaWriter {
    /// Begins a datagram of at most `max_bytes`, for `channel` (0 towards a participant).
    #[must_use]
    pub fn new(channel: Channel, max_bytes: usize) -> Self {
        Self::of_kind(KIND_MEDIA, channel, max_bytes)
    }

    /// The same for the answer to a repair request.
    #[must_use]
    pub fn repair(channel: Channel, max_bytes: usize) -> Self {
        Self::of_kind(KIND_REPAIR, channel, max_bytes)
    }

    /// The same for frames that came late.
    #[must_use]
    pub fn late(channel: Channel, max_bytes: usize) -> Self {
        Self::of_kind(KIND_LATE, channel, max_bytes)
    }

    /// The same for a datagram whose first `redundant` frames were sent before.
    #[must_use]
    pub fn protected(channel: Channel, redundant: u8, max_bytes: usize) -> Self {
        let mut writer = Self::of_kind(KIND_PROTECTED, channel, max_bytes);
        varint::put(&mut writer.out, u64::from(redundant));
        writer.header_len = writer.out.len();
        writer
    }

    fn of_kind(kind: u8, channel: Channel, max_bytes: usize) -> Self {
        let mut out = BytesMut::with_capacity(max_bytes.min(512));
        out.put_u8(QUARTER_STREAM_ID);
        out.put_u8(kind);
        varint::put(&mut out, u64::from(channel.0));
        Self { header_len: out.len(), out, frames: 0, max_bytes }
    }

    /// Adds a frame's written form. Returns whether it had room; if not, the datagram is as before.
    pub fn push(&mut self, wire: &[u8]) -> bool {
        let fits = self.out.len() - 1 + wire.len() <= self.max_bytes;
        if !fits || self.frames == MAX_FRAMES_PER_DATAGRAM {
            return false;
        }
        self.out.put_slice(wire);
        self.frames += 1;
        true
    }

    /// Whether no frame has been added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// The datagram; an empty one of the same channel is there to go on with.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        self.take_for_session().into_bare()
    }

    /// The same for native peers and browsers alike.
    #[must_use]
    pub fn take_for_session(&mut self) -> SessionDatagram {
        let header = BytesMut::from(&self.out[..self.header_len]);
        self.frames = 0;
        SessionDatagram::from_tagged(std::mem::replace(&mut self.out, header).freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::Datagram;

    /// The vectors of SPEC.md section 5.5, read from there, so that they cannot drift apart.
    #[test]
    fn vectors_of_the_specification() {
        let frames = [
            header(1, 0, true, 30, false, None).write(&[0xfc, 0xff, 0xfe]).unwrap(),
            header(300, 65_535, false, 127, true, Some(1_700_000_000_000_000)).write(&[]).unwrap(),
        ];
        let datagram = |channel, frames: &[Bytes]| {
            let mut writer = MediaWriter::new(Channel(channel), 1_162);
            frames.iter().for_each(|frame| assert!(writer.push(frame)));
            writer.take()
        };
        assert_eq!(datagram(0, &frames[..1])[..], crate::control::tests::spec_vector("media-1"));
        assert_eq!(datagram(64, &frames)[..], crate::control::tests::spec_vector("media-2"));
        let onset = FrameHeader { onset: Some(2), ..header(1, 150, true, 30, false, None) };
        let frames = [onset.write(&[0xfc, 0xff, 0xfe]).unwrap()];
        assert_eq!(datagram(0, &frames)[..], crate::control::tests::spec_vector("media-4"));
    }

    #[test]
    fn redundant_frames_are_told_from_new_ones() {
        let frames = [0, 1].map(|seq| {
            let opus = [0xfc, 0xff, 0xfe - seq as u8];
            header(1, seq, true, 30, false, None).write(&opus).unwrap()
        });
        let mut writer = MediaWriter::protected(Channel(0), 1, 1_162);
        frames.iter().for_each(|frame| assert!(writer.push(frame)));
        let bytes = writer.take();
        assert_eq!(bytes[..], crate::control::tests::spec_vector("media-3"));
        let Ok(Datagram::Media(media)) = Datagram::parse(bytes) else { panic!("is media") };
        let sources: Vec<_> = media.frames().enumerate().map(|(at, _)| media.source(at)).collect();
        assert_eq!(sources, [FrameSource::Redundancy, FrameSource::Sent]);
        let too_many = Bytes::from_static(&[KIND_PROTECTED, 0, 33, 1, 0, 0, 0, 0]);
        assert_eq!(Datagram::parse(too_many), Err(DatagramError::OutOfRange));
    }

    #[test]
    fn an_onset_of_another_length_is_out_of_range() {
        let wire = vec![5, 0, 1, 0x9e, 1 << 2 | 2, 4, 3, 2, 0xaa, 0xbb, 0x42];
        assert_eq!(read_frame(&Bytes::from(wire)), Err(DatagramError::OutOfRange));
    }

    #[test]
    fn a_capture_error_of_another_length_is_out_of_range() {
        let mut wire = vec![5, 0, 1, 0x9e, 1 << 2 | 2, 4, 2, 2, 0xaa, 0xbb, 0x42];
        assert_eq!(read_frame(&Bytes::from(wire.clone())), Err(DatagramError::OutOfRange));
        // An error without a time says nothing.
        wire.splice(5..10, [6, 2, 4, 0, 0, 0, 1]);
        assert_eq!(read_frame(&Bytes::from(wire)).unwrap().captured, None);
    }

    #[test]
    fn limits_hold() {
        assert!(header(1, 0, true, 0, false, None).write(&[0; 641]).is_err());
        let wire = header(1, 0, true, 0, false, None).write(&[0; 600]).unwrap();
        let mut writer = MediaWriter::new(Channel(0), 1_162);
        assert!(writer.push(&wire));
        assert!(!writer.push(&wire));
        let small = header(1, 0, true, 0, false, None).write(&[]).unwrap();
        let many: Vec<u8> =
            [vec![KIND_MEDIA, 0], small.repeat(MAX_FRAMES_PER_DATAGRAM + 1)].concat();
        let Ok(Datagram::Media(media)) = Datagram::parse(many.into()) else { panic!("is media") };
        assert_eq!(media.frames().filter(Result::is_ok).count(), MAX_FRAMES_PER_DATAGRAM);
        assert_eq!(media.frames().last(), Some(Err(DatagramError::OutOfRange)));
    }

    #[test]
    fn unknown_extensions_are_passed_over() {
        // track 5, seq 1, level, length 1 with extensions; area: id 9 (2 bytes), then the capture time
        let mut wire = vec![5, 0, 1, 0x9e, 1 << 2 | 2, 14, 9, 2, 0xaa, 0xbb, 1, 8];
        wire.extend_from_slice(&7u64.to_be_bytes());
        wire.push(0x42);
        let frame = read_frame(&Bytes::from(wire)).unwrap();
        assert_eq!(frame.captured, Some(Capture { at: OriginTime(7), error_us: None }));
        assert_eq!(frame.opus[..], [0x42]);
        assert_eq!(frame.level, Level { voice: true, minus_dbov: 30 });
    }

    proptest! {
        #[test]
        fn round_trip(
            channel in 0u32..,
            heads in prop::collection::vec((0u32.., 0u16.., any::<bool>(), 0u8..128, any::<bool>(), any::<Option<u64>>(), 0usize..100), 1..8),
        ) {
            let mut writer = MediaWriter::new(Channel(channel), 1_162);
            let mut sent = Vec::new();
            for (track, seq, voice, level, end, captured, len) in heads {
                let mut head = header(track, seq, voice, level, end, captured);
                head.onset = end.then_some(level);
                if let Some(capture) = &mut head.captured {
                    capture.error_us = voice.then_some(track);
                }
                let opus = vec![seq as u8; len];
                prop_assert!(writer.push(&head.write(&opus).unwrap()));
                sent.push((head, opus));
            }
            let Datagram::Media(media) = Datagram::parse(writer.take()).unwrap() else { panic!("is media") };
            prop_assert_eq!(media.channel.0, channel);
            let read: Vec<_> = media.frames().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(read.len(), sent.len());
            for (frame, (head, opus)) in read.iter().zip(&sent) {
                prop_assert_eq!((frame.track, frame.seq, frame.level), (head.track, head.seq, head.level));
                prop_assert_eq!((frame.talkspurt_end, frame.captured), (head.talkspurt_end, head.captured));
                prop_assert_eq!(frame.onset, head.onset);
                prop_assert_eq!(&frame.opus[..], &opus[..]);
                prop_assert_eq!(&frame.wire[..], &head.write(opus).unwrap()[..]);
            }
        }

        #[test]
        fn any_bytes_parse_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..6) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() { *first = kind }
            if let Ok(Datagram::Media(media)) = Datagram::parse(bytes.into()) {
                prop_assert!(media.frames().count() <= MAX_FRAMES_PER_DATAGRAM + 1);
            }
        }
    }

    fn header(
        track: u32,
        seq: u16,
        voice: bool,
        minus_dbov: u8,
        talkspurt_end: bool,
        captured: Option<u64>,
    ) -> FrameHeader {
        FrameHeader {
            track: TrackId(track),
            seq: Seq(seq),
            level: Level { voice, minus_dbov },
            talkspurt_end,
            captured: captured.map(|at| Capture { at: OriginTime(at), error_us: None }),
            onset: None,
        }
    }
}

//! What the speakers say: frames of the size of speech, stamped, so that each listener can tell which
//! one it heard and how old it was. Used by both sides of a load.

use std::time::{Duration, Instant};

use tribune_protocol::limits::FRAME_PERIOD;

/// Bytes of a stamp, and so of the smallest frame.
pub const STAMP_BYTES: usize = 18;
/// Bytes of a stamp and of the moment of sending that may follow it, see [`Stamp::write_sent`].
pub const SENT_STAMP_BYTES: usize = STAMP_BYTES + 8;
/// First bytes of each frame, so that another speaker's audio is not taken for a stamp.
const MARK: [u8; 2] = *b"TB";

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The room, counted from 0.
    pub room: u16,
    /// The speaker, counted from 0 in the room.
    pub speaker: u16,
    /// The frame's place in the schedule, counted from 0.
    pub index: u32,
    /// When it was due, in nanoseconds after the schedule's start.
    pub due_ns: u64,
}

impl Stamp {
    /// Writes the stamp over the first bytes of a frame.
    pub fn write(&self, frame: &mut [u8]) {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..2].copy_from_slice(&MARK);
        bytes[2..4].copy_from_slice(&self.room.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.speaker.to_be_bytes());
        bytes[6..10].copy_from_slice(&self.index.to_be_bytes());
        bytes[10..].copy_from_slice(&self.due_ns.to_be_bytes());
        frame[..STAMP_BYTES].copy_from_slice(&bytes);
    }

    /// Reads the stamp of a frame, if it has one.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let bytes: &[u8; STAMP_BYTES] = frame.first_chunk()?;
        let [m0, m1, r0, r1, s0, s1, i0, i1, i2, i3, due @ ..] = *bytes;
        ([m0, m1] == MARK).then(|| Self {
            room: u16::from_be_bytes([r0, r1]),
            speaker: u16::from_be_bytes([s0, s1]),
            index: u32::from_be_bytes([i0, i1, i2, i3]),
            due_ns: u64::from_be_bytes(due),
        })
    }

    /// Writes behind the stamp when the frame was really sent, in nanoseconds after the schedule's
    /// start: what is later than it was due is the speaker's doing, not the server's.
    pub fn write_sent(frame: &mut [u8], sent_ns: u64) {
        frame[STAMP_BYTES..SENT_STAMP_BYTES].copy_from_slice(&sent_ns.to_be_bytes());
    }

    /// Reads what [`Self::write_sent`] wrote, of a frame that has it.
    pub fn read_sent(frame: &[u8]) -> Option<u64> {
        frame.get(STAMP_BYTES..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }
}

/// When each frame is due, whatever has become of the ones before it (open loop).
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first frame is due.
    pub start: Instant,
    /// Frames of each speaker before the measured ones: acknowledgements and caches settle.
    pub before: u32,
    /// Frames of each speaker that count.
    pub measured: u32,
    /// Frames of each speaker after that, so that the end of the measured span is not quieter.
    pub after: u32,
}

impl Schedule {
    /// When a frame of a speaker is due. The speakers of a load are spread over a frame period.
    pub fn due(&self, index: u32, speaker: usize, speakers: usize) -> Instant {
        let shift = FRAME_PERIOD.mul_f64(speaker as f64 / speakers as f64);
        self.start + FRAME_PERIOD * index + shift
    }

    /// Frames of each speaker in all.
    pub const fn frames(&self) -> u32 {
        self.before + self.measured + self.after
    }

    /// The place of a frame among the measured ones.
    pub fn measured_place(&self, index: u32) -> Option<u32> {
        index.checked_sub(self.before).filter(|place| *place < self.measured)
    }

    /// From when to when the measured frames are due.
    pub fn span(&self) -> (Instant, Instant) {
        let from = self.start + FRAME_PERIOD * self.before;
        (from, from + FRAME_PERIOD * self.measured)
    }

    /// When the last frame has had a second to arrive.
    pub fn end(&self) -> Instant {
        self.start + FRAME_PERIOD * self.frames() + Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_as_written() {
        let stamp = Stamp { room: 3, speaker: 513, index: 70_000, due_ns: u64::MAX - 5 };
        let mut frame = [0xaa; 30];
        stamp.write(&mut frame);
        assert_eq!(Stamp::read(&frame), Some(stamp));
        assert_eq!(frame[STAMP_BYTES], 0xaa);
        assert_eq!(Stamp::read(&frame[..STAMP_BYTES - 1]), None);
        Stamp::write_sent(&mut frame, 1 << 40);
        assert_eq!(Stamp::read(&frame), Some(stamp));
        assert_eq!(Stamp::read_sent(&frame), Some(1 << 40));
        assert_eq!(Stamp::read_sent(&frame[..SENT_STAMP_BYTES - 1]), None);
        frame[0] = 0;
        assert_eq!(Stamp::read(&frame), None);
    }

    #[test]
    fn the_measured_frames_lie_in_the_middle() {
        let schedule = Schedule { start: Instant::now(), before: 10, measured: 5, after: 2 };
        assert_eq!(schedule.frames(), 17);
        assert_eq!(schedule.measured_place(9), None);
        assert_eq!(schedule.measured_place(10), Some(0));
        assert_eq!(schedule.measured_place(14), Some(4));
        assert_eq!(schedule.measured_place(15), None);
        let (from, to) = schedule.span();
        assert_eq!(to - from, FRAME_PERIOD * 5);
        assert_eq!(schedule.due(10, 0, 4), from);
        assert_eq!(schedule.due(10, 2, 4), from + FRAME_PERIOD / 2);
    }
}

//! Stamped frames of the size of speech, and their schedule: a listener can tell which frame it received
//! and how old it is. Used by both sides of a load.

use std::time::{Duration, Instant};

use tribune_protocol::limits::FRAME_PERIOD;

/// Bytes of a stamp: the smallest frame.
pub const STAMP_BYTES: usize = 18;
/// Bytes of a stamp and of the time of sending that may follow it; see [`Stamp::write_sent`].
pub const SENT_STAMP_BYTES: usize = STAMP_BYTES + 8;
/// First bytes of each frame, so that other audio is not taken for a stamp.
const MARK: [u8; 2] = *b"TB";

/// Stamp of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Room, from 0.
    pub room: u16,
    /// Speaker in the room, from 0.
    pub speaker: u16,
    /// Index in the schedule, from 0.
    pub index: u32,
    /// Due time, in nanoseconds after the schedule's start.
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

    /// Writes the actual time of sending behind the stamp, in nanoseconds after the schedule's start: lateness
    /// of the speaker is not charged to the server.
    pub fn write_sent(frame: &mut [u8], sent_ns: u64) {
        frame[STAMP_BYTES..SENT_STAMP_BYTES].copy_from_slice(&sent_ns.to_be_bytes());
    }

    /// Reads the time of sending, if the frame has one.
    pub fn read_sent(frame: &[u8]) -> Option<u64> {
        frame.get(STAMP_BYTES..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }
}

/// Open-loop schedule: each frame is due at a fixed time, whatever became of earlier ones.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Due time of the first frame.
    pub start: Instant,
    /// Frames of each speaker before the measured ones, so that acknowledgements and caches settle.
    pub before: u32,
    /// Measured frames of each speaker.
    pub measured: u32,
    /// Frames of each speaker after the measured ones, so that the end of the span carries the same load.
    pub after: u32,
}

impl Schedule {
    /// Due time of a frame. The speakers of a load are spread over a frame period.
    pub fn due(&self, index: u32, speaker: usize, speakers: usize) -> Instant {
        let shift = FRAME_PERIOD.mul_f64(speaker as f64 / speakers as f64);
        self.start + FRAME_PERIOD * index + shift
    }

    /// All frames of each speaker.
    pub const fn frames(&self) -> u32 {
        self.before + self.measured + self.after
    }

    /// Index of a frame among the measured ones, if it is one.
    pub fn measured_place(&self, index: u32) -> Option<u32> {
        index.checked_sub(self.before).filter(|place| *place < self.measured)
    }

    /// Start and end of the measured span.
    pub fn span(&self) -> (Instant, Instant) {
        let from = self.start + FRAME_PERIOD * self.before;
        (from, from + FRAME_PERIOD * self.measured)
    }

    /// End of the schedule: a second after the last frame's period.
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

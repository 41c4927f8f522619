//! Frames of a simulated speaker: frames with made-up Opus bytes that carry a counter, on schedule.

use std::time::Duration;

use bytes::Bytes;
use tribune_client_core::talkspurt::Onset;
use tribune_protocol::ids::{Channel, Seq, TrackId};
use tribune_protocol::limits::{CAPTURE_STAMP_PERIOD, FRAME_PERIOD, MAX_DATAGRAM_BYTES};
use tribune_protocol::media::datagram::{Capture, FrameHeader, Level, MediaWriter};

/// Opus bytes of a frame: 24 kb/s at 20 ms.
const OPUS_BYTES: usize = 60;

/// A speaker's schedule.
#[derive(Debug)]
pub struct Talk {
    began: Duration,
    /// Frames so far, also those for which there was no track.
    count: u64,
    minus_dbov: u8,
    until: Option<Duration>,
    onset: Onset,
}

/// A frame that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentFrame {
    /// Virtual time.
    pub at: Duration,
    /// On which track.
    pub track: TrackId,
    /// Its place in it.
    pub seq: Seq,
    /// How far the capture time in it can be from the origin's clock, in microseconds, if it has one.
    pub capture_error_us: Option<u32>,
}

impl Talk {
    /// Talks from `began` on, every 20 ms; 0 is the loudest, 127 silence.
    #[must_use]
    pub fn new(began: Duration, minus_dbov: u8) -> Self {
        Self { began, count: 0, minus_dbov, until: None, onset: Onset::default() }
    }

    /// Stops then; the last frame says that silence follows.
    pub const fn set_end(&mut self, end: Duration) {
        self.until = Some(end);
    }

    /// Due time of the next frame; `None` after the end.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let due = self.began + FRAME_PERIOD * u32::try_from(self.count).unwrap_or(u32::MAX);
        self.until.is_none_or(|until| due < until).then_some(due)
    }

    /// Whether the next frame should bear a capture time.
    #[must_use]
    pub fn wants_stamp(&self) -> bool {
        let period = (CAPTURE_STAMP_PERIOD.as_micros() / FRAME_PERIOD.as_micros()) as u64;
        self.count.is_multiple_of(period)
    }

    /// The next frame, by itself and as a datagram. Without a track it is not sent, but counted: the media clock
    /// goes on.
    pub fn next_frame(
        &mut self,
        track: Option<TrackId>,
        captured: Option<Capture>,
    ) -> Option<(Seq, Bytes, Bytes)> {
        let seq = Seq(self.count as u16);
        let counter = self.count;
        self.count += 1;
        let (track, talkspurt_end) = (track?, self.due().is_none());
        let header = FrameHeader {
            track,
            seq,
            level: Level { voice: true, minus_dbov: self.minus_dbov },
            talkspurt_end,
            captured,
            onset: self.onset.handle_frame(seq, talkspurt_end),
        };
        let mut opus = [0; OPUS_BYTES];
        opus[..8].copy_from_slice(&counter.to_be_bytes());
        let wire = header.write(&opus).ok()?;
        let mut writer = MediaWriter::new(Channel(0), MAX_DATAGRAM_BYTES);
        writer.push(&wire).then(|| (seq, wire, writer.take()))
    }
}

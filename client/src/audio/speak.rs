//! From a source's frames to frames on the wire: encodes or passes through, measures, follows
//! talkspurts, and numbers the frames.
//!
//! Pure: one call per frame period. For the speaking side of a session.

use bytes::Bytes;
use tribune_protocol::domain::protection::Protection;

use super::decode::TrackDecoder;
use super::encode::{EncodedFrame, VoiceEncoder, is_dtx_packet, is_voice};
use super::level::{LEVEL_SILENT_DBOV, level_dbov};
use super::source::SourceFrame;
use super::talkspurt::{Activity, Emission, TalkspurtTracker};
use super::{AudioError, SILENT_FRAME};

/// A frame to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingFrame {
    /// Number of the frame period, wrapping.
    pub seq: u16,
    /// A silence follows: the next frame that is sent does not follow directly, and that is no loss.
    pub talkspurt_end: bool,
    /// RFC 6464 level, 0 (loud) ..= 127 (silence), in −dBov.
    pub level_dbov: u8,
    /// RFC 6464 voice bit.
    pub voice: bool,
    /// One Opus packet of 20 ms, 1..=640 bytes.
    pub opus: Bytes,
}

/// Pipeline from a source to the network for one track.
#[derive(Debug)]
pub struct SpeakerPipeline {
    encoder: VoiceEncoder,
    /// Hears the packets that are passed through, for their level.
    meter: TrackDecoder,
    talkspurt: TalkspurtTracker,
    next_seq: u16,
}

impl SpeakerPipeline {
    /// A pipeline that encodes at `bitrate_bps` and gives its first frame period the number
    /// `first_seq` (random, as RFC 3550 advises, so that restarts can be told apart).
    ///
    /// # Errors
    /// If the bitrate is outside what [`VoiceEncoder::new`] takes.
    pub fn new(bitrate_bps: u32, first_seq: u16) -> Result<Self, AudioError> {
        Ok(Self {
            encoder: VoiceEncoder::new(bitrate_bps)?,
            meter: TrackDecoder::new()?,
            talkspurt: TalkspurtTracker::new(),
            next_seq: first_seq,
        })
    }

    /// Has the encoder protect against other losses, at another bitrate, from the next frame on. What is passed
    /// through stays as it is.
    ///
    /// # Errors
    /// As for [`Self::new`], or if libopus fails.
    pub fn set_encoding(
        &mut self,
        bitrate_bps: u32,
        protection: Protection,
    ) -> Result<(), AudioError> {
        self.encoder.set_bitrate(bitrate_bps)?;
        self.encoder.set_protection(protection)
    }

    /// Takes the frame of the next frame period; `None` if there is nothing to send for it.
    ///
    /// While `muted`, nothing of `frame` leaves: the first muted frame period sends a silent frame
    /// that ends the talkspurt, and later ones send nothing.
    ///
    /// # Errors
    /// If libopus fails. The frame period has passed all the same.
    pub fn handle_frame(
        &mut self,
        frame: &SourceFrame,
        muted: bool,
    ) -> Result<Option<OutgoingFrame>, AudioError> {
        let seq = self.next_seq;
        self.next_seq = seq.wrapping_add(1);
        if muted && !self.talkspurt.is_talking() {
            return Ok(None);
        }
        let encoded = if muted {
            self.encode_muted()?
        } else {
            match frame {
                SourceFrame::Pcm(pcm) => self.encoder.encode(pcm)?,
                SourceFrame::Opus(opus) => self.measure(opus)?,
            }
        };
        Ok(match self.talkspurt.handle_frame(encoded.activity) {
            Emission::Skip => None,
            Emission::Send { talkspurt_end } => Some(OutgoingFrame {
                seq,
                talkspurt_end,
                level_dbov: encoded.level_dbov,
                voice: encoded.voice,
                opus: encoded.opus,
            }),
        })
    }

    /// The number that the next frame period gets.
    pub fn next_seq(&self) -> u16 {
        self.next_seq
    }

    /// Whether a talkspurt is under way.
    pub fn is_talking(&self) -> bool {
        self.talkspurt.is_talking()
    }

    fn encode_muted(&mut self) -> Result<EncodedFrame, AudioError> {
        let silent = self.encoder.encode(&SILENT_FRAME)?;
        Ok(EncodedFrame { voice: false, activity: Activity::Silence, ..silent })
    }

    fn measure(&mut self, opus: &Bytes) -> Result<EncodedFrame, AudioError> {
        let mut pcm = SILENT_FRAME;
        self.meter.decode(opus, &mut pcm)?;
        let is_dtx = is_dtx_packet(opus);
        let level_dbov = if is_dtx { LEVEL_SILENT_DBOV } else { level_dbov(&pcm) };
        Ok(EncodedFrame {
            opus: opus.clone(),
            voice: !is_dtx && is_voice(opus, level_dbov),
            level_dbov,
            activity: if is_dtx { Activity::Silence } else { Activity::Sound },
        })
    }
}

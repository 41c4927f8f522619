//! Ogg Opus (RFC 7845), written so that the file is playable whenever the process ends.
//!
//! Every frame period of listening becomes one packet, silence included, so granule positions simply count
//! samples. One packet is held back, because the last one has to be known as such when it is
//! written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ogg::writing::{PacketWriteEndInfo, PacketWriter};
use rand::TryRng;
use rand::rngs::SysRng;

use super::FLUSH_FRAMES;
use crate::audio::opus_head::{OpusHead, opus_tags};
use crate::audio::{
    AudioError, FRAME_BYTES_MAX, FRAME_SAMPLES, PcmFrame, SAMPLE_RATE_HZ, SILENT_FRAME,
};

/// Bitrate of a recording in bits per second: a second generation of Opus that is not to be heard as
/// such. 29 MB an hour.
const BITRATE_BPS: i32 = 64_000;

/// An Ogg Opus file that is being written.
pub struct OggOpusWriter {
    path: PathBuf,
    encoder: opus::Encoder,
    pages: PacketWriter<'static, BufWriter<File>>,
    serial: u32,
    pre_skip: u16,
    /// Samples that came so far.
    samples: u64,
    /// The beginning of a frame that is not full yet.
    gathered: Vec<f32>,
    /// The packet that is not written yet.
    pending: Option<Vec<u8>>,
    /// Samples in the packets before the pending one.
    written_samples: u64,
    frames_unflushed: u32,
}

impl std::fmt::Debug for OggOpusWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OggOpusWriter").field("path", &self.path).finish_non_exhaustive()
    }
}

impl OggOpusWriter {
    pub(super) fn create(path: &Path) -> Result<Self, AudioError> {
        let failed = |error: opus::Error| AudioError::Opus {
            action: "set up an encoder",
            reason: error.description(),
        };
        let mut encoder =
            opus::Encoder::new(SAMPLE_RATE_HZ, opus::Channels::Mono, opus::Application::Audio)
                .map_err(failed)?;
        encoder.set_bitrate(opus::Bitrate::Bits(BITRATE_BPS)).map_err(failed)?;
        let pre_skip = encoder.get_lookahead().map_err(failed)? as u16;
        let file_error =
            |source| AudioError::File { action: "write", path: path.to_owned(), source };
        let file = File::create(path).map_err(file_error)?;
        let mut writer = Self {
            path: path.to_owned(),
            encoder,
            pages: PacketWriter::new(BufWriter::new(file)),
            // Random so that recordings can be chained; alone in a file, any number will do.
            serial: SysRng.try_next_u32().unwrap_or_default(),
            pre_skip,
            samples: 0,
            gathered: Vec::with_capacity(FRAME_SAMPLES),
            pending: None,
            written_samples: 0,
            frames_unflushed: 0,
        };
        writer.write_headers().map_err(file_error)?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, pcm: &[f32]) -> Result<(), AudioError> {
        self.samples += pcm.len() as u64;
        for &sample in pcm {
            self.gathered.push(sample);
            if self.gathered.len() == FRAME_SAMPLES {
                self.encode_gathered()?;
            }
        }
        Ok(())
    }

    /// Encodes what was gathered, filled up with silence.
    fn encode_gathered(&mut self) -> Result<(), AudioError> {
        let mut frame: PcmFrame = SILENT_FRAME;
        frame[..self.gathered.len()].copy_from_slice(&self.gathered);
        self.gathered.clear();
        self.encode(&frame)
    }

    pub(super) fn finish(mut self) -> Result<(), AudioError> {
        // The encoder still holds as many samples as its lookahead, so silence pushes them out. A
        // recording without any sound gets one packet too: a stream has to end somewhere.
        let end_granule = u64::from(self.pre_skip) + self.samples;
        if !self.gathered.is_empty() {
            self.encode_gathered()?;
        }
        while self.pending.is_none() || self.written_samples + (FRAME_SAMPLES as u64) < end_granule
        {
            self.encode(&SILENT_FRAME)?;
        }
        let last = self.pending.take().unwrap_or_default();
        self.pages
            .write_packet(last, self.serial, PacketWriteEndInfo::EndStream, end_granule)
            .and_then(|()| self.pages.inner_mut().flush())
            .map_err(|source| self.error(source))
    }

    fn encode(&mut self, pcm: &PcmFrame) -> Result<(), AudioError> {
        let mut packet = [0; FRAME_BYTES_MAX];
        let len = self.encoder.encode_float(pcm, &mut packet).map_err(|error: opus::Error| {
            AudioError::Opus { action: "encode a recording", reason: error.description() }
        })?;
        if let Some(previous) = self.pending.replace(packet[..len].to_vec()) {
            self.write_packet(previous).map_err(|source| self.error(source))?;
        }
        Ok(())
    }

    fn write_packet(&mut self, packet: Vec<u8>) -> io::Result<()> {
        self.written_samples += FRAME_SAMPLES as u64;
        self.frames_unflushed += 1;
        let is_page_full = self.frames_unflushed >= FLUSH_FRAMES;
        let end = if is_page_full {
            PacketWriteEndInfo::EndPage
        } else {
            PacketWriteEndInfo::NormalPacket
        };
        self.pages.write_packet(packet, self.serial, end, self.written_samples)?;
        if is_page_full {
            self.frames_unflushed = 0;
            self.pages.inner_mut().flush()?;
        }
        Ok(())
    }

    fn write_headers(&mut self) -> io::Result<()> {
        let head = OpusHead { channels: 1, pre_skip: self.pre_skip, gain_q8_db: 0 };
        for packet in [head.to_bytes(), opus_tags()] {
            self.pages.write_packet(packet, self.serial, PacketWriteEndInfo::EndPage, 0)?;
        }
        self.pages.inner_mut().flush()
    }

    fn error(&self, source: io::Error) -> AudioError {
        AudioError::File { action: "write", path: self.path.clone(), source }
    }
}

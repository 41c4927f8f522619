//! Opus to PCM for one track, with recovery of lost frames and concealment.
//!
//! For [`super::playout`] and for the loudness of packets that were encoded elsewhere.

use super::{AudioError, FRAME_BYTES_MAX, FRAME_SAMPLES, PcmFrame, SAMPLE_RATE_HZ, SILENT_FRAME};

/// Frames in a row that are concealed at full loudness: 100 ms, about a syllable. Beyond that a
/// concealment is a drone that nobody said.
pub const CONCEAL_FULL_FRAMES: u32 = 5;
/// Frames over which a concealment then fades to silence: 40 ms, too slow to click.
pub const CONCEAL_FADE_FRAMES: u32 = 2;
/// Samples over which the sound comes back after such a silence: 5 ms.
const FADE_IN_SAMPLES: usize = 240;

/// An Opus decoder for one track. Stereo packets come out as mono.
#[derive(Debug)]
pub struct TrackDecoder {
    opus: opus::Decoder,
    /// Frames concealed since the last one that was decoded or recovered.
    concealed_in_row: u32,
}

impl TrackDecoder {
    /// A decoder that has heard nothing yet.
    ///
    /// # Errors
    /// If libopus cannot allocate its state.
    pub fn new() -> Result<Self, AudioError> {
        let opus = opus::Decoder::new(SAMPLE_RATE_HZ, opus::Channels::Mono)
            .map_err(|source| AudioError::Opus { action: "set up a decoder", source })?;
        Ok(Self { opus, concealed_in_row: 0 })
    }

    /// Decodes a packet that arrived.
    ///
    /// # Errors
    /// If it is not one 20 ms frame of at most 640 bytes, or its content is malformed. `pcm` is
    /// then unspecified, and the decoder is still usable: conceal instead.
    pub fn decode(&mut self, opus: &[u8], pcm: &mut PcmFrame) -> Result<(), AudioError> {
        check_one_frame(opus)?;
        self.run(opus, pcm, false, "decode a frame")?;
        self.come_back(pcm);
        Ok(())
    }

    /// Fills in for a lost frame with the redundant copy that the packet after it carries; if it
    /// carries none, with a concealment that leads over to it. Decode `next` itself afterwards.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn recover(&mut self, next: &[u8], pcm: &mut PcmFrame) -> Result<(), AudioError> {
        check_one_frame(next)?;
        self.run(next, pcm, true, "recover a frame")?;
        self.come_back(pcm);
        Ok(())
    }

    /// Fills in for a lost frame with what probably was said: for [`CONCEAL_FULL_FRAMES`] in a row,
    /// then fading to silence over [`CONCEAL_FADE_FRAMES`].
    pub fn conceal(&mut self, pcm: &mut PcmFrame) {
        let already = self.concealed_in_row;
        self.concealed_in_row = already.saturating_add(1);
        let fade_step = already.saturating_sub(CONCEAL_FULL_FRAMES);
        if already >= CONCEAL_FULL_FRAMES + CONCEAL_FADE_FRAMES
            || self.run(&[], pcm, false, "conceal a frame").is_err()
        {
            *pcm = SILENT_FRAME;
        } else if already >= CONCEAL_FULL_FRAMES {
            let fade_samples = (CONCEAL_FADE_FRAMES as usize * FRAME_SAMPLES) as f32;
            let done = fade_step as usize * FRAME_SAMPLES;
            for (n, sample) in pcm.iter_mut().enumerate() {
                *sample *= 1.0 - (done + n) as f32 / fade_samples;
            }
        }
    }

    /// Whether concealing has come to silence, and goes on with it.
    pub fn is_faded_out(&self) -> bool {
        self.concealed_in_row > CONCEAL_FULL_FRAMES + CONCEAL_FADE_FRAMES
    }

    fn run(
        &mut self,
        packet: &[u8],
        pcm: &mut PcmFrame,
        is_fec: bool,
        action: &'static str,
    ) -> Result<(), AudioError> {
        let samples = self
            .opus
            .decode_float(packet, pcm, is_fec)
            .map_err(|source| AudioError::Opus { action, source })?;
        if samples == FRAME_SAMPLES {
            Ok(())
        } else {
            Err(AudioError::NotOneFrame { bytes: packet.len(), samples })
        }
    }

    /// Leads from a silence that a long concealment ended in to the first sound after it.
    fn come_back(&mut self, pcm: &mut PcmFrame) {
        if self.concealed_in_row > CONCEAL_FULL_FRAMES {
            for (n, sample) in pcm.iter_mut().take(FADE_IN_SAMPLES).enumerate() {
                *sample *= n as f32 / FADE_IN_SAMPLES as f32;
            }
        }
        self.concealed_in_row = 0;
    }
}

/// Checks that a packet is what the wire calls a frame: one Opus packet of 20 ms, 1..=640 bytes.
///
/// # Errors
/// [`AudioError::NotOneFrame`] if it is not.
pub fn check_one_frame(opus: &[u8]) -> Result<(), AudioError> {
    let samples = if opus.is_empty() {
        0
    } else {
        opus::packet::get_nb_samples(opus, SAMPLE_RATE_HZ).unwrap_or(0)
    };
    if samples == FRAME_SAMPLES && opus.len() <= FRAME_BYTES_MAX {
        Ok(())
    } else {
        Err(AudioError::NotOneFrame { bytes: opus.len(), samples })
    }
}

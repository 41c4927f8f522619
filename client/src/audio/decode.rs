//! Opus to PCM for one track, with recovery of lost frames and concealment.
//!
//! For [`super::playout`] and for the loudness of packets that were encoded elsewhere.

use std::fmt;

use opusic_c::dred::{DRED_PACKET_SIZE, Dred, dred_packet_size};
use opusic_c::{Channels, Decoder, ErrorCode, SampleRate};
use tribune_client_core::opus_packet::OpusPacket;

use super::encode::failed;
use super::{AudioError, FRAME_BYTES_MAX, FRAME_SAMPLES, PcmFrame, SAMPLE_RATE_HZ, SILENT_FRAME};

/// Frames in a row that are concealed at full loudness: 100 ms, about a syllable. Beyond that a
/// concealment is a drone that nobody said.
pub const CONCEAL_FULL_FRAMES: u32 = 5;
/// Frames over which a concealment then fades to silence: 40 ms, too slow to click.
pub const CONCEAL_FADE_FRAMES: u32 = 2;
/// Samples over which the sound comes back after such a silence: 5 ms.
const FADE_IN_SAMPLES: usize = 240;
/// Frames of a burst that are recovered at the most, in one go: 240 ms, as far as speakers protect
/// ([`MAX_PROTECTED_SPAN`](tribune_protocol::limits::MAX_PROTECTED_SPAN)). They cost about 8 ms of CPU.
const BURST_FRAMES_MAX: u16 = 12;
/// Of 0..=10. From 5 on libopus conceals with a neural network, for 0.7 ms of CPU a concealed frame instead
/// of 0.03; higher settings change nothing in this build.
const COMPLEXITY: u8 = 5;

/// An Opus decoder for one track. Stereo packets come out as mono.
pub struct TrackDecoder {
    opus: Dred,
    /// Frames concealed since the last one that was decoded or recovered.
    concealed_in_row: u32,
    burst: Burst,
}

/// Frames of a burst that have been recovered together with one before them, and wait for their turn.
#[derive(Default)]
struct Burst {
    samples: Vec<f32>,
    /// Samples that have been handed out.
    used: usize,
}

impl TrackDecoder {
    /// A decoder that has heard nothing yet.
    ///
    /// # Errors
    /// If libopus cannot allocate its state.
    pub fn new() -> Result<Self, AudioError> {
        let failed = |code| failed("set up a decoder", code);
        // The binding sets aside as much as its version of libopus wants, and another one would write beyond.
        if dred_packet_size() > DRED_PACKET_SIZE {
            return Err(failed(ErrorCode::AllocFail));
        }
        let mut decoder = Decoder::new(Channels::Mono, SampleRate::Hz48000).map_err(failed)?;
        decoder.set_complexity(COMPLEXITY).map_err(failed)?;
        let opus = Dred::new(decoder).map_err(failed)?;
        Ok(Self { opus, concealed_in_row: 0, burst: Burst::default() })
    }

    /// Decodes a packet that arrived.
    ///
    /// # Errors
    /// If it is not one 20 ms frame of at most 640 bytes, or its content is malformed. `pcm` is
    /// then unspecified, and the decoder is still usable: conceal instead.
    pub fn decode(&mut self, opus: &[u8], pcm: &mut PcmFrame) -> Result<(), AudioError> {
        self.burst.clear();
        check_one_frame(opus)?;
        self.run(opus, pcm, false, "decode a frame")?;
        self.come_back(pcm);
        Ok(())
    }

    /// Recovers a lost frame from the redundancy of the nearest packet after it that has come, which is
    /// `distance` places later: from the copy that the very next packet may carry, or from a description of
    /// the last frames that any may carry (DRED). Returns whether there is such a one; if not, `pcm` is
    /// left alone, and is to be concealed.
    ///
    /// The frames of a burst are recovered in one go, when the first of them is, and handed out by the calls
    /// for the others. Decode `later` itself afterwards.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn recover(
        &mut self,
        later: &[u8],
        distance: u16,
        pcm: &mut PcmFrame,
    ) -> Result<bool, AudioError> {
        check_one_frame(later)?;
        if self.burst.take(pcm) {
            self.come_back(pcm);
            return Ok(true);
        }
        let Some(packet) = OpusPacket::parse(later) else { return Ok(false) };
        if distance == 1 && packet.has_copy() {
            self.run(later, pcm, true, "recover a frame")?;
        } else if (1..=BURST_FRAMES_MAX).contains(&distance)
            && packet.reach_ms() >= u32::from(distance) * FRAME_MS
        {
            self.recover_burst(later, usize::from(distance), pcm)?;
        } else {
            return Ok(false);
        }
        self.come_back(pcm);
        Ok(true)
    }

    /// Fills in for a lost frame with what probably was said: for [`CONCEAL_FULL_FRAMES`] in a row,
    /// then fading to silence over [`CONCEAL_FADE_FRAMES`].
    pub fn conceal(&mut self, pcm: &mut PcmFrame) {
        self.burst.clear();
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

    /// Recovers so many frames before a packet, and gives the first of them.
    fn recover_burst(
        &mut self,
        later: &[u8],
        frames: usize,
        pcm: &mut PcmFrame,
    ) -> Result<(), AudioError> {
        let room = self.burst.begin(frames);
        let samples = self.opus.decode_float_to_slice(later, room);
        let wanted = room.len();
        match samples.map_err(|code| failed("recover a burst", code)) {
            Ok(samples) if samples == wanted => {
                self.burst.take(pcm);
                Ok(())
            }
            Ok(samples) => {
                self.burst.clear();
                Err(AudioError::NotOneFrame { bytes: later.len(), samples })
            }
            Err(error) => {
                self.burst.clear();
                Err(error)
            }
        }
    }

    fn run(
        &mut self,
        packet: &[u8],
        pcm: &mut PcmFrame,
        is_fec: bool,
        action: &'static str,
    ) -> Result<(), AudioError> {
        let decoder = self.opus.decoder_mut();
        let samples = decoder
            .decode_float_to_slice(packet, pcm, is_fec)
            .map_err(|code| failed(action, code))?;
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

impl fmt::Debug for TrackDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackDecoder")
            .field("concealed_in_row", &self.concealed_in_row)
            .field("burst_samples", &(self.burst.samples.len() - self.burst.used))
            .finish_non_exhaustive()
    }
}

impl Burst {
    /// Room for so many frames.
    fn begin(&mut self, frames: usize) -> &mut [f32] {
        self.used = 0;
        self.samples.clear();
        self.samples.resize(frames * FRAME_SAMPLES, 0.0);
        &mut self.samples
    }

    /// Hands out the next frame. Returns whether there is one.
    fn take(&mut self, pcm: &mut PcmFrame) -> bool {
        let Some(frame) = self.samples.get(self.used..self.used + FRAME_SAMPLES) else {
            return false;
        };
        pcm.copy_from_slice(frame);
        self.used += FRAME_SAMPLES;
        true
    }

    fn clear(&mut self) {
        self.used = self.samples.len();
    }
}

/// Milliseconds of a frame.
const FRAME_MS: u32 = (FRAME_SAMPLES as u32 * 1_000) / SAMPLE_RATE_HZ;

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

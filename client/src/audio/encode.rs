//! PCM to Opus: one packet per frame period.
//!
//! For [`super::speak`]; a recorder has its own encoder in [`super::sink`].

use bytes::Bytes;

use super::level::{LEVEL_QUIET_DBOV, level_dbov, voice_of_packet};
use super::talkspurt::Activity;
use super::{AudioError, FRAME_BYTES_MAX, PcmFrame, SAMPLE_RATE_HZ};

/// Default bitrate in bits per second: fullband mono speech is 28–40 kb/s (RFC 7587, 3.1.1).
pub const BITRATE_DEFAULT_BPS: u32 = 32_000;
/// Lowest bitrate in bits per second that Opus is specified for (RFC 6716, 2.1.1).
pub const BITRATE_MIN_BPS: u32 = 6_000;
/// Highest bitrate in bits per second whose 20 ms packets fit [`FRAME_BYTES_MAX`].
pub const BITRATE_MAX_BPS: u32 = 256_000;

/// Loss in percent that the encoder protects against with in-band FEC. What a listener on mobile
/// loses at times; with 10 the redundant copy takes about a sixth of the bits.
const PACKET_LOSS_PERCENT: i32 = 10;
/// Of 0..=10. From 7 on libopus analyses the signal, which DTX needs to tell a quiet voice or a
/// steady tone from noise; above 9 costs more CPU for no audible gain on one voice.
const COMPLEXITY: i32 = 9;
/// A packet of at most this many bytes need not be transmitted (libopus, `opus_encode`).
const DTX_BYTES_MAX: usize = 2;

/// One frame period, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// One Opus packet of 20 ms, 1..=640 bytes.
    pub opus: Bytes,
    /// RFC 6464 level of what was encoded: 0 (loud) ..= 127 (silence), in −dBov.
    pub level_dbov: u8,
    /// Whether it is a voice rather than noise or silence.
    pub voice: bool,
    /// Whether it is worth sending.
    pub activity: Activity,
}

/// An Opus encoder for one speaker: mono, voice, with in-band FEC and DTX.
#[derive(Debug)]
pub struct VoiceEncoder {
    opus: opus::Encoder,
}

impl VoiceEncoder {
    /// An encoder that aims at `bitrate_bps` bits per second.
    ///
    /// # Errors
    /// If the bitrate is outside [`BITRATE_MIN_BPS`]..=[`BITRATE_MAX_BPS`], or libopus fails.
    pub fn new(bitrate_bps: u32) -> Result<Self, AudioError> {
        if !(BITRATE_MIN_BPS..=BITRATE_MAX_BPS).contains(&bitrate_bps) {
            return Err(AudioError::Bitrate { bps: bitrate_bps });
        }
        let failed = |source| AudioError::Opus { action: "set up an encoder", source };
        let mut opus =
            opus::Encoder::new(SAMPLE_RATE_HZ, opus::Channels::Mono, opus::Application::Voip)
                .map_err(failed)?;
        opus.set_bitrate(opus::Bitrate::Bits(bitrate_bps as i32)).map_err(failed)?;
        opus.set_complexity(COMPLEXITY).map_err(failed)?;
        opus.set_inband_fec(true).map_err(failed)?;
        opus.set_packet_loss_perc(PACKET_LOSS_PERCENT).map_err(failed)?;
        opus.set_dtx(true).map_err(failed)?;
        Ok(Self { opus })
    }

    /// Encodes the next frame period.
    ///
    /// # Errors
    /// If libopus fails, which it does not for finite samples.
    pub fn encode(&mut self, pcm: &PcmFrame) -> Result<EncodedFrame, AudioError> {
        let failed = |source| AudioError::Opus { action: "encode a frame", source };
        let mut packet = [0; FRAME_BYTES_MAX];
        let len = self.opus.encode_float(pcm, &mut packet).map_err(failed)?;
        let is_dtx = len <= DTX_BYTES_MAX || self.opus.get_in_dtx().map_err(failed)?;
        let opus = Bytes::copy_from_slice(&packet[..len]);
        let level_dbov = level_dbov(pcm);
        Ok(EncodedFrame {
            voice: !is_dtx && is_voice(&opus, level_dbov),
            level_dbov,
            activity: if is_dtx { Activity::Silence } else { Activity::Sound },
            opus,
        })
    }
}

/// Whether an Opus packet is a discontinued transmission.
pub fn is_dtx_packet(opus: &[u8]) -> bool {
    opus.len() <= DTX_BYTES_MAX
}

/// The voice bit of a packet: the codec's own opinion, or its loudness where the codec has none.
pub fn is_voice(opus: &[u8], level_dbov: u8) -> bool {
    voice_of_packet(opus).unwrap_or(level_dbov < LEVEL_QUIET_DBOV)
}

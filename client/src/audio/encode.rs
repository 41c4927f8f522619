//! PCM to Opus: one packet per frame period, as redundant as it has to be.
//!
//! For [`super::speak`]; a recorder has its own encoder in [`super::sink`].

use std::fmt;

use bytes::Bytes;
use opusic_c::{Application, Bitrate, Channels, Encoder, ErrorCode, InbandFec, SampleRate};
use tribune_protocol::domain::protection::Protection;

use super::level::{LEVEL_QUIET_DBOV, level_dbov, voice_of_packet};
use super::talkspurt::Activity;
use super::{AudioError, FRAME_BYTES_MAX, PcmFrame};

/// Default bitrate in bits per second: fullband mono speech is 28–40 kb/s (RFC 7587, 3.1.1).
pub const BITRATE_DEFAULT_BPS: u32 = 32_000;
/// Lowest bitrate in bits per second that Opus is specified for (RFC 6716, 2.1.1).
pub const BITRATE_MIN_BPS: u32 = 6_000;
/// Highest bitrate in bits per second whose 20 ms packets fit [`FRAME_BYTES_MAX`].
pub const BITRATE_MAX_BPS: u32 = 256_000;

/// Bitrate in bits per second below which DRED has too few bits: libopus keeps 12 kb/s for the voice. At this
/// one a packet tells of 135 ms.
const DRED_FROM_BPS: u32 = 24_000;
/// Bitrate in bits per second from which on both redundancies have bits: with FEC, libopus keeps 20 kb/s
/// from DRED, which starves it below.
const BOTH_FROM_BPS: u32 = 40_000;
/// Loss in percent that an encoder with FEC expects at least: at 24 kb/s and 5 % libopus makes no copies at all.
const FEC_LOSS_PERCENT: u8 = 10;
/// Loss in percent that an encoder with DRED expects at least: libopus gives it bits by that. At 24 kb/s and
/// 10 % a packet tells of 55 ms only.
const DRED_LOSS_PERCENT: u8 = 20;
/// Unit of DRED's span, in milliseconds.
const DRED_UNIT_MS: u16 = 10;
/// Of 0..=10. From 7 on libopus analyses the signal, which DTX needs to tell a quiet voice or a
/// steady tone from noise; above 9 costs more CPU for no audible gain on one voice.
const COMPLEXITY: u8 = 9;
/// A packet of at most this many bytes need not be transmitted (libopus, `opus_encode`).
const DTX_BYTES_MAX: usize = 2;
/// Packets in a row that DTX leaves out before it refreshes the comfort noise (libopus,
/// `MAX_CONSECUTIVE_DTX`).
const DTX_FRAMES_MAX: u32 = 20;

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

/// Redundancy in the packets of an encoder, with the loss in percent that it expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redundancy {
    /// None: all bits are for the voice.
    #[default]
    None,
    /// A copy of each frame in the next packet (in-band FEC): best for single losses. Below 18 kb/s libopus
    /// makes none, whatever it is told.
    Fec {
        /// Expected loss in percent.
        loss_percent: u8,
    },
    /// A coarse description of the last frames in each packet (DRED): best for bursts.
    Dred {
        /// Expected loss in percent.
        loss_percent: u8,
        /// Time that each packet tells back, in milliseconds.
        span_ms: u16,
    },
    /// Both.
    Both {
        /// Expected loss in percent.
        loss_percent: u8,
        /// Time that each packet tells back, in milliseconds.
        span_ms: u16,
    },
}

/// An Opus encoder for one speaker: mono, voice, with DTX, and redundant as it is asked to be.
pub struct VoiceEncoder {
    opus: Encoder,
    bitrate_bps: u32,
    protection: Protection,
    dtx: Dtx,
}

/// Discontinued transmission, as the packets show it.
#[derive(Debug, Default)]
struct Dtx {
    /// Packets in a row that were left out.
    left_out: u32,
}

impl Redundancy {
    /// The redundancy for a protection, as far as the bitrate bears it.
    pub fn of(protection: Protection, bitrate_bps: u32) -> Self {
        let fec = |loss_percent: u8| Self::Fec { loss_percent: loss_percent.max(FEC_LOSS_PERCENT) };
        match protection.bounded() {
            Protection::Nothing {} | Protection::Unknown => Self::None,
            Protection::Single { loss_percent } => fec(loss_percent),
            Protection::Bursts { loss_percent, .. } if bitrate_bps < DRED_FROM_BPS => {
                fec(loss_percent)
            }
            Protection::Bursts { loss_percent, span_ms } => {
                let loss_percent = loss_percent.max(DRED_LOSS_PERCENT);
                if bitrate_bps < BOTH_FROM_BPS {
                    Self::Dred { loss_percent, span_ms }
                } else {
                    Self::Both { loss_percent, span_ms }
                }
            }
        }
    }

    /// FEC, expected loss in percent, and DRED's span in its unit.
    const fn settings(self) -> (InbandFec, u8, u8) {
        match self {
            Self::None => (InbandFec::Off, 0, 0),
            Self::Fec { loss_percent } => (InbandFec::Mode1, loss_percent, 0),
            Self::Dred { loss_percent, span_ms } => {
                (InbandFec::Off, loss_percent, dred_units(span_ms))
            }
            Self::Both { loss_percent, span_ms } => {
                (InbandFec::Mode1, loss_percent, dred_units(span_ms))
            }
        }
    }
}

/// A span in the unit of DRED, of which it has 104 at most.
const fn dred_units(span_ms: u16) -> u8 {
    let units = span_ms.div_ceil(DRED_UNIT_MS);
    if units > 104 { 104 } else { units as u8 }
}

impl VoiceEncoder {
    /// An encoder that aims at `bitrate_bps` bits per second, redundancy included, without any at first.
    ///
    /// # Errors
    /// If the bitrate is outside [`BITRATE_MIN_BPS`]..=[`BITRATE_MAX_BPS`], or libopus fails.
    pub fn new(bitrate_bps: u32) -> Result<Self, AudioError> {
        let failed = |code| failed("set up an encoder", code);
        let opus = Encoder::new(Channels::Mono, SampleRate::Hz48000, Application::Voip);
        let mut opus = opus.map_err(failed)?;
        opus.set_complexity(COMPLEXITY).map_err(failed)?;
        opus.set_dtx(true).map_err(failed)?;
        let protection = Protection::default();
        let mut encoder = Self { opus, bitrate_bps, protection, dtx: Dtx::default() };
        encoder.set_bitrate(bitrate_bps)?;
        Ok(encoder)
    }

    /// Aims at another bitrate from the next frame on.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), AudioError> {
        if !(BITRATE_MIN_BPS..=BITRATE_MAX_BPS).contains(&bitrate_bps) {
            return Err(AudioError::Bitrate { bps: bitrate_bps });
        }
        let bitrate = Bitrate::Value(bitrate_bps);
        self.opus.set_bitrate(bitrate).map_err(|code| failed("set a bitrate", code))?;
        self.bitrate_bps = bitrate_bps;
        self.set_protection(self.protection)
    }

    /// Protects against other losses from the next frame on.
    ///
    /// # Errors
    /// If libopus fails.
    pub fn set_protection(&mut self, protection: Protection) -> Result<(), AudioError> {
        let failed = |code| failed("set its redundancy", code);
        self.protection = protection;
        let (fec, loss_percent, dred) = self.redundancy().settings();
        self.opus.set_inband_fec(fec).map_err(failed)?;
        self.opus.set_packet_loss(loss_percent).map_err(failed)?;
        self.opus.set_dred_duration(dred).map_err(failed)
    }

    /// The redundancy in force.
    pub fn redundancy(&self) -> Redundancy {
        Redundancy::of(self.protection, self.bitrate_bps)
    }

    /// Encodes the next frame period.
    ///
    /// # Errors
    /// If libopus fails, which it does not for finite samples.
    pub fn encode(&mut self, pcm: &PcmFrame) -> Result<EncodedFrame, AudioError> {
        let mut packet = [0; FRAME_BYTES_MAX];
        let len = self.opus.encode_float_to_slice(pcm, &mut packet);
        let len = len.map_err(|code| failed("encode a frame", code))?;
        let opus = Bytes::copy_from_slice(&packet[..len]);
        let level_dbov = level_dbov(pcm);
        let is_dtx = self.dtx.handle_packet(&opus);
        Ok(EncodedFrame {
            voice: !is_dtx && is_voice(&opus, level_dbov),
            level_dbov,
            activity: if is_dtx { Activity::Silence } else { Activity::Sound },
            opus,
        })
    }
}

impl fmt::Debug for VoiceEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { opus: _, bitrate_bps, protection, dtx } = self;
        f.debug_struct("VoiceEncoder")
            .field("bitrate_bps", bitrate_bps)
            .field("protection", protection)
            .field("dtx", dtx)
            .finish_non_exhaustive()
    }
}

impl Dtx {
    /// Takes the next packet. Whether it belongs to a silence: it is left out, or it refreshes the comfort
    /// noise after as many as are left out in a row.
    fn handle_packet(&mut self, opus: &[u8]) -> bool {
        if is_dtx_packet(opus) {
            self.left_out += 1;
            return true;
        }
        let left_out = std::mem::take(&mut self.left_out);
        left_out == DTX_FRAMES_MAX && voice_of_packet(opus) != Some(true)
    }
}

pub(super) fn failed(action: &'static str, code: ErrorCode) -> AudioError {
    AudioError::Opus { action, reason: code.message() }
}

/// Whether an Opus packet is a discontinued transmission.
pub fn is_dtx_packet(opus: &[u8]) -> bool {
    opus.len() <= DTX_BYTES_MAX
}

/// The voice bit of a packet: the codec's own opinion, or its loudness where the codec has none.
pub fn is_voice(opus: &[u8], level_dbov: u8) -> bool {
    voice_of_packet(opus).unwrap_or(level_dbov < LEVEL_QUIET_DBOV)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bitrate_decides_about_the_means() {
        let bursts = Protection::Bursts { loss_percent: 10, span_ms: 120 };
        let loss_percent = 10;
        for (bitrate_bps, wanted) in [
            (23_999, Redundancy::Fec { loss_percent }),
            (24_000, Redundancy::Dred { loss_percent: 20, span_ms: 120 }),
            (40_000, Redundancy::Both { loss_percent: 20, span_ms: 120 }),
        ] {
            assert_eq!(Redundancy::of(bursts, bitrate_bps), wanted);
        }
        let few = Protection::Single { loss_percent: 5 };
        assert_eq!(Redundancy::of(few, 24_000), Redundancy::Fec { loss_percent: 10 });
        let single = Protection::Single { loss_percent };
        assert_eq!(Redundancy::of(single, 64_000), Redundancy::Fec { loss_percent });
        assert_eq!(Redundancy::of(Protection::Unknown, 64_000), Redundancy::None);
    }

    #[test]
    fn a_refresh_of_comfort_noise_is_silence_and_a_voice_is_not() {
        let (left_out, noise, voice) = ([9 << 3], [9 << 3, 0, 1], [9 << 3, 0x80, 1]);
        let mut dtx = Dtx::default();
        assert!(!dtx.handle_packet(&noise), "nothing has been left out");
        for after in [&noise[..], &voice[..]] {
            for _ in 0..20 {
                assert!(dtx.handle_packet(&left_out));
            }
            assert_eq!(dtx.handle_packet(after), after == noise);
        }
        for _ in 0..7 {
            assert!(dtx.handle_packet(&left_out));
        }
        assert!(!dtx.handle_packet(&noise), "it sounds before a refresh is due");
    }
}

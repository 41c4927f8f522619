//! Audio level as RFC 6464 defines it, and the voice bit beside it.
//!
//! Senders put the level into each frame; receivers show meters.

use crate::opus_packet::OpusPacket;

/// Level of digital silence, in −dBov: the largest value that RFC 6464 can carry.
pub const LEVEL_SILENT_DBOV: u8 = 127;

/// From this level on, in −dBov, a frame counts as quiet when the codec does not say whether it is
/// voice: 50 dB below overload is under the noise of a quiet room at a usual microphone gain.
pub const LEVEL_QUIET_DBOV: u8 = 50;

/// Level of some samples in −dBov: 0 (a square wave at full scale) ..= 127 (silence).
///
/// The root mean square against full scale, as in RFC 6465 appendix A; a full-scale sine is 3.
pub fn level_dbov(samples: &[f32]) -> u8 {
    if samples.is_empty() {
        return LEVEL_SILENT_DBOV;
    }
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample) * f64::from(sample)).sum();
    let dbov = 10.0 * (energy / samples.len() as f64).log10();
    // A float-to-integer cast saturates: −∞ (silence) ends at 127, and NaN at 0 is not voice by itself.
    (-dbov).round().clamp(0.0, f64::from(LEVEL_SILENT_DBOV)) as u8
}

/// Whether the encoder heard a voice in this packet, as far as the packet says: see [`OpusPacket::voice`].
pub fn voice_of_packet(opus: &[u8]) -> Option<bool> {
    OpusPacket::parse(opus)?.voice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square_sine_and_silence_have_the_levels_of_the_rfc() {
        assert_eq!(level_dbov(&[1.0, -1.0, 1.0, -1.0]), 0);
        let sine: Vec<f32> =
            (0..960).map(|n| (n as f32 * std::f32::consts::TAU / 96.0).sin()).collect();
        assert_eq!(level_dbov(&sine), 3);
        let tenth: Vec<f32> = sine.iter().map(|s| s * 0.1).collect();
        assert_eq!(level_dbov(&tenth), 23);
        assert_eq!(level_dbov(&[0.0; 960]), 127);
        assert_eq!(level_dbov(&[]), 127);
        assert_eq!(level_dbov(&[4.0; 16]), 0, "beyond overload is clamped");
    }

    #[test]
    fn voice_flag_is_read_from_silk_and_hybrid_packets_only() {
        let silk_wideband_20ms = 9 << 3;
        assert_eq!(voice_of_packet(&[silk_wideband_20ms, 0x80, 0]), Some(true));
        assert_eq!(voice_of_packet(&[silk_wideband_20ms, 0x7f, 0]), Some(false));
        assert_eq!(voice_of_packet(&[silk_wideband_20ms]), Some(false));
        let celt_fullband_20ms = 31 << 3;
        assert_eq!(voice_of_packet(&[celt_fullband_20ms, 0xff]), None);
        assert_eq!(voice_of_packet(&[silk_wideband_20ms | 1, 0xff]), None);
        assert_eq!(voice_of_packet(&[]), None);
    }
}

//! Audio level as RFC 6464 defines it, and the voice bit beside it.
//!
//! Senders put the level into each frame; receivers show meters.

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

/// Whether the encoder heard a voice in this packet, as far as the packet says.
///
/// A SILK or hybrid packet starts with its voice activity flag (RFC 6716, 4.2.3), in the first bit
/// after the header byte, which is the range coder's first bit at probability one half. A packet of
/// one byte is a discontinued transmission, so no voice. A CELT packet does not say: `None`.
pub fn voice_of_packet(opus: &[u8]) -> Option<bool> {
    /// Configurations 0..=15 of the header byte are SILK or hybrid (RFC 6716, table 2).
    const CONFIG_FIRST_CELT: u8 = 16;
    /// The low two bits of the header byte say how many frames follow; 0 means one.
    const FRAME_COUNT_MASK: u8 = 0b11;

    let (&header, frame) = opus.split_first()?;
    let Some(&first) = frame.first() else { return Some(false) };
    let is_one_frame = header & FRAME_COUNT_MASK == 0;
    (is_one_frame && header >> 3 < CONFIG_FIRST_CELT).then_some(first & 0x80 != 0)
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

//! A sine, for tests of a room without a recording at hand.

use crate::audio::{AudioError, FRAME_SAMPLES, PcmFrame, SAMPLE_RATE_HZ};

/// Amplitude: 12 dB below full scale, as loud as usual speech.
const AMPLITUDE: f64 = 0.25;
/// Frequencies that can be heard, in Hz.
const AUDIBLE_HZ: std::ops::RangeInclusive<f32> = 20.0..=20_000.0;

/// An endless sine.
#[derive(Debug)]
pub struct Tone {
    /// Periods per sample.
    step: f64,
    /// Place in the period, 0..1.
    phase: f64,
}

impl Tone {
    pub(super) fn new(hz: f32) -> Result<Self, AudioError> {
        if !AUDIBLE_HZ.contains(&hz) {
            return Err(AudioError::ToneHz { hz });
        }
        Ok(Self { step: f64::from(hz) / f64::from(SAMPLE_RATE_HZ), phase: 0.0 })
    }

    pub(super) fn next_frame(&mut self) -> PcmFrame {
        let mut pcm = [0.0; FRAME_SAMPLES];
        for sample in &mut pcm {
            *sample = ((self.phase * std::f64::consts::TAU).sin() * AMPLITUDE) as f32;
            self.phase = (self.phase + self.step).fract();
        }
        pcm
    }
}

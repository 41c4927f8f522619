//! Any sample rate to any other, for a stream of mono samples; and any channel count to mono.
//!
//! For sources (file or microphone rate to 48 kHz). A loudspeaker has a clock of its own: [`super::drift`].

use std::collections::VecDeque;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Indexing, Resampler, SincInterpolationParameters, WindowFunction};

use super::AudioError;

/// Rates in Hz that can be converted: from less than telephone quality to four times studio.
pub const RATES_HZ: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// Most channels a file may have; 7.1 surround has 8, ambisonics up to 16 in practice.
pub const CHANNELS_MAX: usize = 32;

/// Length of the interpolation filter in samples: flat to about 20 kHz at 44.1 kHz.
pub(super) const SINC_LEN: usize = 256;
/// Input samples that are converted at a time, 10 ms of 48 kHz: the latency of a live conversion.
const CHUNK_SAMPLES: usize = 480;

/// Converts one mono stream. What comes out is aligned with what went in, and exactly as long.
pub struct MonoResampler {
    /// `None` if both rates are the same: samples pass as they are.
    sinc: Option<Async<f32>>,
    ratio: f64,
    /// Samples that wait until a chunk is full.
    pending: Vec<f32>,
    chunk_out: Vec<f32>,
    /// Output samples still to be thrown away: the filter's delay.
    delay_left: usize,
    samples_in: u64,
    samples_out: u64,
}

impl std::fmt::Debug for MonoResampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MonoResampler").field("ratio", &self.ratio).finish_non_exhaustive()
    }
}

impl MonoResampler {
    /// A converter from `from_hz` to `to_hz`.
    ///
    /// # Errors
    /// [`AudioError::Resample`] if one of them is outside [`RATES_HZ`].
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, AudioError> {
        for rate_hz in [from_hz, to_hz] {
            if !RATES_HZ.contains(&rate_hz) {
                return Err(AudioError::Resample { rate_hz, channels: 1 });
            }
        }
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        let sinc = if from_hz == to_hz {
            None
        } else {
            let parameters =
                SincInterpolationParameters::new(SINC_LEN, WindowFunction::BlackmanHarris2);
            let sinc =
                Async::new_sinc(ratio, 1.0, &parameters, CHUNK_SAMPLES, 1, FixedAsync::Input)
                    .map_err(|_| AudioError::Resample { rate_hz: from_hz, channels: 1 })?;
            Some(sinc)
        };
        let delay_left = sinc.as_ref().map_or(0, Async::output_delay);
        let chunk_out = vec![0.0; sinc.as_ref().map_or(0, Async::output_frames_max)];
        Ok(Self {
            sinc,
            ratio,
            pending: Vec::with_capacity(CHUNK_SAMPLES),
            chunk_out,
            delay_left,
            samples_in: 0,
            samples_out: 0,
        })
    }

    /// Converts some samples; appends what is ready to `out`.
    pub fn push(&mut self, mono: &[f32], out: &mut VecDeque<f32>) {
        self.samples_in += mono.len() as u64;
        if self.sinc.is_none() {
            out.extend(mono);
            self.samples_out += mono.len() as u64;
            return;
        }
        let mut rest = mono;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(CHUNK_SAMPLES - self.pending.len()));
            self.pending.extend_from_slice(now);
            rest = later;
            if self.pending.len() == CHUNK_SAMPLES {
                self.convert_chunk(out, u64::MAX);
            }
        }
    }

    /// Ends the stream: appends what is still in the filter, so that as much has come out as went
    /// in, and starts over for another stream.
    pub fn finish(&mut self, out: &mut VecDeque<f32>) {
        let expected = (self.samples_in as f64 * self.ratio).round() as u64;
        while self.sinc.is_some() && self.samples_out < expected {
            self.pending.resize(CHUNK_SAMPLES, 0.0);
            self.convert_chunk(out, expected);
        }
        if let Some(sinc) = &mut self.sinc {
            sinc.reset();
            self.delay_left = sinc.output_delay();
        }
        self.pending.clear();
        (self.samples_in, self.samples_out) = (0, 0);
    }

    /// Converts `pending`, which is full, and delivers until `samples_out` is `until`.
    fn convert_chunk(&mut self, out: &mut VecDeque<f32>, until: u64) {
        let Some(sinc) = &mut self.sinc else { return };
        let written = {
            let capacity = self.chunk_out.len();
            let input = InterleavedSlice::new(&self.pending, 1, CHUNK_SAMPLES);
            let output = InterleavedSlice::new_mut(&mut self.chunk_out, 1, capacity);
            match (input, output) {
                (Ok(input), Ok(mut output)) => sinc
                    .process_into_buffer(&input, &mut output, Some(&Indexing::new()))
                    .map_or(0, |(_, written)| written),
                (Err(_), _) | (_, Err(_)) => 0,
            }
        };
        self.pending.clear();
        let skip = self.delay_left.min(written);
        self.delay_left -= skip;
        let wanted = usize::try_from(until - self.samples_out).unwrap_or(usize::MAX);
        let take = (written - skip).min(wanted);
        out.extend(&self.chunk_out[skip..skip + take]);
        self.samples_out += take as u64;
    }
}

/// Mixes interleaved channels down to mono, appending to `mono`: their mean, so that it cannot clip.
pub fn downmix(interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
    match channels {
        0 => {}
        1 => mono.extend_from_slice(interleaved),
        2.. => mono.extend(
            interleaved
                .chunks_exact(channels)
                .map(|frame| frame.iter().sum::<f32>() / channels as f32),
        ),
    }
}

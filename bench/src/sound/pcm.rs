//! Sound on its way to PESQ: cut into passages, brought to 16 kHz, laid beside its original. Pure.

use std::ops::Range;
use std::time::Duration;

use tribune_client::audio::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// Rate at which PESQ compares wideband sound (ITU-T P.862.2).
pub(crate) const PESQ_RATE_HZ: u32 = 16_000;
/// Samples at 48 kHz for one at 16 kHz.
const DECIMATION: usize = (SAMPLE_RATE_HZ / PESQ_RATE_HZ) as usize;
/// Samples at 48 kHz on each side of the low-pass: flat to 7 kHz, the band that PESQ looks at.
const TAPS_A_SIDE: usize = 48;
/// Edge of the low-pass as a share of 48 kHz: 7.6 kHz.
const EDGE: f64 = 7_600.0 / SAMPLE_RATE_HZ as f64;
/// Frame periods of a passage: 8 s, within the 8 to 20 s that P.862 is meant for.
const PASSAGE_FRAMES: usize = 400;
/// Frame periods to either side in which the quietest place is looked for.
const SEARCH_FRAMES: usize = 75;

/// Passages of some 8 s, cut where it is quiet, in frame periods.
pub(crate) fn passages(pcm: &[f32]) -> Vec<Range<usize>> {
    let frames = pcm.len() / FRAME_SAMPLES;
    let energy = |frame: usize| -> f64 {
        let from = frame * FRAME_SAMPLES;
        pcm[from..from + FRAME_SAMPLES].iter().map(|sample| f64::from(sample * sample)).sum()
    };
    let (mut passages, mut from) = (Vec::new(), 0);
    while frames - from >= 2 * PASSAGE_FRAMES {
        let around = from + PASSAGE_FRAMES - SEARCH_FRAMES..from + PASSAGE_FRAMES + SEARCH_FRAMES;
        let quietest = around.min_by(|a, b| energy(*a).total_cmp(&energy(*b)));
        let Some(quietest) = quietest else { break };
        passages.push(from..quietest);
        from = quietest;
    }
    if from < frames {
        passages.push(from..frames);
    }
    passages
}

/// A span of 48 kHz samples at 16 kHz. It may reach beyond the sound, where there is silence.
pub(crate) fn at_pesq_rate(pcm: &[f32], span: Range<i64>) -> Vec<i16> {
    let taps = low_pass();
    let sample = |at: i64| usize::try_from(at).ok().and_then(|at| pcm.get(at)).copied();
    let side = TAPS_A_SIDE as i64;
    let filtered = |at: i64| -> f64 {
        let around = (at - side..=at + side).zip(&taps);
        around.map(|(at, tap)| f64::from(sample(at).unwrap_or(0.0)) * tap).sum()
    };
    let full = f64::from(i16::MAX);
    let to_i16 = |value: f64| (value * full).round().clamp(-full, full) as i16;
    span.step_by(DECIMATION).map(|at| to_i16(filtered(at))).collect()
}

/// The place in a recording, in samples, of what was captured at a sample of the original.
///
/// `first_tick` is when the recording begins and `delay` how long after its capture sound is played, both
/// counted from the capture of the first sample.
pub(crate) fn place(original: usize, first_tick: Duration, delay: Duration) -> i64 {
    let samples = |time: Duration| (time.as_secs_f64() * f64::from(SAMPLE_RATE_HZ)).round() as i64;
    original as i64 + samples(delay) - samples(first_tick)
}

/// A WAV file of 16 bits, mono, at 16 kHz.
pub(crate) fn wav(samples: &[i16]) -> Vec<u8> {
    let data_bytes = 2 * samples.len() as u32;
    let mut wav = Vec::with_capacity(44 + data_bytes as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + data_bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    // PCM, one channel, rate, bytes a second, bytes a sample, bits a sample.
    wav.extend([1_u16, 1].into_iter().flat_map(u16::to_le_bytes));
    wav.extend([PESQ_RATE_HZ, 2 * PESQ_RATE_HZ].into_iter().flat_map(u32::to_le_bytes));
    wav.extend([2_u16, 16].into_iter().flat_map(u16::to_le_bytes));
    wav.extend(b"data");
    wav.extend(data_bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

/// Low-pass by a windowed sinc (Blackman), of unit gain.
fn low_pass() -> Vec<f64> {
    let side = TAPS_A_SIDE as f64;
    let tap = |n: i64| {
        let (n, turn) = (n as f64, std::f64::consts::TAU);
        let sinc = if n == 0.0 { 2.0 * EDGE } else { (turn * EDGE * n).sin() / (turn / 2.0 * n) };
        let at = (n + side) / (2.0 * side);
        sinc * (0.42 - 0.5 * (turn * at).cos() + 0.08 * (2.0 * turn * at).cos())
    };
    let side = TAPS_A_SIDE as i64;
    let taps: Vec<f64> = (-side..=side).map(tap).collect();
    let gain: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| tap / gain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, seconds: usize) -> Vec<f32> {
        let rate = SAMPLE_RATE_HZ as f32;
        let turn = std::f32::consts::TAU;
        (0..seconds * SAMPLE_RATE_HZ as usize)
            .map(|n| 0.5 * (turn * hz * (n as f32 % rate) / rate).sin())
            .collect()
    }

    #[test]
    fn passages_are_cut_where_it_is_quiet_and_cover_everything() {
        let mut pcm = sine(300.0, 26);
        pcm[370 * FRAME_SAMPLES..371 * FRAME_SAMPLES].fill(0.0);
        let passages = passages(&pcm);
        assert_eq!((passages[0].start, passages[0].end), (0, 370));
        assert!(passages.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(passages.last().unwrap().end, 1_300);
        let short = self::passages(&pcm[..FRAME_SAMPLES * 3]);
        assert_eq!((short.len(), short[0].clone()), (1, 0..3));
        assert!(self::passages(&[]).is_empty());
    }

    #[test]
    fn what_pesq_hears_passes_and_what_would_alias_does_not() {
        let loudest = |hz| {
            let samples = at_pesq_rate(&sine(hz, 1), 9_600..38_400);
            samples.into_iter().map(|sample| f64::from(sample.abs()) / 32_767.0).fold(0.0, f64::max)
        };
        assert!((loudest(1_000.0) - 0.5).abs() < 0.01, "{}", loudest(1_000.0));
        assert!((loudest(6_500.0) - 0.5).abs() < 0.02, "{}", loudest(6_500.0));
        assert!(loudest(9_000.0) < 0.01, "{}", loudest(9_000.0));
        assert_eq!(at_pesq_rate(&[1.0; 10], -900..-600), [0; 100]);
    }

    #[test]
    fn a_recording_is_laid_beside_its_original() {
        // Sound comes 70 ms after its capture; the recording began 10 ms after the first capture.
        let (first_tick, delay) = (Duration::from_millis(10), Duration::from_millis(70));
        let original = sine(440.0, 1);
        let mut recorded = vec![0.0; 48 * 60];
        recorded.extend(&original);
        let at = place(4_800, first_tick, delay);
        assert_eq!(at, 4_800 + 48 * 60);
        let (original, recorded) =
            (at_pesq_rate(&original, 4_800..9_600), at_pesq_rate(&recorded, at..at + 4_800));
        assert_eq!(original, recorded);
    }

    #[test]
    fn a_wav_file_has_its_lengths() {
        let wav = wav(&[1, -1, 0]);
        assert_eq!(wav.len(), 50);
        assert_eq!(
            (&wav[..4], &wav[8..16], &wav[36..40]),
            (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..])
        );
        assert_eq!(wav[40..], [6, 0, 0, 0, 1, 0, 255, 255, 0, 0]);
    }
}

//! Time-stretching of one track by single periods of its pitch.
//!
//! Pure. Where the sound is like itself a little later, that little is cut out or repeated, and the seam is
//! cross-faded: waveform similarity overlap-add (Verhelst and Roelands, 1993), as NetEQ of WebRTC uses it to
//! accelerate and to expand. Sound that is not to be stretched passes bit by bit as it is, and none is held back.

use super::jitter::STRETCH_OVER_SAMPLES;

/// Shortest and longest piece that is cut or repeated, in samples: periods of 400 Hz, a child's voice, and of 80 Hz,
/// a man's. Of the periods of a higher voice several are taken.
const PIECE_MIN: usize = 120;
const PIECE_MAX: usize = 600;
/// Length of the seam in samples: 7.5 ms. It is also what is compared; a piece and a seam fit into one frame.
const SEAM: usize = 360;
/// One sample in so many may be cut or repeated: 14 %. Listeners hardly hear speech that is up to a fifth faster or
/// slower (Liang, Färber and Girod, "Adaptive playout scheduling and loss concealment for voice communication over IP
/// networks", 2003), and 100 ms are made up for within a second.
const ONE_IN: usize = 7;
/// Likeness (normalised cross-correlation) from which on a seam is not heard: what voiced speech has with itself a
/// period later, and NetEQ asks for.
const LIKENESS: f32 = 0.9;
/// Likeness that is enough in the end: noise has none. Its seam is faded with constant power and sounds like it.
const LIKENESS_LEAST: f32 = 0.0;
/// Samples over which the one comes down to the other while a stretch is wanted: 2 s, in which speech has voiced
/// sounds or a pause.
const PATIENCE: usize = 96_000;
/// Power below which a seam is not heard in any case: −50 dBov, the noise of a quiet room.
const QUIET_POWER: f32 = 1e-5;
/// Samples that the coarse search takes as one: what is left, up to 6 kHz, has the pitch.
const COARSE: usize = 4;

/// Stretches one track.
#[derive(Debug, Default)]
pub struct Stretcher {
    /// Samples that have to pass before the next piece.
    rest: usize,
    /// Samples for which a stretch has been wanted.
    wanted_for: usize,
    lengthened: u64,
    shortened: u64,
}

/// A piece of sound and how it fits.
#[derive(Debug, Clone, Copy)]
struct Piece {
    samples: usize,
    likeness: f32,
    is_quiet: bool,
}

impl Stretcher {
    /// Takes a frame that has just been decoded to the end of `queue`, from index `from` on, and makes it longer by
    /// up to `wanted` samples or a few more, or shorter by up to −`wanted`; or leaves it as it is.
    pub fn handle_frame(&mut self, queue: &mut Vec<f32>, from: usize, wanted: i64) {
        let frame = queue.get(from..).unwrap_or_default();
        self.rest = self.rest.saturating_sub(frame.len());
        if wanted == 0 {
            self.wanted_for = 0;
            return;
        }
        self.wanted_for = self.wanted_for.saturating_add(frame.len());
        let most = if wanted > 0 { wanted + STRETCH_OVER_SAMPLES } else { wanted.saturating_neg() };
        let most = usize::try_from(most).unwrap_or(PIECE_MAX);
        let most = most.min(PIECE_MAX).min(frame.len().saturating_sub(SEAM));
        if self.rest > 0 || most < PIECE_MIN {
            return;
        }
        let piece = find_piece(frame, most);
        if !piece.is_quiet && piece.likeness < self.likeness_asked() {
            return;
        }
        self.rest = piece.samples * ONE_IN;
        if wanted > 0 {
            repeat(queue, from, piece);
            self.lengthened += piece.samples as u64;
        } else {
            cut(queue, from, piece);
            self.shortened += piece.samples as u64;
        }
    }

    /// Samples that were added.
    pub const fn lengthened(&self) -> u64 {
        self.lengthened
    }

    /// Samples that were cut out.
    pub const fn shortened(&self) -> u64 {
        self.shortened
    }

    fn likeness_asked(&self) -> f32 {
        let waited = self.wanted_for.min(PATIENCE) as f32 / PATIENCE as f32;
        LIKENESS - (LIKENESS - LIKENESS_LEAST) * waited
    }
}

/// Cuts the piece at `from` out: its beginning is faded into what follows it.
fn cut(queue: &mut Vec<f32>, from: usize, piece: Piece) {
    let rest = from + piece.samples;
    let seam: [f32; SEAM] =
        std::array::from_fn(|n| faded(queue[from + n], queue[rest + n], n, piece.likeness));
    queue.splice(from..rest + SEAM, seam);
}

/// Repeats the piece at `from`: what follows it is faded into its beginning.
fn repeat(queue: &mut Vec<f32>, from: usize, piece: Piece) {
    let again = from + piece.samples;
    let whole: [f32; PIECE_MAX] =
        std::array::from_fn(|n| queue.get(from + n).copied().unwrap_or(0.0));
    let seam: [f32; SEAM] =
        std::array::from_fn(|n| faded(queue[again + n], queue[from + n], n, piece.likeness));
    // Before the seam stands the piece; after it goes on what followed the seam's own sound.
    queue.splice(from..from + SEAM, whole[..piece.samples].iter().copied().chain(seam));
}

/// The n-th sample of a seam. The power of the sum stays as it is, whatever the likeness: of two sounds that are not
/// alike a plain cross-fade would be 3 dB too quiet in the middle.
fn faded(out: f32, into: f32, n: usize, likeness: f32) -> f32 {
    let into_share = (n + 1) as f32 / SEAM as f32;
    let out_share = 1.0 - into_share;
    let power = out_share * out_share
        + into_share * into_share
        + 2.0 * likeness.clamp(0.0, 1.0) * out_share * into_share;
    (out * out_share + into * into_share) / power.sqrt()
}

/// The piece of at most `most` samples at the beginning of `frame` that what follows it is most like.
fn find_piece(frame: &[f32], most: usize) -> Piece {
    let power = |at: usize| {
        frame[at..at + SEAM].iter().map(|sample| sample * sample).sum::<f32>() / SEAM as f32
    };
    if power(0) < QUIET_POWER && power(most) < QUIET_POWER {
        return Piece { samples: most, likeness: 0.0, is_quiet: true };
    }
    let coarse: Vec<f32> =
        frame.chunks_exact(COARSE).map(|chunk| chunk.iter().sum::<f32>()).collect();
    let (around, _) = best(&coarse, SEAM / COARSE, PIECE_MIN / COARSE..=most / COARSE);
    let least = (around * COARSE).saturating_sub(COARSE - 1).max(PIECE_MIN);
    let (samples, likeness) = best(frame, SEAM, least..=(around * COARSE + COARSE - 1).min(most));
    Piece { samples, likeness, is_quiet: false }
}

/// The distance at which `sound` is most like its first `length` samples, and how much.
fn best(sound: &[f32], length: usize, distances: std::ops::RangeInclusive<usize>) -> (usize, f32) {
    let first = &sound[..length];
    let first_energy: f32 = first.iter().map(|sample| sample * sample).sum();
    let mut best = (*distances.start(), f32::NEG_INFINITY);
    for distance in distances {
        let Some(other) = sound.get(distance..distance + length) else { break };
        let (mut dot, mut energy) = (0.0_f32, 0.0_f32);
        for (a, b) in first.iter().zip(other) {
            dot += a * b;
            energy += b * b;
        }
        let likeness = dot / (first_energy * energy).sqrt().max(f32::MIN_POSITIVE);
        if likeness > best.1 {
            best = (distance, likeness);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::FRAME_SAMPLES;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Stretches a sound frame by frame as a track does, with the same wish all the time.
    fn stretch(sound: &[f32], wanted: i64) -> (Vec<f32>, Stretcher) {
        let mut stretcher = Stretcher::default();
        let (mut queue, mut out) = (Vec::new(), Vec::new());
        for frame in sound.chunks_exact(FRAME_SAMPLES) {
            out.append(&mut queue);
            queue.extend_from_slice(frame);
            stretcher.handle_frame(&mut queue, 0, wanted);
        }
        out.append(&mut queue);
        (out, stretcher)
    }

    /// A voice: a pitch with overtones.
    fn voice(hz: f32, samples: usize) -> Vec<f32> {
        let tone =
            |n: usize, k: f32| (n as f32 / 48_000.0 * hz * k).fract() * std::f32::consts::TAU;
        (0..samples)
            .map(|n| [1.0, 2.0, 3.0, 5.0].iter().map(|&k| tone(n, k).sin() * 0.2 / k).sum())
            .collect()
    }

    fn noise(samples: usize, amplitude: f32) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(1);
        (0..samples).map(|_| rng.random_range(-amplitude..amplitude)).collect()
    }

    /// Largest step from one difference to the next: a click is one that the sound itself does not have.
    fn roughness(sound: &[f32]) -> f32 {
        let bend = |window: &[f32]| (window[2] - 2.0 * window[1] + window[0]).abs();
        sound.windows(3).map(bend).fold(0.0, f32::max)
    }

    fn power(sound: &[f32]) -> f32 {
        sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len() as f32
    }

    #[test]
    fn voices_are_stretched_both_ways_without_a_click_and_keep_their_pitch() {
        for hz in [82.0, 120.0, 147.0, 210.0, 263.0, 399.0, 700.0] {
            let sound = voice(hz, 96_000);
            for wanted in [-5_000, 5_000] {
                let (out, stretcher) = stretch(&sound, wanted);
                let moved = out.len().abs_diff(sound.len());
                assert_eq!(moved as u64, stretcher.lengthened() + stretcher.shortened());
                assert!(moved > sound.len() / 12, "{hz} Hz, {wanted}: only {moved} samples");
                assert!(moved <= sound.len() / ONE_IN + PIECE_MAX, "{hz} Hz: {moved} samples");
                let (clean, rough) = (roughness(&sound), roughness(&out));
                assert!(rough < clean * 1.1, "{hz} Hz, {wanted}: a click, {rough} for {clean}");
                let periods = |sound: &[f32]| {
                    sound.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count() as f32
                        / sound.len() as f32
                };
                let pitch = periods(&out) / periods(&sound);
                assert!((0.98..1.02).contains(&pitch), "{hz} Hz, {wanted}: pitch times {pitch}");
            }
        }
    }

    #[test]
    fn noise_is_stretched_after_a_while_and_keeps_its_power() {
        let sound = noise(480_000, 0.3);
        for wanted in [-5_000, 5_000] {
            let (out, stretcher) = stretch(&sound, wanted);
            assert_eq!(&out[..48_000], &sound[..48_000], "not at once");
            assert!(stretcher.lengthened() + stretcher.shortened() > 20_000, "{wanted}");
            let least = out.chunks_exact(480).map(power).fold(f32::INFINITY, f32::min);
            let clean = sound.chunks_exact(480).map(power).fold(f32::INFINITY, f32::min);
            assert!(least > clean * 0.7, "{wanted}: a dip to {least} from {clean}");
        }
    }

    #[test]
    fn near_silence_is_stretched_at_once() {
        let (out, _) = stretch(&noise(9_600, 0.003), -5_000);
        assert!(out.len() <= 9_600 - PIECE_MAX, "{}", out.len());
    }

    #[test]
    fn sound_passes_as_it_is_while_nothing_or_too_little_is_wanted() {
        let sound = voice(120.0, 48_000);
        for wanted in [0, -119, -300] {
            let (out, _) = stretch(&sound, wanted);
            assert_eq!(out, sound, "no period of 120 Hz, 400 samples, fits {wanted}");
        }
        let (out, _) = stretch(&sound, -400);
        assert!(out.len() < sound.len());
    }

    proptest! {
        /// Any sound at all: what was queued before is not touched, the length changes by what is counted and
        /// no more than wanted, and nothing becomes louder than a seam can make it.
        #[test]
        fn any_sound_is_stretched_within_bounds(
            seed: u64, from in 0..240_usize, amplitude in 0.0..1.0_f32, wanted in -2_000..2_000_i64
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let sound: Vec<f32> =
                (0..from + FRAME_SAMPLES).map(|_| rng.random_range(-1.0..=1.0) * amplitude).collect();
            let mut stretcher = Stretcher { wanted_for: PATIENCE, ..Stretcher::default() };
            let mut queue = sound.clone();
            stretcher.handle_frame(&mut queue, from, wanted);
            prop_assert_eq!(&queue[..from], &sound[..from]);
            let moved = queue.len() as i64 - sound.len() as i64;
            prop_assert_eq!(moved, stretcher.lengthened() as i64 - stretcher.shortened() as i64);
            let over = if wanted > 0 { STRETCH_OVER_SAMPLES } else { 0 };
            prop_assert!(moved.signum() * wanted.signum() >= 0 && moved.abs() <= wanted.abs() + over);
            prop_assert!(queue.iter().all(|sample| sample.abs() <= 1.42 * amplitude + 1e-6));
            // The last sample of the frame is the last one still.
            prop_assert_eq!(queue.last(), sound.last());
        }
    }
}

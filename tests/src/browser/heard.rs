//! Recordings of a loudspeaker: how much of a talk is in them, in which order, how long they are silent, and how
//! high a tone is. Distances are in samples of 48 kHz unless they are named otherwise.

use std::ops::Range;

use anyhow::{Result, ensure};

use crate::process::sound::{align, correlation, rms};

/// Samples of a second.
const SECOND: usize = 48_000;
/// The unit in which loudness is judged: 20 ms.
const BLOCK: usize = 960;
/// A quiet voice: −46 dBFS.
const SPEECH_RMS: f32 = 0.005;
/// Samples that are averaged to one before two pieces are compared.
const DECIMATION: usize = 8;
/// Length of a piece of the talk that is looked for: 200 ms.
const PIECE: usize = 9_600 / DECIMATION;
/// Where the next piece is looked for first: within 4 ms of where it should be.
const NEAR: i64 = 192 / DECIMATION as i64;
/// And then: within 400 ms. Playout may be longer or shorter by that where nothing is said.
const FAR: i64 = 19_200 / DECIMATION as i64;
/// Correlation from which on a piece counts as found. Opus at 32 kbit/s leaves 0.9 and more; pieces of other words
/// are under 0.6.
const ALIKE: f64 = 0.8;
/// The same within 40 ms of its place, where the sound has been altered on purpose.
const ALIKE_ALTERED: f64 = 0.5;
const NEAR_ALTERED: i64 = 1_920 / DECIMATION as i64;

/// Pieces of a talk in a recording.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Pieces with speech that were looked for.
    pub looked: usize,
    /// Places in the talk of those that are not there, in seconds.
    pub missing: Vec<f64>,
    /// Place in the talk of the first and the last piece that is there, in seconds.
    pub span_s: (f64, f64),
    /// Where the recording runs ahead of the talk or falls behind by more than 4 ms: place in the talk in
    /// seconds, and by how much in ms. Ahead, and something was left out, is positive.
    pub jumps: Vec<(f64, f64)>,
}

impl Found {
    /// Share of the pieces that are there.
    #[must_use]
    pub fn share(&self) -> f64 {
        1.0 - self.missing.len() as f64 / self.looked.max(1) as f64
    }

    /// Checks that the talk is there between two of its seconds, and in order. One piece in seven may be spoiled, and
    /// no three in a row: by playout that stretches time in the midst of it, or by the sound device of a busy machine,
    /// which stands still for some milliseconds now and then.
    ///
    /// # Errors
    /// If more is missing.
    pub fn ensure_whole(&self, from_s: f64, to_s: f64) -> Result<()> {
        const SPOILED: f64 = 0.15;
        let piece_s = (PIECE * DECIMATION) as f64 / SECOND as f64;
        let missing: Vec<_> =
            self.missing.iter().copied().filter(|at| (from_s..to_s).contains(at)).collect();
        let is_hole = missing.windows(3).any(|three| three[2] - three[0] < piece_s * 2.5);
        let are_many = missing.len() as f64 > self.looked as f64 * SPOILED;
        ensure!(!is_hole && !are_many, "not heard at the seconds {missing:?}: {self:?}");
        let (first, last) = self.span_s;
        ensure!(first <= from_s && last >= to_s, "heard from {first} s to {last} s of the talk");
        Ok(())
    }
}

/// Looks for a talk in a recording, piece by piece in the talk's order. What the recording has from it has to be
/// at least half as long as the recording.
#[must_use]
pub fn find(recording: &[f32], talk: &[f32]) -> Found {
    find_by(recording, talk, NEAR, ALIKE)
}

/// As [`find`], for a talk that a microphone's processing has altered: a piece that is where it should be need be
/// less like itself.
#[must_use]
pub fn find_altered(recording: &[f32], talk: &[f32]) -> Found {
    find_by(recording, talk, NEAR_ALTERED, ALIKE_ALTERED)
}

fn find_by(recording: &[f32], talk: &[f32], reach: i64, alike: f64) -> Found {
    let part = loud_part(recording);
    let recording = &recording[part];
    let begin = align(recording, talk).lag;
    let (heard, said) = (average(recording), average(talk));
    // Place in the talk minus place in the recording.
    let mut lag = begin / DECIMATION as i64;
    let mut found = Found { span_s: (f64::INFINITY, 0.0), ..Found::default() };
    let first = usize::try_from(lag).unwrap_or(0);
    let last = usize::try_from(lag + heard.len() as i64).unwrap_or(0).min(said.len());
    let mut is_first = true;
    for at in (first..last.saturating_sub(PIECE)).step_by(PIECE) {
        let piece = &said[at..at + PIECE];
        if rms(piece) < SPEECH_RMS {
            continue;
        }
        found.looked += 1;
        let at_s = (at * DECIMATION) as f64 / SECOND as f64;
        let near = best(piece, &heard, at as i64 - lag, reach);
        let is_in_place = near.1 >= alike;
        let best = if is_in_place { near } else { best(piece, &heard, at as i64 - lag, FAR) };
        if !is_in_place && best.1 < ALIKE {
            found.missing.push(at_s);
            continue;
        }
        let moved = (at as i64 - best.0) - lag;
        lag += moved;
        if moved.abs() > NEAR && !is_first {
            found.jumps.push((at_s, moved as f64 * DECIMATION as f64 * 1_000.0 / SECOND as f64));
        }
        is_first = false;
        found.span_s = (found.span_s.0.min(at_s), at_s);
    }
    found
}

/// The place around `near` at which `all` is most like `piece`, and how much it is.
fn best(piece: &[f32], all: &[f32], near: i64, reach: i64) -> (i64, f64) {
    let places = (near - reach..=near + reach).filter_map(|at| {
        let from = usize::try_from(at).ok()?;
        Some((at, correlation(piece, all.get(from..from + piece.len())?)))
    });
    places.fold((near, -1.0), |best, next| if next.1 > best.1 { next } else { best })
}

fn average(samples: &[f32]) -> Vec<f32> {
    let blocks = samples.chunks_exact(DECIMATION);
    blocks.map(|block| block.iter().sum::<f32>() / DECIMATION as f32).collect()
}

/// The samples from the first block that is not silent to the last.
#[must_use]
pub fn loud_part(recording: &[f32]) -> Range<usize> {
    let mut loud = recording.chunks(BLOCK).enumerate().filter(|(_, block)| rms(block) > SPEECH_RMS);
    let Some((first, _)) = loud.next() else { return 0..0 };
    let last = loud.next_back().map_or(first, |(last, _)| last);
    first * BLOCK..((last + 1) * BLOCK).min(recording.len())
}

/// Silences of a recording between two sounds, to the block of 5 ms: where each begins, in seconds of the recording,
/// and its length in ms.
#[must_use]
pub fn silences(recording: &[f32], rate_hz: u32) -> Vec<(f64, usize)> {
    let block = rate_hz as usize / 200;
    let part = loud_part(recording);
    let (mut found, mut run) = (Vec::new(), 0);
    for (n, samples) in recording[part.clone()].chunks_exact(block).enumerate() {
        if rms(samples) < SPEECH_RMS {
            run += 1;
        } else if run > 0 {
            let begin = part.start + (n - run) * block;
            found.push((begin as f64 / f64::from(rate_hz), run * 5));
            run = 0;
        }
    }
    found
}

/// The longest of them, in ms; 0 if there is none.
#[must_use]
pub fn longest_silence_ms(recording: &[f32], rate_hz: u32) -> usize {
    silences(recording, rate_hz).into_iter().map(|(_, length)| length).max().unwrap_or(0)
}

/// Amplitude of one frequency in a recording (Goertzel, 1958): 1 is as loud as it gets.
#[must_use]
pub fn loudness_at(samples: &[f32], rate_hz: u32, hertz: f64) -> f64 {
    let turn = 2.0 * (std::f64::consts::TAU * hertz / f64::from(rate_hz)).cos();
    // Tenths of a second: playout that follows a clock moves the phase.
    let parts = samples.chunks_exact(rate_hz as usize / 10);
    let count = parts.len().max(1) as f64;
    let loudness = parts.map(|part| {
        let (last, before) = part.iter().fold((0.0, 0.0), |(last, before), sample| {
            (f64::from(*sample) + turn * last - before, last)
        });
        let power = last * last + before * before - turn * last * before;
        power.max(0.0).sqrt() * 2.0 / part.len() as f64
    });
    loudness.sum::<f64>() / count
}

/// Frequency of a tone: the median of its half seconds, so that a gap or a click does not move it. 0 if there is
/// none.
#[must_use]
pub fn pitch_hz(samples: &[f32], rate_hz: u32) -> f64 {
    let halves = samples.chunks_exact(rate_hz as usize / 2);
    let mut pitches: Vec<f64> = halves.filter_map(|half| pitch_of(half, rate_hz)).collect();
    pitches.sort_by(f64::total_cmp);
    pitches.get(pitches.len() / 2).copied().unwrap_or(0.0)
}

/// Frequency of a sine, from where it first rises through zero to where it last does.
fn pitch_of(samples: &[f32], rate_hz: u32) -> Option<f64> {
    let rises = samples.windows(2).enumerate().filter_map(|(at, pair)| {
        let (before, after) = (f64::from(pair[0]), f64::from(pair[1]));
        (before < 0.0 && after >= 0.0).then(|| at as f64 + before / (before - after))
    });
    let rises: Vec<f64> = rises.collect();
    let &[first, .., last] = &rises[..] else { return None };
    Some((rises.len() - 1) as f64 * f64::from(rate_hz) / (last - first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::sound::conversation;

    fn talk() -> Vec<f32> {
        conversation().unwrap()[..12 * SECOND].to_vec()
    }

    #[test]
    fn a_talk_between_silences_is_whole() {
        let talk = talk();
        let silence = vec![0.0; 70_001];
        let recording = [&silence[..], &talk[..], &silence[..]].concat();
        let found = find(&recording, &talk);
        assert!(found.looked > 30, "{found:?}");
        assert_eq!((found.missing.len(), found.jumps.len()), (0, 0), "{found:?}");
        found.ensure_whole(1.0, 11.0).unwrap();
        found.ensure_whole(0.0, 13.0).unwrap_err();
    }

    #[test]
    fn what_is_left_out_or_made_silent_is_missing() {
        let talk = talk();
        let mut silenced = talk.clone();
        silenced[4 * SECOND..5 * SECOND].fill(0.0);
        let found = find(&silenced, &talk);
        assert!(found.missing.iter().all(|at| (3.8..5.0).contains(at)), "{found:?}");
        assert!(found.missing.len() >= 3, "{found:?}");
        found.ensure_whole(1.0, 10.0).unwrap_err();

        // 100 ms less: the piece that has the cut is not found, and the rest is 100 ms ahead.
        let cut = [&talk[..5 * SECOND], &talk[5 * SECOND + SECOND / 10..]].concat();
        let found = find(&cut, &talk);
        assert!(found.missing.len() <= 2, "{found:?}");
        assert_eq!(found.jumps.len(), 1, "{found:?}");
        assert!((found.jumps[0].1 - 100.0).abs() < 5.0, "{found:?}");
    }

    #[test]
    fn pieces_in_another_order_are_not_found() {
        let talk = talk();
        let swapped = [
            &talk[..4 * SECOND],
            &talk[6 * SECOND..8 * SECOND],
            &talk[4 * SECOND..6 * SECOND],
            &talk[8 * SECOND..],
        ]
        .concat();
        let found = find(&swapped, &talk);
        assert!(found.share() < 0.8, "{found:?}");
    }

    #[test]
    fn silences_and_tones_are_measured() {
        let sine = |hertz: f64, rate: f64, length: usize| -> Vec<f32> {
            let phase = |n: usize| n as f64 * hertz / rate * std::f64::consts::TAU;
            (0..length).map(|n| (phase(n).sin() * 0.3) as f32).collect()
        };
        let mut tone = sine(440.0, 44_100.0, 88_200);
        assert!((pitch_hz(&tone, 44_100) - 440.0).abs() < 0.01);
        assert!((loudness_at(&tone, 44_100, 440.0) - 0.3).abs() < 0.01);
        assert!(loudness_at(&tone, 44_100, 1_000.0) < 0.01);
        assert_eq!(longest_silence_ms(&tone, 44_100), 0);
        tone[44_100..46_305].fill(0.0);
        assert!((45..=50).contains(&longest_silence_ms(&tone, 44_100)));
        assert!(pitch_hz(&[0.0; 100], 44_100).abs() < f64::EPSILON);
    }
}

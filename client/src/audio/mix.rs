//! Several tracks to one.
//!
//! A single track passes bit by bit as it is. From two on they are added, and only where the sum
//! leaves −1.0..=1.0 is it bent back (libopus' soft clipping, which keeps a memory over the borders
//! of ticks so that it does not click). Nobody is turned down because somebody else could speak.

use super::{SILENT_TICK, TickPcm};

/// Adds tracks up.
#[derive(Debug)]
pub struct Mixer {
    soft_clip: opus::SoftClip,
}

impl Default for Mixer {
    fn default() -> Self {
        Self::new()
    }
}

impl Mixer {
    /// A mixer without memory of a former tick.
    pub fn new() -> Self {
        Self { soft_clip: opus::SoftClip::new(opus::Channels::Mono) }
    }

    /// Mixes one tick; no track at all is silence.
    pub fn mix<'a>(&mut self, tracks: impl IntoIterator<Item = &'a TickPcm>) -> TickPcm {
        let mut tracks = tracks.into_iter();
        let Some(first) = tracks.next() else { return self.pass(SILENT_TICK) };
        let Some(second) = tracks.next() else { return self.pass(*first) };
        let mut sum = *first;
        for track in std::iter::once(second).chain(tracks) {
            for (sum, sample) in sum.iter_mut().zip(track) {
                *sum += sample;
            }
        }
        self.soft_clip.apply(&mut sum);
        sum
    }

    /// A tick that needs no clipping; what was clipped before it is over.
    fn pass(&mut self, tick: TickPcm) -> TickPcm {
        self.soft_clip = opus::SoftClip::new(opus::Channels::Mono);
        tick
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::TICK_SAMPLES;

    fn sine(amplitude: f32, period: f32) -> TickPcm {
        std::array::from_fn(|n| amplitude * (n as f32 * std::f32::consts::TAU / period).sin())
    }

    #[test]
    fn one_track_passes_bit_exact_even_beyond_full_scale() {
        let mut mixer = Mixer::new();
        let loud = sine(1.3, 96.0);
        assert_eq!(mixer.mix([&loud]), loud);
        assert_eq!(mixer.mix([]), SILENT_TICK);
    }

    #[test]
    fn two_quiet_tracks_are_their_exact_sum() {
        let (a, b) = (sine(0.3, 96.0), sine(0.4, 131.0));
        let mixed = Mixer::new().mix([&a, &b]);
        for n in 0..TICK_SAMPLES {
            assert_eq!(mixed[n], a[n] + b[n]);
        }
    }

    #[test]
    fn loud_tracks_are_bent_within_full_scale_without_a_jump() {
        let loud = sine(0.9, 96.0);
        let mut mixer = Mixer::new();
        for tracks in [2, 4, 16] {
            let mixed = mixer.mix(std::iter::repeat_n(&loud, tracks));
            assert!(mixed.iter().all(|s| s.abs() <= 1.0), "{tracks} tracks");
            assert!(mixed.iter().any(|s| s.abs() > 0.9), "{tracks} tracks");
        }
    }
}

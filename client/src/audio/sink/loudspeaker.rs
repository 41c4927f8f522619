//! The loudspeaker.
//!
//! The device plays by its own clock, to which the mix is resampled ([`crate::audio::drift`]). Only after a standstill
//! of this machine is there a gap.

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, SampleFormat, SizedSample};

use crate::audio::device::{OpenedDevice, Ring, Role, fatal_reason, open_default, unusable};
use crate::audio::drift::{CardResampler, LEFT_S};
use crate::audio::{AudioError, SILENT_TICK, TICK_SAMPLES, TickPcm};

/// A loudspeaker that is playing.
pub struct Loudspeaker {
    /// Playing goes on for as long as this lives.
    _stream: cpal::Stream,
    name: String,
    ring: Ring,
    resampler: CardResampler,
    /// Samples that wait for a tick to be full.
    gathered: Vec<f32>,
    /// Samples of the card in [`LEFT_S`].
    reserve: usize,
}

impl std::fmt::Debug for Loudspeaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loudspeaker").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Loudspeaker {
    pub(super) fn open() -> Result<Self, AudioError> {
        let opened = open_default(Role::Loudspeaker)?;
        let rate_hz = opened.config.sample_rate;
        let ring = Ring::new(rate_hz);
        let resampler = CardResampler::new(rate_hz)?;
        let reserve = (f64::from(rate_hz) * LEFT_S) as usize;
        let gathered = Vec::with_capacity(TICK_SAMPLES);
        let failed = |error: cpal::Error| unusable(Role::Loudspeaker, &opened.name, &error);
        #[allow(clippy::wildcard_enum_match_arm, reason = "cpal's list of formats is open")]
        let stream = match opened.format {
            SampleFormat::F32 => build::<f32>(&opened, &ring),
            SampleFormat::I16 => build::<i16>(&opened, &ring),
            SampleFormat::U16 => build::<u16>(&opened, &ring),
            SampleFormat::I32 => build::<i32>(&opened, &ring),
            SampleFormat::U8 => build::<u8>(&opened, &ring),
            other => {
                let reason = format!("its sample format {other} is not supported");
                return Err(unusable(Role::Loudspeaker, &opened.name, &reason));
            }
        }
        .map_err(failed)?;
        stream.play().map_err(failed)?;
        Ok(Self { _stream: stream, name: opened.name, ring, resampler, gathered, reserve })
    }

    pub(super) fn write(&mut self, pcm: &[f32]) -> Result<(), AudioError> {
        if let Some(reason) = self.ring.failure() {
            return Err(unusable(Role::Loudspeaker, &self.name, &reason));
        }
        for &sample in pcm {
            self.gathered.push(sample);
            if self.gathered.len() == TICK_SAMPLES {
                let mut tick: TickPcm = SILENT_TICK;
                tick.copy_from_slice(&self.gathered);
                self.gathered.clear();
                self.write_tick(&tick);
            }
        }
        Ok(())
    }

    fn write_tick(&mut self, pcm: &TickPcm) {
        if self.ring.refill_if_dry(self.reserve) {
            self.resampler.handle_refill();
        }
        let resampled = self.resampler.resample(pcm, self.ring.waiting());
        self.ring.push(resampled.iter().copied());
    }
}

fn build<T>(opened: &OpenedDevice, ring: &Ring) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
{
    let channels = usize::from(opened.config.channels).max(1);
    let (drained, failed) = (ring.clone(), ring.clone());
    opened.device.build_output_stream(
        opened.config,
        move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
            let frames = data.len() / channels;
            let mut places = data.chunks_exact_mut(channels);
            drained.pop(frames, |sample| {
                if let Some(place) = places.next() {
                    place.fill(T::from_sample_(sample.clamp(-1.0, 1.0)));
                }
            });
        },
        move |error| {
            if let Some(reason) = fatal_reason(&error) {
                failed.fail(reason);
            }
        },
        None,
    )
}

//! The loudspeaker.
//!
//! The device plays by its own clock: where it is quicker than the ticks it gets a little silence,
//! where it is slower the oldest sound in the ring goes.

use std::collections::VecDeque;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, SampleFormat, SizedSample};

use crate::audio::device::{OpenedDevice, Ring, Role, fatal_reason, open_default, unusable};
use crate::audio::resample::MonoResampler;
use crate::audio::{AudioError, SAMPLE_RATE_HZ};

/// A loudspeaker that is playing.
pub struct Loudspeaker {
    /// Playing goes on for as long as this lives.
    _stream: cpal::Stream,
    name: String,
    ring: Ring,
    resampler: MonoResampler,
    resampled: VecDeque<f32>,
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
        let resampler = MonoResampler::new(SAMPLE_RATE_HZ, rate_hz)?;
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
        Ok(Self { _stream: stream, name: opened.name, ring, resampler, resampled: VecDeque::new() })
    }

    pub(super) fn write(&mut self, pcm: &[f32]) -> Result<(), AudioError> {
        if let Some(reason) = self.ring.failure() {
            return Err(unusable(Role::Loudspeaker, &self.name, &reason));
        }
        self.resampler.push(pcm, &mut self.resampled);
        self.ring.push(self.resampled.drain(..));
        Ok(())
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

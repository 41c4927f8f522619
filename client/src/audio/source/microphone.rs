//! The microphone.

use std::collections::VecDeque;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{FromSample, SampleFormat, SizedSample};

use crate::audio::device::{OpenedDevice, Ring, Role, fatal_reason, open_default, unusable};
use crate::audio::resample::MonoResampler;
use crate::audio::{AudioError, FRAME_SAMPLES, PcmFrame, SAMPLE_RATE_HZ};

/// How long the device may deliver nothing before it counts as broken: long enough for a system that
/// asks its user for permission.
const SILENT_DEVICE_MAX: Duration = Duration::from_secs(10);

/// A microphone that is being recorded.
pub struct Microphone {
    /// Recording goes on for as long as this lives.
    _stream: cpal::Stream,
    name: String,
    ring: Ring,
    resampler: MonoResampler,
    taken: Vec<f32>,
    ready: VecDeque<f32>,
}

impl std::fmt::Debug for Microphone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Microphone").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Microphone {
    pub(super) fn open() -> Result<Self, AudioError> {
        let opened = open_default(Role::Microphone)?;
        let rate_hz = opened.config.sample_rate;
        let ring = Ring::new(rate_hz);
        let resampler = MonoResampler::new(rate_hz, SAMPLE_RATE_HZ)?;
        let failed = |error: cpal::Error| unusable(Role::Microphone, &opened.name, &error);
        #[allow(clippy::wildcard_enum_match_arm, reason = "cpal's list of formats is open")]
        let stream = match opened.format {
            SampleFormat::F32 => build::<f32>(&opened, &ring),
            SampleFormat::I16 => build::<i16>(&opened, &ring),
            SampleFormat::U16 => build::<u16>(&opened, &ring),
            SampleFormat::I32 => build::<i32>(&opened, &ring),
            SampleFormat::U8 => build::<u8>(&opened, &ring),
            other => {
                let reason = format!("its sample format {other} is not supported");
                return Err(unusable(Role::Microphone, &opened.name, &reason));
            }
        }
        .map_err(failed)?;
        stream.play().map_err(failed)?;
        Ok(Self {
            _stream: stream,
            name: opened.name,
            ring,
            resampler,
            taken: Vec::new(),
            ready: VecDeque::new(),
        })
    }

    /// Waits for the next frame period.
    pub(super) fn next_frame(&mut self) -> Result<PcmFrame, AudioError> {
        while self.ready.len() < FRAME_SAMPLES {
            self.taken.clear();
            self.ring
                .take_all(SILENT_DEVICE_MAX, &mut self.taken)
                .map_err(|reason| unusable(Role::Microphone, &self.name, &reason))?;
            self.resampler.push(&self.taken, &mut self.ready);
        }
        let mut pcm = [0.0; FRAME_SAMPLES];
        for (sample, ready) in pcm.iter_mut().zip(self.ready.drain(..FRAME_SAMPLES)) {
            *sample = ready;
        }
        Ok(pcm)
    }
}

fn build<T>(opened: &OpenedDevice, ring: &Ring) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let channels = usize::from(opened.config.channels).max(1);
    let (filled, failed) = (ring.clone(), ring.clone());
    opened.device.build_input_stream(
        opened.config,
        move |data: &[T], _: &cpal::InputCallbackInfo| {
            filled.push(data.chunks_exact(channels).map(|frame| {
                let sum: f32 = frame.iter().map(|&sample| f32::from_sample_(sample)).sum();
                sum / channels as f32
            }));
        },
        move |error| {
            if let Some(reason) = fatal_reason(&error) {
                failed.fail(reason);
            }
        },
        None,
    )
}

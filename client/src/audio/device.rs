//! Common parts of microphone and loudspeaker: finding a device, and the bounded ring between the
//! system's audio callback and the rest of the program.
//!
//! For [`super::source`] and [`super::sink`] only.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{SampleFormat, StreamConfig};

use super::{AudioError, SAMPLE_RATE_HZ};

/// Sound that a ring holds at most, in ms: what a busy machine may be late by, and little enough
/// that a listener does not notice the delay.
pub(super) const RING_MS: usize = 200;

/// Which way the sound goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Microphone,
    Loudspeaker,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Loudspeaker => "loudspeaker",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Microphone => {
                "this system has no recording device (on Linux, ALSA's \"default\"); speak a file, \
                 a tone or standard input instead"
            }
            Self::Loudspeaker => {
                "this system has no playback device (on Linux, ALSA's \"default\"); write to a file \
                 or to null instead"
            }
        }
    }
}

/// A device and how it will be run.
pub(super) struct OpenedDevice {
    pub(super) device: cpal::Device,
    pub(super) name: String,
    pub(super) config: StreamConfig,
    pub(super) format: SampleFormat,
}

/// Opens the system's default device, at 48 kHz if it can.
pub(super) fn open_default(role: Role) -> Result<OpenedDevice, AudioError> {
    let host = cpal::default_host();
    let device = match role {
        Role::Microphone => host.default_input_device(),
        Role::Loudspeaker => host.default_output_device(),
    };
    let missing = AudioError::NoDevice { role: role.name(), hint: role.hint() };
    let Some(device) = device else { return Err(missing) };
    let name = device.description().map_or_else(|_| "default".into(), |d| d.name().to_owned());
    let default = match role {
        Role::Microphone => device.default_input_config(),
        Role::Loudspeaker => device.default_output_config(),
    };
    let default = match default {
        Ok(config) => config,
        // ALSA always offers "default", even where there is no sound card behind it.
        Err(error) if error.kind() == cpal::ErrorKind::DeviceNotAvailable => return Err(missing),
        Err(error) => return Err(unusable(role, &name, &error)),
    };
    let at_48_khz = |range: cpal::SupportedStreamConfigRange| {
        (range.channels() == default.channels() && range.sample_format() == default.sample_format())
            .then(|| range.try_with_sample_rate(SAMPLE_RATE_HZ))
            .flatten()
    };
    let preferred = match role {
        Role::Microphone => {
            device.supported_input_configs().ok().and_then(|mut all| all.find_map(at_48_khz))
        }
        Role::Loudspeaker => {
            device.supported_output_configs().ok().and_then(|mut all| all.find_map(at_48_khz))
        }
    };
    let chosen = preferred.unwrap_or(default);
    Ok(OpenedDevice { device, name, config: chosen.config(), format: chosen.sample_format() })
}

/// The error for a device that is there but does not work.
pub(super) fn unusable(role: Role, name: &str, error: &dyn std::fmt::Display) -> AudioError {
    AudioError::Device { role: role.name(), name: name.to_owned(), reason: error.to_string() }
}

/// A bounded queue of mono samples between two threads. When it is full, the oldest sound goes: what
/// is heard should be recent.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    shared: Arc<Shared>,
    capacity: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<RingState>,
    filled: Condvar,
}

#[derive(Debug)]
struct RingState {
    samples: VecDeque<f32>,
    /// More samples were wanted than there were, and no reserve has been put there since.
    is_dry: bool,
    /// Set when the device has failed: why.
    failure: Option<String>,
}

impl Ring {
    /// A ring for [`RING_MS`] of sound at `rate_hz`.
    pub(super) fn new(rate_hz: u32) -> Self {
        let capacity = rate_hz as usize * RING_MS / 1_000;
        let state =
            RingState { samples: VecDeque::with_capacity(capacity), is_dry: true, failure: None };
        let shared = Arc::new(Shared { state: Mutex::new(state), filled: Condvar::new() });
        Self { shared, capacity }
    }

    /// Adds samples, dropping the oldest if there is no room.
    pub(super) fn push(&self, samples: impl Iterator<Item = f32>) {
        let mut state = self.lock();
        self.add(&mut state, samples);
        drop(state);
        self.shared.filled.notify_one();
    }

    /// Samples that wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().samples.len()
    }

    /// Puts so many samples of silence before what is pushed next, if the ring is new or has run dry since the last push:
    /// the next time as much is taken, they are left. So there is one gap and not one each time. `true` if it did.
    pub(super) fn refill_if_dry(&self, reserve: usize) -> bool {
        let mut state = self.lock();
        let is_dry = std::mem::take(&mut state.is_dry);
        if is_dry {
            self.add(&mut state, std::iter::repeat_n(0.0, reserve));
        }
        is_dry
    }

    fn add(&self, state: &mut RingState, samples: impl Iterator<Item = f32>) {
        for sample in samples {
            if state.samples.len() == self.capacity {
                state.samples.pop_front();
            }
            state.samples.push_back(sample);
        }
    }

    /// Takes as many samples as there are, one for each place in `wanted`; the rest stays silent.
    pub(super) fn pop(&self, count: usize, mut deliver: impl FnMut(f32)) {
        let mut state = self.lock();
        state.is_dry |= state.samples.len() < count;
        for _ in 0..count {
            deliver(state.samples.pop_front().unwrap_or(0.0));
        }
    }

    /// Waits until there are samples and moves all to `out`; otherwise says why there are none.
    pub(super) fn take_all(&self, timeout: Duration, out: &mut Vec<f32>) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        while state.samples.is_empty() {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("it has delivered no sound for {} s", timeout.as_secs()));
            }
            state = self
                .shared
                .filled
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        out.extend(state.samples.drain(..));
        Ok(())
    }

    /// Notes that the device has failed.
    pub(super) fn fail(&self, reason: String) {
        self.lock().failure = Some(reason);
        self.shared.filled.notify_one();
    }

    /// Why the device has failed, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// The lock is only ever held for copying, and nothing in there panics, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, RingState> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error to report for one of a running stream; `None` for those it survives.
#[allow(clippy::wildcard_enum_match_arm, reason = "cpal's list of errors is open")]
pub(super) fn fatal_reason(error: &cpal::Error) -> Option<String> {
    match error.kind() {
        cpal::ErrorKind::Xrun
        | cpal::ErrorKind::DeviceChanged
        | cpal::ErrorKind::RealtimeDenied => None,
        // Each of the others ends the stream.
        _ => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_keeps_the_newest_sound_and_pads_with_silence() {
        let ring = Ring::new(1_000);
        ring.push((0..250).map(|n| n as f32));
        let mut heard = Vec::new();
        ring.pop(201, |sample| heard.push(sample));
        assert_eq!(heard[0], 50.0);
        assert_eq!(heard[199], 249.0);
        assert_eq!(heard[200], 0.0);
    }

    #[test]
    fn a_dry_ring_gets_one_reserve_and_a_filled_one_none() {
        let ring = Ring::new(1_000);
        assert!(ring.refill_if_dry(10), "it is new");
        assert_eq!(ring.waiting(), 10);
        ring.push((0..20).map(|_| 1.0));
        ring.pop(25, |_| ());
        assert!(!ring.refill_if_dry(10));
        ring.pop(25, |_| ());
        assert!(ring.refill_if_dry(10), "20 were missing");
        assert_eq!(ring.waiting(), 10);
        assert!(!ring.refill_if_dry(10));
    }

    #[test]
    fn failure_wakes_the_reader_with_its_reason() {
        let ring = Ring::new(1_000);
        let other = ring.clone();
        let thread = std::thread::spawn(move || other.fail("unplugged".into()));
        let mut samples = Vec::new();
        let error = ring.take_all(Duration::from_secs(60), &mut samples).unwrap_err();
        assert_eq!(error, "unplugged");
        thread.join().unwrap();
    }

    #[test]
    fn without_a_device_the_error_says_what_is_missing() {
        for role in [Role::Microphone, Role::Loudspeaker] {
            if let Err(error) = open_default(role) {
                assert!(error.to_string().contains(role.name()), "{error}");
            }
        }
    }
}

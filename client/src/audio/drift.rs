//! Resampling of the mix to the clock of a sound card.
//!
//! Pure. The mix comes by the system's clock, and the card plays by its own; each is off by up to some hundred parts
//! per million. What waits between the two tells by how much, and the sound is resampled to that: no sample is ever
//! dropped or made up. A file follows the system's clock and needs none of this.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Indexing, Resampler, SincInterpolationParameters, WindowFunction,
};

use super::resample::{RATES_HZ, SINC_LEN};
use super::{AudioError, SAMPLE_RATE_HZ, TICK_PERIOD, TICK_SAMPLES, TickPcm};

/// Sound in seconds that is to be left before a tick when least is: 10 ms, two ticks that may come late.
pub(super) const LEFT_S: f64 = 0.010;
/// Ticks over which the least is taken: 1 s, in which each card fetches sound many times.
const WINDOW_TICKS: u32 = 200;
/// The controller's proportional part, as share of the rate for each second of sound too much; and its integral part,
/// for that each second. Both poles are at 20 s: quicker would be heard as a wavering pitch, slower lets a drift of 300
/// ppm take more than 2.2 ms before it is known.
const PROPORTIONAL: f64 = 0.1;
const INTEGRAL: f64 = 0.002_5;
/// Largest change of the rate. 2,000 ppm are 3.5 cents, less than anybody hears, and more than crystals differ by.
const CHANGE_MAX: f64 = 0.002;

/// A control loop that keeps a queue between two clocks filled.
#[derive(Debug, Default)]
pub struct RateControl {
    /// Least sound before a tick in this window, in s, and the ticks that it stands on.
    least_s: f64,
    ticks: u32,
    drift: f64,
    change: f64,
}

impl RateControl {
    /// Takes how much sound waits, in seconds, before a tick adds its own. Answers the rate at which the tick is to be
    /// made, relative to the nominal one.
    pub fn handle_tick(&mut self, waiting_s: f64) -> f64 {
        self.least_s = if self.ticks == 0 { waiting_s } else { self.least_s.min(waiting_s) };
        self.ticks += 1;
        if self.ticks == WINDOW_TICKS {
            self.ticks = 0;
            let window_s = f64::from(WINDOW_TICKS) * TICK_PERIOD.as_secs_f64();
            let excess_s = self.least_s - LEFT_S;
            self.drift =
                (self.drift - INTEGRAL * excess_s * window_s).clamp(-CHANGE_MAX, CHANGE_MAX);
            self.change = (self.drift - PROPORTIONAL * excess_s).clamp(-CHANGE_MAX, CHANGE_MAX);
        }
        1.0 + self.change
    }

    /// Forgets the present window: the queue has been filled anew.
    pub const fn handle_refill(&mut self) {
        self.ticks = 0;
    }
}

/// A resampler from the mix to a card.
pub struct CardResampler {
    sinc: Async<f32>,
    control: RateControl,
    rate_hz: u32,
    made: Vec<f32>,
}

impl std::fmt::Debug for CardResampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CardResampler").field("control", &self.control).finish_non_exhaustive()
    }
}

impl CardResampler {
    /// A resampler to a card that plays at about `rate_hz`.
    ///
    /// # Errors
    /// [`AudioError::Resample`] if that is outside [`RATES_HZ`].
    pub fn new(rate_hz: u32) -> Result<Self, AudioError> {
        let failed = || AudioError::Resample { rate_hz, channels: 1 };
        if !RATES_HZ.contains(&rate_hz) {
            return Err(failed());
        }
        let ratio = f64::from(rate_hz) / f64::from(SAMPLE_RATE_HZ);
        let parameters =
            SincInterpolationParameters::new(SINC_LEN, WindowFunction::BlackmanHarris2);
        let most = 1.0 + 2.0 * CHANGE_MAX;
        let sinc = Async::new_sinc(ratio, most, &parameters, TICK_SAMPLES, 1, FixedAsync::Input)
            .map_err(|_| failed())?;
        let made = vec![0.0; sinc.output_frames_max()];
        Ok(Self { sinc, control: RateControl::default(), rate_hz, made })
    }

    /// Resamples a tick of the mix, while `waiting` samples are left for the card.
    pub fn resample(&mut self, pcm: &TickPcm, waiting: usize) -> &[f32] {
        let rate = self.control.handle_tick(waiting as f64 / f64::from(self.rate_hz));
        // Within the bounds that it was made for, so it cannot fail; if it did, the rate would stay.
        let _ = self.sinc.set_resample_ratio_relative(rate, true);
        let capacity = self.made.len();
        let input = InterleavedSlice::new(pcm.as_slice(), 1, TICK_SAMPLES);
        let output = InterleavedSlice::new_mut(&mut self.made, 1, capacity);
        let made = match (input, output) {
            (Ok(input), Ok(mut output)) => self
                .sinc
                .process_into_buffer(&input, &mut output, Some(&Indexing::new()))
                .map_or(0, |(_, made)| made),
            (Err(_), _) | (_, Err(_)) => 0,
        };
        &self.made[..made]
    }

    /// The queue before the card has been filled anew.
    pub const fn handle_refill(&mut self) {
        self.control.handle_refill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue between a clock that makes sound and a card that takes it, in seconds of virtual time.
    struct Card {
        /// Sound that waits.
        waiting_s: f64,
        /// Ticks until the card takes its next period of sound.
        until_fetch: f64,
        drift: f64,
        period_ticks: f64,
        least_s: f64,
        most_s: f64,
    }

    impl Card {
        fn new(drift_ppm: f64, period_ticks: f64) -> Self {
            Self {
                waiting_s: LEFT_S,
                until_fetch: period_ticks,
                drift: drift_ppm / 1e6,
                period_ticks,
                least_s: f64::INFINITY,
                most_s: 0.0,
            }
        }

        /// One tick of sound at this rate; the card fetches what it needs meanwhile.
        fn tick(&mut self, rate: f64) {
            self.waiting_s += rate * TICK_PERIOD.as_secs_f64();
            self.most_s = self.most_s.max(self.waiting_s);
            self.until_fetch -= 1.0 + self.drift;
            while self.until_fetch <= 0.0 {
                self.until_fetch += self.period_ticks;
                self.waiting_s -= self.period_ticks * TICK_PERIOD.as_secs_f64();
                self.least_s = self.least_s.min(self.waiting_s);
            }
        }
    }

    #[test]
    fn an_hour_of_a_card_that_drifts_neither_runs_dry_nor_over() {
        for drift_ppm in [-300.0, -20.0, 0.0, 300.0] {
            for period_ticks in [1.0, 2.13, 4.27, 8.0] {
                let mut card = Card::new(drift_ppm, period_ticks);
                let mut control = RateControl::default();
                let (hour, mut sum, mut least_s) = (3_600 * 200, 0.0, f64::INFINITY);
                for tick in 0..hour {
                    let rate = control.handle_tick(card.waiting_s);
                    assert!((rate - 1.0).abs() <= CHANGE_MAX + 1e-9);
                    card.tick(rate);
                    if tick >= hour / 2 {
                        least_s = f64::min(least_s, card.waiting_s);
                        sum += (rate - 1.0) * 1e6;
                    }
                }
                let told = format!("{drift_ppm} ppm, {period_ticks} ticks a fetch");
                assert!(card.least_s > 0.0, "{told}: {} s were missing", -card.least_s);
                let most_s = LEFT_S + (period_ticks + 2.0) * TICK_PERIOD.as_secs_f64();
                assert!(card.most_s < most_s + 0.004, "{told}: {} s", card.most_s);
                let wrong_ppm = sum / f64::from(hour / 2) - drift_ppm;
                assert!(wrong_ppm.abs() < 10.0, "{told}: off by {wrong_ppm} ppm");
                let off_ms = (least_s - LEFT_S) * 1e3;
                // A card that fetches every so many ticks beats with them: what it leaves is seen a tick too late.
                let beat_ms = if period_ticks.fract() == 0.0 { 5.0 } else { 0.0 };
                assert!(off_ms.abs() < 1.5 + beat_ms, "{told}: {off_ms} ms off");
            }
        }
    }

    #[test]
    fn a_tone_is_resampled_without_a_step_while_the_rate_is_found() {
        for rate_hz in [44_100, 48_000] {
            let mut resampler = CardResampler::new(rate_hz).unwrap();
            let mut heard = Vec::new();
            let mut waiting = rate_hz as f64 * 0.015;
            for tick in 0..20 * 200 {
                let pcm: TickPcm = std::array::from_fn(|n| {
                    let n = (tick * TICK_SAMPLES + n) as f64;
                    (n * 440.0 / 48_000.0 * std::f64::consts::TAU).sin() as f32 * 0.5
                });
                let made = resampler.resample(&pcm, waiting as usize);
                heard.extend_from_slice(made);
                // The card is 300 ppm slow: the sound piles up until the loop has found out.
                waiting += made.len() as f64 - f64::from(rate_hz) * 0.005 * (1.0 - 300e-6);
            }
            let settled = &heard[rate_hz as usize / 10..];
            let step = 440.0 / rate_hz as f32 * std::f32::consts::TAU * 0.5;
            let most = settled.windows(2).map(|p| (p[1] - p[0]).abs()).fold(0.0, f32::max);
            assert!(most < step * 1.01, "{rate_hz} Hz: a step of {most}, the tone has {step}");
            assert!(settled.iter().all(|sample| sample.abs() < 0.505));
            let left_ms = waiting / f64::from(rate_hz) * 1e3;
            assert!((5.0..20.0).contains(&left_ms), "{rate_hz} Hz: {left_ms} ms wait");
        }
    }
}

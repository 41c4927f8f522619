//! The jitter buffer against simulated networks.

mod delay;
mod gaps;
mod profiles;
mod rough;
mod streams;

use std::time::Duration;

use super::*;

/// One frame on its way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Counts frame periods of the sender, not wrapped.
    index: u64,
    at_us: i64,
    talkspurt_end: bool,
}

/// Audio that a poll answered with, with frames named by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Frame(u64),
    Lost,
    Stretch,
    Silence,
    Starved,
}

/// Ticks in a frame period, and samples in a tick.
const TICKS: u64 = 4;
const TICK_SAMPLES: usize = 240;
const TICK_US: i64 = FRAME_PERIOD_US / TICKS as i64;
/// Samples of which one may be cut or repeated: the share that a player's stretching keeps to.
const STRETCH_ONE_IN: i64 = 7;
/// Shortest and longest period of a pitch that is cut or repeated, in samples.
const PITCH: std::ops::RangeInclusive<i64> = 120..=600;

#[derive(Default)]
struct Run {
    /// Answers, and when they were heard: in samples since the first tick.
    heard: Vec<(u64, Heard)>,
    samples: u64,
    stats: JitterStats,
    slots_max: usize,
    /// Samples added and cut by stretching.
    lengthened: i64,
    shortened: i64,
}

impl Run {
    fn frames(&self) -> Vec<u64> {
        self.delays_ms().into_iter().map(|(index, _)| index).collect()
    }

    /// Each frame with the time from when it arrives on a perfect network until it is heard.
    fn delays_ms(&self) -> Vec<(u64, f64)> {
        let delay_ms = |at: u64, index: u64| at as f64 / 48.0 - 5.0 - 20.0 * index as f64;
        let frames = self.heard.iter().filter_map(|&(at, heard)| match heard {
            Heard::Frame(index) => Some((index, delay_ms(at, index))),
            Heard::Lost | Heard::Stretch | Heard::Silence | Heard::Starved => None,
        });
        frames.collect()
    }

    /// Least and most delay of the frames from this one on.
    fn delay_range_ms(&self, from: u64) -> (f64, f64) {
        let delays = self.delays_ms().into_iter().filter(|(index, _)| *index >= from);
        delays.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), (_, delay)| {
            (least.min(delay), most.max(delay))
        })
    }

    fn count(&self, wanted: Heard) -> usize {
        self.heard.iter().filter(|(_, heard)| *heard == wanted).count()
    }

    /// Answers heard from this frame period on.
    fn heard_from(&self, period: u64) -> impl Iterator<Item = Heard> + '_ {
        self.heard.iter().filter(move |(at, _)| *at >= period * 960).map(|(_, heard)| *heard)
    }

    /// Every frame from this one on sits in the recording where it does at the sender, shifted by one
    /// constant.
    fn is_aligned(&self, from: u64) -> bool {
        let (least, most) = self.delay_range_ms(from);
        most - least < 0.001
    }
}

/// A player that is simulated to the sample, without sound.
struct Listener {
    buffer: JitterBuffer<u64>,
    schedule: PlayoutSchedule,
    first_seq: u16,
    /// Samples that are decoded and not played.
    ahead: usize,
    /// Samples that have to be played before the next may be cut or added.
    rest: i64,
    /// Period of the speaker's pitch, in samples.
    pitch: i64,
    run: Run,
}

impl Listener {
    fn new(config: JitterConfig, first_seq: u16) -> Self {
        Self {
            buffer: JitterBuffer::new(config),
            schedule: PlayoutSchedule::default(),
            first_seq,
            ahead: 0,
            rest: 0,
            pitch: 300,
            run: Run::default(),
        }
    }

    fn tick(&mut self, now: Instant) {
        let at = self.schedule.handle_tick(now, TICK_SAMPLES);
        while self.ahead < TICK_SAMPLES {
            let begins = at + Duration::from_micros(samples_us(self.ahead as u64) as u64);
            let position = self.run.samples + self.ahead as u64;
            let missing = TICK_SAMPLES - self.ahead;
            let (heard, samples) = match self.buffer.poll_playout(begins) {
                Playout::Frame { seq, payload } => {
                    assert_eq!(seq, self.first_seq.wrapping_add(payload as u16));
                    (Heard::Frame(payload), 960)
                }
                Playout::Lost { seq, next } => {
                    if let Some((distance, next)) = next {
                        assert!((1..=50).contains(&distance));
                        let later = self.first_seq.wrapping_add(*next as u16);
                        assert_eq!(later, seq.wrapping_add(distance));
                    }
                    (Heard::Lost, 960)
                }
                Playout::Stretch => (Heard::Stretch, 960),
                Playout::Silence { samples } => {
                    assert!((1..=960).contains(&samples), "{samples}");
                    (Heard::Silence, samples.min(missing))
                }
                Playout::Starved => (Heard::Starved, missing),
            };
            self.run.heard.push((position, heard));
            self.ahead += samples;
            if matches!(heard, Heard::Frame(_)) {
                self.stretch();
            }
        }
        self.ahead -= TICK_SAMPLES;
        self.run.samples += TICK_SAMPLES as u64;
    }

    /// Cuts or adds one period of the pitch, now and then.
    fn stretch(&mut self) {
        let wanted = self.buffer.wanted_stretch();
        self.rest = (self.rest - 960).max(0);
        let most = if wanted > 0 { wanted + STRETCH_OVER_SAMPLES } else { -wanted };
        let most = most.min(*PITCH.end());
        if wanted == 0 || self.rest > 0 || self.pitch > most {
            return;
        }
        let samples = self.pitch * (most / self.pitch);
        self.rest = samples * STRETCH_ONE_IN;
        if wanted > 0 {
            self.ahead += samples as usize;
            self.run.lengthened += samples;
        } else {
            self.ahead -= samples as usize;
            self.run.shortened += samples;
        }
    }
}

/// Runs a buffer over frames that arrive and ticks that happen at the given times, by frame periods.
fn run(sent: &[Sent], tick_at_us: impl Fn(u64) -> i64, periods: u64, first_seq: u16) -> Run {
    run_with(JitterConfig::default(), sent, tick_at_us, periods, first_seq)
}

fn run_with(
    config: JitterConfig,
    sent: &[Sent],
    tick_at_us: impl Fn(u64) -> i64,
    periods: u64,
    first_seq: u16,
) -> Run {
    run_changing(config, sent, tick_at_us, periods, first_seq, |_, _| ())
}

/// The same, with a change to the buffer before each frame period.
fn run_changing(
    config: JitterConfig,
    sent: &[Sent],
    tick_at_us: impl Fn(u64) -> i64,
    periods: u64,
    first_seq: u16,
    mut change: impl FnMut(u64, &mut JitterBuffer<u64>),
) -> Run {
    let start = Instant::now();
    let at = |us: i64| start + Duration::from_micros(us as u64);
    let mut arrivals = sent.to_vec();
    arrivals.sort_by_key(|frame| frame.at_us);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut listener = Listener::new(config, first_seq);
    let mut now_us = 0;
    for tick in 0..periods * TICKS {
        if tick % TICKS == 0 {
            change(tick / TICKS, &mut listener.buffer);
        }
        now_us = now_us.max(tick_at_us(tick / TICKS) + (tick % TICKS) as i64 * TICK_US);
        while let Some(frame) = arrivals.next_if(|frame| frame.at_us <= now_us) {
            let seq = first_seq.wrapping_add(frame.index as u16);
            listener.buffer.handle_frame(at(frame.at_us), seq, frame.talkspurt_end, frame.index);
            listener.run.slots_max = listener.run.slots_max.max(listener.buffer.slots.len());
        }
        listener.tick(at(now_us));
    }
    listener.run.stats = listener.buffer.stats();
    listener.run
}

/// One talkspurt, each frame late by what `lateness_us` says.
fn talk(frames: u64, mut lateness_us: impl FnMut(u64) -> i64) -> Vec<Sent> {
    (0..frames)
        .map(|index| Sent {
            index,
            at_us: 5_000 + index as i64 * FRAME_PERIOD_US + lateness_us(index),
            talkspurt_end: index + 1 == frames,
        })
        .collect()
}

fn on_time(tick: u64) -> i64 {
    tick as i64 * FRAME_PERIOD_US
}

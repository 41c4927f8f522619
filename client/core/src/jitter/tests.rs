//! The jitter buffer against simulated networks.

use tribune_protocol::limits::{MAX_PLAYOUT_DELAY, MIN_PLAYOUT_DELAY};

use super::*;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

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

#[test]
fn steady_network_plays_everything_after_the_initial_delay() {
    let run = run(&talk(600, |_| 0), on_time, 600, 65_200); // The numbers wrap on the way.
    let delays = run.delays_ms();
    assert!((35.0..35.1).contains(&delays[0].1), "to the sample: {}", delays[0].1);
    assert!((35.0..35.1).contains(&delays[400].1), "nobody hears it: {}", delays[400].1);
    assert!((10.0..15.1).contains(&delays[500].1), "ten seconds later: {}", delays[500].1);
    assert!(run.is_aligned(500));
    let played = run.frames();
    assert_eq!(played, (0..played.len() as u64).collect::<Vec<_>>());
    assert!(played.len() >= 599);
    assert_eq!(run.stats.target_ms, 10.0);
    assert_eq!(run.stats.jitter_ms, 0.0);
    assert_eq!((run.stats.lost, run.stats.late, run.stats.duplicate), (0, 0, 0));
    assert_eq!((run.stats.skipped, run.stats.stretched, run.lengthened), (0, 0, 0));
}

#[test]
fn delay_does_not_depend_on_when_the_ticks_are() {
    for phase_us in (0..20_000).step_by(500) {
        let run = run(&talk(600, |_| phase_us), on_time, 600, 0);
        let late_ms = phase_us as f64 / 1e3;
        let first = run.delays_ms()[0].1 - late_ms;
        assert!((35.0..35.1).contains(&first), "{phase_us}: to the sample: {first}");
        let (least, most) = run.delay_range_ms(500);
        assert!(least - late_ms >= 10.0 && most - late_ms < 15.1, "{phase_us}: {least} to {most}");
    }
}

#[test]
fn busy_machines_at_both_ends_neither_drop_nor_insert() {
    // Up to 30 ms of lateness at sender, receiver and player, with talkspurts and silences.
    for seed in 0..50 {
        let mut rng = StdRng::seed_from_u64(seed);
        let noise: Vec<i64> = (0..1_001).map(|_| rng.random_range(0..30_000)).collect();
        let mut sent = talk(1_000, |_| rng.random_range(0..30_000));
        // A room is listened to before anybody is heard in it: when ticks are due is known by then.
        sent.retain(|frame| frame.index >= 10 && frame.index % 100 < 70);
        for frame in &mut sent {
            frame.talkspurt_end = frame.index % 100 == 69;
        }
        let run = run(&sent, |tick| on_time(tick) + noise[tick as usize], 1_001, 7);
        assert_eq!(run.count(Heard::Stretch), 0, "seed {seed}");
        assert_eq!(run.count(Heard::Lost), 0, "seed {seed}");
        assert_eq!(run.stats.skipped, 0, "seed {seed}");
        assert_eq!(run.count(Heard::Starved), 0, "seed {seed}");
        let (least, most) = run.delay_range_ms(0);
        assert!(most - least <= 35.0, "seed {seed}: {least} to {most} ms");
    }
}

#[test]
fn hiccups_of_a_machine_lose_no_frame_and_are_over_soon() {
    // Every 4 s nothing gets through for 100 ms, first right at the beginning.
    let sent = talk(1_000, |index| match index % 200 {
        phase @ 10..15 => (15 - phase as i64) * FRAME_PERIOD_US,
        _ => 0,
    });
    let run = run(&sent, on_time, 1_005, 0);
    assert_eq!((run.stats.skipped, run.stats.lost, run.stats.late), (0, 0, 0));
    assert_eq!(run.frames(), (0..1_000).collect::<Vec<_>>());
    assert!(run.delay_range_ms(0).1 <= 120.0, "{:?}", run.delay_range_ms(0));
    let long = run.delays_ms().iter().filter(|(_, delay)| *delay > 40.0).count();
    assert!(long <= 200, "{long} frames, of 5 hiccups");
}

#[test]
fn announced_silence_is_silence_and_keeps_its_length() {
    let mut sent = talk(600, |_| 0);
    sent.retain(|frame| !(200..400).contains(&frame.index));
    sent[199].talkspurt_end = true;
    let run = run(&sent, on_time, 610, 0);
    assert!(run.is_aligned(200), "silence makes the delay what it should be");
    let (least, most) = run.delay_range_ms(400);
    assert!(least >= 10.0 && most < 15.1, "{least} to {most} ms");
    assert_eq!(run.count(Heard::Lost), 0);
    assert_eq!(run.frames().len(), 400);
    assert_eq!(run.stats.lost, 0);
}

#[test]
fn a_pause_makes_the_delay_what_it_is_to_be_for_good() {
    let mut sent = talk(1_200, |_| 0);
    sent.retain(|frame| !(150..180).contains(&frame.index));
    sent[149].talkspurt_end = true;
    let run = run(&sent, on_time, 1_210, 0);
    assert_eq!((run.lengthened, run.shortened), (0, 0));
    assert!(run.delay_range_ms(180).1 <= 12.6, "{:?}", run.delay_range_ms(180));
}

#[test]
fn unannounced_gap_is_loss_with_the_next_frame_for_recovery() {
    let mut sent = talk(600, |_| 0);
    sent.retain(|frame| frame.index != 550);
    let run = run(&sent, on_time, 602, 0);
    assert_eq!(run.frames().len(), 599);
    assert_eq!(run.count(Heard::Lost) + run.count(Heard::Stretch), 1);
    assert!(run.delay_range_ms(551).1 <= 15.1, "what was concealed stood for it");
    assert_eq!(run.stats.lost, 1);

    let delay = Duration::from_millis(35);
    let fixed = JitterConfig { min: delay, max: delay, ..JitterConfig::live() };
    let mut buffer = JitterBuffer::new(fixed);
    let now = Instant::now();
    buffer.handle_frame(now, 10, false, 'a');
    buffer.handle_frame(now, 12, false, 'c');
    let answers: Vec<bool> = (0..6)
        .map(|tick| {
            matches!(
                buffer.poll_playout(now + FRAME_PERIOD * tick),
                Playout::Lost { seq: 11, next: Some((1, &'c')) }
            )
        })
        .collect();
    assert_eq!(answers.iter().filter(|is_lost| **is_lost).count(), 1, "{answers:?}");
}

#[test]
fn what_is_missing_at_first_is_waited_for_and_later_is_not() {
    // Two frames come 60 ms late, as they had to be asked for: one in the third second, one in the tenth.
    let late = |index| if index == 120 || index == 480 { 60_000 } else { 0 };
    let run = run(&talk(550, late), on_time, 560, 0);
    assert_eq!((run.stats.lost, run.stats.late), (0, 1));
    assert!(run.frames().contains(&120) && !run.frames().contains(&480));
    let (_, most) = run.delay_range_ms(0);
    assert!((60.0..80.1).contains(&most), "it has become delay: {most}");

    // Those that never come are waited for twice.
    let mut sent = talk(300, |_| 0);
    sent.retain(|frame| frame.index % 20 != 7);
    let run = self::run(&sent, on_time, 310, 0);
    assert_eq!(
        (run.stats.lost, run.count(Heard::Lost) + run.count(Heard::Stretch)),
        (15, 15 + 2 * 3)
    );
}

#[test]
fn each_lost_frame_of_a_burst_is_told_the_nearest_later_one() {
    let initial = Duration::from_millis(200);
    let mut buffer = JitterBuffer::new(JitterConfig { initial, ..JitterConfig::default() });
    let (start, sent) = (Instant::now(), [(0, 'a'), (4, 'e'), (6, 'g')]);
    let mut told = Vec::new();
    for tick in 0..17 {
        let now = start + FRAME_PERIOD * tick;
        if let Some((_, payload)) = sent.iter().find(|(place, _)| *place == tick) {
            buffer.handle_frame(now, 10 + tick as u16, false, *payload);
        }
        if let Playout::Lost { seq, next } = buffer.poll_playout(now) {
            told.push((seq, next.map(|(distance, payload)| (distance, *payload))));
        }
    }
    let wanted = [(11, (3, 'e')), (12, (2, 'e')), (13, (1, 'e')), (15, (1, 'g'))];
    assert_eq!(told, wanted.map(|(seq, next)| (seq, Some(next))));
}

#[test]
fn late_frames_are_counted_late_and_not_lost() {
    let sent = talk(600, |index| if index == 500 { 150_000 } else { 0 });
    let run = run(&sent, on_time, 605, 0);
    assert_eq!(run.count(Heard::Lost) + run.count(Heard::Stretch), 1);
    assert_eq!((run.stats.late, run.stats.lost, run.stats.received), (1, 0, 600));
}

#[test]
fn duplicates_are_counted_whether_played_or_waiting() {
    let mut sent = talk(100, |_| 0);
    let again: Vec<Sent> =
        sent.iter().map(|frame| Sent { at_us: frame.at_us + 1_000, ..*frame }).collect();
    let much_later: Vec<Sent> =
        sent.iter().map(|frame| Sent { at_us: frame.at_us + 200_000, ..*frame }).collect();
    sent.extend(again);
    sent.extend(much_later);
    let run = run(&sent, on_time, 120, 0);
    assert_eq!(run.frames(), (0..100).collect::<Vec<_>>());
    assert_eq!(run.stats.duplicate, 200);
    assert_eq!(run.stats.received, 100);
    assert_eq!(run.stats.late, 0);
}

#[test]
fn delay_grows_until_frames_come_in_time() {
    // After 10 s the network starts to delay every second frame by 150 ms.
    let sent = talk(1_500, |index| if index > 500 && index % 2 == 0 { 150_000 } else { 0 });
    let run = run(&sent, on_time, 1_500, 0);
    assert!(run.heard_from(1_250).all(|heard| matches!(heard, Heard::Frame(_))));
    assert!((155.0..=165.0).contains(&run.stats.target_ms), "{}", run.stats.target_ms);
    let grown_ms = run.stats.stretched * 20 + run.lengthened as u64 / 48;
    assert!(grown_ms >= 130 && run.lengthened > 0, "{grown_ms} ms, {}", run.lengthened);
}

#[test]
fn delay_shrinks_again_where_a_talkspurt_begins() {
    // 10 s of bad network, then 40 s of good, in talkspurts of a second.
    let mut sent = talk(2_500, |index| if index < 500 && index % 2 == 0 { 200_000 } else { 0 });
    sent.retain(|frame| frame.index % 50 < 40);
    for frame in &mut sent {
        frame.talkspurt_end = frame.index % 50 == 39;
    }
    let run = run(&sent, on_time, 2_500, 0);
    assert_eq!(run.stats.target_ms, 10.0);
    assert!(run.heard_from(2_250).all(|heard| matches!(heard, Heard::Frame(_) | Heard::Silence)));
    assert!(run.delay_range_ms(2_250).1 <= 15.1);
    assert_eq!(run.stats.skipped, 0, "no frame was dropped");
}

#[test]
fn ten_seconds_after_a_jitter_its_delay_is_gone_inside_a_talkspurt() {
    // 10 s of a network late by up to 100 ms, then a steady one, and nobody pauses.
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let sent = talk(1_500, |index| if index < 500 { rng.random_range(0..100_000) } else { 0 });
        let run = run(&sent, on_time, 1_510, 0);
        let (_, jittery) = run.delay_range_ms(450);
        assert!(jittery > 90.0, "seed {seed}: it was waited for: {jittery} ms");
        let after = run.delay_range_ms(1_000).1;
        assert!(after <= 22.5, "seed {seed}: 10 ms and a period of the pitch: {after}");
        let settled = run.delay_range_ms(1_300).1;
        assert!(settled <= 16.3, "seed {seed}: 10 ms and this voice's period: {settled}");
        assert_eq!(run.stats.skipped, 0, "seed {seed}: by stretching alone");
        assert!(run.heard_from(600).all(|heard| matches!(heard, Heard::Frame(_) | Heard::Silence)));
    }
}

/// Each second a frame or two are late: the target comes and goes, and the speech between keeps its length.
#[test]
fn a_target_that_comes_and_goes_does_not_stretch_speech_each_time() {
    let moved_ms = |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let sent = talk(3_000, |_| if rng.random_bool(0.025) { 40_000 } else { 0 });
        let run = run(&sent, on_time, 3_010, 0);
        assert_eq!((run.stats.lost, run.stats.skipped), (0, 0), "seed {seed}");
        (run.lengthened + run.shortened) / 48
    };
    let moved_ms: i64 = (0..20).map(moved_ms).sum();
    assert!(moved_ms < 20 * 350, "{moved_ms} ms in 20 minutes; 12,500 if each change is followed");
}

#[test]
fn stall_starves_and_resumes_without_losing_what_comes_in_a_burst() {
    // Nothing arrives for 300 ms, then all of it at once.
    let sent = talk(500, |index| match index {
        200..215 => (215 - index as i64) * FRAME_PERIOD_US,
        _ => 0,
    });
    let run = run(&sent, on_time, 520, 0);
    assert!(run.count(Heard::Starved) > 0);
    assert_eq!(run.count(Heard::Stretch), 5, "100 ms are concealed, then playout waits");
    assert_eq!(run.frames(), (0..500).collect::<Vec<_>>());
    assert_eq!((run.stats.late, run.stats.lost, run.stats.skipped), (0, 0, 0));
}

#[test]
fn sender_that_stood_still_for_minutes_is_heard_again_at_once() {
    // Its sequence numbers did not move on meanwhile.
    let sent = talk(500, |index| if index < 250 { 0 } else { 120_000_000 });
    let run = run(&sent, on_time, 6_600, 100);
    assert!(run.frames().len() >= 498, "{}", run.frames().len());
    assert_eq!(*run.frames().last().unwrap(), 499);
}

#[test]
fn long_announced_silence_beyond_half_the_sequence_space_is_followed() {
    let mut sent = talk(100, |_| 0);
    sent[99].talkspurt_end = true;
    let gap = 40_000_u64;
    sent.extend(talk(gap + 100, |_| 0).into_iter().skip(gap as usize));
    let run = run(&sent, on_time, gap + 110, 0);
    assert_eq!(run.frames().len(), 200);
    assert_eq!(run.count(Heard::Lost), 0);
    assert!(run.delay_range_ms(gap).1 <= 15.1, "{:?}", run.delay_range_ms(gap));
}

#[test]
fn restarted_stream_is_played_from_its_second_frame() {
    for jump in [1_000_u16, 20_000, 40_000, 65_000] {
        let mut buffer = JitterBuffer::new(JitterConfig::default());
        let start = Instant::now();
        let mut heard = Vec::new();
        for tick in 0..200_u32 {
            let now = start + FRAME_PERIOD * tick;
            let seq = if tick < 100 { tick as u16 } else { jump.wrapping_add(tick as u16) };
            let arrival = buffer.handle_frame(now, seq, false, tick);
            if tick == 100 {
                assert!(matches!(arrival, Arrival::TooFarAhead | Arrival::Late), "{arrival:?}");
            }
            if let Playout::Frame { payload, .. } = buffer.poll_playout(now) {
                heard.push(payload);
            }
        }
        assert!(heard.windows(2).all(|pair| pair[0] < pair[1]));
        let after_restart: Vec<u32> = heard.into_iter().filter(|tick| *tick >= 100).collect();
        assert_eq!(after_restart[0], 101, "jump {jump}");
        assert!(after_restart.len() >= 95, "jump {jump}");
    }
}

#[test]
fn one_stray_frame_does_not_restart_the_stream() {
    let mut buffer = JitterBuffer::new(JitterConfig::default());
    let start = Instant::now();
    let mut heard = 0;
    for tick in 0..200_u32 {
        let now = start + FRAME_PERIOD * tick;
        buffer.handle_frame(now, tick as u16, false, tick);
        if tick % 10 == 5 {
            let arrival = buffer.handle_frame(now, 30_000 + tick as u16, false, tick);
            assert_eq!(arrival, Arrival::TooFarAhead);
        }
        heard += u32::from(matches!(buffer.poll_playout(now), Playout::Frame { .. }));
    }
    assert_eq!(heard, 200 - 2, "40 ms, the initial delay in polls of 20 ms");
    assert_eq!(buffer.stats().out_of_window, 20);
}

#[test]
fn burst_before_anything_was_heard_does_not_become_delay() {
    // A relay replays 2 s when somebody joins; then frames come as they are spoken.
    for spacing_us in [0, 400, 700] {
        let sent = talk(800, |index| match index {
            0..100 => (100 - index as i64) * (FRAME_PERIOD_US - spacing_us),
            _ => 0,
        });
        let run = run(&sent, on_time, 810, 0);
        let delays = run.delays_ms();
        assert!(delays.len() > 695, "{spacing_us} µs apart: {} frames", delays.len());
        let (_, after_half_a_second) = delays[25];
        assert!(after_half_a_second <= 100.0, "{spacing_us} µs apart: {after_half_a_second} ms");
        assert!(run.delay_range_ms(600).1 <= 15.1, "{spacing_us} µs apart");
    }
}

#[test]
fn an_hour_of_a_clock_that_drifts_is_followed_by_stretching() {
    for drift_ppm in [-300_i64, 300] {
        // An hour of talk without a pause, and the sender's clock drifts.
        let frames = 3_600 * 50;
        let sent: Vec<Sent> = (0..frames)
            .map(|index| {
                let media_us = index as i64 * FRAME_PERIOD_US;
                Sent {
                    index,
                    at_us: 5_000 + media_us + media_us / 1_000_000 * drift_ppm,
                    talkspurt_end: index + 1 == frames,
                }
            })
            .collect();
        let run = run(&sent, on_time, frames, 0);
        assert_eq!((run.stats.skipped, run.stats.stretched, run.stats.late), (0, 0, 0));
        assert_eq!((run.count(Heard::Lost), run.count(Heard::Starved)), (0, 0));
        let drifted_ms = 3_600 * drift_ppm / 1_000;
        let moved_ms = (run.lengthened - run.shortened) / 48;
        // 25 ms of the initial delay go beside that.
        assert!((moved_ms - drifted_ms + 25).abs() <= 10, "{moved_ms} ms for {drifted_ms}");
        assert!(run.stats.delay_ms <= 25.0, "{}", run.stats.delay_ms);
    }
}

#[test]
fn an_audience_waits_for_rounds_of_repair() {
    // One frame in five is lost, and comes 450 ms later at the third question.
    let sent = talk(1_000, |index| if index % 5 == 3 { 450_000 } else { 0 });
    let config = JitterConfig::audience(Duration::from_millis(500));
    let run = run_with(config, &sent, on_time, 1_100, 0);
    assert_eq!(run.frames(), (0..1_000).collect::<Vec<_>>());
    assert_eq!((run.stats.late, run.stats.stretched, run.stats.skipped), (0, 0, 0));
    let (least, most) = run.delay_range_ms(0);
    assert!(least >= 497.0 && most <= 506.0, "{least} to {most}");
    for (asked_ms, given) in [(10, MIN_PLAYOUT_DELAY), (60_000, MAX_PLAYOUT_DELAY)] {
        assert_eq!(JitterConfig::audience(Duration::from_millis(asked_ms)).min, given);
    }
}

#[test]
fn a_change_of_profile_costs_no_frame() {
    // A host listens along with the audience, is called on stage, and leaves it: with and without pauses.
    for pauses in [false, true] {
        let mut sent = talk(3_000, |_| 0);
        if pauses {
            sent.retain(|frame| frame.index % 50 < 40);
            for frame in &mut sent {
                frame.talkspurt_end = frame.index % 50 == 39;
            }
        }
        let audience = JitterConfig::audience(Duration::from_secs(2));
        let run =
            run_changing(
                audience.clone(),
                &sent,
                on_time,
                3_150,
                0,
                |period, buffer| match period {
                    500 => buffer.set_config(JitterConfig::live()),
                    1_700 => buffer.set_config(audience.clone()),
                    _ => {}
                },
            );
        let delays = run.delays_ms();
        assert_eq!(delays.len(), sent.len(), "each frame is heard");
        let delay_at = |index: u64| delays.iter().find(|(at, _)| *at == index).unwrap().1;
        assert!((1_999.0..2_006.0).contains(&delay_at(350)), "{}", delay_at(350));
        assert!((9.0..16.0).contains(&delay_at(1_630)), "{}", delay_at(1_630));
        assert!((1_995.0..2_006.0).contains(&delay_at(2_980)), "{}", delay_at(2_980));
        assert_eq!((run.stats.skipped, run.stats.stretched, run.stats.late), (0, 0, 0));
        assert_eq!((run.count(Heard::Lost), run.count(Heard::Starved)), (0, 0));
    }
}

#[test]
fn a_change_of_profile_is_at_once_in_a_silence() {
    let mut sent = talk(600, |_| 0);
    sent.retain(|frame| {
        frame.index < 150 || (300..400).contains(&frame.index) || frame.index >= 500
    });
    for frame in &mut sent {
        frame.talkspurt_end |= [149, 399].contains(&frame.index);
    }
    let audience = JitterConfig::audience(Duration::from_secs(1));
    let run =
        run_changing(JitterConfig::live(), &sent, on_time, 700, 0, |period, buffer| match period {
            200 => buffer.set_config(audience.clone()),
            470 => buffer.set_config(JitterConfig::live()),
            _ => {}
        });
    let delays = run.delays_ms();
    assert_eq!(delays.len(), sent.len());
    let delay_at = |index: u64| delays.iter().find(|(at, _)| *at == index).unwrap().1;
    assert!((999.9..1_000.1).contains(&delay_at(300)), "{}", delay_at(300));
    assert!((10.0..15.1).contains(&delay_at(500)), "{}", delay_at(500));
    assert_eq!((run.lengthened, run.count(Heard::Lost), run.stats.skipped), (0, 0, 0));
}

#[test]
fn a_change_of_profile_finds_room_for_what_waits() {
    // A network late by up to 2.4 s has made the longest delay there is: 2.5 s wait, more than a live buffer has room
    // for beside a replay.
    let sent = talk(1_500, |index| if index % 3 == 1 && index < 900 { 2_480_000 } else { 0 });
    let audience = JitterConfig::audience(Duration::from_secs(2));
    let run = run_changing(audience, &sent, on_time, 1_700, 0, |period, buffer| {
        if period == 800 {
            assert!(buffer.stats().delay_ms > 2_450.0, "{:?}", buffer.stats());
            buffer.set_config(JitterConfig {
                max: Duration::from_millis(100),
                ..JitterConfig::live()
            });
        }
    });
    assert_eq!(run.stats.out_of_window, 0);
}

/// A network with everything that can go wrong, and a machine that ticks late.
#[derive(Debug, Clone, Copy)]
struct Rough {
    seed: u64,
    first_seq: u16,
    loss: f64,
    duplication: f64,
    jitter_us: i64,
    /// Frame periods of silence in the middle.
    pause: u64,
    tick_noise_us: i64,
    margin_ms: u64,
}

impl Rough {
    /// 12 s of talk over this network, as it is sent.
    fn sent(&self, rng: &mut StdRng) -> Vec<Sent> {
        let mut sent = Vec::new();
        for mut frame in talk(600, |_| 0) {
            let is_paused = (300..300 + self.pause).contains(&frame.index);
            if is_paused || rng.random_bool(self.loss) {
                continue;
            }
            frame.talkspurt_end = frame.index == 299 || rng.random_bool(0.02);
            let copies = 1 + usize::from(rng.random_bool(self.duplication));
            for _ in 0..copies {
                let at_us = frame.at_us + rng.random_range(0..=self.jitter_us);
                sent.push(Sent { at_us, ..frame });
            }
        }
        sent
    }

    fn is_survived(&self) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let sent = self.sent(&mut rng);
        let noise: Vec<i64> = (0..700).map(|_| rng.random_range(0..=self.tick_noise_us)).collect();
        let mut ticks: Vec<i64> =
            (0..700).map(|tick| on_time(tick) + noise[tick as usize]).collect();
        ticks.sort_unstable();
        let margin = Duration::from_millis(self.margin_ms);
        let config = JitterConfig { margin, ..JitterConfig::default() };
        let run = run_with(config, &sent, |tick| ticks[tick as usize], 700, self.first_seq);
        assert_eq!(run.samples, 700 * 960);
        assert!(run.frames().windows(2).all(|pair| pair[0] < pair[1]));
        assert!(run.slots_max <= (AHEAD_FRAMES_MAX + BEHIND_FRAMES_MAX) as usize);
        assert!(run.stats.target_ms <= 400.0);
        let distinct: std::collections::BTreeSet<u64> =
            sent.iter().map(|frame| frame.index).collect();
        let stats = run.stats;
        assert!(stats.received <= distinct.len() as u64, "{} > {}", stats.received, distinct.len());
        let accounted = run.frames().len() as u64 + stats.late + stats.skipped;
        let waiting = (stats.buffer_ms / 20.0) as u64;
        assert!(accounted <= stats.received && stats.received <= accounted + waiting);
    }
}

/// A frame that comes after all, in a stall in a stream's first second, was passed over and stayed in the buffer; its
/// copy was then counted as another frame.
#[test]
fn a_copy_of_a_frame_that_came_in_a_stall_is_a_duplicate() {
    let network = Rough {
        seed: 16_366_220_170_753_973_096,
        first_seq: 0,
        loss: 0.500_066_217_071_475_5,
        duplication: 0.359_464_029_636_749_06,
        jitter_us: 227_786,
        pause: 234,
        tick_noise_us: 22_298,
        margin_ms: 15,
    };
    network.is_survived();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the network does: no panic, no frame twice, none out of order, bounded memory, and
    /// one answer per tick that adds up.
    #[test]
    fn any_network_is_survived(
        seed: u64,
        first_seq: u16,
        loss in 0.0..0.6_f64,
        duplication in 0.0..0.5_f64,
        jitter_us in 0..500_000_i64,
        pause in 0..400_u64,
        tick_noise_us in 0..100_000_i64,
        margin_ms in 0..100_u64,
    ) {
        let network = Rough { seed, first_seq, loss, duplication, jitter_us, pause, tick_noise_us, margin_ms };
        network.is_survived();
    }

    /// A network without jitter or loss loses, conceals, drops and inserts nothing.
    #[test]
    fn clean_network_is_transparent(first_seq: u16, phase_us in 0..20_000_i64, delay_us in 0..300_000_i64) {
        let sent = talk(400, |_| delay_us);
        let run = run(&sent, |tick| on_time(tick) + phase_us, 420, first_seq);
        prop_assert!(run.is_aligned(150));
        prop_assert_eq!(run.stats.lost + run.stats.late + run.stats.skipped + run.stats.stretched, 0);
        prop_assert_eq!(run.lengthened, 0);
        let played = run.frames();
        prop_assert_eq!(&played, &(0..played.len() as u64).collect::<Vec<_>>());
        prop_assert!(played.len() >= 395);
    }

    /// Arbitrary frames at arbitrary times, not even a stream.
    #[test]
    fn arbitrary_input_never_panics(events in proptest::collection::vec(
        (any::<u16>(), any::<bool>(), 0..3_000_u64, any::<bool>()), 0..400)
    ) {
        let mut buffer = JitterBuffer::new(JitterConfig::default());
        let mut now = Instant::now();
        for (seq, talkspurt_end, wait_ms, is_poll) in events {
            now += Duration::from_millis(wait_ms);
            if is_poll {
                let _ = buffer.poll_playout(now);
            } else {
                buffer.handle_frame(now, seq, talkspurt_end, ());
            }
            prop_assert!(buffer.slots.len() <= (AHEAD_FRAMES_MAX + BEHIND_FRAMES_MAX) as usize);
        }
        let _ = buffer.stats();
    }
}

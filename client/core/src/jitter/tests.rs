//! The jitter buffer against simulated networks.

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

/// Audio played in one tick, with frames named by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Frame(u64),
    Lost,
    Stretch,
    Silence,
    Starved,
}

struct Run {
    heard: Vec<Heard>,
    stats: JitterStats,
    slots_max: usize,
}

impl Run {
    fn frames(&self) -> Vec<u64> {
        self.heard
            .iter()
            .filter_map(|heard| match heard {
                Heard::Frame(index) => Some(*index),
                Heard::Lost | Heard::Stretch | Heard::Silence | Heard::Starved => None,
            })
            .collect()
    }

    fn count(&self, wanted: Heard) -> usize {
        self.heard.iter().filter(|heard| **heard == wanted).count()
    }

    /// Every frame sits in the recording where it does at the sender, shifted by one constant.
    fn is_aligned(&self) -> bool {
        let mut offsets = self.heard.iter().enumerate().filter_map(|(tick, heard)| match heard {
            Heard::Frame(index) => Some(tick as i64 - *index as i64),
            Heard::Lost | Heard::Stretch | Heard::Silence | Heard::Starved => None,
        });
        let first = offsets.next();
        first.is_some() && offsets.all(|offset| Some(offset) == first)
    }
}

/// Runs a buffer over frames that arrive and ticks that happen at the given times.
fn run(sent: &[Sent], tick_at_us: impl Fn(u64) -> i64, ticks: u64, first_seq: u16) -> Run {
    run_with(JitterConfig::default(), sent, tick_at_us, ticks, first_seq)
}

fn run_with(
    config: JitterConfig,
    sent: &[Sent],
    tick_at_us: impl Fn(u64) -> i64,
    ticks: u64,
    first_seq: u16,
) -> Run {
    let start = Instant::now();
    let at = |us: i64| start + Duration::from_micros(us as u64);
    let mut arrivals = sent.to_vec();
    arrivals.sort_by_key(|frame| frame.at_us);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut buffer = JitterBuffer::new(config);
    let mut run = Run { heard: Vec::new(), stats: JitterStats::default(), slots_max: 0 };
    for tick in 0..ticks {
        let now_us = tick_at_us(tick);
        while let Some(frame) = arrivals.next_if(|frame| frame.at_us <= now_us) {
            let seq = first_seq.wrapping_add(frame.index as u16);
            buffer.handle_frame(at(frame.at_us), seq, frame.talkspurt_end, frame.index);
            run.slots_max = run.slots_max.max(buffer.slots.len());
        }
        run.heard.push(match buffer.poll_playout(at(now_us)) {
            Playout::Frame { seq, payload } => {
                assert_eq!(seq, first_seq.wrapping_add(payload as u16));
                Heard::Frame(payload)
            }
            Playout::Lost { seq, next } => {
                if let Some((distance, next)) = next {
                    assert!((1..=50).contains(&distance));
                    assert_eq!(first_seq.wrapping_add(*next as u16), seq.wrapping_add(distance));
                }
                Heard::Lost
            }
            Playout::Stretch => Heard::Stretch,
            Playout::Silence => Heard::Silence,
            Playout::Starved => Heard::Starved,
        });
    }
    run.stats = buffer.stats();
    run
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

fn after_start(run: &Run) -> &[Heard] {
    let start = run.heard.iter().position(|heard| *heard != Heard::Silence).unwrap();
    &run.heard[start..]
}

#[test]
fn steady_network_plays_everything_after_the_initial_delay() {
    let run = run(&talk(500, |_| 0), on_time, 500, 65_300); // The numbers wrap on the way.
    let start = run.heard.iter().position(|heard| *heard == Heard::Frame(0)).unwrap();
    assert_eq!(start, 4, "60 ms after the first arrival at 5 ms, rounded up to a tick");
    assert!(run.is_aligned());
    assert_eq!(run.frames(), (0..496).collect::<Vec<_>>());
    assert_eq!(run.stats.target_ms, 40.0);
    assert_eq!(run.stats.jitter_ms, 0.0);
    assert_eq!((run.stats.lost, run.stats.late, run.stats.duplicate), (0, 0, 0));
}

#[test]
fn busy_machines_at_both_ends_neither_drop_nor_insert() {
    // Up to 30 ms of lateness at sender, receiver and player, with talkspurts and silences.
    for seed in 0..50 {
        let mut rng = StdRng::seed_from_u64(seed);
        let noise: Vec<i64> = (0..1_001).map(|_| rng.random_range(0..30_000)).collect();
        let mut sent = talk(1_000, |_| rng.random_range(0..30_000));
        sent.retain(|frame| frame.index % 100 < 70);
        for frame in &mut sent {
            frame.talkspurt_end = frame.index % 100 == 69;
        }
        let run = run(&sent, |tick| on_time(tick) + noise[tick as usize], 1_001, 7);
        assert_eq!(run.count(Heard::Stretch), 0, "seed {seed}");
        assert_eq!(run.count(Heard::Lost), 0, "seed {seed}");
        assert_eq!(run.stats.skipped, 0, "seed {seed}");
        assert_eq!(run.count(Heard::Starved), 0, "seed {seed}");
        assert!(run.is_aligned(), "seed {seed}");
    }
}

#[test]
fn hiccups_of_a_machine_lose_frames_but_do_not_move_playout() {
    // Every 4 s nothing gets through for 100 ms, first right at the beginning.
    let sent = talk(1_000, |index| match index % 200 {
        phase @ 10..15 => (15 - phase as i64) * FRAME_PERIOD_US,
        _ => 0,
    });
    let run = run(&sent, on_time, 1_003, 0);
    assert!(run.is_aligned());
    assert_eq!((run.stats.stretched, run.stats.skipped, run.stats.lost), (0, 0, 0));
    assert!((1..=10).contains(&run.stats.late), "{} late", run.stats.late);
}

#[test]
fn announced_silence_is_silence_and_keeps_its_length() {
    let mut sent = talk(400, |_| 0);
    sent.retain(|frame| !(100..300).contains(&frame.index));
    sent[99].talkspurt_end = true;
    let run = run(&sent, on_time, 410, 0);
    assert!(run.is_aligned());
    assert_eq!(run.count(Heard::Lost), 0);
    assert_eq!(run.frames().len(), 200);
    assert_eq!(run.stats.lost, 0);
}

#[test]
fn unannounced_gap_is_loss_with_the_next_frame_for_recovery() {
    let mut sent = talk(100, |_| 0);
    sent.retain(|frame| frame.index != 50);
    let run = run(&sent, on_time, 100, 0);
    assert!(run.is_aligned());
    assert_eq!(run.count(Heard::Lost), 1);
    assert_eq!(run.stats.lost, 1);

    let mut buffer = JitterBuffer::new(JitterConfig::default());
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
    let sent = talk(200, |index| if index == 100 { 150_000 } else { 0 });
    let run = run(&sent, on_time, 205, 0);
    assert_eq!(run.count(Heard::Lost), 1);
    assert_eq!((run.stats.late, run.stats.lost, run.stats.received), (1, 0, 200));
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
    // After 4 s the network starts to delay every second frame by 150 ms.
    let sent = talk(1_500, |index| if index > 200 && index % 2 == 0 { 150_000 } else { 0 });
    let run = run(&sent, on_time, 1_500, 0);
    let last_5_s = &run.heard[1_250..];
    assert!(last_5_s.iter().all(|heard| matches!(heard, Heard::Frame(_))), "{last_5_s:?}");
    assert!((170.0..=200.0).contains(&run.stats.target_ms), "{}", run.stats.target_ms);
    assert!(run.stats.stretched >= 4);
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
    assert_eq!(run.stats.target_ms, 40.0);
    let last_5_s = &run.heard[2_250..];
    assert!(last_5_s.iter().all(|heard| matches!(heard, Heard::Frame(_) | Heard::Silence)));
    let delay_frames = last_5_s.iter().enumerate().find_map(|(tick, heard)| match heard {
        Heard::Frame(index) => Some(2_250 + tick as i64 - *index as i64),
        Heard::Lost | Heard::Stretch | Heard::Silence | Heard::Starved => None,
    });
    assert!(delay_frames.unwrap() <= 5, "{delay_frames:?}");
    assert_eq!(run.stats.skipped, 0, "only silence was shortened");
}

#[test]
fn delay_shrinks_slowly_inside_a_talkspurt_that_never_ends() {
    let sent = talk(3_000, |index| if index < 500 && index % 2 == 0 { 300_000 } else { 0 });
    let run = run(&sent, on_time, 3_000, 0);
    assert!(run.stats.skipped > 0);
    let skips: Vec<u64> = run
        .frames()
        .windows(2)
        .filter(|pair| pair[0] > 500 && pair[1] - pair[0] == 2)
        .map(|pair| pair[1])
        .collect();
    assert!(
        skips.windows(2).all(|pair| pair[1] - pair[0] >= 50),
        "at most one a second: {skips:?}"
    );
    assert!(after_start(&run)[2_500..].iter().all(|heard| matches!(heard, Heard::Frame(_))));
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
    assert_eq!(run.count(Heard::Lost), 5, "100 ms are concealed, then playout waits");
    assert_eq!(run.frames().len(), 495);
    assert_eq!((run.stats.late, run.stats.lost), (5, 0));
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
    assert!(run.is_aligned());
    assert_eq!(run.frames().len(), 200);
    assert_eq!(run.count(Heard::Lost), 0);
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
    assert_eq!(heard, 200 - 3);
    assert_eq!(buffer.stats().out_of_window, 20);
}

#[test]
fn burst_before_anything_was_heard_does_not_become_delay() {
    // A relay replays 2 s when somebody joins; then frames come as they are spoken.
    for spacing_us in [0, 400, 700] {
        let sent = talk(600, |index| match index {
            0..100 => (100 - index as i64) * (FRAME_PERIOD_US - spacing_us),
            _ => 0,
        });
        let run = run(&sent, on_time, 610, 0);
        let delays: Vec<i64> = run
            .heard
            .iter()
            .enumerate()
            .filter_map(|(tick, heard)| match heard {
                Heard::Frame(index) => Some(tick as i64 - *index as i64),
                Heard::Lost | Heard::Stretch | Heard::Silence | Heard::Starved => None,
            })
            .collect();
        assert!(delays.len() > 495, "{spacing_us} µs apart: {} frames", delays.len());
        assert!(delays[100] <= 7, "{spacing_us} µs apart: {} frames of delay", delays[100]);
        assert!(delays[10..].iter().all(|delay| *delay == delays[10]), "{spacing_us} µs apart");
    }
}

#[test]
fn hours_of_clock_drift_are_followed_with_single_moves() {
    for drift_ppm in [-200_i64, 200] {
        // Two hours of talk without a pause, and the sender's clock drifts.
        let frames = 2 * 3_600 * 50;
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
        let moved_ms = 2 * 3_600 * 200 / 1_000;
        let moves = run.stats.skipped + run.stats.stretched;
        assert!((moved_ms / 20 - 6..=moved_ms / 20 + 6).contains(&moves), "{moves} moves");
        assert_eq!(run.stats.late, 0, "{drift_ppm} ppm");
        assert!(run.stats.buffer_ms <= 200.0);
        assert!(run.count(Heard::Lost) == 0);
    }
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
    slack_ms: u64,
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
        let slack = Duration::from_millis(self.slack_ms);
        let config = JitterConfig { slack, slack_talking: slack * 2, ..JitterConfig::default() };
        let run = run_with(config, &sent, |tick| ticks[tick as usize], 700, self.first_seq);
        assert_eq!(run.heard.len(), 700);
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
        slack_ms: 15,
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
        slack_ms in 0..100_u64,
    ) {
        let network = Rough { seed, first_seq, loss, duplication, jitter_us, pause, tick_noise_us, slack_ms };
        network.is_survived();
    }

    /// A network without jitter or loss loses, conceals, drops and inserts nothing.
    #[test]
    fn clean_network_is_transparent(first_seq: u16, phase_us in 0..20_000_i64, delay_us in 0..300_000_i64) {
        let sent = talk(400, |_| delay_us);
        let run = run(&sent, |tick| on_time(tick) + phase_us, 420, first_seq);
        prop_assert!(run.is_aligned());
        prop_assert_eq!(run.stats.lost + run.stats.late + run.stats.skipped + run.stats.stretched, 0);
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

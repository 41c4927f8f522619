//! The delay: what a network asks for, no more and no longer.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

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

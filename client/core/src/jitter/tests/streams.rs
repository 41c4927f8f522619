//! Streams that begin, stand still and begin anew.

use super::*;

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

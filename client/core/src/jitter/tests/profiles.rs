//! Delays of an audience, and changes of the profile.

use tribune_protocol::limits::{MAX_PLAYOUT_DELAY, MIN_PLAYOUT_DELAY};

use super::*;

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

/// Standstills of 2.5, 3.2 and 8 s, as of a path that carries nothing for a while: what comes after them is all
/// played by a recorder, and an audience's delay stays within its bounds.
#[test]
fn a_recorder_keeps_what_a_stall_has_gathered() {
    let late = |index: u64| match index {
        150..275 => (275 - index as i64) * FRAME_PERIOD_US,
        400..560 => (560 - index as i64) * FRAME_PERIOD_US,
        900..1_300 => (1_300 - index as i64) * FRAME_PERIOD_US,
        _ => 0,
    };
    let sent = talk(2_000, late);
    let delay = Duration::from_secs(2);
    let run = run_with(JitterConfig::reliable(delay), &sent, on_time, 2_800, 0);
    assert!(run.frames().into_iter().eq(0..2_000), "{:?}", run.stats);
    assert_eq!((run.stats.skipped, run.stats.out_of_window, run.stats.lost), (0, 0, 0));
    let run = run_with(JitterConfig::audience(delay), &sent, on_time, 2_800, 0);
    let JitterStats { received, skipped, out_of_window, .. } = run.stats;
    assert_eq!(run.frames().len() as u64 + skipped, received);
    assert_eq!(received + out_of_window, 2_000, "each frame is accounted for");
    assert!(out_of_window > 0, "8 s are more than an audience waits for");
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

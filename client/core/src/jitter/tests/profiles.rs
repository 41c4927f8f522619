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

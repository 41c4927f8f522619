//! Silence, lost frames, late ones and duplicates.

use super::*;

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

/// Frames of an outage are counted as lost, unless it is so long that it may have been silence.
#[test]
fn frames_of_an_outage_are_lost() {
    for (outage, lost) in [(3..=3, 1), (200..=209, 10), (200..=299, 100)] {
        let mut sent = talk(600, |_| 0);
        sent.retain(|frame| !outage.contains(&frame.index));
        let stats = run(&sent, on_time, 700, 0).stats;
        assert_eq!((stats.lost, stats.received), (lost, 600 - lost), "{outage:?}");
    }
    let mut sent = talk(600, |_| 0);
    sent.retain(|frame| !(200..320).contains(&frame.index));
    let stats = run(&sent, on_time, 700, 0).stats;
    assert!(stats.lost <= 5, "{}", stats.lost);
}

//! Score of what a listener heard: frames playable, gaps, delays. Pure: what was played when goes in, figures
//! come out.

use std::time::Duration;

use tribune_client::audio::FRAME_PERIOD;
use tribune_client::audio::playout::SoundOrigin;

/// Time between two periods up to which one follows the other: they begin at samples.
const SLACK: Duration = Duration::from_millis(1);

/// A frame period of a speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing was sent: silence.
    Silent,
    /// A frame was sent.
    Sent,
}

/// A frame period of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Played {
    /// Its beginning, since the capture of the speaker's first sample.
    pub(crate) at: Duration,
    /// The frame that it stands for, if it does.
    pub(crate) seq: Option<u16>,
    pub(crate) origin: SoundOrigin,
}

/// A frame that was played from what the speaker said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeardFrame {
    pub(crate) seq: u16,
    /// Time from the capture of its first sample to the beginning of its playout.
    pub(crate) mouth_to_ear: Duration,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Score {
    /// Frames sent.
    pub(crate) sent: u32,
    /// Those of them played, from their own bytes or a later packet's.
    pub(crate) playable: u32,
    /// Those of them recovered from a later packet, by FEC or DRED.
    pub(crate) recovered: u32,
    /// Periods that were made up.
    pub(crate) made_up: u32,
    /// Longest time in which nothing that the speaker said was heard, though the speaker spoke.
    pub(crate) longest_gap: Duration,
    /// The frames played, in order of playing.
    pub(crate) heard: Vec<HeardFrame>,
}

impl Score {
    /// Scores what a listener played, in order, against a speaker's periods; a frame's number is its place in
    /// `slots`.
    pub(crate) fn of(slots: &[Slot], periods: &[Played]) -> Self {
        let mut heard = Vec::new();
        let (mut recovered, mut made_up) = (0, 0);
        for period in periods {
            match (period.origin, period.seq) {
                (SoundOrigin::Packet | SoundOrigin::Recovered, Some(seq)) => {
                    let captured = FRAME_PERIOD * u32::from(seq);
                    let mouth_to_ear = period.at.saturating_sub(captured);
                    heard.push(HeardFrame { seq, mouth_to_ear });
                    recovered += u32::from(period.origin == SoundOrigin::Recovered);
                }
                (SoundOrigin::Concealed, _) => made_up += 1,
                (SoundOrigin::Starved, _)
                | (SoundOrigin::Packet | SoundOrigin::Recovered, None) => {}
            }
        }
        let is_sent = |slot: &&Slot| matches!(slot, Slot::Sent);
        let mut seqs: Vec<u16> = heard.iter().map(|frame| frame.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let longest_gap = longest_by_time(slots, periods).max(longest_by_frame(slots, &seqs));
        Self {
            sent: slots.iter().filter(is_sent).count() as u32,
            playable: seqs.len() as u32,
            recovered,
            made_up,
            longest_gap,
            heard,
        }
    }

    /// Delays of the frames played that were captured in a span, sorted.
    pub(crate) fn delays(&self, from: Duration, to: Duration) -> Vec<Duration> {
        let captured = |frame: &&HeardFrame| {
            let at = FRAME_PERIOD * u32::from(frame.seq);
            from <= at && at < to
        };
        let mut delays: Vec<Duration> =
            self.heard.iter().filter(captured).map(|frame| frame.mouth_to_ear).collect();
        delays.sort_unstable();
        delays
    }
}

/// Value of sorted durations below which that share of them lies, in milliseconds; `None` of none.
pub(crate) fn percentile_ms(sorted: &[Duration], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[(last as f64 * share).round() as usize].as_secs_f64() * 1e3)
}

/// Longest time in which the speaker spoke and nothing of it was played. Periods that no frame stands for are
/// reckoned by the delay of the last one that had one.
fn longest_by_time(slots: &[Slot], periods: &[Played]) -> Duration {
    let is_sent = |seq: usize| matches!(slots.get(seq), Some(Slot::Sent));
    // Time from the capture of the last frame to its turn; unknown before the first.
    let mut delay: Option<Duration> = None;
    let (mut gap, mut longest) = (None, Duration::ZERO);
    for (n, &Played { at, seq, origin }) in periods.iter().enumerate() {
        let usual_end = at + FRAME_PERIOD;
        let end = periods.get(n + 1).map_or(usual_end, |next| next.at.min(usual_end));
        let place = |delay: Duration| {
            let captured = at.saturating_sub(delay) + SLACK;
            (captured.as_micros() / FRAME_PERIOD.as_micros()) as usize
        };
        let named = match (seq, origin) {
            (Some(seq), _) => {
                delay = Some(at.saturating_sub(FRAME_PERIOD * u32::from(seq)));
                Some(usize::from(seq))
            }
            (None, SoundOrigin::Starved) => delay.map(place),
            // A period that was put in: the frame's turn is still to come.
            (None, SoundOrigin::Packet | SoundOrigin::Recovered | SoundOrigin::Concealed) => {
                delay = delay.map(|delay| delay + FRAME_PERIOD);
                delay.map(place)
            }
        };
        let is_made_up = matches!(origin, SoundOrigin::Concealed | SoundOrigin::Starved);
        gap = (is_made_up && named.is_some_and(is_sent)).then(|| match gap {
            Some((from, to)) if at <= to + SLACK => (from, end),
            Some(_) | None => (at, end),
        });
        longest = longest.max(gap.map_or(Duration::ZERO, |(from, to)| to - from));
    }
    longest
}

/// Longest run of frames sent one after the other of which none was played; `played` is sorted.
fn longest_by_frame(slots: &[Slot], played: &[u16]) -> Duration {
    let (mut run, mut longest) = (0, 0);
    for (seq, slot) in slots.iter().enumerate() {
        let is_lost = match slot {
            Slot::Silent => false,
            Slot::Sent => played.binary_search(&(seq as u16)).is_err(),
        };
        run = if is_lost { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    FRAME_PERIOD * longest
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Slot = Slot::Sent;

    fn frame(seq: u16) -> (Option<u16>, SoundOrigin) {
        (Some(seq), SoundOrigin::Packet)
    }

    fn recovered(seq: u16) -> (Option<u16>, SoundOrigin) {
        (Some(seq), SoundOrigin::Recovered)
    }

    fn made_up(seq: impl Into<Option<u16>>) -> (Option<u16>, SoundOrigin) {
        (seq.into(), SoundOrigin::Concealed)
    }

    /// Whole periods one after the other, three periods after the capture.
    fn periods(played: &[(Option<u16>, SoundOrigin)]) -> Vec<Played> {
        let at = |n: usize| FRAME_PERIOD * (n as u32 + 3);
        let played = played.iter().enumerate();
        played.map(|(n, &(seq, origin))| Played { at: at(n), seq, origin }).collect()
    }

    #[test]
    fn what_is_played_from_packets_and_copies_is_playable() {
        let slots = [SENT; 4];
        let all = [frame(0), recovered(1), made_up(2), frame(3)];
        let score = Score::of(&slots, &periods(&all));
        assert_eq!((score.sent, score.playable, score.recovered, score.made_up), (4, 3, 1, 1));
        assert_eq!(score.longest_gap, FRAME_PERIOD);
        let delays = score.delays(Duration::ZERO, FRAME_PERIOD * 4);
        assert_eq!(delays, [FRAME_PERIOD * 3; 3]);
        assert_eq!(percentile_ms(&delays, 0.5), Some(60.0));
        assert_eq!(percentile_ms(&[], 0.5), None);
    }

    #[test]
    fn a_longer_delay_shows_from_the_frame_on_that_it_begins_with() {
        let slots = [SENT; 4];
        let all = [frame(0), made_up(None), frame(1), frame(2)];
        let score = Score::of(&slots, &periods(&all));
        let ms: Vec<u128> =
            score.heard.iter().map(|frame| frame.mouth_to_ear.as_millis()).collect();
        assert_eq!(ms, [60, 80, 80]);
        assert_eq!(score.playable, 3);
        assert_eq!(score.longest_gap, FRAME_PERIOD);
        assert_eq!(score.delays(FRAME_PERIOD, FRAME_PERIOD * 2), [FRAME_PERIOD * 4]);
    }

    #[test]
    fn a_gap_lasts_as_long_as_the_speaker_speaks() {
        let mut slots = [SENT; 12];
        slots[6..9].fill(Slot::Silent);
        let ms = Duration::from_millis;
        let mut all = periods(&[frame(0), made_up(1), made_up(None), made_up(2)]);
        // Once faded out, it is looked for a frame at each tick, 80 ms after the capture of what is due.
        let starved =
            |n: u64| Played { at: ms(140 + 5 * n), seq: None, origin: SoundOrigin::Starved };
        all.extend((0..24).map(starved));
        all.push(Played { at: ms(260), seq: Some(9), origin: SoundOrigin::Packet });
        // Frames 1 to 5 and the period that was put in; 6 to 8 were silence.
        assert_eq!(Score::of(&slots, &all).longest_gap, FRAME_PERIOD * 6);
        // A stall of 30 ms is not one of two frame periods.
        let mut short = periods(&[frame(0)]);
        short.extend((0..6_u64).map(|n| Played { at: ms(80 + 5 * n), ..starved(0) }));
        let late = [1, 2].map(|seq| (ms(90) + FRAME_PERIOD * seq.into(), seq));
        let origin = SoundOrigin::Packet;
        short.extend(late.map(|(at, seq)| Played { at, seq: Some(seq), origin }));
        assert_eq!(Score::of(&[SENT; 3], &short).longest_gap, ms(30));
    }

    #[test]
    fn two_gaps_with_a_silence_between_them_are_two() {
        let slots = [SENT; 9];
        let at = |ms, seq| Played {
            at: Duration::from_millis(ms),
            seq: Some(seq),
            origin: SoundOrigin::Concealed,
        };
        let all = [at(60, 0), at(80, 1), at(160, 5)];
        assert_eq!(longest_by_time(&slots, &all), FRAME_PERIOD * 2);
    }

    #[test]
    fn frames_that_were_skipped_without_a_sound_are_a_gap() {
        let slots = [SENT; 9];
        let all = [frame(0), frame(6), frame(7)];
        let score = Score::of(&slots, &periods(&all));
        assert_eq!((score.playable, score.longest_gap), (3, FRAME_PERIOD * 5));
    }
}

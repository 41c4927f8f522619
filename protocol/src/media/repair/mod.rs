//! Repair of one track: which frames are missing, when the neighbour that they come from is asked for them,
//! and for how long. Pure; relays and clients share it. SPEC.md section 6.
//!
//! A frame is found missing by a later one, or by the clock where none follows. It is waited for as long as
//! frames have come late by themselves, overtaken or repaired further up; then it is asked for once a round
//! trip, while an answer can be in time.

mod above;
mod reach;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::above::Above;
pub use self::reach::Reach;
use super::FrameSource;
use super::datagram::Frame;
use crate::ids::Seq;
use crate::limits::{FRAME_PERIOD, MAX_NACK_FRAMES};

/// A jump further than this is a new beginning, not a gap: 60 s.
const MAX_JUMP: i16 = 3_000;
/// Missing frames that are remembered: two seconds, as long as a relay keeps any.
const MAX_MISSING: usize = 100;
/// Questions for one frame. At 30 % loss each way, eight leave one frame in two hundred.
const MAX_ASKED: u8 = 8;
/// Frames that the clock finds missing in a row; after that it is silence whose announcement was lost,
/// or an outage.
const MAX_OVERDUE: i16 = 2;
/// Questions at once; one more for each frame that comes. A speaker who leaves out numbers cannot have a
/// thousand listeners ask more often than they hear.
const MAX_QUESTIONS: u8 = 25;
/// Time for which an overdue frame is waited for at least: a period in which it waits to be bundled, and
/// the lateness of a busy machine.
const OVERDUE_AFTER: Duration = Duration::from_millis(40);
/// The longest wait for a frame that may come by itself.
const MAX_WAIT: Duration = Duration::from_millis(200);
/// Least time between two questions for a frame: a turn of a busy relay.
const MIN_RETRY: Duration = Duration::from_millis(10);
/// Frames in a row that were asked for in vain, from which on each is asked for once: nobody has them.
const FUTILE: u8 = 16;
/// The same from which on only each eighth frame that comes lets another be asked for: the speaker leaves out
/// numbers, and a thousand listeners would ask.
const HOPELESS: u8 = 64;
/// See [`HOPELESS`].
const HOPELESS_SHARE: u16 = 8;
/// Frames whose answers may still turn out to have been needless.
const MAX_ANSWERED: usize = 16;

/// Frames in a row that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first.
    pub first: Seq,
    /// The length, 1 to [`MAX_NACK_FRAMES`].
    pub count: u8,
}

/// Place of a frame in its track, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub seq: Seq,
    /// Silence follows.
    pub talkspurt_end: bool,
    /// Frames of its talkspurt before it, where it says so.
    pub onset: Option<u8>,
}

/// News of a track, told by a frame that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noted {
    /// Frames that it has found missing.
    pub missing: u8,
    /// It had been found missing itself.
    pub was_missing: bool,
    /// It came because it had been lost: asked for, said again, or late from further up. One that was only overtaken
    /// did not.
    pub repaired: bool,
}

/// Follows one track. See the module's documentation.
#[derive(Debug, Clone)]
pub struct Repair {
    reach: Reach,
    newest: Option<Newest>,
    /// In the order of their places.
    missing: VecDeque<Missing>,
    /// Frames that came as answers, oldest first.
    answered: VecDeque<Answered>,
    /// Wait for frames that the way here may have reordered.
    wait: Duration,
    above: Above,
    /// Questions that are left.
    questions: u8,
    /// Mean deviation of the arrivals from the media clock.
    jitter: Duration,
    /// Frames in a row that were given up.
    futile: u8,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    seq: Seq,
    talkspurt_end: bool,
    at: Instant,
    /// Frames after it that the clock has found missing.
    overdue: i16,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    seq: Seq,
    /// Only the clock has found it missing: nothing has come after it.
    is_overdue: bool,
    since: Instant,
    asked: u8,
    /// The next question.
    due: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Answered {
    seq: Seq,
    since: Instant,
}

impl From<&Frame> for Place {
    fn from(frame: &Frame) -> Self {
        Self { seq: frame.seq, talkspurt_end: frame.talkspurt_end, onset: frame.onset }
    }
}

impl Repair {
    /// A track of which nothing has come.
    #[must_use]
    pub const fn new(reach: Reach) -> Self {
        Self {
            reach,
            newest: None,
            missing: VecDeque::new(),
            answered: VecDeque::new(),
            wait: Duration::ZERO,
            above: Above::new(),
            questions: MAX_QUESTIONS,
            jitter: Duration::ZERO,
            futile: 0,
        }
    }

    /// Bounds within which frames are asked for.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        self.reach
    }

    /// Sets the bounds from now on.
    pub const fn set_reach(&mut self, reach: Reach) {
        self.reach = reach;
    }

    /// Takes a frame that has come for the first time, by itself or as an answer. Announced silence is no gap.
    pub fn handle_frame(&mut self, now: Instant, place: Place, source: FrameSource) -> Noted {
        let Place { seq, talkspurt_end, .. } = place;
        if self.futile < HOPELESS || seq.0.is_multiple_of(HOPELESS_SHARE) {
            self.questions = MAX_QUESTIONS.min(self.questions + 1);
        }
        let Some(newest) = self.newest else {
            let missing = self.begin(now, place, MAX_MISSING as i16);
            return Noted { missing, ..Noted::default() };
        };
        let mut noted = self.take_missing(now, place, source);
        let ahead = seq.since(newest.seq);
        if (-MAX_JUMP..=0).contains(&ahead) {
            return noted;
        }
        let between = ahead.saturating_sub(1);
        if newest.talkspurt_end || !(0..=self.reach.max_run).contains(&between) {
            let most = if ahead > 0 { between } else { MAX_MISSING as i16 };
            noted.missing = noted.missing.saturating_add(self.begin(now, place, most));
            return noted;
        }
        self.note_jitter(now, newest, ahead);
        let overdue = if talkspurt_end { 0 } else { (newest.overdue - ahead).max(0) };
        self.newest = Some(Newest { seq, talkspurt_end, at: now, overdue });
        for missing in self.missing.iter_mut().filter(|missing| missing.is_overdue) {
            // What the clock had found is certain now.
            if seq.since(missing.seq) > 0 {
                missing.is_overdue = false;
                noted.missing = noted.missing.saturating_add(1);
            }
        }
        if talkspurt_end {
            self.missing.retain(|missing| !missing.is_overdue);
        }
        for n in newest.overdue.min(between) + 1..=between {
            self.push(now, newest.seq.plus(n.unsigned_abs()), false);
            noted.missing = noted.missing.saturating_add(1);
        }
        noted
    }

    /// Takes a frame that has come before. If it comes by itself after its answer, the question was needless.
    pub fn handle_duplicate(&mut self, now: Instant, seq: Seq, source: FrameSource) {
        let is_it = |answered: &Answered| answered.seq == seq;
        let Some(at) = self.answered.iter().position(is_it) else { return };
        let lateness = now.saturating_duration_since(self.answered[at].since);
        match source {
            FrameSource::Sent => {
                self.above.handle_needless();
                self.note_late(lateness);
            }
            FrameSource::Late => self.above.handle_late(lateness),
            FrameSource::Repair | FrameSource::Redundancy => return,
        }
        self.answered.remove(at);
    }

    /// The next frames in a row to ask for now, while an answer can be of use;
    /// the neighbour is `round_trip` away. To be called until it is `None`.
    pub fn poll_ask(&mut self, now: Instant, round_trip: Duration) -> Option<Gap> {
        self.note_overdue(now);
        self.give_up(now, round_trip);
        let (is_futile, overdue_asks) = (self.futile >= FUTILE, self.reach.overdue_asks);
        let is_due =
            |missing: &Missing| missing.asks(overdue_asks, is_futile) && missing.due <= now;
        let at = self.missing.iter().position(is_due)?;
        self.questions = self.questions.checked_sub(1)?;
        let first = self.missing[at].seq;
        let retry = (round_trip + round_trip / 4).max(MIN_RETRY);
        let mut count = 0;
        for missing in self.missing.iter_mut().skip(at) {
            let follows = missing.seq == first.plus(count.into());
            if !follows || !is_due(missing) || usize::from(count) == MAX_NACK_FRAMES {
                break;
            }
            missing.asked += 1;
            missing.due = now + retry;
            count += 1;
        }
        Some(Gap { first, count })
    }

    /// When to call [`Self::poll_ask`] next; may be early.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (is_futile, overdue_asks) = (self.futile >= FUTILE, self.reach.overdue_asks);
        let asks = |missing: &&Missing| self.questions > 0 && missing.asks(overdue_asks, is_futile);
        let asks = self.missing.iter().filter(asks);
        [asks.map(|missing| missing.due).min(), self.overdue_at()].into_iter().flatten().min()
    }

    /// A talkspurt begins, or a track with other numbers. Gives the number of frames that it began with and that
    /// have not come, `most` at most.
    fn begin(&mut self, now: Instant, place: Place, most: i16) -> u8 {
        let Place { seq, talkspurt_end, onset } = place;
        self.missing.retain(|missing| !missing.is_overdue);
        self.newest = Some(Newest { seq, talkspurt_end, at: now, overdue: 0 });
        let onset = i16::from(onset.unwrap_or(0)).min(most).min(self.reach.max_run);
        for before in (1..=onset.unsigned_abs()).rev() {
            self.push(now, seq.minus(before), false);
        }
        u8::try_from(onset).unwrap_or(u8::MAX)
    }

    fn push(&mut self, now: Instant, seq: Seq, is_overdue: bool) {
        if self.missing.len() == MAX_MISSING {
            self.missing.pop_front();
        }
        let due = if is_overdue { now } else { now + self.wait.max(self.above.wait()) };
        self.missing.push_back(Missing { seq, is_overdue, since: now, asked: 0, due });
    }

    fn take_missing(
        &mut self,
        now: Instant,
        Place { seq, talkspurt_end, .. }: Place,
        source: FrameSource,
    ) -> Noted {
        let is_redundant = source == FrameSource::Redundancy;
        let at = self.missing.iter().position(|missing| missing.seq == seq);
        let Some(missing) = at.and_then(|at| self.missing.remove(at)) else {
            return Noted { repaired: is_redundant, ..Noted::default() };
        };
        let Missing { since, is_overdue, asked, .. } = missing;
        if talkspurt_end {
            self.forget_silence(seq);
        }
        match source {
            FrameSource::Repair => {
                self.futile = 0;
                // It was lost: there is less reason to wait.
                self.wait -= self.wait / 32;
                self.above.handle_own();
                if self.answered.len() == MAX_ANSWERED {
                    self.answered.pop_front();
                }
                self.answered.push_back(Answered { seq, since });
            }
            FrameSource::Sent if asked > 0 && !is_overdue => {
                self.note_late(now.saturating_duration_since(since));
            }
            FrameSource::Late => self.above.handle_late(now.saturating_duration_since(since)),
            FrameSource::Sent | FrameSource::Redundancy => {}
        }
        let was_missing = asked > 0 || !is_overdue;
        let repaired = source != FrameSource::Sent && (was_missing || is_redundant);
        Noted { missing: u8::from(is_overdue && asked > 0), was_missing, repaired }
    }

    /// The frames after the end of a talkspurt, up to one that has come, were never sent.
    fn forget_silence(&mut self, end: Seq) {
        let mut next = end.plus(1);
        self.missing.retain(|missing| {
            let is_silence = missing.seq == next;
            if is_silence {
                next = next.plus(1);
            }
            !is_silence
        });
    }

    /// A frame that was asked for came by itself, so long after it was found missing.
    fn note_late(&mut self, lateness: Duration) {
        self.wait = self.wait.max(with_margin(lateness)).min(MAX_WAIT);
    }

    fn note_jitter(&mut self, now: Instant, newest: Newest, ahead: i16) {
        let expected = FRAME_PERIOD * ahead.unsigned_abs().into();
        let deviation = now.saturating_duration_since(newest.at).abs_diff(expected);
        // RFC 3550 section 6.4.1.
        self.jitter = self.jitter - self.jitter / 16 + deviation / 16;
    }

    /// When the clock finds the next frame missing.
    fn overdue_at(&self) -> Option<Instant> {
        let newest = self.newest?;
        if newest.talkspurt_end || newest.overdue >= MAX_OVERDUE {
            return None;
        }
        let periods = u32::from(newest.overdue.unsigned_abs()) + 1;
        let margin = OVERDUE_AFTER.max(self.jitter * 4).max(self.wait).max(self.above.wait());
        Some(newest.at + FRAME_PERIOD * periods + margin)
    }

    fn note_overdue(&mut self, now: Instant) {
        while self.overdue_at().is_some_and(|at| at <= now)
            && let Some(newest) = &mut self.newest
        {
            newest.overdue += 1;
            let seq = newest.seq.plus(newest.overdue.unsigned_abs());
            self.push(now, seq, true);
        }
    }

    fn give_up(&mut self, now: Instant, round_trip: Duration) {
        let patience = self.reach.patience;
        let futile = &mut self.futile;
        self.missing.retain(|missing| {
            let is_kept = now <= missing.since + patience;
            *futile = futile.saturating_add(u8::from(!is_kept && !missing.is_overdue));
            is_kept
        });
        for missing in &mut self.missing {
            if now + round_trip > missing.since + patience {
                missing.asked = MAX_ASKED;
            }
        }
    }
}

/// A wait that covers such a lateness.
fn with_margin(lateness: Duration) -> Duration {
    lateness + lateness / 8
}

impl Missing {
    /// Whether there is another question for it.
    const fn asks(&self, overdue_asks: u8, is_futile: bool) -> bool {
        let most = match (is_futile, self.is_overdue) {
            (true, _) => 1,
            (false, true) => overdue_asks,
            (false, false) => MAX_ASKED,
        };
        self.asked < most
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(60);

    #[test]
    fn a_gap_is_asked_for_once_a_round_trip_until_it_comes() {
        let mut track = Track::new();
        track.frames(&[65_533, 65_534]);
        track.frame(2, true);
        assert_eq!(track.asked(), [(65_535, 3)]);
        track.wait(74);
        assert_eq!(track.asked(), []);
        assert!(track.repair.handle_frame(track.now, place(0), FrameSource::Repair).repaired);
        track.wait(1);
        assert_eq!(track.asked(), [(65_535, 1), (1, 1)]);
        track.wait(75);
        assert_eq!(track.asked(), [(65_535, 1), (1, 1)]);
    }

    #[test]
    fn what_cannot_come_in_time_is_not_asked_for() {
        let mut track = Track::new();
        track.frames(&[0, 2]);
        let asked = track.repair.poll_ask(track.now, Duration::from_millis(401));
        assert_eq!(asked, None);
        let noted = track.repair.handle_frame(track.now, place(1), FrameSource::Sent);
        assert!(noted.was_missing && !noted.repaired, "it was only overtaken");
    }

    #[test]
    fn announced_silence_outages_and_new_beginnings_are_no_gaps() {
        let mut track = Track::new();
        track.frame(7, true);
        track.wait(2_000);
        assert_eq!(track.asked(), []);
        for seq in [90, 102, 20_000] {
            track.frame(seq, false);
            assert_eq!(track.asked(), []);
        }
        track.frame(20_011, false);
        assert_eq!(track.asked(), [(20_001, 10)]);
    }

    #[test]
    fn frames_that_a_talkspurt_began_with_are_asked_for() {
        let mut track = Track::new();
        track.onset(90, 2);
        assert_eq!(track.asked(), [(88, 2)], "the first that is heard of a track");
        track.frame(91, true);
        track.wait(2_000);
        track.onset(240, 3);
        track.wait(1);
        assert_eq!(track.asked(), [(237, 3)]);
        track.wait(60);
        track.again(238, true);
        track.onset(241, 4);
        track.wait(15);
        assert_eq!(track.asked(), [(237, 1), (239, 1)], "not again by the next one");
        track.frame(242, true);
        track.onset(244, 9);
        assert_eq!(track.asked(), [(243, 1)], "not what has come before it");
        track.wait(2_000);
        track.onset(20_000, 200);
        assert_eq!(track.asked(), [(19_990, 10)], "bounded");
    }

    #[test]
    fn the_clock_finds_the_last_frames_missing_and_then_takes_it_for_silence() {
        let mut track = Track::new();
        track.frames(&[0, 1]);
        track.wait(59);
        assert_eq!(track.asked(), []);
        track.wait(1);
        assert_eq!(track.asked(), [(2, 1)]);
        let mut asked = Vec::new();
        for _ in 0..100 {
            track.wait(20);
            asked.extend(track.asked());
        }
        assert_eq!(asked, [(3, 1), (2, 1), (3, 1)], "each twice");
        assert_eq!(track.repair.poll_timeout(), None);
    }

    #[test]
    fn a_needless_question_teaches_to_wait() {
        let mut track = Track::new();
        track.frames(&[0, 2]);
        assert_eq!(track.asked(), [(1, 1)]);
        // It comes by itself.
        track.wait(30);
        track.again(1, false);
        track.frames(&[3, 5]);
        assert_eq!(track.asked(), [], "30 ms are not over");
        track.wait(34);
        assert_eq!(track.asked(), [(4, 1)]);
        // The answer comes, and then the frame itself.
        track.wait(61);
        track.again(4, true);
        track.wait(20);
        track.repair.handle_duplicate(track.now, Seq(4), FrameSource::Sent);
        assert_eq!(track.repair.wait, Duration::from_micros(129_375), "115 ms and an eighth");
    }

    #[test]
    fn whoever_leaves_out_numbers_is_asked_no_more_often_than_they_send() {
        let mut track = Track::new();
        let mut asked = 0;
        for n in 0..200 {
            track.frame(8 * n, false);
            // Each fourth is answered, so that there is reason to go on.
            if n % 4 == 1 {
                track.again(8 * n - 1, true);
            }
            for _ in 0..20 {
                track.wait(8);
                asked += track.asked().len();
            }
        }
        assert!((200..=300).contains(&asked), "{asked}");
    }

    #[test]
    fn an_answer_that_was_needed_teaches_nothing() {
        let mut track = Track::new();
        track.frames(&[0, 2]);
        assert_eq!(track.asked(), [(1, 1)]);
        track.wait(61);
        track.again(1, true);
        track.repair.handle_duplicate(track.now, Seq(1), FrameSource::Repair);
        assert_eq!(track.repair.wait, Duration::ZERO);
    }

    #[test]
    fn a_long_buffer_asks_for_an_outage_until_the_end_of_a_talkspurt_shows_that_it_was_silence() {
        let mut track = Track::new();
        track.repair.set_reach(Reach::within(Duration::from_secs(2)));
        track.frame(7, false);
        track.wait(1_600);
        track.asked();
        track.frame(87, false);
        track.wait(1);
        assert_eq!(track.asked(), [(10, 50), (60, 27)], "what the clock found has been asked for");
        track.wait(60);
        let end = Place { talkspurt_end: true, ..place(20) };
        assert!(track.repair.handle_frame(track.now, end, FrameSource::Repair).repaired);
        track.wait(15);
        assert_eq!(track.asked(), [(8, 12), (88, 1)], "and the next one is overdue");
    }

    #[test]
    fn a_redundant_frame_mends_and_teaches_nothing() {
        let mut track = Track::new();
        track.frames(&[0, 2]);
        assert_eq!(track.asked(), [(1, 1)]);
        track.wait(20);
        let again = place(1);
        assert!(track.repair.handle_frame(track.now, again, FrameSource::Redundancy).repaired);
        track.repair.handle_duplicate(track.now, Seq(2), FrameSource::Redundancy);
        let next = place(3);
        let noted = track.repair.handle_frame(track.now, next, FrameSource::Redundancy);
        assert!(noted.repaired, "its turn was missed");
        assert_eq!(track.repair.wait, Duration::ZERO);
    }

    #[test]
    fn what_nobody_has_is_asked_for_once_and_then_rarely() {
        let mut track = Track::new();
        let asked: Vec<_> = (0..100)
            .map(|n| {
                track.frame(2 * n, false);
                track.wait(20);
                track.asked().len()
            })
            .collect();
        assert!(asked[40..60].iter().all(|asked| *asked == 1), "{asked:?}");
        let late: usize = asked[92..].iter().sum();
        assert_eq!(late, 8 / (usize::from(HOPELESS_SHARE) / 2), "{asked:?}");
    }

    proptest! {
        /// Over any loss and delay, each way: what is asked for has not come and lies before something that
        /// has, or is overdue; no frame is asked for more often than [`MAX_ASKED`], nor before a round trip
        /// is over; and there is an end to it.
        #[test]
        fn asked_for_are_missing_frames(
            fates in prop::collection::vec(prop::option::weighted(0.7, 0_u64..150), 1..200),
            round_trip_ms in 1_u64..200,
        ) {
            let round_trip = Duration::from_millis(round_trip_ms);
            let start = Instant::now();
            let mut arrivals: Vec<(u64, u16)> = fates
                .iter()
                .enumerate()
                .filter_map(|(n, late)| late.map(|late| (n as u64 * 20 + late, n as u16)))
                .collect();
            arrivals.sort_unstable();
            let mut repair = Repair::new(Reach::LIVE);
            let mut came = std::collections::BTreeSet::new();
            let mut asked: BTreeMap<u16, (u8, u64)> = BTreeMap::new();
            let end = fates.len() as u64 * 20 + 3_000;
            for ms in 0..end {
                let now = start + Duration::from_millis(ms);
                while arrivals.first().is_some_and(|(at, _)| *at <= ms) {
                    let (_, n) = arrivals.remove(0);
                    repair.handle_frame(now, place(n), FrameSource::Sent);
                    came.insert(n);
                }
                while let Some(gap) = repair.poll_ask(now, round_trip) {
                    for n in gap.first.0..gap.first.0 + u16::from(gap.count) {
                        prop_assert!(!came.contains(&n));
                        let newest = came.last().copied().unwrap_or_default();
                        prop_assert!(n <= newest + MAX_OVERDUE as u16);
                        let (times, last) = asked.entry(n).or_insert((0, 0));
                        prop_assert!(*times == 0 || ms >= *last + round_trip_ms);
                        (*times, *last) = (*times + 1, ms);
                        prop_assert!(*times <= MAX_ASKED);
                    }
                }
                prop_assert!(repair.poll_timeout().is_none_or(|at| at > now));
            }
            prop_assert_eq!(repair.poll_timeout(), None);
        }
    }

    fn place(seq: u16) -> Place {
        Place { seq: Seq(seq), talkspurt_end: false, onset: None }
    }

    struct Track {
        repair: Repair,
        now: Instant,
    }

    impl Track {
        fn new() -> Self {
            Self { repair: Repair::new(Reach::LIVE), now: Instant::now() }
        }

        /// Frames, each when it is due.
        fn frames(&mut self, seqs: &[u16]) {
            for seq in seqs {
                self.frame(*seq, false);
            }
        }

        fn frame(&mut self, seq: u16, talkspurt_end: bool) {
            if let Some(newest) = self.repair.newest
                && !newest.talkspurt_end
                && (1..20).contains(&Seq(seq).since(newest.seq))
            {
                let ahead = Seq(seq).since(newest.seq).unsigned_abs();
                self.now = self.now.max(newest.at + FRAME_PERIOD * u32::from(ahead));
            }
            self.repair.handle_frame(
                self.now,
                Place { talkspurt_end, ..place(seq) },
                FrameSource::Sent,
            );
        }

        fn onset(&mut self, seq: u16, before: u8) {
            let place = Place { onset: Some(before), ..place(seq) };
            self.repair.handle_frame(self.now, place, FrameSource::Sent);
        }

        fn again(&mut self, seq: u16, is_repair: bool) {
            let source = if is_repair { FrameSource::Repair } else { FrameSource::Sent };
            let noted = self.repair.handle_frame(self.now, place(seq), source);
            assert!(noted.was_missing);
            assert_eq!(noted.repaired, is_repair);
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn asked(&mut self) -> Vec<(u16, u8)> {
            let ask = || self.repair.poll_ask(self.now, ROUND_TRIP);
            std::iter::from_fn(ask).map(|gap| (gap.first.0, gap.count)).collect()
        }
    }
}

//! How late frames are: the statistics that a playout delay is chosen from.
//!
//! Pure. Times are microseconds since the buffer's first frame. The *transit* of a frame is its
//! arrival minus its place on the media clock (sequence number × 20 ms); only differences of
//! transits mean anything, as the two clocks have no common zero (RFC 3550, 6.4.1).

use std::collections::VecDeque;

use super::{FRAME_PERIOD_US, JitterConfig};

/// Transits that are remembered: 6 s of speech, so that one frame in fifty stands on six, and a network that has
/// become quicker is believed within that.
const WINDOW_FRAMES: usize = 300;
/// Age in µs from which a transit is forgotten. Clocks that differ by 200 ppm move 12 ms apart in a
/// minute, less than a frame period.
const WINDOW_AGE_US: i64 = 60_000_000;
/// Frames after which the target is computed anew; a late frame does it at once.
const RECOMPUTE_FRAMES: u32 = 10;
/// Transits needed before the target may go down: one second of speech.
const TRUSTED_FRAMES: usize = 50;
/// A transit that differs from the quickest by more µs than this belongs to another clock: the
/// sender stood still or was restarted. A frame that is this late is of no use either.
const DISCONTINUITY_US: i64 = 1_000_000;
/// Share of frames that the target lets come in time. The rest is recovered or concealed, which at
/// two in a hundred is hardly heard; waiting for them would be.
const IN_TIME: f64 = 0.98;
/// Repaired frames within [`REPAIRED_LATELY_US`] from which on their delay is waited for: one in a hundred or so. Fewer are
/// not heard where they are concealed.
const REPAIRED_FRAMES: usize = 3;
/// See [`REPAIRED_FRAMES`]: 8 s.
const REPAIRED_LATELY_US: i64 = 8_000_000;
/// The same while their delay is waited for: 20 s. Where a copy of each frame mends most losses, the few questions that
/// are left come in ones and twos, and a delay that comes and goes with them is worse than any that stays.
const REPAIRED_STILL_US: i64 = 20_000_000;
/// Frames given up, within as many as the window has, from which on there is time for recovering them: one in a
/// hundred.
const LOST_FRAMES: usize = 3;
/// Repaired frames whose delay is remembered: 25 s at a tenth. Each further question makes a frame late by a round
/// trip, and those who need three are too few for a window to tell how often they come.
const REPAIRED_REMEMBERED: usize = 128;
/// Age in µs from which that is forgotten.
const REPAIRED_AGE_US: i64 = 30_000_000;
/// Share of the repaired frames whose delay is not waited for, as 1/n: those that took one question more
/// than all others.
const REPAIRED_SHARE: usize = 64;
/// Slow frames that do not count at all: one hiccup of a busy machine makes three or four frames
/// late, and is over before a longer delay could help.
const HICCUP_FRAMES: usize = 3;

/// Time in µs for which the delay inside a talkspurt at least keeps to the largest target: a target that comes and goes
/// with single frames is not to stretch speech up and down.
const HOLD_US: i64 = 2_000_000;
/// Time in µs after which a network at least counts as settled: what the delay is longer than it needs to be then, by
/// less than is worth a cut in speech, is cut after all.
const SETTLED_US: i64 = 5_000_000;

/// Time in µs after the first second for which a stream keeps to the delay that it began with, unless a pause comes: most
/// have one, and whoever loses frames needs the delay after all.
const BEGUN_US: i64 = 8_000_000;

/// Frames that come less than this many µs apart, each quicker than the one before, have been held up together.
const BURST_GAP_US: i64 = 5_000;
/// Frames of such a burst that count. A standstill of 100 ms makes five frames late, but it is one event: two of them in
/// six seconds are not worth 100 ms of delay all the time, as the frames are waited for and the delay is gone within a
/// second.
const BURST_FRAMES: u32 = 2;

/// Recent delays of one track.
#[derive(Debug, Clone)]
pub(super) struct DelayWindow {
    /// Oldest first.
    transits: VecDeque<Transit>,
    min_transit_us: Option<i64>,
    target_us: i64,
    held: Peak<HOLD_US>,
    settled: Peak<SETTLED_US>,
    /// Lateness of repaired frames, oldest first.
    repaired: VecDeque<Repaired>,
    /// Their delay is waited for.
    waits_for_repaired: bool,
    /// Until when a stream keeps to the delay that it began with, and that delay.
    begun: Option<(i64, i64)>,
    /// Interarrival jitter of RFC 3550, A.8.
    jitter_us: f64,
    last: Option<Transit>,
    /// Frames that have come in a burst with the last one, that one included.
    burst_frames: u32,
    since_recompute: u32,
    /// Whether the window has ever been trusted: from then on the network is known.
    is_measured: bool,
    /// Frames recorded so far, and that count when each of the last [`LOST_FRAMES`] was given up, oldest first.
    recorded: u64,
    losses: VecDeque<u64>,
    scratch: Vec<i64>,
}

/// The largest target of the last `SPAN_US` to twice as long; 0 while nothing has been measured.
#[derive(Debug, Clone, Copy, Default)]
struct Peak<const SPAN_US: i64> {
    since_us: i64,
    before_us: i64,
    now_us: i64,
}

/// Lateness of a repaired frame over the quickest, in µs.
#[derive(Debug, Clone, Copy)]
struct Repaired {
    at_us: i64,
    late_us: i64,
}

/// The transit of one frame, in µs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transit {
    pub(super) at_us: i64,
    pub(super) us: i64,
    /// It had been missing, and was asked for.
    pub(super) is_repaired: bool,
}

impl DelayWindow {
    pub(super) fn new(config: &JitterConfig) -> Self {
        Self {
            transits: VecDeque::with_capacity(WINDOW_FRAMES),
            min_transit_us: None,
            target_us: config.min_us(),
            held: Peak::default(),
            settled: Peak::default(),
            repaired: VecDeque::with_capacity(REPAIRED_REMEMBERED),
            waits_for_repaired: false,
            begun: None,
            jitter_us: 0.0,
            last: None,
            burst_frames: 0,
            since_recompute: 0,
            is_measured: false,
            recorded: 0,
            losses: VecDeque::with_capacity(LOST_FRAMES),
            scratch: Vec::with_capacity(WINDOW_FRAMES),
        }
    }

    /// Forgets all transits (they belong to a clock that is gone), but not the target: the network
    /// is still the same.
    pub(super) fn forget(&mut self) {
        self.transits.clear();
        self.min_transit_us = None;
        self.last = None;
        self.burst_frames = 0;
    }

    /// Whether this transit cannot belong to the same clock as those before it.
    pub(super) fn is_discontinuous(&self, transit_us: i64) -> bool {
        self.min_transit_us.is_some_and(|min| (transit_us - min).abs() > DISCONTINUITY_US)
    }

    /// Whether a frame with this transit is quicker than all in the window.
    pub(super) fn is_quickest(&self, transit_us: i64) -> bool {
        self.min_transit_us.is_some_and(|min| transit_us < min)
    }

    /// Takes another choice of delays.
    pub(super) fn handle_config(&mut self, config: &JitterConfig) {
        self.target_us = self.target_us.max(config.min_us()).min(config.max_us());
        self.held = Peak::default();
        self.settled = Peak::default();
        self.begun = None;
        self.recompute(config);
    }

    /// Takes the transit of a frame that arrived.
    pub(super) fn record(&mut self, config: &JitterConfig, transit: Transit, is_late: bool) {
        let Transit { at_us, us: transit_us, .. } = transit;
        let mut is_burst = false;
        if let Some(last) = self.last.replace(transit) {
            self.jitter_us += ((transit_us - last.us).abs() as f64 - self.jitter_us) / 16.0;
            is_burst = at_us - last.at_us < BURST_GAP_US && transit_us < last.us;
        }
        self.burst_frames = if is_burst { self.burst_frames.saturating_add(1) } else { 1 };
        let is_slow = self.min_transit_us.is_some_and(|min| transit_us >= min);
        if self.burst_frames > BURST_FRAMES && is_slow && !transit.is_repaired {
            return;
        }
        while self.transits.front().is_some_and(|oldest| at_us - oldest.at_us > WINDOW_AGE_US) {
            self.transits.pop_front();
            self.since_recompute = RECOMPUTE_FRAMES;
        }
        if self.transits.len() == WINDOW_FRAMES {
            self.transits.pop_front();
        }
        self.transits.push_back(transit);
        self.recorded += 1;
        if transit.is_repaired {
            self.note_repaired(transit);
        }
        if !self.is_measured && self.is_trusted() {
            self.is_measured = true;
            self.begun = Some((at_us + BEGUN_US, config.initial_us()));
        }
        self.since_recompute += 1;
        if is_late || self.since_recompute >= RECOMPUTE_FRAMES {
            self.recompute(config);
        } else {
            self.min_transit_us =
                Some(self.min_transit_us.map_or(transit_us, |min| min.min(transit_us)));
        }
    }

    /// Transit of the quickest frame in the window.
    pub(super) fn min_transit_us(&self) -> Option<i64> {
        self.min_transit_us
    }

    /// How long the quickest frame should wait before it is played.
    pub(super) fn target_us(&self) -> i64 {
        self.target_us
    }

    /// The largest target of the last [`HOLD_US`] to twice as long.
    pub(super) fn held_target_us(&self) -> i64 {
        self.held.us().max(self.begun_us()).max(self.target_us)
    }

    /// The largest target of the last [`SETTLED_US`] to twice as long.
    pub(super) fn settled_target_us(&self) -> i64 {
        self.settled.us().max(self.begun_us()).max(self.target_us)
    }

    /// Whether the stream has begun so recently that what it has lost does not say yet what it will lose.
    pub(super) fn is_beginning(&self) -> bool {
        !self.is_measured || self.begun_us() > 0
    }

    fn begun_us(&self) -> i64 {
        let last_us = self.last.map_or(i64::MIN, |last| last.at_us);
        self.begun.filter(|(until_us, _)| last_us < *until_us).map_or(0, |(_, delay_us)| delay_us)
    }

    /// A frame was given up.
    pub(super) fn handle_loss(&mut self) {
        if self.losses.len() == LOST_FRAMES {
            self.losses.pop_front();
        }
        self.losses.push_back(self.recorded);
    }

    /// Whether so much is lost that it is worth waiting for the frame after it, which has what recovers it.
    fn is_lossy(&self) -> bool {
        let is_recent = |first: &u64| self.recorded - first < WINDOW_FRAMES as u64;
        self.losses.len() == LOST_FRAMES && self.losses.front().is_some_and(is_recent)
    }

    /// Whether the target stands on measurements, of now or of this network earlier.
    pub(super) fn is_measured(&self) -> bool {
        self.is_measured
    }

    /// Whether enough has been measured to do with less delay than there is.
    fn is_trusted(&self) -> bool {
        self.transits.len() >= TRUSTED_FRAMES
    }

    pub(super) fn jitter_us(&self) -> f64 {
        self.jitter_us
    }

    /// The target is the delay, over that of the quickest frame, within which [`IN_TIME`] of the
    /// frames in the window came (Moon, Kurose and Towsley, "Packet audio playout delay adjustment:
    /// performance bounds and algorithms", 1998), and a margin. Where frames are lost it is a frame period more.
    fn recompute(&mut self, config: &JitterConfig) {
        self.since_recompute = 0;
        let Some(min) = self.transits.iter().map(|transit| transit.us).min() else { return };
        self.min_transit_us = Some(min);
        self.scratch.clear();
        self.scratch.extend(self.transits.iter().map(|transit| transit.us - min));
        let in_time = (self.scratch.len() as f64 * IN_TIME) as usize;
        let rank = in_time.min((self.scratch.len() - 1).saturating_sub(HICCUP_FRAMES));
        let (_, &mut lateness_us, _) = self.scratch.select_nth_unstable(rank);
        let recovery_us = if self.is_lossy() { FRAME_PERIOD_US } else { 0 };
        let lateness_us = (lateness_us + recovery_us).max(self.repaired_lateness_us());
        let floor_us = if self.is_trusted() { config.min_us() } else { self.target_us };
        let wanted_us = lateness_us.saturating_add(config.margin_us());
        self.target_us = wanted_us.max(floor_us).min(config.max_us());
        // What a stream begins with is a guess, and kept by itself: see `begun_us`.
        if let Some(last) = self.last.filter(|_| self.is_trusted()) {
            self.held.handle_target(last.at_us, self.target_us);
            self.settled.handle_target(last.at_us, self.target_us);
        }
    }

    fn note_repaired(&mut self, transit: Transit) {
        let Some(min_us) = self.min_transit_us else { return };
        if self.repaired.len() == REPAIRED_REMEMBERED {
            self.repaired.pop_front();
        }
        self.repaired.push_back(Repaired { at_us: transit.at_us, late_us: transit.us - min_us });
    }

    /// The delay within which nearly all repaired frames came, over that of the quickest frame; 0 if there
    /// have hardly been any lately.
    fn repaired_lateness_us(&mut self) -> i64 {
        let now_us = self.last.map_or(0, |last| last.at_us);
        self.repaired.retain(|repaired| now_us - repaired.at_us < REPAIRED_AGE_US);
        let span_us = match self.waits_for_repaired {
            true => REPAIRED_STILL_US,
            false => REPAIRED_LATELY_US,
        };
        let is_lately = |repaired: &&Repaired| now_us - repaired.at_us < span_us;
        self.waits_for_repaired = self.repaired.iter().filter(is_lately).count() >= REPAIRED_FRAMES;
        if !self.waits_for_repaired {
            return 0;
        }
        self.scratch.clear();
        self.scratch.extend(self.repaired.iter().map(|repaired| repaired.late_us));
        let rank = self.scratch.len() - 1 - self.scratch.len() / REPAIRED_SHARE;
        *self.scratch.select_nth_unstable(rank).1
    }
}

impl<const SPAN_US: i64> Peak<SPAN_US> {
    fn handle_target(&mut self, at_us: i64, target_us: i64) {
        if at_us - self.since_us >= SPAN_US {
            *self = Self { since_us: at_us, before_us: self.now_us, now_us: 0 };
        }
        self.now_us = self.now_us.max(target_us);
    }

    fn us(&self) -> i64 {
        self.now_us.max(self.before_us)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The target after 10 s in which each n-th frame was 90 ms late.
    fn target_us(nth: i64, is_repaired: bool) -> i64 {
        let config = JitterConfig::default();
        let mut window = DelayWindow::new(&config);
        for n in 0..500 {
            let is_slow = n % nth == 0;
            let us = if is_slow { 90_000 } else { 0 };
            let transit = Transit { at_us: n * 20_000, us, is_repaired: is_slow && is_repaired };
            window.record(&config, transit, false);
        }
        window.target_us()
    }

    #[test]
    fn repaired_frames_are_waited_for_and_a_few_slow_ones_are_not() {
        assert_eq!(target_us(80, false), 10_000, "four hiccups");
        assert_eq!(target_us(80, true), 99_000, "four repairs and the margin");
        assert_eq!(target_us(200, true), 10_000, "two are concealed");
    }

    #[test]
    fn standstills_are_chased_if_there_are_many() {
        let config = JitterConfig::default();
        // 100 ms without a frame, and then five at once, each so many frames.
        let target_us = |each: i64| {
            let mut window = DelayWindow::new(&config);
            for n in 0..900 {
                let us = if n % each < 5 { (5 - n % each) * 20_000 } else { 0 };
                let at_us = n * 20_000 + us;
                window.record(&config, Transit { at_us, us, is_repaired: false }, us > 0);
            }
            window.target_us()
        };
        assert_eq!(target_us(150), 10_000, "each three seconds");
        assert!(target_us(40) > 80_000, "each 0.8 s: {}", target_us(40));
    }

    #[test]
    fn a_target_is_held_for_seconds_after_it_went_down() {
        let config = JitterConfig::default();
        let mut window = DelayWindow::new(&config);
        let mut at_us = 0;
        let mut run = |frames: i64, us: i64| {
            for _ in 0..frames {
                at_us += FRAME_PERIOD_US;
                window.record(&config, Transit { at_us, us, is_repaired: false }, false);
            }
            (window.target_us(), window.held_target_us(), window.settled_target_us())
        };
        assert_eq!(run(440, 0), (10_000, 35_000, 35_000), "what the stream began with, for 9 s");
        assert_eq!(run(20, 0), (10_000, 10_000, 10_000));
        assert_eq!(run(100, 90_000), (99_000, 99_000, 99_000));
        assert_eq!(run(290, 0), (99_000, 99_000, 99_000), "a hundred of the window are late");
        let (target_us, held_us, settled_us) = run(100, 0);
        assert_eq!((target_us, held_us, settled_us), (10_000, 99_000, 99_000));
        let (_, held_us, settled_us) = run(130, 0);
        assert_eq!((held_us, settled_us), (10_000, 99_000), "2 to 4 s later");
        assert_eq!(run(350, 0), (10_000, 10_000, 10_000), "5 to 10 s later");
    }

    #[test]
    fn another_choice_of_delays_is_not_kept_waiting_by_the_first() {
        let audience = JitterConfig::audience(Duration::from_millis(500));
        let mut window = DelayWindow::new(&audience);
        for n in 0..100 {
            let at_us = n * FRAME_PERIOD_US;
            window.record(&audience, Transit { at_us, us: 0, is_repaired: false }, false);
        }
        assert_eq!(window.held_target_us(), 500_000);
        window.handle_config(&JitterConfig::live());
        let at_us = 100 * FRAME_PERIOD_US;
        window.record(&JitterConfig::live(), Transit { at_us, us: 0, is_repaired: false }, true);
        assert_eq!((window.held_target_us(), window.settled_target_us()), (10_000, 10_000));
    }

    #[test]
    fn repaired_frames_are_waited_for_as_long_as_they_last() {
        let config = JitterConfig::default();
        let mut window = DelayWindow::new(&config);
        let mut at_us = 0;
        let mut run = |frames: i64, late_us: &dyn Fn(i64) -> i64| {
            for n in 0..frames {
                at_us += FRAME_PERIOD_US;
                let us = late_us(n);
                window.record(&config, Transit { at_us, us, is_repaired: us > 0 }, false);
            }
            window.target_us()
        };
        // A tenth; every second of these takes two questions, one in a hundred three.
        let questions = |n: i64| match n {
            n if n % 10 > 0 => 0,
            n if n % 1_000 == 250 => 240_000,
            n if n % 20 == 0 => 160_000,
            _ => 80_000,
        };
        assert_eq!(run(1_200, &questions), 169_000, "one of a hundred and twenty is too few");
        assert_eq!(
            run(260, &|n| if n % 100 == 0 { 80_000 } else { 0 }),
            169_000,
            "no need to go down"
        );
        assert_eq!(run(1_020, &|_| 0), 10_000, "they have ended");
    }

    #[test]
    fn repaired_frames_that_come_now_and_then_are_waited_for_all_the_time() {
        let config = JitterConfig::default();
        let mut window = DelayWindow::new(&config);
        let mut at_us = 0;
        let mut targets = Vec::new();
        // Three in a row of seconds, then one each six seconds.
        let questions = |n: i64| (n < 500 && n % 150 == 100) || (n >= 500 && n % 300 == 200);
        for n in 0..3_000 {
            at_us += FRAME_PERIOD_US;
            let us = if questions(n) { 80_000 } else { 0 };
            window.record(&config, Transit { at_us, us, is_repaired: us > 0 }, false);
            targets.push(window.target_us());
        }
        assert_eq!(targets[90], 10_000);
        assert!(targets[420..].iter().all(|us| *us == 89_000), "it comes and goes");
    }

    #[test]
    fn where_frames_are_lost_there_is_time_for_what_recovers_them() {
        let config = JitterConfig::default();
        let mut window = DelayWindow::new(&config);
        let mut run = |frames: i64, lost_each: i64| {
            for n in 0..frames {
                if n % lost_each == 0 {
                    window.handle_loss();
                }
                window.record(&config, Transit { at_us: 0, us: 0, is_repaired: false }, false);
            }
            window.target_us()
        };
        assert_eq!(run(1_000, 200), 10_000, "one in two hundred");
        assert_eq!(run(1_000, 50), 29_000, "one in fifty: a frame period and the margin");
        assert_eq!(run(400, 400), 10_000, "and no more");
    }
}

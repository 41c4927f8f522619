//! Adaptive jitter buffer for one track.
//!
//! Pure: no clock, no I/O. Frames go in as they arrive ([`JitterBuffer::handle_frame`]); whenever playout has
//! used up what it has, it asks for more by the time at which that will be heard
//! ([`JitterBuffer::poll_playout`], [`PlayoutSchedule`]).
//!
//! Sequence numbers count frame periods, so each frame has its *place* on a media clock, and playout
//! walks over the places, whether a frame is there or not. The buffer chooses the delay between the sender's
//! clock and playout, to the sample:
//!
//! - The wanted delay (*target*) follows the measured delays, see [`delay`].
//! - Where a talkspurt begins, playout moves freely: silence is made longer or shorter.
//! - Inside a talkspurt the player stretches time a little ([`JitterBuffer::wanted_stretch`]).
//! - A frame that is missing is waited for while nothing newer has come, as it is late rather than lost, while the
//!   delay is shorter than wanted by a frame period, and in the first seconds, in which losses tell of others. What is
//!   concealed meanwhile becomes delay if it comes, and has stood for it if it does not.
//! - Frames are dropped only where they have piled up, at a stream's beginning and after a stall.
//!
//! A place without its frame is [`Playout::Lost`] inside a talkspurt and [`Playout::Silence`] after
//! a talkspurt end. If nothing follows for [`JitterConfig::starved_after`], the stream has stalled:
//! the places are then [`Playout::Starved`], and may still be played if they come.

mod answer;
mod config;
mod delay;
mod history;
mod moves;
mod place;
mod schedule;

use std::collections::BTreeMap;
use std::time::Instant;

pub use self::answer::{Arrival, JitterStats, Playout};
pub use self::config::JitterConfig;
use self::delay::{DelayWindow, Transit};
use self::history::History;
pub use self::moves::STRETCH_OVER_SAMPLES;
use self::place::{
    first_place, frames_up, micros, nearest_place, place_us, samples_us, since_us, transit_us,
    us_samples,
};
pub use self::schedule::PlayoutSchedule;
use tribune_protocol::limits::FRAME_PERIOD;

/// [`FRAME_PERIOD`] in the unit of the buffer's arithmetic.
const FRAME_PERIOD_US: i64 = FRAME_PERIOD.as_micros() as i64;
/// Frame period in samples at 48 kHz.
const FRAME_SAMPLES: i64 = 960;
/// Frames that a relay can replay at once, 2 s: they may be ahead of playout beside what waits for its delay.
const REPLAY_FRAMES: u64 = 100;
/// Frames that may come at once where all are kept, 10 s: as long as a relay keeps what waits for a stream.
const BACKLOG_FRAMES: u64 = 500;
/// Places ahead of playout that a frame may have: a delay that a stall of 10 s has made longer by as much, and what has
/// gathered meanwhile.
const AHEAD_FRAMES_MAX: u64 = 1_125;
/// Periods between two frames of a talkspurt that count as lost, 2 s; of more nobody can tell whether they were silence
/// (SPEC.md section 5.2).
const LOST_FRAMES_MAX: u64 = 100;
/// How far behind playout a frame is still merely late, in places; from there on the stream was
/// restarted with another number (`MAX_MISORDER` of RFC 3550, A.1, in 20 ms frames: 2.56 s).
const BEHIND_FRAMES_MAX: u64 = 128;
/// Places after a lost frame in which a later one may tell of it: 1 s, as long as Opus tells back (DRED).
const LATER_FRAMES_MAX: u64 = 50;
/// Place of a track's first frame is at least this, so that there are places before it.
const FIRST_PLACE: u64 = 1 << 32;

/// An adaptive jitter buffer for one track whose frames carry a `P`.
#[derive(Debug)]
pub struct JitterBuffer<P> {
    config: JitterConfig,
    /// When the first frame arrived; `None` before that.
    epoch: Option<Instant>,
    phase: Phase,
    /// The place that the next poll is about.
    next: u64,
    /// First place that has been neither played nor given up as lost. Below `next` in a silence or stall.
    floor: u64,
    /// Frames that wait, by place: all within `AHEAD_FRAMES_MAX` of playout.
    slots: BTreeMap<u64, Slot<P>>,
    /// Places behind `floor` whose frame has arrived.
    arrived: History,
    /// Places behind `floor` that were given up as lost.
    given_up: History,
    delays: DelayWindow,
    /// Playout time of a place minus its time on the media clock, in µs; `None` before anything was played.
    base_us: Option<i64>,
    /// The number that would confirm that the stream was restarted.
    restart_candidate: Option<u16>,
    /// See [`Self::is_settling`].
    settled_at_us: i64,
    /// The frames that wait have piled up in a stall, and go if they make the delay too long.
    is_piled_up: bool,
    /// Frame periods in a row for which the next place has been waited for.
    waited_periods: u32,
    /// Frames in a row that were waited for and did not come.
    waits_in_vain: u8,
    counts: JitterStats,
}

#[derive(Debug)]
struct Slot<P> {
    talkspurt_end: bool,
    payload: P,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of the stream has been played yet.
    Fresh,
    /// After a talkspurt end.
    Silent,
    Talking,
    Starved,
}

impl<P> JitterBuffer<P> {
    /// An empty buffer.
    pub fn new(config: JitterConfig) -> Self {
        Self {
            delays: DelayWindow::new(&config),
            config,
            epoch: None,
            phase: Phase::Fresh,
            next: FIRST_PLACE,
            floor: FIRST_PLACE,
            slots: BTreeMap::new(),
            arrived: History::default(),
            given_up: History::default(),
            base_us: None,
            restart_candidate: None,
            settled_at_us: i64::MIN,
            is_piled_up: false,
            waited_periods: 0,
            waits_in_vain: 0,
            counts: JitterStats::default(),
        }
    }

    /// Takes other choices from now on. The delay goes there by stretching, or in a silence; no frame is dropped for it.
    pub fn set_config(&mut self, config: JitterConfig) {
        self.config = config;
        self.delays.handle_config(&self.config);
        if self.phase != Phase::Fresh {
            self.settled_at_us = i64::MIN;
        }
        self.is_piled_up = false;
    }

    /// Takes a frame that arrived at `now`.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        seq: u16,
        talkspurt_end: bool,
        payload: P,
    ) -> Arrival {
        self.take(now, seq, Slot { talkspurt_end, payload }, false)
    }

    /// The same for a frame that had been missing and was asked for. While there are such, their delay is waited for.
    pub fn handle_repaired(
        &mut self,
        now: Instant,
        seq: u16,
        talkspurt_end: bool,
        payload: P,
    ) -> Arrival {
        self.take(now, seq, Slot { talkspurt_end, payload }, true)
    }

    fn take(&mut self, now: Instant, seq: u16, slot: Slot<P>, is_repaired: bool) -> Arrival {
        if self.epoch.is_none() {
            self.epoch = Some(now);
            self.start_at(first_place(FIRST_PLACE, seq));
        }
        let now_us = self.epoch.map_or(0, |epoch| since_us(epoch, now));
        let mut place = nearest_place(self.next, seq);
        if self.is_out_of_window(place) {
            if self.restart_candidate != Some(seq) {
                self.restart_candidate = Some(seq.wrapping_add(1));
                self.counts.out_of_window += 1;
                return if place > self.next { Arrival::TooFarAhead } else { Arrival::Late };
            }
            self.delays.forget();
            place = first_place(self.next.max(self.floor), seq);
            self.start_at(place);
        }
        self.restart_candidate = None;
        if place < self.floor {
            return self.handle_too_late(now_us, place, is_repaired);
        }
        if self.slots.contains_key(&place) {
            self.counts.duplicate += 1;
            return Arrival::Duplicate;
        }
        self.counts.received += 1;
        let transit_us = transit_us(now_us, place);
        let is_talking = self.is_talking();
        // At a stream's beginning, frames slower than this one may be a replay of the past: their
        // delay says nothing about the network.
        let is_replay = self.is_settling(now_us) && self.delays.is_quickest(transit_us);
        if is_replay || (self.delays.is_discontinuous(transit_us) && !is_talking) {
            self.delays.forget();
        }
        let transit = Transit { at_us: now_us, us: transit_us, is_repaired };
        let is_waited_for = self.waited_periods > 0 && place == self.next;
        self.delays.record(&self.config, transit, is_waited_for);
        self.slots.insert(place, slot);
        Arrival::Buffered
    }

    /// Answers what to play from `at` on, the time at which its first sample will be heard. To be asked when all
    /// that was answered before has been decoded and less is left of it than is to be played now.
    pub fn poll_playout(&mut self, at: Instant) -> Playout<'_, P> {
        let Some(epoch) = self.epoch else { return silence(FRAME_PERIOD_US) };
        let at_us = since_us(epoch, at);
        if self.is_talking() && self.move_while_talking(at_us) {
            return Playout::Stretch;
        }
        if !self.is_talking() {
            let wait_us = match self.anchor(at_us) {
                Some(wait_us) if wait_us > 0 => Some(wait_us),
                Some(due_us) => self.begin_talkspurt(at_us, -due_us),
                None => {
                    self.pass_silence(at_us);
                    Some(FRAME_PERIOD_US)
                }
            };
            if let Some(wait_us) = wait_us {
                return match self.phase {
                    Phase::Starved => Playout::Starved,
                    Phase::Fresh | Phase::Silent | Phase::Talking => silence(wait_us),
                };
            }
        }
        self.play_next()
    }

    /// Counters and gauges as they are now.
    pub fn stats(&self) -> JitterStats {
        let end = self.slots.last_key_value().map_or(self.next, |(&last, _)| last + 1);
        JitterStats {
            buffer_ms: end.saturating_sub(self.next) as f64 * FRAME_PERIOD.as_secs_f64() * 1e3,
            target_ms: self.delays.target_us() as f64 / 1e3,
            delay_ms: self.delay_us().unwrap_or(0) as f64 / 1e3,
            jitter_ms: self.delays.jitter_us() / 1e3,
            ..self.counts
        }
    }

    /// Whether the track is in a talkspurt, as far as playout has come.
    pub fn is_talking(&self) -> bool {
        self.phase == Phase::Talking
    }

    /// Whether frames wait in the buffer.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The delay that the quickest frame is given, in µs; unknown until something was played.
    fn delay_us(&self) -> Option<i64> {
        Some(self.base_us? - self.delays.min_transit_us()?)
    }

    /// The delay that is wanted, in µs: the target, or while too little is known the delay to begin with.
    fn least_delay_us(&self) -> i64 {
        let target_us = self.delays.target_us();
        if self.delays.is_measured() { target_us } else { target_us.max(self.config.initial_us()) }
    }

    /// Begins a stream, or begins it anew, with a talkspurt at `place`, which is far from all places before.
    fn start_at(&mut self, place: u64) {
        self.counts.skipped += self.slots.len() as u64;
        self.slots.clear();
        self.phase = Phase::Fresh;
        self.base_us = None;
        self.waited_periods = 0;
        self.next = place - frames_up(self.least_delay_us());
        self.pass_to(self.next);
    }

    /// Whether the stream has begun so recently that its delay is still being found.
    fn is_settling(&self, now_us: i64) -> bool {
        self.phase == Phase::Fresh || now_us < self.settled_at_us
    }

    fn is_out_of_window(&self, place: u64) -> bool {
        let is_waiting = !self.is_talking() && self.slots.is_empty();
        let is_ahead = place >= self.next + self.ahead_frames() && !is_waiting;
        is_ahead || place + BEHIND_FRAMES_MAX < self.next
    }

    /// Places ahead of playout that a frame may have now.
    fn ahead_frames(&self) -> u64 {
        let delay_us = self.delay_us().unwrap_or(0).max(self.config.max_us());
        let at_once = if self.config.keeps_all { BACKLOG_FRAMES } else { REPLAY_FRAMES };
        (frames_up(delay_us) + at_once).min(AHEAD_FRAMES_MAX)
    }

    fn handle_too_late(&mut self, now_us: i64, place: u64, is_repaired: bool) -> Arrival {
        if !self.arrived.insert(place) {
            self.counts.duplicate += 1;
            return Arrival::Duplicate;
        }
        self.counts.received += 1;
        self.counts.late += 1;
        if self.given_up.contains(place) {
            self.counts.lost -= 1;
        }
        let transit = Transit { at_us: now_us, us: transit_us(now_us, place), is_repaired };
        // What no delay that is allowed could wait for says nothing about the delay that is needed.
        let quickest_us = self.delays.min_transit_us().unwrap_or(transit.us);
        if transit.us - quickest_us <= self.config.max_us() {
            self.delays.record(&self.config, transit, true);
        }
        Arrival::Late
    }

    fn play_next(&mut self) -> Playout<'_, P> {
        let place = self.next;
        let seq = place as u16;
        self.next = place + 1;
        self.pass_to(place + 1);
        if let Some(slot) = self.slots.remove(&place) {
            self.arrived.insert(place);
            self.phase = if slot.talkspurt_end { Phase::Silent } else { Phase::Talking };
            return Playout::Frame { seq, payload: slot.payload };
        }
        self.give_up(place);
        let later = self.slots.range(place + 1..=place + LATER_FRAMES_MAX).next();
        let next = later.map(|(&later, slot)| ((later - place) as u16, &slot.payload));
        Playout::Lost { seq, next }
    }

    /// Time passes while nothing waits.
    fn pass_silence(&mut self, at_us: i64) {
        let Some(base_us) = self.base_us else { return };
        if self.config.keeps_all && self.phase == Phase::Starved {
            // What was said in a stall is still to come.
            return;
        }
        let passed = (at_us - base_us).div_euclid(FRAME_PERIOD_US);
        self.next = self.next.max(FIRST_PLACE.saturating_add_signed(passed));
    }

    /// All places below `floor` have had their turn.
    fn pass_to(&mut self, floor: u64) {
        // Before a talkspurt, playout may have been moved back to places that had their turn.
        self.floor = self.floor.max(floor);
        self.arrived.advance(self.floor);
        self.given_up.advance(self.floor);
    }

    fn give_up(&mut self, place: u64) {
        self.counts.lost += 1;
        self.delays.handle_loss();
        self.given_up.insert(place);
    }
}

fn silence<'a, P>(wait_us: i64) -> Playout<'a, P> {
    let samples = (us_samples(wait_us) + 1).min(FRAME_SAMPLES);
    Playout::Silence { samples: samples.unsigned_abs() as usize }
}

#[cfg(test)]
mod tests;

//! Adaptive jitter buffer for one track.
//!
//! Pure: no clock, no I/O. Frames go in as they arrive ([`JitterBuffer::handle_frame`]), one
//! answer comes out per tick of 20 ms ([`JitterBuffer::poll_playout`]).
//!
//! Sequence numbers count frame periods, so each frame has its *place* on a media clock, and playout
//! walks over the places, one per tick, whether a frame is there or not. A recording is therefore
//! as long as the time it took, and a frame is heard where it belongs. The buffer only chooses the
//! delay between the sender's clock and playout, and it moves that delay as seldom as it can:
//!
//! - The wanted delay (*target*) follows the measured delays, see [`delay`].
//! - Where a talkspurt begins, playout moves freely: silence is made longer or shorter.
//! - Inside a talkspurt it moves only when it must, one frame period at a time, and slowly.
//! - Nothing moves while the delay is between one frame period under the target and
//!   [`JitterConfig::slack`] over it. On a steady network it never leaves that range.
//!
//! A place without its frame is [`Playout::Lost`] inside a talkspurt and [`Playout::Silence`] after
//! a talkspurt end. If nothing follows for [`JitterConfig::starved_after`], the stream has stalled:
//! the places are then [`Playout::Starved`], and may still be played if they come.

mod answer;
mod config;
mod delay;
mod history;
mod shift;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use self::answer::{Arrival, JitterStats, Playout};
pub use self::config::JitterConfig;
use self::delay::{DelayWindow, PlayoutSchedule, Transit};
use self::history::History;
use tribune_protocol::limits::FRAME_PERIOD;

/// [`FRAME_PERIOD`] in the unit of the buffer's arithmetic.
const FRAME_PERIOD_US: i64 = FRAME_PERIOD.as_micros() as i64;
/// Places ahead of playout that a frame may have: the 2 s that a relay can replay. Also bounds memory.
const AHEAD_FRAMES_MAX: u64 = 100;
/// How far behind playout a frame is still merely late, in places; from there on the stream was
/// restarted with another number (`MAX_MISORDER` of RFC 3550, A.1, in 20 ms frames: 2.56 s).
const BEHIND_FRAMES_MAX: u64 = 128;
/// Places after a lost frame in which a later one may tell of it: 1 s, as long as Opus tells back (DRED).
const LATER_FRAMES_MAX: u64 = 50;
/// Time in µs from a stream's first frame on in which its delay may still be corrected at once.
const SETTLING_US: i64 = 1_000_000;
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
    /// First place that has not been answered for: neither played nor given up as lost. Below `next`
    /// in a silence or stall.
    floor: u64,
    /// Frames that wait, by place: all within `AHEAD_FRAMES_MAX` of playout.
    slots: BTreeMap<u64, Slot<P>>,
    /// Places behind `floor` whose frame has arrived.
    arrived: History,
    /// Places behind `floor` that were given up as lost.
    given_up: History,
    delays: DelayWindow,
    schedule: PlayoutSchedule,
    /// The number that would confirm that the stream was restarted.
    restart_candidate: Option<u16>,
    last_growth_us: i64,
    /// See [`Self::is_settling`].
    settled_at_us: i64,
    /// Since when the delay has been too long, inside a talkspurt.
    too_long_since_us: Option<i64>,
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
    Talking {
        /// Polls in a row that found the buffer empty.
        empty_polls: u32,
    },
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
            schedule: PlayoutSchedule::default(),
            restart_candidate: None,
            last_growth_us: 0,
            settled_at_us: 0,
            too_long_since_us: None,
            counts: JitterStats::default(),
        }
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

    /// The same for a frame that had been missing and was asked for. While there are such, their delay is
    /// waited for: it is what they were asked for.
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
        self.delays.record(&self.config, transit, false);
        self.slots.insert(place, slot);
        if !is_talking {
            self.anchor(now_us);
        }
        Arrival::Buffered
    }

    /// Answers what to play in the frame period that begins at `now`. To be called once per frame
    /// period; calls that come late and then in quick succession do no harm.
    pub fn poll_playout(&mut self, now: Instant) -> Playout<'_, P> {
        let Some(epoch) = self.epoch else { return Playout::Silence };
        let now_us = since_us(epoch, now);
        self.schedule.record(now_us, transit_us(now_us, self.next));
        if self.is_talking() && self.move_while_talking(now_us) {
            return Playout::Stretch;
        }
        if !self.is_talking() {
            if !self.slots.contains_key(&self.next) {
                self.next += 1;
                return match self.phase {
                    Phase::Starved => Playout::Starved,
                    Phase::Fresh | Phase::Silent | Phase::Talking { .. } => Playout::Silence,
                };
            }
            if self.phase == Phase::Fresh {
                self.settled_at_us = now_us + SETTLING_US;
            }
            self.phase = Phase::Talking { empty_polls: 0 };
            self.too_long_since_us = None;
            self.pass_to(self.next);
        }
        self.play_next()
    }

    /// Counters and gauges as they are now.
    pub fn stats(&self) -> JitterStats {
        let end = self.slots.last_key_value().map_or(self.next, |(&last, _)| last + 1);
        JitterStats {
            buffer_ms: end.saturating_sub(self.next) as f64 * FRAME_PERIOD.as_secs_f64() * 1e3,
            target_ms: self.delays.target_us() as f64 / 1e3,
            jitter_ms: self.delays.jitter_us() / 1e3,
            ..self.counts
        }
    }

    /// Whether the track is in a talkspurt, as far as playout has come.
    pub fn is_talking(&self) -> bool {
        matches!(self.phase, Phase::Talking { .. })
    }

    /// Whether frames wait in the buffer.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The delay that the quickest frame is given, in µs; unknown until both sides have been seen.
    fn delay_us(&self) -> Option<i64> {
        Some(self.schedule.offset_us()? - self.delays.min_transit_us()?)
    }

    /// Begins a stream, or begins it anew, with a talkspurt at `place` after a silence as long as the
    /// target. `place` is far from all places before.
    fn start_at(&mut self, place: u64) {
        self.slots.clear();
        self.phase = Phase::Fresh;
        self.schedule.forget();
        self.next = place - frames_up(self.start_delay_us());
        self.pass_to(self.next);
    }

    /// Whether the stream has begun so recently that its delay is still being found.
    fn is_settling(&self, now_us: i64) -> bool {
        self.phase == Phase::Fresh || now_us < self.settled_at_us
    }

    /// The delay to begin a stream with.
    fn start_delay_us(&self) -> i64 {
        self.delays.target_us().max(self.config.initial_us())
    }

    fn is_out_of_window(&self, place: u64) -> bool {
        let is_waiting = !self.is_talking() && self.slots.is_empty();
        let is_ahead = place >= self.next + AHEAD_FRAMES_MAX && !is_waiting;
        is_ahead || place + BEHIND_FRAMES_MAX < self.next
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
        self.delays.record(&self.config, transit, true);
        Arrival::Late
    }

    fn play_next(&mut self) -> Playout<'_, P> {
        let place = self.next;
        let seq = place as u16;
        if let Some(slot) = self.slots.remove(&place) {
            self.next = place + 1;
            self.pass_to(place + 1);
            self.arrived.insert(place);
            self.phase =
                if slot.talkspurt_end { Phase::Silent } else { Phase::Talking { empty_polls: 0 } };
            return Playout::Frame { seq, payload: slot.payload };
        }
        self.next = place + 1;
        if let (true, Phase::Talking { empty_polls }) = (self.slots.is_empty(), self.phase) {
            if empty_polls >= self.config.starved_after_ticks() {
                self.phase = Phase::Starved;
                return Playout::Starved;
            }
            self.phase = Phase::Talking { empty_polls: empty_polls + 1 };
        }
        self.pass_to(place + 1);
        self.give_up(place);
        let later = self.slots.range(place + 1..=place + LATER_FRAMES_MAX).next();
        let next = later.map(|(&later, slot)| ((later - place) as u16, &slot.payload));
        Playout::Lost { seq, next }
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
        self.given_up.insert(place);
    }
}

fn since_us(epoch: Instant, now: Instant) -> i64 {
    micros(now.saturating_duration_since(epoch))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn transit_us(at_us: i64, place: u64) -> i64 {
    at_us - (place as i64 - FIRST_PLACE as i64) * FRAME_PERIOD_US
}

/// Frame periods that last at least `us`.
fn frames_up(us: i64) -> u64 {
    (us.max(0) as u64).div_ceil(FRAME_PERIOD_US as u64)
}

/// The place with this sequence number that is nearest to `to`.
fn nearest_place(to: u64, seq: u16) -> u64 {
    let ahead = seq.wrapping_sub(to as u16) as i16;
    to.saturating_add_signed(i64::from(ahead))
}

/// The first place from `from` on with this sequence number.
fn first_place(from: u64, seq: u16) -> u64 {
    from + u64::from(seq.wrapping_sub(from as u16))
}

#[cfg(test)]
mod tests;

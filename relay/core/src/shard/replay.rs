//! Replay: frames that a connection lacks after it was away, sent from what is kept, in order and at twice
//! the rate at which they were spoken. SPEC.md section 5.4.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tribune_protocol::ids::{Channel, TrackId};
use tribune_protocol::limits::{FRAME_PERIOD, MAX_DATAGRAM_BYTES};
use tribune_protocol::media::datagram::{MediaWriter, track_of};

use crate::media::bundle::Bundled;

/// Time between two steps of a replay: as much as a packed datagram holds.
const STEP: Duration = Duration::from_millis(60);
/// Frame periods sent a step: twice as many as pass.
const PERIODS_PER_STEP: usize = 2 * (STEP.as_millis() / FRAME_PERIOD.as_millis()) as usize;
/// Frames that wait to be replayed to a connection: two seconds of a trunk's twenty talkers.
const MAX_FRAMES: usize = 2_000;

/// Frames on their way to one connection.
#[derive(Debug)]
pub(super) struct Replay {
    parts: VecDeque<Part>,
    due: Instant,
}

/// Frames of one room.
#[derive(Debug)]
struct Part {
    channel: Channel,
    /// Oldest first.
    frames: VecDeque<Bytes>,
    per_step: usize,
}

impl Replay {
    /// Nothing yet; the first step is due now.
    pub(super) const fn new(now: Instant) -> Self {
        Self { parts: VecDeque::new(), due: now }
    }

    /// When the next step is due.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Adds the frames of a room, of so many tracks, oldest first.
    pub(super) fn add(&mut self, channel: Channel, tracks: usize, frames: Vec<Bytes>) {
        let per_step = PERIODS_PER_STEP * tracks.max(1);
        self.push(Part { channel, frames: frames.into(), per_step });
    }

    fn push(&mut self, part: Part) {
        let waiting: usize = self.parts.iter().map(|part| part.frames.len()).sum();
        if waiting + part.frames.len() <= MAX_FRAMES {
            self.parts.push_back(part);
        }
    }

    /// Keeps only the frames of those tracks. Gives the number of the others.
    pub(super) fn retain(&mut self, is_known: impl Fn(TrackId) -> bool) -> u64 {
        let mut dropped = 0;
        for part in &mut self.parts {
            let before = part.frames.len();
            part.frames.retain(|wire| track_of(wire).is_some_and(&is_known));
            dropped += (before - part.frames.len()) as u64;
        }
        self.parts.retain(|part| !part.frames.is_empty());
        dropped
    }

    pub(super) fn is_over(&self) -> bool {
        self.parts.is_empty()
    }

    /// The datagrams of the next step, once it is due.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Bundled> {
        if now < self.due {
            return Vec::new();
        }
        self.due = now + STEP;
        let mut datagrams = Vec::new();
        for part in &mut self.parts {
            part.write(&mut datagrams);
        }
        self.parts.retain(|part| !part.frames.is_empty());
        datagrams
    }
}

impl Part {
    fn write(&mut self, datagrams: &mut Vec<Bundled>) {
        let mut writer = MediaWriter::repair(self.channel, MAX_DATAGRAM_BYTES);
        let mut frames = 0;
        for wire in self.frames.drain(..self.per_step.min(self.frames.len())) {
            if !writer.push(&wire) {
                datagrams.push(Bundled { datagram: writer.take_for_session(), frames });
                frames = 0;
                let fits = writer.push(&wire);
                debug_assert!(fits, "a frame is smaller than a datagram");
            }
            frames += 1;
        }
        if frames > 0 {
            datagrams.push(Bundled { datagram: writer.take_for_session(), frames });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_twice_as_fast_as_the_talk_and_in_order() {
        let now = Instant::now();
        let mut replay = Replay::new(now);
        let frames = (0..100_u8).map(|n| Bytes::from(vec![1, 0, n, 0, 0])).collect();
        replay.push(Part { channel: Channel(0), frames, per_step: PERIODS_PER_STEP });
        let mut sent = 0;
        for step in 0..17 {
            let now = now + STEP * step;
            assert!(!replay.is_over(), "at {step}");
            assert_eq!(replay.poll(now).iter().map(|datagram| datagram.frames).sum::<u8>(), {
                sent += 6;
                if sent > 100 { 4 } else { 6 }
            });
            assert!(replay.poll(now).is_empty(), "the next is not due");
        }
        assert!(replay.is_over());
    }

    #[test]
    fn no_more_is_kept_for_a_connection_than_a_bound() {
        let mut replay = Replay::new(Instant::now());
        let part = || {
            let frames = (0..100_u8).map(|n| Bytes::from(vec![n])).collect();
            Part { channel: Channel(1), frames, per_step: 1 }
        };
        (0..50).for_each(|_| replay.push(part()));
        assert_eq!(replay.parts.len(), MAX_FRAMES / 100);
    }
}

//! Redundancy of a view: the last datagrams' frames, to be sent once more with later ones (as RED does,
//! RFC 2198). Used by [`super::bundle`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;
use tribune_protocol::ids::TrackId;
use tribune_protocol::limits::{MAX_DATAGRAM_BYTES, MAX_FRAMES_PER_DATAGRAM};

use crate::messages::RedundancyLevel;

/// Datagrams that are remembered: the fourth before is the farthest that is sent again.
const REMEMBERED: usize = 4;
/// Age from which a frame is not sent again: it was said before a silence.
const TOO_OLD: Duration = Duration::from_millis(400);
/// Bytes of a datagram before its frames: kind, channel and count at their longest on one connection.
const HEADER_BYTES: usize = 7;

/// Frames of the last datagrams, oldest first.
#[derive(Debug, Default)]
pub(super) struct Redundancy {
    sent: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    frames: SmallVec<[(TrackId, Bytes); 4]>,
}

impl Redundancy {
    /// Remembers the frames of a datagram.
    pub(super) fn push(&mut self, now: Instant, frames: SmallVec<[(TrackId, Bytes); 4]>) {
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { at: now, frames });
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
    }

    /// Keeps only the frames of those tracks.
    pub(super) fn retain(&mut self, is_known: impl Fn(TrackId) -> bool) {
        for sent in &mut self.sent {
            sent.frames.retain(|(track, _)| is_known(*track));
        }
    }

    /// The frames to send again beside `count` new ones of `bytes` in all, oldest first. The oldest are left
    /// out where there is no room.
    pub(super) fn pick(
        &self,
        now: Instant,
        protection: RedundancyLevel,
        (count, bytes): (usize, usize),
    ) -> SmallVec<[&Bytes; 8]> {
        let back: &[usize] = match protection {
            RedundancyLevel::None => &[],
            RedundancyLevel::Previous => &[1],
            RedundancyLevel::PreviousTwo => &[1, 2],
            RedundancyLevel::Spread => &[1, REMEMBERED],
        };
        let mut room_bytes = MAX_DATAGRAM_BYTES.saturating_sub(HEADER_BYTES + bytes);
        let mut room = MAX_FRAMES_PER_DATAGRAM.saturating_sub(count);
        let mut picked = SmallVec::<[&Bytes; 8]>::new();
        let datagrams =
            back.iter().filter_map(|back| self.sent.get(self.sent.len().wrapping_sub(*back)));
        for sent in datagrams {
            let of_it: usize = sent.frames.iter().map(|(_, wire)| wire.len()).sum();
            let is_old = now.saturating_duration_since(sent.at) > TOO_OLD;
            if is_old || of_it > room_bytes || sent.frames.len() > room {
                break;
            }
            (room_bytes, room) = (room_bytes - of_it, room - sent.frames.len());
            picked.extend(sent.frames.iter().rev().map(|(_, wire)| wire));
        }
        picked.reverse();
        picked
    }
}

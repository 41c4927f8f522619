//! Redundancy of a trunk: which frames its views send once more, as its path needs it now.

use std::time::Instant;

use tribune_protocol::media::protection::PathState;

use super::connection::Peer;
use crate::messages::RedundancyLevel;

impl Peer {
    /// Frames that a trunk's views send again.
    pub(super) fn redundancy(&self) -> RedundancyLevel {
        match self.protection.as_ref().map_or(0, |protection| protection.again()) {
            0 => RedundancyLevel::None,
            1 => RedundancyLevel::Previous,
            2.. => RedundancyLevel::PreviousTwo,
        }
    }

    /// Notes frames that a lone connection was given.
    pub(super) fn note_given(&mut self, now: Instant, frames: u64) {
        self.given += frames;
        let conn = &self.conn;
        let path = || {
            let path = conn.stats().path;
            let (sent_packets, lost_packets) = (path.sent_packets, path.lost_packets);
            PathState { round_trip: conn.rtt(), sent_packets, lost_packets }
        };
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        if let Some(protection) = &mut self.protection {
            protection.handle_sent(now, frames, path);
        }
    }
}

//! Datagrams of a trunk: those that wait for its path, which carries many rooms, and which frames its views send
//! once more, as its path needs it now.

use std::time::Instant;

use quinn_proto::SendDatagramError;
use tribune_protocol::media::protection::PathState;

use super::connection::{Lost, Peer};
use super::limits::TRUNK_QUEUE_DATAGRAMS;
use crate::counters::{DropCause, ShardCounters};
use crate::media::bundle::Bundled;
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

    /// Moves waiting datagrams on, once QUIC has room again.
    pub(super) fn write_datagrams(&mut self, counters: &mut ShardCounters) {
        while let Some(datagram) = self.trunk_queue.pop_front() {
            match self.try_send(datagram) {
                Ok(()) => {}
                Err(Ok(datagram)) => {
                    self.trunk_queue.push_front(datagram);
                    return;
                }
                Err(Err(lost)) => lost.count(counters),
            }
        }
    }

    /// Gives QUIC a datagram.
    ///
    /// # Errors
    /// The datagram, if there is no room now; that it is lost, if there never will be.
    pub(super) fn try_send(&mut self, datagram: Bundled) -> Result<(), Result<Bundled, Lost>> {
        let frames = datagram.frames;
        match self.conn.datagrams().send(datagram.datagram.clone().into_bare(), false) {
            Ok(()) => Ok(()),
            Err(SendDatagramError::Blocked(_)) => Err(Ok(datagram)),
            Err(
                SendDatagramError::UnsupportedByPeer
                | SendDatagramError::Disabled
                | SendDatagramError::TooLarge,
            ) => Err(Err(Lost { cause: DropCause::Unsendable, frames })),
        }
    }

    /// Queues a datagram behind those that wait; the oldest makes room.
    pub(super) fn queue_datagram(&mut self, datagram: Bundled) -> Result<(), Lost> {
        let full = self.trunk_queue.len() == TRUNK_QUEUE_DATAGRAMS;
        let oldest = if full { self.trunk_queue.pop_front() } else { None };
        self.trunk_queue.push_back(datagram);
        let lost =
            |oldest: Bundled| Lost { cause: DropCause::TrunkQueueFull, frames: oldest.frames };
        oldest.map(lost).map_or(Ok(()), Err)
    }
}

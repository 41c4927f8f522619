//! What leaves a shard. A frame goes out in one pass over the connections of its view, in the order
//! in which they lie in memory: each is given its datagrams and asked for its packet at once, while
//! what QUIC keeps of it is in the processor's cache. Everything else that a connection has to send
//! waits in a queue until it has sent all of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::limits::{ANSWER_WITHIN, MTU_BYTES, REPLIES_WAITING, SMALL_PACKET_BYTES};
use super::{Outgoing, Shard};
use crate::media::bundle::Bundled;

/// Datagrams on their way to the connections of a view.
#[derive(Debug)]
pub(super) struct Departing {
    pub(super) datagrams: SmallVec<[Bundled; 1]>,
    /// Ascending.
    pub(super) slots: Arc<Vec<u32>>,
    /// How many of the connections have been given them.
    pub(super) given: usize,
}

impl Shard {
    /// Writes the next packet into `out`, whose buffer is reused. `false`: nothing to send.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Outgoing) -> bool {
        if let Some(reply) = self.replies.pop_front() {
            *out = reply;
            self.count_sent(out);
            return true;
        }
        while let Some(slot) = self.give_next(now) {
            if self.transmit_given(now, slot, out) {
                return true;
            }
        }
        while let Some(slot) = self.dirty.front().copied() {
            let Some(peer) = self.peers[slot as usize].as_mut() else {
                self.dirty.pop_front();
                continue;
            };
            out.payload.clear();
            if let Some(transmit) = peer.conn.poll_transmit(now, 1, &mut out.payload) {
                out.destination = Some(transmit.destination);
                if !peer.trunk_queue.is_empty() {
                    peer.write_datagrams(&mut self.counters);
                }
                self.count_sent(out);
                return true;
            }
            if let Some(farewell) = peer.farewell.take() {
                let (code, reason) = *farewell;
                peer.conn.close(now, code, reason);
                continue;
            }
            peer.dirty = false;
            peer.unanswered = false;
            self.dirty.pop_front();
            self.settle(now, slot);
        }
        false
    }

    /// Has a connection asked for all that it has to send.
    pub(super) fn mark_dirty(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        if !peer.dirty {
            peer.dirty = true;
            self.dirty.push_back(slot);
        }
    }

    /// After a packet of `bytes` for a connection. An acknowledgement asks for no answer, and while
    /// somebody speaks, the next frame takes along what there is: so a listener's small packet
    /// without further effect is left alone for a while.
    pub(super) fn answer(&mut self, now: Instant, slot: u32, bytes: usize) {
        let any = self.take_events(now, slot);
        self.ask_time(now, slot);
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        let at_once = any
            || bytes > SMALL_PACKET_BYTES
            || peer.is_trunk()
            || peer.rooms.is_empty()
            || !peer.datagrams_are_sent();
        if at_once {
            self.mark_dirty(slot);
        } else if !peer.dirty {
            peer.unanswered = true;
            let latest = now + ANSWER_WITHIN;
            let deadline = peer.conn.poll_timeout().map_or(latest, |deadline| deadline.min(latest));
            self.timers.set(slot, Some(deadline));
        }
    }

    /// Queues a packet that belongs to no connection.
    pub(super) fn reply(&mut self, destination: SocketAddr, mut payload: Vec<u8>, size: usize) {
        if self.replies.len() < REPLIES_WAITING {
            payload.truncate(size);
            self.replies.push_back(Outgoing { destination: Some(destination), payload });
        }
    }

    /// Gives the next connection its datagrams.
    fn give_next(&mut self, now: Instant) -> Option<u32> {
        loop {
            let Some(departing) = self.departing.front_mut() else {
                let room = self.ready.pop_front()?;
                self.depart(now, room);
                continue;
            };
            let Some(slot) = departing.slots.get(departing.given).copied() else {
                self.departing.pop_front();
                continue;
            };
            departing.given += 1;
            // It may have gone, or have been closed, since the frame came.
            let peer = self.peers[slot as usize].as_mut().filter(|peer| !peer.closed);
            let Some(peer) = peer else { continue };
            peer.send_datagrams(&departing.datagrams, &mut self.counters);
            return Some(slot);
        }
    }

    /// One packet of a connection that has just been given datagrams. A small one has taken along
    /// all that there was, so that QUIC need not be asked again.
    fn transmit_given(&mut self, now: Instant, slot: u32, out: &mut Outgoing) -> bool {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return false };
        out.payload.clear();
        let transmit = peer.conn.poll_transmit(now, 1, &mut out.payload);
        let full = out.payload.len() > usize::from(MTU_BYTES) / 2;
        let (done, dirty) = (!full && peer.datagrams_are_sent(), peer.dirty);
        peer.unanswered &= transmit.is_none();
        match &transmit {
            Some(_) if !done => self.mark_dirty(slot),
            // What is in the queue of those that are asked is settled there.
            Some(_) | None if dirty => {}
            Some(_) | None => self.settle(now, slot),
        }
        out.destination = transmit.map(|transmit| transmit.destination);
        if out.destination.is_some() {
            self.count_sent(out);
        }
        out.destination.is_some()
    }

    fn count_sent(&mut self, out: &Outgoing) {
        self.counters.packets_out += 1;
        self.counters.bytes_out += out.payload.len() as u64;
    }
}

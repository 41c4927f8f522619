//! Datagrams of a shard: frames, repair requests and time probes in; frames through a room's views;
//! packets out.
//!
//! A frame goes out in one pass over the connections of its view, in the order in which they lie in memory: each
//! is given its datagrams and asked for its packet at once, while QUIC's state of it is in the processor's
//! cache. Everything else that a connection has to send waits in a queue until it has sent all of it.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use tribune_protocol::media::datagram::{Frame, MediaDatagram};
use tribune_protocol::media::nack::Nack;
use tribune_protocol::media::probe::{Answer, Probe};
use tribune_protocol::media::repair::Gap;
use tribune_protocol::media::{Datagram, DatagramError};
use tribune_protocol::time::Offset;

use super::browser;
use super::connection::PeerKind;
use super::limits::{ANSWER_WITHIN, MTU_BYTES, SMALL_PACKET_BYTES};
use super::speech::origin_us;
use super::{Outgoing, Shard};
use crate::counters::DropCause;
use crate::media::bundle::Bundled;
use crate::media::fanout::Accepted;
use crate::media::ingress::Question;
use crate::media::view::Departure;
use crate::messages::{LinkId, RoomId, ShardEvent, ShardMessage, SharedFrames};

/// Datagrams on their way to the connections of a view.
#[derive(Debug)]
pub(super) struct Departing {
    pub(super) datagrams: SmallVec<[Bundled; 1]>,
    /// Ascending.
    pub(super) slots: Arc<Vec<u32>>,
    /// Number of connections that have been given them.
    pub(super) given: usize,
}

impl Shard {
    pub(super) fn read_datagrams(&mut self, now: Instant, slot: u32) {
        loop {
            let Some(peer) = self.peers[slot as usize].as_mut() else { return };
            let Some(bytes) = peer.conn.datagrams().recv() else { return };
            let bytes = if peer.web.is_some() { browser::untag(&bytes) } else { Some(bytes) };
            if peer.closed {
                self.counters.frames_dropped.count(DropCause::Closing, 1);
                continue;
            }
            self.counters.datagrams_in += 1;
            if !peer.is_trunk() && !peer.datagrams.take(now) {
                self.counters.frames_dropped.count(DropCause::RateLimited, 1);
                continue;
            }
            match bytes.map_or(Err(DatagramError::UnknownKind), Datagram::parse) {
                Ok(Datagram::Media(media)) => self.handle_media(now, slot, &media),
                Ok(Datagram::Nack(nack)) => {
                    self.counters.nacks_in += 1;
                    self.handle_nack(slot, nack);
                }
                Ok(Datagram::Probe(probe)) => self.handle_probe(now, slot, probe),
                Err(DatagramError::UnknownKind) => {
                    self.counters.frames_dropped.count(DropCause::UnknownKind, 1)
                }
                Err(DatagramError::Truncated | DatagramError::OutOfRange) => {
                    self.counters.frames_dropped.count(DropCause::Malformed, 1);
                }
            }
        }
    }

    /// Asks the parent for the time when it is due, which may be the only reason for a deadline.
    pub(super) fn ask_time(&mut self, now: Instant, slot: u32) {
        if let Some(peer) = self.peers[slot as usize].as_mut()
            && let PeerKind::Parent(clock) = &mut peer.kind
        {
            let local_us = self.config.wall.unix_us(now);
            if clock.poll_question(local_us) {
                let question = Probe::Question { asked_us: local_us };
                peer.send_aside(&question.write(), &mut self.counters);
            }
        }
    }

    fn handle_media(&mut self, now: Instant, slot: u32, media: &MediaDatagram) {
        let Some(peer) = self.peers[slot as usize].as_ref() else { return };
        let Some(id) = peer.room(media.channel) else {
            self.counters.frames_dropped.count(DropCause::UnknownChannel, 1);
            return;
        };
        let Some(room) = self.rooms.get_mut(&id) else {
            self.counters.frames_dropped.count(DropCause::RoomGone, 1);
            return;
        };
        let side = peer.side();
        let from = (peer.link, side);
        let (accepted, missing) = room.handle_datagram(now, from, media, &mut self.counters);
        if accepted.is_empty() {
            return;
        }
        let asks = missing || room.repair_check().is_none();
        let others = room.hosts().iter().filter(|shard| *shard != self.config.id);
        let mut shared: Option<Arc<[Frame]>> = None;
        for shard in others {
            let frames =
                Arc::clone(shared.get_or_insert_with(|| accepted.iter().cloned().collect()));
            self.shard_messages
                .push_back((shard, ShardMessage::Frames(SharedFrames { room: id, frames })));
        }
        self.forward(now, id, &accepted);
        if asks {
            self.ask_for_missing(now, id);
        }
        if let Some(here_us) = origin_us(self.clock, self.config.wall.unix_us(now)) {
            let (speech, counters) = (&mut self.speech, &mut self.counters);
            speech.note_arrivals(now, here_us, (id, side), &accepted, counters);
        }
    }

    /// Asks the neighbours that a room's tracks come from, relays and speakers, for the frames that have not
    /// come, and notes when to look again.
    pub(super) fn ask_for_missing(&mut self, now: Instant, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let before = room.repair_check();
        loop {
            let peers = &self.peers;
            let round_trip = |link: LinkId| {
                let peer = peers.get(link.slot as usize)?.as_ref();
                peer.filter(|peer| peer.link == link && !peer.closed).map(|peer| peer.conn.rtt())
            };
            let Some(Question { link, track, gap: Gap { first, count } }) =
                room.poll_ask(now, round_trip)
            else {
                break;
            };
            let Some(peer) = self.peers[link.slot as usize].as_mut() else { continue };
            let Some(channel) = peer.channel(id) else { continue };
            peer.send_aside(&Nack { channel, track, first, count }.write(), &mut self.counters);
            self.counters.nacks_sent += 1;
            if !peer.dirty {
                peer.dirty = true;
                self.dirty.push_back(link.slot);
            }
        }
        let due = room.schedule_repair();
        if due != before {
            if let Some(before) = before {
                self.repairs_due.remove(&(before, id));
            }
            self.repairs_due.extend(due.map(|due| (due, id)));
        }
    }

    /// Sends what is still kept of the frames that somebody misses.
    fn handle_nack(&mut self, slot: u32, nack: Nack) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        let Some(room) = peer.room(nack.channel).and_then(|id| self.rooms.get(&id)) else { return };
        let Some(ring) = room.ring_for(peer.link, nack.track) else { return };
        peer.repair(nack, ring, room.heard(), &mut self.counters);
        self.mark_dirty(slot);
    }

    fn handle_probe(&mut self, now: Instant, slot: u32, probe: Probe) {
        let local_us = self.config.wall.unix_us(now);
        // Estimates come once a second; what is said of one in between is as old as it is.
        let clock = self.clock.map(|(offset, at)| offset.aged(now.saturating_duration_since(at)));
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        let rtt = peer.conn.rtt();
        match (probe, &mut peer.kind) {
            (Probe::Question { asked_us }, _) => {
                let Offset { offset_us, error_us } =
                    clock.unwrap_or(Offset { offset_us: 0, error_us: u32::MAX });
                let time = local_us.wrapping_add_signed(offset_us);
                let answer = Answer { asked_us, received_us: time, answered_us: time, error_us };
                peer.send_aside(&Probe::Answer(answer).write(), &mut self.counters);
                self.counters.probes_answered += 1;
            }
            (Probe::Answer(answer), PeerKind::Parent(filter)) => {
                filter.handle_answer(local_us, &answer);
                if let Some(offset) = filter.offset(local_us) {
                    self.events.push_back(ShardEvent::Clock { offset, rtt });
                }
            }
            // An answer that nobody asked for.
            (
                Probe::Answer(_),
                PeerKind::Arriving
                | PeerKind::Participant { .. }
                | PeerKind::Child { .. }
                | PeerKind::Dialling(_),
            ) => self.counters.frames_dropped.count(DropCause::UnknownKind, 1),
        }
        self.mark_dirty(slot);
    }

    /// Lets frames into the views of this shard. Ready bundles leave with the next packets; until then
    /// more frames can join them, so that a shard that is behind sends fewer and larger packets.
    pub(super) fn forward(&mut self, now: Instant, room: RoomId, frames: &Accepted) {
        let Some(media) = self.rooms.get(&room) else { return };
        if media.is_full(frames.len()) {
            self.depart(now, room);
        }
        let Some(media) = self.rooms.get_mut(&room) else { return };
        media.handle_frames(now, frames, &mut self.counters);
        self.schedule(now, room);
    }

    /// Queues a room with a ready view, or notes when it will have one.
    pub(super) fn schedule(&mut self, now: Instant, room: RoomId) {
        let Some(media) = self.rooms.get_mut(&room) else { return };
        if media.poll_ready(now, 0, self.pressure.is_packing()).is_none() {
            self.note_due(room);
        } else if media.set_queued(true) {
            self.ready.push_back(room);
        }
    }

    /// Takes the ready datagrams out of a room.
    pub(super) fn depart(&mut self, now: Instant, room: RoomId) {
        let Some(media) = self.rooms.get_mut(&room) else { return };
        let mut on_stream_views = SmallVec::<[_; 1]>::new();
        media.set_queued(false);
        let mut from = 0;
        while let Some(view) = media.poll_ready(now, from, self.pressure.is_packing()) {
            from = view + 1;
            let Departure { datagrams, frames, since, slots, on_streams } = media.take(now, view);
            if let Some(since) = since {
                self.counters.hold.observe(now.saturating_duration_since(since));
            }
            self.counters.frames_forwarded += frames * slots.len() as u64;
            self.counters.datagrams_out += (datagrams.len() * slots.len()) as u64;
            if on_streams {
                on_stream_views.push((datagrams, slots));
                continue;
            }
            let [slot] = slots[..] else {
                self.departing.push_back(Departing { datagrams, slots, given: 0 });
                continue;
            };
            // What a lone connection has to send beside it can share the packet: a trunk's rooms.
            let Some(peer) = self.peers[slot as usize].as_mut() else { continue };
            peer.note_given(now, frames);
            media.protect(peer.link, peer.redundancy());
            peer.send_datagrams(&datagrams, &mut self.counters);
            if !peer.dirty {
                peer.dirty = true;
                self.dirty.push_back(slot);
            }
        }
        for (datagrams, slots) in on_stream_views {
            self.depart_on_streams(now, &datagrams, &slots);
        }
        self.note_due(room);
    }

    fn depart_on_streams(&mut self, now: Instant, datagrams: &[Bundled], slots: &[u32]) {
        for slot in slots {
            let Some(peer) = self.peers[*slot as usize].as_mut() else { continue };
            peer.send_frames(now, datagrams, &mut self.counters);
            self.mark_dirty(*slot);
        }
    }

    /// Notes the deadline of a room's waiting bundles.
    fn note_due(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let before = room.bundle_check();
        let due = room.schedule_bundles(self.pressure.is_packing());
        if due != before {
            if let Some(before) = before {
                self.bundles_due.remove(&(before, id));
            }
            self.bundles_due.extend(due.map(|due| (due, id)));
        }
    }

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
            let conn = &mut peer.conn;
            if peer.farewell.as_mut().is_some_and(|farewell| farewell.poll(now, conn)) {
                continue;
            }
            peer.dirty = false;
            peer.unanswered = false;
            self.dirty.pop_front();
            self.settle(now, slot);
        }
        false
    }

    /// Has a connection polled for all its packets.
    pub(super) fn mark_dirty(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        if !peer.dirty {
            peer.dirty = true;
            self.dirty.push_back(slot);
        }
    }

    /// Answers a packet of `bytes` for a connection. An acknowledgement asks for no answer, and while
    /// somebody speaks, the next frame takes the answer along: so a listener's small packet without
    /// further effect is left alone for a while.
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

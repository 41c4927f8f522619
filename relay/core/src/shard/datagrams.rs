//! What connections bring in datagrams: frames, repair requests, time probes.

use std::sync::Arc;
use std::time::Instant;

use tribune_protocol::ids::Channel;
use tribune_protocol::limits::MAX_DATAGRAM_BYTES;
use tribune_protocol::media::datagram::{Frame, MediaDatagram, MediaWriter};
use tribune_protocol::media::nack::Nack;
use tribune_protocol::media::probe::{Answer, Probe};
use tribune_protocol::media::sequence::Gap;
use tribune_protocol::media::{Datagram, DatagramError};
use tribune_protocol::time::Offset;

use super::Shard;
use super::connection::PeerKind;
use super::limits::REPAIR_RTT;
use crate::counters::{DropCause, Side};
use crate::media::bundle::Bundled;
use crate::media::fanout::{Accepted, Missing};
use crate::messages::{ShardEvent, ShardMessage, SharedFrames};

impl Shard {
    pub(super) fn read_datagrams(&mut self, now: Instant, slot: u32) {
        loop {
            let Some(peer) = self.peers[slot as usize].as_mut() else { return };
            let Some(bytes) = peer.conn.datagrams().recv() else { return };
            if peer.closed {
                self.counters.frames_dropped.count(DropCause::Closing, 1);
                continue;
            }
            self.counters.datagrams_in += 1;
            if !peer.is_trunk() && !peer.datagrams.take(now) {
                self.counters.frames_dropped.count(DropCause::RateLimited, 1);
                continue;
            }
            match Datagram::parse(bytes) {
                Ok(Datagram::Media(media)) => self.handle_media(now, slot, &media),
                Ok(Datagram::Nack(nack)) => {
                    self.counters.nacks_in += 1;
                    self.handle_nack(now, slot, nack);
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
                peer.send_aside(question.write(), &mut self.counters);
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
        let (accepted, missing) = room.handle_datagram(peer.link, side, media, &mut self.counters);
        if accepted.is_empty() {
            return;
        }
        let others = room.hosts().iter().filter(|shard| *shard != self.config.id);
        let mut shared: Option<Arc<[Frame]>> = None;
        for shard in others {
            let frames =
                Arc::clone(shared.get_or_insert_with(|| accepted.iter().cloned().collect()));
            self.shard_messages
                .push_back((shard, ShardMessage::Frames(SharedFrames { room: id, frames })));
        }
        self.forward(now, id, &accepted);
        self.ask_for(now, slot, media.channel, &missing);
        self.note_ages(now, side, &accepted);
    }

    /// Counts how old frames are, of those that say so: about one a second of each speaker.
    fn note_ages(&mut self, now: Instant, side: Side, frames: &Accepted) {
        let Some((clock, _)) = self.clock else { return };
        for captured in frames.iter().filter_map(|frame| frame.captured) {
            let here = clock.to_origin(self.config.wall.unix_us(now));
            self.counters.frame_age.observe(side, here.0.saturating_sub(captured.at.0));
        }
    }

    /// Asks a relay for frames that it has sent and that have not come. Speakers keep nothing to
    /// answer with.
    fn ask_for(&mut self, now: Instant, slot: u32, channel: Channel, missing: &Missing) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        if !peer.is_trunk() || peer.conn.rtt() > REPAIR_RTT {
            return;
        }
        for (track, Gap { first, count }) in missing {
            if peer.repairs.take(now) {
                let nack = Nack { channel, track: *track, first: *first, count: *count };
                peer.send_aside(nack.write(), &mut self.counters);
                self.counters.nacks_sent += 1;
            }
        }
        self.mark_dirty(slot);
    }

    /// Sends what is still kept of the frames that somebody misses.
    fn handle_nack(&mut self, now: Instant, slot: u32, nack: Nack) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        let Some(room) = peer.room(nack.channel).and_then(|id| self.rooms.get(&id)) else { return };
        let silenced = room.ingress().route(nack.track).is_none_or(|route| route.silenced);
        let Some(ring) = room.ingress().ring(nack.track).filter(|_| !silenced) else { return };
        for wire in nack.seqs().filter_map(|seq| ring.get(seq)) {
            if !peer.repairs.take(now) {
                break;
            }
            let mut writer = MediaWriter::new(nack.channel, MAX_DATAGRAM_BYTES);
            if !writer.push(wire) {
                continue;
            }
            match peer.send_datagram(Bundled { bytes: writer.take(), frames: 1 }) {
                Ok(()) => self.counters.nacks_answered += 1,
                Err(lost) => lost.count(&mut self.counters),
            }
        }
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
                peer.send_aside(Probe::Answer(answer).write(), &mut self.counters);
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
}

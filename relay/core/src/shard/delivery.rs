//! From a room to its connections: who hears it here, which datagrams each view sends, and messages
//! to all participants.

use std::time::Instant;

use bytes::Bytes;
use tribune_protocol::ids::Channel;

use super::Shard;
use super::transmit::Departing;
use crate::media::fanout::{Accepted, Departure, RoomMedia};
use crate::messages::{Hears, LinkId, RoomId};

impl Shard {
    pub(super) fn broadcast(&mut self, room: RoomId, message: &Bytes) {
        let Some(media) = self.rooms.get(&room) else { return };
        let slots: Vec<u32> = media.participants().collect();
        for slot in slots {
            if let Some(link) = self.peers[slot as usize].as_ref().map(|peer| peer.link) {
                self.send_control(link, message.clone());
            }
        }
    }

    pub(super) fn attach(&mut self, link: LinkId, room: RoomId, hears: Hears) {
        let Some(peer) = self.peer(link) else { return };
        if peer.closed {
            return;
        }
        let channel = match hears {
            Hears::Trunk(channel) => channel,
            Hears::Everything | Hears::AllBut(_) | Hears::Nothing => Channel(0),
        };
        peer.rooms.retain(|(_, known)| *known != room);
        peer.rooms.push((channel, room));
        peer.speak_by = None; // it has joined
        self.room_mut(room).attach(link, hears);
    }

    /// Lets frames into the views of this shard. What is ready leaves with the next packets; until
    /// then more can join it, so that a shard that is behind sends fewer and larger ones.
    pub(super) fn forward(&mut self, now: Instant, room: RoomId, frames: &Accepted) {
        let Some(media) = self.rooms.get(&room) else { return };
        if media.is_full(frames.len()) {
            self.depart(now, room);
        }
        let Some(media) = self.rooms.get_mut(&room) else { return };
        media.handle_frames(now, frames, &mut self.counters);
        self.schedule(now, room);
    }

    /// Queues a room that has something to send now, or notes when it has.
    pub(super) fn schedule(&mut self, now: Instant, room: RoomId) {
        let Some(media) = self.rooms.get_mut(&room) else { return };
        if media.poll_ready(now, 0).is_none() {
            self.note_due(room);
        } else if media.set_queued(true) {
            self.ready.push_back(room);
        }
    }

    /// Takes out of a room what is ready to be sent.
    pub(super) fn depart(&mut self, now: Instant, room: RoomId) {
        let Some(media) = self.rooms.get_mut(&room) else { return };
        media.set_queued(false);
        let mut from = 0;
        while let Some(view) = media.poll_ready(now, from) {
            from = view + 1;
            let Departure { datagrams, frames, since, slots } = media.take(view);
            if let Some(since) = since {
                self.counters.hold.observe(now.saturating_duration_since(since));
            }
            self.counters.frames_forwarded += frames * slots.len() as u64;
            self.counters.datagrams_out += (datagrams.len() * slots.len()) as u64;
            let [slot] = slots[..] else {
                self.departing.push_back(Departing { datagrams, slots, given: 0 });
                continue;
            };
            // What a lone connection has to send beside it can share the packet: a trunk's rooms.
            let Some(peer) = self.peers[slot as usize].as_mut() else { continue };
            peer.send_datagrams(&datagrams, &mut self.counters);
            if !peer.dirty {
                peer.dirty = true;
                self.dirty.push_back(slot);
            }
        }
        self.note_due(room);
    }

    /// Notes until when a room's bundles wait at most.
    fn note_due(&mut self, room: RoomId) {
        let Some(due) = self.rooms.get(&room).and_then(RoomMedia::poll_timeout) else { return };
        let queued = self.bundles_due.iter().any(|(at, known)| *known == room && *at <= due);
        if !queued {
            // Every wait is one frame period, so the queue is in order of time.
            self.bundles_due.push_back((due, room));
        }
    }
}

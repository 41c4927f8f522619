//! From a room to its connections: who hears it here, which datagrams each view sends, and messages
//! to all participants.

use std::time::Instant;

use bytes::Bytes;
use tribune_protocol::ids::Channel;

use super::Shard;
use crate::crossing::{Hears, LinkId, RoomId};
use crate::media::fanout::{Accepted, Departure};

impl Shard {
    pub(super) fn broadcast(&mut self, now: Instant, room: RoomId, message: &Bytes) {
        let Some(media) = self.rooms.get(&room) else { return };
        let slots: Vec<u32> = media.participants().collect();
        for slot in slots {
            if let Some(link) = self.peers[slot as usize].as_ref().map(|peer| peer.link) {
                self.send_control(now, link, message.clone());
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
            Hears::Everything | Hears::AllBut(_) => Channel(0),
        };
        peer.rooms.retain(|(_, known)| *known != room);
        peer.rooms.push((channel, room));
        peer.speak_by = None; // it has joined
        self.room_mut(room).attach(link, hears);
    }

    /// Sends frames on: to the views of this shard, and to the other shards that hear the room.
    pub(super) fn forward(&mut self, now: Instant, room: RoomId, frames: &Accepted) {
        let Some(media) = self.rooms.get_mut(&room) else { return };
        media.handle_frames(now, frames, &mut self.counters);
        self.send_ready(now, room);
    }

    /// Sends every view that is ready, and notes when the next one is.
    pub(super) fn send_ready(&mut self, now: Instant, room: RoomId) {
        let Some(media) = self.rooms.get_mut(&room) else { return };
        let mut from = 0;
        while let Some(view) = media.poll_ready(now, from) {
            from = view + 1;
            let Departure { datagrams, frames, slots } = media.take(view);
            self.counters.frames_forwarded += frames * slots.len() as u64;
            self.counters.datagrams_out += (datagrams.len() * slots.len()) as u64;
            for slot in slots {
                let Some(peer) = self.peers[*slot as usize].as_mut() else { continue };
                for datagram in &datagrams {
                    let kept = peer.send_datagram(datagram.clone());
                    self.counters.send_dropped += u64::from(!kept);
                }
                if !peer.dirty {
                    peer.dirty = true;
                    self.dirty.push_back(*slot);
                }
            }
        }
        if let Some(due) = media.poll_timeout() {
            let queued = self.bundles_due.iter().any(|(at, known)| *known == room && *at <= due);
            if !queued {
                // Every wait is one frame period, so the queue is in order of time.
                self.bundles_due.push_back((due, room));
            }
        }
    }
}

//! Connections that come back: what they lack is replayed, and how far a lost trunk had come is told.

use std::time::Instant;

use rustc_hash::FxHashMap;
use tribune_protocol::control::participant::Heard;

use super::connection::{Peer, PeerKind};
use super::replay::Replay;
use crate::counters::ShardCounters;
use crate::media::fanout::RoomMedia;
use crate::messages::{LinkId, RoomId, ShardEvent};

impl Peer {
    /// Begins to send what is kept of a room after the frames that were heard last.
    pub(super) fn resume(
        &mut self,
        now: Instant,
        (link, id): (LinkId, RoomId),
        room: &RoomMedia,
        heard: &[Heard],
        counters: &mut ShardCounters,
    ) {
        let frames = room.kept_after(link, heard);
        let Some(channel) = self.channel(id).filter(|_| self.link == link && !frames.is_empty())
        else {
            return;
        };
        let replay = self.replay.get_or_insert_with(|| Box::new(Replay::new(now)));
        replay.add(channel, heard.len(), frames);
        self.replay(now, counters);
    }

    /// Sends the part of a replay that is due.
    pub(super) fn replay(&mut self, now: Instant, counters: &mut ShardCounters) {
        let Some(replay) = self.replay.as_mut() else { return };
        let datagrams = replay.poll(now);
        if replay.is_over() {
            self.replay = None;
        }
        counters.frames_replayed +=
            datagrams.iter().map(|datagram| u64::from(datagram.frames)).sum::<u64>();
        self.send_frames(now, &datagrams, counters);
    }

    /// How far the frames have come that a trunk to a parent brought; of anybody else nothing.
    pub(super) fn last_heard(&self, rooms: &FxHashMap<RoomId, RoomMedia>) -> Vec<ShardEvent> {
        let is_parent = matches!(self.kind, PeerKind::Parent(_));
        let ids = self.rooms.iter().filter(|_| is_parent).map(|(_, id)| *id);
        let heard = ids.filter_map(|room| {
            let heard = rooms.get(&room)?.last_heard(self.link);
            (!heard.is_empty()).then_some(ShardEvent::LastHeard { room, heard })
        });
        heard.collect()
    }
}

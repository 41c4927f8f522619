//! Connections that come back: what they lack is replayed, and how far a lost trunk had come is told.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tribune_protocol::ids::TrackId;

use super::connection::{Peer, PeerKind};
use super::replay::Replay;
use crate::counters::{DropCause, ShardCounters};
use crate::media::fanout::RoomMedia;
use crate::messages::{KeptFrame, LinkId, RoomId, ShardEvent, TrackRoute};

/// Begins to send a connection those of a room's kept frames that it may hear. Returns whether it is here.
pub(super) fn replay(
    now: Instant,
    (link, room): (LinkId, RoomId),
    kept: Vec<KeptFrame>,
    rooms: &FxHashMap<RoomId, RoomMedia>,
    peers: &mut [Option<Box<Peer>>],
    counters: &mut ShardCounters,
) -> bool {
    let tracks: BTreeSet<TrackId> = kept.iter().map(|kept| kept.track).collect();
    let peer = peers.get_mut(link.slot as usize).and_then(Option::as_mut);
    let Some(peer) = peer.filter(|peer| peer.link == link) else { return false };
    let frames = rooms.get(&room).map(|media| media.for_link(link, kept)).unwrap_or_default();
    peer.resume(now, room, (tracks.len(), frames), counters);
    true
}

/// Takes the frames of silenced tracks, and of those that are none any more, out of what waits for a room's
/// connections beside its views.
pub(super) fn forget_silenced(
    routes: &[TrackRoute],
    room: &RoomMedia,
    peers: &mut [Option<Box<Peer>>],
    counters: &mut ShardCounters,
) {
    let is_known = |track| routes.iter().any(|route| route.track == track && !route.silenced);
    for slot in room.participants() {
        let Some(peer) = peers[slot as usize].as_mut() else { continue };
        let in_groups = peer.groups.as_mut().map_or(0, |groups| groups.retain(is_known));
        let in_replay = peer.replay.as_mut().map_or(0, |replay| replay.retain(is_known));
        counters.frames_dropped.count(DropCause::Silenced, in_groups + in_replay);
    }
}

impl Peer {
    /// Begins to send frames of a room, of so many tracks, oldest first.
    fn resume(
        &mut self,
        now: Instant,
        room: RoomId,
        (tracks, frames): (usize, Vec<Bytes>),
        counters: &mut ShardCounters,
    ) {
        let Some(channel) = self.channel(room).filter(|_| !frames.is_empty()) else { return };
        let replay = self.replay.get_or_insert_with(|| Box::new(Replay::new(now)));
        replay.add(channel, tracks, frames);
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

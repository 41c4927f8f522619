//! The way of a frame, as in `tribune_relay_core::media`: every relay's every shard holds it against its
//! own routes at the moment of its arrival. A frame is a number; its audience on a shard is a count.

use std::time::Duration;

use tribune_protocol::ids::{Channel, TrackId};
use tribune_protocol::limits::FRAME_PERIOD;
use tribune_relay_core::messages::{Hears, LinkId, RoomId, ShardId};

use super::event::NetEvent;
use super::people::{ConnNo, PersonNo};
use super::shard::Peer;
use super::{HubNet, RelayNo};

/// A frame on its way.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// The speaker.
    pub speaker: PersonNo,
    /// The track that it claims.
    pub track: TrackId,
    /// Time at which the speaker's edge accepted it.
    pub accepted: Duration,
    /// The room's number on the trunk that it is on.
    channel: Option<Channel>,
}

impl HubNet {
    /// A speaker sends a frame, allowed or not, for as long as the connection is there.
    pub(super) fn handle_tick(&mut self, conn: ConnNo) {
        let Some((relay, link, speaker, track)) = self.people.voice(conn) else { return };
        self.schedule.push(self.now + FRAME_PERIOD, NetEvent::Tick { conn });
        let frame = Frame { speaker, track, accepted: self.now, channel: None };
        self.handle_frame(relay, link, frame);
    }

    /// A frame reaches the shard that owns the connection it came over.
    pub(super) fn handle_frame(&mut self, relay: RelayNo, link: LinkId, frame: Frame) {
        let shard = self.shard_ref(relay, link.shard);
        let Some((number, hears)) = shard.hears(link) else { return };
        let channel = match hears {
            Hears::Trunk(channel) => Some(channel),
            Hears::Everything | Hears::AllBut(_) | Hears::Nothing => None,
        };
        let room = self.shard(relay, link.shard).room_mut(number);
        let Some(room) = room.filter(|_| channel == frame.channel) else { return };
        let Some(route) = room.route(frame.track) else { return };
        let former = route.former.map(|former| former.link);
        if route.home != Some(link) && former != Some(link) || route.silenced {
            return;
        }
        if !room.is_new(frame.accepted, frame.speaker) {
            return;
        }
        let others = room.hosts.iter().filter(|other| *other != link.shard);
        for shard in others.collect::<Vec<_>>() {
            let at = self.now + self.weather.inside(&mut self.rng);
            self.schedule.push(at, NetEvent::SharedFrames { relay, shard, room: number, frame });
        }
        self.hand_out(relay, link.shard, number, frame);
    }

    /// A frame that another shard of the relay has let in.
    pub(super) fn handle_handover(
        &mut self,
        relay: RelayNo,
        shard: ShardId,
        room: RoomId,
        frame: Frame,
    ) {
        let Some(model) = self.shard(relay, shard).room_mut(room) else { return };
        let route = model.route(frame.track);
        if route.is_some_and(|route| !route.silenced) && model.is_new(frame.accepted, frame.speaker)
        {
            self.hand_out(relay, shard, room, frame);
        }
    }

    /// To everybody on the shard who hears the room, and to the trunks but the one it came from.
    fn hand_out(&mut self, relay: RelayNo, shard: ShardId, room: RoomId, frame: Frame) {
        let shard = self.shard_ref(relay, shard);
        let Some(room) = shard.room(room) else { return };
        let route = room.route(frame.track);
        let home = route.and_then(|route| route.home);
        let former = route.and_then(|route| route.former).filter(|former| !former.hears);
        let deaf = former.map(|former| former.link);
        let audience = room.audience(frame.track);
        let hears = |link: LinkId| Some(link) != home && Some(link) != deaf;
        let on = room.trunks.iter().filter(|(link, _)| hears(*link));
        let trunks: Vec<_> = on
            .filter_map(|(link, channel)| match shard.peer(*link) {
                Some(Peer::Trunk(trunk, side)) => Some((trunk, side, *channel)),
                Some(Peer::Person(_)) | None => None,
            })
            .collect();
        for (trunk, side, channel) in trunks {
            self.send_frame(trunk, side, Frame { channel: Some(channel), ..frame });
        }
        if audience > 0 {
            self.judge_heard(relay, frame, audience);
        }
    }
}

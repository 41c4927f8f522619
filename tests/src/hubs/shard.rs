//! A relay's shard as far as hubs notice it: which connections are open, who hears which room, which
//! routes are in force. What it accepts and in what order is as in `tribune_relay_core::shard`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::{Questions, ToParticipant};
use tribune_protocol::ids::{Channel, Revision, TrackId};
use tribune_relay_core::messages::{
    Hears, LinkId, RoomId, ShardCommand, ShardEvent, ShardId, ShardSet, TrackRoute,
};

use super::people::{ConnNo, PersonNo};
use super::trunk::{Side, TrunkNo};
use super::{HubNet, RelayNo, read};

/// One shard.
#[derive(Debug)]
pub(super) struct ShardModel {
    id: ShardId,
    slots: Vec<Slot>,
    free: Vec<u32>,
    generation: u32,
    rooms: BTreeMap<RoomId, RoomModel>,
    /// Arrival of the last commands in flight; later ones do not overtake them.
    pub(super) last_command: Duration,
    /// Arrival of the last events in flight to the hub.
    pub(super) last_event: Duration,
}

/// Peer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Person(ConnNo),
    /// A trunk, of which this is that side.
    Trunk(TrunkNo, Side),
}

#[derive(Debug)]
struct Slot {
    link: LinkId,
    peer: Option<Peer>,
    hears: Option<(RoomId, Hears)>,
}

/// A room on a shard.
#[derive(Debug, Default)]
pub(super) struct RoomModel {
    pub(super) tracks: Option<Arc<[TrackRoute]>>,
    pub(super) revision: Revision,
    pub(super) hosts: ShardSet,
    /// Participants that hear the room.
    pub(super) receivers: u64,
    /// Those of them who do not hear their own track.
    pub(super) speaking: Vec<(LinkId, TrackId)>,
    pub(super) trunks: Vec<(LinkId, Channel)>,
    /// The last count of listeners that was sent to everybody.
    pub(super) count_said: Option<u64>,
    /// Questions and totals, as everybody was told last, and when.
    pub(super) questions: Option<(Duration, Questions)>,
    /// Messages of the audience, as everybody was told last, and when.
    pub(super) texts: Option<(Duration, u64)>,
    /// Frames that have come, oldest first, as many as a ring keeps of a few speakers.
    seen: BTreeSet<(Duration, PersonNo)>,
}

/// Frames that a shard knows again.
const SEEN: usize = 512;

impl RoomModel {
    pub(super) fn route(&self, track: TrackId) -> Option<&TrackRoute> {
        self.tracks.as_ref()?.iter().find(|route| route.track == track)
    }

    /// Participants that hear a track.
    pub(super) fn audience(&self, track: TrackId) -> u64 {
        let own = self.speaking.iter().filter(|(_, own)| *own == track).count();
        self.receivers - own as u64
    }

    /// Whether a frame has not come before.
    pub(super) fn is_new(&mut self, accepted: Duration, speaker: PersonNo) -> bool {
        if self.seen.len() > SEEN {
            self.seen.pop_first();
        }
        self.seen.insert((accepted, speaker))
    }

    fn forget(&mut self, link: LinkId, hears: Hears) {
        match hears {
            Hears::Everything => self.receivers -= 1,
            Hears::AllBut(_) => {
                self.receivers -= 1;
                self.speaking.retain(|(known, _)| *known != link);
            }
            Hears::Trunk(_) => self.trunks.retain(|(known, _)| *known != link),
            Hears::Nothing => {}
        }
    }
}

impl ShardModel {
    pub(super) fn new(id: ShardId) -> Self {
        Self {
            id,
            slots: Vec::new(),
            free: Vec::new(),
            generation: 0,
            rooms: BTreeMap::new(),
            last_command: Duration::ZERO,
            last_event: Duration::ZERO,
        }
    }

    /// Opens a connection.
    pub(super) fn open(&mut self, peer: Peer) -> LinkId {
        self.generation += 1;
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let link = LinkId { shard: self.id, slot, generation: self.generation };
        let entry = Slot { link, peer: Some(peer), hears: None };
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = entry,
            None => self.slots.push(entry),
        }
        link
    }

    /// Peer of a connection, if it is open.
    pub(super) fn peer(&self, link: LinkId) -> Option<Peer> {
        self.slot(link)?.peer
    }

    /// Subscription of a connection.
    pub(super) fn hears(&self, link: LinkId) -> Option<(RoomId, Hears)> {
        self.slot(link)?.hears
    }

    pub(super) fn room(&self, room: RoomId) -> Option<&RoomModel> {
        self.rooms.get(&room)
    }

    pub(super) fn room_mut(&mut self, room: RoomId) -> Option<&mut RoomModel> {
        self.rooms.get_mut(&room)
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomModel> {
        self.rooms.values()
    }

    /// Closes a connection, and takes it out of its room. Who was at the other end, if it was open.
    pub(super) fn close(&mut self, link: LinkId) -> Option<Peer> {
        self.detach(link, None);
        let slot = self.slots.get_mut(link.slot as usize).filter(|slot| slot.link == link)?;
        let peer = slot.peer.take()?;
        self.free.push(link.slot);
        Some(peer)
    }

    fn attach(&mut self, link: LinkId, room: RoomId, hears: Hears) {
        if self.peer(link).is_none() {
            return;
        }
        self.detach(link, None);
        self.slots[link.slot as usize].hears = Some((room, hears));
        let room = self.rooms.entry(room).or_default();
        match hears {
            Hears::Everything => room.receivers += 1,
            Hears::AllBut(track) => {
                room.receivers += 1;
                room.speaking.push((link, track));
            }
            Hears::Trunk(channel) => room.trunks.push((link, channel)),
            Hears::Nothing => {}
        }
    }

    /// Takes a connection out of that room, or of whichever it hears.
    fn detach(&mut self, link: LinkId, from: Option<RoomId>) {
        let slot = self.slots.get_mut(link.slot as usize).filter(|slot| slot.link == link);
        let Some(slot) = slot else { return };
        let Some((room, hears)) = slot.hears else { return };
        if from.is_some_and(|from| from != room) {
            return;
        }
        slot.hears = None;
        if let Some(room) = self.rooms.get_mut(&room) {
            room.forget(link, hears);
        }
    }

    fn slot(&self, link: LinkId) -> Option<&Slot> {
        self.slots.get(link.slot as usize).filter(|slot| slot.link == link)
    }
}

impl HubNet {
    pub(super) fn handle_command(&mut self, relay: RelayNo, shard: ShardId, command: ShardCommand) {
        match command {
            ShardCommand::Send { link, message } => self.send(relay, link, message),
            ShardCommand::Broadcast { room, message } => {
                self.broadcast(relay, shard, room, &message);
            }
            ShardCommand::Close { link, code, .. } => self.close(relay, link, code),
            ShardCommand::Attach { link, room, view } => {
                self.shard(relay, shard).attach(link, room, view.hears);
                self.note_subscription(relay, link);
            }
            ShardCommand::Detach { link, room } => {
                self.shard(relay, shard).detach(link, Some(room));
                self.note_subscription(relay, link);
            }
            ShardCommand::Routes { room, revision, tracks } => {
                let model = self.shard(relay, shard).rooms.entry(room).or_default();
                model.tracks = Some(tracks);
                model.revision = revision;
                self.tell_hub(relay, shard, ShardEvent::InForce { room, revision });
                self.judge_routes(relay);
            }
            ShardCommand::Hosts { room, shards } => {
                self.shard(relay, shard).rooms.entry(room).or_default().hosts = shards;
            }
            ShardCommand::Forget { room } => {
                self.shard(relay, shard).rooms.remove(&room);
                self.judge_routes(relay);
            }
            ShardCommand::Dial { .. } => unreachable!("the hub asks its owner to dial"),
            ShardCommand::Resume { .. } | ShardCommand::Clock(_) => {}
            ShardCommand::CloseAll(_) => unreachable!("no relay of the net ends"),
        }
    }

    /// The relay ends: every connection is closed, and nothing of a room is left.
    pub(super) fn close_all(&mut self, relay: RelayNo, code: CloseCode) {
        for shard in 0..self.relays[relay.0].shards.len() {
            let slots = &self.relays[relay.0].shards[shard].slots;
            let open = slots.iter().filter(|slot| slot.peer.is_some()).map(|slot| slot.link);
            for link in open.collect::<Vec<_>>() {
                self.close(relay, link, code);
            }
            self.relays[relay.0].shards[shard].rooms.clear();
        }
    }

    pub(super) fn shard(&mut self, relay: RelayNo, shard: ShardId) -> &mut ShardModel {
        &mut self.relays[relay.0].shards[usize::from(shard.0)]
    }

    pub(super) fn shard_ref(&self, relay: RelayNo, shard: ShardId) -> &ShardModel {
        &self.relays[relay.0].shards[usize::from(shard.0)]
    }

    fn send(&mut self, relay: RelayNo, link: LinkId, message: Bytes) {
        match self.shard(relay, link.shard).peer(link) {
            Some(Peer::Person(conn)) => {
                self.witness(relay, &message);
                let (request, message) = read::<ToParticipant>(&message);
                self.handle_told(conn, request, message);
            }
            Some(Peer::Trunk(trunk, side)) => self.send_on_trunk(trunk, side, message),
            None => {}
        }
    }

    /// Everybody hears the same, so it is read once; those who act take note of it.
    fn broadcast(&mut self, relay: RelayNo, shard: ShardId, room: RoomId, message: &Bytes) {
        self.witness(relay, message);
        let (_, message) = read::<ToParticipant>(message);
        let now = self.now;
        let Some(room) = self.shard(relay, shard).rooms.get_mut(&room) else { return };
        // What single ones do with the rest is none of a shard's business.
        if let ToParticipant::Listeners { count } = message {
            room.count_said = Some(count);
        } else if let ToParticipant::Questions(questions) = message {
            room.questions = Some((now, questions));
        } else if let ToParticipant::Texts { total, .. } = message {
            room.texts = Some((now, total));
        }
    }

    /// Questions, and messages in all, as those at a relay were told last; `None` before.
    #[must_use]
    pub fn totals(&self, relay: RelayNo) -> Option<(Questions, u64)> {
        let mut rooms = self.relays[relay.0].shards.iter().flat_map(ShardModel::rooms);
        let room = rooms.find(|room| room.questions.is_some())?;
        let (_, questions) = room.questions.clone()?;
        Some((questions, room.texts.map_or(0, |(_, total)| total)))
    }

    /// Voice activity of speakers at a relay in one second.
    pub fn report_talk(&mut self, relay: RelayNo, at_s: u64, tracks: BTreeMap<TrackId, u64>) {
        let shards = self.relays[relay.0].shards.iter();
        let room = shards.flat_map(|shard| shard.rooms.keys()).next().copied();
        if let Some(room) = room {
            self.tell_hub(relay, ShardId(0), ShardEvent::Talk { room, at_s, tracks });
        }
    }

    /// The relay closes a connection.
    fn close(&mut self, relay: RelayNo, link: LinkId, code: CloseCode) {
        match self.shard(relay, link.shard).close(link) {
            Some(Peer::Person(conn)) => self.handle_thrown_out(conn, code),
            Some(Peer::Trunk(trunk, side)) => self.trunk_closed_by(trunk, side),
            None => {}
        }
    }
}

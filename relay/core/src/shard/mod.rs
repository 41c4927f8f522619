//! Shard of a relay: an event loop's worth of connections and the rooms that they hear. Pure: it takes the time,
//! packets and commands, and gives packets and events. A driver runs it on a thread, the simulated network in tests.
//!
//! Call `handle_*` with the input, drain [`Shard::poll_transmit`], [`Shard::poll_event`] and
//! [`Shard::poll_shard_message`], wait until [`Shard::poll_timeout`] or the next input.
//!
//! * [`connection`] — state of each connection
//! * [`intake`] — connections from their attempt to their end, control streams
//! * [`message`] — a message of the control stream as an event
//! * [`browser`], [`farewell`] — HTTP/3 around a browser's session; the close of any connection
//! * [`datagrams`] — frames in, through a room's views, and packets out
//! * [`groups`], [`speech`] — frames on streams; who speaks, for the statistics
//! * [`resume`], [`replay`], [`pressure`] — frames for a connection that comes back; packing when behind
//! * [`steering`], [`timers`], [`bucket`], [`limits`], [`keys`] (under resets, Retry tokens, connection IDs) — parts

mod browser;
mod bucket;
mod config;
mod connection;
mod datagrams;
mod farewell;
mod groups;
mod intake;
pub mod keys;
pub mod limits;
mod message;
mod pressure;
mod replay;
mod resume;
mod speech;
pub mod steering;
mod timers;
mod trunk;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{DatagramEvent, Endpoint, Incoming};
use rustc_hash::FxHashMap;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::ids::Channel;
use tribune_protocol::time::Offset;

pub use self::config::{Outgoing, ShardConfig};
use self::connection::{Peer, PeerKind};
use self::datagrams::Departing;
use self::farewell::Farewell;
use self::limits::{REPLIES_WAITING, TIMEOUTS_PER_TURN};
use self::pressure::Pressure;
use self::speech::{Speech, origin_us};
use self::timers::{Timers, pop_due};
use crate::counters::{DropCause, HandshakeResult, ShardCounters};
use crate::media::fanout::RoomMedia;
use crate::messages::{
    Hears, LinkId, Packet, RoomId, ShardCommand, ShardEvent, ShardId, ShardMessage, ViewKey,
};

/// One event loop's worth of a relay. See the module's documentation.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    endpoint: Endpoint,
    peers: Vec<Option<Box<Peer>>>,
    generation: u32,
    handshaking: usize,
    rooms: FxHashMap<RoomId, RoomMedia>,
    /// Rooms to be looked at for ready views; one entry a room, while a bundle waits.
    bundles_due: BTreeSet<(Instant, RoomId)>,
    /// When a room is to be looked at for missing frames; one entry a room, while somebody talks.
    repairs_due: BTreeSet<(Instant, RoomId)>,
    speech: Speech,
    /// Offset of the origin's clock, and the estimate's time.
    clock: Option<(Offset, Instant)>,
    timers: Timers,
    incoming: VecDeque<Incoming>,
    /// Rooms with a view that is ready to send.
    ready: VecDeque<RoomId>,
    /// Frames on their way to the connections of their views.
    departing: VecDeque<Departing>,
    /// Connections that may have something to send; those whose control stream waits for the hub.
    dirty: VecDeque<u32>,
    unread: VecDeque<u32>,
    replies: VecDeque<Outgoing>,
    events: VecDeque<ShardEvent>,
    shard_messages: VecDeque<(ShardId, ShardMessage)>,
    counters: ShardCounters,
    pressure: Pressure,
}

impl Shard {
    /// A shard without connections.
    #[must_use]
    pub fn new(config: ShardConfig) -> Self {
        let server = Some(Arc::clone(&config.server));
        Self {
            endpoint: Endpoint::new(Arc::clone(&config.endpoint), server, false, None),
            peers: Vec::new(),
            generation: 0,
            handshaking: 0,
            rooms: FxHashMap::default(),
            bundles_due: BTreeSet::new(),
            repairs_due: BTreeSet::new(),
            speech: Speech::default(),
            clock: None,
            timers: Timers::new(config.wall.at),
            incoming: VecDeque::new(),
            ready: VecDeque::new(),
            departing: VecDeque::new(),
            dirty: VecDeque::new(),
            unread: VecDeque::new(),
            replies: VecDeque::new(),
            events: VecDeque::new(),
            shard_messages: VecDeque::new(),
            counters: ShardCounters::default(),
            pressure: Pressure::default(),
            config,
        }
    }

    /// A packet off the socket: handled here, or given to the shard that owns its connection.
    pub fn handle_packet(&mut self, now: Instant, packet: Packet) {
        self.counters.packets_in += 1;
        self.counters.bytes_in += packet.payload.len() as u64;
        match self.config.steering.owner(&packet.payload) {
            Some(owner) if owner != self.config.id => {
                self.counters.steered_out += 1;
                self.shard_messages.push_back((owner, ShardMessage::Packet(packet)));
            }
            Some(_) | None => self.handle_own_packet(now, packet),
        }
    }

    /// A message of another shard of this relay.
    pub fn handle_shard_message(&mut self, now: Instant, shard_message: ShardMessage) {
        match shard_message {
            ShardMessage::Frames(shared) => {
                self.counters.handover_in += shared.frames.len() as u64;
                let Some(room) = self.rooms.get_mut(&shared.room) else {
                    let (cause, frames) = (DropCause::RoomGone, shared.frames.len() as u64);
                    return self.counters.frames_dropped.count(cause, frames);
                };
                let frames = room.handle_shared(&shared.frames, &mut self.counters);
                self.forward(now, shared.room, &frames);
            }
            ShardMessage::Wanted { link, room, heard } => {
                let frames = self.rooms.get(&room).map(|media| media.kept_after(&heard));
                let kept = ShardMessage::Kept { link, room, frames: frames.unwrap_or_default() };
                match link.shard == self.config.id {
                    true => self.handle_shard_message(now, kept),
                    false => self.shard_messages.push_back((link.shard, kept)),
                }
            }
            ShardMessage::Kept { link, room, frames } => {
                let (peers, counters) = (&mut self.peers, &mut self.counters);
                if resume::replay(now, (link, room), frames, &self.rooms, peers, counters) {
                    self.mark_dirty(link.slot);
                }
            }
            ShardMessage::Packet(packet) => {
                self.counters.steered_in += 1;
                self.handle_own_packet(now, packet);
            }
        }
    }

    /// A command of the hub. One for a connection that is gone is ignored.
    pub fn handle_command(&mut self, now: Instant, command: ShardCommand) {
        match command {
            ShardCommand::Send { link, message } => self.send_control(link, message),
            ShardCommand::Broadcast { room, message } => self.broadcast(room, &message),
            ShardCommand::Close { link, code, reason } => {
                if self.peer(link).is_some() {
                    self.close(link.slot, code, reason);
                }
            }
            ShardCommand::Dial { dial, parent, address, server_name } => {
                self.dial(now, dial, parent, address, &server_name);
            }
            ShardCommand::Attach { link, room, view } => self.attach(link, room, view),
            ShardCommand::Resume { link, room, heard, keeper } => {
                let wanted = ShardMessage::Wanted { link, room, heard };
                match keeper {
                    Some(keeper) => self.shard_messages.push_back((keeper, wanted)),
                    None => self.handle_shard_message(now, wanted),
                }
            }
            ShardCommand::Detach { link, room } => {
                if let Some(peer) = self.peer(link) {
                    peer.rooms.retain(|(_, known)| *known != room);
                }
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.detach(link);
                }
            }
            ShardCommand::Routes { room, revision, tracks } => {
                let top_n = self.config.top_n;
                let media = self.rooms.entry(room).or_insert_with(|| RoomMedia::new(top_n));
                media.set_routes(&tracks, &mut self.counters);
                resume::forget_silenced(&tracks, media, &mut self.peers, &mut self.counters);
                self.events.push_back(ShardEvent::InForce { room, revision });
            }
            ShardCommand::Hosts { room, shards } => self.room_mut(room).set_hosts(shards),
            ShardCommand::Forget { room } => {
                let Some(media) = self.rooms.remove(&room) else { return };
                if let Some(check) = media.repair_check() {
                    self.repairs_due.remove(&(check, room));
                }
                if let Some(check) = media.bundle_check() {
                    self.bundles_due.remove(&(check, room));
                }
            }
            ShardCommand::Clock(offset) => self.clock = offset.map(|offset| (offset, now)),
            ShardCommand::CloseAll(code) => {
                for slot in 0..self.peers.len() as u32 {
                    self.close_and_tell(slot, code, code.to_string());
                }
            }
        }
    }

    /// Handles the passing of time: waiting bundles, QUIC's timers, connection attempts that wait.
    /// To be called in every turn of the loop, after the packets.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(room) = pop_due(&mut self.bundles_due, now) {
            self.schedule(now, room);
        }
        while let Some(room) = pop_due(&mut self.repairs_due, now) {
            self.ask_for_missing(now, room);
        }
        for _ in 0..TIMEOUTS_PER_TURN {
            let Some(slot) = self.timers.poll_due(now) else { break };
            self.handle_deadline(now, slot);
        }
        let origin_us = origin_us(self.clock, self.config.wall.unix_us(now));
        self.events.extend(self.speech.take_complete(now, origin_us));
        self.read_unread(now);
        self.admit(now);
    }

    /// Takes the share of the last fifth of a second that was spent at work.
    pub fn handle_busy(&mut self, busy_ppm: u64) {
        self.counters.busy_ppm = busy_ppm;
        if self.pressure.handle_share(busy_ppm) {
            self.counters.packing = u64::from(self.pressure.is_packing());
            let (shard, is_packing) = (self.config.id.0, self.pressure.is_packing());
            tracing::warn!(shard, is_packing, "listeners get several frames a packet while behind");
        }
    }

    /// When to call [`Self::handle_timeout`] next, without other input.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if !self.incoming.is_empty() {
            return Some(now);
        }
        let first = |due: &BTreeSet<(Instant, RoomId)>| due.first().map(|(due, _)| *due);
        let rooms = [first(&self.bundles_due), first(&self.repairs_due), self.speech.check_at()];
        rooms.into_iter().chain([self.timers.poll_timeout()]).flatten().min()
    }

    /// The next event for the hub.
    pub fn poll_event(&mut self) -> Option<ShardEvent> {
        self.events.pop_front()
    }

    /// The next message to another shard.
    pub fn poll_shard_message(&mut self) -> Option<(ShardId, ShardMessage)> {
        self.shard_messages.pop_front()
    }

    /// Counters of the shard.
    #[must_use]
    pub fn counters(&mut self) -> &mut ShardCounters {
        self.counters.circuit_breakers_opened += self.config.congestion.take_opened();
        self.counters.connections = self.endpoint.open_connections() as u64;
        self.counters.rooms = self.rooms.len() as u64;
        self.counters.queue_to_hub = self.events.len() as u64;
        self.counters.set_audiences(self.rooms.values().map(RoomMedia::audiences));
        &mut self.counters
    }

    fn handle_own_packet(&mut self, now: Instant, packet: Packet) {
        let Packet { remote, local_ip, ecn, payload } = packet;
        let bytes = payload.len();
        let mut reply = Vec::new();
        let event = self.endpoint.handle(now, remote, local_ip, ecn, payload, &mut reply);
        match event {
            None => {}
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(peer) = self.peers[handle.0].as_mut() {
                    peer.conn.handle_event(event);
                    self.answer(now, handle.0 as u32, bytes);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.handle_incoming(incoming),
            Some(DatagramEvent::Response(transmit)) => {
                self.reply(transmit.destination, reply, transmit.size);
            }
        }
    }

    fn attach(&mut self, link: LinkId, room: RoomId, view: ViewKey) {
        let Some(peer) = self.peer(link) else { return };
        if peer.closed {
            return;
        }
        let channel = match view.hears {
            Hears::Trunk(channel) => channel,
            Hears::Everything | Hears::AllBut(_) | Hears::Nothing => Channel(0),
        };
        peer.rooms.retain(|(_, known)| *known != room);
        peer.rooms.push((channel, room));
        peer.speak_by = None; // it has joined
        // What the view before has gathered and not sent is not to be missed.
        let waiting = self.room_mut(room).attach(link, view);
        if let Some(peer) = self.peers[link.slot as usize].as_mut() {
            peer.set_profile(view.profile, &mut self.counters);
            peer.send_datagrams(&waiting, &mut self.counters);
            self.mark_dirty(link.slot);
        }
    }

    fn handle_deadline(&mut self, now: Instant, slot: u32) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        if peer.conn.poll_timeout().is_some_and(|deadline| deadline <= now) {
            peer.conn.handle_timeout(now);
        }
        peer.replay(now, &mut self.counters);
        if peer.speak_by.is_some_and(|deadline| deadline <= now) && !peer.closed {
            let code = CloseCode::JoinTimeout;
            self.close_and_tell(slot, code, code.to_string());
        }
        self.drive(now, slot);
    }

    /// Closes a connection that the hub may know, and tells the hub.
    fn close_and_tell(&mut self, slot: u32, code: CloseCode, why: String) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        if peer.closed {
            return;
        }
        self.events.extend(peer.last_heard(&self.rooms));
        self.events.extend(peer.news_of_end(why.clone()));
        self.close(slot, code, why);
    }

    /// Closes a connection and takes it out of its rooms. Queued messages, such as the reason, leave
    /// before: QUIC drops its queue when a connection closes.
    fn close(&mut self, slot: u32, code: CloseCode, reason: String) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        if !peer.closed {
            peer.farewell = Some(Farewell::new(peer.web.as_deref(), code, reason).into());
        }
        self.forget_peer(slot);
        self.mark_dirty(slot);
    }

    /// Takes a connection out of everything but QUIC's own end of it.
    fn forget_peer(&mut self, slot: u32) {
        let Some(peer) = self.peers[slot as usize].as_mut() else { return };
        if peer.closed {
            return;
        }
        peer.closed = true;
        peer.replay = None;
        peer.speak_by = None;
        self.counters.connections_closed += 1;
        if matches!(peer.kind, PeerKind::Arriving | PeerKind::Dialling(_)) {
            self.handshaking -= 1;
            self.counters.handshakes.count(HandshakeResult::Failed, 1);
        } else {
            self.counters.ended.count(peer.transport(), 1);
        }
        for (_, room) in std::mem::take(&mut peer.rooms) {
            if let Some(room) = self.rooms.get_mut(&room) {
                room.detach(peer.link);
            }
        }
    }

    /// Queues a packet that belongs to no connection.
    pub(super) fn reply(&mut self, destination: SocketAddr, mut payload: Vec<u8>, size: usize) {
        if self.replies.len() < REPLIES_WAITING {
            payload.truncate(size);
            self.replies.push_back(Outgoing { destination: Some(destination), payload });
        }
    }

    fn peer(&mut self, link: LinkId) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(link.slot as usize)?.as_mut()?;
        (peer.link == link).then_some(peer)
    }

    fn room_mut(&mut self, room: RoomId) -> &mut RoomMedia {
        self.rooms.entry(room).or_insert_with(|| RoomMedia::new(self.config.top_n))
    }
}

//! A participant of the simulation as the command `tribune` runs it: the whole machine of the client's core
//! with the settings of its QUIC, driven as `tribune_client::session` does. It hands out frames to be heard
//! and takes frames that are spoken; sound is the caller's.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    Dir, EndpointConfig, Event as QuicEvent, RandomConnectionIdGenerator, StreamEvent, StreamId,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tribune_client::session::quic::{failure_of, quic_config};
use tribune_client_core::clock::LocalClock;
use tribune_client_core::delivery::Delivery;
use tribune_client_core::encoding::Encoding;
use tribune_client_core::frame::{ReceivedFrame, SpokenFrame};
use tribune_client_core::participant::{
    Config, ConnectionId, Event, Link as LinkState, Output, Participant,
};
use tribune_client_core::reconnect::{End, Failure};
use tribune_protocol::ALPN_PARTICIPANT;
use tribune_protocol::control::participant::{Join, ToParticipant};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{SessionKey, TrackId};
use tribune_protocol::quality::report::Report;
use tribune_relay::tls::{ServerTrust, client_tls};
use tribune_relay_core::shard::keys::MasterKeys;

use super::client::link::ClientLink;
use super::network::client_address;
use super::relay::{display_name, first_cids};
use super::{Arrival, EPOCH_US, HostId, Sent};

/// Connections of one participant in a run. Each has a socket, and so an address, of its own.
const CONNECTIONS: u16 = 64;
/// Frames that wait to be heard, as in `tribune_client::session`: a second of four speakers.
const HEARD_MAX: usize = 200;
/// Rounds of a turn after which the machine is taken to spin.
const ROUNDS: u32 = 1_000;

/// Manner of listening that a participant asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listening {
    /// `None`: the room's choice.
    pub profile: Option<Profile>,
    /// Delay of playout, where the profile has one; `None`: the room's.
    pub playout_delay: Option<Duration>,
}

/// Packets that have reached a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// How many.
    pub packets: u64,
    /// Their UDP payload, in bytes.
    pub udp_bytes: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct SimParticipant {
    host: HostId,
    now: Instant,
    rng: StdRng,
    machine: Participant,
    /// Connections up or on the way, and those that are being closed.
    slots: Vec<Slot>,
    dialled: u16,
    heard: VecDeque<ReceivedFrame>,
    dropped: u64,
    is_in_room: bool,
    track: Option<TrackId>,
    /// How frames come, as it has been told.
    delivery: Delivery,
    /// A change of the encoder's settings that has not been taken.
    encoding: Option<Encoding>,
    clock: LocalClock,
    reconnects: u32,
    end: Option<End>,
    traffic: Traffic,
}

#[derive(Debug)]
struct Slot {
    id: ConnectionId,
    link: ClientLink,
    local: SocketAddr,
    phase: Phase,
    /// Streams with frames that may have something to read.
    streams: Vec<StreamId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Dialling,
    Up,
    /// The machine has been told that it is over, or wants no more of it.
    Over,
}

/// The join of a participant with a session key of one's choice.
pub(super) fn join(name: &str, room: &str, role: Role, session: [u8; 16]) -> Join {
    Join {
        room: room.parse().expect("a room of the simulation has a valid name"),
        session: SessionKey(session),
        name: display_name(name),
        role,
        token: None,
        returning: false,
        heard: Vec::new(),
        profile: None,
        redundancy: true,
        way: None,
        share: None,
        stay_s: None,
    }
}

/// The addresses that a participant needs.
pub(super) fn addresses(host: HostId) -> impl Iterator<Item = SocketAddr> {
    (0..CONNECTIONS).map(move |n| client_address(host, n))
}

impl SimParticipant {
    pub(super) fn new(
        now: Instant,
        host: HostId,
        relay: &str,
        (join, listening): (Join, Listening),
        seed: u64,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let relay = relay.parse().expect("an address of the simulation is an address");
        let Listening { profile, playout_delay } = listening;
        let join = Join { profile, ..join };
        let config = Config { addresses: vec![relay], join, waits_for_room: true, playout_delay };
        let clock = LocalClock::new(now, EPOCH_US);
        let chance = StdRng::seed_from_u64(rng.random());
        let machine = Participant::new(now, config, clock, chance);
        Self {
            host,
            now,
            rng,
            machine,
            slots: Vec::new(),
            dialled: 0,
            heard: VecDeque::new(),
            dropped: 0,
            is_in_room: false,
            track: None,
            delivery: Delivery::new(playout_delay),
            encoding: None,
            clock,
            reconnects: 0,
            end: None,
            traffic: Traffic::default(),
        }
    }

    /// Whether the room has let it in, and it has not lost the connection since.
    #[must_use]
    pub const fn is_in_room(&self) -> bool {
        self.is_in_room
    }

    /// The track to speak on.
    #[must_use]
    pub const fn track(&self) -> Option<TrackId> {
        self.track
    }

    /// How often it has come back or moved to another relay.
    #[must_use]
    pub const fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// How its stay ended.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The path to the origin, and counts of frames.
    #[must_use]
    pub const fn link(&self) -> LinkState {
        LinkState { dropped_frames: self.dropped, ..*self.machine.link() }
    }

    /// How frames come to it, as it has been told.
    #[must_use]
    pub const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Its clock.
    #[must_use]
    pub const fn clock(&self) -> LocalClock {
        self.clock
    }

    /// Packets that have reached it.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Frames that came since the last call, in order.
    pub fn take_heard(&mut self) -> VecDeque<ReceivedFrame> {
        std::mem::take(&mut self.heard)
    }

    /// Speaks a frame on its own track.
    pub fn speak(&mut self, frame: SpokenFrame) {
        self.machine.handle_spoken(self.now, frame);
    }

    /// How its encoder is to be set from now on, if that has changed since the last call.
    pub const fn take_encoding(&mut self) -> Option<Encoding> {
        self.encoding.take()
    }

    /// Sends a report of what it hears.
    pub fn report(&mut self, report: Report) {
        self.machine.handle_report(self.now, report);
    }

    pub(super) const fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    pub(super) fn receive(&mut self, arrival: Arrival) {
        self.traffic.packets += 1;
        self.traffic.udp_bytes += arrival.payload.len() as u64;
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.local == arrival.to) {
            slot.link.handle_packet(self.now, arrival);
        }
    }

    /// Does what there is to do, and gives the time at which to call it next.
    pub(super) fn turn(&mut self, base: Instant, sent: &mut Vec<Sent>) -> Option<Duration> {
        let now = self.now;
        for slot in &mut self.slots {
            slot.link.handle_timeout(now);
        }
        let mut rounds = 0;
        while self.read() | self.handle_timeout() | self.carry_out() {
            rounds += 1;
            assert!(rounds < ROUNDS, "participant {} spins", self.host.0);
        }
        let at = now.saturating_duration_since(base);
        for slot in &mut self.slots {
            slot.link.transmit(now, at, slot.local, sent);
        }
        self.slots.retain(|slot| slot.phase != Phase::Over || !slot.link.is_drained());
        let links = self.slots.iter_mut().filter_map(|slot| slot.link.next_deadline(base, at));
        let machine = self.machine.poll_timeout().map(|due| due.saturating_duration_since(base));
        links.chain(machine).min()
    }

    /// Takes everything off the connections. Whether there was anything.
    fn read(&mut self) -> bool {
        let mut any = false;
        for n in 0..self.slots.len() {
            while let Some(event) = self.slots[n].link.poll_event() {
                any = true;
                self.handle_event(n, event);
            }
            let Slot { id, link, phase, streams, .. } = &mut self.slots[n];
            if *phase != Phase::Up {
                continue;
            }
            if self.machine.takes_datagrams(*id) {
                for stream in streams.drain(..) {
                    any = true;
                    let (bytes, is_over) = link.read_stream(stream);
                    self.machine.handle_stream(self.now, *id, (stream.index(), is_over), &bytes);
                }
            }
            while self.machine.takes_datagrams(*id)
                && let Some(datagram) = link.read_datagram()
            {
                any = true;
                self.machine.handle_datagram(self.now, *id, datagram);
            }
        }
        any
    }

    fn handle_event(&mut self, n: usize, event: QuicEvent) {
        let (now, slot) = (self.now, &mut self.slots[n]);
        let id = slot.id;
        match event {
            QuicEvent::Connected => {
                if slot.phase == Phase::Dialling {
                    slot.phase = Phase::Up;
                    self.machine.handle_connected(now, id, slot.link.path());
                }
            }
            QuicEvent::ConnectionLost { reason } => {
                let is_known = std::mem::replace(&mut slot.phase, Phase::Over) == Phase::Over;
                if !is_known {
                    // The last words of the relay before it closed come first.
                    for bytes in slot.link.read_control() {
                        self.machine.handle_control(now, id, &bytes);
                    }
                    self.machine.handle_closed(now, id, failure_of(&reason));
                }
            }
            QuicEvent::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                slot.streams.extend(slot.link.accept_streams());
            }
            QuicEvent::Stream(StreamEvent::Readable { id: stream }) if stream.dir() == Dir::Uni => {
                slot.streams.push(stream);
            }
            QuicEvent::Stream(StreamEvent::Readable { .. }) => {
                if slot.phase == Phase::Up {
                    for bytes in slot.link.read_control() {
                        self.machine.handle_control(now, id, &bytes);
                    }
                }
            }
            QuicEvent::HandshakeDataReady
            | QuicEvent::DatagramReceived
            | QuicEvent::DatagramsUnblocked
            | QuicEvent::Stream(
                StreamEvent::Opened { .. }
                | StreamEvent::Writable { .. }
                | StreamEvent::Finished { .. }
                | StreamEvent::Stopped { .. }
                | StreamEvent::Available { .. },
            ) => {}
        }
    }

    /// Has the machine do what is due. Whether anything was.
    fn handle_timeout(&mut self) -> bool {
        let now = self.now;
        if self.machine.poll_timeout().is_none_or(|due| due > now) {
            return false;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.phase == Phase::Up) {
            self.machine.handle_path(now, slot.id, slot.link.path());
        }
        self.machine.handle_timeout(now);
        true
    }

    /// Does what the machine wants done. Whether it wanted anything.
    fn carry_out(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.machine.poll_output() {
            any = true;
            match output {
                Output::Dial { connection, to } => {
                    let to = to.to_string().parse();
                    self.dial(connection, to.expect("relays of the simulation have IP addresses"));
                }
                Output::Control { connection, bytes } => {
                    if let Some(link) = self.up(connection) {
                        link.send_control(Duration::ZERO, bytes);
                    }
                }
                Output::Datagram { connection, bytes } => {
                    if let Some(link) = self.up(connection) {
                        link.send_datagram(bytes);
                    }
                }
                Output::Close(id) => {
                    let now = self.now;
                    for slot in self.slots.iter_mut().filter(|slot| slot.id == id) {
                        slot.phase = Phase::Over;
                        slot.link.close(now);
                    }
                }
                Output::Answer { .. } => {}
                Output::Event(event) => self.note(*event),
                Output::Frame(frame) if self.heard.len() < HEARD_MAX => self.heard.push_back(frame),
                Output::Frame(_) => self.dropped += 1,
            }
        }
        any
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Joined { joined, reconnects } => {
                (self.is_in_room, self.reconnects) = (true, reconnects);
                self.track = joined.you.track;
                self.delivery.handle_you(&joined.you);
            }
            Event::Message(message) => {
                self.delivery.handle_message(&message);
                if let ToParticipant::You(you) = message {
                    self.track = you.track;
                }
            }
            Event::Encoding(encoding) => self.encoding = Some(encoding),
            Event::Retrying { .. } => self.is_in_room = false,
            Event::Ended(end) => (self.is_in_room, self.end) = (false, Some(end)),
        }
    }

    fn dial(&mut self, id: ConnectionId, relay: SocketAddr) {
        if self.dialled == CONNECTIONS {
            let why = format!("a participant of the simulation dials {CONNECTIONS} times at most");
            return self.machine.handle_closed(self.now, id, Failure::Unreachable(why));
        }
        let local = client_address(self.host, self.dialled);
        self.dialled += 1;
        let mut endpoint =
            EndpointConfig::new(MasterKeys::from_seed(self.rng.random()).reset_key());
        // As the client does: its address identifies the connection, and packets to it carry no ID.
        endpoint.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(0)));
        endpoint.rng_seed(Some(self.rng.random()));
        let tls = client_tls(ALPN_PARTICIPANT, ServerTrust::Anything, None)
            .expect("the TLS settings of a client are usable");
        let tls = QuicClientConfig::try_from(tls).expect("TLS 1.3 suits QUIC");
        let mut client = quic_config(tls);
        client.initial_dst_cid_provider(first_cids(self.rng.random()));
        let link = ClientLink::dial(self.now, relay, endpoint, client);
        let phase = Phase::Dialling;
        self.slots.push(Slot { id, link, local, phase, streams: Vec::new() });
    }

    fn up(&mut self, id: ConnectionId) -> Option<&mut ClientLink> {
        let slot = self.slots.iter_mut().find(|slot| slot.id == id && slot.phase == Phase::Up);
        slot.map(|slot| &mut slot.link)
    }
}

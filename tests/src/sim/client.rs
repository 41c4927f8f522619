//! A participant of the simulation: the connection of the client's core on quinn-proto. It does as
//! told, which need not be what the protocol asks of it: it numbers its requests itself and waits for
//! no answer, joins and leaves when a test says so, and may be deaf or insist on a track.

mod drive;
pub(in crate::sim) mod handoff;
pub(in crate::sim) mod link;
mod report;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tribune_client_core::connection::{Connection, message};
use tribune_client_core::delivery::Delivery;
use tribune_client_core::reconnect::Failure;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::{
    FromParticipant, Heard as HeardSoFar, Join, Joined, ToParticipant, You,
};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{ParticipantId, RequestId, SessionKey, TrackId};
use tribune_relay_core::auth::participant_id;

pub use self::handoff::MoveFigures;
use self::handoff::Moves;
use self::link::ClientLink;
use self::report::Reporting;
use super::HostId;
use super::clock::HostClock;
use super::heard::Heard;
use super::relay::display_name;
use super::talk::{SentFrame, Talk};

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The relay closed it.
    Closed(CloseCode, String),
    /// QUIC gave it up.
    Lost(String),
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Ok,
    /// Refused.
    Err(ErrorCode),
}

/// One participant.
#[derive(Debug)]
pub struct SimClient {
    host: HostId,
    name: String,
    session: SessionKey,
    token: Option<String>,
    rng: StdRng,
    address: SocketAddr,
    attempts: u16,
    base: Instant,
    now: Duration,
    link: Option<ClientLink>,
    reads_control: bool,
    /// It comes as a browser does, over WebTransport.
    is_browser: bool,
    window_bytes: u32,
    /// Bytes of the largest datagram that it takes.
    datagram_bytes: usize,
    host_clock: HostClock,
    joined: Option<Joined>,
    you: Option<You>,
    end: Option<(Duration, End)>,
    messages: Vec<(Duration, Envelope<ToParticipant>)>,
    next_request: u32,
    talk: Option<Talk>,
    /// Whether it goes on on `last_track`, whatever it is told.
    insists: bool,
    last_track: Option<TrackId>,
    sent: Vec<SentFrame>,
    heard: Heard,
    /// The connection as the client's core has it; of the last one, when there is none.
    protocol: Connection,
    /// Its reports, if it makes any.
    reporting: Option<Reporting>,
    /// The room and the role of its last join.
    last_join: Option<(String, Role)>,
    /// The profile that it asks for.
    profile: Option<Profile>,
    /// How frames come, as it has been told.
    delivery: Delivery,
    /// State of its handoffs, if it follows moves.
    moves: Option<Box<Moves>>,
}

impl SimClient {
    pub(super) fn new(host: HostId, name: &str, session: [u8; 16], seed: u64) -> Self {
        Self {
            host,
            name: name.to_owned(),
            session: SessionKey(session),
            token: None,
            rng: StdRng::seed_from_u64(seed),
            address: super::network::client_address(host, 0),
            attempts: 0,
            base: Instant::now(),
            now: Duration::ZERO,
            link: None,
            reads_control: true,
            is_browser: false,
            window_bytes: 64 * 1024,
            datagram_bytes: 64 * 1024,
            host_clock: HostClock::default(),
            joined: None,
            you: None,
            end: None,
            messages: Vec::new(),
            next_request: 0,
            talk: None,
            insists: false,
            last_track: None,
            sent: Vec::new(),
            heard: Heard::default(),
            protocol: Connection::new(Instant::now()),
            reporting: None,
            last_join: None,
            profile: None,
            delivery: Delivery::new(None),
            moves: None,
        }
    }

    /// Its id, as everybody else knows it.
    #[must_use]
    pub fn id(&self) -> ParticipantId {
        participant_id(&self.session)
    }

    /// Its secret.
    #[must_use]
    pub fn session(&self) -> [u8; 16] {
        self.session.0
    }

    /// The answer to its join, if there has been one on this connection.
    #[must_use]
    pub const fn joined(&self) -> Option<&Joined> {
        self.joined.as_ref()
    }

    /// Its own place, as last told.
    #[must_use]
    pub const fn you(&self) -> Option<&You> {
        self.you.as_ref()
    }

    /// The track to speak on.
    #[must_use]
    pub fn track(&self) -> Option<TrackId> {
        self.you.as_ref().and_then(|you| you.track)
    }

    /// How the last connection ended, and when; `None` while it lasts.
    #[must_use]
    pub const fn end(&self) -> Option<&(Duration, End)> {
        self.end.as_ref()
    }

    /// The code with which the relay closed the connection.
    #[must_use]
    pub fn close_code(&self) -> Option<CloseCode> {
        match &self.end {
            Some((_, End::Closed(code, _))) => Some(*code),
            Some((_, End::Lost(_))) | None => None,
        }
    }

    /// All messages, with the time of each.
    #[must_use]
    pub fn messages(&self) -> &[(Duration, Envelope<ToParticipant>)] {
        &self.messages
    }

    /// The answer to a request, and when it came.
    #[must_use]
    pub fn answer(&self, request: RequestId) -> Option<(Duration, Answer)> {
        let mut answers = self.messages.iter().filter(|(_, envelope)| envelope.id == Some(request));
        answers.find_map(|(at, envelope)| match &envelope.message {
            ToParticipant::Ok {}
            | ToParticipant::Joined(_)
            | ToParticipant::Room(_)
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Hands { .. }
            | ToParticipant::Invitation { .. }
            | ToParticipant::Share { .. }
            | ToParticipant::Statistics { .. }
            | ToParticipant::ListenerReports(_) => Some((*at, Answer::Ok)),
            ToParticipant::Err { code, .. } => Some((*at, Answer::Err(*code))),
            ToParticipant::Stage { .. }
            | ToParticipant::Listeners { .. }
            | ToParticipant::You(_)
            | ToParticipant::Moderated(_)
            | ToParticipant::Reactions { .. }
            | ToParticipant::Texts { .. }
            | ToParticipant::Questions(_)
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Protect { .. }
            | ToParticipant::Moved { .. }
            | ToParticipant::Unknown => None,
        })
    }

    /// Frames heard.
    #[must_use]
    pub const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Frames sent.
    #[must_use]
    pub fn sent(&self) -> &[SentFrame] {
        &self.sent
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Control bytes that came and make no message yet.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.link.as_ref().map_or(0, |_| self.protocol.buffered_bytes())
    }

    /// Stops reading the control stream, of which the relay may send `window_bytes`.
    pub fn stop_reading(&mut self, window_bytes: u32) {
        self.reads_control = false;
        self.window_bytes = window_bytes;
    }

    /// It comes as a browser does, over WebTransport, from the next connection on.
    pub fn be_a_browser(&mut self) {
        self.is_browser = true;
    }

    /// Tells relays, from the next connection on, that it takes no larger datagrams.
    pub fn take_small_datagrams(&mut self, bytes: usize) {
        self.datagram_bytes = bytes;
    }

    /// Gives it a clock that is wrong.
    pub fn set_clock(&mut self, clock: HostClock) {
        self.host_clock = clock;
    }

    /// Shows a token with every join from now on.
    pub fn show(&mut self, token: String) {
        self.token = Some(token);
    }

    /// Asks for a profile with every join from now on, and for that delay of playout.
    pub fn prefer(&mut self, profile: Profile, delay: Option<Duration>) {
        self.profile = Some(profile);
        self.delivery = Delivery::new(delay);
    }

    /// From now on it talks on the last track that it was given, also when that is taken from it, as
    /// long as it is in the room.
    pub fn insist(&mut self) {
        self.insists = true;
    }

    /// Asks to join, once the connection is there. The request's number.
    pub fn join(&mut self, room: &str, role: Role) -> RequestId {
        self.join_as(room, role, false)
    }

    /// As [`Self::join`], saying that a place may be waiting.
    pub fn rejoin(&mut self, room: &str, role: Role) -> RequestId {
        self.join_as(room, role, true)
    }

    /// The bytes of a join, with its length, to be sent by [`Self::send_control_bytes`].
    pub fn join_bytes(&mut self, room: &str, role: Role) -> Bytes {
        let request = self.request_id();
        let join = self.join_message(room, role, false, Vec::new());
        fits(message(Some(request), &FromParticipant::Join(join)))
    }

    /// Asks for something. The request's number.
    pub fn request(&mut self, asked: &FromParticipant) -> RequestId {
        let request = self.request_id();
        let bytes = fits(message(Some(request), asked));
        self.send_control_bytes(bytes, Duration::ZERO);
        request
    }

    /// Writes bytes to the control stream after some time.
    pub fn send_control_bytes(&mut self, bytes: Bytes, after: Duration) {
        let at = self.now + after;
        if let Some(link) = &mut self.link {
            link.send_control(at, bytes);
        }
    }

    /// Sends a datagram as it is.
    pub fn send_datagram(&mut self, bytes: Bytes) {
        if let Some(link) = &mut self.link {
            link.send_datagram(bytes);
        }
    }

    /// Talks from now on, as soon as there is a track, whatever anybody says.
    pub fn talk(&mut self, minus_dbov: u8) {
        self.talk_after(Duration::ZERO, minus_dbov);
    }

    /// As [`Self::talk`], a little later.
    pub fn talk_after(&mut self, wait: Duration, minus_dbov: u8) {
        self.talk = Some(Talk::new(self.now + wait, minus_dbov));
    }

    /// Says a last frame, and no more.
    pub fn stop_talking(&mut self) {
        let now = self.now;
        if let Some(talk) = &mut self.talk {
            talk.set_end(now + tribune_protocol::limits::FRAME_PERIOD);
        }
    }

    /// Closes the connection.
    pub fn hang_up(&mut self) {
        let now = self.base + self.now;
        if let Some(link) = &mut self.link {
            link.close(now);
        }
    }

    /// Vanishes without a word.
    pub fn vanish(&mut self) {
        self.link = None;
        self.joined = None;
    }

    pub(super) const fn attempts(&self) -> u16 {
        self.attempts
    }

    pub(super) fn set_address(&mut self, address: SocketAddr) {
        self.address = address;
    }

    pub(super) fn set_time(&mut self, base: Instant, now: Duration) {
        (self.base, self.now) = (base, now);
    }

    fn join_as(&mut self, room: &str, role: Role, returning: bool) -> RequestId {
        self.last_join = Some((room.to_owned(), role));
        let (request, join) =
            (self.request_id(), self.join_message(room, role, returning, self.heard_so_far()));
        let bytes = self.protocol.join_as(self.base + self.now, request, join);
        self.send_control_bytes(fits(bytes), Duration::ZERO);
        request
    }

    /// The join with which it goes on at another relay, over `protocol`.
    fn next_join(&mut self, protocol: &mut Connection, heard: Vec<HeardSoFar>) -> Bytes {
        let (room, role) = self.last_join.clone().expect("a client that is moved has joined");
        let (request, join) = (self.request_id(), self.join_message(&room, role, true, heard));
        fits(protocol.join_as(self.base + self.now, request, join))
    }

    /// The last frames heard, if the relay is to go on from there.
    fn heard_so_far(&self) -> Vec<HeardSoFar> {
        let delay = self.delivery.playout_delay().filter(|_| self.delivery.resumes());
        let moves = self.moves.as_ref().zip(delay);
        let now = self.base + self.now;
        moves.map(|(moves, delay)| moves.resume_from(now, delay)).unwrap_or_default()
    }

    fn join_message(
        &self,
        room: &str,
        role: Role,
        returning: bool,
        heard: Vec<HeardSoFar>,
    ) -> Join {
        Join {
            room: room.parse().expect("a room of the simulation has a valid name"),
            session: self.session.clone(),
            name: display_name(&self.name),
            role,
            token: self.token.clone().map(Into::into),
            returning,
            heard,
            profile: self.profile,
            redundancy: true,
            way: None,
            share: None,
            stay_s: None,
        }
    }

    fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn local_us(&self) -> u64 {
        self.host_clock.unix_us(self.now)
    }
}

fn fits(bytes: Result<Bytes, Failure>) -> Bytes {
    bytes.expect("a request of the simulation fits its limit")
}

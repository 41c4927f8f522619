//! Participants and their connections: they join, act, and go; what they are sent they read. One may
//! have several connections at a time, and none of them keeps still because it is told to: whoever
//! has had a track goes on sending on it.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::encode;
use tribune_protocol::control::participant::{FromParticipant, Join, OneShot, ToParticipant};
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::share::ShareText;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{DisplayName, ParticipantId, RequestId, SessionKey, TrackId};
use tribune_protocol::token::SigningKey;
use tribune_relay_core::auth::keys::{Key, Keys};
use tribune_relay_core::auth::participant_id;
use tribune_relay_core::counters::Transport;
use tribune_relay_core::messages::{LinkId, ShardEvent, ShardId};

use super::event::NetEvent;
use super::relay::name;
use super::shard::Peer;
use super::{HubNet, RelayNo, read};

/// A participant, in order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonNo(pub usize);

/// A connection, in order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnNo(pub usize);

/// The key that vouches for bearers, and its secret.
const KEY: (&str, &str) = ("door", "a secret of thirty-two bytes, or more");
/// The time from a participant to its edge, at most.
const ACCESS: Duration = Duration::from_millis(30);

/// Answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `ok`, or `joined`.
    Done,
    /// `err`.
    Refused(ErrorCode),
}

/// A request, and what came of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) at: Duration,
    pub(super) answer: Option<(Duration, Answer)>,
}

#[derive(Debug)]
struct Person {
    session: SessionKey,
    id: ParticipantId,
    name: DisplayName,
    /// Whether they speak whenever they have, or had, a track.
    talks: bool,
    /// The tracks that they were ever given, the last one last.
    tracks: Vec<TrackId>,
    token: Option<String>,
}

/// State of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// The join has not been answered.
    Joining,
    /// In the room.
    In,
    /// The connection is gone; by which code, if the relay closed it.
    Gone(Option<CloseCode>),
}

#[derive(Debug)]
struct Conn {
    person: PersonNo,
    relay: RelayNo,
    link: LinkId,
    stay: Stay,
    ticking: bool,
    asked: Vec<Asked>,
    last_said: Duration,
    /// Answers with content, and what is sent to this connection alone.
    told: Vec<(Duration, ToParticipant)>,
}

/// Arrival of a participant, beside the usual one.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// The way that the client names.
    pub way: Option<Way>,
    /// The share link that it shows.
    pub share: Option<ShareText>,
    /// How long its stay has lasted elsewhere, in seconds.
    pub stay_s: Option<u32>,
}

/// Everybody.
#[derive(Debug, Default)]
pub(super) struct People {
    all: Vec<Person>,
    conns: Vec<Conn>,
}

impl People {
    /// Relay and track of a connection's next frame, while it is open.
    pub(super) fn voice(&self, conn: ConnNo) -> Option<(RelayNo, LinkId, PersonNo, TrackId)> {
        let Conn { person, relay, link, stay, .. } = &self.conns[conn.0];
        let track = self.all[person.0].tracks.last()?;
        match stay {
            Stay::Joining | Stay::In => Some((*relay, *link, *person, *track)),
            Stay::Gone(_) => None,
        }
    }

    /// Tracks ever assigned to a participant.
    pub(super) fn tracks(&self, person: PersonNo) -> &[TrackId] {
        &self.all[person.0].tracks
    }

    /// All connections so far: participant, relay, state, requests.
    pub(super) fn conns(
        &self,
    ) -> impl Iterator<Item = (ConnNo, PersonNo, RelayNo, Stay, &[Asked])> {
        self.conns.iter().enumerate().map(|(number, conn)| {
            (ConnNo(number), conn.person, conn.relay, conn.stay, &conn.asked[..])
        })
    }
}

/// The keys of all relays.
pub(super) fn keys() -> Keys {
    let mut keys = Keys::default();
    let secret = KEY.1.parse().expect("the secret is one");
    keys.insert(KEY.0, Key::Secret(secret)).expect("the key is long enough");
    keys
}

/// A token to come in and speak with.
fn token(subject: &str) -> String {
    let claims = serde_json::json!({
        "iss": KEY.0,
        "sub": subject,
        "iat": super::EPOCH_MS / 1_000,
        "exp": super::EPOCH_MS / 1_000 + 86_400,
        "role": "speaker",
        "video": { "roomJoin": true, "room": super::ROOM, "canPublish": true, "canSubscribe": true },
    });
    SigningKey::Secret(KEY.1.as_bytes()).sign(&claims).expect("claims can be signed")
}

impl HubNet {
    /// Relay and participant of a connection.
    pub(super) fn place(&self, conn: ConnNo) -> (PersonNo, RelayNo) {
        let conn = &self.people.conns[conn.0];
        (conn.person, conn.relay)
    }

    /// Adds a participant without a connection.
    pub fn person(&mut self, called: &str) -> PersonNo {
        let session = SessionKey(self.rng.random());
        let (id, name, tracks) = (participant_id(&session), name(called), Vec::new());
        self.people.all.push(Person { session, id, name, talks: false, tracks, token: None });
        PersonNo(self.people.all.len() - 1)
    }

    /// Adds a participant with a token that vouches for a subject; the same one twice is one subject in two
    /// sessions.
    pub fn bearer(&mut self, called: &str, subject: &str) -> PersonNo {
        let person = self.person(called);
        self.people.all[person.0].token = Some(token(subject));
        person
    }

    /// Has a participant send frames from the first track on, whatever happens.
    pub fn talk(&mut self, person: PersonNo) {
        self.people.all[person.0].talks = true;
        let conns = self.people.conns().filter(|(_, of, ..)| *of == person);
        let conns: Vec<_> = conns.map(|(conn, ..)| conn).collect();
        conns.into_iter().for_each(|conn| self.let_talk(conn));
    }

    /// A participant's id in the room.
    #[must_use]
    pub fn id(&self, person: PersonNo) -> ParticipantId {
        self.people.all[person.0].id
    }

    /// Has a participant join at a relay at some time.
    pub fn join_at(&mut self, at: Duration, person: PersonNo, relay: RelayNo, role: Role) {
        self.schedule.push(at.max(self.now), NetEvent::Join { person, relay, role });
    }

    /// Has a participant join at a relay now. An earlier connection stays open.
    pub fn join(&mut self, person: PersonNo, relay: RelayNo, role: Role) -> ConnNo {
        self.arrive(person, relay, role, Arrival::default())
    }

    /// As [`Self::join`], by some way.
    pub fn arrive(
        &mut self,
        person: PersonNo,
        relay: RelayNo,
        role: Role,
        arrival: Arrival,
    ) -> ConnNo {
        let number = self.connect(person, relay);
        let Person { session, name, tracks, token, .. } = &self.people.all[person.0];
        let join = Join {
            room: self.room.clone(),
            session: session.clone(),
            name: name.clone(),
            role,
            token: token.clone().map(Into::into),
            returning: !tracks.is_empty(),
            heard: Vec::new(),
            profile: None,
            redundancy: false,
            way: arrival.way,
            share: arrival.share,
            stay_s: arrival.stay_s,
        };
        let message = self.ask(number, &FromParticipant::Join(join)).1;
        self.handle_said(number, &message);
        self.let_talk(number);
        number
    }

    /// Has a participant ask something at a relay without joining.
    pub fn one_shot(
        &mut self,
        person: PersonNo,
        relay: RelayNo,
        role: Role,
        act: Govern,
    ) -> (ConnNo, RequestId) {
        let number = self.connect(person, relay);
        let Person { session, name, token, .. } = &self.people.all[person.0];
        let one_shot = OneShot {
            room: self.room.clone(),
            session: session.clone(),
            name: name.clone(),
            role,
            token: token.clone().map(Into::into),
            act,
        };
        let (id, message) = self.ask(number, &FromParticipant::OneShot(one_shot));
        self.handle_said(number, &message);
        (number, id)
    }

    fn connect(&mut self, person: PersonNo, relay: RelayNo) -> ConnNo {
        let number = ConnNo(self.people.conns.len());
        let shards = self.relays[relay.0].shards.len();
        let shard = ShardId(self.rng.random_range(0..shards) as u8);
        let link = self.shard(relay, shard).open(Peer::Person(number));
        let (stay, ticking, asked) = (Stay::Joining, false, Vec::new());
        let last_said = self.now;
        let told = Vec::new();
        let conn = Conn { person, relay, link, stay, ticking, asked, last_said, told };
        self.people.conns.push(conn);
        number
    }

    /// Has a connection ask for something. The edge gets it a little later.
    pub fn request(&mut self, conn: ConnNo, message: &FromParticipant) -> RequestId {
        let (id, message) = self.ask(conn, message);
        let takes = self.rng.random_range(Duration::ZERO..ACCESS);
        let last = &mut self.people.conns[conn.0].last_said;
        *last = (*last).max(self.now + takes);
        self.schedule.push(*last, NetEvent::Said { conn, message });
        id
    }

    /// Has a connection say something that has no answer. The edge gets it a little later.
    pub fn say(&mut self, conn: ConnNo, message: &FromParticipant) {
        let message = encode(None, message).expect("a message of a test fits its limit");
        let takes = self.rng.random_range(Duration::ZERO..ACCESS);
        let last = &mut self.people.conns[conn.0].last_said;
        *last = (*last).max(self.now + takes);
        self.schedule.push(*last, NetEvent::Said { conn, message });
    }

    /// A connection is gone from the participant's side, without a word.
    pub fn vanish(&mut self, conn: ConnNo) {
        let Conn { relay, link, .. } = self.people.conns[conn.0];
        if self.shard(relay, link.shard).close(link).is_some() {
            self.people.conns[conn.0].stay = Stay::Gone(None);
            let why = "gone".to_owned();
            self.tell_hub(relay, link.shard, ShardEvent::Closed { link, why });
        }
    }

    /// Answers with content, and messages to this connection alone, with their times.
    #[must_use]
    pub fn told(&self, conn: ConnNo) -> &[(Duration, ToParticipant)] {
        &self.people.conns[conn.0].told
    }

    /// State of a connection.
    #[must_use]
    pub fn stay(&self, conn: ConnNo) -> Stay {
        self.people.conns[conn.0].stay
    }

    /// The answer to a request, and when the edge gave it.
    #[must_use]
    pub fn answer(&self, conn: ConnNo, request: RequestId) -> Option<(Duration, Answer)> {
        let asked = self.people.conns[conn.0].asked.iter().find(|asked| asked.id == request);
        asked.and_then(|asked| asked.answer)
    }

    /// The answer to a connection's join.
    #[must_use]
    pub fn joined(&self, conn: ConnNo) -> Option<Answer> {
        Some(self.people.conns[conn.0].asked.first()?.answer?.1)
    }

    /// A participant's message reaches the shard.
    pub(super) fn handle_said(&mut self, conn: ConnNo, message: &Bytes) {
        let Conn { relay, link, .. } = self.people.conns[conn.0];
        if self.shard(relay, link.shard).peer(link).is_none() {
            return;
        }
        self.witness(relay, message);
        let (request, message) = read::<FromParticipant>(message);
        let remote = ([127, 0, 0, 1], 2).into();
        self.tell_hub(
            relay,
            link.shard,
            ShardEvent::FromParticipant {
                link,
                remote,
                transport: Transport::Quic,
                request,
                message,
            },
        );
    }

    /// Takes a message to a participant.
    pub(super) fn handle_told(
        &mut self,
        conn: ConnNo,
        request: Option<RequestId>,
        message: ToParticipant,
    ) {
        if let Some(joined) = message.as_joined() {
            self.people.conns[conn.0].stay = Stay::In;
            self.note_count(conn, joined.listeners);
            self.note_track(conn, joined.you.track);
            self.judge_joined(conn);
            self.note_answer(conn, request, Answer::Done);
        } else if let Some((code, _)) = message.as_err() {
            self.note_answer(conn, request, Answer::Refused(code));
            if self.people.conns[conn.0].stay == Stay::Joining {
                self.vanish(conn);
            }
        } else if message == (ToParticipant::Ok {}) {
            self.note_answer(conn, request, Answer::Done);
        } else if let Some(you) = message.as_you() {
            self.note_track(conn, you.track);
        } else if message.answers_request() || matches!(message, ToParticipant::Texts { .. }) {
            self.note_answer(conn, request, Answer::Done);
            let now = self.now;
            self.people.conns[conn.0].told.push((now, message));
        }
    }

    /// Notes the count in a welcome: it is not repeated while it stays the same.
    fn note_count(&mut self, conn: ConnNo, count: u64) {
        let Conn { relay, link, .. } = self.people.conns[conn.0];
        let shard = self.shard(relay, link.shard);
        let room = shard.hears(link).map(|(room, _)| room);
        if let Some(room) = room.and_then(|room| shard.room_mut(room)) {
            room.count_said.get_or_insert(count);
        }
    }

    /// The relay has closed a connection.
    pub(super) fn handle_thrown_out(&mut self, conn: ConnNo, code: CloseCode) {
        self.people.conns[conn.0].stay = Stay::Gone(Some(code));
        let person = self.people.conns[conn.0].person;
        let others = self.people.conns().filter(|(other, of, ..)| *of == person && *other > conn);
        let is_alone = others.count() == 0 && self.people.all[person.0].token.is_none();
        if code == CloseCode::Replaced && is_alone {
            self.judge_replaced();
        }
    }

    /// Numbers a request, and writes it.
    fn ask(&mut self, conn: ConnNo, message: &FromParticipant) -> (RequestId, Bytes) {
        let asked = &mut self.people.conns[conn.0].asked;
        // As clients do, on each connection from 1.
        let id = RequestId(asked.len() as u32 + 1);
        asked.push(Asked { id, at: self.now, answer: None });
        (id, encode(Some(id), message).expect("a request fits a message"))
    }

    fn note_answer(&mut self, conn: ConnNo, request: Option<RequestId>, answer: Answer) {
        let now = self.now;
        let Some(id) = request else { return };
        let asked = &mut self.people.conns[conn.0].asked;
        match asked.iter_mut().find(|asked| asked.id == id) {
            Some(asked) if asked.answer.is_none() => asked.answer = Some((now, answer)),
            Some(_) => {
                self.fault(format!("request {} of connection {} is answered twice", id.0, conn.0))
            }
            None => self.fault(format!("connection {} never asked {}", conn.0, id.0)),
        }
        self.judge_answer(conn, id, answer);
    }

    fn note_track(&mut self, conn: ConnNo, track: Option<TrackId>) {
        let Some(track) = track else { return };
        let tracks = &mut self.people.all[self.people.conns[conn.0].person.0].tracks;
        tracks.retain(|known| *known != track);
        tracks.push(track);
        self.let_talk(conn);
    }

    fn let_talk(&mut self, conn: ConnNo) {
        let person = &self.people.all[self.people.conns[conn.0].person.0];
        let ticking = &mut self.people.conns[conn.0].ticking;
        if person.talks && !person.tracks.is_empty() && !*ticking {
            *ticking = true;
            self.schedule.push(self.now, NetEvent::Tick { conn });
        }
    }
}

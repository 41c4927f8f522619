//! A tree of hubs and the people in it, in virtual time: shards, trunks and stores answer at once
//! unless a test has them wait.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::command::{Govern, RoomChange};
use tribune_protocol::control::participant::{FromParticipant, Join, OneShot, ToParticipant, You};
use tribune_protocol::control::{ControlReader, decode};
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Note, ParticipantId, RelayId, RequestId, Revision, SessionKey};
use tribune_protocol::log::LogKey;
use tribune_protocol::token::SigningKey;

use crate::auth::keys::{Key, Keys};
use crate::auth::{Auth, participant_id};
use crate::clock::WallClock;
use crate::counters::Transport;
use crate::hub::{Hub, HubConfig, HubEffect};
use crate::messages::{
    DialId, Hears, LinkId, RoomId, ShardCommand, ShardEvent, ShardId, TrackRoute,
};
use crate::query::Answer;
use crate::query::Readiness;
use crate::room::Room;
use crate::room::authority::policy::{Policy, RolePolicy};
use crate::room::context::RoomContext;
use crate::store::{MemoryStore, Store, StoreError, StoreReply, StoreRequest};
use crate::tree::host_port::HostPort;
use crate::tree::query::Ticket;
use crate::tree::target::Target;

pub(super) const ORIGIN: usize = 0;
pub(super) const MID: usize = 1;
pub(super) const LEAF: usize = 2;
pub(super) const OTHER_LEAF: usize = 3;
/// A second mid relay, where there is one.
pub(super) const SPARE: usize = 4;
/// Unix time at the beginning, in seconds.
pub(super) const EPOCH_S: u64 = 1_000_000;
const SECRET: &str = "a secret of thirty-two bytes: ok";

/// An origin, a mid relay below it, two leaves below that.
pub(super) struct Tree {
    pub(super) hubs: Vec<Hub>,
    pub(super) now: Instant,
    pub(super) links: u32,
    /// The two ends of each trunk: (child, its link, parent, its link).
    pub(super) trunks: Vec<(usize, LinkId, usize, LinkId)>,
    pub(super) people: Vec<Person>,
    /// Relays whose shards do not confirm, and what they have not confirmed.
    pub(super) slow_shards: Vec<usize>,
    pub(super) unconfirmed: Vec<(usize, RoomId, Revision)>,
    /// Where the first track is at home, as each relay's shards were told last.
    pub(super) routes: BTreeMap<usize, Option<LinkId>>,
    /// All tracks, as each relay's shards were told last.
    pub(super) tracks: BTreeMap<usize, Arc<[TrackRoute]>>,
    /// Relays that nothing comes down to.
    pub(super) deaf: Vec<usize>,
    pub(super) closes: Vec<(usize, CloseCode)>,
    pub(super) broadcasts: Vec<(usize, ToParticipant)>,
    pub(super) drained: bool,
    /// Answers to queries of operators.
    pub(super) answers: Vec<(Ticket, Answer)>,
    pub(super) store: MemoryStore,
    /// The store answers nothing while this is set; what it has been asked waits.
    pub(super) store_hangs: bool,
    /// The store refuses everything.
    pub(super) store_fails: bool,
    pub(super) unstored: Vec<(usize, StoreRequest)>,
    /// No parent can be reached.
    pub(super) no_dials: bool,
    /// Messages to connections that a test has made up.
    pub(super) strays: Vec<(usize, LinkId, Vec<u8>)>,
}

pub(super) struct Person {
    pub(super) relay: usize,
    pub(super) link: LinkId,
    pub(super) session: SessionKey,
    pub(super) id: ParticipantId,
    pub(super) inbox: Vec<(Option<RequestId>, ToParticipant)>,
    pub(super) requests: u32,
    pub(super) remote: SocketAddr,
    pub(super) closed: Option<(CloseCode, String)>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self::with_policy(&policy())
    }

    /// A tree of relays that have that policy.
    pub(super) fn with_policy(policy: &Policy) -> Self {
        Self::of(policy, &[&[], &[ORIGIN], &[MID], &[MID]], |_, _| ())
    }

    /// The same with a second mid relay, which stands by for the leaves; with other settings.
    pub(super) fn with_spare(change: impl Fn(usize, &mut HubConfig)) -> Self {
        let parents: [&[usize]; 5] = [&[], &[ORIGIN], &[MID, SPARE], &[MID, SPARE], &[ORIGIN]];
        Self::of(&policy(), &parents, change)
    }

    fn of(policy: &Policy, parents: &[&[usize]], change: impl Fn(usize, &mut HubConfig)) -> Self {
        let now = Instant::now();
        let hub = |(number, parents): (usize, &&[usize])| {
            let relay = number as u64 + 1;
            let wall = WallClock { at: now, unix_us: EPOCH_S * 1_000_000 };
            let setup = setup(relay, wall, policy.clone());
            let mut config = HubConfig { setup, ..config(relay, parents, now) };
            change(number, &mut config);
            Hub::new(config, now)
        };
        let hubs = parents.iter().enumerate().map(hub).collect();
        let mut tree = Self {
            hubs,
            now,
            links: 0,
            trunks: Vec::new(),
            people: Vec::new(),
            slow_shards: Vec::new(),
            unconfirmed: Vec::new(),
            routes: BTreeMap::new(),
            tracks: BTreeMap::new(),
            deaf: Vec::new(),
            closes: Vec::new(),
            broadcasts: Vec::new(),
            drained: false,
            answers: Vec::new(),
            store: MemoryStore::default(),
            store_hangs: false,
            store_fails: false,
            unstored: Vec::new(),
            no_dials: false,
            strays: Vec::new(),
        };
        tree.pass(Duration::ZERO);
        assert!(tree.hubs.iter().all(|hub| hub.readiness() == Readiness::Ready));
        tree
    }

    pub(super) fn link(&mut self) -> LinkId {
        self.links += 1;
        LinkId { shard: ShardId(0), slot: self.links, generation: self.links }
    }

    pub(super) fn connect(&mut self, relay: usize, session: u8) -> usize {
        let link = self.link();
        let session = SessionKey([session; 16]);
        let id = participant_id(&session);
        let remote = "127.0.0.1:9".parse().unwrap();
        let (inbox, requests, closed) = (Vec::new(), 0, None);
        self.people.push(Person { relay, link, session, id, inbox, requests, remote, closed });
        self.people.len() - 1
    }

    pub(super) fn join(&mut self, relay: usize, session: u8, role: Role) -> usize {
        self.join_with(relay, session, role, |_| ())
    }

    /// As [`Self::join`], with something else in it.
    pub(super) fn join_with(
        &mut self,
        relay: usize,
        session: u8,
        role: Role,
        change: impl FnOnce(&mut Join),
    ) -> usize {
        let who = self.connect(relay, session);
        self.join_as(who, role, change);
        who
    }

    /// Has somebody join who is connected.
    pub(super) fn join_as(&mut self, who: usize, role: Role, change: impl FnOnce(&mut Join)) {
        let session = self.people[who].session.clone();
        let mut join = Join {
            room: "stage".parse().unwrap(),
            name: format!("somebody {}", session.0[0]).parse().unwrap(),
            session,
            role,
            token: None,
            returning: false,
            heard: Vec::new(),
            profile: None,
            redundancy: false,
            way: None,
            share: None,
            stay_s: None,
        };
        change(&mut join);
        self.ask(who, FromParticipant::Join(join));
    }

    /// As [`Self::join`], with a token; `claims` are added to those that let anybody in as that role.
    pub(super) fn join_by_token(
        &mut self,
        relay: usize,
        session: u8,
        role: Role,
        claims: Value,
    ) -> usize {
        let token = token(claims);
        self.join_with(relay, session, role, |join| join.token = Some(token.into()))
    }

    /// Somebody who is connected sends a one-shot request, as host unless `change` says otherwise.
    pub(super) fn one_shot(
        &mut self,
        who: usize,
        act: Govern,
        change: impl FnOnce(&mut OneShot),
    ) -> RequestId {
        let mut one_shot = OneShot {
            room: "stage".parse().unwrap(),
            session: self.people[who].session.clone(),
            name: "errand".parse().unwrap(),
            role: Role::Host,
            token: None,
            act,
        };
        change(&mut one_shot);
        self.ask(who, FromParticipant::OneShot(one_shot))
    }

    pub(super) fn govern(&mut self, who: usize, act: Govern) -> RequestId {
        self.ask(who, FromParticipant::Govern { act })
    }

    /// The host changes the room's settings, which has to go well.
    pub(super) fn set(&mut self, host: usize, change: RoomChange) {
        let reason = Note::default();
        let request = self.govern(host, Govern::Set { change, reason });
        assert!(self.is_answered(host, request), "{:?}", self.answer(host, request));
    }

    pub(super) fn ask(&mut self, who: usize, message: FromParticipant) -> RequestId {
        let person = &mut self.people[who];
        person.requests += 1;
        let request = RequestId(person.requests);
        let (relay, link, remote) = (person.relay, person.link, person.remote);
        let (transport, number) = (Transport::Quic, request);
        let request = Some(number);
        let event = ShardEvent::FromParticipant { link, remote, transport, request, message };
        self.event(relay, event);
        number
    }

    pub(super) fn close(&mut self, who: usize) {
        let (relay, link) = (self.people[who].relay, self.people[who].link);
        self.event(relay, ShardEvent::Closed { link, why: "gone".to_owned() });
    }

    pub(super) fn event(&mut self, relay: usize, event: ShardEvent) {
        let now = self.now;
        self.hubs[relay].handle_event(now, ShardId(0), event);
        self.settle();
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.hubs.iter().filter_map(Hub::poll_timeout).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let now = self.now;
            self.hubs.iter_mut().for_each(|hub| hub.handle_timeout(now));
            self.settle();
        }
        self.now = end;
    }

    /// Carries messages to and fro until all is quiet.
    pub(super) fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for relay in 0..self.hubs.len() {
                while let Some(effect) = self.hubs[relay].poll_effect() {
                    quiet = false;
                    match effect {
                        HubEffect::Shard(_, command) => self.command(relay, command),
                        HubEffect::Dial { dial, target } => self.dial(relay, dial, &target),
                        HubEffect::Store(request) => self.ask_store(relay, request),
                        HubEffect::Answer { ticket, answer } => {
                            self.answers.push((ticket, answer));
                        }
                        HubEffect::Drained => self.drained = true,
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn ask_store(&mut self, relay: usize, request: StoreRequest) {
        if self.store_hangs {
            return self.unstored.push((relay, request));
        }
        let failure = || StoreError::Failed("a test has it fail".to_owned());
        let reply = match request {
            StoreRequest::Write { id, .. } if self.store_fails => {
                StoreReply::Written { id, result: Err(failure()) }
            }
            StoreRequest::ReadLog { id, .. } if self.store_fails => {
                StoreReply::Log { id, result: Err(failure()) }
            }
            StoreRequest::ReadStatistics { id, .. } if self.store_fails => {
                StoreReply::Statistics { id, result: Err(failure()) }
            }
            StoreRequest::ReadStatistics { id, room, run } => {
                StoreReply::Statistics { id, result: self.store.read_statistics(&room, run) }
            }
            StoreRequest::ForgetStatistics { .. } if self.store_fails => {
                StoreReply::Forgotten { result: Err(failure()) }
            }
            StoreRequest::ForgetStatistics { before_ms } => {
                StoreReply::Forgotten { result: self.store.forget_statistics(before_ms) }
            }
            StoreRequest::Write { id, batch } => {
                StoreReply::Written { id, result: self.store.write(&[batch]) }
            }
            StoreRequest::ReadLog { id, room, from, limit } => {
                StoreReply::Log { id, result: self.store.read_log(&room, from, limit) }
            }
        };
        let now = self.now;
        self.hubs[relay].handle_stored(now, reply);
    }

    /// The store does what it has been asked to.
    pub(super) fn release_store(&mut self) {
        self.store_hangs = false;
        for (relay, request) in std::mem::take(&mut self.unstored) {
            self.ask_store(relay, request);
        }
        self.settle();
    }

    /// Ends the origin and starts it again, with what the store has.
    pub(super) fn restart_origin(&mut self) {
        let now = self.now;
        let links: Vec<_> = self.trunks.iter().filter(|trunk| trunk.2 == ORIGIN).copied().collect();
        let mut config = config(1, &[], now);
        let unix_us = EPOCH_S * 1_000_000 + 86_400_000_000;
        config.setup = setup(1, WallClock { at: now, unix_us }, policy());
        config.first_revision = Revision(1 << 40);
        let mut hub = Hub::new(config, now);
        hub.restore(self.store.load().unwrap(), now).unwrap();
        self.hubs[ORIGIN] = hub;
        self.trunks.retain(|trunk| trunk.2 != ORIGIN);
        for (child, link, ..) in links {
            let event = ShardEvent::Closed { link, why: "killed".to_owned() };
            self.hubs[child].handle_event(now, ShardId(0), event);
        }
        self.settle();
    }

    fn dial(&mut self, child: usize, dial: DialId, target: &Target) {
        let now = self.now;
        if self.no_dials {
            let why = "a test has it fail".to_owned();
            return self.hubs[child].handle_event(
                now,
                ShardId(0),
                ShardEvent::DialFailed { dial, why },
            );
        }
        let listed = || self.hubs[child].config.parents[target.parent].clone();
        let parent = usize::from(target.to.clone().unwrap_or_else(listed).port()) - 1;
        let (below, above) = (self.link(), self.link());
        self.trunks.push((child, below, parent, above));
        let dialled = ShardEvent::Dialled { dial, link: below };
        self.hubs[child].handle_event(now, ShardId(0), dialled);
    }

    fn command(&mut self, relay: usize, command: ShardCommand) {
        let now = self.now;
        match command {
            ShardCommand::Send { link, message } => self.send(relay, link, &message),
            ShardCommand::Broadcast { message, .. } => {
                self.broadcasts.push((relay, read(&message).1));
            }
            ShardCommand::Close { link, code, reason } => {
                self.closes.push((relay, code));
                let of = |person: &&mut Person| person.relay == relay && person.link == link;
                if let Some(person) = self.people.iter_mut().find(of) {
                    person.closed = Some((code, reason));
                }
                let other = self.other_end(relay, link);
                self.trunks
                    .retain(|(a, x, b, y)| (*a, *x) != (relay, link) && (*b, *y) != (relay, link));
                if let Some((peer, link)) = other {
                    let event = ShardEvent::Closed { link, why: code.to_string() };
                    self.hubs[peer].handle_event(now, ShardId(0), event);
                }
            }
            ShardCommand::Routes { room, revision, tracks } => {
                self.tracks.insert(relay, Arc::clone(&tracks));
                if let Some(route) = tracks.first() {
                    self.routes.insert(relay, route.home);
                }
                if self.slow_shards.contains(&relay) {
                    self.unconfirmed.push((relay, room, revision));
                } else {
                    let event = ShardEvent::InForce { room, revision };
                    self.hubs[relay].handle_event(now, ShardId(0), event);
                }
            }
            ShardCommand::Attach { view, .. } => {
                assert!(!matches!(view.hears, Hears::Trunk(channel) if channel.0 == 0));
            }
            ShardCommand::Dial { .. } => unreachable!("the hub asks its owner to dial"),
            ShardCommand::Detach { .. }
            | ShardCommand::Hosts { .. }
            | ShardCommand::Resume { .. }
            | ShardCommand::Forget { .. }
            | ShardCommand::Clock(_)
            | ShardCommand::CloseAll(_) => {}
        }
    }

    fn send(&mut self, relay: usize, link: LinkId, message: &[u8]) {
        let now = self.now;
        let from = |person: &&mut Person| person.relay == relay && person.link == link;
        if let Some(person) = self.people.iter_mut().find(from) {
            person.inbox.push(read(message));
            return;
        }
        let Some((peer, other)) = self.other_end(relay, link) else {
            return self.strays.push((relay, link, message.to_vec()));
        };
        let up = self.trunks.iter().any(|(child, below, ..)| (*child, *below) == (relay, link));
        if !up && self.deaf.contains(&peer) {
            return;
        }
        let event = if up {
            let (remote, certified) = ("127.0.0.1:1".parse().unwrap(), false);
            ShardEvent::FromChild {
                link: other,
                remote,
                certified,
                message: Box::new(read(message).1),
            }
        } else {
            ShardEvent::FromParent { link: other, message: read(message).1 }
        };
        self.hubs[peer].handle_event(now, ShardId(0), event);
    }

    fn other_end(&self, relay: usize, link: LinkId) -> Option<(usize, LinkId)> {
        self.trunks.iter().find_map(|(child, below, parent, above)| {
            if (*child, *below) == (relay, link) {
                Some((*parent, *above))
            } else {
                ((*parent, *above) == (relay, link)).then_some((*child, *below))
            }
        })
    }

    pub(super) fn release_shards(&mut self) {
        let now = self.now;
        for (relay, room, revision) in std::mem::take(&mut self.unconfirmed) {
            self.hubs[relay].handle_event(now, ShardId(0), ShardEvent::InForce { room, revision });
        }
        self.settle();
    }

    pub(super) fn parent_link(&self, child: usize) -> Option<LinkId> {
        self.trunks.iter().find(|trunk| trunk.0 == child).map(|trunk| trunk.1)
    }

    pub(super) fn child_link(&self, parent: usize, child: usize) -> Option<LinkId> {
        let trunk = self.trunks.iter().find(|trunk| (trunk.0, trunk.2) == (child, parent));
        trunk.map(|trunk| trunk.3).filter(|link| self.hubs[parent].children.get(*link).is_some())
    }

    /// The trunk of a relay to its parent is lost, for both.
    pub(super) fn break_trunk(&mut self, child: usize) {
        let at = self.trunks.iter().position(|trunk| trunk.0 == child).unwrap();
        let (child, below, parent, above) = self.trunks.remove(at);
        for (relay, link) in [(child, below), (parent, above)] {
            self.event(relay, ShardEvent::Closed { link, why: "broken".to_owned() });
        }
    }

    pub(super) fn room(&self, relay: usize) -> &Room {
        self.hubs[relay].room(&"stage".parse().unwrap()).expect("the relay carries the room")
    }

    pub(super) fn child_room(&self, relay: usize) -> bool {
        self.hubs[relay].room(&"stage".parse().unwrap()).is_some()
    }

    pub(super) fn is_answered(&self, who: usize, request: RequestId) -> bool {
        self.people[who].inbox.contains(&(Some(request), ToParticipant::Ok {}))
    }

    pub(super) fn answer(&self, who: usize, request: RequestId) -> Option<&ToParticipant> {
        let mut inbox = self.people[who].inbox.iter();
        inbox.find(|(id, _)| *id == Some(request)).map(|(_, message)| message)
    }

    /// The error that answers a request, and its sentence.
    pub(super) fn error(&self, who: usize, request: RequestId) -> Option<(ErrorCode, String)> {
        match self.answer(who, request) {
            Some(ToParticipant::Err { code, message }) => Some((*code, message.clone())),
            Some(_) | None => None,
        }
    }

    pub(super) fn joined(&self, who: usize) -> Option<Role> {
        self.people[who].inbox.iter().find_map(|(_, message)| {
            let ToParticipant::Joined(joined) = message else { return None };
            Some(joined.you.role)
        })
    }

    pub(super) fn refused(&self, who: usize) -> Option<ErrorCode> {
        self.refusal(who).map(|(code, _)| code)
    }

    /// The last error, and its sentence.
    pub(super) fn refusal(&self, who: usize) -> Option<(ErrorCode, String)> {
        self.people[who].inbox.iter().rev().find_map(|(_, message)| {
            let ToParticipant::Err { code, message } = message else { return None };
            Some((*code, message.clone()))
        })
    }

    /// Latest message to a participant about its own place.
    pub(super) fn you(&self, who: usize) -> Option<You> {
        self.people[who].inbox.iter().rev().find_map(|(_, message)| {
            if let ToParticipant::You(you) = message {
                return Some(you.clone());
            }
            let ToParticipant::Joined(joined) = message else { return None };
            Some(joined.you.clone())
        })
    }

    pub(super) fn closed(&self, who: usize) -> Option<CloseCode> {
        self.people[who].closed.as_ref().map(|(code, _)| *code)
    }

    /// Messages of one kind that somebody has been sent.
    pub(super) fn count(&self, who: usize, is: impl Fn(&ToParticipant) -> bool) -> usize {
        self.people[who].inbox.iter().filter(|(_, message)| is(message)).count()
    }
}

/// Where a relay is.
pub(super) fn place(relay: usize) -> HostPort {
    format!("relay:{}", relay + 1).parse().unwrap()
}

fn config(relay: u64, parents: &[usize], now: Instant) -> HubConfig {
    let mut keys = Keys::default();
    keys.insert("web", Key::Secret(SECRET.parse().unwrap())).unwrap();
    HubConfig {
        relay: RelayId(relay),
        name: "relay".parse().unwrap(),
        shards: 1,
        parents: parents.iter().copied().map(place).collect(),
        auth: Auth { dev: true, keys, ..Auth::default() },
        setup: setup(relay, WallClock { at: now, unix_us: EPOCH_S * 1_000_000 }, policy()),
        relay_token: None,
        max_rooms: 10,
        capacity: None,
        redirect_to: Vec::new(),
        first_revision: Revision(0),
        drain_to: None,
        drain_timeout: Duration::from_secs(10),
        keep_statistics: None,
        seed: [0; 32],
    }
}

/// A role of the operator's own, without a place on the stage.
pub(super) fn guide() -> Role {
    "guide".parse().unwrap()
}

/// The default roles, and a guide.
fn policy() -> Policy {
    let mut policy = Policy::default();
    let may = PermissionSet::of(&[Permission::Listen, Permission::SeeHands]);
    policy.add(RolePolicy { role: guide(), rank: 15, may }).unwrap();
    policy
}

fn setup(relay: u64, wall: WallClock, policy: Policy) -> Arc<RoomContext> {
    let (key, policy) = (LogKey::from_seed(&[relay as u8; 32]), Arc::new(policy));
    Arc::new(RoomContext {
        relay: RelayId(1),
        name: "relay".parse().unwrap(),
        wall,
        key,
        policy,
        audience_from: 0,
    })
}

/// A token for the room that lets in as a host for a day; `claims` are put over it.
pub(super) fn token(claims: Value) -> String {
    let mut all = json!({
        "iss": "web", "sub": "ada", "iat": EPOCH_S, "exp": EPOCH_S + 86_400,
        "video": {
            "room": "stage", "roomJoin": true, "roomCreate": true, "roomAdmin": true,
            "canPublish": true, "canSubscribe": true,
        },
    });
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    for (claim, value) in claims {
        all[claim] = value;
    }
    SigningKey::Secret(SECRET.as_bytes()).sign(&all).unwrap()
}

pub(super) fn read<M: serde::de::DeserializeOwned>(bytes: &[u8]) -> (Option<RequestId>, M) {
    let mut reader = ControlReader::default();
    reader.handle_bytes(bytes);
    let body = reader.poll_message().unwrap().expect("a whole message");
    let envelope = decode(&body).unwrap();
    (envelope.id, envelope.message)
}

//! Hubs of a small tree, joined by messages without QUIC: what is asked of one comes out at another.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{FromParticipant, Join, ToParticipant};
use tribune_protocol::control::room::Role;
use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::control::{ControlReader, decode};
use tribune_protocol::ids::{Note, ParticipantId, RelayId, RequestId, Revision, SessionKey};

use super::{Hub, HubConfig, HubEffect};
use crate::auth::{Auth, participant_id};
use crate::crossing::{Hears, LinkId, RoomId, ShardCommand, ShardEvent, ShardId};
use crate::ops::Readiness;
use crate::shard::WallClock;

const ORIGIN: usize = 0;
const MID: usize = 1;
const LEAF: usize = 2;
const OTHER_LEAF: usize = 3;

#[test]
fn a_speaker_at_a_leaf_is_on_the_stage_everywhere() {
    let mut tree = Tree::new();
    let ada = tree.join(LEAF, 1, Role::Speaker);
    assert_eq!(tree.joined(ada), Some(Role::Host));
    let bob = tree.join(OTHER_LEAF, 2, Role::Listener);
    assert_eq!(tree.joined(bob), Some(Role::Listener));
    for relay in [ORIGIN, MID, LEAF, OTHER_LEAF] {
        let stage = &tree.room(relay).state().stage;
        assert_eq!(stage.len(), 1, "at relay {relay}");
    }
    // The frames of the track come from below at the origin, and from above at the other leaf.
    assert_eq!(tree.routes[&LEAF], Some(tree.people[ada].link));
    assert_eq!(tree.routes[&OTHER_LEAF], tree.parent_link(OTHER_LEAF));
    assert_eq!(tree.routes[&MID], tree.child_link(MID, LEAF));
}

#[test]
fn a_listener_in_a_room_that_nobody_opened_is_refused_and_leaves_nothing() {
    let mut tree = Tree::new();
    let bob = tree.join(LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(bob), Some(ErrorCode::RoomNotFound));
    tree.pass(Duration::from_millis(10));
    for relay in [ORIGIN, MID, LEAF] {
        assert!(tree.hubs[relay].rooms.is_empty(), "at relay {relay}");
        assert!(tree.hubs[relay].channels.is_empty(), "at relay {relay}");
    }
}

#[test]
fn silence_is_acknowledged_when_every_shard_of_every_relay_has_it() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let heckler = tree.join(LEAF, 2, Role::Speaker);
    tree.join(OTHER_LEAF, 3, Role::Listener);
    tree.slow_shards = vec![OTHER_LEAF];
    let participant = tree.people[heckler].id;
    let reason = Note::default();
    let silence = FromParticipant::Silence { participant, on: true, reason };
    let request = tree.ask(host, silence);
    assert!(!tree.is_answered(host, request), "the other leaf has not put it in force");
    tree.slow_shards.clear();
    tree.release_shards();
    assert!(tree.is_answered(host, request));
}

#[test]
fn a_relay_that_does_not_confirm_is_cut_off_by_the_one_above_it() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let heckler = tree.join(LEAF, 2, Role::Speaker);
    tree.join(OTHER_LEAF, 3, Role::Listener);
    tree.slow_shards = vec![OTHER_LEAF];
    let participant = tree.people[heckler].id;
    let reason = Note::default();
    let request = tree.ask(host, FromParticipant::Silence { participant, on: true, reason });
    tree.pass(Duration::from_millis(2_500));
    assert!(tree.is_answered(host, request));
    assert!(tree.closes.contains(&(MID, CloseCode::TrunkLagging)));
    assert!(!tree.closes.contains(&(ORIGIN, CloseCode::TrunkLagging)), "the level above waits");
}

#[test]
fn who_is_kicked_is_closed_and_barred_at_every_relay() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    let participant = tree.people[bob].id;
    let reason = "enough".parse().unwrap();
    let request = tree.ask(host, FromParticipant::Kick { participant, reason });
    assert!(tree.is_answered(host, request));
    assert!(tree.closes.contains(&(LEAF, CloseCode::Kicked)));
    let again = tree.join(OTHER_LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(again), Some(ErrorCode::Barred));
}

#[test]
fn the_same_session_elsewhere_takes_the_place_over() {
    let mut tree = Tree::new();
    let before = tree.join(LEAF, 1, Role::Speaker);
    let track = tree.room(ORIGIN).state().stage[0].track;
    let after = tree.join(OTHER_LEAF, 1, Role::Speaker);
    assert_eq!(tree.joined(after), Some(Role::Host));
    assert!(tree.closes.contains(&(LEAF, CloseCode::Replaced)));
    assert_eq!(tree.room(ORIGIN).state().stage[0].track, track);
    assert!(!tree.room(ORIGIN).state().stage[0].away);
    assert_eq!(tree.routes[&MID], tree.child_link(MID, OTHER_LEAF));
    tree.close(before);
    assert!(!tree.room(ORIGIN).state().stage[0].away, "the older connection's end means nothing");
}

#[test]
fn a_room_is_let_go_when_nobody_wants_it() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    let bob = tree.join(LEAF, 2, Role::Listener);
    tree.pass(Duration::from_secs(2));
    assert_eq!(tree.room(ORIGIN).listeners(), 1);
    tree.close(bob);
    tree.pass(Duration::from_secs(9));
    assert!(tree.child_room(LEAF), "it lingers");
    tree.pass(Duration::from_secs(2));
    assert!(!tree.child_room(LEAF));
    tree.pass(Duration::from_secs(10));
    assert!(!tree.child_room(MID));
    assert_eq!(tree.room(ORIGIN).listeners(), 0);
}

#[test]
fn a_second_hello_changes_nothing() {
    let mut tree = Tree::new();
    tree.join(ORIGIN, 1, Role::Host);
    tree.join(MID, 2, Role::Listener);
    let link = tree.child_link(ORIGIN, MID).expect("the mid relay is attached");
    let (relay, name) = (RelayId(2), "relay".parse().unwrap());
    let message = ToParent::Hello { relay, name, height: 1, token: None };
    let (remote, certified) = ("127.0.0.1:1".parse().unwrap(), false);
    tree.event(ORIGIN, ShardEvent::FromChild { link, remote, certified, message });
    tree.pass(Duration::from_secs(2));
    assert_eq!(tree.room(ORIGIN).listeners(), 1);
    tree.event(ORIGIN, ShardEvent::Closed { link, why: "gone".to_owned() });
    assert_eq!(tree.room(ORIGIN).listeners(), 0);
}

#[test]
fn an_ended_room_closes_everybody_everywhere() {
    let mut tree = Tree::new();
    let host = tree.join(ORIGIN, 1, Role::Host);
    tree.join(LEAF, 2, Role::Listener);
    tree.join(OTHER_LEAF, 3, Role::Speaker);
    tree.ask(host, FromParticipant::EndRoom {});
    for relay in [ORIGIN, LEAF, OTHER_LEAF] {
        assert!(tree.closes.contains(&(relay, CloseCode::RoomEnded)), "at relay {relay}");
    }
    for relay in [ORIGIN, MID, LEAF, OTHER_LEAF] {
        assert!(tree.hubs[relay].rooms.is_empty(), "at relay {relay}");
    }
}

#[test]
fn a_draining_relay_refuses_joins_and_ends_when_all_have_gone() {
    let mut tree = Tree::new();
    let ada = tree.join(LEAF, 1, Role::Host);
    let now = tree.now;
    tree.hubs[LEAF].handle_drain(now);
    tree.settle();
    assert_eq!(tree.hubs[LEAF].readiness(), Readiness::Draining);
    let moved = |message: &ToParticipant| matches!(message, ToParticipant::Moved { .. });
    assert!(tree.broadcasts.iter().any(|(relay, message)| *relay == LEAF && moved(message)));
    let late = tree.join(LEAF, 2, Role::Listener);
    assert_eq!(tree.refused(late), Some(ErrorCode::Draining));
    assert!(!tree.drained);
    tree.close(ada);
    assert!(tree.drained);
}

#[test]
fn a_first_message_that_is_no_join_is_refused() {
    let mut tree = Tree::new();
    let nobody = tree.connect(LEAF, 1);
    tree.ask(nobody, FromParticipant::EndRoom {});
    assert_eq!(tree.refused(nobody), Some(ErrorCode::NotJoined));
}

/// An origin, a mid relay below it, two leaves below that.
struct Tree {
    hubs: Vec<Hub>,
    now: Instant,
    links: u32,
    /// The two ends of each trunk: (child, its link, parent, its link).
    trunks: Vec<(usize, LinkId, usize, LinkId)>,
    people: Vec<Person>,
    /// Relays whose shards do not confirm, and what they have not confirmed.
    slow_shards: Vec<usize>,
    unconfirmed: Vec<(usize, RoomId, Revision)>,
    /// Where the first track is at home, as each relay's shards were told last.
    routes: BTreeMap<usize, Option<LinkId>>,
    closes: Vec<(usize, CloseCode)>,
    broadcasts: Vec<(usize, ToParticipant)>,
    drained: bool,
}

struct Person {
    relay: usize,
    link: LinkId,
    session: SessionKey,
    id: ParticipantId,
    inbox: Vec<(Option<RequestId>, ToParticipant)>,
    requests: u32,
}

impl Tree {
    fn new() -> Self {
        let now = Instant::now();
        let hub = |relay: u64, parents| {
            let config = HubConfig {
                relay: RelayId(relay),
                name: "relay".parse().unwrap(),
                shards: 1,
                parents,
                auth: Auth { dev: true, ..Auth::default() },
                wall: WallClock { at: now, unix_us: 0 },
                relay_token: None,
                max_rooms: 10,
                first_revision: Revision(0),
                drain_to: None,
                drain_timeout: Duration::from_secs(10),
                seed: [0; 32],
            };
            Hub::new(config, now)
        };
        let hubs = vec![hub(1, 0), hub(2, 1), hub(3, 1), hub(4, 1)];
        let mut tree = Self {
            hubs,
            now,
            links: 0,
            trunks: Vec::new(),
            people: Vec::new(),
            slow_shards: Vec::new(),
            unconfirmed: Vec::new(),
            routes: BTreeMap::new(),
            closes: Vec::new(),
            broadcasts: Vec::new(),
            drained: false,
        };
        tree.pass(Duration::ZERO);
        assert!(tree.hubs.iter().all(|hub| hub.readiness() == Readiness::Ready));
        tree
    }

    fn link(&mut self) -> LinkId {
        self.links += 1;
        LinkId { shard: ShardId(0), slot: self.links, generation: self.links }
    }

    fn connect(&mut self, relay: usize, session: u8) -> usize {
        let link = self.link();
        let session = SessionKey([session; 16]);
        let id = participant_id(&session);
        self.people.push(Person { relay, link, session, id, inbox: Vec::new(), requests: 0 });
        self.people.len() - 1
    }

    fn join(&mut self, relay: usize, session: u8, role: Role) -> usize {
        let who = self.connect(relay, session);
        let join = Join {
            room: "stage".parse().unwrap(),
            session: self.people[who].session.clone(),
            name: "somebody".parse().unwrap(),
            role,
            token: None,
            returning: false,
            heard: Vec::new(),
        };
        self.ask(who, FromParticipant::Join(join));
        who
    }

    fn ask(&mut self, who: usize, message: FromParticipant) -> RequestId {
        let person = &mut self.people[who];
        person.requests += 1;
        let request = RequestId(person.requests);
        let (relay, link) = (person.relay, person.link);
        let remote = "127.0.0.1:9".parse().unwrap();
        let event = ShardEvent::FromParticipant { link, remote, request: Some(request), message };
        self.event(relay, event);
        request
    }

    fn close(&mut self, who: usize) {
        let (relay, link) = (self.people[who].relay, self.people[who].link);
        self.event(relay, ShardEvent::Closed { link, why: "gone".to_owned() });
    }

    fn event(&mut self, relay: usize, event: ShardEvent) {
        let now = self.now;
        self.hubs[relay].handle_event(now, ShardId(0), event);
        self.settle();
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, time: Duration) {
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
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for relay in 0..self.hubs.len() {
                while let Some(effect) = self.hubs[relay].poll_effect() {
                    quiet = false;
                    match effect {
                        HubEffect::Shard(_, command) => self.command(relay, command),
                        HubEffect::Dial { dial, .. } => self.dial(relay, dial),
                        HubEffect::Drained => self.drained = true,
                    }
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn dial(&mut self, child: usize, dial: crate::crossing::DialId) {
        let parent = if child == MID { ORIGIN } else { MID };
        let (below, above) = (self.link(), self.link());
        self.trunks.push((child, below, parent, above));
        let now = self.now;
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
            ShardCommand::Close { link, code, .. } => {
                self.closes.push((relay, code));
                let other = self.other_end(relay, link);
                self.trunks
                    .retain(|(a, x, b, y)| (*a, *x) != (relay, link) && (*b, *y) != (relay, link));
                if let Some((peer, link)) = other {
                    let event = ShardEvent::Closed { link, why: code.to_string() };
                    self.hubs[peer].handle_event(now, ShardId(0), event);
                }
            }
            ShardCommand::Routes { room, revision, tracks } => {
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
            ShardCommand::Attach { hears, .. } => {
                assert!(!matches!(hears, Hears::Trunk(channel) if channel.0 == 0));
            }
            ShardCommand::Dial { .. } => unreachable!("the hub asks its owner to dial"),
            ShardCommand::Detach { .. }
            | ShardCommand::Hosts { .. }
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
        let Some((peer, other)) = self.other_end(relay, link) else { return };
        let up = self.trunks.iter().any(|(child, below, ..)| (*child, *below) == (relay, link));
        let event = if up {
            let (remote, certified) = ("127.0.0.1:1".parse().unwrap(), false);
            ShardEvent::FromChild { link: other, remote, certified, message: read(message).1 }
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

    fn release_shards(&mut self) {
        let now = self.now;
        for (relay, room, revision) in std::mem::take(&mut self.unconfirmed) {
            self.hubs[relay].handle_event(now, ShardId(0), ShardEvent::InForce { room, revision });
        }
        self.settle();
    }

    fn parent_link(&self, child: usize) -> Option<LinkId> {
        self.trunks.iter().find(|trunk| trunk.0 == child).map(|trunk| trunk.1)
    }

    fn child_link(&self, parent: usize, child: usize) -> Option<LinkId> {
        let trunk = self.trunks.iter().find(|trunk| (trunk.0, trunk.2) == (child, parent));
        trunk.map(|trunk| trunk.3).filter(|link| self.hubs[parent].children.get(*link).is_some())
    }

    fn room(&self, relay: usize) -> &crate::room::Room {
        self.hubs[relay].room(&"stage".parse().unwrap()).expect("the relay carries the room")
    }

    fn child_room(&self, relay: usize) -> bool {
        self.hubs[relay].room(&"stage".parse().unwrap()).is_some()
    }

    fn is_answered(&self, who: usize, request: RequestId) -> bool {
        self.people[who].inbox.contains(&(Some(request), ToParticipant::Ok {}))
    }

    fn joined(&self, who: usize) -> Option<Role> {
        self.people[who].inbox.iter().find_map(|(_, message)| {
            let ToParticipant::Joined(joined) = message else { return None };
            Some(joined.you.role)
        })
    }

    fn refused(&self, who: usize) -> Option<ErrorCode> {
        self.people[who].inbox.iter().find_map(|(_, message)| {
            let ToParticipant::Err { code, .. } = message else { return None };
            Some(*code)
        })
    }
}

fn read<M: serde::de::DeserializeOwned>(bytes: &[u8]) -> (Option<RequestId>, M) {
    let mut reader = ControlReader::default();
    reader.handle_bytes(bytes);
    let body = reader.poll_message().unwrap().expect("a whole message");
    let envelope = decode(&body).unwrap();
    (envelope.id, envelope.message)
}

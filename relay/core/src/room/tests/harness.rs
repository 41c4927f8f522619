//! An authority, its clock, and the part of the node around it: it stores batches, and
//! checks all effects against the invariants of every input.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::encode;
use tribune_protocol::control::participant::{ToParticipant, You};
use tribune_protocol::control::trunk::{Action, Credentials, ToChild};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::domain::stage::{Hand, StageEntry};
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{
    Channel, Note, ParticipantId, RelayId, RequestId, Revision, RoomName, Subject,
};
use tribune_protocol::limits::MAX_STAGE;
use tribune_protocol::log::{Chain, LogAction, LogKey, SignedEntry, Verifier, verify};

use crate::clock::WallClock;
use crate::room::authority::commit::Authority;
use crate::room::authority::effect::OriginEffect;
use crate::room::authority::policy::Policy;
use crate::room::context::RoomContext;
use crate::store::{Batch, MemoryStore, Store, StoreError};

pub(super) const HOST: ParticipantId = ParticipantId(1);
pub(super) const COHOST: ParticipantId = ParticipantId(2);
pub(super) const SPEAKER: ParticipantId = ParticipantId(3);
pub(super) const HAND: ParticipantId = ParticipantId(4);
pub(super) const LISTENER: ParticipantId = ParticipantId(5);
/// A participant without a token.
pub(super) const GUEST: ParticipantId = ParticipantId(6);

/// Unix time when a harness begins, in seconds.
pub(super) const START_S: u64 = 1_000_000;

/// Behaviour of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storing {
    /// It is stored at once.
    AtOnce,
    /// It waits for [`Harness::stored`].
    Held,
    /// It fails at once.
    Fails,
}

#[derive(Debug)]
pub(super) struct Harness {
    pub(super) authority: Authority,
    pub(super) now: Instant,
    pub(super) setup: Arc<RoomContext>,
    pub(super) storing: Storing,
    /// Credentials of participants other than the constants above.
    pub(super) people: BTreeMap<ParticipantId, Credentials>,
    /// The decision that is held back.
    pub(super) held: Option<Batch>,
    store: MemoryStore,
    log: Vec<SignedEntry>,
    verifier: Verifier,
    requests: u32,
    /// Requests without an answer.
    open: BTreeSet<(ParticipantId, RequestId)>,
    /// Rulings, as known to a relay that follows the effects.
    followed: BTreeMap<PersonKey, Ruling>,
    /// Statistics by run, as the store has them.
    pub(super) statistics: std::collections::BTreeMap<u32, crate::store::StatisticsRow>,
}

/// Answer and effects of one request.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) answer: ToParticipant,
    pub(super) effects: Vec<OriginEffect>,
}

impl Harness {
    pub(super) fn new() -> Self {
        Self::with_policy(Policy::default())
    }

    pub(super) fn with_policy(policy: Policy) -> Self {
        let now = Instant::now();
        let wall = WallClock { at: now, unix_us: START_S * 1_000_000 };
        let key = LogKey::from_seed(&[7; 32]);
        let public = key.public();
        let setup = Arc::new(RoomContext {
            relay: RelayId(1),
            name: "relay".parse().unwrap(),
            wall,
            key,
            policy: Arc::new(policy),
            audience_from: 0,
        });
        let authority = Authority::new(room(), Revision(0), Arc::clone(&setup));
        Self {
            authority,
            now,
            setup,
            storing: Storing::AtOnce,
            people: BTreeMap::new(),
            held: None,
            statistics: std::collections::BTreeMap::new(),
            store: MemoryStore::default(),
            log: Vec::new(),
            verifier: Verifier::new(room(), public),
            requests: 0,
            open: BTreeSet::new(),
            followed: BTreeMap::new(),
        }
    }

    /// A host, in a room with an audience.
    pub(super) fn live() -> Self {
        Self::opened(Self::new())
    }

    pub(super) fn opened(mut room: Self) -> Self {
        room.authority.handle_audience(room.now, 3);
        room.done(HOST, enter(Role::Host));
        room
    }

    /// Everybody of the constants above, in the place their name says.
    pub(super) fn with_everybody() -> Self {
        let mut room = Self::live();
        room.done(COHOST, enter(Role::Cohost));
        room.done(SPEAKER, enter(Role::Speaker));
        room.done(HAND, raise(""));
        room
    }

    /// Credentials of a participant, from their edge.
    pub(super) fn by(&self, who: ParticipantId) -> Credentials {
        if let Some(by) = self.people.get(&who) {
            return by.clone();
        }
        match who.0 {
            1 => Credentials { may_open: true, ..credentials("host", "Ada", Role::Host) },
            2 => credentials("cohost", "Bo", Role::Cohost),
            3 => credentials("speaker", "Carl", Role::Speaker),
            4 => credentials("hand", "Dora", Role::Listener),
            5 => credentials("listener", "Emil", Role::Listener),
            6 => Credentials {
                subject: Subject::guest(who),
                ..credentials("guest", "Fay", Role::Listener)
            },
            other => credentials(&format!("p{other}"), &format!("P {other}"), Role::Listener),
        }
    }

    /// Sets the credentials of a participant from now on.
    pub(super) fn know(&mut self, who: ParticipantId, by: Credentials) {
        self.people.insert(who, by);
    }

    /// Sends a request, and leaves it open.
    pub(super) fn send(&mut self, who: ParticipantId, action: Action) -> Vec<OriginEffect> {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.open.insert((who, request));
        let by = Some(self.by(who));
        self.authority.handle_action(self.now, who, Some(request), by, action);
        self.drain()
    }

    /// A request and its only answer.
    pub(super) fn ask(&mut self, who: ParticipantId, action: Action) -> Outcome {
        let effects = self.send(who, action.clone());
        let id = RequestId(self.requests);
        let answers: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                OriginEffect::Deliver { to, request: Some(request), message, .. } => {
                    assert_eq!((*to, *request), (who, id));
                    Some(message.clone())
                }
                OriginEffect::Deliver { request: None, .. }
                | OriginEffect::Publish
                | OriginEffect::Rule { .. }
                | OriginEffect::Write(_)
                | OriginEffect::ReadLog { .. }
                | OriginEffect::HideText(_)
                | OriginEffect::KeepStatistics(_)
                | OriginEffect::ReadStatistics { .. }
                | OriginEffect::Query { .. }
                | OriginEffect::Displace { .. }
                | OriginEffect::Finished => None,
            })
            .collect();
        let [answer] = answers.as_slice() else {
            panic!("{action:?}: not one answer: {answers:?}")
        };
        Outcome { answer: answer.clone(), effects }
    }

    /// A request that succeeds; all it led to, in order.
    pub(super) fn done(&mut self, who: ParticipantId, action: Action) -> Vec<OriginEffect> {
        let outcome = self.ask(who, action.clone());
        if let ToParticipant::Err { code, message } = &outcome.answer {
            panic!("{who} {action:?}: {code}: {message}");
        }
        outcome.effects
    }

    /// The same for something to govern.
    pub(super) fn govern(&mut self, who: ParticipantId, act: Govern) -> Vec<OriginEffect> {
        self.done(who, Action::Govern { act })
    }

    /// A request that fails and changes nothing; why, as a sentence.
    pub(super) fn refused(
        &mut self,
        who: ParticipantId,
        action: Action,
        code: ErrorCode,
    ) -> String {
        let (state, entries) = (self.authority.state().clone(), self.log.len());
        let (rulings, kept) = (self.authority.rulings(), self.authority.keep());
        let outcome = self.ask(who, action.clone());
        let ToParticipant::Err { code: found, message } = outcome.answer else {
            panic!("{who} {action:?} is done");
        };
        assert_eq!(found, code, "{who} {action:?}: {message}");
        assert_eq!(outcome.effects.len(), 1, "{:?}", outcome.effects);
        assert_eq!((&state, entries), (self.authority.state(), self.log.len()), "{action:?}");
        assert_eq!((rulings, kept), (self.authority.rulings(), self.authority.keep()));
        assert!(message.ends_with('.') && message.len() > 20, "{message}");
        message
    }

    /// The same for something to govern.
    pub(super) fn no_govern(&mut self, who: ParticipantId, act: Govern, code: ErrorCode) -> String {
        self.refused(who, Action::Govern { act }, code)
    }

    /// An edge's report, without a request.
    pub(super) fn report(&mut self, who: ParticipantId, action: Action) -> Vec<OriginEffect> {
        let by = match action {
            Action::Present {} | Action::Away {} | Action::Left {} => None,
            Action::Enter { .. }
            | Action::RaiseHand { .. }
            | Action::LowerHand {}
            | Action::LeaveStage {}
            | Action::OwnMute { .. }
            | Action::Ask { .. }
            | Action::Govern { .. }
            | Action::OneShot { .. }
            | Action::Unknown => Some(self.by(who)),
        };
        self.authority.handle_action(self.now, who, None, by, action);
        self.drain()
    }

    /// Time passes, with a wake-up whenever one is due.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<OriginEffect> {
        let end = self.now + time;
        let mut effects = Vec::new();
        while let Some(due) = self.authority.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.authority.handle_timeout(self.now);
            effects.extend(self.drain());
        }
        self.now = end;
        effects
    }

    /// The decision that was held back is stored, or is not.
    pub(super) fn stored(&mut self, result: Result<(), StoreError>) -> Vec<OriginEffect> {
        let batch = self.held.take().expect("something to store");
        if result.is_ok() {
            self.store(&batch);
        }
        self.authority.handle_stored(self.now, result);
        self.drain()
    }

    /// The room as a new process finds it; a write that the old one held back is lost.
    pub(super) fn restart(&mut self) -> Vec<OriginEffect> {
        let kept = self.authority.keep().expect("something was stored");
        let (setup, first) = (Arc::clone(&self.setup), Revision(self.authority.revision().0 + 1));
        self.authority = Authority::restore(room(), &kept, first, setup, self.now).unwrap();
        self.held = None;
        self.open.clear();
        self.followed.clear();
        self.drain()
    }

    /// Effects of the authority, in order; the store is answered on the way.
    pub(super) fn drain(&mut self) -> Vec<OriginEffect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.authority.poll_effect() {
            match effect {
                OriginEffect::Write(batch) => match self.storing {
                    Storing::AtOnce => {
                        self.store(&batch);
                        self.authority.handle_stored(self.now, Ok(()));
                    }
                    Storing::Held => {
                        assert!(self.held.is_none(), "one write at a time");
                        self.held = Some(batch);
                    }
                    Storing::Fails => {
                        self.authority.handle_stored(self.now, Err(failure()));
                    }
                },
                OriginEffect::ReadLog { ticket, from, limit } => {
                    let page = self.store.read_log(&room(), from, limit);
                    self.authority.handle_log(self.now, ticket, page);
                }
                // With a store of its own, so that what is written of decisions stays as it is.
                OriginEffect::KeepStatistics(row) => {
                    self.statistics.insert(row.run, row);
                    self.authority.counts().handle_stored(self.now, Ok(()));
                }
                OriginEffect::ReadStatistics { ticket, run } => {
                    let row = match run {
                        Some(run) => self.statistics.get(&run),
                        None => self.statistics.values().next_back(),
                    };
                    self.authority.counts().handle_read(ticket, Ok(row.cloned()));
                }
                OriginEffect::HideText(_)
                | OriginEffect::Rule { .. }
                | OriginEffect::Publish
                | OriginEffect::Query { .. }
                | OriginEffect::Displace { .. }
                | OriginEffect::Deliver { .. }
                | OriginEffect::Finished => effects.push(effect),
            }
        }
        self.check(&effects);
        effects
    }

    fn store(&mut self, batch: &Batch) {
        self.store.write(std::slice::from_ref(batch)).unwrap();
        assert!(batch.record.is_some());
        for row in &batch.entries {
            let signed = SignedEntry::from_bytes(&row.bytes).unwrap();
            self.verifier.handle_entry(&signed).unwrap();
            assert_eq!(signed.entry.number, row.number);
            self.log.push(signed);
        }
    }

    /// Invariants after every input.
    fn check(&mut self, effects: &[OriginEffect]) {
        let mut published = false;
        for (at, effect) in effects.iter().enumerate() {
            match effect {
                OriginEffect::Rule { rulings, lifted } => {
                    assert_eq!(effects.get(at + 1), Some(&OriginEffect::Publish), "{effects:?}");
                    assert!(!rulings.is_empty() || !lifted.is_empty());
                    for ruling in rulings {
                        let ruling = Ruling { news: None, ..ruling.clone() };
                        let void = Ruling { entry: ruling.entry, ..Ruling::about(ruling.who) };
                        if ruling == void {
                            self.followed.remove(&ruling.who);
                        } else {
                            self.followed.insert(ruling.who, ruling);
                        }
                    }
                    for key in lifted {
                        assert!(rulings.iter().all(|ruling| ruling.who != *key));
                        self.followed.remove(key);
                    }
                }
                OriginEffect::Publish => published = true,
                OriginEffect::Deliver { to, request: Some(request), .. } => {
                    assert!(self.open.remove(&(*to, *request)), "answered twice: {effect:?}");
                }
                // The room's node answers.
                OriginEffect::Query { to, request: Some(request), .. } => {
                    assert!(self.open.remove(&(*to, *request)), "answered twice: {effect:?}");
                }
                OriginEffect::Deliver { request: None, message, after, .. } => {
                    assert!(encode(None, message).is_ok() && after.is_none());
                }
                OriginEffect::Write(_)
                | OriginEffect::ReadLog { .. }
                | OriginEffect::HideText(_)
                | OriginEffect::KeepStatistics(_)
                | OriginEffect::ReadStatistics { .. }
                | OriginEffect::Query { .. }
                | OriginEffect::Displace { .. }
                | OriginEffect::Finished => {}
            }
        }
        if self.held.is_none() {
            assert!(self.open.is_empty(), "no answer to {:?}", self.open);
        }
        let followed: Vec<_> = self.followed.values().cloned().collect();
        assert_eq!(followed, self.authority.rulings(), "a relay that follows knows the same");
        let state = self.authority.state();
        assert!(state.stage.len() <= MAX_STAGE);
        assert!(state.stage.iter().filter(|entry| entry.role == Role::Host).count() <= 1);
        if published {
            let (channel, revision) = (Channel(u32::MAX), self.authority.revision());
            let message = ToChild::State { channel, revision, state: state.clone() };
            assert!(encode(None, &message).is_ok(), "the state fits a message");
        }
    }

    /// Takes all rulings as known to all relays.
    pub(super) fn adopt(&mut self) {
        let rulings = self.authority.rulings();
        self.followed.extend(rulings.into_iter().map(|ruling| (ruling.who, ruling)));
    }

    /// The whole log, verified with a head as a reader gets it.
    pub(super) fn log(&self) -> Vec<SignedEntry> {
        let chain = self.log.last().map_or_else(|| Chain::new(room()), Chain::resume);
        let head = chain.head(&self.setup.key, START_S * 1_000);
        verify(&room(), Some(&self.setup.key.public()), &self.log, &head).unwrap();
        self.log.clone()
    }

    /// Actions of the log, in order.
    pub(super) fn actions(&self) -> Vec<LogAction> {
        self.log.iter().map(|signed| signed.entry.action).collect()
    }

    /// The last entry of the log, in plain words.
    pub(super) fn last(&self) -> String {
        self.log.last().expect("an entry").entry.statement()
    }

    /// Its number.
    pub(super) fn last_number(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn entry(&self, who: ParticipantId) -> StageEntry {
        let entry = self.authority.state().on_stage(who);
        entry.unwrap_or_else(|| panic!("{who} is not on the stage")).clone()
    }

    pub(super) fn role(&self, who: ParticipantId) -> Option<Role> {
        self.authority.state().on_stage(who).map(|entry| entry.role)
    }

    pub(super) fn is_on_stage(&self, who: ParticipantId) -> bool {
        self.authority.state().on_stage(who).is_some()
    }

    pub(super) fn revision(&self) -> Revision {
        self.authority.revision()
    }

    /// The ruling about a person, as every relay knows it.
    pub(super) fn ruled(&self, key: PersonKey) -> Option<Ruling> {
        self.followed.get(&key).cloned()
    }
}

pub(super) fn room() -> RoomName {
    "stage".parse().unwrap()
}

pub(super) fn failure() -> StoreError {
    StoreError::Full("no space left on the device".to_owned())
}

pub(super) fn credentials(subject: &str, name: &str, role: Role) -> Credentials {
    let (subject, name) = (subject.parse().unwrap(), name.parse().unwrap());
    Credentials { subject, name, role, may_open: false, barred: false, came_by: None }
}

pub(super) fn subject(name: &str) -> Target {
    Target::Subject(name.parse().unwrap())
}

pub(super) fn subject_key(name: &str) -> PersonKey {
    PersonKey::of_subject(&name.parse().unwrap())
}

pub(super) fn note(text: &str) -> Note {
    text.parse().unwrap()
}

pub(super) fn enter(role: Role) -> Action {
    Action::Enter { role }
}

pub(super) fn raise(text: &str) -> Action {
    Action::RaiseHand { note: note(text) }
}

pub(super) fn grant(participant: ParticipantId) -> Govern {
    Govern::Grant { participant }
}

pub(super) fn deny(participant: ParticipantId, reason: &str) -> Govern {
    Govern::Deny { participant, reason: note(reason) }
}

pub(super) fn silence(participant: ParticipantId, on: bool) -> Govern {
    Govern::Silence { participant, on, reason: note("too loud") }
}

pub(super) fn kick(participant: ParticipantId) -> Govern {
    kick_target(Target::Participant(participant))
}

pub(super) fn kick_target(target: Target) -> Govern {
    Govern::Kick { target, reason: note("heckling") }
}

pub(super) fn ban(target: Target, duration_s: Option<u64>) -> Govern {
    Govern::Ban { target, duration_s, reason: note("insults") }
}

pub(super) fn set_role(target: Target, role: Role) -> Govern {
    Govern::SetRole { target, role, reason: note("for tonight") }
}

/// The `you` messages among effects, with their addressees checked.
pub(super) fn yous(effects: &[OriginEffect]) -> Vec<You> {
    delivered(effects, |to, message| {
        let ToParticipant::You(you) = message else { return None };
        assert_eq!(you.participant, to);
        Some(you.clone())
    })
}

/// The `hands` messages among effects: receiver, hands, total.
pub(super) fn shown(effects: &[OriginEffect]) -> Vec<(ParticipantId, Vec<Hand>, u32)> {
    delivered(effects, |to, message| {
        let ToParticipant::Hands { hands, total } = message else { return None };
        Some((to, hands.clone(), *total))
    })
}

/// Receivers of `moderated`, and its content.
pub(super) fn notices(effects: &[OriginEffect]) -> Vec<(ParticipantId, Moderated)> {
    delivered(effects, |to, message| {
        let ToParticipant::Moderated(news) = message else { return None };
        Some((to, news.clone()))
    })
}

/// Notices in new rulings, for the persons they are about.
pub(super) fn news(effects: &[OriginEffect]) -> Vec<(PersonKey, Moderated)> {
    let rulings = effects.iter().filter_map(|effect| match effect {
        OriginEffect::Rule { rulings, .. } => Some(rulings.clone()),
        OriginEffect::Publish
        | OriginEffect::Write(_)
        | OriginEffect::ReadLog { .. }
        | OriginEffect::HideText(_)
        | OriginEffect::KeepStatistics(_)
        | OriginEffect::ReadStatistics { .. }
        | OriginEffect::Query { .. }
        | OriginEffect::Displace { .. }
        | OriginEffect::Deliver { .. }
        | OriginEffect::Finished => None,
    });
    rulings.flatten().filter_map(|ruling| Some((ruling.who, ruling.news?))).collect()
}

pub(super) fn delivered<T>(
    effects: &[OriginEffect],
    pick: impl Fn(ParticipantId, &ToParticipant) -> Option<T>,
) -> Vec<T> {
    let messages = effects.iter().filter_map(|effect| match effect {
        OriginEffect::Deliver { to, message, .. } => pick(*to, message),
        OriginEffect::Publish
        | OriginEffect::Rule { .. }
        | OriginEffect::Write(_)
        | OriginEffect::ReadLog { .. }
        | OriginEffect::HideText(_)
        | OriginEffect::KeepStatistics(_)
        | OriginEffect::ReadStatistics { .. }
        | OriginEffect::Query { .. }
        | OriginEffect::Displace { .. }
        | OriginEffect::Finished => None,
    });
    messages.collect()
}

/// Where an effect stands among others.
pub(super) fn at(effects: &[OriginEffect], is: impl Fn(&OriginEffect) -> bool) -> usize {
    let found: Vec<usize> = (0..effects.len()).filter(|&at| is(&effects[at])).collect();
    assert_eq!(found.len(), 1, "{effects:?}");
    found[0]
}

pub(super) fn is_publish(effect: &OriginEffect) -> bool {
    *effect == OriginEffect::Publish
}

pub(super) fn is_ok(after: Option<Revision>) -> impl Fn(&OriginEffect) -> bool {
    move |effect| {
        matches!(effect, OriginEffect::Deliver { message: ToParticipant::Ok {}, after: when, .. }
            if *when == after)
    }
}

pub(super) fn is_you(effect: &OriginEffect) -> bool {
    matches!(effect, OriginEffect::Deliver { message: ToParticipant::You(_), .. })
}

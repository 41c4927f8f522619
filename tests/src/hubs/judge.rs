//! Invariants of every run, and its measurements.
//!
//! * **Off the air.** Once a relay has handed the moderator's edge the `ok`, and the edge has handed
//!   it out, no relay hands a frame of the subject to anybody ([`HubNet::expect_off_air`]). That binds
//!   each relay that has been in the tree, without a break on its way to the origin, since the request;
//!   any other, which the origin may not know of, from the moment that it is back and in order.
//! * **Kept out.** If the action is to keep the subject out as well, then from the same moment on no
//!   relay that is bound lets it in, in any session ([`HubNet::expect_kept_out`]).
//! * **One answer.** No request is answered twice. One whose connection and whose way to the origin
//!   have lasted is answered ([`HubNet::judge_rest`]).
//! * **One state.** Once all is quiet, all relays hold the origin's state, and the count of listeners
//!   is right and said everywhere.
//!
//! Counted, and no fault: a connection closed as replaced by a later one that there is not. It happens
//! when a mid relay that comes back to the origin names, as being below it, somebody whose edge has
//! gone over to another mid relay and whose old trunk it still takes for alive. The client has to come
//! in again.

use std::collections::BTreeMap;
use std::time::Duration;

use tribune_protocol::ids::{ParticipantId, RequestId, Revision};
use tribune_relay_core::messages::ShardId;

use super::audio::Frame;
use super::people::{Answer, ConnNo, PersonNo, Stay};
use super::{HubNet, RelayNo};

/// Faults that are kept in words; there may be thousands of one kind.
const FAULTS_KEPT: usize = 20;
/// A request that was made that long ago, on a way that has lasted, has been answered: the longest
/// of all waits is a join's, of 5 s.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// An expectation, in the order of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchNo(usize);

/// The times of one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From the request to the answer.
    pub to_answer: Duration,
    /// From the request until the last of the relays that were in the tree all the while enforced it.
    pub to_effect: Duration,
    /// Number of those relays.
    pub relays: usize,
}

/// A participant who must be inaudible once a request is answered.
#[derive(Debug)]
struct Watch {
    /// The subject, in all its sessions.
    subjects: Vec<PersonNo>,
    /// Whether the participant must stay out as well.
    kept_out: bool,
    requests: Vec<(ConnNo, RequestId, Duration)>,
    first_asked: Duration,
    answered: Option<Duration>,
    /// The origin's revision when it was answered.
    revision: Revision,
    timing: Option<Timing>,
    /// By relay: whether it is bound.
    bound: Vec<bool>,
    /// By relay: since when it drops everything of the subject.
    enforced: Vec<Option<Duration>>,
}

/// The judge's books.
#[derive(Debug, Default)]
pub(super) struct Judge {
    watches: Vec<Watch>,
    faults: Vec<String>,
    /// Connections closed as replaced that were the latest of their participant.
    replaced_by_none: u64,
    /// Frames handed out: frames times listeners, by speaker.
    heard: BTreeMap<PersonNo, u64>,
}

impl HubNet {
    /// From the answer to that request on, the subject is off the air in all its sessions.
    pub fn expect_off_air(
        &mut self,
        subjects: &[PersonNo],
        conn: ConnNo,
        request: RequestId,
    ) -> WatchNo {
        let relays = self.relays.len();
        self.judge.watches.push(Watch {
            subjects: subjects.to_vec(),
            kept_out: false,
            requests: vec![(conn, request, self.now)],
            first_asked: self.now,
            answered: None,
            revision: Revision(0),
            timing: None,
            bound: vec![false; relays],
            enforced: vec![None; relays],
        });
        let watch = WatchNo(self.judge.watches.len() - 1);
        self.relays().for_each(|relay| self.judge_routes(relay));
        watch
    }

    /// From then on it does not come in either.
    pub fn expect_kept_out(&mut self, watch: WatchNo) {
        self.judge.watches[watch.0].kept_out = true;
    }

    /// The moderator asks for the same again: that answer counts as well.
    pub fn or_answered(&mut self, watch: WatchNo, conn: ConnNo, request: RequestId) {
        let now = self.now;
        self.judge.watches[watch.0].requests.push((conn, request, now));
    }

    /// Time to the answer; `None` until then.
    #[must_use]
    pub fn timing(&self, watch: WatchNo) -> Option<Timing> {
        self.judge.watches[watch.0].timing
    }

    /// Violations, in words.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.judge.faults
    }

    /// Connections closed as replaced by a later one though there was none.
    #[must_use]
    pub const fn replaced_by_none(&self) -> u64 {
        self.judge.replaced_by_none
    }

    /// Frames of a participant delivered so far, counted once per listener.
    #[must_use]
    pub fn heard(&self, speaker: PersonNo) -> u64 {
        self.judge.heard.get(&speaker).copied().unwrap_or_default()
    }

    /// Participants in the room that are not on the stage, in truth.
    #[must_use]
    pub fn true_listeners(&self, origin: RelayNo) -> u64 {
        let state = self.room(origin).map(tribune_relay_core::room::Room::state);
        let on_stage =
            |who: ParticipantId| state.is_some_and(|state| state.on_stage(who).is_some());
        let here = self
            .people
            .conns()
            .filter(|(_, person, _, stay, _)| *stay == Stay::In && !on_stage(self.id(*person)));
        here.count() as u64
    }

    /// Once all is quiet: one state, the right count, no request without its answer.
    pub fn judge_rest(&mut self, origin: RelayNo) {
        let mut faults = Vec::new();
        let listeners = self.true_listeners(origin);
        let Some(room) = self.room(origin) else {
            return self.fault("the origin has no room".to_owned());
        };
        let state = room.state();
        if room.listeners() != listeners {
            faults.push(format!("{listeners} listen, the origin counts {}", room.listeners()));
        }
        let revision = self.revision(origin);
        for relay in self.relays() {
            let Some(room) = self.room(relay) else { continue };
            if room.state() != state {
                let (own, other) = (room.state(), state);
                faults.push(format!("relay {} is at {own:?}, the origin at {other:?}", relay.0));
            }
            for model in self.relays[relay.0].shards.iter().flat_map(|shard| shard.rooms()) {
                if Some(model.revision) != revision {
                    let (own, other) = (model.revision.0, revision);
                    faults.push(format!("relay {} is at {own}, the origin at {other:?}", relay.0));
                }
                if model.receivers > 0 && model.count_said != Some(listeners) {
                    let said = model.count_said;
                    faults.push(format!("{listeners} listen, relay {} said {said:?}", relay.0));
                }
            }
        }
        for (conn, _, relay, stay, asked) in self.people.conns() {
            let lasting = self.in_tree_since(relay);
            for (number, asked) in asked.iter().enumerate() {
                let is_due = asked.at + ANSWERED_WITHIN < self.now;
                let lasted = lasting.is_some_and(|since| since < asked.at);
                // A join is answered in any case.
                let has_to_be = lasted || number == 0;
                let is_there = !matches!(stay, Stay::Gone(_));
                if asked.answer.is_none() && is_due && has_to_be && is_there {
                    faults.push(format!(
                        "request {} of connection {} has no answer",
                        asked.id.0, conn.0
                    ));
                }
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    pub(super) const fn judge_replaced(&mut self) {
        self.judge.replaced_by_none += 1;
    }

    pub(super) fn fault(&mut self, fault: String) {
        if self.judge.faults.len() < FAULTS_KEPT {
            self.judge.faults.push(format!("at {:?}: {fault}", self.now));
        }
    }

    /// A shard of a relay has new routes.
    pub(super) fn judge_routes(&mut self, relay: RelayNo) {
        for number in 0..self.judge.watches.len() {
            let watch = &self.judge.watches[number];
            let enforces = watch.subjects.iter().all(|subject| self.enforces(relay, *subject));
            let rooms = self.relays[relay.0].shards.iter().flat_map(|shard| shard.rooms());
            let is_new = rooms.map(|room| room.revision).min() >= Some(watch.revision);
            let in_tree = is_new && self.in_tree_since(relay).is_some();
            let now = self.now;
            let watch = &mut self.judge.watches[number];
            let since = &mut watch.enforced[relay.0];
            *since = if enforces { since.or(Some(now)) } else { None };
            if watch.answered.is_some() && enforces && in_tree {
                watch.bound[relay.0] = true;
            }
        }
    }

    /// A shard hands a frame to its listeners.
    pub(super) fn judge_heard(&mut self, relay: RelayNo, frame: Frame, audience: u64) {
        self.witness(relay, &frame.accepted.as_nanos().to_le_bytes());
        *self.judge.heard.entry(frame.speaker).or_default() += audience;
        let late = |watch: &&Watch| {
            watch.answered.is_some()
                && watch.subjects.contains(&frame.speaker)
                && watch.bound[relay.0]
        };
        if let Some(watch) = self.judge.watches.iter().find(late) {
            let answered = watch.answered;
            self.fault(format!(
                "relay {} hands out a frame let in at {:?} of somebody off the air since {answered:?}",
                relay.0, frame.accepted
            ));
        }
    }

    /// A participant has been admitted.
    pub(super) fn judge_joined(&mut self, conn: ConnNo) {
        let (person, relay) = self.place(conn);
        let wrong = |watch: &Watch| {
            watch.kept_out
                && watch.answered.is_some()
                && watch.subjects.contains(&person)
                && watch.bound[relay.0]
        };
        if self.judge.watches.iter().any(wrong) {
            self.fault(format!("relay {} lets somebody in who is kept out", relay.0));
        }
    }

    /// An answer is handed out.
    pub(super) fn judge_answer(&mut self, conn: ConnNo, request: RequestId, answer: Answer) {
        if answer != Answer::Done {
            return;
        }
        for number in 0..self.judge.watches.len() {
            let watch = &self.judge.watches[number];
            let asked = watch.requests.iter().find(|(of, id, _)| (*of, *id) == (conn, request));
            if let Some((_, _, asked)) = asked.filter(|_| watch.answered.is_none()) {
                self.judge_done(number, *asked);
            }
        }
    }

    fn judge_done(&mut self, number: usize, asked: Duration) {
        let mut last = asked;
        for relay in self.relays() {
            if self.in_tree_since(relay).is_none_or(|since| since >= asked) {
                continue;
            }
            match self.judge.watches[number].enforced[relay.0] {
                Some(since) => last = last.max(since),
                None => self.fault(format!("answered before relay {} enforces it", relay.0)),
            }
            self.judge.watches[number].bound[relay.0] = true;
        }
        let revision = self.relays().next().and_then(|origin| self.revision(origin));
        let watch = &mut self.judge.watches[number];
        watch.revision = revision.unwrap_or_default();
        watch.answered = Some(self.now);
        let (to_answer, to_effect) = (self.now - watch.first_asked, last - watch.first_asked);
        let relays = watch.bound.iter().filter(|bound| **bound).count();
        watch.timing = Some(Timing { to_answer, to_effect, relays });
    }

    /// Whether no shard of a relay forwards anything of a participant.
    fn enforces(&self, relay: RelayNo, subject: PersonNo) -> bool {
        let tracks = self.people.tracks(subject);
        let mut rooms = self.relays[relay.0].shards.iter().flat_map(|shard| shard.rooms());
        rooms.all(|room| {
            let routes = tracks.iter().filter_map(|track| room.route(*track));
            routes.into_iter().all(|route| route.silenced)
        })
    }

    /// The revision in force at the origin.
    fn revision(&self, origin: RelayNo) -> Option<Revision> {
        let shards = self.relays[origin.0].shards.len() as u8;
        let mut shards = (0..shards).map(|shard| self.shard_ref(origin, ShardId(shard)));
        shards.find_map(|shard| shard.rooms().next().map(|room| room.revision))
    }
}

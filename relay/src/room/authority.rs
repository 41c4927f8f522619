//! The origin's decisions about one room: who is on the stage, whose hand is up, who is kept out,
//! and when the room begins and ends. Pure: time comes in as a parameter, what follows comes out as
//! [`OriginEffect`]s. For the room's node on the relay that is the room's origin.
//!
//! An action runs through: presence (whoever acts is there) → the policy table
//! ([`super::permissions`]) → the decision, which changes the state and queues effects → one look at
//! what the change means for the queue of hands and for the end of an empty room.
//!
//! The origin knows by name only those who act. Silent listeners are a number
//! ([`Authority::handle_audience`]), and everybody who is not on the stage has the listener's rights.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{ToParticipant, You};
use tribune_protocol::control::room::{Phase, Role, RoomState, StageEntry};
use tribune_protocol::control::trunk::Action;
use tribune_protocol::ids::{
    DisplayName, Note, ParticipantId, RequestId, Revision, RoomName, TrackId,
};
use tribune_protocol::limits::{MAX_STAGE, RECONNECT_GRACE};

use super::effect::{Asker, OriginEffect, Outbox, Refusal};
use super::hands::HandQueue;
use super::moderation::{self, SilencedLeavers};
use super::permissions::{self, ActionKind};

/// How long a room goes on with nobody in it: twice the grace for reconnects, so that a relay that
/// fails with everybody on it does not end the room.
pub const EMPTY_ROOM_LINGER: Duration = Duration::from_secs(60);

/// The authority of one room.
///
/// After each `handle_*`, drain [`Self::poll_effect`]; a call queues a number of effects that is
/// bounded by the stage, whatever the number of hands and listeners.
#[derive(Debug)]
pub struct Authority {
    pub(super) state: RoomState,
    pub(super) hands: HandQueue,
    pub(super) outbox: Outbox,
    next_track: u32,
    silenced_leavers: SilencedLeavers,
    /// Who of the stage and the queue is away, and until when the place is kept, soonest first. At
    /// most the stage and the queue.
    pub(super) away: VecDeque<(ParticipantId, Instant)>,
    listeners: u64,
    /// When the room ends, while nobody is in it.
    empty_until: Option<Instant>,
    /// Who has just come in or back: a moderator among them has to see the queue.
    newcomer: Option<ParticipantId>,
}

impl Authority {
    /// The authority of a room that nobody has opened, at revision `first`.
    #[must_use]
    pub fn new(room: RoomName, first: Revision) -> Self {
        Self {
            state: RoomState::absent(room),
            hands: HandQueue::default(),
            outbox: Outbox::new(first),
            next_track: 1,
            silenced_leavers: SilencedLeavers::default(),
            away: VecDeque::new(),
            listeners: 0,
            empty_until: None,
            newcomer: None,
        }
    }

    /// The state to publish.
    #[must_use]
    pub fn state(&self) -> &RoomState {
        &self.state
    }

    /// How often the state has changed.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.outbox.revision()
    }

    /// Participants on the stage, those away included.
    #[must_use]
    pub fn actors(&self) -> usize {
        self.state.stage.len()
    }

    /// Raised hands.
    #[must_use]
    pub fn hands(&self) -> usize {
        self.hands.len()
    }

    /// A participant does something, or its edge says something about it. A request gets exactly
    /// one `ok` or `err`; without one there is no answer.
    pub fn handle_action(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        action: Action,
    ) {
        self.outbox.begin();
        if !matches!(action, Action::Away {} | Action::Left {}) {
            self.come_back(who);
        }
        let asker = Asker { id: who, request };
        if let Err(refusal) = self.decide(now, asker, action) {
            self.outbox.refuse(asker, refusal);
        }
        self.settle(now);
    }

    /// How many participants without a role are in the whole tree.
    pub fn handle_audience(&mut self, now: Instant, listeners: u64) {
        self.outbox.begin();
        self.listeners = listeners;
        self.settle(now);
    }

    /// Time has passed: places of those away for too long are given up, and a room that stayed
    /// empty ends.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.outbox.begin();
        while let Some((who, _)) = self.away.front().copied().filter(|&(_, until)| until <= now) {
            self.remove(who);
        }
        if self.empty_until.is_some_and(|until| until <= now) {
            self.end();
        }
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.away.front().map(|&(_, until)| until).into_iter().chain(self.empty_until).min()
    }

    /// What to carry out next.
    pub fn poll_effect(&mut self) -> Option<OriginEffect> {
        self.outbox.poll()
    }

    fn decide(&mut self, now: Instant, asker: Asker, action: Action) -> Result<(), Refusal> {
        if let Some((kind, subject)) = ActionKind::of(asker.id, &action) {
            let subject_role = subject.map(|subject| self.role(subject));
            permissions::check(self.role(asker.id), kind, subject_role)?;
        }
        match action {
            Action::Enter { name, role, may_govern } => self.enter(asker, name, role, may_govern),
            Action::Present {} => {
                self.greet_again(asker);
                Ok(())
            }
            Action::Away {} => {
                self.go_away(now, asker.id);
                self.outbox.ok(asker);
                Ok(())
            }
            Action::Left {} => {
                self.remove(asker.id);
                self.outbox.ok(asker);
                Ok(())
            }
            Action::RaiseHand { name, note } => self.raise_hand(now, asker, name, note),
            Action::LowerHand { subject } => self.lower_hand(asker, subject.unwrap_or(asker.id)),
            Action::Grant { subject } => self.grant(asker, subject),
            Action::Deny { subject, reason } => self.deny(now, asker, subject, reason),
            Action::AskMute { subject, reason } => self.ask_mute(asker, subject, reason),
            Action::Silence { subject, on, reason } => self.silence(asker, subject, on, reason),
            Action::Kick { subject, reason } => self.kick(asker, subject, reason),
            Action::LeaveStage {} => self.leave_stage(asker),
            Action::OwnMute { muted } => self.own_mute(asker, muted),
            Action::EndRoom {} => {
                self.outbox.ok(asker); // connections close with the last state
                self.end();
                Ok(())
            }
            Action::Unknown => Err(Refusal::bad_request("This relay does not know that action.")),
        }
    }

    fn enter(
        &mut self,
        asker: Asker,
        name: DisplayName,
        role: Role,
        may_govern: bool,
    ) -> Result<(), Refusal> {
        if !role.speaks() {
            return Err(Refusal::bad_request(
                "A listener comes in at its edge and does not need the origin.",
            ));
        }
        let is_live = self.state.phase == Phase::Live;
        if is_live && self.is_known(asker.id) {
            self.greet_again(asker);
            return Ok(());
        }
        let role = if is_live {
            self.admit(asker.id, role, may_govern)?
        } else if may_govern {
            Role::Host
        } else {
            return Err(self.not_open());
        };
        let silenced = self.silenced_leavers.contains(asker.id);
        self.step_up(asker.id, name, role, silenced)?;
        if !is_live {
            self.state.phase = Phase::Live;
            self.state.barred.clear(); // another room of the same name
        }
        self.outbox.ok(asker);
        self.newcomer = Some(asker.id);
        Ok(())
    }

    /// What somebody needs to see whose connection is new.
    fn greet_again(&mut self, asker: Asker) {
        self.outbox.ok(asker);
        self.tell_place(asker.id, Note::default());
        self.newcomer = Some(asker.id);
    }

    /// The role in which somebody new comes into the room.
    fn admit(&self, who: ParticipantId, role: Role, may_govern: bool) -> Result<Role, Refusal> {
        moderation::refuse_barred(&self.state, who)?;
        if role == Role::Host
            && let Some(host) = self.state.stage.iter().find(|entry| entry.role == Role::Host)
        {
            let message = format!("{} is the host of this room, and there can be one.", host.name);
            return Err(Refusal::new(ErrorCode::HostTaken, message));
        }
        if role.moderates() && !may_govern {
            return Err(Refusal::new(
                ErrorCode::NotPermitted,
                format!("Coming in as {role} takes the right to govern this room."),
            ));
        }
        Ok(role)
    }

    fn leave_stage(&mut self, asker: Asker) -> Result<(), Refusal> {
        if self.state.on_stage(asker.id).is_none() {
            return Err(Refusal::bad_request(NOT_ON_STAGE));
        }
        self.remove(asker.id);
        self.outbox.ok(asker);
        self.tell_place(asker.id, Note::default());
        Ok(())
    }

    fn own_mute(&mut self, asker: Asker, muted: bool) -> Result<(), Refusal> {
        let entry = self.entry_mut(asker.id).ok_or_else(|| Refusal::bad_request(NOT_ON_STAGE))?;
        if std::mem::replace(&mut entry.muted, muted) != muted {
            self.outbox.publish();
        }
        self.outbox.ok(asker);
        Ok(())
    }

    /// Ends the room. What is known of its participants is forgotten; the bars stay in the last
    /// state.
    fn end(&mut self) {
        self.state.phase = Phase::Ended;
        self.state.stage.clear();
        self.hands = HandQueue::default();
        self.silenced_leavers = SilencedLeavers::default();
        self.away.clear();
        self.outbox.publish();
        self.outbox.finished();
    }

    /// Keeps the place of somebody whose connection is gone, for [`RECONNECT_GRACE`].
    fn go_away(&mut self, now: Instant, who: ParticipantId) {
        if !self.is_known(who) || self.is_away(who) {
            return;
        }
        self.away.push_back((who, now + RECONNECT_GRACE));
        if let Some(entry) = self.entry_mut(who) {
            entry.away = true;
            self.outbox.publish();
        }
    }

    fn come_back(&mut self, who: ParticipantId) {
        if !self.is_away(who) {
            return;
        }
        self.away.retain(|&(away, _)| away != who);
        if let Some(entry) = self.entry_mut(who) {
            entry.away = false;
            self.outbox.publish();
        }
    }

    /// Gives up the place of somebody, on the stage or in the queue.
    pub(super) fn remove(&mut self, who: ParticipantId) {
        self.away.retain(|&(away, _)| away != who);
        if let Some(at) = self.state.stage.iter().position(|entry| entry.participant == who) {
            if self.state.stage.remove(at).silenced {
                self.silenced_leavers.insert(who);
            }
            self.outbox.publish();
        }
        let _ = self.hands.remove(who); // most have none up
    }

    /// Gives somebody a place on the stage, with a track that nobody had before.
    pub(super) fn step_up(
        &mut self,
        participant: ParticipantId,
        name: DisplayName,
        role: Role,
        silenced: bool,
    ) -> Result<(), Refusal> {
        if self.state.stage.len() >= MAX_STAGE {
            let message = format!("The stage of this room holds {MAX_STAGE}, and it is full.");
            return Err(Refusal::new(ErrorCode::StageFull, message));
        }
        let track = TrackId(self.next_track);
        let Some(next_track) = self.next_track.checked_add(1) else {
            let message = "This room has used up its tracks; end it and open it again.";
            return Err(Refusal::new(ErrorCode::Overloaded, message));
        };
        self.next_track = next_track;
        self.silenced_leavers.remove(participant);
        let away = self.is_away(participant);
        let entry = StageEntry { participant, name, role, track, silenced, muted: false, away };
        self.state.stage.push(entry);
        self.outbox.publish();
        Ok(())
    }

    /// What an input means for others: those who moved up the queue, the moderators who watch it,
    /// and the end of the room if nobody is left.
    fn settle(&mut self, now: Instant) {
        let newcomer = self.newcomer.take();
        let change = self.hands.take_change();
        let queue_changed = change.is_some();
        for moved in change.unwrap_or_default() {
            if !self.is_away(moved) {
                self.tell_place(moved, Note::default());
            }
        }
        for entry in &self.state.stage {
            let sees = queue_changed && !entry.away || newcomer == Some(entry.participant);
            if sees && entry.role.moderates() {
                self.outbox.deliver(entry.participant, self.hands.message(now));
            }
        }
        self.empty_until = (self.state.phase == Phase::Live && self.is_empty())
            .then(|| self.empty_until.unwrap_or(now + EMPTY_ROOM_LINGER));
    }

    /// Tells somebody their own place.
    pub(super) fn tell_place(&mut self, who: ParticipantId, reason: Note) {
        let mut you = as_listener(who, reason);
        if let Some(entry) = self.state.on_stage(who) {
            you.role = entry.role;
            you.track = Some(entry.track);
            you.silenced = entry.silenced;
        }
        you.hand = self.hands.place(who);
        self.outbox.deliver(who, ToParticipant::You(you));
    }

    /// Everybody who is not on the stage is a listener.
    fn role(&self, who: ParticipantId) -> Role {
        self.state.on_stage(who).map_or(Role::Listener, |entry| entry.role)
    }

    fn entry_mut(&mut self, who: ParticipantId) -> Option<&mut StageEntry> {
        self.state.stage.iter_mut().find(|entry| entry.participant == who)
    }

    fn is_known(&self, who: ParticipantId) -> bool {
        self.state.on_stage(who).is_some() || self.hands.place(who).is_some()
    }

    fn is_away(&self, who: ParticipantId) -> bool {
        self.away.iter().any(|&(away, _)| away == who)
    }

    fn is_empty(&self) -> bool {
        // Nobody is both on the stage and in the queue, so all known are away if as many are.
        self.listeners == 0 && self.state.stage.len() + self.hands.len() == self.away.len()
    }

    pub(super) fn not_open(&self) -> Refusal {
        let message =
            format!("Room {} has not been opened; a host opens it by joining.", self.state.room);
        Refusal::new(ErrorCode::RoomNotFound, message)
    }
}

const NOT_ON_STAGE: &str = "You are not on the stage.";

/// The place of somebody who is neither on the stage nor in the queue.
pub(super) fn as_listener(participant: ParticipantId, reason: Note) -> You {
    You { participant, role: Role::Listener, track: None, silenced: false, hand: None, reason }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tribune_protocol::control::room::Hand;
    use tribune_protocol::limits::MAX_BARRED;

    use super::*;
    use crate::room::hands::PLACES_TOLD;

    pub(in crate::room) const HOST: ParticipantId = ParticipantId(1);
    pub(in crate::room) const COHOST: ParticipantId = ParticipantId(2);
    pub(in crate::room) const SPEAKER: ParticipantId = ParticipantId(3);
    pub(in crate::room) const HAND: ParticipantId = ParticipantId(4);
    pub(in crate::room) const LISTENER: ParticipantId = ParticipantId(5);

    /// An authority, its clock, and the node's part: it drains the effects.
    #[derive(Debug)]
    pub(in crate::room) struct Harness {
        pub(in crate::room) authority: Authority,
        pub(in crate::room) now: Instant,
        requests: u32,
    }

    /// What one request led to.
    #[derive(Debug)]
    pub(in crate::room) struct Outcome {
        /// `None`: it is done.
        pub(in crate::room) code: Option<ErrorCode>,
        pub(in crate::room) text: String,
        pub(in crate::room) effects: Vec<OriginEffect>,
    }

    impl Harness {
        pub(in crate::room) fn new() -> Self {
            let now = Instant::now();
            Self {
                authority: Authority::new("stage".parse().unwrap(), Revision(0)),
                now,
                requests: 0,
            }
        }

        /// A host, in a room with an audience.
        pub(in crate::room) fn live() -> Self {
            let mut room = Self::new();
            room.authority.handle_audience(room.now, 3);
            room.done(HOST, enter(Role::Host, true));
            room
        }

        /// Everybody of the constants above, in the place their name says.
        pub(in crate::room) fn with_everybody() -> Self {
            let mut room = Self::live();
            room.done(COHOST, enter(Role::Cohost, true));
            room.done(SPEAKER, enter(Role::Speaker, false));
            room.done(HAND, raise(""));
            room
        }

        /// A request and its only answer.
        pub(in crate::room) fn ask(&mut self, who: ParticipantId, action: Action) -> Outcome {
            self.requests += 1;
            let id = RequestId(self.requests);
            self.authority.handle_action(self.now, who, Some(id), action);
            let effects = self.drain();
            let answers: Vec<_> = effects
                .iter()
                .filter_map(|effect| match effect {
                    OriginEffect::Deliver { to, request: Some(request), message, .. } => {
                        assert_eq!((*to, *request), (who, id));
                        Some(message.clone())
                    }
                    OriginEffect::Deliver { request: None, .. }
                    | OriginEffect::Publish
                    | OriginEffect::Finished => None,
                })
                .collect();
            let (code, text) = match answers.as_slice() {
                [ToParticipant::Ok {}] => (None, String::new()),
                [ToParticipant::Err { code, message }] => (Some(*code), message.clone()),
                other => panic!("not one answer: {other:?}"),
            };
            Outcome { code, text, effects }
        }

        /// A request that succeeds; all it led to, in order.
        pub(in crate::room) fn done(
            &mut self,
            who: ParticipantId,
            action: Action,
        ) -> Vec<OriginEffect> {
            let outcome = self.ask(who, action.clone());
            assert_eq!(outcome.code, None, "{action:?}: {}", outcome.text);
            outcome.effects
        }

        /// A request that fails and changes nothing; why, as a sentence.
        pub(in crate::room) fn refused(
            &mut self,
            who: ParticipantId,
            action: Action,
            code: ErrorCode,
        ) -> String {
            let outcome = self.ask(who, action.clone());
            assert_eq!(outcome.code, Some(code), "{action:?}");
            assert_eq!(outcome.effects.len(), 1, "{:?}", outcome.effects);
            assert!(outcome.text.ends_with('.') && outcome.text.len() > 20, "{}", outcome.text);
            outcome.text
        }

        /// An edge's report, without a request.
        pub(in crate::room) fn report(
            &mut self,
            who: ParticipantId,
            action: Action,
        ) -> Vec<OriginEffect> {
            self.authority.handle_action(self.now, who, None, action);
            self.drain()
        }

        /// Time passes, with a wake-up whenever one is due.
        pub(in crate::room) fn pass(&mut self, time: Duration) -> Vec<OriginEffect> {
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

        pub(in crate::room) fn drain(&mut self) -> Vec<OriginEffect> {
            std::iter::from_fn(|| self.authority.poll_effect()).collect()
        }

        pub(in crate::room) fn entry(&self, who: ParticipantId) -> StageEntry {
            self.authority.state().on_stage(who).unwrap().clone()
        }

        pub(in crate::room) fn revision(&self) -> Revision {
            self.authority.revision()
        }
    }

    pub(in crate::room) fn enter(role: Role, may_govern: bool) -> Action {
        Action::Enter { name: "Ada".parse().unwrap(), role, may_govern }
    }

    pub(in crate::room) fn raise(note: &str) -> Action {
        Action::RaiseHand { name: "Bo".parse().unwrap(), note: note.parse().unwrap() }
    }

    /// The `you` messages among effects, with their addressees checked.
    pub(in crate::room) fn yous(effects: &[OriginEffect]) -> Vec<You> {
        delivered(effects, |to, message| {
            let ToParticipant::You(you) = message else { return None };
            assert_eq!(you.participant, to);
            Some(you.clone())
        })
    }

    /// The `hands` messages among effects: to whom, what, how many in all.
    pub(in crate::room) fn shown(effects: &[OriginEffect]) -> Vec<(ParticipantId, Vec<Hand>, u32)> {
        delivered(effects, |to, message| {
            let ToParticipant::Hands { hands, total } = message else { return None };
            Some((to, hands.clone(), *total))
        })
    }

    fn delivered<T>(
        effects: &[OriginEffect],
        pick: impl Fn(ParticipantId, &ToParticipant) -> Option<T>,
    ) -> Vec<T> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                OriginEffect::Deliver { to, message, .. } => pick(*to, message),
                OriginEffect::Publish | OriginEffect::Finished => None,
            })
            .collect()
    }

    /// Where an effect stands among others.
    pub(in crate::room) fn at(
        effects: &[OriginEffect],
        is: impl Fn(&OriginEffect) -> bool,
    ) -> usize {
        let found: Vec<usize> = (0..effects.len()).filter(|&at| is(&effects[at])).collect();
        assert_eq!(found.len(), 1, "{effects:?}");
        found[0]
    }

    pub(in crate::room) fn is_publish(effect: &OriginEffect) -> bool {
        *effect == OriginEffect::Publish
    }

    pub(in crate::room) fn is_ok(after: Option<Revision>) -> impl Fn(&OriginEffect) -> bool {
        move |effect| match effect {
            OriginEffect::Deliver { message: ToParticipant::Ok {}, after: when, .. } => {
                *when == after
            }
            OriginEffect::Deliver { .. } | OriginEffect::Publish | OriginEffect::Finished => false,
        }
    }

    pub(in crate::room) fn is_you(effect: &OriginEffect) -> bool {
        matches!(effect, OriginEffect::Deliver { message: ToParticipant::You(_), .. })
    }

    #[test]
    fn a_room_begins_absent_and_is_opened_by_who_may_govern() {
        let mut room = Harness::new();
        assert_eq!((room.authority.state().phase, room.revision()), (Phase::Absent, Revision(0)));
        let why = room.refused(SPEAKER, enter(Role::Speaker, false), ErrorCode::RoomNotFound);
        assert_eq!(why, "Room stage has not been opened; a host opens it by joining.");
        room.refused(SPEAKER, enter(Role::Listener, true), ErrorCode::BadRequest);
        room.refused(HAND, raise(""), ErrorCode::RoomNotFound);
        let effects = room.done(SPEAKER, enter(Role::Speaker, true));
        assert_eq!((room.authority.state().phase, room.revision()), (Phase::Live, Revision(1)));
        let entry = room.entry(SPEAKER);
        assert_eq!((entry.role, entry.track), (Role::Host, TrackId(1)));
        assert!(at(&effects, is_publish) < at(&effects, is_ok(None)), "{effects:?}");
        assert_eq!(shown(&effects), vec![(SPEAKER, vec![], 0)]);
    }

    #[test]
    fn who_comes_in_gets_the_role_that_there_is() {
        let mut room = Harness::live();
        let why = room.refused(COHOST, enter(Role::Host, true), ErrorCode::HostTaken);
        assert!(why.starts_with("Ada is the host"), "{why}");
        room.refused(COHOST, enter(Role::Cohost, false), ErrorCode::NotPermitted);
        let effects = room.done(COHOST, enter(Role::Cohost, true));
        assert_eq!(shown(&effects).len(), 1);
        let effects = room.done(SPEAKER, enter(Role::Speaker, false));
        assert_eq!(shown(&effects).len(), 0, "a speaker does not see the queue");
        assert_eq!(room.entry(SPEAKER).track, TrackId(3));
        room.report(HOST, Action::Away {});
        room.refused(LISTENER, enter(Role::Host, true), ErrorCode::HostTaken);
        room.report(HOST, Action::Left {});
        room.refused(LISTENER, enter(Role::Host, false), ErrorCode::NotPermitted);
        room.done(LISTENER, enter(Role::Host, true));
        assert_eq!(room.entry(LISTENER).role, Role::Host);
        assert_eq!(room.authority.state().phase, Phase::Live);
    }

    #[test]
    fn a_full_stage_takes_nobody() {
        let mut room = Harness::live();
        for id in 100..100 + MAX_STAGE as u64 - 1 {
            room.done(ParticipantId(id), enter(Role::Speaker, false));
        }
        assert_eq!(room.authority.actors(), MAX_STAGE);
        room.refused(SPEAKER, enter(Role::Speaker, false), ErrorCode::StageFull);
        room.done(HAND, raise(""));
        room.refused(HOST, Action::Grant { subject: HAND }, ErrorCode::StageFull);
        assert_eq!(room.authority.hands(), 1, "the hand stays up");
        room.done(ParticipantId(100), Action::LeaveStage {});
        room.done(HOST, Action::Grant { subject: HAND });
        assert_eq!(room.entry(HAND).track, TrackId(MAX_STAGE as u32 + 1), "no track again");
    }

    #[test]
    fn tracks_that_are_used_up_are_not_used_again() {
        let mut room = Harness::live();
        room.authority.next_track = u32::MAX;
        room.refused(SPEAKER, enter(Role::Speaker, false), ErrorCode::Overloaded);
    }

    #[test]
    fn who_comes_again_keeps_the_place() {
        let mut room = Harness::with_everybody();
        let before = room.entry(SPEAKER);
        room.done(SPEAKER, Action::OwnMute { muted: true });
        room.report(SPEAKER, Action::Away {});
        assert!(room.entry(SPEAKER).away);
        room.pass(RECONNECT_GRACE - Duration::from_millis(1));
        let effects = room.done(SPEAKER, enter(Role::Host, true));
        assert!(at(&effects, is_publish) < at(&effects, is_ok(None)));
        assert!(at(&effects, is_ok(None)) < at(&effects, is_you));
        assert_eq!(yous(&effects)[0].track, Some(before.track));
        assert_eq!(room.entry(SPEAKER), StageEntry { muted: true, ..before.clone() });
        let effects = room.done(SPEAKER, enter(Role::Speaker, false));
        assert!(!effects.contains(&OriginEffect::Publish), "nothing has changed");
        let effects = room.done(HAND, enter(Role::Speaker, false));
        assert_eq!((yous(&effects)[0].role, yous(&effects)[0].hand), (Role::Listener, Some(1)));
        assert_eq!(room.pass(RECONNECT_GRACE), vec![], "nobody is away any more");
    }

    #[test]
    fn present_answers_with_ones_place() {
        let mut room = Harness::with_everybody();
        let track = room.entry(HOST).track;
        room.report(HOST, Action::Away {});
        let effects = room.report(HOST, Action::Present {});
        assert!(is_publish(&effects[0]));
        assert_eq!((yous(&effects)[0].role, yous(&effects)[0].track), (Role::Host, Some(track)));
        assert_eq!(shown(&effects)[0].1[0].participant, HAND, "a moderator sees the queue again");
        let effects = room.report(HAND, Action::Present {});
        assert_eq!(effects.len(), 1);
        assert_eq!((yous(&effects)[0].role, yous(&effects)[0].hand), (Role::Listener, Some(1)));
        let effects = room.report(LISTENER, Action::Present {});
        assert_eq!(yous(&effects), vec![as_listener(LISTENER, Note::default())]);
        assert_eq!(effects.len(), 1);
    }

    #[test]
    fn places_of_those_away_are_given_up_after_the_grace() {
        let mut room = Harness::with_everybody();
        room.report(SPEAKER, Action::Away {});
        room.pass(Duration::from_secs(10));
        assert_eq!(room.report(SPEAKER, Action::Away {}), vec![], "the grace does not begin anew");
        room.report(HAND, Action::Away {});
        assert_eq!(room.pass(Duration::from_millis(19_999)), vec![]);
        let effects = room.pass(Duration::from_millis(1));
        assert_eq!(effects, vec![OriginEffect::Publish]);
        assert_eq!(room.authority.state().on_stage(SPEAKER), None);
        assert_eq!(room.authority.hands(), 1);
        let effects = room.pass(Duration::from_secs(10));
        assert_eq!(room.authority.hands(), 0);
        assert_eq!(shown(&effects), vec![(HOST, vec![], 0), (COHOST, vec![], 0)]);
        assert_eq!(
            room.report(LISTENER, Action::Away {}),
            vec![],
            "of the unknown, nothing is kept"
        );
        assert_eq!(room.authority.poll_timeout(), None);
    }

    #[test]
    fn whoever_acts_is_there() {
        let mut room = Harness::with_everybody();
        room.report(HAND, Action::Away {});
        room.done(HAND, raise("now"));
        room.report(HOST, Action::Away {});
        room.done(HOST, Action::OwnMute { muted: true });
        room.pass(2 * RECONNECT_GRACE);
        assert_eq!((room.authority.hands(), room.authority.actors()), (1, 3));
    }

    #[test]
    fn who_leaves_is_gone_and_the_room_stays() {
        let mut room = Harness::with_everybody();
        let effects = room.report(HAND, Action::Left {});
        assert_eq!(room.authority.hands(), 0);
        assert_eq!(shown(&effects).len(), 2);
        assert_eq!(room.report(HOST, Action::Left {}), vec![OriginEffect::Publish]);
        assert_eq!(room.report(LISTENER, Action::Left {}), vec![]);
        room.pass(10 * EMPTY_ROOM_LINGER);
        assert_eq!(room.authority.state().phase, Phase::Live);
    }

    #[test]
    fn leaving_the_stage_makes_a_listener() {
        let mut room = Harness::with_everybody();
        let effects = room.done(HOST, Action::LeaveStage {});
        assert_eq!(yous(&effects), vec![as_listener(HOST, Note::default())]);
        assert!(at(&effects, is_publish) < at(&effects, is_you));
        room.refused(HOST, Action::EndRoom {}, ErrorCode::NotPermitted);
        room.refused(HOST, Action::LeaveStage {}, ErrorCode::BadRequest);
        room.done(HOST, raise("me again"));
    }

    #[test]
    fn own_mute_is_for_the_stage() {
        let mut room = Harness::with_everybody();
        let effects = room.done(SPEAKER, Action::OwnMute { muted: true });
        at(&effects, is_publish);
        assert!(room.entry(SPEAKER).muted);
        let effects = room.done(SPEAKER, Action::OwnMute { muted: true });
        assert!(!effects.contains(&OriginEffect::Publish));
        room.refused(LISTENER, Action::OwnMute { muted: true }, ErrorCode::BadRequest);
    }

    #[test]
    fn the_host_ends_the_room_and_it_can_be_opened_again() {
        let mut room = Harness::with_everybody();
        room.done(HOST, Action::Kick { subject: LISTENER, reason: Note::default() });
        room.report(SPEAKER, Action::Away {});
        let effects = room.done(HOST, Action::EndRoom {});
        assert!(at(&effects, is_ok(None)) == 0 && is_publish(&effects[1]), "{effects:?}");
        assert_eq!(effects[2..], [OriginEffect::Finished]);
        let state = room.authority.state();
        assert_eq!((state.phase, state.stage.len()), (Phase::Ended, 0));
        assert_eq!((room.authority.hands(), room.authority.poll_timeout()), (0, None));
        room.refused(COHOST, enter(Role::Cohost, false), ErrorCode::RoomNotFound);
        room.refused(HAND, raise(""), ErrorCode::RoomNotFound);
        room.done(COHOST, enter(Role::Cohost, true));
        assert_eq!(room.entry(COHOST).role, Role::Host);
        assert_eq!(room.entry(COHOST).track, TrackId(4), "tracks go on");
        assert_eq!(room.authority.state().barred, vec![], "another room of the same name");
    }

    #[test]
    fn an_empty_room_ends_after_a_while() {
        let mut room = Harness::live();
        room.report(HOST, Action::Left {});
        assert_eq!(room.authority.poll_timeout(), None, "somebody listens");
        room.authority.handle_audience(room.now, 0);
        room.pass(EMPTY_ROOM_LINGER - Duration::from_millis(1));
        room.authority.handle_audience(room.now, 1);
        assert_eq!(room.authority.poll_timeout(), None, "somebody has come");
        room.authority.handle_audience(room.now, 0);
        assert_eq!(room.pass(EMPTY_ROOM_LINGER - Duration::from_millis(1)), vec![]);
        let effects = room.pass(Duration::from_millis(1));
        assert_eq!(effects, vec![OriginEffect::Publish, OriginEffect::Finished]);
        assert_eq!(room.authority.state().phase, Phase::Ended);
    }

    #[test]
    fn those_away_do_not_keep_an_empty_room() {
        let mut room = Harness::live();
        room.authority.handle_audience(room.now, 0);
        room.done(HAND, raise(""));
        room.report(HOST, Action::Away {});
        assert_eq!(room.pass(2 * EMPTY_ROOM_LINGER).len(), 1, "the host's place is given up");
        room.report(HAND, Action::Away {});
        room.pass(RECONNECT_GRACE);
        assert_eq!(room.authority.hands(), 0);
        let effects = room.pass(EMPTY_ROOM_LINGER - RECONNECT_GRACE);
        assert_eq!(effects, vec![OriginEffect::Publish, OriginEffect::Finished]);
    }

    #[test]
    fn without_a_request_there_is_no_answer() {
        let mut room = Harness::with_everybody();
        let grant = Action::Grant { subject: HAND };
        assert_eq!(room.report(LISTENER, grant.clone()), vec![]);
        let effects = room.report(HOST, grant);
        assert!(effects.iter().all(|effect| !is_ok(None)(effect)), "{effects:?}");
        assert_eq!(room.entry(HAND).role, Role::Speaker);
        room.refused(HOST, Action::Unknown, ErrorCode::BadRequest);
    }

    /// Effects of one input: the answer, `Publish`, `Finished`, one's own place and its change, the
    /// places told, and the queue to each moderator.
    const MAX_EFFECTS: usize = 5 + PLACES_TOLD + MAX_STAGE;

    fn any_action() -> impl Strategy<Value = Action> {
        let subject = || (1_u64..8).prop_map(ParticipantId);
        let role = prop_oneof![
            Just(Role::Host),
            Just(Role::Cohost),
            Just(Role::Speaker),
            Just(Role::Speaker),
            Just(Role::Listener)
        ];
        let reason = || Just(Note::default());
        prop_oneof![
            4 => (role, any::<bool>()).prop_map(|(role, governs)| enter(role, governs)),
            1 => Just(Action::Present {}),
            1 => Just(Action::Away {}),
            1 => Just(Action::Left {}),
            4 => "[a-c]?".prop_map(|note| raise(&note)),
            1 => prop::option::of(subject()).prop_map(|subject| Action::LowerHand { subject }),
            3 => subject().prop_map(|subject| Action::Grant { subject }),
            1 => (subject(), reason()).prop_map(|(subject, reason)| Action::Deny { subject, reason }),
            1 => (subject(), reason())
                .prop_map(|(subject, reason)| Action::AskMute { subject, reason }),
            2 => (subject(), any::<bool>(), reason())
                .prop_map(|(subject, on, reason)| Action::Silence { subject, on, reason }),
            1 => (subject(), reason()).prop_map(|(subject, reason)| Action::Kick { subject, reason }),
            1 => Just(Action::LeaveStage {}),
            1 => any::<bool>().prop_map(|muted| Action::OwnMute { muted }),
            1 => prop::bool::weighted(0.2)
                .prop_map(|end| if end { Action::EndRoom {} } else { Action::Unknown }),
        ]
    }

    #[derive(Debug, Clone)]
    enum Input {
        Action(ParticipantId, bool, Action),
        Audience(u64),
        Pass(u64),
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            20 => (1_u64..8, any::<bool>(), any_action())
                .prop_map(|(who, asks, action)| Input::Action(ParticipantId(who), asks, action)),
            1 => (0_u64..2).prop_map(Input::Audience),
            2 => (0_u64..40).prop_map(Input::Pass),
        ]
    }

    fn apply(room: &mut Harness, input: Input) -> Vec<OriginEffect> {
        match input {
            Input::Action(who, true, action) => room.ask(who, action).effects,
            Input::Action(who, false, action) => {
                let effects = room.report(who, action);
                let answered = |effect: &OriginEffect| {
                    matches!(effect, OriginEffect::Deliver { request: Some(_), .. })
                };
                assert!(!effects.iter().any(answered));
                effects
            }
            Input::Audience(listeners) => {
                room.authority.handle_audience(room.now, listeners);
                room.drain()
            }
            Input::Pass(seconds) => {
                room.now += Duration::from_secs(seconds);
                room.authority.handle_timeout(room.now);
                assert!(room.authority.poll_timeout().is_none_or(|due| due > room.now));
                room.drain()
            }
        }
    }

    /// What holds between any two inputs.
    fn check_invariants(room: &Harness, seen: &mut BTreeSet<TrackId>, before: &RoomState) {
        let authority = &room.authority;
        let state = authority.state();
        assert!(state.stage.len() <= MAX_STAGE && state.barred.len() <= MAX_BARRED);
        assert!(state.stage.iter().filter(|entry| entry.role == Role::Host).count() <= 1);
        assert!(state.stage.iter().all(|entry| entry.role.speaks()));
        assert!(state.stage.is_sorted_by(|one, next| one.track < next.track));
        for entry in &state.stage {
            let who = entry.participant;
            assert_eq!(state.stage.iter().filter(|other| other.participant == who).count(), 1);
            assert_eq!(authority.hands.place(who), None, "{who} is on the stage and in the queue");
            assert_eq!(entry.away, authority.is_away(who));
            if before.on_stage(who).is_none_or(|earlier| earlier.track != entry.track) {
                assert!(seen.insert(entry.track), "{:?} is used again", entry.track);
            }
        }
        for barred in &state.barred {
            assert!(!authority.is_known(*barred), "{barred} is barred and known");
        }
        for &(who, until) in &authority.away {
            assert!(authority.is_known(who) && until <= room.now + RECONNECT_GRACE);
        }
        let idle = state.stage.is_empty() && authority.hands() == 0;
        assert!(state.phase == Phase::Live || idle, "nobody is in a room that is not on");
    }

    proptest! {
        #[test]
        fn any_course_of_events_keeps_the_rules(
            inputs in prop::collection::vec(any_input(), 1..120),
        ) {
            let mut room = Harness::new();
            let mut seen = BTreeSet::new();
            for input in inputs {
                let (before, revision) = (room.authority.state().clone(), room.revision());
                let effects = apply(&mut room, input);
                let changed = *room.authority.state() != before;
                let published = effects.iter().filter(|effect| is_publish(effect)).count();
                assert_eq!(published, usize::from(changed), "{effects:?}");
                assert_eq!(room.revision().0, revision.0 + u64::from(changed));
                assert!(effects.len() <= MAX_EFFECTS);
                let finished = effects.contains(&OriginEffect::Finished);
                let ended = before.phase == Phase::Live
                    && room.authority.state().phase == Phase::Ended;
                assert_eq!(finished, ended);
                check_invariants(&room, &mut seen, &before);
            }
        }
    }
}

//! Hands at a room's origin: what raising, lowering, granting and denying does, the queue's order,
//! the cooldown after a denial, and who has to be told when places change.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::stage::Hand;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId};
use tribune_protocol::limits::{MAX_HANDS, MAX_HANDS_SHOWN};
use tribune_protocol::log::{Draft, LogAction};

use crate::room::authority::appeals::Change;
use crate::room::authority::effect::{Asker, Refusal};
use crate::room::authority::state::{Actor, House};

/// How long a denied hand has to stay down: long enough that it cannot push others out of sight.
pub(crate) const DENY_COOLDOWN: Duration = Duration::from_secs(30);
/// Cooldowns remembered: a whole queue denied at once. The one that ends first is forgotten first.
const MAX_COOLDOWNS: usize = MAX_HANDS;
/// How long a hand stays up: whoever waits for an hour has gone to sleep, or the queue has.
pub(crate) const HAND_EXPIRY: Duration = Duration::from_secs(3_600);
/// Raised hands remembered for slow mode, the oldest forgotten first.
const MAX_RAISED_LAST: usize = 4 * MAX_HANDS;
/// Places whose holders hear of every move; who waits further back hears when it gets there, or on
/// asking. Bounds the messages of one change, whatever the length of the queue.
pub(crate) const PLACES_TOLD: usize = 10;

/// Raised hands, in the order in which they reached the origin.
#[derive(Debug, Clone, Default)]
pub(crate) struct HandQueue {
    /// At most [`MAX_HANDS`].
    queue: Vec<Raised>,
    /// Who was denied and until when, soonest first; at most [`MAX_COOLDOWNS`].
    cooldowns: VecDeque<(ParticipantId, Instant)>,
    /// Who raised a hand when, in slow mode, oldest first; at most [`MAX_RAISED_LAST`].
    raised_last: VecDeque<(ParticipantId, Instant)>,
    changed: bool,
    /// The lowest index at which a hand went away since the last [`Self::take_change`].
    moved_from: Option<usize>,
}

#[derive(Debug, Clone)]
struct Raised {
    participant: ParticipantId,
    name: DisplayName,
    note: Note,
    since: Instant,
}

impl House {
    pub(in crate::room) fn raise_hand(
        &mut self,
        now: Instant,
        actor: &Actor,
        note: Note,
    ) -> Result<(), Refusal> {
        self.require_live()?;
        self.refuse_barred(actor)?;
        self.refuse_confusable(actor)?;
        let who = actor.asker.id;
        if self.state.on_stage(who).is_some() {
            return Err(Refusal::bad_request("You are already on the stage."));
        }
        let is_up = self.hands.place(who).is_some();
        if self.state.settings.hands_closed && !is_up {
            let message = "The queue of hands is closed at the moment.";
            return Err(Refusal::new(ErrorCode::HandsClosed, message));
        }
        let slow = Duration::from_secs(u64::from(self.state.settings.hand_slow_s));
        self.hands.raise(now, who, actor.name.clone(), note, slow)?;
        self.remember(actor);
        self.outbox.ok(actor.asker);
        self.tell_place(who, Note::default());
        Ok(())
    }

    pub(in crate::room) fn lower_hand(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
    ) -> Result<(), Refusal> {
        self.hands.name(subject)?;
        self.take_hand(subject);
        self.outbox.ok(asker);
        self.tell_place(subject, Note::default());
        Ok(())
    }

    pub(in crate::room) fn grant(
        &mut self,
        now: Instant,
        actor: &Actor,
        subject: ParticipantId,
    ) -> Result<(), Refusal> {
        self.hands.name(subject)?;
        let found = self.find(&Target::Participant(subject))?;
        let Some(person) = self.people.get(&subject).cloned() else {
            return Err(no_hand(subject));
        };
        let raised = Actor {
            asker: Asker { id: subject, request: None },
            subject: person.subject.clone(),
            name: person.name,
            entitled: person.entitled,
            role: Role::Listener,
            may: PermissionSet::NONE,
            may_open: false,
        };
        let ruled = self.rulings.about(Some(subject), Some(&person.subject));
        self.refuse_mute(&ruled)?;
        // A hand that has another role comes up in it, where that has not been taken away.
        let speaks = |role: &Role| self.setup.policy.speaks(*role) && *role != Role::Host;
        let given = ruled.role.filter(speaks);
        let own = Some(person.entitled).filter(speaks);
        let role = given.or(own).unwrap_or(Role::Speaker);
        // Granted to somebody who left the stage silenced, it lifts the silence.
        self.step_up(&raised, role, false)?;
        self.hands.remove(subject)?;
        if given.is_none() {
            self.forget_role(subject, Some(&person.subject));
        }
        let mut draft = Draft::new(0, actor.party(), LogAction::HandGranted);
        draft.target = Some(found.party);
        self.write_down(now, draft);
        self.outbox.ok_when_in_force(actor.asker);
        self.tell_place(subject, Note::default());
        Ok(())
    }

    pub(in crate::room) fn deny(
        &mut self,
        now: Instant,
        actor: &Actor,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        self.hands.name(subject)?;
        let found = self.find(&Target::Participant(subject))?;
        let mut draft = Draft::new(0, actor.party(), LogAction::HandDenied);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        let entry = self.write_down(now, draft);
        self.docket.add(entry, LogAction::HandDenied, &found, Change::Other);
        let news = self.news(actor, LogAction::HandDenied, entry, reason.clone());
        self.take_hand(subject);
        self.hands.cool_down(now, subject);
        self.outbox.ok(actor.asker);
        self.notify(subject, news);
        self.tell_place(subject, reason);
        Ok(())
    }

    pub(in crate::room) fn clear_hands(
        &mut self,
        now: Instant,
        actor: &Actor,
        reason: Note,
    ) -> Result<(), Refusal> {
        self.require_live()?;
        let mut draft = Draft::new(0, actor.party(), LogAction::HandsCleared);
        draft.reason = reason.clone();
        if let Ok(detail) = format!("{} hands", self.hands.len()).parse() {
            draft.detail = detail;
        }
        self.write_down(now, draft);
        for who in self.hands.everybody() {
            self.take_hand(who);
            self.tell_place(who, reason.clone());
        }
        self.outbox.ok(actor.asker);
        Ok(())
    }

    /// Lowers the hands that have been up for too long.
    pub(in crate::room) fn hands_run_out(&mut self, now: Instant) {
        while self.hands.expiry().is_some_and(|at| at <= now) {
            let Some(who) = self.hands.first() else { return };
            self.take_hand(who);
            if let Ok(reason) = "Your hand has been up for an hour; raise it again.".parse() {
                self.tell_place(who, reason);
            }
        }
    }

    /// Takes a hand down, if it is up.
    pub(in crate::room) fn take_hand(&mut self, who: ParticipantId) {
        if self.hands.remove(who).is_ok() && self.state.on_stage(who).is_none() {
            self.note_leaver(who);
            self.away.retain(|&(away, _)| away != who);
        }
    }
}

impl HandQueue {
    /// Raises a hand, or changes the note of a raised one, which keeps its place and its name.
    ///
    /// # Errors
    /// [`ErrorCode::Cooldown`] or [`ErrorCode::QueueFull`].
    pub(crate) fn raise(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        name: DisplayName,
        note: Note,
        slow: Duration,
    ) -> Result<(), Refusal> {
        if let Some(raised) = self.queue.iter_mut().find(|r| r.participant == participant) {
            self.changed |= raised.note != note;
            raised.note = note;
            return Ok(());
        }
        self.cooldowns.retain(|&(_, until)| until > now);
        if let Some(&(_, until)) = self.cooldowns.iter().find(|(who, _)| *who == participant) {
            let wait_s = until.duration_since(now).as_millis().div_ceil(1000);
            return Err(Refusal::new(
                ErrorCode::Cooldown,
                format!("Your hand was denied; you can raise it again in {wait_s} seconds."),
            ));
        }
        self.refuse_hasty(now, participant, slow)?;
        if self.queue.len() >= MAX_HANDS {
            return Err(Refusal::new(
                ErrorCode::QueueFull,
                format!("{MAX_HANDS} hands are raised in this room, and no more fit the queue."),
            ));
        }
        if slow > Duration::ZERO {
            if self.raised_last.len() >= MAX_RAISED_LAST {
                self.raised_last.pop_front();
            }
            self.raised_last.push_back((participant, now));
        }
        self.queue.push(Raised { participant, name, note, since: now });
        self.changed = true;
        Ok(())
    }

    /// Everybody in the queue, in order.
    pub(crate) fn everybody(&self) -> Vec<ParticipantId> {
        self.queue.iter().map(|raised| raised.participant).collect()
    }

    /// Whoever has waited for longest.
    pub(crate) fn first(&self) -> Option<ParticipantId> {
        self.queue.first().map(|raised| raised.participant)
    }

    /// When the first hand has been up for too long.
    pub(crate) fn expiry(&self) -> Option<Instant> {
        self.queue.first().map(|raised| raised.since + HAND_EXPIRY)
    }

    /// # Errors
    /// [`ErrorCode::SlowMode`], if the same participant has raised a hand less than `slow` ago.
    fn refuse_hasty(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        slow: Duration,
    ) -> Result<(), Refusal> {
        self.raised_last.retain(|&(_, at)| at + slow > now);
        let last = self.raised_last.iter().find(|(who, _)| *who == participant);
        let Some(&(_, at)) = last else { return Ok(()) };
        let wait_s = (at + slow).duration_since(now).as_millis().div_ceil(1000);
        Err(Refusal::new(
            ErrorCode::SlowMode,
            format!("Hands are in slow mode; you can raise yours again in {wait_s} seconds."),
        ))
    }

    /// What the owner of a raised hand is called.
    ///
    /// # Errors
    /// [`ErrorCode::NoHand`] if it is not up.
    pub(crate) fn name(&self, participant: ParticipantId) -> Result<DisplayName, Refusal> {
        let at = self.index(participant).ok_or_else(|| no_hand(participant))?;
        Ok(self.queue[at].name.clone())
    }

    /// Takes a hand down.
    ///
    /// # Errors
    /// [`ErrorCode::NoHand`] if it is not up.
    pub(crate) fn remove(&mut self, participant: ParticipantId) -> Result<(), Refusal> {
        let at = self.index(participant).ok_or_else(|| no_hand(participant))?;
        self.queue.remove(at);
        self.changed = true;
        self.moved_from = Some(self.moved_from.map_or(at, |before| before.min(at)));
        Ok(())
    }

    /// Keeps a participant's hand down for [`DENY_COOLDOWN`].
    pub(crate) fn cool_down(&mut self, now: Instant, participant: ParticipantId) {
        self.cooldowns.retain(|&(who, until)| until > now && who != participant);
        if self.cooldowns.len() >= MAX_COOLDOWNS {
            self.cooldowns.pop_front();
        }
        self.cooldowns.push_back((participant, now + DENY_COOLDOWN));
    }

    /// Takes denials back.
    pub(crate) fn warm_up(&mut self, participants: &[ParticipantId]) {
        self.cooldowns.retain(|(who, _)| !participants.contains(who));
    }

    /// A participant's place, from 1.
    pub(crate) fn place(&self, participant: ParticipantId) -> Option<u32> {
        Some(self.index(participant)? as u32 + 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The queue as moderators see it.
    pub(crate) fn message(&self, now: Instant) -> ToParticipant {
        let hand = |raised: &Raised| Hand {
            participant: raised.participant,
            name: raised.name.clone(),
            note: raised.note.clone(),
            waiting_s: u32::try_from(now.saturating_duration_since(raised.since).as_secs())
                .unwrap_or(u32::MAX),
        };
        ToParticipant::Hands {
            hands: self.queue.iter().take(MAX_HANDS_SHOWN).map(hand).collect(),
            total: self.queue.len() as u32,
        }
    }

    /// Whether moderators have to see the queue anew since the last call, and who among the first
    /// [`PLACES_TOLD`] has moved up.
    pub(crate) fn take_change(&mut self) -> Option<Vec<ParticipantId>> {
        let from = self.moved_from.take().unwrap_or(self.queue.len());
        let moved = || self.queue.iter().take(PLACES_TOLD).skip(from).map(|r| r.participant);
        std::mem::take(&mut self.changed).then(|| moved().collect())
    }

    fn index(&self, participant: ParticipantId) -> Option<usize> {
        self.queue.iter().position(|raised| raised.participant == participant)
    }
}

fn no_hand(participant: ParticipantId) -> Refusal {
    let message = format!("The hand of participant {participant} is not raised.");
    Refusal::new(ErrorCode::NoHand, message)
}

//! The queue of raised hands: order, cooldown after a denial, slow mode, and the places that have to be
//! told when it changes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::stage::Hand;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId};
use tribune_protocol::limits::{MAX_HANDS, MAX_HANDS_SHOWN};

use super::effect::Refusal;

/// Time that a denied hand has to stay down: long enough that it cannot displace others.
pub(crate) const DENY_COOLDOWN: Duration = Duration::from_secs(30);
/// Cooldowns remembered: a whole queue denied at once. The one that ends first is forgotten first.
const MAX_COOLDOWNS: usize = MAX_HANDS;
/// Time that a hand stays up: after an hour, its owner has gone to sleep, or the queue has.
pub(crate) const HAND_EXPIRY: Duration = Duration::from_secs(3_600);
/// Raised hands remembered for slow mode, the oldest forgotten first.
const MAX_RAISED_LAST: usize = 4 * MAX_HANDS;
/// Places whose holders are told of every move; those further back are told when they get there, or
/// when they ask. Bounds the messages of one change, whatever the length of the queue.
pub(crate) const PLACES_TOLD: usize = 10;

/// Raised hands, in the order in which they reached the origin.
#[derive(Debug, Clone, Default)]
pub(crate) struct HandQueue {
    /// At most [`MAX_HANDS`].
    queue: Vec<Raised>,
    /// Participants who were denied and until when, soonest first; at most [`MAX_COOLDOWNS`].
    cooldowns: VecDeque<(ParticipantId, Instant)>,
    /// Participants who raised a hand and when, in slow mode, oldest first; at most [`MAX_RAISED_LAST`].
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

    /// The participant who has waited for longest.
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

    /// Checks that a hand is up.
    ///
    /// # Errors
    /// [`ErrorCode::NoHand`] if it is not up.
    pub(crate) fn require(&self, participant: ParticipantId) -> Result<(), Refusal> {
        self.index(participant).map(|_| ()).ok_or_else(|| no_hand(participant))
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

    /// How long a participant's hand has been up, in milliseconds.
    pub(crate) fn waited_ms(&self, now: Instant, participant: ParticipantId) -> u64 {
        let raised = self.index(participant).map(|at| &self.queue[at]);
        let waited =
            raised.map_or(0, |raised| now.saturating_duration_since(raised.since).as_millis());
        u64::try_from(waited).unwrap_or(u64::MAX)
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

    /// Change since the last call: `None` if moderators need not see the queue anew, else those among
    /// the first [`PLACES_TOLD`] who have moved up.
    pub(crate) fn take_change(&mut self) -> Option<Vec<ParticipantId>> {
        let from = self.moved_from.take().unwrap_or(self.queue.len());
        let moved = || self.queue.iter().take(PLACES_TOLD).skip(from).map(|r| r.participant);
        std::mem::take(&mut self.changed).then(|| moved().collect())
    }

    fn index(&self, participant: ParticipantId) -> Option<usize> {
        self.queue.iter().position(|raised| raised.participant == participant)
    }
}

/// The refusal of a request about a hand that is not raised.
pub(super) fn no_hand(participant: ParticipantId) -> Refusal {
    let message = format!("The hand of participant {participant} is not raised.");
    Refusal::new(ErrorCode::NoHand, message)
}

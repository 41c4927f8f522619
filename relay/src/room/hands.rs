//! Hands at a room's origin: what raising, lowering, granting and denying does, the queue's order,
//! the cooldown after a denial, and who has to be told when places change.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::room::{Hand, Phase, Role};
use tribune_protocol::ids::{DisplayName, Note, ParticipantId};
use tribune_protocol::limits::{MAX_HANDS, MAX_HANDS_SHOWN};

use super::authority::Authority;
use super::effect::{Asker, Refusal};
use super::moderation;

/// How long a denied hand has to stay down: long enough that it cannot push others out of sight.
pub(crate) const DENY_COOLDOWN: Duration = Duration::from_secs(30);
/// Cooldowns remembered: a whole queue denied at once. The one that ends first is forgotten first.
const MAX_COOLDOWNS: usize = MAX_HANDS;
/// Places whose holders hear of every move; who waits further back hears when it gets there, or on
/// asking. Bounds the messages of one change, whatever the length of the queue.
pub(crate) const PLACES_TOLD: usize = 10;

/// Raised hands, in the order in which they reached the origin.
#[derive(Debug, Default)]
pub(crate) struct HandQueue {
    /// At most [`MAX_HANDS`].
    queue: Vec<Raised>,
    /// Who was denied and until when, soonest first; at most [`MAX_COOLDOWNS`].
    cooldowns: VecDeque<(ParticipantId, Instant)>,
    changed: bool,
    /// The lowest index at which a hand went away since the last [`Self::take_change`].
    moved_from: Option<usize>,
}

#[derive(Debug)]
struct Raised {
    participant: ParticipantId,
    name: DisplayName,
    note: Note,
    since: Instant,
}

impl Authority {
    pub(super) fn raise_hand(
        &mut self,
        now: Instant,
        asker: Asker,
        name: DisplayName,
        note: Note,
    ) -> Result<(), Refusal> {
        if self.state.phase != Phase::Live {
            return Err(self.not_open());
        }
        moderation::refuse_barred(&self.state, asker.id)?;
        if self.state.on_stage(asker.id).is_some() {
            return Err(Refusal::bad_request("You are already on the stage."));
        }
        self.hands.raise(now, asker.id, name, note)?;
        self.outbox.ok(asker);
        self.tell_place(asker.id, Note::default());
        Ok(())
    }

    pub(super) fn lower_hand(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
    ) -> Result<(), Refusal> {
        self.take_hand(subject)?;
        self.outbox.ok(asker);
        self.tell_place(subject, Note::default());
        Ok(())
    }

    pub(super) fn grant(&mut self, asker: Asker, subject: ParticipantId) -> Result<(), Refusal> {
        let name = self.hands.name(subject)?;
        // Granted to somebody who left the stage silenced, it lifts the silence.
        self.step_up(subject, name, Role::Speaker, false)?;
        self.hands.remove(subject)?;
        self.outbox.ok_when_in_force(asker);
        self.tell_place(subject, Note::default());
        Ok(())
    }

    pub(super) fn deny(
        &mut self,
        now: Instant,
        asker: Asker,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        self.take_hand(subject)?;
        self.hands.cool_down(now, subject);
        self.outbox.ok(asker);
        self.tell_place(subject, reason);
        Ok(())
    }

    fn take_hand(&mut self, who: ParticipantId) -> Result<(), Refusal> {
        self.hands.remove(who)?;
        self.away.retain(|&(away, _)| away != who);
        Ok(())
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
        if self.queue.len() >= MAX_HANDS {
            return Err(Refusal::new(
                ErrorCode::QueueFull,
                format!("{MAX_HANDS} hands are raised in this room, and no more fit the queue."),
            ));
        }
        self.queue.push(Raised { participant, name, note, since: now });
        self.changed = true;
        Ok(())
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

//! What moderators do to others: asking to mute, silence, removal, keeping out. Rights are checked
//! before, in [`super::permissions`].

use std::collections::VecDeque;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::room::{RoomState, StageEntry};
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::limits::MAX_BARRED;

use super::authority::{Authority, as_listener};
use super::effect::{Asker, Refusal};

impl Authority {
    pub(super) fn ask_mute(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        let message = please_mute(&self.state, asker.id, subject, reason)?;
        self.outbox.ok(asker);
        self.outbox.deliver(subject, message);
        Ok(())
    }

    pub(super) fn silence(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
        on: bool,
        reason: Note,
    ) -> Result<(), Refusal> {
        let is_new = silence(&mut self.state, subject, on)?;
        if is_new {
            self.outbox.publish();
        }
        self.outbox.ok_when_in_force(asker);
        if is_new {
            self.tell_place(subject, reason);
        }
        Ok(())
    }

    pub(super) fn kick(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        if subject == asker.id {
            return Err(Refusal::bad_request(
                "You cannot remove yourself; leave the room instead.",
            ));
        }
        // Ahead of the state that has its edge close the connection, so that the reason arrives.
        self.outbox.deliver(subject, ToParticipant::You(as_listener(subject, reason)));
        self.remove(subject);
        if bar(&mut self.state, subject) {
            self.outbox.publish();
        }
        self.outbox.ok_when_in_force(asker);
        Ok(())
    }
}

/// Silenced participants remembered after they leave the stage, the oldest forgotten first. As many
/// as are kept out.
const MAX_SILENCED_LEAVERS: usize = MAX_BARRED;

/// Who left the stage silenced, so that leaving and coming back in does not lift a silence.
#[derive(Debug, Default)]
pub(crate) struct SilencedLeavers(VecDeque<ParticipantId>);

impl SilencedLeavers {
    /// Remembers somebody who leaves the stage silenced.
    pub(crate) fn insert(&mut self, participant: ParticipantId) {
        if self.0.len() >= MAX_SILENCED_LEAVERS {
            self.0.pop_front();
        }
        self.0.push_back(participant);
    }

    /// Forgets somebody who is on the stage again.
    pub(crate) fn remove(&mut self, participant: ParticipantId) {
        self.0.retain(|&silenced| silenced != participant);
    }

    pub(crate) fn contains(&self, participant: ParticipantId) -> bool {
        self.0.contains(&participant)
    }
}

/// The request of `actor` that `subject` switch the microphone off.
///
/// # Errors
/// [`ErrorCode::NoSuchParticipant`] unless both are on the stage and the subject is connected.
fn please_mute(
    state: &RoomState,
    actor: ParticipantId,
    subject: ParticipantId,
    reason: Note,
) -> Result<ToParticipant, Refusal> {
    let on_stage = |who| state.on_stage(who).ok_or_else(|| not_on_stage(who));
    let by = on_stage(actor)?.name.clone();
    if on_stage(subject)?.away {
        return Err(Refusal::new(
            ErrorCode::NoSuchParticipant,
            format!("Participant {subject} is not connected at the moment."),
        ));
    }
    Ok(ToParticipant::PleaseMute { by, reason })
}

/// Drops the frames of `subject`, or lets them pass again. Returns whether that changes anything.
///
/// # Errors
/// [`ErrorCode::NoSuchParticipant`] unless it is on the stage.
fn silence(state: &mut RoomState, subject: ParticipantId, on: bool) -> Result<bool, Refusal> {
    let entry = entry_mut(state, subject)?;
    Ok(std::mem::replace(&mut entry.silenced, on) != on)
}

/// Keeps `subject` out from now on. Returns whether that changes anything.
fn bar(state: &mut RoomState, subject: ParticipantId) -> bool {
    if is_barred(state, subject) {
        return false;
    }
    if state.barred.len() >= MAX_BARRED {
        state.barred.remove(0);
    }
    state.barred.push(subject);
    true
}

/// Refuses those whom a kick keeps out.
///
/// # Errors
/// [`ErrorCode::Barred`].
pub(crate) fn refuse_barred(state: &RoomState, participant: ParticipantId) -> Result<(), Refusal> {
    if is_barred(state, participant) {
        return Err(Refusal::new(
            ErrorCode::Barred,
            "A moderator has removed you from this room, and you cannot come back.",
        ));
    }
    Ok(())
}

fn is_barred(state: &RoomState, participant: ParticipantId) -> bool {
    state.barred.contains(&participant)
}

fn entry_mut(
    state: &mut RoomState,
    participant: ParticipantId,
) -> Result<&mut StageEntry, Refusal> {
    state
        .stage
        .iter_mut()
        .find(|entry| entry.participant == participant)
        .ok_or_else(|| not_on_stage(participant))
}

fn not_on_stage(participant: ParticipantId) -> Refusal {
    Refusal::new(
        ErrorCode::NoSuchParticipant,
        format!("Participant {participant} is not on the stage."),
    )
}

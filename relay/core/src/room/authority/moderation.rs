//! Moderation of the stage: asking to mute, silence. Permissions are checked before, in
//! [`decide`](super::decide).

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::log::{Draft, LogAction};

use super::docket::Change;
use super::effect::Refusal;
use super::rights::{outranks, resolve, tell_place};
use super::target::Actor;
use super::turn::{Turn, news};

/// Asks a participant on the stage to switch the microphone off.
pub(super) fn ask_mute(
    turn: &mut Turn<'_>,
    actor: &Actor,
    who: ParticipantId,
    reason: Note,
) -> Result<(), Refusal> {
    let Some(entry) = turn.room.on_stage(who) else {
        return Err(turn.not_on_stage(who));
    };
    if entry.away {
        return Err(Refusal::new(
            ErrorCode::NoSuchParticipant,
            format!("{} is not connected at the moment.", entry.name),
        ));
    }
    let found = resolve(turn, &Target::Participant(who))?;
    let mut draft = Draft::new(0, actor.party(), LogAction::AskedToMute);
    draft.target = Some(found.party);
    draft.reason = reason.clone();
    turn.log(draft);
    turn.out.ok(actor.asker);
    let by = actor.name.clone();
    turn.out.deliver(who, ToParticipant::PleaseMute { by, reason });
    Ok(())
}

/// Silences a participant on the stage, or lifts that.
pub(super) fn silence(
    turn: &mut Turn<'_>,
    actor: &Actor,
    who: ParticipantId,
    on: bool,
    reason: Note,
) -> Result<(), Refusal> {
    if !turn.room.is_on_stage(who) {
        return Err(turn.not_on_stage(who));
    }
    let found = resolve(turn, &Target::Participant(who))?;
    outranks(turn, actor, &found, Permission::Silence)?;
    let action = if on { LogAction::Silenced } else { LogAction::Unsilenced };
    if set_silenced(turn, who, on) {
        let mut draft = Draft::new(0, actor.party(), action);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        let entry = turn.log(draft);
        if on {
            turn.docket.add(entry, action, &found, Change::Other);
        }
        turn.notify(who, news(actor, action, entry, reason.clone()));
        tell_place(turn, who, reason);
    }
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Silences everybody on the stage of a lower rank, or lifts that.
pub(super) fn silence_all(
    turn: &mut Turn<'_>,
    actor: &Actor,
    on: bool,
    reason: &Note,
) -> Result<(), Refusal> {
    turn.require_live()?;
    let policy = &turn.context.policy;
    let rank = policy.rank(actor.role);
    let below = turn.room.stage().iter().filter(|entry| policy.rank(entry.role) < rank);
    let below: Vec<_> = below.map(|entry| entry.participant).collect();
    let action = if on { LogAction::AllSilenced } else { LogAction::AllUnsilenced };
    let mut draft = Draft::new(0, actor.party(), action);
    draft.reason = reason.clone();
    if let Ok(detail) = format!("{} on the stage", below.len()).parse() {
        draft.detail = detail;
    }
    let entry = turn.log(draft);
    for who in below {
        if set_silenced(turn, who, on) {
            turn.notify(who, news(actor, action, entry, reason.clone()));
            tell_place(turn, who, reason.clone());
        }
    }
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Has every relay drop a participant's frames, or lets them pass again. Returns whether that changes
/// anything.
pub(super) fn set_silenced(turn: &mut Turn<'_>, who: ParticipantId, on: bool) -> bool {
    let is_new = turn.room.set_silenced(who, on);
    if is_new {
        turn.out.publish();
    }
    is_new
}

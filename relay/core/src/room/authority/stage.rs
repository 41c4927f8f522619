//! Decisions about the stage: leaving it, muting, invitations to speak, removal, a new host.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::log::{Draft, LogAction};

use super::docket::Change;
use super::effect::{Asker, Refusal};
use super::entry::{refuse_confusable, step_up};
use super::host::make_host;
use super::presence::{give_up, take_hand};
use super::rights::{outranks, refuse_mute, resolve, tell_place};
use super::ruling_book::Ruled;
use super::statistics::Fact;
use super::target::Actor;
use super::turn::{Turn, news};

const NOT_ON_STAGE: &str = "You are not on the stage.";

/// Leaves the stage and stays in the room.
pub(super) fn leave(turn: &mut Turn<'_>, asker: Asker) -> Result<(), Refusal> {
    if !turn.room.is_on_stage(asker.id) {
        return Err(Refusal::bad_request(NOT_ON_STAGE));
    }
    give_up(turn, asker.id);
    turn.out.ok(asker);
    tell_place(turn, asker.id, Note::default());
    Ok(())
}

/// Says whether the own microphone is off.
pub(super) fn own_mute(turn: &mut Turn<'_>, asker: Asker, muted: bool) -> Result<(), Refusal> {
    let is_new = turn.room.set_muted(asker.id, muted);
    if is_new.ok_or_else(|| Refusal::bad_request(NOT_ON_STAGE))? {
        turn.out.publish();
    }
    turn.out.ok(asker);
    Ok(())
}

/// Invites a person to speak.
pub(super) fn invite(turn: &mut Turn<'_>, actor: &Actor, target: &Target) -> Result<(), Refusal> {
    turn.require_live()?;
    let found = resolve(turn, target)?;
    if found.participants.iter().any(|who| turn.room.is_on_stage(*who)) {
        return Err(Refusal::bad_request("They are on the stage already."));
    }
    let mut draft = Draft::new(0, actor.party(), LogAction::InvitedToSpeak);
    draft.target = Some(found.party.clone());
    let entry = turn.log(draft);
    turn.book.make_space([found.key], turn.out)?;
    let news = news(actor, LogAction::InvitedToSpeak, entry, Note::default());
    let by = actor.name.clone();
    turn.book.rule(&found, Some(news), turn.out, |ruling| ruling.invited_by = Some(by))?;
    for who in found.participants {
        tell_place(turn, who, Note::default());
    }
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Takes an invitation to speak back.
pub(super) fn uninvite(turn: &mut Turn<'_>, asker: Asker, target: &Target) -> Result<(), Refusal> {
    let found = resolve(turn, target)?;
    if turn.book.get(&found.key).is_none_or(|ruling| ruling.invited_by.is_none()) {
        let message = format!("There is no invitation to speak for {}.", found.party);
        return Err(Refusal::new(ErrorCode::NoSuchParticipant, message));
    }
    turn.book.rule(&found, None, turn.out, |ruling| ruling.invited_by = None)?;
    turn.out.ok_when_in_force(asker);
    Ok(())
}

/// Accepts or declines an invitation to speak.
pub(super) fn answer_invite(
    turn: &mut Turn<'_>,
    actor: &Actor,
    accept: bool,
) -> Result<(), Refusal> {
    turn.require_live()?;
    let who = actor.asker.id;
    let ruled = turn.book.about(Some(who), Some(&actor.subject));
    if ruled.invited_by.is_none() {
        return Err(Refusal::bad_request("Nobody has invited you to speak."));
    }
    if accept {
        if !turn.room.is_on_stage(who) {
            accept_invite(turn, actor, &ruled)?;
        }
        take_hand(turn, who);
    }
    turn.out.fact(Fact::InvitationAnswered { accepted: accept });
    for key in [PersonKey::of_participant(who), actor.key()] {
        turn.book.amend(key, turn.out, |ruling| ruling.invited_by = None);
    }
    turn.out.ok_when_in_force(actor.asker);
    tell_place(turn, who, Note::default());
    Ok(())
}

fn accept_invite(turn: &mut Turn<'_>, actor: &Actor, ruled: &Ruled) -> Result<(), Refusal> {
    refuse_mute(ruled)?;
    refuse_confusable(turn, actor)?;
    let policy = &turn.context.policy;
    let role = if actor.entitled == Role::Host {
        Role::Cohost
    } else if policy.speaks(actor.entitled) {
        actor.entitled
    } else {
        Role::Speaker
    };
    let silenced = turn.silenced.contains(&actor.subject);
    step_up(turn, actor, role, silenced)?;
    if ruled.role.is_some_and(|role| !policy.speaks(role)) {
        turn.book.forget_role(actor.asker.id, Some(&actor.subject), turn.out);
    }
    Ok(())
}

/// Makes a listener of a participant on the stage.
pub(super) fn remove_from_stage(
    turn: &mut Turn<'_>,
    actor: &Actor,
    who: ParticipantId,
    reason: Note,
) -> Result<(), Refusal> {
    if !turn.room.is_on_stage(who) {
        return Err(turn.not_on_stage(who));
    }
    let found = resolve(turn, &Target::Participant(who))?;
    if found.subject.as_ref() == Some(&actor.subject) {
        return Err(Refusal::bad_request("You can leave the stage yourself."));
    }
    outranks(turn, actor, &found, Permission::RemoveFromStage)?;
    turn.book.make_space([found.key], turn.out)?;
    let mut draft = Draft::new(0, actor.party(), LogAction::RemovedFromStage);
    draft.target = Some(found.party.clone());
    draft.reason = reason.clone();
    let entry = turn.log(draft);
    let change = Change::Role(Role::Listener);
    turn.docket.add(entry, LogAction::RemovedFromStage, &found, change);
    turn.notify(who, news(actor, LogAction::RemovedFromStage, entry, reason.clone()));
    // A token for the stage does not take them back there; a grant or an invitation does.
    turn.book.rule(&found, None, turn.out, |ruling| ruling.role = Some(Role::Listener))?;
    give_up(turn, who);
    turn.out.ok_when_in_force(actor.asker);
    tell_place(turn, who, reason);
    Ok(())
}

/// Hands the room over to another participant on the stage.
pub(super) fn hand_over(
    turn: &mut Turn<'_>,
    actor: &Actor,
    heir: ParticipantId,
) -> Result<(), Refusal> {
    turn.require_live()?;
    // Permissions are not enough: the room is the host's to give away.
    if actor.role != Role::Host {
        let message = "Only the host can hand the room over.";
        return Err(Refusal::new(ErrorCode::NotPermitted, message));
    }
    match turn.room.role(heir) {
        None => return Err(turn.not_on_stage(heir)),
        Some(Role::Host) => {
            return Err(Refusal::bad_request("They are the host already."));
        }
        Some(Role::Cohost | Role::Speaker | Role::Listener | Role::Custom(_)) => {}
    }
    let found = resolve(turn, &Target::Participant(heir))?;
    let mut draft = Draft::new(0, actor.party(), LogAction::HostHandedOver);
    draft.target = Some(found.party);
    turn.log(draft);
    let before = turn.people.host().cloned();
    make_host(turn, heir);
    if let Some(before) = before.filter(|before| !before.is_guest()) {
        // Their token still says host; they come back as cohost.
        let found = resolve(turn, &Target::Subject(before))?;
        turn.book.make_space([found.key], turn.out)?;
        turn.book.rule(&found, None, turn.out, |ruling| ruling.role = Some(Role::Cohost))?;
    }
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

//! Decisions about a person's role and single permissions.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::Note;
use tribune_protocol::log::{Draft, LogAction};

use super::docket::Change;
use super::effect::Refusal;
use super::presence::{give_up, take_hand};
use super::rights::{outranks, resolve, tell_place};
use super::target::{Actor, ResolvedTarget};
use super::turn::{Turn, news};

/// Changes a person's role.
pub(super) fn set_role(
    turn: &mut Turn<'_>,
    actor: &Actor,
    target: &Target,
    role: Role,
    reason: &Note,
) -> Result<(), Refusal> {
    let policy = &turn.context.policy;
    let found = check_role(turn, actor, target, role)?;
    turn.book.make_space([found.key], turn.out)?;
    let mut draft = Draft::new(0, actor.party(), LogAction::RoleChanged);
    draft.target = Some(found.party.clone());
    draft.reason = reason.clone();
    draft.detail = format!("{} → {role}", found.role).parse().unwrap_or_default();
    let entry = turn.log(draft);
    turn.docket.add(entry, LogAction::RoleChanged, &found, Change::Role(role));
    let news = news(actor, LogAction::RoleChanged, entry, reason.clone());
    let steps_up =
        policy.speaks(role) && found.participants.iter().all(|who| !turn.room.is_on_stage(*who));
    // No microphone opens without consent: a person who is not on the stage is asked.
    let by = actor.name.clone();
    turn.book.rule(&found, Some(news), turn.out, |ruling| {
        ruling.role = Some(role);
        ruling.invited_by = steps_up.then_some(by);
    })?;
    for who in found.participants {
        if policy.speaks(role) {
            if turn.room.set_role(who, role) {
                turn.out.publish();
            }
        } else if turn.room.is_on_stage(who) {
            give_up(turn, who);
        }
        tell_place(turn, who, reason.clone());
    }
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// The target, if the actor may give it that role.
///
/// # Errors
/// [`ErrorCode::BadRequest`] or [`ErrorCode::NotPermitted`].
fn check_role(
    turn: &Turn<'_>,
    actor: &Actor,
    target: &Target,
    role: Role,
) -> Result<ResolvedTarget, Refusal> {
    let policy = &turn.context.policy;
    if policy.rank(role) == 0 {
        return Err(Refusal::bad_request(format!("There is no role {role} here.")));
    }
    let found = resolve(turn, target)?;
    if role == Role::Host || found.role == Role::Host && actor.role == Role::Host {
        let message = "The host is changed by handing the room over.";
        return Err(Refusal::bad_request(message));
    }
    outranks(turn, actor, &found, Permission::SetRole)?;
    if policy.rank(role) > policy.rank(actor.role) || !actor.may.covers(policy.may(role)) {
        return Err(Refusal::new(
            ErrorCode::NotPermitted,
            format!("A {} may not make anybody {role}, who may do more.", actor.role),
        ));
    }
    Ok(found)
}

/// Gives or takes a single permission; `None`: as the role has it.
pub(super) fn set_permission(
    turn: &mut Turn<'_>,
    actor: &Actor,
    target: &Target,
    (permission, allow): (Permission, Option<bool>),
    reason: &Note,
) -> Result<(), Refusal> {
    let found = resolve(turn, target)?;
    outranks(turn, actor, &found, Permission::SetPermission)?;
    if !actor.may.contains(permission) {
        let message = format!("You may not {} yourself.", permission.infinitive());
        return Err(Refusal::new(ErrorCode::NotPermitted, message));
    }
    if permission == Permission::Listen && allow == Some(false) {
        let message = "Who may not listen is not in the room; remove or ban them instead.";
        return Err(Refusal::bad_request(message));
    }
    turn.book.make_space([found.key], turn.out)?;
    let mut draft = Draft::new(0, actor.party(), LogAction::PermissionChanged);
    draft.target = Some(found.party.clone());
    draft.reason = reason.clone();
    let how = match allow {
        Some(true) => "given",
        Some(false) => "taken",
        None => "as the role has it",
    };
    draft.detail = format!("{permission}: {how}").parse().unwrap_or_default();
    let entry = turn.log(draft);
    if allow == Some(false) {
        let change = Change::Permission(permission);
        turn.docket.add(entry, LogAction::PermissionChanged, &found, change);
    }
    let news = news(actor, LogAction::PermissionChanged, entry, reason.clone());
    let one = PermissionSet::of(&[permission]);
    turn.book.rule(&found, Some(news), turn.out, |ruling| {
        ruling.allow = ruling.allow.minus(one);
        ruling.deny = ruling.deny.minus(one);
        match allow {
            Some(true) => ruling.allow = ruling.allow.union(one),
            Some(false) => ruling.deny = ruling.deny.union(one),
            None => {}
        }
    })?;
    for who in found.participants {
        if allow == Some(false) && permission == Permission::Speak {
            give_up(turn, who);
        } else if allow == Some(false) && permission == Permission::RaiseHand {
            take_hand(turn, who);
        }
        tell_place(turn, who, reason.clone());
    }
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

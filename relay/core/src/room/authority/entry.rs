//! Coming on the stage: opening the room, coming in with a role, taking a place with a track.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::Duplicates;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::log::{Draft, LogAction};

use super::effect::{Asker, OriginEffect, Refusal};
use super::people::Person;
use super::presence;
use super::rights::{refuse_barred, refuse_mute, tell_place};
use super::target::Actor;
use super::turn::Turn;
use crate::room::names;

/// Comes in with a role that has a place on the stage; opens the room, if it is not open.
pub(super) fn enter(turn: &mut Turn<'_>, actor: &Actor, role: Role) -> Result<(), Refusal> {
    if !turn.context.policy.speaks(role) {
        return Err(Refusal::bad_request(
            "Only a role with a place on the stage comes in by the origin.",
        ));
    }
    let is_live = turn.room.phase() == Phase::Live;
    if is_live && turn.is_known(actor.asker.id) {
        greet_again(turn, actor.asker);
        return Ok(());
    }
    let mut role = if is_live { admit(turn, actor, role)? } else { opener_role(turn, actor)? };
    let others = sessions_in_the_way(turn, actor)?;
    let freed = others.iter().filter(|who| turn.room.is_on_stage(**who)).count();
    require_place(turn, freed)?;
    for who in others {
        // The host's place is taken over as a whole.
        if turn.room.role(who) == Some(Role::Host) {
            role = Role::Host;
        }
        turn.out.push(OriginEffect::Displace { who });
        presence::remove(turn, who);
    }
    let silenced = turn.silenced.contains(&actor.subject);
    if !is_live {
        open(turn, actor);
    }
    if role == Role::Host {
        turn.people.set_host(Some(actor.subject.clone()));
    }
    step_up(turn, actor, role, silenced)?;
    turn.out.ok(actor.asker);
    turn.out.greet(actor.asker.id);
    Ok(())
}

/// Tells a participant with a new connection everything they need to see.
pub(super) fn greet_again(turn: &mut Turn<'_>, asker: Asker) {
    turn.out.ok(asker);
    tell_place(turn, asker.id, Note::default());
    turn.out.greet(asker.id);
}

/// Gives a place on the stage, with a track that nobody had before.
pub(super) fn step_up(
    turn: &mut Turn<'_>,
    actor: &Actor,
    role: Role,
    silenced: bool,
) -> Result<(), Refusal> {
    require_place(turn, 0)?;
    let track = turn.room.take_track();
    turn.silenced.remove(&actor.subject);
    let (participant, name) = (actor.asker.id, actor.name.clone());
    let away = turn.away.contains(participant);
    turn.room.add(StageEntry { participant, name, role, track, silenced, muted: false, away });
    remember(turn, actor);
    turn.out.publish();
    Ok(())
}

/// Keeps the actor in mind, for as long as they are on the stage or in the queue.
pub(super) fn remember(turn: &mut Turn<'_>, actor: &Actor) {
    let (subject, name) = (actor.subject.clone(), actor.name.clone());
    turn.people.remember(actor.asker.id, Person { subject, name, entitled: actor.entitled });
}

/// Refuses a name that could be taken for the host's or a cohost's.
///
/// # Errors
/// [`ErrorCode::NameTaken`]
pub(super) fn refuse_confusable(turn: &Turn<'_>, actor: &Actor) -> Result<(), Refusal> {
    let same = |entry: &&StageEntry| {
        let moderates = turn.context.policy.may(entry.role).contains(Permission::Kick);
        moderates
            && turn.people.subject(entry.participant) != Some(&actor.subject)
            && names::is_confusable(&entry.name, &actor.name)
    };
    match turn.room.stage().iter().find(same) {
        None => Ok(()),
        Some(entry) => Err(Refusal::new(
            ErrorCode::NameTaken,
            format!(
                "The name {} could be taken for {}, who is the {} here; choose another one.",
                actor.name, entry.name, entry.role
            ),
        )),
    }
}

/// Whether one more fits the stage, once so many have left it.
///
/// # Errors
/// [`ErrorCode::StageFull`]
fn require_place(turn: &Turn<'_>, freed: usize) -> Result<(), Refusal> {
    let size = usize::from(turn.room.settings().stage_size);
    if turn.room.stage().len() - freed >= size {
        let message = format!("The stage of this room holds {size}, and it is full.");
        return Err(Refusal::new(ErrorCode::StageFull, message));
    }
    if turn.room.is_out_of_tracks() {
        let message = "This room has used up its tracks; it needs another name.";
        return Err(Refusal::new(ErrorCode::Overloaded, message));
    }
    Ok(())
}

/// The role in which a new participant comes into the room.
fn admit(turn: &Turn<'_>, actor: &Actor, role: Role) -> Result<Role, Refusal> {
    refuse_barred(turn, actor)?;
    refuse_mute(&turn.book.about(Some(actor.asker.id), Some(&actor.subject)))?;
    let host = turn.room.host();
    if role == Role::Host {
        let of_others =
            |host: &&StageEntry| turn.people.subject(host.participant) != Some(&actor.subject);
        if let Some(host) = host.filter(of_others) {
            let message = format!("{} is the host of this room, and there can be one.", host.name);
            return Err(Refusal::new(ErrorCode::HostTaken, message));
        }
        if turn.people.has_other_host(&actor.subject) {
            let message = "This room has a host, who is away; you can come in as cohost.";
            return Err(Refusal::new(ErrorCode::HostTaken, message));
        }
    }
    // The room's owner comes in as host; to others a token for a host is one for a cohost.
    let mine = role == Role::Host && turn.people.host() == Some(&actor.subject);
    let given = role == Role::Speaker && actor.may.contains(Permission::Speak);
    if !mine && !given && !turn.context.policy.entitles(actor.entitled, role) {
        let message = format!(
            "You may come in as {}, not as {role}; ask a moderator, or raise a hand.",
            actor.entitled
        );
        return Err(Refusal::new(ErrorCode::NotPermitted, message));
    }
    refuse_confusable(turn, actor)?;
    // A further session of the host's is one beside the host.
    let beside = host.is_some() && turn.room.settings().duplicates != Duplicates::Replace;
    Ok(if role == Role::Host && beside { Role::Cohost } else { role })
}

/// The sessions that the room's policy for duplicates ends when a participant comes on the stage.
///
/// # Errors
/// [`ErrorCode::Duplicate`]
fn sessions_in_the_way(turn: &Turn<'_>, actor: &Actor) -> Result<Vec<ParticipantId>, Refusal> {
    if actor.subject.is_guest() {
        return Ok(Vec::new());
    }
    let mut others = turn.people.sessions(&actor.subject);
    others.retain(|who| *who != actor.asker.id);
    let most = match turn.room.settings().duplicates {
        Duplicates::Replace => return Ok(others),
        Duplicates::Refuse => 1,
        Duplicates::Allow(most) => usize::from(most),
    };
    if others.len() < most {
        return Ok(Vec::new());
    }
    let message =
        format!("{} is in this room already, and it allows {most} at a time.", actor.subject);
    Err(Refusal::new(ErrorCode::Duplicate, message))
}

/// The role of the participant who opens the room.
fn opener_role(turn: &Turn<'_>, actor: &Actor) -> Result<Role, Refusal> {
    refuse_barred(turn, actor)?;
    let host = turn.people.host();
    let is_host = host == Some(&actor.subject);
    let may = actor.may.contains(Permission::OpenRoom) && actor.may_open;
    match turn.room.phase() {
        Phase::Announced if is_host || may && host.is_none() => Ok(Role::Host),
        Phase::Announced if turn.context.policy.entitles(actor.entitled, Role::Cohost) => {
            Ok(Role::Cohost)
        }
        Phase::Absent | Phase::Ended if may => Ok(Role::Host),
        Phase::Announced => {
            let message = "This room has not begun; its host opens it by joining.";
            Err(Refusal::new(ErrorCode::NotStarted, message))
        }
        Phase::Absent | Phase::Ended | Phase::Live => Err(turn.not_open()),
    }
}

fn open(turn: &mut Turn<'_>, actor: &Actor) {
    let mut draft = Draft::new(0, actor.party(), LogAction::RoomOpened);
    if let Ok(detail) = format!("{}", turn.room.settings().title).parse() {
        draft.detail = detail;
    }
    turn.log(draft);
    turn.room.set_phase(Phase::Live);
    turn.room.begin_run();
    let (run, now_s) = (turn.room.state().run, turn.now_s());
    turn.runs.begin(run, now_s);
    turn.room.set_host_name(Some(actor.name.clone()));
    turn.occupancy.set_empty_until(None);
    turn.out.publish();
}

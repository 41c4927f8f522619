//! Decisions on one input: the actor → the policy table ([`policy`](super::policy)) → the decision,
//! which changes the parts, drafts entries of the log and queues effects → the consequences for others
//! ([`lifecycle::settle`]).

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::Govern;
use tribune_protocol::control::query::TreeQuery;
use tribune_protocol::control::trunk::{Action, Credentials};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Phase, RoomState};
use tribune_protocol::ids::ParticipantId;
use tribune_protocol::limits::MAX_LISTENERS_A_MESSAGE;
use tribune_protocol::log::{Draft, LogAction};
use tribune_protocol::quality::report::Ranking;

use super::effect::{Asker, OriginEffect, Refusal};
use super::target::Actor;
use super::turn::Turn;
use super::{
    appeals, audience, entry, hands, lifecycle, moderation, presence, removal, rights, roles,
    settings, stage,
};

/// Whether an action shows that its sender is in the room.
pub(super) const fn is_presence(action: &Action) -> bool {
    !matches!(action, Action::Away {} | Action::Left {} | Action::OneShot { .. })
}

/// Whether the decision about an action may add entries to the log: only then it is tried on a copy of
/// the state.
pub(super) fn may_be_logged(state: &RoomState, who: ParticipantId, action: &Action) -> bool {
    match action {
        Action::Enter { .. } => state.phase != Phase::Live,
        // A host's going may make a host of a cohost.
        Action::Left {} | Action::LeaveStage {} => {
            state.on_stage(who).is_some_and(|entry| entry.role == Role::Host)
        }
        Action::Govern { act } | Action::OneShot { act } => act.traits().is_logged(),
        Action::Present {}
        | Action::Away {}
        | Action::RaiseHand { .. }
        | Action::LowerHand {}
        | Action::OwnMute { .. }
        | Action::Ask { .. }
        | Action::Unknown => false,
    }
}

/// Decides about an action. Nobody is told of a refusal, and it may have left traces.
///
/// # Errors
/// The refusal.
pub(super) fn action(
    turn: &mut Turn<'_>,
    asker: Asker,
    by: Option<Credentials>,
    action: Action,
) -> Result<(), Refusal> {
    turn.out.begin();
    if is_presence(&action) {
        presence::come_back(turn, asker.id);
    }
    if by.is_none() && !is_report(&action) {
        return Err(Refusal::bad_request("The relay below does not say who asks."));
    }
    let actor = rights::actor(turn, asker, by);
    dispatch(turn, &actor, action)?;
    lifecycle::settle(turn);
    Ok(())
}

/// Refuses a request. `is_there`: its sender has shown by it that they are in the room.
pub(super) fn refuse(turn: &mut Turn<'_>, asker: Asker, is_there: bool, refusal: Refusal) {
    turn.out.begin();
    if is_there {
        presence::come_back(turn, asker.id);
    }
    turn.out.refuse(asker, refusal);
    lifecycle::settle(turn);
}

/// Counts the participants without a role in the whole tree.
pub(super) fn count_audience(turn: &mut Turn<'_>, listeners: u64) {
    turn.out.begin();
    turn.occupancy.set_listeners(listeners);
    lifecycle::settle(turn);
}

/// Time has passed: places of those away for too long are given up, hands and bans run out, and a room
/// that stayed empty ends.
pub(super) fn timeout(turn: &mut Turn<'_>) {
    turn.out.begin();
    while let Some(who) = turn.away.expired(turn.now) {
        presence::give_up(turn, who);
    }
    hands::expire(turn);
    removal::expire(turn);
    lifecycle::expire(turn);
    lifecycle::settle(turn);
}

fn dispatch(turn: &mut Turn<'_>, actor: &Actor, action: Action) -> Result<(), Refusal> {
    let asker = actor.asker;
    match action {
        Action::Enter { role } => entry::enter(turn, actor, role),
        Action::Present {} => {
            entry::greet_again(turn, asker);
            Ok(())
        }
        Action::Away {} => {
            presence::go_away(turn, asker.id);
            turn.out.ok(asker);
            Ok(())
        }
        Action::Left {} => {
            presence::give_up(turn, asker.id);
            turn.out.ok(asker);
            Ok(())
        }
        Action::RaiseHand { note } => {
            turn.permit(actor, Permission::RaiseHand)?;
            hands::raise(turn, actor, note)
        }
        Action::LowerHand {} => {
            turn.permit(actor, Permission::RaiseHand)?;
            hands::lower(turn, asker, asker.id)
        }
        Action::LeaveStage {} => {
            turn.permit(actor, Permission::LeaveStage)?;
            stage::leave(turn, asker)
        }
        Action::OwnMute { muted } => {
            turn.permit(actor, Permission::MuteSelf)?;
            stage::own_mute(turn, asker, muted)
        }
        Action::Ask { text } => {
            turn.permit(actor, Permission::Ask)?;
            audience::ask(turn, actor, text)
        }
        Action::OneShot { act: Govern::AnswerInvite { accept: true } } => {
            turn.permit(actor, Permission::AnswerInvite)?;
            Err(Refusal::bad_request("Come in first: a microphone is opened in the room."))
        }
        Action::Govern { act } | Action::OneShot { act } => {
            if let Some(permission) = act.traits().permission {
                turn.permit(actor, permission)?;
            }
            govern(turn, actor, act)
        }
        Action::Unknown => Err(Refusal::bad_request("This relay does not know that action.")),
    }
}

fn govern(turn: &mut Turn<'_>, actor: &Actor, act: Govern) -> Result<(), Refusal> {
    match act {
        Govern::LowerHand { participant } => hands::lower(turn, actor.asker, participant),
        Govern::Grant { participant } => hands::grant(turn, actor, participant),
        Govern::Deny { participant, reason } => hands::deny(turn, actor, participant, reason),
        Govern::ClearHands { reason } => hands::clear(turn, actor, &reason),
        Govern::ListHands {} => hands::list(turn, actor.asker),
        Govern::Invite { target } => stage::invite(turn, actor, &target),
        Govern::Uninvite { target } => stage::uninvite(turn, actor.asker, &target),
        Govern::AnswerInvite { accept } => stage::answer_invite(turn, actor, accept),
        Govern::AskMute { participant, reason } => {
            moderation::ask_mute(turn, actor, participant, reason)
        }
        Govern::Silence { participant, on, reason } => {
            moderation::silence(turn, actor, participant, on, reason)
        }
        Govern::SilenceAll { on, reason } => moderation::silence_all(turn, actor, on, &reason),
        Govern::RemoveFromStage { participant, reason } => {
            stage::remove_from_stage(turn, actor, participant, reason)
        }
        Govern::Kick { target, reason } => removal::kick(turn, actor, &target, reason),
        Govern::Ban { target, duration_s, reason } => {
            removal::ban(turn, actor, &target, duration_s, reason)
        }
        Govern::Unban { target, reason } => removal::unban(turn, actor, &target, reason),
        Govern::ListBans { after } => {
            turn.out.reply(actor.asker, turn.book.page(after));
            Ok(())
        }
        Govern::SetRole { target, role, reason } => {
            roles::set_role(turn, actor, &target, role, &reason)
        }
        Govern::SetPermission { target, permission, allow, reason } => {
            roles::set_permission(turn, actor, &target, (permission, allow), &reason)
        }
        Govern::HandOver { participant } => stage::hand_over(turn, actor, participant),
        Govern::Create { settings } => settings::create(turn, actor, settings),
        Govern::Set { change, reason } => settings::set(turn, actor, &change, reason),
        Govern::Show {} => settings::show(turn, actor.asker),
        Govern::MakeInvitation { subject, role, valid_for_s } => {
            settings::make_invitation(turn, actor, subject, role, valid_for_s)
        }
        Govern::ReadLog { .. } => Err(too_many_readers()),
        Govern::Appeal { entry, text } => appeals::appeal(turn, actor, entry, text),
        Govern::AnswerAppeal { entry, uphold, reason } => {
            appeals::answer(turn, actor, entry, uphold, reason)
        }
        Govern::ListListeners { worst, by } => list_listeners(turn, actor.asker, worst, by),
        Govern::ShowListener { participant } => {
            let room = turn.room.name().clone();
            query_tree(turn, actor.asker, TreeQuery::Listener { room, participant })
        }
        Govern::MakeShare { tag } => audience::make_share(turn, actor, tag),
        Govern::TellMe { on } => audience::tell_me(turn, actor, on),
        Govern::HideText { text, participant, reason } => {
            audience::hide_text(turn, actor, text, participant, reason)
        }
        Govern::CloseQuestion { question, answered, reason } => {
            audience::close_question(turn, actor, question, answered, reason)
        }
        Govern::ReadStatistics { run, part } => audience::read_statistics(turn, actor, run, part),
        Govern::EndRoom {} => end_room(turn, actor),
        Govern::Unknown => Err(Refusal::bad_request("This relay does not know that request.")),
    }
}

/// [`commit`](super::commit) reads the log; a request that comes here has found too many reading already.
fn too_many_readers() -> Refusal {
    let message = "Too many are reading the log of this room at the moment.";
    Refusal::new(ErrorCode::Overloaded, message)
}

fn end_room(turn: &mut Turn<'_>, actor: &Actor) -> Result<(), Refusal> {
    turn.require_live()?;
    turn.log(Draft::new(0, actor.party(), LogAction::RoomEnded));
    turn.out.ok(actor.asker); // connections close with the last state
    lifecycle::end(turn);
    Ok(())
}

fn list_listeners(
    turn: &mut Turn<'_>,
    asker: Asker,
    worst: u8,
    by: Ranking,
) -> Result<(), Refusal> {
    if by == Ranking::Unknown || !(1..=MAX_LISTENERS_A_MESSAGE).contains(&worst.into()) {
        return Err(Refusal::bad_request(format!(
            "Between 1 and {MAX_LISTENERS_A_MESSAGE} listeners can be asked for, by a measure \
             that this relay knows."
        )));
    }
    let room = turn.room.name().clone();
    query_tree(turn, asker, TreeQuery::Listeners { room, worst, by })
}

/// Asks along the tree: only edges know their listeners. The room's node sends the answer.
fn query_tree(turn: &mut Turn<'_>, asker: Asker, about: TreeQuery) -> Result<(), Refusal> {
    turn.require_live()?;
    turn.out.push(OriginEffect::Query { to: asker.id, request: asker.request, about });
    Ok(())
}

/// Whether it is an edge's own report about a participant, which takes no credentials.
const fn is_report(action: &Action) -> bool {
    matches!(action, Action::Present {} | Action::Away {} | Action::Left {} | Action::Unknown)
}

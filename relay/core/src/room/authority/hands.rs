//! Decisions about hands: raising, lowering, granting, denying, clearing, expiry.

use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::log::{Draft, LogAction};

use super::docket::Change;
use super::effect::{Asker, Refusal};
use super::entry::{refuse_confusable, remember, step_up};
use super::hand_queue::no_hand;
use super::presence::take_hand;
use super::rights::{refuse_barred, refuse_mute, resolve, tell_place};
use super::statistics::Fact;
use super::target::Actor;
use super::turn::{Turn, news};

/// Raises the own hand, or changes its note.
pub(super) fn raise(turn: &mut Turn<'_>, actor: &Actor, note: Note) -> Result<(), Refusal> {
    turn.require_live()?;
    refuse_barred(turn, actor)?;
    refuse_confusable(turn, actor)?;
    let who = actor.asker.id;
    if turn.room.is_on_stage(who) {
        return Err(Refusal::bad_request("You are already on the stage."));
    }
    let is_up = turn.hands.place(who).is_some();
    if turn.room.settings().hands_closed && !is_up {
        let message = "The queue of hands is closed at the moment.";
        return Err(Refusal::new(ErrorCode::HandsClosed, message));
    }
    let slow = Duration::from_secs(u64::from(turn.room.settings().hand_slow_s));
    turn.hands.raise(turn.now, who, actor.name.clone(), note, slow)?;
    if !is_up {
        turn.out.fact(Fact::HandRaised);
    }
    remember(turn, actor);
    turn.out.ok(actor.asker);
    tell_place(turn, who, Note::default());
    Ok(())
}

/// Lowers the own hand, or that of another participant.
pub(super) fn lower(turn: &mut Turn<'_>, asker: Asker, who: ParticipantId) -> Result<(), Refusal> {
    turn.hands.require(who)?;
    take_hand(turn, who);
    turn.out.ok(asker);
    tell_place(turn, who, Note::default());
    Ok(())
}

/// Gives a raised hand a place on the stage.
pub(super) fn grant(turn: &mut Turn<'_>, actor: &Actor, who: ParticipantId) -> Result<(), Refusal> {
    turn.hands.require(who)?;
    let found = resolve(turn, &Target::Participant(who))?;
    let Some(person) = turn.people.get(who).cloned() else {
        return Err(no_hand(who));
    };
    let raised = Actor {
        asker: Asker { id: who, request: None },
        subject: person.subject.clone(),
        name: person.name,
        entitled: person.entitled,
        role: Role::Listener,
        may: PermissionSet::NONE,
        may_open: false,
        came_by: None,
    };
    let ruled = turn.book.about(Some(who), Some(&person.subject));
    refuse_mute(&ruled)?;
    // A hand that has another role comes up in it, where that has not been taken away.
    let speaks = |role: &Role| turn.context.policy.speaks(*role) && *role != Role::Host;
    let given = ruled.role.filter(speaks);
    let own = Some(person.entitled).filter(speaks);
    let role = given.or(own).unwrap_or(Role::Speaker);
    // Granted to a participant who left the stage silenced, it lifts the silence.
    step_up(turn, &raised, role, false)?;
    let waited_ms = turn.hands.waited_ms(turn.now, who);
    turn.out.fact(Fact::HandGranted { waited_ms });
    turn.hands.remove(who)?;
    if given.is_none() {
        turn.book.forget_role(who, Some(&person.subject), turn.out);
    }
    let mut draft = Draft::new(0, actor.party(), LogAction::HandGranted);
    draft.target = Some(found.party);
    turn.log(draft);
    turn.out.ok_when_in_force(actor.asker);
    tell_place(turn, who, Note::default());
    Ok(())
}

/// Lowers a hand and keeps it down for a while.
pub(super) fn deny(
    turn: &mut Turn<'_>,
    actor: &Actor,
    who: ParticipantId,
    reason: Note,
) -> Result<(), Refusal> {
    turn.hands.require(who)?;
    let found = resolve(turn, &Target::Participant(who))?;
    let mut draft = Draft::new(0, actor.party(), LogAction::HandDenied);
    draft.target = Some(found.party.clone());
    draft.reason = reason.clone();
    let entry = turn.log(draft);
    turn.docket.add(entry, LogAction::HandDenied, &found, Change::Other);
    take_hand(turn, who);
    turn.hands.cool_down(turn.now, who);
    turn.out.ok(actor.asker);
    turn.notify(who, news(actor, LogAction::HandDenied, entry, reason.clone()));
    tell_place(turn, who, reason);
    Ok(())
}

/// Lists the queue of hands.
pub(super) fn list(turn: &mut Turn<'_>, asker: Asker) -> Result<(), Refusal> {
    turn.out.reply(asker, turn.hands.message(turn.now));
    Ok(())
}

/// Lowers all hands.
pub(super) fn clear(turn: &mut Turn<'_>, actor: &Actor, reason: &Note) -> Result<(), Refusal> {
    turn.require_live()?;
    let mut draft = Draft::new(0, actor.party(), LogAction::HandsCleared);
    draft.reason = reason.clone();
    if let Ok(detail) = format!("{} hands", turn.hands.len()).parse() {
        draft.detail = detail;
    }
    turn.log(draft);
    for who in turn.hands.everybody() {
        take_hand(turn, who);
        tell_place(turn, who, reason.clone());
    }
    turn.out.ok(actor.asker);
    Ok(())
}

/// Lowers the hands that have been up for too long.
pub(super) fn expire(turn: &mut Turn<'_>) {
    while turn.hands.expiry().is_some_and(|at| at <= turn.now) {
        let Some(who) = turn.hands.first() else { return };
        take_hand(turn, who);
        if let Ok(reason) = "Your hand has been up for an hour; raise it again.".parse() {
            tell_place(turn, who, reason);
        }
    }
}

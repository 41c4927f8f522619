//! Decisions about appeals: filing one, answering it, undoing what it is about.

use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::ids::Note;
use tribune_protocol::log::{Draft, LogAction};

use super::docket::{Change, Decision};
use super::effect::Refusal;
use super::moderation::set_silenced;
use super::rights::{resolve, tell_place};
use super::target::{Actor, ResolvedTarget};
use super::turn::{Turn, news};

/// Appeals a decision about the sender.
pub(super) fn appeal(
    turn: &mut Turn<'_>,
    actor: &Actor,
    entry: u64,
    text: Note,
) -> Result<(), Refusal> {
    turn.docket.check_appeal(entry, actor)?;
    if text.as_str().trim().is_empty() {
        return Err(Refusal::bad_request("An appeal says something."));
    }
    let mut draft = Draft::new(0, actor.party(), LogAction::Appealed);
    draft.about = Some(entry);
    draft.reason = text;
    let appeal = turn.log(draft);
    turn.docket.open(entry, appeal);
    turn.out.ok(actor.asker);
    Ok(())
}

/// Upholds or rejects an appeal.
pub(super) fn answer(
    turn: &mut Turn<'_>,
    actor: &Actor,
    appeal: u64,
    uphold: bool,
    reason: Note,
) -> Result<(), Refusal> {
    let (number, decision) = turn.docket.answer(appeal)?;
    let found = resolve(turn, &decision.target)?;
    let action = if uphold { LogAction::AppealUpheld } else { LogAction::AppealRejected };
    let mut draft = Draft::new(0, actor.party(), action);
    draft.about = Some(appeal);
    draft.target = Some(found.party.clone());
    draft.reason = reason.clone();
    let entry = turn.log(draft);
    if uphold {
        undo(turn, number, &decision, &found);
    }
    let news = news(actor, action, entry, reason);
    for who in found.participants {
        turn.notify(who, news.clone());
    }
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Undoes a decision, as far as it still holds. Places on the stage and raised hands are gone.
fn undo(turn: &mut Turn<'_>, number: u64, decision: &Decision, found: &ResolvedTarget) {
    match decision.action {
        LogAction::Kicked | LogAction::Banned => {
            turn.book.lift_bars_of(number, turn.out);
        }
        LogAction::Silenced => {
            if let Some(subject) = &decision.subject {
                turn.silenced.remove(subject);
            }
            for who in &found.participants {
                if set_silenced(turn, *who, false) {
                    tell_place(turn, *who, Note::default());
                }
            }
        }
        LogAction::RemovedFromStage | LogAction::RoleChanged | LogAction::PermissionChanged => {
            turn.book.amend(decision.key, turn.out, |ruling| match decision.change {
                Change::Role(role) => ruling.role = ruling.role.filter(|now| *now != role),
                Change::Permission(permission) => {
                    ruling.deny = ruling.deny.minus(PermissionSet::of(&[permission]));
                }
                Change::Other => {}
            });
        }
        LogAction::HandDenied => turn.hands.warm_up(&decision.participants),
        LogAction::RoomCreated
        | LogAction::RoomOpened
        | LogAction::RoomEnded
        | LogAction::RoomChanged
        | LogAction::Locked
        | LogAction::Unlocked
        | LogAction::AskedToMute
        | LogAction::Unsilenced
        | LogAction::AllSilenced
        | LogAction::AllUnsilenced
        | LogAction::Unbanned
        | LogAction::BanRanOut
        | LogAction::HandGranted
        | LogAction::HandsCleared
        | LogAction::HandsClosed
        | LogAction::HandsOpened
        | LogAction::InvitedToSpeak
        | LogAction::HostHandedOver
        | LogAction::HostSucceeded
        | LogAction::InvitationMade
        | LogAction::Appealed
        | LogAction::AppealUpheld
        | LogAction::AppealRejected
        | LogAction::TextHidden => {}
    }
}

//! Decisions about what the audience writes and asks, share links, and who asks to be told of the room.

use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::audience_text::{QuestionId, TextId};
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::share::{Share, ShareTag};
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::log::{Draft, LogAction};
use tribune_protocol::statistics::StatisticsWanted;

use super::effect::{OriginEffect, Refusal, WantedStatistics};
use super::rights::{refuse_barred, resolve};
use super::statistics::Fact;
use super::target::Actor;
use super::turn::Turn;

/// Asks a question.
pub(super) fn ask(turn: &mut Turn<'_>, actor: &Actor, text: Note) -> Result<(), Refusal> {
    turn.require_live()?;
    refuse_barred(turn, actor)?;
    if !turn.room.settings().questions {
        return Err(Refusal::bad_request("This room takes no questions."));
    }
    if text.as_str().is_empty() {
        return Err(Refusal::bad_request("A question needs words."));
    }
    let (who, name) = (actor.asker.id, actor.name.clone());
    turn.questions.ask(who, name, text)?;
    turn.out.fact(Fact::Asked);
    turn.out.ok(actor.asker);
    Ok(())
}

/// Closes a question: it has been answered, or is hidden.
pub(super) fn close_question(
    turn: &mut Turn<'_>,
    actor: &Actor,
    id: QuestionId,
    answered: bool,
    reason: Note,
) -> Result<(), Refusal> {
    turn.require_live()?;
    let question = turn.questions.close(id, answered)?;
    if answered {
        turn.out.fact(Fact::Answered);
    } else {
        let mut draft = Draft::new(0, actor.party(), LogAction::TextHidden);
        draft.target =
            resolve(turn, &Target::Participant(question.participant)).ok().map(|found| found.party);
        draft.reason = reason;
        draft.detail = format!("question {id}: {}", question.text).parse().unwrap_or_default();
        turn.log(draft);
    }
    turn.out.ok(actor.asker);
    Ok(())
}

/// Hides a message of the audience.
pub(super) fn hide_text(
    turn: &mut Turn<'_>,
    actor: &Actor,
    text: TextId,
    writer: ParticipantId,
    reason: Note,
) -> Result<(), Refusal> {
    turn.require_live()?;
    let mut draft = Draft::new(0, actor.party(), LogAction::TextHidden);
    draft.target = resolve(turn, &Target::Participant(writer)).ok().map(|found| found.party);
    draft.reason = reason;
    draft.detail = format!("message {text}").parse().unwrap_or_default();
    turn.log(draft);
    turn.out.push(OriginEffect::HideText(text));
    turn.out.ok(actor.asker);
    Ok(())
}

/// Reads a part of the statistics. The commit answers: statistics are not part of what is decided on.
pub(super) fn read_statistics(
    turn: &mut Turn<'_>,
    actor: &Actor,
    run: Option<u32>,
    part: StatisticsWanted,
) -> Result<(), Refusal> {
    turn.out.want_statistics(WantedStatistics { asker: actor.asker, run, part });
    Ok(())
}

/// Makes a share link of the sender's.
pub(super) fn make_share(turn: &mut Turn<'_>, actor: &Actor, tag: ShareTag) -> Result<(), Refusal> {
    match turn.room.phase() {
        Phase::Live | Phase::Announced => {}
        Phase::Absent | Phase::Ended => return Err(turn.not_open()),
    }
    let Some(key) = &turn.room.state().share_key else { return Err(turn.not_open()) };
    let share = Share::new(key, &actor.subject, actor.came_by.as_ref(), tag);
    let text = share.seal(key);
    turn.out.reply(actor.asker, ToParticipant::Share { text });
    Ok(())
}

/// Notes that somebody wants to be told of the room, or does not any more.
pub(super) fn tell_me(turn: &mut Turn<'_>, actor: &Actor, on: bool) -> Result<(), Refusal> {
    if turn.room.phase() != Phase::Announced {
        return Err(Refusal::bad_request("This room has not been announced, or is on already."));
    }
    turn.interested.set(actor.key(), on)?;
    turn.out.ok(actor.asker);
    Ok(())
}

//! Dispatch of members' requests: most go to the origin; reactions and farewells are this relay's own
//! business.

use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::Action;
use tribune_protocol::domain::audience_text::QuestionId;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::ids::{Note, ParticipantId, RequestId};

use super::members::Members;
use super::refusal::Refusal;
use super::rights;
use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::room::view::RoomView;

/// Shortest pause between two reactions of a participant, where the room does not ask for more: a hand
/// that claps faster is a program's.
const REACTION_FLOOR: Duration = Duration::from_secs(1);

/// Destination of a member's message.
#[derive(Debug)]
pub(crate) enum Dispatch {
    Origin(Action),
    React(Reaction),
    Write(Note),
    Vote { question: QuestionId, on: bool },
    SetProfile(Option<Profile>),
    Leave,
    Nonsense(&'static str),
}

/// Checks a member's reaction, and notes it with the member.
///
/// # Errors
/// A refusal: an unknown reaction, a missing permission, or too soon.
pub(crate) fn react(
    view: RoomView<'_>,
    members: &mut Members,
    now: Instant,
    who: ParticipantId,
    reaction: Reaction,
) -> Result<(), Refusal> {
    if reaction == Reaction::Unknown {
        let text = "This relay does not know that reaction.";
        return Err(Refusal::new(ErrorCode::BadRequest, text));
    }
    if !rights::may(view, who, members.get(who)).contains(Permission::React) {
        let text = "You may not send a reaction to this room.";
        return Err(Refusal::new(ErrorCode::NotPermitted, text));
    }
    let slow = Duration::from_secs(u64::from(view.state.settings.reaction_slow_s));
    let Some(member) = members.get_mut(who) else { return Ok(()) };
    member.react(now, slow.max(REACTION_FLOOR)).map_err(|next| {
        let wait_s = (next - now).as_secs_f64().ceil();
        Refusal::new(ErrorCode::SlowMode, format!("The next reaction can be sent in {wait_s} s."))
    })
}

/// Answers a request that wants an answer.
pub(crate) fn answer(
    link: LinkId,
    request: Option<RequestId>,
    result: Result<(), Refusal>,
    out: &mut Outbox,
) {
    let message = match result {
        Ok(()) if request.is_none() => return,
        Ok(()) => ToParticipant::Ok {},
        Err(refusal) => refusal.message(),
    };
    out.to_participant(link, request, &message);
}

/// Destination of a message.
pub(crate) fn dispatch(message: FromParticipant) -> Dispatch {
    Dispatch::Origin(match message {
        FromParticipant::Join(_) => {
            return Dispatch::Nonsense("This connection has joined already.");
        }
        FromParticipant::OneShot(_) => {
            return Dispatch::Nonsense("This connection has joined: it asks by govern.");
        }
        // The hub takes these before they come here.
        FromParticipant::RenewToken { .. }
        | FromParticipant::ListRooms { .. }
        | FromParticipant::Report(_) => {
            return Dispatch::Nonsense("This is not for the room.");
        }
        FromParticipant::Unknown => {
            return Dispatch::Nonsense("This relay does not know that type of message.");
        }
        FromParticipant::Leave {} => return Dispatch::Leave,
        FromParticipant::React { reaction } => return Dispatch::React(reaction),
        FromParticipant::SetProfile { profile } => return Dispatch::SetProfile(profile),
        FromParticipant::Write { text } => return Dispatch::Write(text),
        FromParticipant::Vote { question, on } => return Dispatch::Vote { question, on },
        FromParticipant::Ask { text } => Action::Ask { text },
        FromParticipant::RaiseHand { note } => Action::RaiseHand { note },
        FromParticipant::LowerHand {} => Action::LowerHand {},
        FromParticipant::LeaveStage {} => Action::LeaveStage {},
        FromParticipant::OwnMute { muted } => Action::OwnMute { muted },
        FromParticipant::Govern { act } => Action::Govern { act },
    })
}

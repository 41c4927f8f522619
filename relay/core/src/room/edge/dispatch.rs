//! What members of a room ask for: most of it is for the origin to decide; reactions, newer tokens and
//! farewells are this relay's own business. Used by [`crate::room::Room`].

use std::time::{Duration, Instant};

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{FromParticipant, ToParticipant};
use tribune_protocol::control::trunk::Action;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::room::Reaction;
use tribune_protocol::ids::{ParticipantId, RequestId};

use crate::outbox::Outbox;
use crate::room::Room;
use crate::room::edge::members::overloaded;
use crate::room::edge::pending::{self, Open};

/// From one reaction of a participant to its next, where the room does not ask for more: a hand that
/// claps faster is a program's.
const REACTION_FLOOR: Duration = Duration::from_secs(1);

/// What is to be done with a message.
enum Asked {
    Origin(Action),
    React(Reaction),
    Leave,
    Nonsense(&'static str),
}

impl Room {
    /// A member asks for something.
    pub fn handle_request(
        &mut self,
        now: Instant,
        who: ParticipantId,
        request: Option<RequestId>,
        message: FromParticipant,
        out: &mut Outbox,
    ) {
        let Some(member) = self.members.get_mut(&who) else { return };
        let link = member.link();
        if !member.is_in() {
            let text = "The join has not been answered yet.";
            return answer(link, request, Err((ErrorCode::NotJoined, text.to_owned())), out);
        }
        match asked(message) {
            Asked::Origin(action) => {
                member.acted = true;
                let number = match request {
                    Some(own) => {
                        let open = Open { who, link, asked: pending::Asked::Other(own) };
                        let Some(number) = self.requests.open(open) else {
                            return answer(link, request, Err(overloaded()), out);
                        };
                        Some(number)
                    }
                    None => None,
                };
                let by = self.credentials(who);
                self.act(now, who, number, by, action, out);
            }
            Asked::React(reaction) => {
                let result = self.react(now, who, reaction, out);
                answer(link, request, result, out);
            }
            Asked::Leave => {
                self.handle_leave(now, who, true, out);
                out.close(link, CloseCode::Done, CloseCode::Done.to_string());
            }
            Asked::Nonsense(text) => {
                answer(link, request, Err((ErrorCode::BadRequest, text.to_owned())), out);
            }
        }
    }

    fn react(
        &mut self,
        now: Instant,
        who: ParticipantId,
        reaction: Reaction,
        out: &mut Outbox,
    ) -> Result<(), (ErrorCode, String)> {
        if reaction == Reaction::Unknown {
            let text = "This relay does not know that reaction.".to_owned();
            return Err((ErrorCode::BadRequest, text));
        }
        if !self.may_now(who).contains(Permission::React) {
            let text = "You may not send a reaction to this room.".to_owned();
            return Err((ErrorCode::NotPermitted, text));
        }
        let slow = Duration::from_secs(u64::from(self.state.settings.reaction_slow_s));
        let pause = slow.max(REACTION_FLOOR);
        let Some(member) = self.members.get_mut(&who) else { return Ok(()) };
        let next = member.reacted.map(|last| last + pause).filter(|next| *next > now);
        if let Some(next) = next {
            let wait_s = (next - now).as_secs_f64().ceil();
            let text = format!("The next reaction can be sent in {wait_s} s.");
            return Err((ErrorCode::SlowMode, text));
        }
        member.reacted = Some(now);
        self.add_reaction(now, reaction, out);
        Ok(())
    }
}

/// Answers a request that wants an answer.
pub(in crate::room) fn answer(
    link: crate::messages::LinkId,
    request: Option<RequestId>,
    result: Result<(), (ErrorCode, String)>,
    out: &mut Outbox,
) {
    let message = match result {
        Ok(()) if request.is_none() => return,
        Ok(()) => ToParticipant::Ok {},
        Err((code, message)) => ToParticipant::Err { code, message },
    };
    out.to_participant(link, request, &message);
}

fn asked(message: FromParticipant) -> Asked {
    Asked::Origin(match message {
        FromParticipant::Join(_) => return Asked::Nonsense("This connection has joined already."),
        FromParticipant::OneShot(_) => {
            return Asked::Nonsense("This connection has joined: it asks by govern.");
        }
        // The hub takes these before they come here.
        FromParticipant::RenewToken { .. }
        | FromParticipant::ListRooms { .. }
        | FromParticipant::Report(_) => {
            return Asked::Nonsense("This is not for the room.");
        }
        FromParticipant::Unknown => {
            return Asked::Nonsense("This relay does not know that type of message.");
        }
        FromParticipant::Leave {} => return Asked::Leave,
        FromParticipant::React { reaction } => return Asked::React(reaction),
        FromParticipant::RaiseHand { note } => Action::RaiseHand { note },
        FromParticipant::LowerHand {} => Action::LowerHand {},
        FromParticipant::LeaveStage {} => Action::LeaveStage {},
        FromParticipant::OwnMute { muted } => Action::OwnMute { muted },
        FromParticipant::Govern { act } => Action::Govern { act },
    })
}

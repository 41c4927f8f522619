//! Answers among the messages of a connection: to its join, and to its requests.

use tribune_protocol::control::Envelope;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::ids::RequestId;

use super::{Answer, Connection, Joining, RequestError};
use crate::address::Address;
use crate::reconnect::Failure;

impl Connection {
    /// Until the join is answered, only that and the relay that is named before it count.
    pub(super) fn handle_before_joined(
        &mut self,
        mut joining: Joining,
        envelope: &Envelope<ToParticipant>,
    ) -> Option<Answer> {
        if envelope.id == Some(joining.id) {
            return Some(Answer::Join(self.handle_join_answer(&envelope.message, joining.moved)));
        }
        if let ToParticipant::Moved { to: Some(to), .. } = &envelope.message {
            joining.moved = to.parse().ok();
        }
        self.joining = Some(joining);
        None
    }

    fn handle_join_answer(
        &mut self,
        answer: &ToParticipant,
        moved: Option<Address>,
    ) -> Result<(), Failure> {
        match answer {
            ToParticipant::Joined(joined) => {
                self.handle_you(&joined.you);
                self.takes_redundancy = joined.redundancy;
                Ok(())
            }
            ToParticipant::Err { code, message } => {
                Err(Failure::of_refusal(*code, message.clone(), moved))
            }
            other @ (ToParticipant::Ok {}
            | ToParticipant::Stage { .. }
            | ToParticipant::Listeners { .. }
            | ToParticipant::You(_)
            | ToParticipant::Hands { .. }
            | ToParticipant::Moderated(_)
            | ToParticipant::Room(_)
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Invitation { .. }
            | ToParticipant::ListenerReports(_)
            | ToParticipant::Share { .. }
            | ToParticipant::Statistics { .. }
            | ToParticipant::Reactions { .. }
            | ToParticipant::Texts { .. }
            | ToParticipant::Questions(_)
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Protect { .. }
            | ToParticipant::Moved { .. }
            | ToParticipant::Unknown) => {
                Err(Failure::Lost(format!("the relay answered the join with {other:?}")))
            }
        }
    }

    pub(super) fn handle_message(&mut self, envelope: &Envelope<ToParticipant>) -> Option<Answer> {
        match &envelope.message {
            ToParticipant::You(you) => {
                self.handle_you(you);
                None
            }
            // An answer with content goes on as a message.
            ToParticipant::Ok {}
            | ToParticipant::Hands { .. }
            | ToParticipant::Room(_)
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Invitation { .. }
            | ToParticipant::ListenerReports(_)
            | ToParticipant::Share { .. }
            | ToParticipant::Statistics { .. } => self.take_answer(envelope.id, Ok(())),
            ToParticipant::Err { code, message } => {
                let refused = RequestError::Refused { code: *code, message: message.clone() };
                self.take_answer(envelope.id, Err(refused))
            }
            ToParticipant::Stage { .. }
            | ToParticipant::Joined(_)
            | ToParticipant::Listeners { .. }
            | ToParticipant::Moderated(_)
            | ToParticipant::Reactions { .. }
            | ToParticipant::Texts { .. }
            | ToParticipant::Questions(_)
            | ToParticipant::TokenExpires { .. }
            | ToParticipant::PleaseMute { .. }
            | ToParticipant::Protect { .. }
            | ToParticipant::Moved { .. }
            | ToParticipant::Unknown => None,
        }
    }

    fn take_answer(
        &mut self,
        id: Option<RequestId>,
        result: Result<(), RequestError>,
    ) -> Option<Answer> {
        let id = id?;
        let pending = self.pending.remove(&id)?;
        let token = pending.token.filter(|_| result.is_ok());
        Some(Answer::Request { id, result, token })
    }
}

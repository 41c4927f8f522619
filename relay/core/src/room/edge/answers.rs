//! Requests of participants of this relay to the origin, its answers, and the answers that are lost on the way.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{ToParticipant, You};
use tribune_protocol::control::trunk::Credentials;
use tribune_protocol::ids::{Note, ParticipantId, RequestId};

use super::Edge;
use super::pending::{Asked, PendingRequest};
use super::refusal::{Refusal, lost};
use super::rights;
use crate::messages::LinkId;
use crate::outbox::{Noted, Outbox};
use crate::room::view::RoomView;

/// Consequence of a message to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// None beyond the message.
    Done,
    /// The origin has given the participant its place: it is to be let in.
    Admit,
    /// The origin has given a place to a participant who is barred by now: it has been refused, and the
    /// origin is to be told that it has gone.
    TurnedAway,
}

impl Edge {
    /// Credentials that the origin is sent with a member's action.
    pub(crate) fn credentials(&self, who: ParticipantId) -> Option<Credentials> {
        let member = self.members.get(who)?;
        let by = member.person().credentials(who, member.name(), false);
        Some(Credentials { came_by: member.came_by().cloned(), ..by })
    }

    /// As [`Self::credentials`], to come on the stage.
    pub(crate) fn credentials_to_enter(&self, who: ParticipantId) -> Option<Credentials> {
        let member = self.members.get(who)?;
        Some(member.person().credentials_to_enter(who, member.name()))
    }

    /// Numbers a member's request to the origin; a message without a request has no number.
    ///
    /// # Errors
    /// A refusal, if too many wait.
    pub(crate) fn open_request(
        &mut self,
        who: ParticipantId,
        link: LinkId,
        request: Option<RequestId>,
    ) -> Result<Option<RequestId>, Refusal> {
        if let Some(member) = self.members.get_mut(who) {
            member.note_acted();
        }
        let Some(own) = request else { return Ok(None) };
        let number = self.pending.open(PendingRequest { who, link, asked: Asked::Other(own) });
        number.map(Some).ok_or_else(Refusal::too_many_pending)
    }

    /// Hands a message of the origin to a member; `request` is this relay's number of the request.
    pub(crate) fn receive(
        &mut self,
        view: RoomView<'_>,
        to: ParticipantId,
        request: Option<RequestId>,
        mut message: ToParticipant,
        out: &mut Outbox,
    ) -> Received {
        // An answer to an earlier connection of the same participant is nobody's.
        let open = request.map(|number| self.pending.close(number));
        let Some(member) = self.members.get_mut(to) else { return Received::Done };
        let link = member.link();
        let asked = match open {
            None => None,
            Some(Some(open)) if open.link == link && open.who == to => Some(open.asked),
            Some(_) => return Received::Done,
        };
        if !member.is_in() {
            // Anything else comes before the answer to the join, which tells the same.
            return match asked {
                Some(Asked::Join) => self.receive_join(view, to, message, out),
                Some(Asked::Other(_)) | None => Received::Done,
            };
        }
        if let ToParticipant::You(you) = &mut message {
            member.set_hand(you.hand);
            let mine = rights::you(view, to, Some(member));
            *you = You { reason: std::mem::take(&mut you.reason), ..mine };
        }
        match asked {
            None => out.to_participant(link, None, &message),
            Some(Asked::Other(request)) => out.to_participant(link, Some(request), &message),
            // It was let in before, by what the state said. If the origin knows better by now, it is
            // told its rights.
            Some(Asked::Join) if message != (ToParticipant::Ok {}) => {
                self.tell_rights(view, to, Note::default(), out);
            }
            Some(Asked::Join) => {}
        }
        Received::Done
    }

    /// The origin answers a join.
    fn receive_join(
        &mut self,
        view: RoomView<'_>,
        who: ParticipantId,
        message: ToParticipant,
        out: &mut Outbox,
    ) -> Received {
        let Some(member) = self.members.get(who) else { return Received::Done };
        let Some(admission) = member.admission() else { return Received::Done };
        let (link, request) = (member.link(), admission.request);
        if message == (ToParticipant::Ok {}) {
            // Since the origin was asked it can have ruled about tokens issued before, and the time of
            // issue is known to the edge alone.
            let Some(bar) = rights::rulings(view, Some(member)).bar else {
                return Received::Admit;
            };
            self.members.remove(who);
            out.note(Noted::Join(Err(ErrorCode::Barred)));
            let refusal = Refusal::new(ErrorCode::Barred, bar.sentence());
            out.to_participant(link, request, &refusal.message());
            return Received::TurnedAway;
        }
        out.to_participant(link, request, &message);
        if let ToParticipant::Err { code, .. } = message {
            out.note(Noted::Join(Err(code)));
        }
        self.members.remove(who);
        Received::Done
    }

    /// The origin's answers may be lost with the way to it: joins are asked again, everybody else is
    /// told.
    pub(crate) fn lose_answers(&mut self, out: &mut Outbox) {
        let pending: Vec<_> = self.pending.lose().collect();
        for (link, request) in pending.into_iter().chain(self.one_shots.lose()) {
            out.to_participant(link, Some(request), &lost());
        }
        self.ask_joins_again();
    }

    /// Another way to the origin is there beside the old one. Answers come by both.
    pub(crate) fn age_pending(&mut self) {
        self.pending.age();
        self.ask_joins_again();
    }

    /// As [`Self::lose_answers`], for requests that went the old way before [`Self::age_pending`].
    pub(crate) fn lose_aged(&mut self, out: &mut Outbox) {
        for (link, request) in self.pending.lose_aged() {
            out.to_participant(link, Some(request), &lost());
        }
    }
}

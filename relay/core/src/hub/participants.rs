//! The hub's dealings with participants: their first message, errands, newer tokens, their end.

use std::net::SocketAddr;
use std::time::Instant;

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::{FromParticipant, Join, OneShot, ToParticipant};
use tribune_protocol::ids::{ParticipantId, RequestId, RoomName};
use tribune_protocol::token::TokenError;

use super::Hub;
use crate::auth::participant_id;
use crate::messages::{LinkId, RoomId};
use crate::room::edge::join::{Admission, Greeting};
use crate::room::edge::oneshot::{OneShotRequest, routing_id};
use crate::room::edge::person::Shown;

/// Where a message of a participant comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) link: LinkId,
    pub(super) remote: SocketAddr,
    pub(super) request: Option<RequestId>,
}

impl Hub {
    pub(super) fn handle_participant(
        &mut self,
        now: Instant,
        from: Sender,
        message: FromParticipant,
    ) {
        let known = self.participants.get(&from.link).copied();
        let here = known.filter(|(room, who)| {
            self.rooms.get(room).is_some_and(|room| room.has_member(*who, from.link))
        });
        match (here, message) {
            (_, FromParticipant::ListRooms { after }) => self.handle_list(now, from, after),
            (None, FromParticipant::Join(join)) => self.handle_join(now, from, join),
            (None, FromParticipant::OneShot(errand)) => self.handle_errand(now, from, errand),
            (Some((room, who)), FromParticipant::RenewToken { token }) => {
                self.handle_renewal(now, from, room, who, &token);
            }
            (Some((room, who)), FromParticipant::Report(report)) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.handle_report(now, who, &report, &mut self.out);
                }
            }
            (Some((room, who)), message) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.handle_request(now, who, from.request, message, &mut self.out);
                }
            }
            (None, FromParticipant::Leave {}) => {
                self.out.close(from.link, CloseCode::Done, CloseCode::Done.to_string());
            }
            (
                None,
                FromParticipant::RaiseHand { .. }
                | FromParticipant::LowerHand {}
                | FromParticipant::LeaveStage {}
                | FromParticipant::OwnMute { .. }
                | FromParticipant::React { .. }
                | FromParticipant::RenewToken { .. }
                | FromParticipant::Govern { .. }
                | FromParticipant::Report(_)
                | FromParticipant::Unknown,
            ) => {
                let text = "The first message has to be a join or an errand.";
                self.refuse(from, ErrorCode::NotJoined, text);
            }
        }
    }

    fn handle_join(&mut self, now: Instant, from: Sender, join: Join) {
        let Join { room, session, name, role, token, returning, heard: _ } = join;
        if self.refuse_drained(from) {
            return;
        }
        if self.errands.contains_key(&from.link) {
            let text = "A connection with errands has no join; it takes another one.";
            return self.refuse(from, ErrorCode::BadRequest, text);
        }
        let shown = match self.check_shown(now, from.remote, token.as_deref(), &room) {
            Ok(shown) => shown,
            Err(error) => return self.refuse(from, error.code(), &error.to_string()),
        };
        let overload = self.overload();
        if self.refuse_overload(from, &room, returning, overload.as_ref()) {
            return;
        }
        let Some(room) = self.open(now, room) else { return self.refuse_room(from) };
        let who = participant_id(&session);
        let depth = u8::try_from(self.attach.path().len()).unwrap_or(u8::MAX);
        let admission = Admission {
            link: from.link,
            request: from.request,
            name,
            role,
            shown,
            address: from.remote.ip(),
            returning,
            overload,
            greeting: Greeting { relay: self.config.name.clone(), depth },
        };
        self.participants.insert(from.link, (room, who));
        if let Some(room) = self.rooms.get_mut(&room) {
            room.handle_join(now, who, admission, &mut self.out);
        }
    }

    fn handle_errand(&mut self, now: Instant, from: Sender, errand: OneShot) {
        let OneShot { room, session, name, role, token, act } = errand;
        if self.refuse_drained(from) {
            return;
        }
        let shown = match self.check_shown(now, from.remote, token.as_deref(), &room) {
            Ok(shown) => shown,
            Err(error) => return self.refuse(from, error.code(), &error.to_string()),
        };
        let Some(room) = self.open(now, room) else { return self.refuse_room(from) };
        self.counters.errands += 1;
        let id = routing_id(&session, from.link);
        let request = OneShotRequest {
            link: from.link,
            request: from.request,
            participant: participant_id(&session),
            name,
            role,
            shown,
            address: from.remote.ip(),
            act,
        };
        // The one before may have been in another room; its answer is not waited for any more.
        self.forget_errand(now, from.link, Some((room, id)));
        if let Some(room) = self.rooms.get_mut(&room) {
            room.handle_one_shot(now, id, request, &mut self.out);
        }
    }

    /// Notes which errand a connection runs, and forgets the one that it ran elsewhere.
    pub(super) fn forget_errand(
        &mut self,
        now: Instant,
        link: LinkId,
        next: Option<(RoomId, ParticipantId)>,
    ) {
        let before = match next {
            Some(next) => self.errands.insert(link, next),
            None => self.errands.remove(&link),
        };
        if let Some((room, id)) = before.filter(|before| Some(*before) != next)
            && let Some(room) = self.rooms.get_mut(&room)
        {
            room.forget_one_shot(now, id);
        }
    }

    fn handle_renewal(
        &mut self,
        now: Instant,
        from: Sender,
        room: RoomId,
        who: ParticipantId,
        token: &str,
    ) {
        let Some(name) = self.rooms.get(&room).map(|room| room.name().clone()) else { return };
        let shown = self.check_shown(now, from.remote, Some(token), &name);
        let Some(room) = self.rooms.get_mut(&room) else { return };
        match shown {
            Ok(shown) => room.handle_renewal(now, who, from.request, &shown, &mut self.out),
            Err(error) => {
                let (code, message) = (error.code(), error.to_string());
                self.out.to_participant(
                    from.link,
                    from.request,
                    &ToParticipant::Err { code, message },
                );
            }
        }
    }

    /// What somebody has shown, as far as it can be judged without the room's state.
    fn check_shown(
        &self,
        now: Instant,
        remote: SocketAddr,
        token: Option<&str>,
        room: &RoomName,
    ) -> Result<Shown, TokenError> {
        if let Some(invitation) = Shown::invitation(token) {
            return Ok(invitation);
        }
        let now_s = self.config.setup.wall.unix_us(now) / 1_000_000;
        self.config.auth.admit(remote.ip(), token, room, now_s).map(Shown::Pass)
    }

    fn refuse_room(&mut self, from: Sender) {
        let text = "This relay carries as many rooms as it can.";
        self.refuse(from, ErrorCode::Overloaded, text);
    }

    pub(super) fn refuse(&mut self, from: Sender, code: ErrorCode, text: &str) {
        self.counters.joins_refused.count(code);
        let message = text.to_owned();
        self.out.to_participant(from.link, from.request, &ToParticipant::Err { code, message });
    }
}

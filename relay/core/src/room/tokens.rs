//! Tokens of members that run out: a warning, then the end of the session.

use std::time::Instant;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::ids::ParticipantId;

use super::Room;
use super::edge::TokenStep;
use crate::outbox::{Noted, Outbox};

/// Notes when a member's token runs out.
pub(super) fn watch(room: &mut Room, now: Instant, who: ParticipantId, out: &mut Outbox) {
    if room.edge.watch_token(who) {
        check(room, now, out);
    }
}

/// Warns members whose tokens run out, and parts with those whose have.
pub(super) fn check(room: &mut Room, now: Instant, out: &mut Outbox) {
    let now_s = room.context.unix_s(now);
    while let Some((who, link, step)) = room.edge.pop_expiry(now_s) {
        match step {
            TokenStep::Warn { in_s } => {
                out.to_participant(link, None, &ToParticipant::TokenExpires { in_s });
            }
            TokenStep::Close => {
                out.note(Noted::TokenExpired);
                out.close(link, CloseCode::TokenExpired, CloseCode::TokenExpired.to_string());
                room.handle_leave(now, who, false, out);
            }
        }
    }
}

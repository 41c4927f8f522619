//! News of the parent about one room. Used by the hub's dealings with other relays.

use std::time::Instant;

use tribune_protocol::control::trunk::ToChild;

use crate::outbox::Outbox;
use crate::room::Room;

/// Hands a room what the parent says about it.
pub(super) fn handle(now: Instant, room: &mut Room, message: ToChild, out: &mut Outbox) {
    match message {
        ToChild::State { revision, state, .. } => room.handle_state(now, revision, state, out),
        ToChild::Reactions { counts, .. } => room.handle_reactions(counts, out),
        ToChild::Texts { total, texts, hidden, .. } => {
            room.counting(now).handle_texts(total, texts, hidden, out);
        }
        ToChild::Questions { questions, .. } => room.counting(now).handle_questions(questions, out),
        ToChild::Listeners { count, .. } => room.handle_count(count, out),
        ToChild::Protect { protection, .. } => room.handle_protection(protection, out),
        ToChild::Deliver { participant, request, message, .. } => {
            room.handle_deliver(now, participant, request, message, out);
        }
        ToChild::Replaced { participant, .. } => room.handle_replaced(now, participant, out),
        // About more than a room, or taken before they come here.
        ToChild::Welcome { .. }
        | ToChild::Path { .. }
        | ToChild::Rulings { .. }
        | ToChild::Rooms { .. }
        | ToChild::Query { .. }
        | ToChild::Answer { .. }
        | ToChild::GoAway { .. }
        | ToChild::Unknown => {}
    }
}

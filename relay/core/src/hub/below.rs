//! News of a child about one room. Used by the hub's dealings with other relays.

use std::time::Instant;

use tribune_protocol::control::trunk::ToParent;

use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::room::Room;
use crate::room::replica::routing::RelayedAction;

/// Hands a room what a child says about it.
pub(super) fn handle(
    now: Instant,
    room: &mut Room,
    link: LinkId,
    message: ToParent,
    out: &mut Outbox,
) {
    match message {
        ToParent::Audience { listeners, .. } => room.handle_audience(now, link, listeners, out),
        ToParent::Applied { revision, .. } => room.handle_applied(now, link, revision, out),
        ToParent::Act { participant: who, request, by, action, .. } => {
            room.handle_act(now, link, RelayedAction { who, request, by, action }, out);
        }
        ToParent::Reactions { counts, .. } => {
            room.counting(now).handle_reactions_below(&counts, out);
        }
        ToParent::Quality { quality, .. } => {
            room.counting(now).handle_quality_below(link, &quality, out);
        }
        ToParent::Tally { tally, .. } => room.counting(now).handle_tally(tally, out),
        ToParent::Sketch { sketch, .. } => room.counting(now).handle_sketch(&sketch, out),
        ToParent::Talk { at_s, tracks, .. } => {
            room.counting(now).handle_talk(at_s, tracks, out);
        }
        ToParent::Texts { texts, .. } => room.counting(now).handle_texts_below(texts, out),
        // About more than a room, or taken before they come here.
        ToParent::Hello { .. }
        | ToParent::Height { .. }
        | ToParent::Subscribe { .. }
        | ToParent::Unsubscribe { .. }
        | ToParent::ListRooms { .. }
        | ToParent::Query { .. }
        | ToParent::Answer { .. }
        | ToParent::Unknown => {}
    }
}

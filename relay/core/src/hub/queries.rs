//! Queries along the tree, as the hub sends and answers them. SPEC.md section 8.21.

use std::time::Instant;

use tribune_protocol::control::query::{TreeAnswer, TreeQuery};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::ids::DisplayName;
use tribune_protocol::limits::MAX_RELAYS_A_MESSAGE;

use super::rooms::Rooms;
use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::tree::children::Children;
use crate::tree::query::{Askable, Asker, TreeQueries};

/// Asks the root, by way of the parent; the root asks downwards.
pub(super) fn ask_root(
    queries: &mut TreeQueries,
    now: Instant,
    asker: Asker,
    about: TreeQuery,
    parent: LinkId,
    out: &mut Outbox,
) {
    let (ask, nothing) = ([Askable::Parent(parent)], TreeAnswer::default());
    if let Some(number) = queries.open(now, asker, about.clone(), nothing, &ask) {
        out.to_parent(&ToParent::Query { number, about });
    }
}

/// Asks the children, beside what this relay knows itself.
pub(super) fn ask_children(
    queries: &mut TreeQueries,
    now: Instant,
    asker: Asker,
    about: TreeQuery,
    own: TreeAnswer,
    children: Vec<Askable>,
    out: &mut Outbox,
) {
    if let Some(number) = queries.open(now, asker, about.clone(), own, &children) {
        for child in children {
            if let Askable::Child(link, _) = child {
                out.to_child(link, &ToChild::Query { number, about: about.clone() });
            }
        }
    }
}

/// All children, to be asked about relays.
pub(super) fn all_children(children: &Children) -> Vec<Askable> {
    children.iter().map(|(link, child)| Askable::Child(link, child.height)).collect()
}

/// Answer of this relay about listeners, and the children that carry the room.
pub(super) fn listeners(
    rooms: &Rooms,
    now: Instant,
    about: &TreeQuery,
    relay: &DisplayName,
) -> (TreeAnswer, Vec<Askable>) {
    let room = match about {
        TreeQuery::Listeners { room, .. } | TreeQuery::Listener { room, .. } => rooms.named(room),
        TreeQuery::Relays {} | TreeQuery::Unknown => None,
    };
    let Some(room) = room else { return (TreeAnswer::default(), Vec::new()) };
    let own = room.local_answer(now, about, relay);
    (own, room.carriers().map(|(link, height)| Askable::Child(link, height)).collect())
}

/// Answers a relay, in as many parts as it takes.
pub(super) fn tell_relay(
    link: LinkId,
    is_parent: bool,
    number: u32,
    mut answer: TreeAnswer,
    out: &mut Outbox,
) {
    let mut relays = std::mem::take(&mut answer.relays);
    loop {
        let rest = relays.split_off(relays.len().min(MAX_RELAYS_A_MESSAGE));
        let part = TreeAnswer { relays, ..std::mem::take(&mut answer) };
        let more = !rest.is_empty();
        if is_parent {
            out.to_parent(&ToParent::Answer { number, answer: part, more });
        } else {
            out.to_child(link, &ToChild::Answer { number, answer: part, more });
        }
        if !more {
            return;
        }
        relays = rest;
    }
}

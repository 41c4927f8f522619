//! From one parent to another without a gap: the rooms are subscribed at the new one while the old
//! trunk still brings frames, and the old one is closed when all of them have moved.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::trunk::ToChild;
use tribune_protocol::ids::Channel;

use super::Hub;
use crate::messages::{LinkId, RoomId};
use crate::room::Room;

/// How long an old parent is kept for rooms whose state the new one does not say. That takes a few
/// turns to and fro of a tree; a parent that takes longer is none to wait for.
const MOVE_PATIENCE: Duration = Duration::from_secs(5);

/// A parent that the relay moves away from.
#[derive(Debug)]
pub(super) struct OldParent {
    pub(super) link: LinkId,
    /// Closed by then.
    pub(super) until: Instant,
    /// Rooms on its trunk.
    channels: BTreeMap<Channel, RoomId>,
}

impl Hub {
    /// There is another parent beside the one that stops.
    pub(super) fn move_rooms(&mut self, now: Instant, from: LinkId, to: LinkId) {
        tracing::info!(parent = ?self.attach.parent_name(), "moving to another parent");
        // One that was still being left has had its time.
        self.part_with_old_parent(now);
        let channels = std::mem::take(&mut self.channels);
        self.old_parent = Some(OldParent { link: from, until: now + MOVE_PATIENCE, channels });
        self.out.set_parent(Some(to));
        self.height_said = self.height_greeted;
        self.say_height();
        for (id, mut room) in std::mem::take(&mut self.rooms) {
            let channel = self.new_channel(id);
            room.move_parent(now, to, channel, &mut self.out);
            self.rooms.insert(id, room);
        }
        self.ask_lists_again();
        self.say_path(now);
        self.check_old_parent(now);
    }

    /// A message of the parent that the relay moves away from. `false`: it is not from there.
    pub(super) fn handle_old_parent(
        &mut self,
        now: Instant,
        link: LinkId,
        message: &ToChild,
    ) -> bool {
        let Some(old) = self.old_parent.as_ref().filter(|old| old.link == link) else {
            return false;
        };
        let room = |channel: &Channel| old.channels.get(channel).copied();
        match message {
            ToChild::State { channel, revision, .. } => {
                if let Some(room) = room(channel).and_then(|id| self.rooms.get_mut(&id)) {
                    room.handle_former_state(*revision, &mut self.out);
                }
            }
            ToChild::Deliver { channel, participant, request, message } => {
                if let Some(room) = room(channel).and_then(|id| self.rooms.get_mut(&id)) {
                    let (to, message) = (*participant, message.clone());
                    room.handle_deliver(now, to, *request, message, &mut self.out);
                }
            }
            // What counts is what the new parent says; `replaced` only says that the news of who is
            // here has come by the new way.
            ToChild::Welcome { .. }
            | ToChild::Path { .. }
            | ToChild::GoAway { .. }
            | ToChild::Rulings { .. }
            | ToChild::Reactions { .. }
            | ToChild::Rooms { .. }
            | ToChild::Listeners { .. }
            | ToChild::Replaced { .. }
            | ToChild::Look { .. }
            | ToChild::Seen { .. }
            | ToChild::Unknown => {}
        }
        true
    }

    /// Closes the old trunk, once no room needs it any more or its time is over.
    pub(super) fn check_old_parent(&mut self, now: Instant) {
        let Some(old) = &self.old_parent else { return };
        let needed = self.rooms.values().any(Room::is_moving);
        if old.until <= now && needed {
            tracing::warn!("the old parent is left before all rooms have moved");
        }
        if old.until <= now || !needed {
            self.part_with_old_parent(now);
        }
    }

    /// Closes the old trunk, if there is one.
    pub(super) fn part_with_old_parent(&mut self, now: Instant) {
        let Some(old) = self.old_parent.take() else { return };
        for room in self.rooms.values_mut() {
            room.release_parent(now, &mut self.out);
        }
        self.looks.handle_lost(old.link);
        self.out.close(old.link, CloseCode::Done, CloseCode::Done.to_string());
    }
}

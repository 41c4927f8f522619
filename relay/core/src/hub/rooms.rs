//! Table of a hub's rooms, by number and by name.

use std::collections::BTreeMap;
use std::time::Instant;

use tribune_protocol::ids::RoomName;

use crate::messages::RoomId;
use crate::outbox::Outbox;
use crate::room::Room;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Rooms {
    by_id: BTreeMap<RoomId, Room>,
    names: BTreeMap<RoomName, RoomId>,
    next: u32,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), names: BTreeMap::new(), next: 1 }
    }
}

impl Rooms {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: RoomId) -> Option<&Room> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.by_id.get_mut(&id)
    }

    /// Number of the room with that name.
    pub(super) fn id(&self, name: &RoomName) -> Option<RoomId> {
        self.names.get(name).copied()
    }

    /// Room with that name.
    pub(super) fn named(&self, name: &RoomName) -> Option<&Room> {
        self.get(self.id(name)?)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Room> {
        self.by_id.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Room> {
        self.by_id.values_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RoomId, &Room)> {
        self.by_id.iter().map(|(id, room)| (*id, room))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (RoomId, &mut Room)> {
        self.by_id.iter_mut().map(|(id, room)| (*id, room))
    }

    /// A number for another room.
    pub(super) const fn new_id(&mut self) -> RoomId {
        let id = RoomId(self.next);
        self.next += 1;
        id
    }

    pub(super) fn insert(&mut self, id: RoomId, name: RoomName, room: Room) {
        self.names.insert(name, id);
        self.by_id.insert(id, room);
    }

    pub(super) fn remove(&mut self, id: RoomId) -> Option<Room> {
        self.by_id.remove(&id)
    }

    /// Frees a room's name. `false`: it belongs to a room that has been opened since.
    pub(super) fn remove_name(&mut self, id: RoomId, name: &RoomName) -> bool {
        let is_its = self.names.get(name) == Some(&id);
        if is_its {
            self.names.remove(name);
        }
        is_its
    }

    /// Tells the rooms whose time has come.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        for room in self.by_id.values_mut() {
            if room.poll_timeout().is_some_and(|at| at <= now) {
                room.handle_timeout(now, out);
            }
        }
    }

    /// Rooms that nobody has wanted for a while.
    pub(super) fn done(&self, now: Instant) -> Vec<RoomId> {
        self.by_id.iter().filter(|(_, room)| room.is_done(now)).map(|(id, _)| *id).collect()
    }
}

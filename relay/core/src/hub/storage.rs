//! The hub's dealings with the store, at the origin: decisions on their way to it, rooms that are
//! kept there while nobody is in them, rooms that an earlier life of the relay has left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tribune_protocol::ids::RoomName;

use super::{Hub, HubEffect};
use crate::messages::RoomId;
use crate::outbox::RoomRequest;
use crate::room::Room;
use crate::room::authority::commit::{Authority, Kept};
use crate::store::{ReadId, StoreError, StoreReply, StoreRequest, StoredRoom, WriteId};

/// Reads that wait for the store at the same time, over all rooms. More are refused as if the store
/// had been too far behind, which it is.
const MAX_READS: usize = 256;

/// What the store has to do, and what it holds of rooms that are not open.
#[derive(Debug, Default)]
pub(super) struct Storage {
    next: u64,
    /// Decisions that it has not answered: one for each room at most.
    writes: BTreeMap<WriteId, RoomId>,
    reads: BTreeMap<ReadId, (RoomId, u64)>,
    /// As many rooms as the store holds.
    closed: BTreeMap<RoomName, Kept>,
}

impl Hub {
    /// Takes over the rooms of an earlier life; before anything else, and at an origin only.
    ///
    /// # Errors
    /// A sentence, if what is stored is none that a relay has written.
    pub fn restore(&mut self, rooms: Vec<StoredRoom>, now: Instant) -> Result<(), String> {
        for StoredRoom { room, record, last } in rooms {
            let Some(record) = record else {
                return Err(format!("The store has a log of room {room}, and no record of it."));
            };
            let kept = Kept { record, last: last.map(|row| row.bytes) };
            let authority = self.authority(&room, Some(&kept), now);
            let authority = authority.map_err(|error| {
                format!("What is stored of room {room} cannot be read: {error}")
            })?;
            self.storage.closed.insert(room.clone(), kept);
            // The others are opened when somebody asks for them.
            if authority.is_kept_awake() {
                let _ = self.open(now, room);
            }
        }
        self.settle(now);
        Ok(())
    }

    /// The store has carried something out, or has not.
    pub fn handle_stored(&mut self, now: Instant, reply: StoreReply) {
        match reply {
            StoreReply::Written { id, result } => {
                let Some(room) = self.storage.writes.remove(&id) else { return };
                self.counters.store_failures += u64::from(result.is_err());
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.handle_stored(now, result, &mut self.out);
                }
            }
            StoreReply::Log { id, result } => {
                let Some((room, ticket)) = self.storage.reads.remove(&id) else { return };
                self.counters.store_failures += u64::from(result.is_err());
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.handle_log(now, ticket, result, &mut self.out);
                }
            }
        }
        self.settle(now);
    }

    /// A room at its origin, as it was left or new; `None` if what is stored cannot be read.
    pub(super) fn room_at_origin(
        &mut self,
        now: Instant,
        id: RoomId,
        name: &RoomName,
    ) -> Option<Room> {
        let setup = Arc::clone(&self.config.setup);
        match self.authority(name, self.storage.closed.get(name), now) {
            Ok(authority) => {
                self.storage.closed.remove(name);
                Some(Room::origin(id, authority, setup, now, &mut self.out))
            }
            Err(error) => {
                tracing::error!(room = %name, error, "a stored room cannot be opened");
                None
            }
        }
    }

    /// Notes what is stored of a room that is let go.
    pub(super) fn keep_closed(&mut self, room: &Room) {
        if let Some(kept) = room.keep() {
            self.storage.closed.insert(room.name().clone(), kept);
        }
    }

    /// Hands on what rooms ask of the store.
    pub(super) fn ask_store(&mut self, now: Instant) {
        while let Some((id, request)) = self.out.poll_store() {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            self.storage.next += 1;
            let number = self.storage.next;
            let request = match request {
                RoomRequest::Write(batch) => {
                    self.storage.writes.insert(WriteId(number), id);
                    StoreRequest::Write { id: WriteId(number), batch }
                }
                RoomRequest::ReadLog { ticket, .. } if self.storage.reads.len() >= MAX_READS => {
                    room.handle_log(now, ticket, Err(StoreError::Busy), &mut self.out);
                    continue;
                }
                RoomRequest::ReadLog { ticket, from, limit } => {
                    let room = room.name().clone();
                    self.storage.reads.insert(ReadId(number), (id, ticket));
                    StoreRequest::ReadLog { id: ReadId(number), room, from, limit }
                }
            };
            self.asides.push_back(HubEffect::Store(request));
        }
    }

    fn authority(
        &self,
        name: &RoomName,
        kept: Option<&Kept>,
        now: Instant,
    ) -> Result<Authority, String> {
        let first = self.config.first_revision;
        let (name, setup) = (name.clone(), Arc::clone(&self.config.setup));
        match kept {
            Some(kept) => Authority::restore(name, kept, first, setup, now),
            None => Ok(Authority::new(name, first, setup)),
        }
    }
}

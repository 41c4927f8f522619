//! Store of an origin, seen from the hub: decisions on their way to it, rooms kept there while nobody is
//! in them, rooms that an earlier life of the relay has left.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::ids::RoomName;

use super::config::{HubConfig, HubEffect};
use super::rooms::Rooms;
use crate::messages::RoomId;
use crate::outbox::{Outbox, RoomRequest};
use crate::room::authority::commit::{Authority, Kept};
use crate::room::{Room, RoomReply};
use crate::store::{Batch, ReadId, StoreError, StoreReply, StoreRequest, StoredRoom, WriteId};

/// Reads that wait for the store at the same time, over all rooms. More are refused as if the store
/// had been too far behind, which it is.
const MAX_READS: usize = 256;
/// Time from one search for statistics that are too old to the next: small beside the days for which they are kept.
const FORGET_PERIOD: Duration = Duration::from_secs(3_600);
/// Time from one part of a search to the next, so that decisions do not wait for it.
const FORGET_PAUSE: Duration = Duration::from_secs(1);

/// Requests that the store has not answered, and rooms that it holds and that are not open.
#[derive(Debug, Default)]
pub(super) struct Storage {
    next: u64,
    /// For each room one of a decision and one of statistics at most.
    writes: BTreeMap<WriteId, (RoomId, Written)>,
    reads: BTreeMap<ReadId, (RoomId, u64)>,
    /// As many rooms as the store holds.
    closed: BTreeMap<RoomName, Kept>,
    /// When to search for statistics that are too old; `None` while the store searches, or if they are kept.
    forget_due: Option<Instant>,
}

/// Content of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Decision,
    Statistics,
}

impl Storage {
    /// A store with nothing to do.
    pub(super) fn new(config: &HubConfig, now: Instant) -> Self {
        Self { forget_due: config.keep_statistics.map(|_| now), ..Self::default() }
    }

    /// Takes over a room of an earlier life. Whether it is to be opened at once.
    ///
    /// # Errors
    /// A sentence, if no relay has written what is stored.
    pub(super) fn restore(
        &mut self,
        stored: StoredRoom,
        config: &HubConfig,
        now: Instant,
    ) -> Result<bool, String> {
        let StoredRoom { room, record, last, statistics } = stored;
        let Some(record) = record else {
            return Err(format!("The store has a log of room {room}, and no record of it."));
        };
        // Those of a run that is over are read when somebody asks for them.
        let statistics = statistics.filter(|row| row.ended_ms == 0).map(|row| row.bytes);
        let kept = Kept { record, last: last.map(|row| row.bytes), statistics };
        let authority = authority(&room, Some(&kept), config, now);
        let authority = authority
            .map_err(|error| format!("What is stored of room {room} cannot be read: {error}"))?;
        self.closed.insert(room, kept);
        Ok(authority.is_kept_awake())
    }

    /// Authority of a room at its origin, as it was left or new; `None` if what is stored cannot be
    /// read.
    pub(super) fn open(
        &mut self,
        name: &RoomName,
        config: &HubConfig,
        now: Instant,
    ) -> Option<Authority> {
        match authority(name, self.closed.get(name), config, now) {
            Ok(authority) => {
                self.closed.remove(name);
                Some(authority)
            }
            Err(error) => {
                tracing::error!(room = %name, error, "a stored room cannot be opened");
                None
            }
        }
    }

    /// Notes the stored part of a room that is closed.
    pub(super) fn close(&mut self, room: &Room) {
        if let Some(kept) = room.keep() {
            self.closed.insert(room.name().clone(), kept);
        }
    }

    /// Room that a reply of the store is for, and the reply as the room takes it.
    pub(super) fn take(&mut self, now: Instant, reply: StoreReply) -> Option<(RoomId, RoomReply)> {
        match reply {
            StoreReply::Forgotten { result } => {
                let has_more = result.unwrap_or_else(|error| {
                    tracing::warn!(%error, "old statistics cannot be removed");
                    false
                });
                self.forget_due = Some(now + if has_more { FORGET_PAUSE } else { FORGET_PERIOD });
                None
            }
            StoreReply::Written { id, result } => {
                let (room, written) = self.writes.remove(&id)?;
                let reply = match written {
                    Written::Decision => RoomReply::Decided(result),
                    Written::Statistics => RoomReply::Kept(result),
                };
                Some((room, reply))
            }
            StoreReply::Log { id, result } => {
                let (room, ticket) = self.reads.remove(&id)?;
                Some((room, RoomReply::Log { ticket, result }))
            }
            StoreReply::Statistics { id, result } => {
                let (room, ticket) = self.reads.remove(&id)?;
                Some((room, RoomReply::Statistics { ticket, result }))
            }
        }
    }

    /// When to call [`Self::forget_old`] next.
    pub(super) const fn forget_due(&self) -> Option<Instant> {
        self.forget_due
    }

    /// Has statistics forgotten that are too old, if it is time.
    pub(super) fn forget_old(
        &mut self,
        now: Instant,
        config: &HubConfig,
        effects: &mut VecDeque<HubEffect>,
    ) {
        let Some(keep) = config.keep_statistics else { return };
        if self.forget_due.is_some_and(|due| due <= now) {
            self.forget_due = None;
            let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            let before_ms = (config.setup.wall.unix_us(now) / 1_000).saturating_sub(keep_ms);
            effects.push_back(HubEffect::Store(StoreRequest::ForgetStatistics { before_ms }));
        }
    }

    /// Hands the rooms' requests on to the store.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        rooms: &mut Rooms,
        out: &mut Outbox,
        effects: &mut VecDeque<HubEffect>,
    ) {
        while let Some((id, request)) = out.poll_store() {
            let Some(room) = rooms.get_mut(id) else { continue };
            self.next += 1;
            let number = self.next;
            let request = match request {
                RoomRequest::Write(batch) => {
                    self.writes.insert(WriteId(number), (id, Written::Decision));
                    StoreRequest::Write { id: WriteId(number), batch }
                }
                RoomRequest::KeepStatistics(row) => {
                    self.writes.insert(WriteId(number), (id, Written::Statistics));
                    let batch = Batch { statistics: Some(row), ..Batch::new(room.name().clone()) };
                    StoreRequest::Write { id: WriteId(number), batch }
                }
                RoomRequest::ReadStatistics { ticket, .. } if self.reads.len() >= MAX_READS => {
                    let result = Err(StoreError::Busy);
                    room.handle_store(now, RoomReply::Statistics { ticket, result }, out);
                    continue;
                }
                RoomRequest::ReadStatistics { ticket, run } => {
                    let room = room.name().clone();
                    self.reads.insert(ReadId(number), (id, ticket));
                    StoreRequest::ReadStatistics { id: ReadId(number), room, run }
                }
                RoomRequest::ReadLog { ticket, .. } if self.reads.len() >= MAX_READS => {
                    let result = Err(StoreError::Busy);
                    room.handle_store(now, RoomReply::Log { ticket, result }, out);
                    continue;
                }
                RoomRequest::ReadLog { ticket, from, limit } => {
                    let room = room.name().clone();
                    self.reads.insert(ReadId(number), (id, ticket));
                    StoreRequest::ReadLog { id: ReadId(number), room, from, limit }
                }
            };
            effects.push_back(HubEffect::Store(request));
        }
    }
}

fn authority(
    name: &RoomName,
    kept: Option<&Kept>,
    config: &HubConfig,
    now: Instant,
) -> Result<Authority, String> {
    let first = config.first_revision;
    let (name, context) = (name.clone(), Arc::clone(&config.setup));
    match kept {
        Some(kept) => Authority::restore(name, kept, first, context, now),
        None => Ok(Authority::new(name, first, context)),
    }
}

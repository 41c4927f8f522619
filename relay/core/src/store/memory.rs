//! The store of a relay without a data directory: maps, durable for as long as the process lives.

use std::collections::BTreeMap;

use bytes::Bytes;
use tribune_protocol::ids::RoomName;

use super::{
    Batch, LogPage, LogRow, MAX_FORGOTTEN, PageBuilder, StatisticsRow, Store, StoreError,
    StoredRoom, check,
};

/// Keeps everything in memory and forgets it when the process ends.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rooms: BTreeMap<RoomName, Kept>,
    /// Bytes of all records and entries.
    bytes: usize,
    limits: MemoryLimits,
}

/// Limits of a [`MemoryStore`]. A write that would go beyond is refused: nothing is ever thrown
/// away for it, for a log with its beginning cut off proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Rooms; by default 100,000, ten times as many as a relay has at one time by default.
    pub rooms: usize,
    /// Log entries of one room; by default 100,000, a decision a second for 28 hours.
    pub entries_per_room: usize,
    /// Bytes of records and entries together; by default 256 MiB, about 500,000 decisions.
    pub bytes: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { rooms: 100_000, entries_per_room: 100_000, bytes: 256 << 20 }
    }
}

/// The stored part of one room.
#[derive(Debug, Default)]
struct Kept {
    record: Option<Bytes>,
    /// The entry with number n is at n − 1.
    log: Vec<Bytes>,
    /// By run.
    statistics: BTreeMap<u32, StatisticsRow>,
}

impl MemoryStore {
    /// An empty store with limits of its own.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Bytes of all records and entries.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Changes the limits for the writes that follow.
    pub const fn set_limits(&mut self, limits: MemoryLimits) {
        self.limits = limits;
    }

    /// Bytes that are kept after these batches, if they fit.
    fn bytes_after(&self, batches: &[Batch]) -> Result<usize, StoreError> {
        let full = |why: String| Err(StoreError::Full(why));
        let mut bytes = self.bytes;
        let mut changed: BTreeMap<&RoomName, (usize, usize)> = BTreeMap::new();
        for batch in batches.iter().filter(|batch| !batch.is_empty()) {
            let kept = self.rooms.get(&batch.room);
            let before = || {
                kept.map_or((0, 0), |kept| {
                    (kept.record.as_ref().map_or(0, Bytes::len), kept.log.len())
                })
            };
            if let Some(new) = &batch.statistics {
                let old = kept.and_then(|kept| kept.statistics.get(&new.run));
                // Of several of one run in a write, each counts: it is the least that may be too much.
                bytes = bytes - old.map_or(0, |old| old.bytes.len()) + new.bytes.len();
            }
            let (record, entries) = changed.entry(&batch.room).or_insert_with(before);
            if let Some(new) = &batch.record {
                bytes = bytes - *record + new.len();
                *record = new.len();
            }
            bytes += batch.entries.iter().map(|row| row.bytes.len()).sum::<usize>();
            *entries += batch.entries.len();
            if *entries > self.limits.entries_per_room {
                let (room, limit) = (&batch.room, self.limits.entries_per_room);
                return full(format!("the log of room {room} has its {limit} entries in memory"));
            }
        }
        let new = changed.keys().filter(|room| !self.rooms.contains_key(**room)).count();
        if self.rooms.len() + new > self.limits.rooms {
            return full(format!("it has its {} rooms in memory", self.limits.rooms));
        }
        if bytes > self.limits.bytes {
            return full(format!("it has its {} bytes in memory", self.limits.bytes));
        }
        Ok(bytes)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<StoredRoom>, StoreError> {
        let stored = |(room, kept): (&RoomName, &Kept)| StoredRoom {
            room: room.clone(),
            record: kept.record.clone(),
            last: kept.log.last().map(|bytes| row(kept.log.len() as u64, bytes)),
            statistics: kept.statistics.values().next_back().cloned(),
        };
        Ok(self.rooms.iter().map(stored).collect())
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        check(batches, |room| Ok(self.rooms.get(room).map_or(0, |kept| kept.log.len() as u64)))?;
        self.bytes = self.bytes_after(batches)?;
        for batch in batches.iter().filter(|batch| !batch.is_empty()) {
            let kept = self.rooms.entry(batch.room.clone()).or_default();
            // Copies: what is given may be a small part of a large buffer, which it would keep alive.
            if let Some(record) = &batch.record {
                kept.record = Some(Bytes::copy_from_slice(record));
            }
            if let Some(row) = &batch.statistics {
                let bytes = Bytes::copy_from_slice(&row.bytes);
                kept.statistics.insert(row.run, StatisticsRow { bytes, ..*row });
            }
            kept.log.extend(batch.entries.iter().map(|row| Bytes::copy_from_slice(&row.bytes)));
        }
        Ok(())
    }

    fn read_log(
        &mut self,
        room: &RoomName,
        from: u64,
        limit: usize,
    ) -> Result<LogPage, StoreError> {
        let Some(kept) = self.rooms.get(room) else { return Ok(LogPage::default()) };
        let mut page = PageBuilder::new(limit);
        let skipped = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
        for (bytes, number) in kept.log.iter().skip(skipped).zip(from.max(1)..) {
            if !page.push(row(number, bytes)) {
                break;
            }
        }
        Ok(LogPage { rows: page.into_rows(), total: kept.log.len() as u64 })
    }

    fn read_statistics(
        &mut self,
        room: &RoomName,
        run: Option<u32>,
    ) -> Result<Option<StatisticsRow>, StoreError> {
        let Some(kept) = self.rooms.get(room) else { return Ok(None) };
        let row = match run {
            Some(run) => kept.statistics.get(&run),
            None => kept.statistics.values().next_back(),
        };
        Ok(row.cloned())
    }

    fn forget_statistics(&mut self, before_ms: u64) -> Result<bool, StoreError> {
        let mut forgotten = 0;
        for kept in self.rooms.values_mut() {
            kept.statistics.retain(|_, row| {
                let is_old = row.ended_ms != 0 && row.ended_ms < before_ms;
                let goes = is_old && forgotten < MAX_FORGOTTEN;
                if goes {
                    forgotten += 1;
                    self.bytes -= row.bytes.len();
                }
                !goes
            });
        }
        Ok(forgotten == MAX_FORGOTTEN)
    }
}

fn row(number: u64, bytes: &Bytes) -> LogRow {
    LogRow { number, bytes: bytes.clone() }
}

//! Durable storage of a relay: the state of its rooms, and each room's moderation log.
//!
//! The pure hub never touches a store. It emits [`StoreRequest`]s; a worker carries them out on a
//! thread of its own and answers by a bounded channel. Stored content is opaque here: bytes, and the
//! numbers of log entries. Audio never waits for a store and never depends on one.
//!
//! **Guarantees of every store**, checked by one conformance suite:
//! - A [`Batch`] is stored as a whole or not at all, and so is everything given to one
//!   [`Store::write`].
//! - A write for which [`Store::write`] has returned `Ok` is durable, to the degree that each store
//!   states.
//! - A log has no gaps and no forks: entries are only ever added, each one above the last.
//! - A refused write leaves a store that can be read, and written once the cause is gone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use tribune_protocol::ids::RoomName;

mod memory;

pub use memory::{MemoryLimits, MemoryStore};

/// Bytes of one room's durable state at most: hundreds of times what 256 bans take, and still read
/// and written in one piece.
pub const MAX_RECORD_BYTES: usize = 16 << 20;
/// Bytes of one log entry at most: four times the largest control message, which an entry must fit
/// into when it is shown.
pub const MAX_ENTRY_BYTES: usize = 64 << 10;
/// Bytes of one run's statistics at most: ten times what 2,048 relays and a day-long course take.
pub const MAX_STATISTICS_BYTES: usize = 4 << 20;
/// Runs whose statistics are forgotten at once at most: a bite between two writes.
pub const MAX_FORGOTTEN: usize = 100;
/// Log entries of one batch at most. A decision makes a handful; silencing a whole stage makes 32.
pub const MAX_BATCH_ENTRIES: usize = 1024;
/// Log entries of one page at most, however many were asked for.
pub const MAX_PAGE_ENTRIES: usize = 1000;
/// Bytes of one page's entries at most, unless its first one alone is larger.
pub const MAX_PAGE_BYTES: usize = 1 << 20;

/// One write among those that wait, numbered by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// One read among those that wait, numbered by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// One entry of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Its place in the log of its room, from 1, without gaps.
    pub number: u64,
    /// The entry as it was signed, opaque to the store; at most [`MAX_ENTRY_BYTES`].
    pub bytes: Bytes,
}

/// One decision about one room: all of it is stored or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The room.
    pub room: RoomName,
    /// The room's durable state from now on, opaque to the store, at most [`MAX_RECORD_BYTES`];
    /// `None` leaves it as it is.
    pub record: Option<Bytes>,
    /// Entries added to its log, in order; at most [`MAX_BATCH_ENTRIES`]. The first number is the one
    /// above the last that is stored.
    pub entries: Vec<LogRow>,
    /// Statistics of one of its runs from now on; `None` leaves all as they are.
    pub statistics: Option<StatisticsRow>,
}

/// Statistics of one run of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsRow {
    /// The run, from 1.
    pub run: u32,
    /// When it began, in Unix milliseconds.
    pub began_ms: u64,
    /// When it ended, in Unix milliseconds; 0 while it is on.
    pub ended_ms: u64,
    /// The statistics, opaque to the store; at most [`MAX_STATISTICS_BYTES`].
    pub bytes: Bytes,
}

impl Batch {
    /// A batch that changes nothing about a room.
    #[must_use]
    pub const fn new(room: RoomName) -> Self {
        Self { room, record: None, entries: Vec::new(), statistics: None }
    }

    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record.is_none() && self.entries.is_empty() && self.statistics.is_none()
    }
}

/// A request of the hub to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreRequest {
    /// Stores a decision; answered by [`StoreReply::Written`] when it is durable or refused.
    Write {
        /// Comes back with the answer.
        id: WriteId,
        /// The decision.
        batch: Batch,
    },
    /// Reads a page of a room's log; answered by [`StoreReply::Log`].
    ReadLog {
        /// Comes back with the answer.
        id: ReadId,
        /// The room of the log.
        room: RoomName,
        /// The first number wanted.
        from: u64,
        /// Entries at most; never more than [`MAX_PAGE_ENTRIES`].
        limit: usize,
    },
    /// Reads the statistics of a run; answered by [`StoreReply::Statistics`].
    ReadStatistics {
        /// Comes back with the answer.
        id: ReadId,
        /// The room.
        room: RoomName,
        /// The run; `None`: the newest one.
        run: Option<u32>,
    },
    /// Forgets statistics of runs that ended before a time; answered by [`StoreReply::Forgotten`].
    ForgetStatistics {
        /// The time, in Unix milliseconds.
        before_ms: u64,
    },
}

/// Answers of a store, in the order of the requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreReply {
    /// To [`StoreRequest::Write`].
    Written {
        /// The write.
        id: WriteId,
        /// `Ok` once it is durable.
        result: Result<(), StoreError>,
    },
    /// To [`StoreRequest::ReadLog`].
    Log {
        /// The read.
        id: ReadId,
        /// The page.
        result: Result<LogPage, StoreError>,
    },
    /// To [`StoreRequest::ReadStatistics`].
    Statistics {
        /// The read.
        id: ReadId,
        /// The statistics; `None` if there are none of that run.
        result: Result<Option<StatisticsRow>, StoreError>,
    },
    /// To [`StoreRequest::ForgetStatistics`].
    Forgotten {
        /// Whether there may be more to forget.
        result: Result<bool, StoreError>,
    },
}

/// A room as found at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Its name.
    pub room: RoomName,
    /// Its durable state, if one was ever written.
    pub record: Option<Bytes>,
    /// The last entry of its log, if it has one: the next one follows it.
    pub last: Option<LogRow>,
    /// Statistics of its newest run, if there are any.
    pub statistics: Option<StatisticsRow>,
}

/// A part of a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// Entries in order and without gaps. There may be fewer than asked for, see [`MAX_PAGE_BYTES`],
    /// but none only if there are none from there on.
    pub rows: Vec<LogRow>,
    /// Entries of the whole log, which is the number of its last one; 0 if there is none.
    pub total: u64,
}

/// Storage that outlives a room. Used by one thread at a time; each call blocks on the disk.
pub trait Store: Send {
    /// All rooms that are stored, by name.
    ///
    /// # Errors
    /// [`StoreError::Failed`], if the store cannot be read, [`StoreError::Damaged`], if it holds data
    /// that no relay has written.
    fn load(&mut self) -> Result<Vec<StoredRoom>, StoreError>;

    /// Stores all of these decisions, in order, or none of them. They are durable when it returns.
    /// A batch without record and entries changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Gap`], [`StoreError::TooLarge`], [`StoreError::Full`] or
    /// [`StoreError::Failed`]. Nothing is stored then; of the last one [`StoreError::Failed`] says
    /// more.
    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError>;

    /// The entries of a room's log from this number on; of a room that is not stored an empty page.
    ///
    /// # Errors
    /// [`StoreError::Failed`], if the store cannot be read.
    fn read_log(&mut self, room: &RoomName, from: u64, limit: usize)
    -> Result<LogPage, StoreError>;

    /// The statistics of a run of a room, or of its newest run; `None` if there are none.
    ///
    /// # Errors
    /// [`StoreError::Failed`], if the store cannot be read.
    fn read_statistics(
        &mut self,
        room: &RoomName,
        run: Option<u32>,
    ) -> Result<Option<StatisticsRow>, StoreError>;

    /// Forgets the statistics of runs that ended before a time, in Unix milliseconds: some of them, if there are many.
    /// Whether there may be more.
    ///
    /// # Errors
    /// [`StoreError::Failed`], if the store cannot be written.
    fn forget_statistics(&mut self, before_ms: u64) -> Result<bool, StoreError>;
}

/// Reason why something is not stored, or not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An entry does not follow the last one. It keeps two writers, or a lost write, from forking a
    /// log.
    #[error("entry {found} does not follow in the log of room {room}, whose next one is {next}")]
    Gap {
        /// The room of the log.
        room: RoomName,
        /// The number that would follow.
        next: u64,
        /// The number that was given.
        found: u64,
    },
    /// A part of a batch is over its limit.
    #[error("the {what} of room {room} is over its limit: {size}, at most {limit}")]
    TooLarge {
        /// The room.
        room: RoomName,
        /// The part that is too large, with its unit.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The largest size allowed.
        limit: usize,
    },
    /// There is no space for more: memory's limit, or the disk.
    #[error("the store is full: {0}")]
    Full(String),
    /// More requests wait than the store may fall behind.
    #[error("the store is too far behind")]
    Busy,
    /// The store cannot be read or written. A refused write is not stored; only if the disk failed
    /// while it was made durable, and went on failing, may it be found there later. Until the relay
    /// has started again, [`Self::Gap`] keeps the room's log from going on beside it.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The store holds data that no relay has written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The files found when a relay starts cannot be its store.
    #[error("{} cannot be used as a store: {why}", path.display())]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// The problem with it.
        why: String,
    },
}

/// Checks that each batch keeps to the limits and follows the stored entries and the batches before
/// it. All stores call it before they write. `last` gives the number of a room's last stored entry.
///
/// # Errors
/// [`StoreError::Gap`], [`StoreError::TooLarge`], and errors of `last`.
pub fn check(
    batches: &[Batch],
    mut last: impl FnMut(&RoomName) -> Result<u64, StoreError>,
) -> Result<(), StoreError> {
    let mut lasts: BTreeMap<&RoomName, u64> = BTreeMap::new();
    for batch in batches {
        check_sizes(batch)?;
        let stored = match lasts.get(&batch.room) {
            Some(number) => *number,
            None => last(&batch.room)?,
        };
        let mut number = stored;
        for row in &batch.entries {
            let next = number + 1;
            if row.number != next {
                let (room, found) = (batch.room.clone(), row.number);
                return Err(StoreError::Gap { room, next, found });
            }
            number = next;
        }
        lasts.insert(&batch.room, number);
    }
    Ok(())
}

fn check_sizes(batch: &Batch) -> Result<(), StoreError> {
    let bound = |what, size, limit| {
        let room = batch.room.clone();
        if size <= limit { Ok(()) } else { Err(StoreError::TooLarge { room, what, size, limit }) }
    };
    let record = batch.record.as_ref().map_or(0, Bytes::len);
    let statistics = batch.statistics.as_ref().map_or(0, |row| row.bytes.len());
    let largest = batch.entries.iter().map(|row| row.bytes.len()).max().unwrap_or(0);
    bound("state in bytes", record, MAX_RECORD_BYTES)?;
    bound("statistics in bytes", statistics, MAX_STATISTICS_BYTES)?;
    bound("log entry in bytes", largest, MAX_ENTRY_BYTES)?;
    bound("decision in log entries", batch.entries.len(), MAX_BATCH_ENTRIES)
}

/// Fills a page with entries until it is full.
#[derive(Debug)]
pub struct PageBuilder {
    rows: Vec<LogRow>,
    bytes: usize,
    limit: usize,
}

impl PageBuilder {
    /// An empty page of that many entries at most.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        let limit = if limit < MAX_PAGE_ENTRIES { limit } else { MAX_PAGE_ENTRIES };
        Self { rows: Vec::new(), bytes: 0, limit }
    }

    /// Whether the entry still fitted. The first one always does, so that no page is empty before the
    /// log ends.
    pub fn push(&mut self, row: LogRow) -> bool {
        let bytes = self.bytes + row.bytes.len();
        let fits = self.rows.is_empty() || bytes <= MAX_PAGE_BYTES;
        if self.rows.len() == self.limit || !fits {
            return false;
        }
        self.bytes = bytes;
        self.rows.push(row);
        true
    }

    /// The entries of the page.
    #[must_use]
    pub fn into_rows(self) -> Vec<LogRow> {
        self.rows
    }
}

//! Store under test, and what is written to it; for the conformance suite.

use bytes::Bytes;
use tribune_protocol::ids::RoomName;
use tribune_relay_core::store::{Batch, LogRow, StatisticsRow, Store};

/// A store under test, with the place that it keeps things in.
pub(super) trait Case {
    /// An empty one.
    fn fresh() -> Self;
    /// The store.
    fn store(&mut self) -> &mut dyn Store;
    /// Closes it and opens it again, if it survives that.
    fn reopen(&mut self);
    /// From now on a few dozen KiB fit, and 1 MiB does not.
    fn tighten(&mut self);
    /// There is space again.
    fn relax(&mut self);
}

pub(super) fn room(name: &str) -> RoomName {
    RoomName::try_from(name.to_owned()).unwrap()
}

/// A batch with that many entries from this number on, each with bytes of its own.
pub(super) fn batch(name: &str, record: Option<&str>, first: u64, count: u64) -> Batch {
    let record = record.map(|record| Bytes::copy_from_slice(record.as_bytes()));
    let entries = (0..count).map(|n| first + n).map(|n| row(n, format!("{name} {n}")));
    Batch { record, entries: entries.collect(), ..Batch::new(room(name)) }
}

pub(super) fn row(number: u64, bytes: impl Into<Bytes>) -> LogRow {
    LogRow { number, bytes: bytes.into() }
}

/// Statistics of a run that began at 1,000 and ended then, or is on.
pub(super) fn statistics(run: u32, ended_ms: u64, bytes: &str) -> StatisticsRow {
    let bytes = Bytes::copy_from_slice(bytes.as_bytes());
    StatisticsRow { run, began_ms: 1_000, ended_ms, bytes }
}

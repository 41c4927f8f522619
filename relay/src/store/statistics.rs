//! Statistics of runs in the SQLite file: a row for each run of a room, replaced as it goes on. Part of
//! [`super::sqlite`].

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tribune_protocol::ids::RoomName;
use tribune_relay_core::store::{MAX_FORGOTTEN, StatisticsRow};

/// Third step of the schema.
pub(super) const TABLE: &str = "CREATE TABLE statistics (
         room INTEGER NOT NULL REFERENCES room (id),
         run INTEGER NOT NULL CHECK (run > 0),
         began_ms INTEGER NOT NULL,
         ended_ms INTEGER NOT NULL,
         bytes BLOB NOT NULL,
         PRIMARY KEY (room, run)
     ) STRICT;
     CREATE INDEX statistics_by_end ON statistics (ended_ms) WHERE ended_ms > 0;";

/// Writes the row of a run, in place of the one before.
pub(super) fn write(
    transaction: &Transaction<'_>,
    room: i64,
    row: &StatisticsRow,
) -> rusqlite::Result<()> {
    let (began, ended) = (sql(row.began_ms), sql(row.ended_ms));
    let mut insert = transaction.prepare_cached(
        "INSERT INTO statistics (room, run, began_ms, ended_ms, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (room, run) DO UPDATE SET ended_ms = ?4, bytes = ?5",
    )?;
    insert.execute(params![room, row.run, began, ended, &row.bytes[..]])?;
    Ok(())
}

/// The row of a run, or of the newest one.
pub(super) fn read(
    connection: &Connection,
    room: &RoomName,
    run: Option<u32>,
) -> rusqlite::Result<Option<StatisticsRow>> {
    let mut select = connection.prepare_cached(
        "SELECT run, began_ms, ended_ms, bytes FROM statistics
         JOIN room ON room.id = statistics.room WHERE name = ?1 AND (?2 IS NULL OR run = ?2)
         ORDER BY run DESC LIMIT 1",
    )?;
    select.query_row(params![room.as_str(), run], of_row).optional()
}

/// Forgets some of the runs that ended before a time. Whether there may be more.
pub(super) fn forget(connection: &Connection, before_ms: u64) -> rusqlite::Result<bool> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM statistics WHERE rowid IN
         (SELECT rowid FROM statistics WHERE ended_ms > 0 AND ended_ms < ?1 LIMIT ?2)",
    )?;
    let limit = i64::try_from(MAX_FORGOTTEN).unwrap_or(i64::MAX);
    Ok(delete.execute(params![sql(before_ms), limit])? == MAX_FORGOTTEN)
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<StatisticsRow> {
    let number = |at| row.get::<_, i64>(at).map(|value| u64::try_from(value).unwrap_or(0));
    Ok(StatisticsRow {
        run: row.get(0)?,
        began_ms: number(1)?,
        ended_ms: number(2)?,
        bytes: Bytes::from(row.get::<_, Vec<u8>>(3)?),
    })
}

/// SQLite's integers end at 2^63 − 1, which Unix time reaches in 292 million years.
fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

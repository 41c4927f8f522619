//! The store of a relay with a data directory: one SQLite file, written ahead (WAL), flushed to the
//! disk at each commit.
//!
//! A write that [`Store::write`] has returned `Ok` for survives a killed process and a power cut, as far
//! as the disk keeps writes that it has confirmed. One relay uses a directory at a time, by a lock on a
//! file beside the database.
//!
//! **After an I/O error the connection is closed and opened anew.** When a flush has failed, the
//! system may count the pages as clean that never reached the disk, and would confirm the next flush
//! without writing them; also it is unknown whether the failed commit is in the file. So the new
//! connection moves everything from the write-ahead log into the database and flushes that, and the
//! database is then the truth: the write is answered `Ok` if it is there and refused if it is not.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tribune_protocol::ids::RoomName;
use tribune_relay_core::store::{
    Batch, LogPage, LogRow, MAX_PAGE_ENTRIES, PageBuilder, StatisticsRow, Store, StoreError,
    StoredRoom, check,
};

use super::files::unusable;
use super::{files, statistics};

/// The database's name in the data directory.
const DATABASE: &str = "tribune.sqlite";
/// Owner in the file's header: "Trbn".
const APPLICATION_ID: i32 = 0x5472_626e;
/// Longest wait for a lock of another process, such as a tool that inspects the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes that the write-ahead log keeps once it has been emptied; a large write makes it larger.
const IDLE_WAL_BYTES: u32 = 8 << 20;

/// The schema, step by step. Step n leads to version n, which the file's `user_version` names. A step
/// that a released relay has taken is never changed.
const MIGRATIONS: [&str; 3] = [
    // 1: rooms and their logs. `log` has rowids, for entries are too large for an index of their own.
    "CREATE TABLE room (
         id INTEGER PRIMARY KEY,
         name TEXT NOT NULL UNIQUE,
         record BLOB
     ) STRICT;
     CREATE TABLE log (
         room INTEGER NOT NULL REFERENCES room (id),
         number INTEGER NOT NULL CHECK (number > 0),
         bytes BLOB NOT NULL,
         PRIMARY KEY (room, number)
     ) STRICT;",
    // 2: the log is append-only for every program that writes to the file.
    "CREATE TRIGGER log_keeps_entries BEFORE UPDATE ON log
     BEGIN SELECT RAISE (ABORT, 'the log is append-only'); END;
     CREATE TRIGGER log_loses_nothing BEFORE DELETE ON log
     BEGIN SELECT RAISE (ABORT, 'the log is append-only'); END;
     CREATE TRIGGER log_has_no_gaps BEFORE INSERT ON log
     WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM log WHERE room = NEW.room)
     BEGIN SELECT RAISE (ABORT, 'the log has no gaps'); END;",
    statistics::TABLE,
];

/// Keeps everything in a file of the data directory.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    /// None after an I/O error, until the next use.
    connection: Option<Connection>,
    /// Held as long as the store lives; the system lets go of it when the process ends, however.
    _lock: File,
}

impl SqliteStore {
    /// Opens the store in this directory; makes both if they are not there.
    ///
    /// # Errors
    /// [`StoreError::Unusable`], if the directory cannot be written to, if another relay uses it, or
    /// if the file in it is not a relay's or is a newer relay's. The file is left as it is then.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(DATABASE);
        let lock = files::take_lock(directory)?;
        files::make_file(directory, &path).map_err(|error| unusable(&path, error))?;
        let connection = Some(connect(&path)?);
        Ok(Self { path, connection, _lock: lock })
    }

    /// Runs something on the connection, which is opened anew if it was given up.
    fn with<T>(
        &mut self,
        run: impl FnOnce(&mut Connection) -> Result<T, SqliteError>,
    ) -> Result<T, StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect(&self.path)?),
        };
        let result = run(connection).map_err(StoreError::from);
        if matches!(result, Err(StoreError::Failed(_))) {
            self.connection = None;
        }
        result
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Vec<StoredRoom>, StoreError> {
        self.with(load)
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let result = self.with(|connection| write(connection, batches));
        let Err(StoreError::Failed(why)) = result else { return result };
        let holds = self.with(|connection| {
            flush_everything(connection)?;
            is_stored(connection, batches)
        });
        if matches!(holds, Ok(true)) { Ok(()) } else { Err(StoreError::Failed(why)) }
    }

    fn read_log(
        &mut self,
        room: &RoomName,
        from: u64,
        limit: usize,
    ) -> Result<LogPage, StoreError> {
        self.with(|connection| read_log(connection, room, from, limit))
    }

    fn read_statistics(
        &mut self,
        room: &RoomName,
        run: Option<u32>,
    ) -> Result<Option<StatisticsRow>, StoreError> {
        self.with(|connection| Ok(statistics::read(connection, room, run)?))
    }

    fn forget_statistics(&mut self, before_ms: u64) -> Result<bool, StoreError> {
        self.with(|connection| Ok(statistics::forget(connection, before_ms)?))
    }
}

/// An error on the way: SQLite's own, or one that has its meaning already.
#[derive(Debug, thiserror::Error)]
enum SqliteError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SqliteError> for StoreError {
    fn from(error: SqliteError) -> Self {
        let error = match error {
            SqliteError::Store(error) => return error,
            SqliteError::Sqlite(error) => error,
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => {
                Self::Full("there is no space left on the disk".to_owned())
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            Some(_) | None => Self::Failed(error.to_string()),
        }
    }
}

/// Opens the file, sees whether it is ours, and brings its schema up to date.
fn connect(path: &Path) -> Result<Connection, SqliteError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let version = version(&connection, path)?;
    if connection.is_readonly("main")? {
        return Err(unusable(path, "it cannot be written to").into());
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(unusable(path, "its file system has no write-ahead log").into());
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let limit = IDLE_WAL_BYTES;
    connection
        .pragma_update_and_check(None, "journal_size_limit", limit, |row| row.get::<_, i64>(0))?;
    migrate(&mut connection, version)?;
    Ok(connection)
}

/// The version of the file's schema, 0 for an empty one.
fn version(connection: &Connection, path: &Path) -> Result<usize, SqliteError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let not_ours = "it is not the database of a relay";
    let (owner, version) = match (number("application_id"), number("user_version")) {
        (Ok(owner), Ok(version)) => (owner, version),
        (Err(error), _) | (_, Err(error)) => {
            let foreign = error.sqlite_error_code() == Some(ErrorCode::NotADatabase);
            return Err(if foreign { unusable(path, not_ours).into() } else { error.into() });
        }
    };
    let tables = "SELECT count(*) FROM sqlite_schema";
    let is_empty = connection.query_row(tables, [], |row| row.get::<_, i64>(0))? == 0;
    match (owner, usize::try_from(version)) {
        // Also a file whose first migration was cut short.
        (0, Ok(0)) if is_empty => Ok(0),
        (APPLICATION_ID, Ok(version)) if version <= MIGRATIONS.len() => Ok(version),
        (APPLICATION_ID, _) => {
            let known = MIGRATIONS.len();
            let why = format!("its schema is version {version}, and this relay knows {known}");
            Err(unusable(path, why).into())
        }
        _ => Err(unusable(path, not_ours).into()),
    }
}

/// Runs the migrations that the file lacks, each as one transaction.
fn migrate(connection: &mut Connection, version: usize) -> Result<(), SqliteError> {
    for (step, sql) in (1_u32..).zip(MIGRATIONS).skip(version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", step)?;
        transaction.commit()?;
    }
    Ok(())
}

fn load(connection: &mut Connection) -> Result<Vec<StoredRoom>, SqliteError> {
    let mut select = connection.prepare(
        "SELECT name, record, number, bytes FROM room LEFT JOIN log ON log.room = room.id
         AND number = (SELECT max(number) FROM log WHERE room = room.id) ORDER BY name",
    )?;
    let mut rows = select.query([])?;
    let mut rooms = Vec::new();
    while let Some(row) = rows.next()? {
        let room = RoomName::try_from(row.get::<_, String>(0)?).map_err(|error| damaged(&error))?;
        let record = row.get::<_, Option<Vec<u8>>>(1)?.map(Bytes::from);
        let last = match row.get(2)? {
            Some(number) => Some(log_row(number, row.get(3)?)?),
            None => None,
        };
        rooms.push(StoredRoom { room, record, last, statistics: None });
    }
    drop(rows);
    for stored in &mut rooms {
        stored.statistics = statistics::read(connection, &stored.room, None)?;
    }
    Ok(rooms)
}

fn write(connection: &mut Connection, batches: &[Batch]) -> Result<(), SqliteError> {
    // An error before the commit ends the transaction, and with it all that it wrote.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    check(batches, |room| Ok(total(&transaction, room)?))?;
    for batch in batches.iter().filter(|batch| !batch.is_empty()) {
        transaction
            .prepare_cached("INSERT INTO room (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?
            .execute([batch.room.as_str()])?;
        let room: i64 = transaction
            .prepare_cached("SELECT id FROM room WHERE name = ?1")?
            .query_row([batch.room.as_str()], |row| row.get(0))?;
        if let Some(record) = &batch.record {
            transaction
                .prepare_cached("UPDATE room SET record = ?2 WHERE id = ?1")?
                .execute(params![room, &record[..]])?;
        }
        let mut insert = transaction
            .prepare_cached("INSERT INTO log (room, number, bytes) VALUES (?1, ?2, ?3)")?;
        for row in &batch.entries {
            insert.execute(params![room, sql_number(row.number), &row.bytes[..]])?;
        }
        if let Some(row) = &batch.statistics {
            statistics::write(&transaction, room, row)?;
        }
    }
    Ok(transaction.commit()?)
}

/// Moves the write-ahead log into the database, and has the disk confirm it.
fn flush_everything(connection: &Connection) -> Result<(), SqliteError> {
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint (TRUNCATE)", [], |row| row.get(0))?;
    if busy == 0 { Ok(()) } else { Err(StoreError::Failed("the file is in use".to_owned()).into()) }
}

/// Whether a write of unknown outcome is in the file.
fn is_stored(connection: &Connection, batches: &[Batch]) -> Result<bool, SqliteError> {
    let mut records: BTreeMap<&RoomName, &Bytes> = BTreeMap::new();
    let mut runs: BTreeMap<(&RoomName, u32), &StatisticsRow> = BTreeMap::new();
    for batch in batches {
        for row in &batch.entries {
            let page = read_log(connection, &batch.room, row.number, 1)?;
            if page.rows.first() != Some(row) {
                return Ok(false);
            }
        }
        // Of several the last one stays.
        if let Some(row) = &batch.statistics {
            runs.insert((&batch.room, row.run), row);
        }
        records.extend(batch.record.as_ref().map(|record| (&batch.room, record)));
    }
    for (room, record) in records {
        let stored = connection
            .prepare_cached("SELECT record FROM room WHERE name = ?1")?
            .query_row([room.as_str()], |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()?
            .flatten();
        if stored.as_deref() != Some(&record[..]) {
            return Ok(false);
        }
    }
    for ((room, run), row) in runs {
        if statistics::read(connection, room, Some(run))?.as_ref() != Some(row) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_log(
    connection: &Connection,
    room: &RoomName,
    from: u64,
    limit: usize,
) -> Result<LogPage, SqliteError> {
    let mut page = PageBuilder::new(limit);
    let limit = limit.min(MAX_PAGE_ENTRIES) as i64;
    let mut select = connection.prepare_cached(
        "SELECT number, bytes FROM log WHERE room = (SELECT id FROM room WHERE name = ?1)
         AND number >= ?2 ORDER BY number LIMIT ?3",
    )?;
    let mut rows = select.query(params![room.as_str(), sql_number(from), limit])?;
    while let Some(row) = rows.next()? {
        if !page.push(log_row(row.get(0)?, row.get(1)?)?) {
            break;
        }
    }
    Ok(LogPage { rows: page.into_rows(), total: total(connection, room)? })
}

/// Entries of a room's log, 0 for an unknown room.
fn total(connection: &Connection, room: &RoomName) -> Result<u64, SqliteError> {
    let last: i64 = connection
        .prepare_cached(
            "SELECT coalesce(max(number), 0) FROM log
             WHERE room = (SELECT id FROM room WHERE name = ?1)",
        )?
        .query_row([room.as_str()], |row| row.get(0))?;
    u64::try_from(last).map_err(|error| damaged(&error).into())
}

/// SQLite's integers have a sign. A number too large for them is above any that is stored.
fn sql_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn log_row(number: i64, bytes: Vec<u8>) -> Result<LogRow, SqliteError> {
    let number = u64::try_from(number).map_err(|error| damaged(&error))?;
    Ok(LogRow { number, bytes: bytes.into() })
}

fn damaged(error: &impl ToString) -> StoreError {
    StoreError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{Case, batch, conformance, contents, room};
    use super::*;
    use crate::store::files::LOCK;
    use std::fs;
    use std::process::Command;
    use tempfile::TempDir;

    struct OnDisk {
        directory: TempDir,
        store: Option<SqliteStore>,
    }

    impl OnDisk {
        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn connection(&mut self) -> &mut Connection {
            self.store.as_mut().unwrap().connection.as_mut().unwrap()
        }
    }

    impl Case for OnDisk {
        fn fresh() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let store = Some(SqliteStore::open(directory.path()).unwrap());
            Self { directory, store }
        }

        fn store(&mut self) -> &mut dyn Store {
            self.store.as_mut().unwrap()
        }

        fn reopen(&mut self) {
            drop(self.store.take());
            self.store = Some(SqliteStore::open(self.directory.path()).unwrap());
        }

        fn tighten(&mut self) {
            let pages: u32 = self.connection().pragma_query_one(None, "page_count").unwrap();
            limit_pages(self.connection(), pages + 12);
        }

        fn relax(&mut self) {
            limit_pages(self.connection(), u32::MAX - 1);
        }
    }

    fn limit_pages(connection: &Connection, pages: u32) {
        let set = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        connection.pragma_update_and_check(None, "max_page_count", pages, set).unwrap();
    }

    conformance!(OnDisk);

    /// The error about a directory that cannot be used.
    fn refusal(directory: &Path) -> String {
        let error = SqliteStore::open(directory).unwrap_err();
        assert!(matches!(error, StoreError::Unusable { .. }), "{error:?}");
        error.to_string()
    }

    #[test]
    fn the_file_is_written_ahead_flushed_and_ours_alone() {
        let mut case = OnDisk::fresh();
        case.store().write(&[batch("forum", Some("state"), 1, 1)]).unwrap();
        let connection = case.connection();
        let number = |name| connection.pragma_query_one::<i64>(None, name).unwrap();
        assert_eq!(connection.pragma_query_one::<String>(None, "journal_mode").unwrap(), "wal");
        assert_eq!(number("synchronous"), 2);
        assert_eq!(number("foreign_keys"), 1);
        assert_eq!(number("application_id"), i64::from(APPLICATION_ID));
        assert_eq!(number("user_version"), MIGRATIONS.len() as i64);
        #[cfg(unix)]
        for name in [DATABASE, "tribune.sqlite-wal", "tribune.sqlite-shm", LOCK] {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(case.path(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_second_relay_is_refused_until_the_first_has_ended() {
        let mut case = OnDisk::fresh();
        case.store().write(&[batch("forum", None, 1, 1)]).unwrap();
        let said = refusal(case.directory.path());
        assert!(said.ends_with("cannot be used as a store: another relay uses it"), "{said}");
        // The first one has not noticed.
        case.store().write(&[batch("forum", None, 2, 1)]).unwrap();
        case.reopen();
        assert_eq!(contents(case.store())[0].1.len(), 2);
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(DATABASE);
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE letters (text TEXT)").unwrap();
        drop(other);
        for _ in 0..2 {
            let before = fs::read(&path).unwrap();
            let said = refusal(directory.path());
            assert!(said.contains("tribune.sqlite cannot be used as a store"), "{said}");
            assert!(said.ends_with("it is not the database of a relay"), "{said}");
            assert_eq!(fs::read(&path).unwrap(), before);
            fs::write(
                &path,
                "a letter to nobody in particular, long enough to be read\n".repeat(99),
            )
            .unwrap();
        }
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_as_it_is() {
        let mut case = OnDisk::fresh();
        case.connection().pragma_update(None, "user_version", 7).unwrap();
        drop(case.store.take());
        let before = fs::read(case.path(DATABASE)).unwrap();
        let said = refusal(case.directory.path());
        assert!(said.ends_with("its schema is version 7, and this relay knows 3"), "{said}");
        assert_eq!(fs::read(case.path(DATABASE)).unwrap(), before);
    }

    #[test]
    fn a_directory_that_cannot_be_written_to_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let said = refusal(&file);
        assert!(said.contains("file/tribune.lock cannot be used"), "{said}");
        // Nobody can make a file there, root neither.
        #[cfg(target_os = "linux")]
        assert!(
            refusal(Path::new("/proc/self")).contains("/proc/self/tribune.lock cannot be used")
        );
    }

    #[test]
    fn a_file_of_version_1_is_brought_up_to_date_with_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let old = Connection::open(directory.path().join(DATABASE)).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute_batch(
            "INSERT INTO room VALUES (1, 'forum', x'aa');
             INSERT INTO log VALUES (1, 1, x'bb'), (1, 2, x'cc');",
        )
        .unwrap();
        drop(old);
        let mut case =
            OnDisk { store: Some(SqliteStore::open(directory.path()).unwrap()), directory };
        let number = |case: &mut OnDisk, sql: &str| {
            case.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(number(&mut case, "PRAGMA user_version"), MIGRATIONS.len() as i64);
        let triggers = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'";
        assert_eq!(number(&mut case, triggers), 3);
        let found = contents(case.store()).remove(0);
        assert_eq!(found.0.record, Some(Bytes::from_static(&[0xaa])));
        assert_eq!(found.1, [log_row(1, vec![0xbb]).unwrap(), log_row(2, vec![0xcc]).unwrap()]);
        case.store().write(&[batch("forum", None, 3, 1)]).unwrap();
    }

    #[test]
    fn the_log_is_append_only_for_any_program() {
        let mut case = OnDisk::fresh();
        case.store().write(&[batch("forum", None, 1, 3)]).unwrap();
        let before = contents(case.store());
        let other = Connection::open(case.path(DATABASE)).unwrap();
        for sql in [
            "UPDATE log SET bytes = x'00' WHERE number = 2",
            "DELETE FROM log WHERE number = 3",
            "DELETE FROM log",
            "DELETE FROM room",
            "INSERT INTO log VALUES (1, 5, x'00')",
            "INSERT OR REPLACE INTO log VALUES (1, 2, x'00')",
            "INSERT INTO log VALUES (2, 1, x'00')",
        ] {
            let error = other.execute(sql, []).unwrap_err();
            assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{sql}");
        }
        assert_eq!(contents(case.store()), before);
    }

    #[test]
    fn a_copy_made_in_the_middle_of_a_write_has_all_that_was_acknowledged() {
        let mut case = OnDisk::fresh();
        for n in 0..20 {
            case.store().write(&[batch("forum", Some("state"), 1 + 3 * n, 3)]).unwrap();
        }
        let before = contents(case.store());
        let connection = case.connection();
        connection.execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE").unwrap();
        let ahead = fs::metadata(connection.path().unwrap().to_owned() + "-wal").unwrap().len();
        for number in 61..400 {
            let insert = "INSERT INTO log VALUES (1, ?1, zeroblob(1000))";
            connection.execute(insert, [number]).unwrap();
        }
        let copy = tempfile::tempdir().unwrap();
        for name in [DATABASE, "tribune.sqlite-wal"] {
            fs::copy(case.path(name), copy.path().join(name)).unwrap();
        }
        let copied = fs::metadata(copy.path().join("tribune.sqlite-wal")).unwrap().len();
        assert!(copied > ahead + 100_000, "the transaction under way has reached the file");
        let mut copied = SqliteStore::open(copy.path()).unwrap();
        assert_eq!(contents(&mut copied), before);
        copied.write(&[batch("forum", None, 61, 1)]).unwrap();
    }

    #[test]
    fn however_short_the_write_ahead_log_is_cut_every_write_is_whole() {
        let mut case = OnDisk::fresh();
        let mut states = vec![contents(case.store())];
        for n in 0..12 {
            let record = format!("state {n}");
            let writes = [batch("a", Some(&record), 1 + 2 * n, 2), batch("b", None, n + 1, 1)];
            case.store().write(&writes).unwrap();
            states.push(contents(case.store()));
        }
        let database = fs::read(case.path(DATABASE)).unwrap();
        let ahead = fs::read(case.path("tribune.sqlite-wal")).unwrap();
        let mut seen = Vec::new();
        for length in (0..=ahead.len()).rev().step_by(1500) {
            let copy = tempfile::tempdir().unwrap();
            fs::write(copy.path().join(DATABASE), &database).unwrap();
            fs::write(copy.path().join("tribune.sqlite-wal"), &ahead[..length]).unwrap();
            let found = contents(&mut SqliteStore::open(copy.path()).unwrap());
            let state = states.iter().position(|state| *state == found);
            seen.push(state.unwrap_or_else(|| panic!("half a write at {length}: {found:?}")));
        }
        assert_eq!(seen[0], states.len() - 1, "nothing is cut from the first copy");
        assert!(seen.is_sorted_by(|later, earlier| later >= earlier), "{seen:?}");
        seen.dedup();
        assert_eq!(seen.len(), states.len(), "{seen:?}");
    }

    #[test]
    fn whether_a_write_is_stored_is_seen_by_all_of_it() {
        let mut case = OnDisk::fresh();
        let write = [
            batch("a", Some("first"), 1, 2),
            batch("b", Some("other"), 1, 0),
            batch("a", Some("last"), 3, 1),
        ];
        let connection = case.connection();
        assert!(!is_stored(connection, &write).unwrap());
        super::write(connection, &write).unwrap();
        assert!(is_stored(connection, &write).unwrap());
        for change in [batch("a", None, 4, 1), batch("a", Some("next"), 1, 0)] {
            let changed = [&write[..], &[change]].concat();
            assert!(!is_stored(connection, &changed).unwrap());
        }
        let mut changed = write.to_vec();
        changed[0].entries[1].bytes = Bytes::from_static(b"another one");
        assert!(!is_stored(connection, &changed).unwrap());
    }

    /// Runs in a process of its own, whose files may not grow beyond a limit: each write beyond it
    /// fails as on a disk that fails.
    #[cfg(unix)]
    #[test]
    fn a_failing_disk_refuses_and_loses_nothing_that_was_acknowledged() {
        const CHILD: &str = "TRIBUNE_TEST_STORE_DIRECTORY";
        if let Some(directory) = std::env::var_os(CHILD) {
            return write_until_the_disk_fails(Path::new(&directory));
        }
        let directory = tempfile::tempdir().unwrap();
        let (_, module) = module_path!().split_once("::").unwrap();
        let name =
            format!("{module}::a_failing_disk_refuses_and_loses_nothing_that_was_acknowledged");
        // Ignoring SIGXFSZ makes the write fail instead of killing the writer. 400 blocks of 512
        // bytes, or of 1,024 by some shells.
        let script = "trap '' XFSZ; ulimit -f 400; exec \"$0\" --exact \"$1\" --nocapture";
        let output = Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(CHILD, directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let acknowledged = said.lines().find_map(|line| line.strip_prefix("acknowledged "));
        let acknowledged: u64 = acknowledged.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
        let mut store = SqliteStore::open(directory.path()).unwrap();
        let total = store.read_log(&room("forum"), 1, 1).unwrap().total;
        assert_eq!(total, acknowledged);
        store.write(&[batch("forum", None, acknowledged + 1, 1)]).unwrap();
    }

    #[cfg(unix)]
    fn write_until_the_disk_fails(directory: &Path) {
        let mut store = SqliteStore::open(directory).unwrap();
        // A setting of the connection alone: it tells one connection from the next.
        let mark = |store: &SqliteStore, pages: i64| {
            let connection = store.connection.as_ref().unwrap();
            let before: i64 = connection.pragma_query_one(None, "cache_size").unwrap();
            connection.pragma_update(None, "cache_size", pages).unwrap();
            before
        };
        mark(&store, 77);
        let mut acknowledged = 0;
        let mut refused = 0;
        // After the first refusals there may be space again, for what was written ahead has moved to
        // the database; in the end there is none at all.
        while refused < 20 {
            let before = refused;
            let mut large = batch("forum", Some("state"), acknowledged + 1, 4);
            large.entries[1].bytes = Bytes::from(vec![1; 20_000]);
            match store.write(&[large]) {
                Ok(()) => acknowledged += 4,
                Err(StoreError::Failed(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            let page = store.read_log(&room("forum"), 1, 1).unwrap();
            assert_eq!(page.total, acknowledged);
            // A write that was found to be stored after all has a new connection too.
            let used_on = mark(&store, 77) == 77;
            assert!(!used_on || refused == before, "the connection that failed is used on");
        }
        assert!(acknowledged > 0);
        println!("\nacknowledged {acknowledged}");
        // As if killed: nothing is closed.
        std::process::exit(0);
    }
}

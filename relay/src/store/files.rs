//! Files of a store in the data directory: the lock that keeps a second relay out, and the database's own file. Part
//! of [`super::sqlite`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use tribune_relay_core::store::StoreError;

/// The lock's name in the data directory. It holds nothing, and stays when the relay has ended.
pub(super) const LOCK: &str = "tribune.lock";

/// Takes the directory for this relay alone.
pub(super) fn take_lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK);
    let open = fs::create_dir_all(directory).and_then(|()| private().truncate(false).open(&path));
    let lock = open.map_err(|error| unusable(&path, error))?;
    lock.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => unusable(directory, "another relay uses it"),
        fs::TryLockError::Error(error) => unusable(&path, error),
    })?;
    Ok(lock)
}

/// Makes the database's file, if there is none, so that nobody else may read it; SQLite gives the
/// files that it puts beside it the same mode.
pub(super) fn make_file(directory: &Path, path: &Path) -> io::Result<()> {
    if !path.try_exists()? {
        private().open(path)?;
        // The names of new files and directories have to reach the disk too.
        for directory in [Some(directory), directory.parent()].into_iter().flatten() {
            sync_directory(directory)?;
        }
    }
    Ok(())
}

/// For a file that nobody else may read, where the system has modes.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    let here = Path::new(".");
    File::open(if directory == Path::new("") { here } else { directory })?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The refusal of files that cannot be a store.
pub(super) fn unusable(path: &Path, why: impl ToString) -> StoreError {
    StoreError::Unusable { path: path.to_owned(), why: why.to_string() }
}

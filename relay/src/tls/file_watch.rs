//! Changes of files, by what the system says of them: their number, size and times. Symbolic links are
//! followed, so that a link which points elsewhere is a change too.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::SystemTime;

/// State of files at one look; a file that is not there is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Stamp(Vec<Option<Facts>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Number of the file, and the time at which its rights or place changed last.
    #[cfg(unix)]
    inode: (u64, i64, i64),
}

impl Stamp {
    /// The present state of files.
    pub(super) fn of(paths: &[&Path]) -> Self {
        Self(
            paths
                .iter()
                .map(|path| fs::metadata(path).ok().map(|found| Facts::of(&found)))
                .collect(),
        )
    }
}

impl Facts {
    fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (found.ino(), found.ctime(), found.ctime_nsec())
        };
        Self {
            modified: found.modified().ok(),
            bytes: found.len(),
            #[cfg(unix)]
            inode,
        }
    }
}

/// Watch over files that belong together and are replaced one after the other: a change is taken up once it has
/// stayed the same from one look to the next.
#[derive(Debug)]
pub(super) struct FileWatch {
    /// At the last reading.
    read: Stamp,
    /// At the last look.
    seen: Stamp,
}

impl FileWatch {
    /// Watch over files that have just been read, by their state from before the reading.
    pub(super) fn new(read: Stamp) -> Self {
        Self { seen: read.clone(), read }
    }

    /// Takes a look, and says whether the files are to be read now. They count as read then, whatever comes of it:
    /// the next reading takes another change.
    pub(super) fn handle_look(&mut self, now: Stamp) -> bool {
        let is_calm = now == self.seen;
        let is_new = now != self.read;
        self.seen = now;
        if is_calm && is_new {
            self.read = self.seen.clone();
        }
        is_calm && is_new
    }

    /// Notes a reading outside of the looks.
    pub(super) fn handle_read(&mut self, now: Stamp) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(bytes: u64) -> Stamp {
        Stamp(vec![Some(Facts {
            modified: None,
            bytes,
            #[cfg(unix)]
            inode: (0, 0, 0),
        })])
    }

    #[test]
    fn a_change_is_taken_up_once_and_when_it_has_settled() {
        let mut watch = FileWatch::new(stamp(1));
        assert!(!watch.handle_look(stamp(1)));
        assert!(!watch.handle_look(stamp(2)), "it may go on");
        assert!(!watch.handle_look(stamp(3)), "it has gone on");
        assert!(watch.handle_look(stamp(3)));
        assert!(!watch.handle_look(stamp(3)), "once");
        assert!(!watch.handle_look(Stamp(vec![None])));
        assert!(watch.handle_look(Stamp(vec![None])), "a file that has gone is a change");
        watch.handle_read(stamp(4));
        assert!(!watch.handle_look(stamp(4)), "it was read already");
    }

    #[test]
    fn what_counts_as_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cert.pem");
        let look = || Stamp::of(&[&path]);
        assert_eq!(look(), Stamp(vec![None]));
        fs::write(&path, "one").unwrap();
        let one = look();
        assert_eq!(look(), one);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Same size and same time: another file under the name.
            let draft = directory.path().join("draft");
            fs::write(&draft, "two").unwrap();
            let times =
                fs::FileTimes::new().set_modified(fs::metadata(&path).unwrap().modified().unwrap());
            fs::File::options().write(true).open(&draft).unwrap().set_times(times).unwrap();
            fs::rename(&draft, &path).unwrap();
            let two = look();
            assert_ne!(two, one);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            assert_ne!(look(), two, "rights that were given later");
        }
    }
}

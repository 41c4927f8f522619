//! Verification of a log: whole, and as the origin wrote it. For clients, and for a relay that starts.

use super::canonical;
use super::fault::{EntryFault, Fault, HeadFault};
use super::signed::{Head, SignedEntry};
use crate::domain::key::{Hash, LogPublicKey};
use crate::ids::RoomName;

/// Facts about a verified log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The room.
    pub room: RoomName,
    /// The number of entries.
    pub entries: u64,
    /// When the origin said so: milliseconds since the Unix epoch, by its clock. Later entries, if
    /// any, are not in this log.
    pub as_of_ms: u64,
    /// The key that signed it.
    pub key: LogPublicKey,
    /// Whether that key was expected. If not, the log is whole, but it may be anybody's.
    pub pinned: bool,
}

/// Verifies a whole log: that it is of `room`, that every entry is in its place, unchanged and signed,
/// and that it goes as far as `head` says. With a `pinned` key only that one may have signed it; without
/// one the key is taken from the head, which says only that one key signed everything.
///
/// # Errors
/// The first fault found. All hashes and links are looked at before the first entry's signature.
pub fn verify(
    room: &RoomName,
    pinned: Option<&LogPublicKey>,
    entries: &[SignedEntry],
    head: &Head,
) -> Result<Verified, Fault> {
    verify_links(room, pinned, entries, head)?;
    verify_signatures(entries, head)?;
    Ok(Verified::of(head, pinned.is_some()))
}

/// Everything but the signatures of the entries: the cheap part.
pub(super) fn verify_links(
    room: &RoomName,
    pinned: Option<&LogPublicKey>,
    entries: &[SignedEntry],
    head: &Head,
) -> Result<(), Fault> {
    // First of all, so that a changed room or key is not taken for a fault of the first entry.
    check_head(room, pinned, head).map_err(Fault::Head)?;
    let mut end = End { room: room.clone(), entries: 0, hash: Hash::ZERO };
    for entry in entries {
        end.follow(entry)?;
    }
    end.is_at(head)
}

/// The rest of [`verify`].
pub(super) fn verify_signatures(entries: &[SignedEntry], head: &Head) -> Result<(), Fault> {
    entries
        .iter()
        .zip(1..)
        .try_for_each(|(entry, number)| check_signature(entry, number, &head.key))
}

/// Verifies a log page by page, as it comes in.
#[derive(Debug, Clone)]
pub struct Verifier {
    end: End,
    key: LogPublicKey,
}

/// Progress of a verification.
#[derive(Debug, Clone)]
struct End {
    room: RoomName,
    entries: u64,
    hash: Hash,
}

impl Verifier {
    /// From the first entry of a room's log, which `key` has signed.
    #[must_use]
    pub const fn new(room: RoomName, key: LogPublicKey) -> Self {
        Self { end: End { room, entries: 0, hash: Hash::ZERO }, key }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`Fault::Entry`]; the entry then does not count.
    pub fn handle_entry(&mut self, entry: &SignedEntry) -> Result<(), Fault> {
        let mut end = self.end.clone();
        end.follow(entry)?;
        check_signature(entry, end.entries, &self.key)?;
        self.end = end;
        Ok(())
    }

    /// Holds a head against the entries so far.
    ///
    /// # Errors
    /// [`Fault::Head`], also if there are entries still to come.
    pub fn check_head(&self, head: &Head) -> Result<Verified, Fault> {
        check_head(&self.end.room, Some(&self.key), head).map_err(Fault::Head)?;
        self.end.is_at(head)?;
        Ok(Verified::of(head, true))
    }

    /// The number of entries taken; also the number of the last one.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.end.entries
    }
}

impl Verified {
    pub(super) fn of(head: &Head, pinned: bool) -> Self {
        let room = head.room.clone();
        Self { room, entries: head.entries, as_of_ms: head.at_ms, key: head.key, pinned }
    }
}

impl End {
    /// Goes on to the next entry, if it is that.
    fn follow(&mut self, signed: &SignedEntry) -> Result<(), Fault> {
        let SignedEntry { entry, previous, hash, signature: _ } = signed;
        let number = self.entries + 1;
        let fault = if entry.room != self.room {
            EntryFault::OtherRoom { wanted: self.room.clone(), found: entry.room.clone() }
        } else if entry.number != number {
            EntryFault::OutOfOrder { found: entry.number }
        } else if *previous != self.hash {
            EntryFault::BrokenLink { wanted: self.hash, found: *previous }
        } else if *hash != Hash::of(&canonical::entry(entry, previous)) {
            EntryFault::WrongHash
        } else {
            (self.entries, self.hash) = (number, *hash);
            return Ok(());
        };
        Err(Fault::Entry { number, fault })
    }

    /// Whether the head says that the log ends here.
    fn is_at(&self, head: &Head) -> Result<(), Fault> {
        if head.entries != self.entries {
            let (stated, found) = (head.entries, self.entries);
            return Err(Fault::Head(HeadFault::OtherCount { stated, found }));
        }
        if head.hash != self.hash {
            let (stated, found) = (head.hash, self.hash);
            return Err(Fault::Head(HeadFault::OtherHash { stated, found }));
        }
        Ok(())
    }
}

fn check_head(
    room: &RoomName,
    pinned: Option<&LogPublicKey>,
    head: &Head,
) -> Result<(), HeadFault> {
    if head.room != *room {
        return Err(HeadFault::OtherRoom { wanted: room.clone(), found: head.room.clone() });
    }
    if let Some(wanted) = pinned.filter(|wanted| **wanted != head.key) {
        return Err(HeadFault::OtherKey { wanted: *wanted, found: head.key });
    }
    if !head.key.verifies(&canonical::head(head), &head.signature) {
        return Err(HeadFault::WrongSignature { key: head.key });
    }
    Ok(())
}

fn check_signature(entry: &SignedEntry, number: u64, key: &LogPublicKey) -> Result<(), Fault> {
    if key.verifies(&canonical::signed(&entry.hash), &entry.signature) {
        return Ok(());
    }
    Err(Fault::Entry { number, fault: EntryFault::WrongSignature { key: *key } })
}

//! Faults of a log: where it is not as it was written, and how.

use crate::domain::key::{Hash, LogPublicKey};
use crate::ids::RoomName;

/// A fault, and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// In one entry, or in its place.
    #[error("entry {number}: {fault}")]
    Entry {
        /// The entry's place in the file, from 1.
        number: u64,
        /// The fault.
        fault: EntryFault,
    },
    /// In the head.
    #[error("the head of the log: {0}")]
    Head(HeadFault),
    /// Elsewhere in an export.
    #[error("line {line}: {why}")]
    Line {
        /// The line of the file, from 1.
        line: usize,
        /// The fault.
        why: &'static str,
    },
}

/// Fault of an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// Too large for any entry.
    #[error("it has {bytes} bytes, over the limit of 2,048")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// Not an entry.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// An entry, but not written as this one would be.
    #[error("it is not written in the one form that an entry has")]
    NotCanonical,
    /// As [`EntryFault::NotCanonical`], of an export.
    #[error("line {line} is not what is written for this entry")]
    Altered {
        /// The line of the file, from 1.
        line: usize,
    },
    /// Of another room.
    #[error("it is of room {found}, not of {wanted}")]
    OtherRoom {
        /// The room of the log.
        wanted: RoomName,
        /// The room of the entry.
        found: RoomName,
    },
    /// Entries are missing, doubled or in another order.
    #[error("its place is taken by number {found}: entries are missing or out of order")]
    OutOfOrder {
        /// The number that it says.
        found: u64,
    },
    /// The export ends too early.
    #[error("it is missing")]
    Missing,
    /// The entry before was exchanged or taken out.
    #[error(
        "it does not follow the entry before: it names hash {found}, and that one has {wanted}"
    )]
    BrokenLink {
        /// The hash of the entry before.
        wanted: Hash,
        /// The hash that this one names.
        found: Hash,
    },
    /// The entry was changed after it was written.
    #[error("its content does not match its hash")]
    WrongHash,
    /// The entry was not written by the holder of the key.
    #[error("its signature is not by the key {key}")]
    WrongSignature {
        /// The key of the log.
        key: LogPublicKey,
    },
}

/// Fault of a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Of another room.
    #[error("it is of room {found}, not of {wanted}")]
    OtherRoom {
        /// The room of the log.
        wanted: RoomName,
        /// The room of the head.
        found: RoomName,
    },
    /// Signed by somebody else than expected.
    #[error("its key is {found}, and {wanted} is expected")]
    OtherKey {
        /// The key that is expected.
        wanted: LogPublicKey,
        /// The key of the head.
        found: LogPublicKey,
    },
    /// The head or its key was changed after it was written.
    #[error("its signature is not over this content by the key {key}")]
    WrongSignature {
        /// The key of the head.
        key: LogPublicKey,
    },
    /// Entries were cut off or put on.
    #[error("it counts {stated} entries, and there are {found}")]
    OtherCount {
        /// The count in the head.
        stated: u64,
        /// The count of entries.
        found: u64,
    },
    /// The last entry is another one.
    #[error("it names hash {stated} for the last entry, which has {found}")]
    OtherHash {
        /// The hash in the head.
        stated: Hash,
        /// The hash of the last entry.
        found: Hash,
    },
}

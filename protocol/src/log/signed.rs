//! Signed entries and heads, as they are stored and sent.

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::fault::{EntryFault, HeadFault};
use crate::domain::key::{Hash, LogPublicKey, Signature};
use crate::ids::RoomName;
use crate::limits::MAX_LOG_ENTRY_BYTES;
use crate::wellformed::is_one_item;

/// An entry, tied to the one before it and signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedEntry {
    /// The entry.
    pub entry: Entry,
    /// The hash of the entry before; [`Hash::ZERO`] for the first.
    pub previous: Hash,
    /// The hash of this entry and of `previous`.
    pub hash: Hash,
    /// The origin's signature over `hash`.
    pub signature: Signature,
}

/// Signed length of a log: without it, entries could be cut off the end unseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The room.
    pub room: RoomName,
    /// The number of entries.
    pub entries: u64,
    /// The last entry's hash; [`Hash::ZERO`] if there is none.
    pub hash: Hash,
    /// When this was so: milliseconds since the Unix epoch, by the origin's clock.
    pub at_ms: u64,
    /// The key that signed this and every entry. To be compared with the origin's key.
    pub key: LogPublicKey,
    /// The origin's signature over the other fields.
    pub signature: Signature,
}

impl Head {
    /// The head as it travels: one CBOR map.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match ciborium::into_writer(self, &mut out) {
            Ok(()) => out,
            Err(error) => unreachable!("a vector takes every head: {error}"),
        }
    }

    /// Reads bytes of [`Head::to_bytes`], and no others of equal meaning.
    ///
    /// # Errors
    /// [`HeadFault::Unreadable`]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadFault> {
        /// A head and its values.
        const DEPTH: usize = 3;
        let unreadable = |why: &str| HeadFault::Unreadable(why.to_owned());
        if bytes.len() > MAX_LOG_ENTRY_BYTES || !is_one_item(bytes, DEPTH) {
            return Err(unreadable("it is not one CBOR item"));
        }
        let head: Self =
            ciborium::from_reader(bytes).map_err(|error| unreadable(&error.to_string()))?;
        if head.to_bytes() == bytes { Ok(head) } else { Err(unreadable("it is not canonical")) }
    }
}

impl SignedEntry {
    /// The entry as it is stored: one CBOR map, under 2 KiB.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(768);
        match ciborium::into_writer(self, &mut out) {
            Ok(()) => out,
            Err(error) => unreachable!("a vector takes every entry: {error}"),
        }
    }

    /// Reads bytes of [`SignedEntry::to_bytes`], and no others of equal meaning. Hash and signature are
    /// checked by a [`super::Verifier`].
    ///
    /// # Errors
    /// [`EntryFault::TooLong`], [`EntryFault::Unreadable`] or [`EntryFault::NotCanonical`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryFault> {
        /// An entry, its maps and their values.
        const DEPTH: usize = 4;
        if bytes.len() > MAX_LOG_ENTRY_BYTES {
            return Err(EntryFault::TooLong { bytes: bytes.len() });
        }
        if !is_one_item(bytes, DEPTH) {
            return Err(EntryFault::Unreadable("it is not one CBOR item".to_owned()));
        }
        let entry: Self = ciborium::from_reader(bytes)
            .map_err(|error| EntryFault::Unreadable(error.to_string()))?;
        if entry.to_bytes() == bytes { Ok(entry) } else { Err(EntryFault::NotCanonical) }
    }
}

//! How entries are tied together, signed and stored. The origin's side of the log.

use serde::{Deserialize, Serialize};

use super::canonical;
use super::entry::{Detail, Entry, Party};
use super::verify::{EntryFault, HeadFault};
use crate::domain::action::LogAction;
use crate::domain::key::{Hash, LogKey, LogPublicKey, Signature};
use crate::ids::{Note, RoomName};
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

/// How far a log goes, signed: without it, entries could be cut off the end unseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The room.
    pub room: RoomName,
    /// How many entries there are.
    pub entries: u64,
    /// The last entry's hash; [`Hash::ZERO`] if there is none.
    pub hash: Hash,
    /// When this was so: milliseconds since the Unix epoch, by the origin's clock.
    pub at_ms: u64,
    /// The key that signed this and every entry. Whoever knows the origin's key compares it.
    pub key: LogPublicKey,
    /// The origin's signature over the other fields.
    pub signature: Signature,
}

/// An entry without its place in the log: what an action says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// [`Entry::at_ms`].
    pub at_ms: u64,
    /// [`Entry::actor`].
    pub actor: Party,
    /// [`Entry::action`].
    pub action: LogAction,
    /// [`Entry::target`].
    pub target: Option<Party>,
    /// [`Entry::reason`].
    pub reason: Note,
    /// [`Entry::duration_s`].
    pub duration_s: Option<u64>,
    /// [`Entry::about`].
    pub about: Option<u64>,
    /// [`Entry::detail`].
    pub detail: Detail,
}

/// The end of a log, where the next entry is tied to. Cheap to clone: append to a clone, and keep it
/// once the entries are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    room: RoomName,
    entries: u64,
    hash: Hash,
}

impl Chain {
    /// A log without entries.
    #[must_use]
    pub const fn new(room: RoomName) -> Self {
        Self { room, entries: 0, hash: Hash::ZERO }
    }

    /// The log that ends with `last`, which has been verified.
    #[must_use]
    pub fn resume(last: &SignedEntry) -> Self {
        let SignedEntry { entry, hash, .. } = last;
        Self { room: entry.room.clone(), entries: entry.number, hash: *hash }
    }

    /// Ties an entry to the end and signs it.
    pub fn append(&mut self, key: &LogKey, draft: Draft) -> SignedEntry {
        let Draft { at_ms, actor, action, target, reason, duration_s, about, detail } = draft;
        let (number, room) = (self.entries + 1, self.room.clone());
        let entry =
            Entry { number, room, at_ms, actor, action, target, reason, duration_s, about, detail };
        let previous = self.hash;
        let hash = Hash::of(&canonical::entry(&entry, &previous));
        let signature = key.sign(&canonical::signed(&hash));
        self.entries = number;
        self.hash = hash;
        SignedEntry { entry, previous, hash, signature }
    }

    /// States how far the log goes, at `at_ms` by the origin's clock.
    #[must_use]
    pub fn head(&self, key: &LogKey, at_ms: u64) -> Head {
        let mut head = Head {
            room: self.room.clone(),
            entries: self.entries,
            hash: self.hash,
            at_ms,
            key: key.public(),
            signature: Signature([0; 64]),
        };
        head.signature = key.sign(&canonical::head(&head));
        head
    }

    /// The room.
    #[must_use]
    pub const fn room(&self) -> &RoomName {
        &self.room
    }

    /// How many entries there are; also the number of the last one.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// The last entry's hash; [`Hash::ZERO`] if there is none.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }
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

    /// Reads what [`Head::to_bytes`] wrote; nothing else, be it equal in meaning.
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

impl Draft {
    /// An action without a target, a reason or anything else.
    #[must_use]
    pub fn new(at_ms: u64, actor: Party, action: LogAction) -> Self {
        Self {
            at_ms,
            actor,
            action,
            target: None,
            reason: Note::default(),
            duration_s: None,
            about: None,
            detail: Detail::default(),
        }
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

    /// Reads what [`SignedEntry::to_bytes`] wrote; nothing else, be it equal in meaning. Whether the
    /// hash and the signature are right is for a [`super::Verifier`] to say.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::spec_vector;
    use crate::domain::role::Role;
    use crate::ids::ParticipantId;

    #[test]
    fn the_test_vector_of_the_specification() {
        let person = |subject: &str, name: &str, role, participant| Party {
            subject: Some(subject.parse().unwrap()),
            name: Some(name.parse().unwrap()),
            role: Some(role),
            participant: Some(ParticipantId(participant)),
            address: None,
        };
        let draft = Draft {
            target: Some(person("bob", "Bob", Role::Speaker, 2)),
            reason: "insults".parse().unwrap(),
            duration_s: Some(3_600),
            ..Draft::new(1_795_378_503_000, person("ada", "Ada", Role::Host, 1), LogAction::Banned)
        };
        let mut chain = Chain::new("stage".parse().unwrap());
        let entry = chain.append(&LogKey::from_seed(&[7; 32]), draft);
        assert_eq!(entry.to_bytes(), spec_vector("log-entry"));

        // The hash, put together by hand from section 12.2.
        let mut content = b"tribune log entry 1\n".to_vec();
        content.extend_from_slice(&[0; 32]);
        content.extend_from_slice(b"\0\x05stage");
        content.extend_from_slice(&1_u64.to_be_bytes());
        content.extend_from_slice(&1_795_378_503_000_u64.to_be_bytes());
        content.extend_from_slice(b"\x01\0\x03ada\x01\0\x03Ada\x01\0\x04host");
        content.extend_from_slice(b"\x01\0\0\0\0\0\0\0\x01\0");
        content.extend_from_slice(b"\0\x06banned");
        content.extend_from_slice(b"\x01\x01\0\x03bob\x01\0\x03Bob\x01\0\x07speaker");
        content.extend_from_slice(b"\x01\0\0\0\0\0\0\0\x02\0");
        content.extend_from_slice(b"\0\x07insults");
        content.extend_from_slice(b"\x01\0\0\0\0\0\0\x0e\x10");
        content.extend_from_slice(b"\0\0\0");
        assert_eq!(entry.hash, Hash::of(&content));
    }
}

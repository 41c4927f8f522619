//! Chain of entries: each is tied to the one before and signed. The origin's side of the log.

use super::canonical;
use super::entry::{Detail, Entry, Party};
use super::signed::{Head, SignedEntry};
use crate::domain::action::LogAction;
use crate::domain::key::{Hash, LogKey, Signature};
use crate::ids::{Note, RoomName};

/// An entry without its place in the log.
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

    /// Appends an entry and signs it.
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

    /// The signed head, at `at_ms` by the origin's clock.
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

    /// The number of entries; also the number of the last one.
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

//! Participants that the origin knows by name: those on the stage or in the queue of hands, those who
//! left a while ago, and the room's host. Silent listeners are only counted.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{DisplayName, ParticipantId, Subject};
use tribune_protocol::limits::MAX_HANDS;

/// People remembered after they leave the stage or the queue: as many as fit the queue.
const MAX_LEAVERS: usize = MAX_HANDS;

/// A participant known by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::room) struct Person {
    pub(super) subject: Subject,
    pub(super) name: DisplayName,
    /// Role that the edge vouches for.
    pub(super) entitled: Role,
}

#[cfg(test)]
impl Person {
    pub(in crate::room) const fn subject(&self) -> &Subject {
        &self.subject
    }
}

/// Everybody whom the origin knows by name.
#[derive(Debug, Clone, Default)]
pub(in crate::room) struct People {
    /// Everybody on the stage and in the queue.
    present: BTreeMap<ParticipantId, Person>,
    /// Participants who left, the latest last, at most [`MAX_LEAVERS`]: a ruling about a session that
    /// has just ended still finds the subject behind it.
    leavers: VecDeque<(ParticipantId, Person)>,
    /// Subject that owns the room: it comes in as its host.
    host: Option<Subject>,
}

impl People {
    /// The people of a restored room.
    pub(super) fn restored(
        present: BTreeMap<ParticipantId, Person>,
        host: Option<Subject>,
    ) -> Self {
        Self { present, leavers: VecDeque::new(), host }
    }

    /// A participant on the stage or in the queue.
    pub(in crate::room) fn get(&self, who: ParticipantId) -> Option<&Person> {
        self.present.get(&who)
    }

    /// A participant who is known, or was a while ago.
    pub(super) fn recent(&self, who: ParticipantId) -> Option<&Person> {
        let left = || self.leavers.iter().rev().find(|(left, _)| *left == who);
        self.present.get(&who).or_else(|| left().map(|(_, person)| person))
    }

    /// The subject of a participant on the stage or in the queue.
    pub(super) fn subject(&self, who: ParticipantId) -> Option<&Subject> {
        self.present.get(&who).map(|person| &person.subject)
    }

    /// Everybody on the stage and in the queue, by id.
    pub(in crate::room) fn iter(&self) -> impl Iterator<Item = (ParticipantId, &Person)> {
        self.present.iter().map(|(who, person)| (*who, person))
    }

    /// Sessions of a subject on the stage and in the queue.
    pub(super) fn sessions(&self, subject: &Subject) -> Vec<ParticipantId> {
        let theirs = self.present.iter().filter(|(_, person)| person.subject == *subject);
        theirs.map(|(who, _)| *who).collect()
    }

    /// Everything known of a subject: present sessions first, then those that left, the latest first.
    pub(super) fn of_subject(&self, subject: &Subject) -> Vec<&Person> {
        let left = self.leavers.iter().rev().map(|(_, person)| person);
        self.present.values().chain(left).filter(|person| person.subject == *subject).collect()
    }

    /// Notes a participant who comes on the stage or into the queue.
    pub(super) fn remember(&mut self, who: ParticipantId, person: Person) {
        self.leavers.retain(|(left, _)| *left != who);
        self.present.insert(who, person);
    }

    /// Keeps in mind for a while that a participant has left the stage or the queue.
    pub(super) fn note_leaver(&mut self, who: ParticipantId) {
        let Some(person) = self.present.remove(&who) else { return };
        self.leavers.retain(|(left, _)| *left != who);
        if self.leavers.len() >= MAX_LEAVERS {
            self.leavers.pop_front();
        }
        self.leavers.push_back((who, person));
    }

    /// Owner of the room.
    pub(super) const fn host(&self) -> Option<&Subject> {
        self.host.as_ref()
    }

    /// Whether the room is somebody else's.
    pub(super) fn has_other_host(&self, subject: &Subject) -> bool {
        self.host.as_ref().is_some_and(|host| host != subject)
    }

    /// Makes the room a subject's, or nobody's.
    pub(super) fn set_host(&mut self, host: Option<Subject>) {
        self.host = host;
    }

    /// Forgets everybody: the room has ended.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

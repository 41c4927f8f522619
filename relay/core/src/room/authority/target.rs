//! Persons in a decision: the actor who makes a request, and the target that it is about.

use tribune_protocol::domain::permission::PermissionSet;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::share::Share;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{DisplayName, ParticipantId, Subject};
use tribune_protocol::log::Party;

use super::effect::Asker;

/// The sender of a request, as the origin sees them now.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) asker: Asker,
    pub(super) subject: Subject,
    pub(super) name: DisplayName,
    /// Role that the edge vouches for, or that a moderator has given.
    pub(super) entitled: Role,
    /// Role in which they act.
    pub(super) role: Role,
    pub(super) may: PermissionSet,
    pub(super) may_open: bool,
    /// Share link by which they came.
    pub(super) came_by: Option<Share>,
}

impl Actor {
    /// The actor as the log names them.
    pub(super) fn party(&self) -> Party {
        Party {
            subject: Some(self.subject.clone()),
            name: Some(self.name.clone()),
            role: Some(self.role),
            participant: None,
            address: None,
        }
    }

    /// Key of rulings about them.
    pub(super) fn key(&self) -> PersonKey {
        if self.subject.is_guest() {
            PersonKey::of_participant(self.asker.id)
        } else {
            PersonKey::of_subject(&self.subject)
        }
    }
}

/// A request's target, as far as the origin knows it.
#[derive(Debug, Clone)]
pub(super) struct ResolvedTarget {
    /// Key of rulings about it.
    pub(super) key: PersonKey,
    pub(super) target: Target,
    /// Its places on the stage and in the queue.
    pub(super) participants: Vec<ParticipantId>,
    pub(super) subject: Option<Subject>,
    pub(super) role: Role,
    /// The target as the log names it.
    pub(super) party: Party,
}

impl ResolvedTarget {
    /// Whether the target has tokens, whose time of issue counts.
    pub(super) fn has_tokens(&self) -> bool {
        self.subject.as_ref().is_some_and(|subject| !subject.is_guest())
    }

    /// Sessions that a kick closes.
    pub(super) fn sessions(&self) -> Vec<ParticipantId> {
        let mut sessions = self.participants.clone();
        if let Target::Participant(who) = &self.target
            && !sessions.contains(who)
        {
            sessions.push(*who);
        }
        if let Some(who) = self.subject.as_ref().and_then(Subject::guest_id)
            && !sessions.contains(&who)
        {
            sessions.push(who);
        }
        sessions.truncate(1 + tribune_protocol::limits::MAX_STAGE);
        sessions
    }
}

//! The docket: decisions that can be appealed, one appeal each, and whether it is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{ParticipantId, Subject};
use tribune_protocol::log::LogAction;

use super::effect::Refusal;
use super::target::{Actor, ResolvedTarget};

/// Decisions that can be appealed, the oldest forgotten first: as many as a host could still read up.
const MAX_APPEALABLE: usize = 1_000;

/// Decisions about persons, by the number of their log entry; at most [`MAX_APPEALABLE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::room) struct Docket {
    decisions: BTreeMap<u64, Decision>,
}

/// A decision, as far as taking it back needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Decision {
    pub(super) action: LogAction,
    pub(super) target: Target,
    pub(super) key: PersonKey,
    pub(super) change: Change,
    pub(super) subject: Option<Subject>,
    pub(super) participants: Vec<ParticipantId>,
    appeal: Appeal,
}

/// Change made by a decision, as far as it takes to undo this one and no later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    /// The role.
    Role(Role),
    /// This permission has been taken.
    Permission(Permission),
    /// Something else.
    Other,
}

/// The one appeal against a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Appeal {
    None,
    /// The entry of the appeal.
    Open(u64),
    Answered,
}

impl Docket {
    /// Notes a decision.
    pub(super) fn add(
        &mut self,
        entry: u64,
        action: LogAction,
        found: &ResolvedTarget,
        change: Change,
    ) {
        if self.decisions.len() >= MAX_APPEALABLE {
            self.decisions.pop_first();
        }
        let decision = Decision {
            action,
            target: found.target.clone(),
            key: found.key,
            change,
            subject: found.subject.clone(),
            participants: found.participants.clone(),
            appeal: Appeal::None,
        };
        self.decisions.insert(entry, decision);
    }

    /// Whether the actor can appeal the decision of an entry.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::NotPermitted`] or [`ErrorCode::AlreadyAppealed`].
    pub(super) fn check_appeal(&self, entry: u64, actor: &Actor) -> Result<(), Refusal> {
        let Some(decision) = self.decisions.get(&entry) else {
            return Err(Refusal::bad_request(format!(
                "Entry {entry} of the log is no decision that can be appealed."
            )));
        };
        let is_theirs = decision.subject.as_ref() == Some(&actor.subject)
            || decision.participants.contains(&actor.asker.id);
        if !is_theirs {
            let message = format!("Entry {entry} of the log is not about you.");
            return Err(Refusal::new(ErrorCode::NotPermitted, message));
        }
        if decision.appeal != Appeal::None {
            let message = format!("There is an appeal against entry {entry} already.");
            return Err(Refusal::new(ErrorCode::AlreadyAppealed, message));
        }
        Ok(())
    }

    /// Notes the appeal of entry `appeal` against the decision of `entry`.
    pub(super) fn open(&mut self, entry: u64, appeal: u64) {
        if let Some(decision) = self.decisions.get_mut(&entry) {
            decision.appeal = Appeal::Open(appeal);
        }
    }

    /// Notes that an appeal is answered. Returns the decision and the number of its entry.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], if no such appeal waits for an answer.
    pub(super) fn answer(&mut self, appeal: u64) -> Result<(u64, Decision), Refusal> {
        let open = |decision: &Decision| decision.appeal == Appeal::Open(appeal);
        let found = self.decisions.iter_mut().find(|(_, decision)| open(decision));
        let Some((number, decision)) = found else {
            return Err(Refusal::bad_request(format!(
                "Entry {appeal} of the log is no appeal that waits for an answer."
            )));
        };
        decision.appeal = Appeal::Answered;
        Ok((*number, decision.clone()))
    }
}

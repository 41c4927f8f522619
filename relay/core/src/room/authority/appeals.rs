//! Appeals at a room's origin: the decisions that can be appealed, one appeal each, and its answer.
//! Used by [`crate::room::authority::state`].

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId, Subject};
use tribune_protocol::log::{Draft, LogAction};

use crate::room::authority::effect::Refusal;
use crate::room::authority::rulings::Found;
use crate::room::authority::state::{Actor, House};

/// Decisions that can be appealed, the oldest forgotten first: what a host could still read up.
pub const MAX_APPEALABLE: usize = 1_000;

/// The decisions about persons, by the number of their entry in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Docket {
    decisions: BTreeMap<u64, Decision>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Decision {
    action: LogAction,
    target: Target,
    key: PersonKey,
    change: Change,
    subject: Option<Subject>,
    participants: Vec<ParticipantId>,
    appeal: Appeal,
}

/// What a decision has changed, as far as that is needed to take back this one and no later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::room) enum Change {
    /// The role.
    Role(Role),
    /// This permission has been taken.
    Permission(Permission),
    /// Something else.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Appeal {
    None,
    /// The entry of the appeal.
    Open(u64),
    Answered,
}

impl Docket {
    /// Notes a decision.
    pub(in crate::room) fn add(
        &mut self,
        entry: u64,
        action: LogAction,
        found: &Found,
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
}

impl House {
    pub(in crate::room) fn appeal(
        &mut self,
        now: Instant,
        actor: &Actor,
        entry: u64,
        text: Note,
    ) -> Result<(), Refusal> {
        let Some(decision) = self.docket.decisions.get(&entry) else {
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
        if text.as_str().trim().is_empty() {
            return Err(Refusal::bad_request("An appeal says something."));
        }
        let mut draft = Draft::new(0, actor.party(), LogAction::Appealed);
        draft.about = Some(entry);
        draft.reason = text;
        let appeal = self.write_down(now, draft);
        if let Some(decision) = self.docket.decisions.get_mut(&entry) {
            decision.appeal = Appeal::Open(appeal);
        }
        self.outbox.ok(actor.asker);
        Ok(())
    }

    pub(in crate::room) fn answer_appeal(
        &mut self,
        now: Instant,
        actor: &Actor,
        appeal: u64,
        uphold: bool,
        reason: Note,
    ) -> Result<(), Refusal> {
        let open = |decision: &Decision| decision.appeal == Appeal::Open(appeal);
        let found = self.docket.decisions.iter_mut().find(|(_, decision)| open(decision));
        let Some((number, decision)) = found.map(|(number, decision)| (*number, decision)) else {
            return Err(Refusal::bad_request(format!(
                "Entry {appeal} of the log is no appeal that waits for an answer."
            )));
        };
        decision.appeal = Appeal::Answered;
        let decision = decision.clone();
        let found = self.find(&decision.target)?;
        let action = if uphold { LogAction::AppealUpheld } else { LogAction::AppealRejected };
        let mut draft = Draft::new(0, actor.party(), action);
        draft.about = Some(appeal);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        let entry = self.write_down(now, draft);
        if uphold {
            self.take_back(number, &decision, &found);
        }
        let by = Some(actor.name.clone());
        let news = Moderated { action: Some(action), by, reason, entry, until_s: 0 };
        for who in found.participants {
            self.notify(who, news.clone());
        }
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    /// Takes a decision back, as far as it still holds. What cannot be given back (a place on the
    /// stage, a hand) is not.
    fn take_back(&mut self, number: u64, decision: &Decision, found: &Found) {
        match decision.action {
            LogAction::Kicked | LogAction::Banned => {
                self.lift_bars_of(number);
            }
            LogAction::Silenced => {
                if let Some(subject) = &decision.subject {
                    self.silenced_leavers.remove(subject);
                }
                for who in &found.participants {
                    if self.set_silenced(*who, false) {
                        self.tell_place(*who, Note::default());
                    }
                }
            }
            LogAction::RemovedFromStage | LogAction::RoleChanged | LogAction::PermissionChanged => {
                self.rule_by_key(decision.key, |ruling| match decision.change {
                    Change::Role(role) => ruling.role = ruling.role.filter(|now| *now != role),
                    Change::Permission(permission) => {
                        ruling.deny = ruling.deny.minus(PermissionSet::of(&[permission]));
                    }
                    Change::Other => {}
                });
            }
            LogAction::HandDenied => self.hands.warm_up(&decision.participants),
            LogAction::RoomCreated
            | LogAction::RoomOpened
            | LogAction::RoomEnded
            | LogAction::RoomChanged
            | LogAction::Locked
            | LogAction::Unlocked
            | LogAction::AskedToMute
            | LogAction::Unsilenced
            | LogAction::AllSilenced
            | LogAction::AllUnsilenced
            | LogAction::Unbanned
            | LogAction::BanRanOut
            | LogAction::HandGranted
            | LogAction::HandsCleared
            | LogAction::HandsClosed
            | LogAction::HandsOpened
            | LogAction::InvitedToSpeak
            | LogAction::HostHandedOver
            | LogAction::HostSucceeded
            | LogAction::InvitationMade
            | LogAction::Appealed
            | LogAction::AppealUpheld
            | LogAction::AppealRejected => {}
        }
    }
}

//! What moderators do to those on the stage: asking to mute, silence. Rights are checked before, in
//! [`crate::room::authority::policy`].

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId, Subject};
use tribune_protocol::limits::MAX_HANDS;
use tribune_protocol::log::{Draft, LogAction};

use crate::room::authority::appeals::Change;
use crate::room::authority::effect::Refusal;
use crate::room::authority::state::{Actor, House};

impl House {
    pub(in crate::room) fn ask_mute(
        &mut self,
        now: Instant,
        actor: &Actor,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        let Some(entry) = self.state.on_stage(subject) else {
            return Err(self.not_on_stage(subject));
        };
        if entry.away {
            return Err(Refusal::new(
                ErrorCode::NoSuchParticipant,
                format!("{} is not connected at the moment.", entry.name),
            ));
        }
        let found = self.find(&Target::Participant(subject))?;
        let mut draft = Draft::new(0, actor.party(), LogAction::AskedToMute);
        draft.target = Some(found.party);
        draft.reason = reason.clone();
        self.write_down(now, draft);
        self.outbox.ok(actor.asker);
        let by = actor.name.clone();
        self.outbox.deliver(subject, ToParticipant::PleaseMute { by, reason });
        Ok(())
    }

    pub(in crate::room) fn silence(
        &mut self,
        now: Instant,
        actor: &Actor,
        subject: ParticipantId,
        on: bool,
        reason: Note,
    ) -> Result<(), Refusal> {
        if self.state.on_stage(subject).is_none() {
            return Err(self.not_on_stage(subject));
        }
        let found = self.find(&Target::Participant(subject))?;
        self.outranks(actor, &found, Permission::Silence)?;
        let action = if on { LogAction::Silenced } else { LogAction::Unsilenced };
        if self.set_silenced(subject, on) {
            let mut draft = Draft::new(0, actor.party(), action);
            draft.target = Some(found.party.clone());
            draft.reason = reason.clone();
            let entry = self.write_down(now, draft);
            if on {
                self.docket.add(entry, action, &found, Change::Other);
            }
            let news = self.news(actor, action, entry, reason.clone());
            self.notify(subject, news);
            self.tell_place(subject, reason);
        }
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    /// Everybody on the stage of a lower rank.
    pub(in crate::room) fn silence_all(
        &mut self,
        now: Instant,
        actor: &Actor,
        on: bool,
        reason: Note,
    ) -> Result<(), Refusal> {
        self.require_live()?;
        let policy = std::sync::Arc::clone(&self.setup.policy);
        let rank = policy.rank(actor.role);
        let below = self.state.stage.iter().filter(|entry| policy.rank(entry.role) < rank);
        let subjects: Vec<_> = below.map(|entry| entry.participant).collect();
        let action = if on { LogAction::AllSilenced } else { LogAction::AllUnsilenced };
        let mut draft = Draft::new(0, actor.party(), action);
        draft.reason = reason.clone();
        if let Ok(detail) = format!("{} on the stage", subjects.len()).parse() {
            draft.detail = detail;
        }
        let entry = self.write_down(now, draft);
        for subject in subjects {
            if self.set_silenced(subject, on) {
                let news = self.news(actor, action, entry, reason.clone());
                self.notify(subject, news);
                self.tell_place(subject, reason.clone());
            }
        }
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    /// Has every relay drop somebody's frames, or lets them pass again. Returns whether that changes
    /// anything.
    pub(in crate::room) fn set_silenced(&mut self, who: ParticipantId, on: bool) -> bool {
        let Some(entry) = self.entry_mut(who) else { return false };
        let is_new = std::mem::replace(&mut entry.silenced, on) != on;
        if is_new {
            self.outbox.publish();
        }
        is_new
    }

    /// What somebody is told of a decision.
    pub(in crate::room) fn news(
        &self,
        actor: &Actor,
        action: LogAction,
        entry: u64,
        reason: Note,
    ) -> Moderated {
        let by = Some(actor.name.clone());
        Moderated { action: Some(action), by, reason, entry, until_s: 0 }
    }
}

/// Silenced subjects remembered after they leave the stage, the oldest forgotten first. As many as
/// hands fit the queue by which they could come back.
const MAX_SILENCED_LEAVERS: usize = MAX_HANDS;

/// Who left the stage silenced, so that leaving and coming back in does not lift a silence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SilencedLeavers(VecDeque<Subject>);

impl SilencedLeavers {
    /// Remembers somebody who leaves the stage silenced.
    pub(crate) fn insert(&mut self, subject: Subject) {
        if self.0.len() >= MAX_SILENCED_LEAVERS {
            self.0.pop_front();
        }
        self.0.push_back(subject);
    }

    /// Forgets somebody who is on the stage again.
    pub(crate) fn remove(&mut self, subject: &Subject) {
        self.0.retain(|silenced| silenced != subject);
    }

    pub(crate) fn contains(&self, subject: &Subject) -> bool {
        self.0.contains(subject)
    }
}

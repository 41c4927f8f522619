//! What moderators do to those on the stage: asking to mute, silence. Rights are checked before, in
//! [`super::permissions`].

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::govern::Target;
use tribune_protocol::control::participant::{Moderated, ToParticipant};
use tribune_protocol::ids::{Note, ParticipantId, Subject};
use tribune_protocol::limits::MAX_HANDS;
use tribune_protocol::log::{Draft, LogAction};
use tribune_protocol::permission::Permission;

use super::effect::Refusal;
use super::house::{Actor, House};

impl House {
    pub(super) fn ask_mute(
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

    pub(super) fn silence(
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
                self.docket.add(entry, action, &found);
            }
            let news = self.news(actor, action, entry, reason.clone());
            self.notify(subject, news);
            self.tell_place(subject, reason);
        }
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    /// Everybody on the stage of a lower rank.
    pub(super) fn silence_all(
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
    pub(super) fn set_silenced(&mut self, who: ParticipantId, on: bool) -> bool {
        let Some(entry) = self.entry_mut(who) else { return false };
        let is_new = std::mem::replace(&mut entry.silenced, on) != on;
        if is_new {
            self.outbox.publish();
        }
        is_new
    }

    /// What somebody is told of a decision.
    pub(super) fn news(
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

#[cfg(test)]
mod tests {
    use tribune_protocol::control::encode;
    use tribune_protocol::control::room::Role;
    use tribune_protocol::control::trunk::Action;
    use tribune_protocol::ids::TrackId;
    use tribune_protocol::limits::MAX_STAGE;

    use super::super::authority::tests::{
        COHOST, HAND, HOST, Harness, LISTENER, SPEAKER, at, enter, is_ok, is_publish, is_you,
        raise, yous,
    };
    use super::super::effect::OriginEffect;
    use super::*;

    fn silence(subject: ParticipantId, on: bool) -> Action {
        Action::Silence { subject, on, reason: "too loud".parse().unwrap() }
    }

    fn kick(subject: ParticipantId) -> Action {
        Action::Kick { subject, reason: "heckling".parse().unwrap() }
    }

    #[test]
    fn a_silence_is_answered_when_in_force_and_its_subject_told_why() {
        let mut room = Harness::with_everybody();
        let effects = room.done(COHOST, silence(SPEAKER, true));
        let after = Some(room.revision());
        assert!(at(&effects, is_publish) < at(&effects, is_ok(after)));
        assert!(at(&effects, is_ok(after)) < at(&effects, is_you));
        let you = &yous(&effects)[0];
        assert_eq!((you.participant, you.silenced), (SPEAKER, true));
        assert_eq!((you.reason.as_str(), you.track), ("too loud", Some(TrackId(3))));
        assert!(room.entry(SPEAKER).silenced);

        let effects = room.done(HOST, silence(SPEAKER, true));
        assert_eq!((effects.len(), at(&effects, is_ok(after))), (1, 0), "it is in force already");
        let effects = room.done(HOST, silence(SPEAKER, false));
        assert!(!yous(&effects)[0].silenced && !room.entry(SPEAKER).silenced);
        at(&effects, is_ok(Some(room.revision())));
    }

    #[test]
    fn who_can_be_silenced() {
        let mut room = Harness::with_everybody();
        room.refused(HOST, silence(HAND, true), ErrorCode::NoSuchParticipant);
        room.refused(COHOST, silence(HOST, true), ErrorCode::NotPermitted);
        room.done(HOST, silence(HOST, true));
        room.refused(COHOST, silence(HOST, false), ErrorCode::NotPermitted);
        room.done(HOST, silence(COHOST, true));
        room.done(COHOST, silence(COHOST, false));
    }

    #[test]
    fn coming_back_does_not_lift_a_silence_but_a_grant_does() {
        let mut room = Harness::with_everybody();
        room.done(HOST, silence(SPEAKER, true));
        room.done(SPEAKER, Action::LeaveStage {});
        room.done(SPEAKER, enter(Role::Speaker, false));
        assert!(room.entry(SPEAKER).silenced);
        room.report(SPEAKER, Action::Left {});
        room.done(SPEAKER, raise("I am sorry"));
        room.done(HOST, Action::Grant { subject: SPEAKER });
        assert!(!room.entry(SPEAKER).silenced);
        room.done(SPEAKER, Action::LeaveStage {});
        room.done(SPEAKER, enter(Role::Speaker, false));
        assert!(!room.entry(SPEAKER).silenced);
    }

    #[test]
    fn silenced_leavers_are_bounded() {
        let mut leavers = SilencedLeavers::default();
        for id in 0..=MAX_SILENCED_LEAVERS as u64 {
            leavers.insert(ParticipantId(id));
        }
        assert_eq!(leavers.0.len(), MAX_SILENCED_LEAVERS);
        assert!(!leavers.contains(ParticipantId(0)) && leavers.contains(ParticipantId(1)));
    }

    #[test]
    fn asking_to_mute_names_who_asks() {
        let mut room = Harness::with_everybody();
        let ask = |subject| Action::AskMute { subject, reason: "echo".parse().unwrap() };
        let effects = room.done(COHOST, ask(HOST));
        let message = ToParticipant::PleaseMute {
            by: "Ada".parse().unwrap(),
            reason: "echo".parse().unwrap(),
        };
        let expected = OriginEffect::Deliver { to: HOST, request: None, message, after: None };
        assert_eq!(effects[1..], [expected]);
        room.refused(COHOST, ask(LISTENER), ErrorCode::NoSuchParticipant);
        room.report(SPEAKER, Action::Away {});
        let why = room.refused(COHOST, ask(SPEAKER), ErrorCode::NoSuchParticipant);
        assert_eq!(why, "Participant 0000000000000003 is not connected at the moment.");
    }

    #[test]
    fn a_kick_tells_its_subject_before_the_state_changes() {
        let mut room = Harness::with_everybody();
        for subject in [SPEAKER, HAND, LISTENER] {
            let effects = room.done(COHOST, kick(subject));
            let after = Some(room.revision());
            assert_eq!((at(&effects, is_you), at(&effects, is_publish)), (0, 1), "{effects:?}");
            assert_eq!(at(&effects, is_ok(after)), 2);
            let you = as_listener(subject, "heckling".parse().unwrap());
            assert_eq!(yous(&effects), [you]);
            room.refused(subject, enter(Role::Speaker, false), ErrorCode::Barred);
            room.refused(subject, raise(""), ErrorCode::Barred);
        }
        assert_eq!(room.authority.state().barred, [SPEAKER, HAND, LISTENER]);
        assert_eq!((room.authority.actors(), room.authority.hands()), (2, 0));
        let revision = room.revision();
        let effects = room.done(HOST, kick(LISTENER));
        assert!(!effects.contains(&OriginEffect::Publish));
        at(&effects, is_ok(Some(revision)));
        assert_eq!(room.authority.state().barred.len(), 3);
    }

    #[test]
    fn who_cannot_be_kicked() {
        let mut room = Harness::with_everybody();
        room.refused(COHOST, kick(HOST), ErrorCode::NotPermitted);
        room.refused(HOST, kick(HOST), ErrorCode::BadRequest);
        room.refused(COHOST, kick(COHOST), ErrorCode::BadRequest);
        room.refused(LISTENER, kick(LISTENER), ErrorCode::NotPermitted);
        room.done(HOST, kick(COHOST));
    }

    #[test]
    fn the_place_of_somebody_kicked_while_away_is_forgotten() {
        let mut room = Harness::with_everybody();
        room.report(SPEAKER, Action::Away {});
        room.done(HOST, kick(SPEAKER));
        assert_eq!(room.authority.poll_timeout(), None);
        let effects = room.report(SPEAKER, Action::Present {});
        assert_eq!(yous(&effects), [as_listener(SPEAKER, Note::default())]);
    }

    #[test]
    fn the_oldest_bar_is_forgotten_first_and_the_largest_state_fits_a_message() {
        let mut room = Harness::live();
        let name = "N".repeat(64);
        for id in 1..MAX_STAGE as u64 {
            let (who, name) = (ParticipantId(u64::MAX - id), name.parse().unwrap());
            room.done(who, Action::Enter { name, role: Role::Cohost, may_govern: true });
            room.done(HOST, silence(who, true));
            room.done(who, Action::OwnMute { muted: true });
            room.report(who, Action::Away {});
        }
        for id in 0..=MAX_BARRED as u64 {
            room.done(HOST, kick(ParticipantId((1 << 40) + id)));
        }
        let state = room.authority.state();
        assert_eq!((state.stage.len(), state.barred.len()), (MAX_STAGE, MAX_BARRED));
        assert_eq!(state.barred[0], ParticipantId((1 << 40) + 1));
        assert!(encode(None, state).is_ok(), "with room for the message around it");
        assert!(encode(None, state).unwrap().len() < 12 * 1024);
    }
}

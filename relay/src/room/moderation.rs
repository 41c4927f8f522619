//! What moderators do to others: asking to mute, silence, removal, keeping out. Rights are checked
//! before, in [`super::permissions`].

use std::collections::VecDeque;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::room::{RoomState, StageEntry};
use tribune_protocol::ids::{Note, ParticipantId};
use tribune_protocol::limits::MAX_BARRED;

use super::authority::{Authority, as_listener};
use super::effect::{Asker, Refusal};

impl Authority {
    pub(super) fn ask_mute(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        let message = please_mute(&self.state, asker.id, subject, reason)?;
        self.outbox.ok(asker);
        self.outbox.deliver(subject, message);
        Ok(())
    }

    pub(super) fn silence(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
        on: bool,
        reason: Note,
    ) -> Result<(), Refusal> {
        let is_new = silence(&mut self.state, subject, on)?;
        if is_new {
            self.outbox.publish();
        }
        self.outbox.ok_when_in_force(asker);
        if is_new {
            self.tell_place(subject, reason);
        }
        Ok(())
    }

    pub(super) fn kick(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        if subject == asker.id {
            return Err(Refusal::bad_request(
                "You cannot remove yourself; leave the room instead.",
            ));
        }
        // Ahead of the state that has its edge close the connection, so that the reason arrives.
        self.outbox.deliver(subject, ToParticipant::You(as_listener(subject, reason)));
        self.remove(subject);
        if bar(&mut self.state, subject) {
            self.outbox.publish();
        }
        self.outbox.ok_when_in_force(asker);
        Ok(())
    }
}

/// Silenced participants remembered after they leave the stage, the oldest forgotten first. As many
/// as are kept out.
const MAX_SILENCED_LEAVERS: usize = MAX_BARRED;

/// Who left the stage silenced, so that leaving and coming back in does not lift a silence.
#[derive(Debug, Default)]
pub(crate) struct SilencedLeavers(VecDeque<ParticipantId>);

impl SilencedLeavers {
    /// Remembers somebody who leaves the stage silenced.
    pub(crate) fn insert(&mut self, participant: ParticipantId) {
        if self.0.len() >= MAX_SILENCED_LEAVERS {
            self.0.pop_front();
        }
        self.0.push_back(participant);
    }

    /// Forgets somebody who is on the stage again.
    pub(crate) fn remove(&mut self, participant: ParticipantId) {
        self.0.retain(|&silenced| silenced != participant);
    }

    pub(crate) fn contains(&self, participant: ParticipantId) -> bool {
        self.0.contains(&participant)
    }
}

/// The request of `actor` that `subject` switch the microphone off.
///
/// # Errors
/// [`ErrorCode::NoSuchParticipant`] unless both are on the stage and the subject is connected.
fn please_mute(
    state: &RoomState,
    actor: ParticipantId,
    subject: ParticipantId,
    reason: Note,
) -> Result<ToParticipant, Refusal> {
    let on_stage = |who| state.on_stage(who).ok_or_else(|| not_on_stage(who));
    let by = on_stage(actor)?.name.clone();
    if on_stage(subject)?.away {
        return Err(Refusal::new(
            ErrorCode::NoSuchParticipant,
            format!("Participant {subject} is not connected at the moment."),
        ));
    }
    Ok(ToParticipant::PleaseMute { by, reason })
}

/// Drops the frames of `subject`, or lets them pass again. Returns whether that changes anything.
///
/// # Errors
/// [`ErrorCode::NoSuchParticipant`] unless it is on the stage.
fn silence(state: &mut RoomState, subject: ParticipantId, on: bool) -> Result<bool, Refusal> {
    let entry = entry_mut(state, subject)?;
    Ok(std::mem::replace(&mut entry.silenced, on) != on)
}

/// Keeps `subject` out from now on. Returns whether that changes anything.
fn bar(state: &mut RoomState, subject: ParticipantId) -> bool {
    if is_barred(state, subject) {
        return false;
    }
    if state.barred.len() >= MAX_BARRED {
        state.barred.remove(0);
    }
    state.barred.push(subject);
    true
}

/// Refuses those whom a kick keeps out.
///
/// # Errors
/// [`ErrorCode::Barred`].
pub(crate) fn refuse_barred(state: &RoomState, participant: ParticipantId) -> Result<(), Refusal> {
    if is_barred(state, participant) {
        return Err(Refusal::new(
            ErrorCode::Barred,
            "A moderator has removed you from this room, and you cannot come back.",
        ));
    }
    Ok(())
}

fn is_barred(state: &RoomState, participant: ParticipantId) -> bool {
    state.barred.contains(&participant)
}

fn entry_mut(
    state: &mut RoomState,
    participant: ParticipantId,
) -> Result<&mut StageEntry, Refusal> {
    state
        .stage
        .iter_mut()
        .find(|entry| entry.participant == participant)
        .ok_or_else(|| not_on_stage(participant))
}

fn not_on_stage(participant: ParticipantId) -> Refusal {
    Refusal::new(
        ErrorCode::NoSuchParticipant,
        format!("Participant {participant} is not on the stage."),
    )
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

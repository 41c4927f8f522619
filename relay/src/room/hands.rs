//! Hands at a room's origin: what raising, lowering, granting and denying does, the queue's order,
//! the cooldown after a denial, and who has to be told when places change.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::govern::Target;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::room::{Hand, Role};
use tribune_protocol::ids::{DisplayName, Note, ParticipantId};
use tribune_protocol::limits::{MAX_HANDS, MAX_HANDS_SHOWN};
use tribune_protocol::log::{Draft, LogAction};
use tribune_protocol::permission::PermissionSet;

use super::effect::{Asker, Refusal};
use super::house::{Actor, House};

/// How long a denied hand has to stay down: long enough that it cannot push others out of sight.
pub(crate) const DENY_COOLDOWN: Duration = Duration::from_secs(30);
/// Cooldowns remembered: a whole queue denied at once. The one that ends first is forgotten first.
const MAX_COOLDOWNS: usize = MAX_HANDS;
/// How long a hand stays up: whoever waits for an hour has gone to sleep, or the queue has.
pub(crate) const HAND_EXPIRY: Duration = Duration::from_secs(3_600);
/// Raised hands remembered for slow mode, the oldest forgotten first.
const MAX_RAISED_LAST: usize = 4 * MAX_HANDS;
/// Places whose holders hear of every move; who waits further back hears when it gets there, or on
/// asking. Bounds the messages of one change, whatever the length of the queue.
pub(crate) const PLACES_TOLD: usize = 10;

/// Raised hands, in the order in which they reached the origin.
#[derive(Debug, Clone, Default)]
pub(crate) struct HandQueue {
    /// At most [`MAX_HANDS`].
    queue: Vec<Raised>,
    /// Who was denied and until when, soonest first; at most [`MAX_COOLDOWNS`].
    cooldowns: VecDeque<(ParticipantId, Instant)>,
    /// Who raised a hand when, in slow mode, oldest first; at most [`MAX_RAISED_LAST`].
    raised_last: VecDeque<(ParticipantId, Instant)>,
    changed: bool,
    /// The lowest index at which a hand went away since the last [`Self::take_change`].
    moved_from: Option<usize>,
}

#[derive(Debug, Clone)]
struct Raised {
    participant: ParticipantId,
    name: DisplayName,
    note: Note,
    since: Instant,
}

impl House {
    pub(super) fn raise_hand(
        &mut self,
        now: Instant,
        actor: &Actor,
        note: Note,
    ) -> Result<(), Refusal> {
        self.require_live()?;
        self.refuse_barred(actor)?;
        let who = actor.asker.id;
        if self.state.on_stage(who).is_some() {
            return Err(Refusal::bad_request("You are already on the stage."));
        }
        let is_up = self.hands.place(who).is_some();
        if self.state.settings.hands_closed && !is_up {
            let message = "The queue of hands is closed at the moment.";
            return Err(Refusal::new(ErrorCode::HandsClosed, message));
        }
        let slow = Duration::from_secs(u64::from(self.state.settings.hand_slow_s));
        self.hands.raise(now, who, actor.name.clone(), note, slow)?;
        self.remember(actor);
        self.outbox.ok(actor.asker);
        self.tell_place(who, Note::default());
        Ok(())
    }

    pub(super) fn lower_hand(
        &mut self,
        asker: Asker,
        subject: ParticipantId,
    ) -> Result<(), Refusal> {
        self.hands.name(subject)?;
        self.take_hand(subject);
        self.outbox.ok(asker);
        self.tell_place(subject, Note::default());
        Ok(())
    }

    pub(super) fn grant(
        &mut self,
        now: Instant,
        actor: &Actor,
        subject: ParticipantId,
    ) -> Result<(), Refusal> {
        self.hands.name(subject)?;
        let found = self.find(&Target::Participant(subject))?;
        let Some(person) = self.people.get(&subject).cloned() else {
            return Err(no_hand(subject));
        };
        let raised = Actor {
            asker: Asker { id: subject, request: None },
            subject: person.subject.clone(),
            name: person.name,
            entitled: person.entitled,
            role: Role::Listener,
            may: PermissionSet::NONE,
            may_open: false,
        };
        // A hand whose token speaks comes back in its own role, where that has not been taken away.
        let own = person.entitled;
        let speaks = self.setup.policy.speaks(own) && own != Role::Host;
        let role = if speaks { own } else { Role::Speaker };
        // Granted to somebody who left the stage silenced, it lifts the silence.
        self.step_up(&raised, role, false)?;
        self.hands.remove(subject)?;
        self.forget_role(subject, Some(&person.subject));
        let mut draft = Draft::new(0, actor.party(), LogAction::HandGranted);
        draft.target = Some(found.party);
        self.write_down(now, draft);
        self.outbox.ok_when_in_force(actor.asker);
        self.tell_place(subject, Note::default());
        Ok(())
    }

    pub(super) fn deny(
        &mut self,
        now: Instant,
        actor: &Actor,
        subject: ParticipantId,
        reason: Note,
    ) -> Result<(), Refusal> {
        self.hands.name(subject)?;
        let found = self.find(&Target::Participant(subject))?;
        let mut draft = Draft::new(0, actor.party(), LogAction::HandDenied);
        draft.target = Some(found.party.clone());
        draft.reason = reason.clone();
        let entry = self.write_down(now, draft);
        self.docket.add(entry, LogAction::HandDenied, &found);
        let news = self.news(actor, LogAction::HandDenied, entry, reason.clone());
        self.take_hand(subject);
        self.hands.cool_down(now, subject);
        self.outbox.ok(actor.asker);
        self.notify(subject, news);
        self.tell_place(subject, reason);
        Ok(())
    }

    pub(super) fn clear_hands(
        &mut self,
        now: Instant,
        actor: &Actor,
        reason: Note,
    ) -> Result<(), Refusal> {
        self.require_live()?;
        let mut draft = Draft::new(0, actor.party(), LogAction::HandsCleared);
        draft.reason = reason.clone();
        if let Ok(detail) = format!("{} hands", self.hands.len()).parse() {
            draft.detail = detail;
        }
        self.write_down(now, draft);
        for who in self.hands.everybody() {
            self.take_hand(who);
            self.tell_place(who, reason.clone());
        }
        self.outbox.ok(actor.asker);
        Ok(())
    }

    /// Lowers the hands that have been up for too long.
    pub(super) fn hands_run_out(&mut self, now: Instant) {
        while self.hands.expiry().is_some_and(|at| at <= now) {
            let Some(who) = self.hands.first() else { return };
            self.take_hand(who);
            if let Ok(reason) = "Your hand has been up for an hour; raise it again.".parse() {
                self.tell_place(who, reason);
            }
        }
    }

    /// Takes a hand down, if it is up.
    pub(super) fn take_hand(&mut self, who: ParticipantId) {
        if self.hands.remove(who).is_ok() && self.state.on_stage(who).is_none() {
            self.people.remove(&who);
            self.away.retain(|&(away, _)| away != who);
        }
    }
}

impl HandQueue {
    /// Raises a hand, or changes the note of a raised one, which keeps its place and its name.
    ///
    /// # Errors
    /// [`ErrorCode::Cooldown`] or [`ErrorCode::QueueFull`].
    pub(crate) fn raise(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        name: DisplayName,
        note: Note,
        slow: Duration,
    ) -> Result<(), Refusal> {
        if let Some(raised) = self.queue.iter_mut().find(|r| r.participant == participant) {
            self.changed |= raised.note != note;
            raised.note = note;
            return Ok(());
        }
        self.cooldowns.retain(|&(_, until)| until > now);
        if let Some(&(_, until)) = self.cooldowns.iter().find(|(who, _)| *who == participant) {
            let wait_s = until.duration_since(now).as_millis().div_ceil(1000);
            return Err(Refusal::new(
                ErrorCode::Cooldown,
                format!("Your hand was denied; you can raise it again in {wait_s} seconds."),
            ));
        }
        self.refuse_hasty(now, participant, slow)?;
        if self.queue.len() >= MAX_HANDS {
            return Err(Refusal::new(
                ErrorCode::QueueFull,
                format!("{MAX_HANDS} hands are raised in this room, and no more fit the queue."),
            ));
        }
        if slow > Duration::ZERO {
            if self.raised_last.len() >= MAX_RAISED_LAST {
                self.raised_last.pop_front();
            }
            self.raised_last.push_back((participant, now));
        }
        self.queue.push(Raised { participant, name, note, since: now });
        self.changed = true;
        Ok(())
    }

    /// Everybody in the queue, in order.
    pub(crate) fn everybody(&self) -> Vec<ParticipantId> {
        self.queue.iter().map(|raised| raised.participant).collect()
    }

    /// Whoever has waited for longest.
    pub(crate) fn first(&self) -> Option<ParticipantId> {
        self.queue.first().map(|raised| raised.participant)
    }

    /// When the first hand has been up for too long.
    pub(crate) fn expiry(&self) -> Option<Instant> {
        self.queue.first().map(|raised| raised.since + HAND_EXPIRY)
    }

    /// # Errors
    /// [`ErrorCode::SlowMode`], if the same participant has raised a hand less than `slow` ago.
    fn refuse_hasty(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        slow: Duration,
    ) -> Result<(), Refusal> {
        self.raised_last.retain(|&(_, at)| at + slow > now);
        let last = self.raised_last.iter().find(|(who, _)| *who == participant);
        let Some(&(_, at)) = last else { return Ok(()) };
        let wait_s = (at + slow).duration_since(now).as_millis().div_ceil(1000);
        Err(Refusal::new(
            ErrorCode::SlowMode,
            format!("Hands are in slow mode; you can raise yours again in {wait_s} seconds."),
        ))
    }

    /// What the owner of a raised hand is called.
    ///
    /// # Errors
    /// [`ErrorCode::NoHand`] if it is not up.
    pub(crate) fn name(&self, participant: ParticipantId) -> Result<DisplayName, Refusal> {
        let at = self.index(participant).ok_or_else(|| no_hand(participant))?;
        Ok(self.queue[at].name.clone())
    }

    /// Takes a hand down.
    ///
    /// # Errors
    /// [`ErrorCode::NoHand`] if it is not up.
    pub(crate) fn remove(&mut self, participant: ParticipantId) -> Result<(), Refusal> {
        let at = self.index(participant).ok_or_else(|| no_hand(participant))?;
        self.queue.remove(at);
        self.changed = true;
        self.moved_from = Some(self.moved_from.map_or(at, |before| before.min(at)));
        Ok(())
    }

    /// Keeps a participant's hand down for [`DENY_COOLDOWN`].
    pub(crate) fn cool_down(&mut self, now: Instant, participant: ParticipantId) {
        self.cooldowns.retain(|&(who, until)| until > now && who != participant);
        if self.cooldowns.len() >= MAX_COOLDOWNS {
            self.cooldowns.pop_front();
        }
        self.cooldowns.push_back((participant, now + DENY_COOLDOWN));
    }

    /// Takes denials back.
    pub(crate) fn warm_up(&mut self, participants: &[ParticipantId]) {
        self.cooldowns.retain(|(who, _)| !participants.contains(who));
    }

    /// A participant's place, from 1.
    pub(crate) fn place(&self, participant: ParticipantId) -> Option<u32> {
        Some(self.index(participant)? as u32 + 1)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The queue as moderators see it.
    pub(crate) fn message(&self, now: Instant) -> ToParticipant {
        let hand = |raised: &Raised| Hand {
            participant: raised.participant,
            name: raised.name.clone(),
            note: raised.note.clone(),
            waiting_s: u32::try_from(now.saturating_duration_since(raised.since).as_secs())
                .unwrap_or(u32::MAX),
        };
        ToParticipant::Hands {
            hands: self.queue.iter().take(MAX_HANDS_SHOWN).map(hand).collect(),
            total: self.queue.len() as u32,
        }
    }

    /// Whether moderators have to see the queue anew since the last call, and who among the first
    /// [`PLACES_TOLD`] has moved up.
    pub(crate) fn take_change(&mut self) -> Option<Vec<ParticipantId>> {
        let from = self.moved_from.take().unwrap_or(self.queue.len());
        let moved = || self.queue.iter().take(PLACES_TOLD).skip(from).map(|r| r.participant);
        std::mem::take(&mut self.changed).then(|| moved().collect())
    }

    fn index(&self, participant: ParticipantId) -> Option<usize> {
        self.queue.iter().position(|raised| raised.participant == participant)
    }
}

fn no_hand(participant: ParticipantId) -> Refusal {
    let message = format!("The hand of participant {participant} is not raised.");
    Refusal::new(ErrorCode::NoHand, message)
}

#[cfg(test)]
mod tests {
    use tribune_protocol::control::encode;
    use tribune_protocol::control::trunk::Action;
    use tribune_protocol::limits::{MAX_NAME_BYTES, MAX_NOTE_BYTES};

    use super::super::authority::tests::{
        COHOST, HAND, HOST, Harness, LISTENER, SPEAKER, at, is_ok, is_publish, is_you, raise,
        shown, yous,
    };
    use super::super::effect::OriginEffect;
    use super::*;

    /// A room with hands of participants 100, 101, … up.
    fn with_hands(hands: u64) -> Harness {
        let mut room = Harness::live();
        for id in 100..100 + hands {
            room.done(ParticipantId(id), raise(""));
        }
        room
    }

    fn deny(subject: ParticipantId, reason: &str) -> Action {
        Action::Deny { subject, reason: reason.parse().unwrap() }
    }

    #[test]
    fn hands_queue_in_order_of_arrival_and_moderators_see_them() {
        let mut room = Harness::with_everybody();
        room.pass(Duration::from_secs(7));
        let effects = room.done(LISTENER, raise("a question"));
        assert!(at(&effects, is_ok(None)) < at(&effects, is_you));
        assert_eq!(yous(&effects)[0].hand, Some(2));
        assert!(!effects.contains(&OriginEffect::Publish), "hands are no part of the state");
        let shown = shown(&effects);
        assert_eq!(shown.iter().map(|(to, ..)| *to).collect::<Vec<_>>(), [HOST, COHOST]);
        let (_, hands, total) = &shown[0];
        let seen = hands.iter().map(|h| (h.participant, h.note.as_str(), h.waiting_s));
        assert_eq!(seen.collect::<Vec<_>>(), [(HAND, "", 7), (LISTENER, "a question", 0)]);
        assert_eq!(*total, 2);
    }

    #[test]
    fn raising_again_changes_the_note_and_keeps_the_place() {
        let mut room = Harness::with_everybody();
        room.done(LISTENER, raise(""));
        let effects = room.done(HAND, raise("in short"));
        assert_eq!(yous(&effects)[0].hand, Some(1));
        assert_eq!(shown(&effects)[0].1[0].note.as_str(), "in short");
        let effects = room.done(HAND, raise("in short"));
        assert_eq!(shown(&effects).len(), 0, "nothing new to see");
        let why = room.refused(SPEAKER, raise(""), ErrorCode::BadRequest);
        assert_eq!(why, "You are already on the stage.");
    }

    #[test]
    fn moderators_who_are_away_are_not_shown_the_queue() {
        let mut room = Harness::with_everybody();
        room.report(COHOST, Action::Away {});
        let effects = room.done(LISTENER, raise(""));
        assert_eq!(shown(&effects).iter().map(|(to, ..)| *to).collect::<Vec<_>>(), [HOST]);
    }

    #[test]
    fn the_queue_has_an_end_and_the_message_a_size() {
        let name: DisplayName = "N".repeat(MAX_NAME_BYTES).parse().unwrap();
        let note: Note = "n".repeat(MAX_NOTE_BYTES).parse().unwrap();
        let mut room = Harness::live();
        let longest = Action::RaiseHand { name, note };
        for id in 0..MAX_HANDS as u64 {
            room.done(ParticipantId(u64::MAX - id), longest.clone());
        }
        room.refused(HAND, longest, ErrorCode::QueueFull);
        room.now += Duration::from_secs(1 << 33);
        let effects = room.report(HOST, Action::Present {});
        let (_, hands, total) = &shown(&effects)[0];
        assert_eq!((hands.len(), *total), (MAX_HANDS_SHOWN, MAX_HANDS as u32));
        assert_eq!(hands[0].waiting_s, u32::MAX);
        assert!(encode(None, &room.authority.hands.message(room.now)).is_ok());
    }

    #[test]
    fn lowering_a_hand() {
        let mut room = Harness::with_everybody();
        room.done(LISTENER, raise(""));
        let effects = room.done(HAND, Action::LowerHand { subject: None });
        let told: Vec<_> = yous(&effects).iter().map(|you| (you.participant, you.hand)).collect();
        assert_eq!(told, [(HAND, None), (LISTENER, Some(1))]);
        room.refused(HAND, Action::LowerHand { subject: None }, ErrorCode::NoHand);
        let somebodys = Action::LowerHand { subject: Some(LISTENER) };
        room.refused(HAND, somebodys.clone(), ErrorCode::NotPermitted);
        let effects = room.done(COHOST, somebodys.clone());
        assert_eq!(yous(&effects).len(), 1);
        assert_eq!(shown(&effects).len(), 2);
        let why = room.refused(COHOST, somebodys, ErrorCode::NoHand);
        assert_eq!(why, "The hand of participant 0000000000000005 is not raised.");
        room.done(HAND, raise("no cooldown"));
        room.done(HAND, Action::LowerHand { subject: Some(HAND) });
    }

    #[test]
    fn a_grant_gives_a_track_and_is_answered_when_in_force() {
        let mut room = Harness::with_everybody();
        room.refused(HOST, Action::Grant { subject: LISTENER }, ErrorCode::NoHand);
        room.refused(HOST, Action::Grant { subject: SPEAKER }, ErrorCode::NoHand);
        let effects = room.done(COHOST, Action::Grant { subject: HAND });
        let after = Some(room.revision());
        assert!(at(&effects, is_publish) < at(&effects, is_ok(after)));
        assert!(at(&effects, is_ok(after)) < at(&effects, is_you));
        let entry = room.entry(HAND);
        assert_eq!((entry.role, entry.name.as_str(), entry.away), (Role::Speaker, "Bo", false));
        let you = &yous(&effects)[0];
        assert_eq!((you.role, you.track, you.hand), (Role::Speaker, Some(entry.track), None));
        assert_eq!(shown(&effects), [(HOST, vec![], 0), (COHOST, vec![], 0)]);
    }

    #[test]
    fn a_grant_to_somebody_away_is_kept_for_the_rest_of_the_grace() {
        let mut room = Harness::with_everybody();
        room.report(HAND, Action::Away {});
        room.pass(Duration::from_secs(20));
        room.done(HOST, Action::Grant { subject: HAND });
        assert!(room.entry(HAND).away);
        room.pass(Duration::from_secs(10));
        assert_eq!(room.authority.state().on_stage(HAND), None);
    }

    #[test]
    fn a_denied_hand_stays_down_for_a_while() {
        let mut room = Harness::with_everybody();
        room.refused(HOST, deny(LISTENER, ""), ErrorCode::NoHand);
        let effects = room.done(HOST, deny(HAND, "not now"));
        let you = &yous(&effects)[0];
        assert_eq!((you.participant, you.hand, you.reason.as_str()), (HAND, None, "not now"));
        assert_eq!(shown(&effects).len(), 2);
        room.pass(Duration::from_millis(10_500));
        let why = room.refused(HAND, raise(""), ErrorCode::Cooldown);
        assert_eq!(why, "Your hand was denied; you can raise it again in 20 seconds.");
        room.done(LISTENER, raise("others may"));
        room.pass(Duration::from_millis(19_500));
        room.done(HAND, raise(""));
    }

    #[test]
    fn cooldowns_are_bounded() {
        let mut queue = HandQueue::default();
        let now = Instant::now();
        for id in 0..=MAX_COOLDOWNS as u64 {
            queue.cool_down(now, ParticipantId(id));
        }
        assert_eq!(queue.cooldowns.len(), MAX_COOLDOWNS);
        let mut raise = |id| {
            queue.raise(now, ParticipantId(id), "Bo".parse().unwrap(), Note::default()).is_ok()
        };
        assert!(raise(0) && !raise(1), "the first is forgotten first");
        queue.cool_down(now + DENY_COOLDOWN, ParticipantId(1));
        assert_eq!(queue.cooldowns.len(), 1);
    }

    #[test]
    fn who_moves_up_among_the_first_hears_of_it() {
        let mut room = with_hands(14);
        room.report(ParticipantId(105), Action::Away {});
        let effects = room.done(ParticipantId(103), Action::LowerHand { subject: None });
        let told: Vec<_> = yous(&effects).iter().map(|you| (you.participant.0, you.hand)).collect();
        let mut expected = vec![(103, None), (104, Some(4))];
        expected.extend((106..=110).map(|id| (id, Some(id as u32 - 100))));
        assert_eq!(told, expected, "neither those ahead, nor who is away, nor beyond the tenth");
        let effects = room.done(ParticipantId(112), Action::LowerHand { subject: None });
        assert_eq!(yous(&effects).len(), 1);
    }

    #[test]
    fn several_changes_at_once_make_one_message_to_each() {
        let mut room = with_hands(6);
        for id in [101, 102, 104] {
            room.report(ParticipantId(id), Action::Away {});
        }
        let effects = room.pass(Duration::from_secs(30));
        assert_eq!(shown(&effects).len(), 1);
        let told: Vec<_> = yous(&effects).iter().map(|you| (you.participant.0, you.hand)).collect();
        assert_eq!(told, [(103, Some(2)), (105, Some(3))]);
    }
}

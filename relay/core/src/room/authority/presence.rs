//! Presence on the stage and in the queue: lost connections, returns, places given up.

use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::ParticipantId;
use tribune_protocol::limits::RECONNECT_GRACE;

use super::host;
use super::turn::Turn;

/// Keeps the place of a participant whose connection is gone, for [`RECONNECT_GRACE`].
pub(super) fn go_away(turn: &mut Turn<'_>, who: ParticipantId) {
    if !turn.is_known(who) || turn.away.contains(who) {
        return;
    }
    turn.away.add(who, turn.now + RECONNECT_GRACE);
    if turn.room.set_away(who, true) {
        turn.out.publish();
    }
}

/// Takes up a place that was kept.
pub(super) fn come_back(turn: &mut Turn<'_>, who: ParticipantId) {
    if !turn.away.contains(who) {
        return;
    }
    turn.away.remove(who);
    if turn.room.set_away(who, false) {
        turn.out.publish();
    }
}

/// Gives up the place of a participant who has gone. A host's room passes to the cohost who has been
/// on the stage for longest.
pub(super) fn give_up(turn: &mut Turn<'_>, who: ParticipantId) {
    let was_host = turn.room.role(who) == Some(Role::Host);
    let subject = turn.people.subject(who).cloned();
    remove(turn, who);
    if was_host {
        host::succeed(turn, subject.as_ref());
    }
}

/// Takes a participant off the stage or out of the queue.
pub(super) fn remove(turn: &mut Turn<'_>, who: ParticipantId) {
    turn.away.remove(who);
    if let Some(entry) = turn.room.remove(who) {
        if let Some(subject) = turn.people.subject(who).filter(|_| entry.silenced) {
            turn.silenced.insert(subject.clone());
        }
        turn.out.publish();
    }
    turn.people.note_leaver(who);
    let _ = turn.hands.remove(who); // most have none up
}

/// Takes a hand down, if it is up.
pub(super) fn take_hand(turn: &mut Turn<'_>, who: ParticipantId) {
    if turn.hands.remove(who).is_ok() && !turn.room.is_on_stage(who) {
        turn.people.note_leaver(who);
        turn.away.remove(who);
    }
}

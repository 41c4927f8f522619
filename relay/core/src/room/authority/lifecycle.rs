//! A room's course: waiting for its host, the end of every input, an empty room, the end.

use std::time::{Duration, Instant};

use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::ids::Note;
use tribune_protocol::limits::RECONNECT_GRACE;
use tribune_protocol::log::{Draft, LogAction, Party};

use super::away::Away;
use super::hand_queue::HandQueue;
use super::interested::Interested;
use super::question_list::QuestionList;
use super::rights::tell_place;
use super::silenced::SilencedLeavers;
use super::turn::Turn;

/// How long a room goes on with nobody in it: twice the grace for reconnects, so that a relay that
/// fails with everybody on it does not end the room.
pub(in crate::room) const EMPTY_ROOM_LINGER: Duration = Duration::from_secs(60);
/// How long an announced room waits for its host after the time it was to begin, or after it was
/// made, if it has no such time.
pub(in crate::room) const ANNOUNCED_LINGER: Duration = Duration::from_secs(24 * 3_600);

/// Starts the wait of an announced room for its host.
pub(super) fn wait_for_host(turn: &mut Turn<'_>) {
    let starts = turn.context.instant(turn.room.settings().starts_s).max(turn.now);
    turn.occupancy.set_empty_until(Some(starts + ANNOUNCED_LINGER));
}

/// Takes a room up again after the origin has been away: participants on the stage have to come back,
/// and every relay gets the rulings anew.
pub(super) fn restore(turn: &mut Turn<'_>) {
    turn.out.begin();
    for who in turn.room.all_away() {
        turn.away.add(who, turn.now + RECONNECT_GRACE);
    }
    if turn.room.phase() == Phase::Announced {
        wait_for_host(turn);
    }
    for ruling in turn.book.all() {
        turn.out.rule(ruling.who, Some(ruling));
    }
    turn.out.publish();
    settle(turn);
}

/// Consequences of an input for others: for those who moved up the queue, for the moderators who watch
/// it, and for the room if nobody is left.
pub(super) fn settle(turn: &mut Turn<'_>) {
    let newcomer = turn.out.take_newcomer();
    let change = turn.hands.take_change();
    let queue_changed = change.is_some();
    for moved in change.unwrap_or_default() {
        if !turn.away.contains(moved) {
            tell_place(turn, moved, Note::default());
        }
    }
    for entry in turn.room.stage() {
        let sees = queue_changed && !entry.away || newcomer == Some(entry.participant);
        let may = turn.context.policy.may(entry.role);
        if sees && may.contains(Permission::SeeHands) {
            turn.out.deliver(entry.participant, turn.hands.message(turn.now));
        }
    }
    let until = empty_until(turn);
    turn.occupancy.set_empty_until(until);
    turn.out.finish();
}

/// When the room ends, as things are now.
fn empty_until(turn: &Turn<'_>) -> Option<Instant> {
    let until = turn.occupancy.empty_until();
    match turn.room.phase() {
        Phase::Live if is_empty(turn) => Some(until.unwrap_or(turn.now + EMPTY_ROOM_LINGER)),
        Phase::Announced => until,
        Phase::Live | Phase::Absent | Phase::Ended => None,
    }
}

fn is_empty(turn: &Turn<'_>) -> bool {
    // Nobody is both on the stage and in the queue, so all known are away if as many are.
    let known = turn.room.stage().len() + turn.hands.len();
    turn.occupancy.listeners() == 0 && known == turn.away.len()
}

/// Ends a room that stayed empty for too long.
pub(super) fn expire(turn: &mut Turn<'_>) {
    if turn.occupancy.empty_until().is_some_and(|until| until <= turn.now) {
        turn.log(Draft::new(0, Party::relay(), LogAction::RoomEnded));
        end(turn);
    }
}

/// Ends the room. Bars stay in force in the next room of that name; roles, permissions and invitations
/// to speak were for this one.
pub(super) fn end(turn: &mut Turn<'_>) {
    turn.book.end(turn.out);
    turn.room.end();
    turn.people.clear();
    *turn.hands = HandQueue::default();
    *turn.silenced = SilencedLeavers::default();
    *turn.away = Away::default();
    let now_s = turn.now_s();
    turn.runs.end(now_s);
    *turn.questions = QuestionList::default();
    *turn.interested = Interested::default();
    turn.occupancy.set_empty_until(None);
    turn.out.publish();
    turn.out.finished();
}

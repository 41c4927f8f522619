//! The host's succession: the next host when the host leaves, and the change of roles.

use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{Note, ParticipantId, Subject};
use tribune_protocol::log::{Draft, LogAction, Party};

use super::rights::{resolve, tell_place};
use super::turn::Turn;

/// Makes a host of the first cohost on the stage who is connected, if there is one; the host's own
/// other session goes first.
pub(super) fn succeed(turn: &mut Turn<'_>, before: Option<&Subject>) {
    if turn.room.phase() != Phase::Live {
        return;
    }
    let cohosts = || {
        let stage = turn.room.stage().iter();
        stage.filter(|entry| entry.role == Role::Cohost && !entry.away).map(|e| e.participant)
    };
    let is_same = |who: &ParticipantId| turn.people.subject(*who) == before;
    let Some(heir) = cohosts().find(is_same).or_else(|| cohosts().next()) else {
        // The next participant who comes in with the right to it becomes host.
        turn.people.set_host(None);
        return;
    };
    let mut draft = Draft::new(0, Party::relay(), LogAction::HostSucceeded);
    draft.target = resolve(turn, &Target::Participant(heir)).ok().map(|found| found.party);
    turn.log(draft);
    make_host(turn, heir);
}

/// Makes a participant on the stage the host, and the host a cohost.
pub(super) fn make_host(turn: &mut Turn<'_>, heir: ParticipantId) {
    let before = turn.room.host().map(|entry| entry.participant);
    if let Some(before) = before {
        turn.room.set_role(before, Role::Cohost);
    }
    turn.room.set_role(heir, Role::Host);
    let name = turn.room.on_stage(heir).map(|entry| entry.name.clone());
    turn.room.set_host_name(name);
    let subject = turn.people.subject(heir).cloned();
    turn.people.set_host(subject);
    for who in before.into_iter().chain([heir]) {
        turn.book.forget_role(who, turn.people.subject(who), turn.out);
        tell_place(turn, who, Note::default());
    }
    turn.out.greet(heir);
    turn.out.publish();
}

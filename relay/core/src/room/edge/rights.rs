//! Rights of a participant at this relay: role, permissions, and the view of the room that follows
//! from them. The one place of an edge where they are computed.

use tribune_protocol::control::participant::You;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::ids::{Note, ParticipantId};

use super::members::Member;
use crate::messages::{Hears, RedundancyLevel, ViewKey};
use crate::room::person_rulings::PersonRulings;
use crate::room::view::RoomView;

/// Role of a participant: on the stage, by a ruling, or as it joined.
pub(crate) fn role(view: RoomView<'_>, who: ParticipantId, member: Option<&Member>) -> Role {
    role_by(view, who, member, &rulings(view, member))
}

/// Permissions of a participant.
pub(crate) fn may(
    view: RoomView<'_>,
    who: ParticipantId,
    member: Option<&Member>,
) -> PermissionSet {
    may_by(view, who, member, &rulings(view, member))
}

/// View of the room that a participant is given.
pub(crate) fn view_key(view: RoomView<'_>, who: ParticipantId, member: Option<&Member>) -> ViewKey {
    let is_in_conversation = is_in_conversation(view, who, &rulings(view, member));
    let (profile, redundancy) = delivery(member, is_in_conversation);
    ViewKey { hears: hears(view, who, member), profile, redundancy }
}

/// Frames that a participant hears.
pub(crate) fn hears(view: RoomView<'_>, who: ParticipantId, member: Option<&Member>) -> Hears {
    match view.state.on_stage(who) {
        _ if !may(view, who, member).contains(Permission::Listen) => Hears::Nothing,
        Some(entry) => Hears::AllBut(entry.track),
        None => Hears::Everything,
    }
}

/// Message that tells a participant its rights.
pub(crate) fn you(view: RoomView<'_>, who: ParticipantId, member: Option<&Member>) -> You {
    let entry = view.state.on_stage(who);
    let rulings = rulings(view, member);
    You {
        participant: who,
        role: role_by(view, who, member, &rulings),
        track: entry.map(|entry| entry.track),
        silenced: entry.is_some_and(|entry| entry.silenced),
        hand: member.and_then(Member::hand),
        reason: Note::default(),
        may: may_by(view, who, member, &rulings),
        profile: delivery(member, is_in_conversation(view, who, &rulings)).0,
        invited_by: rulings.invited_by,
    }
}

/// Rulings about a participant.
pub(crate) fn rulings(view: RoomView<'_>, member: Option<&Member>) -> PersonRulings {
    member.map(|member| member.person().rulings(view)).unwrap_or_default()
}

fn is_in_conversation(view: RoomView<'_>, who: ParticipantId, rulings: &PersonRulings) -> bool {
    view.state.on_stage(who).is_some() || rulings.invited_by.is_some()
}

fn delivery(member: Option<&Member>, is_in_conversation: bool) -> (Profile, RedundancyLevel) {
    member.map(|member| member.delivery().now(is_in_conversation)).unwrap_or_default()
}

fn role_by(
    view: RoomView<'_>,
    who: ParticipantId,
    member: Option<&Member>,
    rulings: &PersonRulings,
) -> Role {
    if let Some(entry) = view.state.on_stage(who) {
        return entry.role;
    }
    let joined_as = member.map_or(Role::Listener, Member::joined_as);
    let role = rulings.role.unwrap_or(joined_as);
    // A right to come on the stage is not a place on it.
    if view.policy.speaks(role) { Role::Listener } else { role }
}

/// On the stage by the role there, off it by the one that was shown or ruled. A room has one host; a
/// participant who could be another is a cohost.
fn may_by(
    view: RoomView<'_>,
    who: ParticipantId,
    member: Option<&Member>,
    rulings: &PersonRulings,
) -> PermissionSet {
    let role = match view.state.on_stage(who) {
        Some(entry) => entry.role,
        None => {
            let shown = member.map_or(Role::Listener, |member| member.person().highest());
            let role = rulings.role.unwrap_or(shown);
            if role == Role::Host && has_host(view) { Role::Cohost } else { role }
        }
    };
    let may = rulings.may(view.policy.may(role));
    let may_listen = member.is_none_or(|member| member.person().may_listen());
    if may_listen { may } else { may.minus(PermissionSet::of(&[Permission::Listen])) }
}

fn has_host(view: RoomView<'_>) -> bool {
    view.state.stage.iter().any(|entry| entry.role == Role::Host)
}

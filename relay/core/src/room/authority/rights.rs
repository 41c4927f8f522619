//! Role and permissions of a person, by what their edge vouches for, their place on the stage and the
//! rulings about them: for the actor of a request, for its target, and for the participant's own view.

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::{ToParticipant, You};
use tribune_protocol::control::trunk::Credentials;
use tribune_protocol::domain::permission::{Permission, PermissionSet};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::target::Target;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, Subject};
use tribune_protocol::log::Party;

use super::effect::{Asker, Refusal};
use super::policy::{self, Policy, overrules};
use super::ruling_book::Ruled;
use super::target::{Actor, ResolvedTarget};
use super::turn::Turn;

/// Permissions of a role, with the rulings about the person.
fn permissions(policy: &Policy, role: Role, ruled: &Ruled) -> PermissionSet {
    policy.may(role).union(ruled.allow).minus(ruled.deny)
}

/// The sender of a request, by the word of their edge and the state.
pub(super) fn actor(turn: &Turn<'_>, asker: Asker, by: Option<Credentials>) -> Actor {
    let known = turn.people.get(asker.id);
    let came_by = by.as_ref().and_then(|by| by.came_by.clone());
    let (subject, name, vouched, may_open, barred) = match (by, known) {
        (Some(by), _) => (by.subject, by.name, by.role, by.may_open, by.barred),
        (None, Some(person)) => {
            (person.subject.clone(), person.name.clone(), person.entitled, false, false)
        }
        (None, None) => {
            let subject = Subject::guest(asker.id);
            let name = nameless(&subject);
            (subject, name, Role::Listener, false, false)
        }
    };
    let ruled = turn.book.about(Some(asker.id), Some(&subject));
    let entitled = only_one_host(turn, &subject, ruled.role.unwrap_or(vouched));
    let role = match turn.room.role(asker.id) {
        Some(role) => role,
        None => role_of_subject(turn, &subject).unwrap_or(entitled),
    };
    let may = if barred || ruled.is_barred() {
        policy::BARRED
    } else {
        permissions(&turn.context.policy, role, &ruled)
    };
    Actor { asker, subject, name, entitled, role, may, may_open, came_by }
}

/// A participant's own place: a listener's, if the origin does not know them.
fn place(turn: &Turn<'_>, who: ParticipantId, reason: Note) -> You {
    let policy = &turn.context.policy;
    let person = turn.people.recent(who);
    let ruled = turn.book.about(Some(who), person.map(|person| &person.subject));
    let entry = turn.room.on_stage(who);
    let entitled = || ruled.role.or(person.map(|person| person.entitled));
    let role = entry.map(|entry| entry.role).or_else(|| {
        // A right to come on the stage is not a place on it.
        entitled().filter(|role| !policy.speaks(*role))
    });
    let role = role.unwrap_or(Role::Listener);
    You {
        participant: who,
        role,
        track: entry.map(|entry| entry.track),
        silenced: entry.is_some_and(|entry| entry.silenced),
        hand: turn.hands.place(who),
        reason,
        may: permissions(policy, role, &ruled),
        invited_by: ruled.invited_by,
        // The edge knows it.
        profile: Profile::Live,
    }
}

/// Tells a participant their own place.
pub(super) fn tell_place(turn: &mut Turn<'_>, who: ParticipantId, reason: Note) {
    let you = place(turn, who, reason);
    turn.out.deliver(who, ToParticipant::You(you));
}

/// The target of a request, as far as it is known.
///
/// # Errors
/// [`ErrorCode::BadRequest`] for an address that cannot be anybody's.
pub(super) fn resolve(turn: &Turn<'_>, target: &Target) -> Result<ResolvedTarget, Refusal> {
    match target {
        Target::Participant(who) => {
            let person = turn.people.recent(*who);
            let subject = person.map(|person| person.subject.clone());
            let guest = || Subject::guest(*who);
            Ok(resolve_subject(turn, target, subject.unwrap_or_else(guest), Some(*who)))
        }
        Target::Subject(subject) => Ok(resolve_subject(turn, target, subject.clone(), None)),
        Target::Address(address) => {
            let address = address.to_canonical();
            if address.is_unspecified() || address.is_multicast() {
                let message = format!("The address {address} is nobody's.");
                return Err(Refusal::bad_request(message));
            }
            let shown = address.to_string().parse().ok();
            Ok(ResolvedTarget {
                key: PersonKey::of_address(address),
                target: Target::Address(address),
                participants: Vec::new(),
                subject: None,
                role: Role::Listener,
                party: Party { address: shown, ..Party::relay() },
            })
        }
    }
}

fn resolve_subject(
    turn: &Turn<'_>,
    target: &Target,
    subject: Subject,
    who: Option<ParticipantId>,
) -> ResolvedTarget {
    let persons = turn.people.of_subject(&subject);
    let name = who.and_then(|who| turn.people.recent(who)).or(persons.first().copied());
    let name = name.map(|person| person.name.clone());
    let key = match who.or(subject.guest_id()) {
        Some(who) if subject.is_guest() => PersonKey::of_participant(who),
        Some(_) | None => PersonKey::of_subject(&subject),
    };
    let ruled = turn.book.about(who, Some(&subject));
    // The highest of all their sessions: nobody gets at the one by the other.
    let role = role_of_subject(turn, &subject).or(ruled.role).or_else(|| {
        let vouched = persons.iter().map(|person| person.entitled);
        vouched.max_by_key(|role| turn.context.policy.rank(*role))
    });
    let role = role.map_or(Role::Listener, |role| only_one_host(turn, &subject, role));
    let party = Party {
        subject: Some(subject.clone()),
        name,
        role: Some(role),
        participant: who,
        address: None,
    };
    let participants = turn.people.sessions(&subject);
    let target = target.clone();
    ResolvedTarget { key, target, participants, subject: Some(subject), role, party }
}

/// A role that a subject has a right to: in a room of another host, a host counts as cohost.
fn only_one_host(turn: &Turn<'_>, subject: &Subject, role: Role) -> Role {
    if role == Role::Host && turn.people.has_other_host(subject) { Role::Cohost } else { role }
}

/// The role of a subject that is on the stage, or that the room belongs to.
fn role_of_subject(turn: &Turn<'_>, subject: &Subject) -> Option<Role> {
    if turn.people.host() == Some(subject) {
        return Some(Role::Host);
    }
    let is_theirs = |who: ParticipantId| turn.people.subject(who) == Some(subject);
    let theirs = turn.room.stage().iter().filter(|entry| is_theirs(entry.participant));
    theirs.map(|entry| entry.role).max_by_key(|role| turn.context.policy.rank(*role))
}

/// # Errors
/// [`ErrorCode::NotPermitted`], if the target is of higher rank and the permission is used against it.
pub(super) fn outranks(
    turn: &Turn<'_>,
    actor: &Actor,
    found: &ResolvedTarget,
    permission: Permission,
) -> Result<(), Refusal> {
    let policy = &turn.context.policy;
    if !overrules(permission) || policy.rank(found.role) <= policy.rank(actor.role) {
        return Ok(());
    }
    let article = if found.role == Role::Host { "the" } else { "a" };
    Err(Refusal::new(
        ErrorCode::NotPermitted,
        format!(
            "A {} may not {}, if that is {article} {}.",
            actor.role,
            permission.infinitive(),
            found.role
        ),
    ))
}

/// Refuses a person kept out by a ruling.
///
/// # Errors
/// [`ErrorCode::Barred`]
pub(super) fn refuse_barred(turn: &Turn<'_>, actor: &Actor) -> Result<(), Refusal> {
    if turn.book.about(Some(actor.asker.id), Some(&actor.subject)).is_barred() {
        let message = "A moderator has removed you from this room, and you cannot come back.";
        return Err(Refusal::new(ErrorCode::Barred, message));
    }
    Ok(())
}

/// Refuses a person without the right to speak.
///
/// # Errors
/// [`ErrorCode::NotPermitted`]
pub(super) fn refuse_mute(ruled: &Ruled) -> Result<(), Refusal> {
    if ruled.denies(Permission::Speak) {
        let message = "The right to speak in this room has been taken from them.";
        return Err(Refusal::new(ErrorCode::NotPermitted, message));
    }
    Ok(())
}

/// The name of a person known by subject only.
fn nameless(subject: &Subject) -> DisplayName {
    let name = subject.as_str().parse();
    name.unwrap_or_else(|_| unreachable!("a guest's subject is 22 letters and digits"))
}

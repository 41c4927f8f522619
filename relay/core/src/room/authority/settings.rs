//! Decisions about how a room is set up: creating it ahead of time, changing and showing its settings,
//! making invitations.

use std::time::Duration;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::RoomChange;
use tribune_protocol::control::participant::{RoomInfo, ToParticipant};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};
use tribune_protocol::ids::{Note, Subject};
use tribune_protocol::limits::{MAX_DURATION_S, MAX_PLAYOUT_DELAY, MAX_STAGE, MIN_PLAYOUT_DELAY};
use tribune_protocol::log::{Draft, LogAction};

use super::effect::{Asker, Refusal};
use super::lifecycle::wait_for_host;
use super::target::Actor;
use super::turn::Turn;

/// How far ahead a room can be announced: a year.
const MAX_AHEAD_S: u64 = 366 * 24 * 3_600;
/// The slowest slow mode.
const MAX_SLOW_S: u32 = 3_600;
/// The longest that an invitation holds: 31 days.
const MAX_INVITATION_S: u64 = 31 * 24 * 3_600;
/// The most sessions of one subject that can be allowed.
const MAX_DUPLICATES: u8 = 20;

/// Makes a room ahead of time.
pub(super) fn create(
    turn: &mut Turn<'_>,
    actor: &Actor,
    settings: RoomSettings,
) -> Result<(), Refusal> {
    if !actor.may_open {
        let message = "Your token does not let you create rooms; it would need roomCreate.";
        return Err(Refusal::new(ErrorCode::NotPermitted, message));
    }
    match turn.room.phase() {
        Phase::Absent | Phase::Ended => {}
        Phase::Announced | Phase::Live => {
            let message = format!("There is a room {} already.", turn.room.name());
            return Err(Refusal::bad_request(message));
        }
    }
    check(turn, &settings)?;
    let detail = settings.title.to_string();
    turn.room.set_settings(settings);
    turn.room.set_phase(Phase::Announced);
    // A guest does not come back under the same subject: the first host to come is the host.
    let host = Some(actor.subject.clone()).filter(|subject| !subject.is_guest());
    turn.people.set_host(host);
    turn.room.set_host_name(Some(actor.name.clone()));
    wait_for_host(turn);
    let mut draft = Draft::new(0, actor.party(), LogAction::RoomCreated);
    draft.detail = detail.parse().unwrap_or_default();
    turn.log(draft);
    turn.out.publish();
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Changes settings of the room.
pub(super) fn set(
    turn: &mut Turn<'_>,
    actor: &Actor,
    change: &RoomChange,
    reason: Note,
) -> Result<(), Refusal> {
    match turn.room.phase() {
        Phase::Live | Phase::Announced => {}
        Phase::Absent | Phase::Ended => {
            turn.require_live()?;
        }
    }
    let settings = changed(turn.room.settings(), change);
    check(turn, &settings)?;
    if settings == *turn.room.settings() {
        turn.out.ok_when_in_force(actor.asker);
        return Ok(());
    }
    let permission = change.permission();
    let action = if permission == Permission::Lock {
        if settings.locked { LogAction::Locked } else { LogAction::Unlocked }
    } else if permission == Permission::ClearHands {
        if settings.hands_closed { LogAction::HandsClosed } else { LogAction::HandsOpened }
    } else {
        LogAction::RoomChanged
    };
    let mut draft = Draft::new(0, actor.party(), action);
    draft.reason = reason;
    if action == LogAction::RoomChanged {
        draft.detail = in_words(change).parse().unwrap_or_default();
    }
    turn.log(draft);
    turn.room.set_settings(settings);
    if turn.room.phase() == Phase::Announced {
        wait_for_host(turn);
    }
    turn.out.publish();
    turn.out.ok_when_in_force(actor.asker);
    Ok(())
}

/// Shows how the room is set up, and its stage.
pub(super) fn show(turn: &mut Turn<'_>, asker: Asker) -> Result<(), Refusal> {
    let state = turn.room.state();
    let info = RoomInfo {
        room: state.room.clone(),
        phase: state.phase,
        settings: state.settings.clone(),
        stage: state.stage.clone(),
        listeners: turn.occupancy.listeners(),
        key: state.key,
    };
    turn.out.reply(asker, ToParticipant::Room(info));
    Ok(())
}

/// Makes an invitation to the room.
pub(super) fn make_invitation(
    turn: &mut Turn<'_>,
    actor: &Actor,
    subject: Option<Subject>,
    role: Role,
    valid_for_s: u64,
) -> Result<(), Refusal> {
    let policy = &turn.context.policy;
    let is_less = policy.rank(role) > 0
        && policy.rank(role) <= policy.rank(actor.role)
        && actor.may.covers(policy.may(role));
    if role == Role::Host || role != Role::Listener && !is_less {
        let message = format!("A {} may not invite anybody as {role}.", actor.role);
        return Err(Refusal::new(ErrorCode::NotPermitted, message));
    }
    if valid_for_s == 0 || valid_for_s > MAX_INVITATION_S {
        let message = "An invitation holds from a second to 31 days.";
        return Err(Refusal::bad_request(message));
    }
    let now_s = turn.now_s();
    let token =
        turn.context.invitation(turn.room.name(), subject.as_ref(), role, now_s, valid_for_s);
    let token = token.map_err(|error| Refusal::bad_request(error.to_string()))?;
    let mut draft = Draft::new(0, actor.party(), LogAction::InvitationMade);
    draft.duration_s = Some(valid_for_s);
    draft.detail = match subject {
        Some(subject) => format!("{role}, for {subject}"),
        None => format!("{role}, for whoever has it"),
    }
    .parse()
    .unwrap_or_default();
    turn.log(draft);
    turn.out.reply(actor.asker, ToParticipant::Invitation { token: token.into() });
    Ok(())
}

/// # Errors
/// [`ErrorCode::BadRequest`], if a setting is out of range.
fn check(turn: &Turn<'_>, settings: &RoomSettings) -> Result<(), Refusal> {
    let now_s = turn.now_s();
    if settings.stage_size == 0 || usize::from(settings.stage_size) > MAX_STAGE {
        let message = format!("A stage holds 1 to {MAX_STAGE}, not {}.", settings.stage_size);
        return Err(Refusal::bad_request(message));
    }
    if settings.starts_s > now_s + MAX_AHEAD_S {
        return Err(Refusal::bad_request("A room is announced at most a year ahead."));
    }
    if settings.hand_slow_s.max(settings.reaction_slow_s).max(settings.text_slow_s) > MAX_SLOW_S {
        let message = format!("Slow mode is at most {MAX_SLOW_S} seconds.");
        return Err(Refusal::bad_request(message));
    }
    let delay = Duration::from_millis(settings.playout_delay_ms.into());
    if !delay.is_zero() && !(MIN_PLAYOUT_DELAY..=MAX_PLAYOUT_DELAY).contains(&delay) {
        let message = "The delay of playout is from 200 ms to 2 s.";
        return Err(Refusal::bad_request(message));
    }
    if settings.duration_s > MAX_DURATION_S {
        return Err(Refusal::bad_request("A room is announced for a day at most."));
    }
    if let Duplicates::Allow(most) = settings.duplicates
        && (most == 0 || most > MAX_DUPLICATES)
    {
        let message = format!("1 to {MAX_DUPLICATES} sessions of a subject can be allowed.");
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

/// The settings after a change.
fn changed(settings: &RoomSettings, change: &RoomChange) -> RoomSettings {
    let change = change.clone();
    let old = settings.clone();
    RoomSettings {
        title: change.title.unwrap_or(old.title),
        starts_s: change.starts_s.unwrap_or(old.starts_s),
        listed: change.listed.unwrap_or(old.listed),
        access: change.access.unwrap_or(old.access),
        locked: change.locked.unwrap_or(old.locked),
        capacity: change.capacity.unwrap_or(old.capacity),
        stage_size: change.stage_size.unwrap_or(old.stage_size),
        hands_closed: change.hands_closed.unwrap_or(old.hands_closed),
        hand_slow_s: change.hand_slow_s.unwrap_or(old.hand_slow_s),
        reaction_slow_s: change.reaction_slow_s.unwrap_or(old.reaction_slow_s),
        duplicates: change.duplicates.unwrap_or(old.duplicates),
        audience_from: change.audience_from.unwrap_or(old.audience_from),
        playout_delay_ms: change.playout_delay_ms.unwrap_or(old.playout_delay_ms),
        duration_s: change.duration_s.unwrap_or(old.duration_s),
        pinned: change.pinned.unwrap_or(old.pinned),
        texts: change.texts.unwrap_or(old.texts),
        questions: change.questions.unwrap_or(old.questions),
        text_slow_s: change.text_slow_s.unwrap_or(old.text_slow_s),
    }
}

/// A change as the log says it; cut to what an entry holds.
fn in_words(change: &RoomChange) -> String {
    let mut words = Vec::new();
    let mut say = |what: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{what} {value}")));
    };
    let yes_no = |value: Option<bool>| value.map(|on| if on { "yes" } else { "no" }.to_owned());
    say("stage size", change.stage_size.map(|size| size.to_string()));
    say("capacity", change.capacity.map(|capacity| capacity.to_string()));
    say("locked", yes_no(change.locked));
    say("listed", yes_no(change.listed));
    say("hands closed", yes_no(change.hands_closed));
    say("slow hands", change.hand_slow_s.map(|seconds| format!("{seconds} s")));
    say("slow reactions", change.reaction_slow_s.map(|seconds| format!("{seconds} s")));
    say(
        "duplicates",
        change.duplicates.map(|duplicates| match duplicates {
            Duplicates::Replace => "replace".to_owned(),
            Duplicates::Refuse => "refuse".to_owned(),
            Duplicates::Allow(most) => format!("{most} allowed"),
        }),
    );
    let or_usual =
        |value: String, is_usual: bool| if is_usual { "as usual".to_owned() } else { value };
    let from = change.audience_from;
    say("audience from", from.map(|from| or_usual(format!("{from} listeners"), from == 0)));
    let delay = change.playout_delay_ms;
    say("playout delay", delay.map(|delay| or_usual(format!("{delay} ms"), delay == 0)));
    say("messages", yes_no(change.texts));
    say("questions", yes_no(change.questions));
    say("slow messages", change.text_slow_s.map(|seconds| format!("{seconds} s")));
    say(
        "duration",
        change.duration_s.map(|seconds: u32| tribune_protocol::log::span(seconds.into())),
    );
    say("pinned", change.pinned.as_ref().map(ToString::to_string));
    say("starts", change.starts_s.map(|at| tribune_protocol::log::utc(at * 1_000)));
    say("title", change.title.as_ref().map(ToString::to_string));
    say("access", change.access.as_ref().map(ToString::to_string));
    let text = words.join(", ");
    let mut end = text.len().min(tribune_protocol::limits::MAX_DETAIL_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

//! How a room is set up, at its origin: creating it ahead of time, changing and showing its settings,
//! making invitations. Used by [`crate::room::authority::state`].

use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::command::RoomChange;
use tribune_protocol::control::participant::{RoomInfo, ToParticipant};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::room::{Listing, Phase};
use tribune_protocol::domain::settings::{Duplicates, RoomSettings};
use tribune_protocol::ids::{Note, Subject};
use tribune_protocol::limits::MAX_STAGE;
use tribune_protocol::log::{Draft, LogAction};

use crate::room::authority::effect::{Asker, Refusal};
use crate::room::authority::state::{Actor, House};

/// How long an announced room waits for its host after the time it was to begin, or after it was
/// made, if it has no such time.
pub const ANNOUNCED_LINGER: Duration = Duration::from_secs(24 * 3_600);
/// How far ahead a room can be announced: a year.
const MAX_AHEAD_S: u64 = 366 * 24 * 3_600;
/// The slowest slow mode.
const MAX_SLOW_S: u32 = 3_600;
/// The longest that an invitation holds: 31 days.
const MAX_INVITATION_S: u64 = 31 * 24 * 3_600;
/// The most sessions of one subject that can be allowed.
const MAX_DUPLICATES: u8 = 20;

impl House {
    /// Makes a room ahead of time.
    pub(in crate::room) fn create(
        &mut self,
        now: Instant,
        actor: &Actor,
        settings: RoomSettings,
    ) -> Result<(), Refusal> {
        if !actor.may_open {
            let message = "Your token does not let you create rooms; it would need roomCreate.";
            return Err(Refusal::new(ErrorCode::NotPermitted, message));
        }
        match self.state.phase {
            Phase::Absent | Phase::Ended => {}
            Phase::Announced | Phase::Live => {
                let message = format!("There is a room {} already.", self.state.room);
                return Err(Refusal::bad_request(message));
            }
        }
        self.check(now, &settings)?;
        let detail = settings.title.to_string();
        self.state.settings = settings;
        self.state.phase = Phase::Announced;
        // A guest does not come back under the same subject: the first host to come is the host.
        self.host = Some(actor.subject.clone()).filter(|subject| !subject.is_guest());
        self.wait_for_host(now);
        let mut draft = Draft::new(0, actor.party(), LogAction::RoomCreated);
        draft.detail = detail.parse().unwrap_or_default();
        self.write_down(now, draft);
        self.outbox.publish();
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    pub(in crate::room) fn set(
        &mut self,
        now: Instant,
        actor: &Actor,
        change: RoomChange,
        reason: Note,
    ) -> Result<(), Refusal> {
        match self.state.phase {
            Phase::Live | Phase::Announced => {}
            Phase::Absent | Phase::Ended => {
                self.require_live()?;
            }
        }
        let settings = changed(&self.state.settings, &change);
        self.check(now, &settings)?;
        if settings == self.state.settings {
            self.outbox.ok_when_in_force(actor.asker);
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
            draft.detail = in_words(&change).parse().unwrap_or_default();
        }
        self.write_down(now, draft);
        self.state.settings = settings;
        if self.state.phase == Phase::Announced {
            self.wait_for_host(now);
        }
        self.outbox.publish();
        self.outbox.ok_when_in_force(actor.asker);
        Ok(())
    }

    pub(in crate::room) fn show(&mut self, asker: Asker) {
        let info = RoomInfo {
            room: self.state.room.clone(),
            phase: self.state.phase,
            settings: self.state.settings.clone(),
            stage: self.state.stage.clone(),
            listeners: self.listeners,
            key: self.state.key,
        };
        self.outbox.reply(asker, ToParticipant::Room(info));
    }

    /// The room as the list of public rooms has it.
    pub(in crate::room) fn listing(&self) -> Option<Listing> {
        let is_on = match self.state.phase {
            Phase::Live | Phase::Announced => true,
            Phase::Absent | Phase::Ended => false,
        };
        (is_on && self.state.settings.listed).then(|| Listing {
            room: self.state.room.clone(),
            phase: self.state.phase,
            title: self.state.settings.title.clone(),
            starts_s: self.state.settings.starts_s,
            listeners: self.listeners,
        })
    }

    pub(in crate::room) fn make_invitation(
        &mut self,
        now: Instant,
        actor: &Actor,
        subject: Option<Subject>,
        role: Role,
        valid_for_s: u64,
    ) -> Result<(), Refusal> {
        let policy = &self.setup.policy;
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
        let now_s = self.setup.unix_s(now);
        let token =
            self.setup.invitation(&self.state.room, subject.as_ref(), role, now_s, valid_for_s);
        let token = token.map_err(|error| Refusal::bad_request(error.to_string()))?;
        let mut draft = Draft::new(0, actor.party(), LogAction::InvitationMade);
        draft.duration_s = Some(valid_for_s);
        draft.detail = match subject {
            Some(subject) => format!("{role}, for {subject}"),
            None => format!("{role}, for whoever has it"),
        }
        .parse()
        .unwrap_or_default();
        self.write_down(now, draft);
        self.outbox.reply(actor.asker, ToParticipant::Invitation { token: token.into() });
        Ok(())
    }

    /// Until when an announced room waits to be opened.
    pub(in crate::room) fn wait_for_host(&mut self, now: Instant) {
        let starts = self.setup.instant(self.state.settings.starts_s).max(now);
        self.empty_until = Some(starts + ANNOUNCED_LINGER);
    }

    fn check(&self, now: Instant, settings: &RoomSettings) -> Result<(), Refusal> {
        let now_s = self.setup.unix_s(now);
        if settings.stage_size == 0 || usize::from(settings.stage_size) > MAX_STAGE {
            let message = format!("A stage holds 1 to {MAX_STAGE}, not {}.", settings.stage_size);
            return Err(Refusal::bad_request(message));
        }
        if settings.starts_s > now_s + MAX_AHEAD_S {
            return Err(Refusal::bad_request("A room is announced at most a year ahead."));
        }
        if settings.hand_slow_s.max(settings.reaction_slow_s) > MAX_SLOW_S {
            let message = format!("Slow mode is at most {MAX_SLOW_S} seconds.");
            return Err(Refusal::bad_request(message));
        }
        if let Duplicates::Allow(most) = settings.duplicates
            && (most == 0 || most > MAX_DUPLICATES)
        {
            let message = format!("1 to {MAX_DUPLICATES} sessions of a subject can be allowed.");
            return Err(Refusal::bad_request(message));
        }
        Ok(())
    }
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

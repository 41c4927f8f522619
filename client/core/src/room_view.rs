//! View of a room by its messages: stage, hands, own place, settings, what the audience writes.
//!
//! Pure: messages in, changes worth telling out. For every command that shows or acts on a room.

use tribune_protocol::control::participant::{Joined, RoomInfo, ToParticipant, You};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::stage::{Hand, StageEntry};
use tribune_protocol::ids::{DisplayName, ParticipantId, TrackId};

use crate::audience::Audience;
use crate::change::Change;
use crate::words;

/// State of a room as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct RoomView {
    you: Option<You>,
    stage: Vec<StageEntry>,
    listeners: u64,
    hands: Option<Vec<Hand>>,
    hands_total: u32,
    relay: Option<DisplayName>,
    depth: u8,
    room: Option<RoomInfo>,
    audience: Audience,
}

impl RoomView {
    /// Takes the answer to a join. After a reconnect only what differs is told.
    pub fn handle_joined(&mut self, joined: &Joined) -> Vec<Change> {
        let mut changes = Vec::new();
        self.relay = Some(joined.relay.clone());
        self.depth = joined.depth;
        self.listeners = joined.listeners;
        self.set_you(&joined.you, &mut changes);
        self.set_stage(&joined.stage, &mut changes);
        changes
    }

    /// Takes a message, and says what it changes.
    pub fn handle_message(&mut self, message: &ToParticipant) -> Vec<Change> {
        let mut changes = Vec::new();
        match message {
            ToParticipant::Joined(joined) => return self.handle_joined(joined),
            ToParticipant::Stage { stage } => self.set_stage(stage, &mut changes),
            ToParticipant::Listeners { count } => {
                if *count != self.listeners {
                    changes.push(Change::Listeners { count: *count });
                }
                self.listeners = *count;
            }
            ToParticipant::You(you) => self.set_you(you, &mut changes),
            ToParticipant::Hands { hands, total } => {
                self.set_hands(hands, &mut changes);
                self.hands_total = *total;
            }
            ToParticipant::PleaseMute { by, reason } => {
                changes.push(Change::PleaseMute { by: by.clone(), reason: reason.clone() });
            }
            ToParticipant::Moved { to, within_ms } => {
                changes.push(Change::Moving { to: to.clone(), within_ms: *within_ms });
            }
            ToParticipant::Moderated(moderated) => {
                changes.push(Change::Moderated(moderated.clone()));
            }
            ToParticipant::Room(room) => self.set_room(room, &mut changes),
            ToParticipant::Reactions { counts } => {
                changes.push(Change::Reactions { counts: counts.clone() });
            }
            ToParticipant::Texts { total, texts, hidden } => {
                self.audience.handle_texts(*total, texts, hidden, &mut changes);
            }
            ToParticipant::Questions(questions) => {
                self.audience.handle_questions(questions, &mut changes);
            }
            ToParticipant::TokenExpires { in_s } => {
                changes.push(Change::TokenExpires { in_s: *in_s });
            }
            ToParticipant::Ok {}
            | ToParticipant::Err { .. }
            | ToParticipant::Rooms { .. }
            | ToParticipant::Bans { .. }
            | ToParticipant::Log(_)
            | ToParticipant::Invitation { .. }
            | ToParticipant::ListenerReports(_)
            | ToParticipant::Share { .. }
            | ToParticipant::Statistics { .. }
            | ToParticipant::Protect { .. }
            | ToParticipant::Unknown => {}
        }
        changes
    }

    /// One's own place; `None` before the first join.
    #[must_use]
    pub const fn you(&self) -> Option<&You> {
        self.you.as_ref()
    }

    /// Everybody with the right to speak.
    #[must_use]
    pub fn stage(&self) -> &[StageEntry] {
        &self.stage
    }

    /// How many listen in the whole tree.
    #[must_use]
    pub const fn listeners(&self) -> u64 {
        self.listeners
    }

    /// The queue of hands, in order, as far as it is shown; `None` if we are not told.
    #[must_use]
    pub fn hands(&self) -> Option<&[Hand]> {
        self.hands.as_deref()
    }

    /// How many hands are up.
    #[must_use]
    pub const fn hands_total(&self) -> u32 {
        self.hands_total
    }

    /// How the room is set up, once the relay has said so.
    #[must_use]
    pub const fn room(&self) -> Option<&RoomInfo> {
        self.room.as_ref()
    }

    /// Messages and questions of the audience.
    #[must_use]
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Whether one has a place on the stage.
    #[must_use]
    pub fn may_speak(&self) -> bool {
        self.you.as_ref().is_some_and(|you| you.track.is_some())
    }

    /// Whether one may do that. A relay that does not say leaves it to the role.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.you.as_ref().is_some_and(|you| {
            if you.may.is_empty() { by_role(you, permission) } else { you.may.contains(permission) }
        })
    }

    /// The name of the edge.
    #[must_use]
    pub const fn relay(&self) -> Option<&DisplayName> {
        self.relay.as_ref()
    }

    /// Relays between here and the origin, both counted.
    #[must_use]
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    /// The owner of a track.
    #[must_use]
    pub fn on_track(&self, track: TrackId) -> Option<&StageEntry> {
        self.stage.iter().find(|entry| entry.track == track)
    }

    /// Everybody whose name is known: on the stage or with a hand up. Each once.
    #[must_use]
    pub fn people(&self) -> Vec<(ParticipantId, &DisplayName)> {
        let on_stage = self.stage.iter().map(|entry| (entry.participant, &entry.name));
        let in_queue = self.hands.iter().flatten().map(|hand| (hand.participant, &hand.name));
        let mut known: Vec<_> = on_stage.chain(in_queue).collect();
        known.sort();
        known.dedup_by_key(|(id, _)| *id);
        known
    }

    fn set_you(&mut self, you: &You, changes: &mut Vec<Change>) {
        if let Some(before) = &self.you {
            let reason = || you.reason.clone();
            if before.role != you.role || before.track != you.track {
                let change =
                    Change::YourRole { role: you.role, track: you.track, reason: reason() };
                changes.push(change);
            }
            if before.hand != you.hand {
                changes.push(Change::YourHand { place: you.hand, reason: reason() });
            }
        }
        if self.you.as_ref().is_some_and(|before| before.silenced) != you.silenced {
            let reason = you.reason.clone();
            changes.push(Change::YouSilenced { on: you.silenced, reason });
        }
        let before = self.you.as_ref().map_or(Profile::Live, |before| before.profile);
        if before != you.profile {
            changes.push(Change::Profile { profile: you.profile });
        }
        if let Some(before) = &self.you
            && before.role == you.role
            && before.may != you.may
            && !before.may.is_empty()
        {
            let gained = you.may.minus(before.may).iter().collect();
            changes
                .push(Change::YouMay { gained, lost: before.may.minus(you.may).iter().collect() });
        }
        if self.you.as_ref().and_then(|before| before.invited_by.as_ref())
            != you.invited_by.as_ref()
        {
            changes.push(Change::Invited { by: you.invited_by.clone() });
        }
        self.you = Some(you.clone());
        if !self.may(Permission::SeeHands) {
            self.hands = None;
        }
    }

    /// The first time is not told: it is no change.
    fn set_room(&mut self, room: &RoomInfo, changes: &mut Vec<Change>) {
        if let Some(before) = &self.room {
            let pairs =
                words::settings(&before.settings).into_iter().zip(words::settings(&room.settings));
            for ((_, was), (setting, value)) in pairs {
                if was != value {
                    changes.push(Change::Setting { setting, value });
                }
            }
        }
        self.room = Some(room.clone());
    }

    fn set_stage(&mut self, stage: &[StageEntry], changes: &mut Vec<Change>) {
        for gone in &self.stage {
            if !stage.iter().any(|entry| entry.track == gone.track) {
                let (participant, name) = (gone.participant, gone.name.clone());
                changes.push(Change::LeftStage { participant, name, track: gone.track });
            }
        }
        for entry in stage {
            let (participant, name, role) = (entry.participant, &entry.name, entry.role);
            let before = self.stage.iter().find(|before| before.track == entry.track);
            match before {
                None => changes.push(Change::JoinedStage {
                    participant,
                    name: name.clone(),
                    role,
                    track: entry.track,
                }),
                Some(before) if before.role != role => {
                    changes.push(Change::RoleChanged { participant, name: name.clone(), role });
                }
                Some(_) => {}
            }
            let was = |flag: fn(&StageEntry) -> bool| before.is_some_and(flag);
            if was(|entry| entry.silenced) != entry.silenced {
                let on = entry.silenced;
                changes.push(Change::Silenced { participant, name: name.clone(), on });
            }
            if was(|entry| entry.muted) != entry.muted {
                changes.push(Change::Muted { participant, name: name.clone(), on: entry.muted });
            }
            if was(|entry| entry.away) != entry.away {
                changes.push(Change::Away { participant, name: name.clone(), on: entry.away });
            }
        }
        self.stage = stage.to_vec();
    }

    fn set_hands(&mut self, hands: &[Hand], changes: &mut Vec<Change>) {
        let before = self.hands.take().unwrap_or_default();
        for gone in &before {
            if !hands.iter().any(|hand| hand.participant == gone.participant) {
                let (participant, name) = (gone.participant, gone.name.clone());
                changes.push(Change::HandDown { participant, name });
            }
        }
        for hand in hands {
            let same = |old: &&Hand| old.participant == hand.participant && old.note == hand.note;
            if before.iter().find(same).is_none() {
                changes.push(Change::HandRaised {
                    participant: hand.participant,
                    name: hand.name.clone(),
                    note: hand.note.clone(),
                });
            }
        }
        self.hands = Some(hands.to_vec());
    }
}

/// Permissions of a role, as far as the four default roles tell.
fn by_role(you: &You, permission: Permission) -> bool {
    match permission {
        Permission::Listen
        | Permission::RaiseHand
        | Permission::React
        | Permission::AnswerInvite
        | Permission::ShowRoom
        | Permission::Appeal
        | Permission::Share
        | Permission::Write
        | Permission::Ask
        | Permission::Vote => true,
        Permission::Speak | Permission::MuteSelf | Permission::LeaveStage => you.track.is_some(),
        Permission::SeeHands
        | Permission::LowerHand
        | Permission::Grant
        | Permission::Deny
        | Permission::ClearHands
        | Permission::Invite
        | Permission::AskMute
        | Permission::Silence
        | Permission::SilenceAll
        | Permission::RemoveFromStage
        | Permission::Kick
        | Permission::Ban
        | Permission::SeeBans
        | Permission::SetRole
        | Permission::SetPermission
        | Permission::HandOver
        | Permission::MakeInvitation
        | Permission::Lock
        | Permission::SetRoom
        | Permission::ReadLog
        | Permission::AnswerAppeal
        | Permission::SeeListeners
        | Permission::HideText
        | Permission::SeeStatistics
        | Permission::OpenRoom
        | Permission::EndRoom => you.role.moderates(),
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::domain::permission::PermissionSet;
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::domain::room::Phase;
    use tribune_protocol::domain::settings::RoomSettings;
    use tribune_protocol::ids::Note;

    use super::*;

    fn entry(id: u64, name: &str, role: Role) -> StageEntry {
        StageEntry {
            participant: ParticipantId(id),
            name: name.parse().unwrap(),
            role,
            track: TrackId(id as u32),
            silenced: false,
            muted: false,
            away: false,
        }
    }

    fn you(role: Role) -> You {
        let participant = ParticipantId(9);
        let (hand, invited_by, may) = (None, None, PermissionSet::NONE);
        let reason = Note::default();
        let profile = Profile::Live;
        You {
            participant,
            role,
            track: None,
            silenced: false,
            hand,
            reason,
            may,
            invited_by,
            profile,
        }
    }

    fn joined(stage: Vec<StageEntry>) -> Joined {
        let relay = "edge".parse().unwrap();
        Joined { relay, depth: 2, you: you(Role::Listener), stage, listeners: 3, redundancy: false }
    }

    fn hand(id: u64, name: &str, note: &str) -> Hand {
        let (name, note) = (name.parse().unwrap(), note.parse().unwrap());
        Hand { participant: ParticipantId(id), name, note, waiting_s: 4 }
    }

    fn lines(changes: &[Change]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_stage_is_told_by_its_changes() {
        let mut view = RoomView::default();
        let changes = view.handle_joined(&joined(vec![entry(1, "Ada", Role::Host)]));
        assert_eq!(lines(&changes), ["Ada is on the stage (host)"]);
        let bob = StageEntry { silenced: true, ..entry(2, "Bob", Role::Speaker) };
        let stage = vec![StageEntry { away: true, ..entry(1, "Ada", Role::Host) }, bob];
        let changes = view.handle_message(&ToParticipant::Stage { stage: stage.clone() });
        let expected =
            ["Ada lost the connection", "Bob is on the stage (speaker)", "Bob is silenced"];
        assert_eq!(lines(&changes), expected);
        assert!(view.handle_message(&ToParticipant::Stage { stage }).is_empty());
        let changes = view.handle_message(&ToParticipant::Stage { stage: vec![] });
        assert_eq!(lines(&changes), ["Ada left the stage", "Bob left the stage"]);
    }

    #[test]
    fn coming_back_tells_only_what_differs() {
        let mut view = RoomView::default();
        view.handle_joined(&joined(vec![entry(1, "Ada", Role::Host)]));
        assert!(view.handle_joined(&joined(vec![entry(1, "Ada", Role::Host)])).is_empty());
    }

    #[test]
    fn ones_own_place() {
        let mut view = RoomView::default();
        view.handle_joined(&joined(vec![]));
        let message = ToParticipant::You(You { hand: Some(2), ..you(Role::Listener) });
        assert_eq!(
            lines(&view.handle_message(&message)),
            ["your hand is up, number 2 in the queue"]
        );
        let granted = You { track: Some(TrackId(4)), ..you(Role::Speaker) };
        let changes = view.handle_message(&ToParticipant::You(granted));
        assert_eq!(lines(&changes), ["your role is speaker now", "your hand is down"]);
        let reason: Note = "too loud".parse().unwrap();
        let silenced =
            You { track: Some(TrackId(4)), silenced: true, reason, ..you(Role::Speaker) };
        let changes = view.handle_message(&ToParticipant::You(silenced));
        assert_eq!(lines(&changes), ["you are silenced by a moderator: too loud"]);
    }

    #[test]
    fn hands_are_told_by_their_changes() {
        let mut view = RoomView::default();
        let hands = vec![hand(5, "Eve", ""), hand(6, "Fay", "hi")];
        let changes = view.handle_message(&ToParticipant::Hands { hands, total: 2 });
        assert_eq!(lines(&changes), ["Eve raises a hand", "Fay raises a hand: hi"]);
        let hands = vec![hand(6, "Fay", "hello")];
        let changes = view.handle_message(&ToParticipant::Hands { hands, total: 1 });
        assert_eq!(lines(&changes), ["Eve's hand is down", "Fay raises a hand: hello"]);
    }

    #[test]
    fn invitations_permissions_and_settings_are_told_once() {
        let mut view = RoomView::default();
        let may = PermissionSet::of(&[Permission::Listen, Permission::React]);
        let first = You { may, ..you(Role::Listener) };
        view.handle_joined(&Joined { you: first.clone(), ..joined(vec![]) });
        let invited_by = Some("Ada".parse().unwrap());
        let may = PermissionSet::of(&[Permission::Listen]);
        let message = ToParticipant::You(You { may, invited_by, ..first.clone() });
        let told = lines(&view.handle_message(&message));
        assert_eq!(told, ["you may no longer send a reaction", "Ada invites you to speak"]);
        assert!(!view.may(Permission::React) && view.may(Permission::Listen));
        assert!(view.handle_message(&message).is_empty());
        let told = lines(&view.handle_message(&ToParticipant::You(You { may, ..first })));
        assert_eq!(told, ["the invitation to speak is over"]);

        let room = |locked| {
            ToParticipant::Room(RoomInfo {
                room: "stage".parse().unwrap(),
                phase: Phase::Live,
                settings: RoomSettings { locked, ..RoomSettings::default() },
                stage: Vec::new(),
                listeners: 0,
                key: None,
            })
        };
        assert!(view.handle_message(&room(false)).is_empty());
        let told = lines(&view.handle_message(&room(true)));
        assert_eq!(told, ["the room is set to locked: yes"]);
        assert!(view.handle_message(&room(true)).is_empty());
    }

    #[test]
    fn without_a_word_about_permissions_the_role_decides() {
        let mut view = RoomView::default();
        assert!(!view.may(Permission::Listen), "not in the room");
        view.handle_joined(&joined(vec![]));
        assert!(view.may(Permission::RaiseHand) && !view.may(Permission::Kick));
        view.handle_message(&ToParticipant::You(you(Role::Cohost)));
        assert!(view.may(Permission::Kick));
    }
}

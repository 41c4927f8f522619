//! The room as its messages tell it: who is on the stage, whose hand is up, one's own place.
//!
//! Pure: messages in, changes worth telling out. For every command that shows or acts on a room.

use std::fmt;

use serde::{Serialize, Serializer};
use tribune_protocol::control::participant::{Joined, ToParticipant, You};
use tribune_protocol::control::room::{Hand, Role, StageEntry};
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, TrackId};

/// Something about the room that has changed. Written as one line for people (`Display`) or as a
/// JSON object with the key `event` (`Serialize`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// Somebody may speak from now on.
    JoinedStage {
        /// Who.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Their role.
        role: Role,
        /// The track they speak on.
        track: TrackId,
    },
    /// Somebody may no longer speak.
    LeftStage {
        /// Who.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// The track they spoke on.
        track: TrackId,
    },
    /// Somebody on the stage has another role.
    RoleChanged {
        /// Who.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// The new role.
        role: Role,
    },
    /// A moderator silenced somebody, or lets them be heard again.
    Silenced {
        /// Who.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether the silence is on.
        on: bool,
    },
    /// Somebody switched the own microphone off or on.
    Muted {
        /// Who.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether it is off.
        on: bool,
    },
    /// Somebody's connection is gone, or back.
    Away {
        /// Who.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether it is gone.
        on: bool,
    },
    /// A hand went up, or its note changed.
    HandRaised {
        /// Whose.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// What they want to say; may be empty.
        note: Note,
    },
    /// A hand is down: lowered, granted, denied, or its owner is gone.
    HandDown {
        /// Whose.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
    },
    /// One's own role has changed.
    YourRole {
        /// The new role.
        role: Role,
        /// The track to speak on, if it speaks.
        track: Option<TrackId>,
        /// Why; may be empty.
        reason: Note,
    },
    /// One's own place in the queue of hands has changed.
    YourHand {
        /// The place from 1; `None` if the hand is down.
        place: Option<u32>,
        /// Why; may be empty.
        reason: Note,
    },
    /// One is silenced, or heard again.
    YouSilenced {
        /// Whether the silence is on.
        on: bool,
        /// Why; may be empty.
        reason: Note,
    },
    /// A moderator asks to switch the microphone off.
    PleaseMute {
        /// Who asks.
        by: DisplayName,
        /// Why; may be empty.
        reason: Note,
    },
    /// Another number of people listens.
    Listeners {
        /// How many in the whole tree.
        count: u64,
    },
    /// The relay will close the connection.
    Moving {
        /// Where to go on, if it says.
        to: Option<String>,
        /// Milliseconds until it closes.
        within_ms: u32,
    },
}

/// What is known about a room.
#[derive(Debug, Clone, Default)]
pub struct RoomView {
    you: Option<You>,
    stage: Vec<StageEntry>,
    listeners: u64,
    hands: Option<Vec<Hand>>,
    hands_total: u32,
    relay: Option<DisplayName>,
    depth: u8,
}

/// A name or id on the command line that stands for nobody, or for several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nobody on the stage or in the queue of hands is called that.
    #[error(
        "nobody called {0:?} is on the stage or has a hand up; a listener is named by the 16-digit id"
    )]
    Nobody(String),
    /// More than one is.
    #[error("{name:?} is the name of several, so say which by id: {ids}")]
    Several {
        /// The name.
        name: String,
        /// Their ids.
        ids: String,
    },
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
            ToParticipant::Ok {} | ToParticipant::Err { .. } | ToParticipant::Unknown => {}
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

    /// Whose track it is.
    #[must_use]
    pub fn on_track(&self, track: TrackId) -> Option<&StageEntry> {
        self.stage.iter().find(|entry| entry.track == track)
    }

    /// The participant that a text stands for: an id of 16 digits, or the name of somebody on the
    /// stage or with a hand up. Upper and lower case count only where they make the difference.
    ///
    /// # Errors
    /// [`ResolveError`]
    pub fn resolve(&self, text: &str) -> Result<ParticipantId, ResolveError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let on_stage = self.stage.iter().map(|entry| (entry.participant, &entry.name));
        let in_queue = self.hands.iter().flatten().map(|hand| (hand.participant, &hand.name));
        let mut known: Vec<_> = on_stage.chain(in_queue).collect();
        known.sort();
        known.dedup_by_key(|(id, _)| *id);
        let named = |is_it: &dyn Fn(&str) -> bool| -> Vec<ParticipantId> {
            known.iter().filter(|(_, name)| is_it(name.as_str())).map(|(id, _)| *id).collect()
        };
        let mut found = named(&|name| name == text);
        if found.is_empty() {
            found = named(&|name| name.to_lowercase() == text.to_lowercase());
        }
        match found[..] {
            [] => Err(ResolveError::Nobody(text.to_owned())),
            [one] => Ok(one),
            _ => {
                let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
                Err(ResolveError::Several { name: text.to_owned(), ids: ids.join(", ") })
            }
        }
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
        if !you.role.moderates() {
            self.hands = None;
        }
        self.you = Some(you.clone());
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

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = |reason: &Note| match reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        match self {
            Self::JoinedStage { name, role, .. } => write!(f, "{name} is on the stage ({role})"),
            Self::LeftStage { name, .. } => write!(f, "{name} left the stage"),
            Self::RoleChanged { name, role, .. } => write!(f, "{name} is {role} now"),
            Self::Silenced { name, on: true, .. } => write!(f, "{name} is silenced"),
            Self::Silenced { name, on: false, .. } => write!(f, "{name} is no longer silenced"),
            Self::Muted { name, on: true, .. } => write!(f, "{name} is muted"),
            Self::Muted { name, on: false, .. } => write!(f, "{name} is no longer muted"),
            Self::Away { name, on: true, .. } => write!(f, "{name} lost the connection"),
            Self::Away { name, on: false, .. } => write!(f, "{name} is back"),
            Self::HandRaised { name, note, .. } => {
                write!(f, "{name} raises a hand{}", because(note))
            }
            Self::HandDown { name, .. } => write!(f, "{name}'s hand is down"),
            Self::YourRole { role, reason, .. } => {
                write!(f, "your role is {role} now{}", because(reason))
            }
            Self::YourHand { place: Some(place), reason } => {
                write!(f, "your hand is up, number {place} in the queue{}", because(reason))
            }
            Self::YourHand { place: None, reason } => {
                write!(f, "your hand is down{}", because(reason))
            }
            Self::YouSilenced { on: true, reason } => {
                write!(f, "you are silenced by a moderator{}", because(reason))
            }
            Self::YouSilenced { on: false, reason } => {
                write!(f, "you are no longer silenced{}", because(reason))
            }
            Self::PleaseMute { by, reason } => {
                write!(f, "{by} asks you to mute{}", because(reason))
            }
            Self::Listeners { count: 1 } => write!(f, "1 listener"),
            Self::Listeners { count } => write!(f, "{count} listeners"),
            Self::Moving { to: Some(to), .. } => write!(f, "the relay moves us to {to}"),
            Self::Moving { to: None, within_ms } => {
                write!(f, "the relay stops within {} s", within_ms.div_ceil(1_000))
            }
        }
    }
}

fn as_text<S: Serializer>(id: &ParticipantId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

#[cfg(test)]
mod tests {
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
        You { participant, role, track: None, silenced: false, hand: None, reason: Note::default() }
    }

    fn joined(stage: Vec<StageEntry>) -> Joined {
        let relay = "edge".parse().unwrap();
        Joined { relay, depth: 2, you: you(Role::Listener), stage, listeners: 3 }
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
    fn subjects_resolve_by_id_and_by_name() {
        let mut view = RoomView::default();
        let stage = vec![
            entry(1, "Ada", Role::Host),
            entry(2, "ada", Role::Speaker),
            entry(3, "Bob", Role::Speaker),
            entry(4, "Bob", Role::Speaker),
            entry(5, "Eve", Role::Speaker),
        ];
        view.handle_joined(&joined(stage));
        view.handle_message(&ToParticipant::Hands { hands: vec![hand(5, "Eve", "")], total: 1 });
        assert_eq!(view.resolve("Ada"), Ok(ParticipantId(1)));
        assert_eq!(view.resolve("ada"), Ok(ParticipantId(2)));
        assert_eq!(view.resolve("EVE"), Ok(ParticipantId(5)));
        assert_eq!(view.resolve("00000000000000ff"), Ok(ParticipantId(255)));
        assert_eq!(view.resolve("Zoe"), Err(ResolveError::Nobody("Zoe".into())));
        let several = view.resolve("bob").unwrap_err().to_string();
        assert!(several.contains("0000000000000003, 0000000000000004"), "{several}");
        assert!(matches!(view.resolve("ADA"), Err(ResolveError::Several { .. })));
    }

    #[test]
    fn ids_are_text_in_json() {
        let change =
            Change::HandDown { participant: ParticipantId(255), name: "Eve".parse().unwrap() };
        let json = serde_json::to_string(&change).unwrap();
        let expected = r#"{"event":"hand_down","participant":"00000000000000ff","name":"Eve"}"#;
        assert_eq!(json, expected);
    }
}

//! Changes of a room, each as one line for people or one JSON object for programs.
//!
//! Pure. Made by [`crate::room_view`], for every command that shows a room.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use tribune_protocol::domain::permission::Permission;
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::role::Role;
use tribune_protocol::domain::ruling::Moderated;
use tribune_protocol::ids::{DisplayName, Note, ParticipantId, TrackId};
use tribune_protocol::log::LogAction;

use crate::words;

/// Something about the room that has changed. Written as one line for people (`Display`) or as a
/// JSON object with the key `event` (`Serialize`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// Somebody may speak from now on.
    JoinedStage {
        /// The participant.
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
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// The track they spoke on.
        track: TrackId,
    },
    /// Somebody on the stage has another role.
    RoleChanged {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// The new role.
        role: Role,
    },
    /// A moderator silenced somebody, or lets them be heard again.
    Silenced {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether the silence is on.
        on: bool,
    },
    /// Somebody switched the own microphone off or on.
    Muted {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether it is off.
        on: bool,
    },
    /// Somebody's connection is gone, or back.
    Away {
        /// The participant.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Whether it is gone.
        on: bool,
    },
    /// A hand went up, or its note changed.
    HandRaised {
        /// Their owner.
        #[serde(serialize_with = "as_text")]
        participant: ParticipantId,
        /// Their name.
        name: DisplayName,
        /// Their note; may be empty.
        note: Note,
    },
    /// A hand is down: lowered, granted, denied, or its owner is gone.
    HandDown {
        /// Their owner.
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
    /// Frames come by another profile.
    Profile {
        /// The profile.
        profile: Profile,
    },
    /// A moderator asks to switch the microphone off.
    PleaseMute {
        /// The moderator.
        by: DisplayName,
        /// Why; may be empty.
        reason: Note,
    },
    /// Another number of people listens.
    Listeners {
        /// How many in the whole tree.
        count: u64,
    },
    /// A decision about us, in the words of the room's log.
    Moderated(Moderated),
    /// Single permissions were given or taken, while the role stays.
    YouMay {
        /// Permissions gained.
        gained: Vec<Permission>,
        /// Permissions lost.
        lost: Vec<Permission>,
    },
    /// Somebody asks one to come on the stage, or no longer does.
    Invited {
        /// The inviter; `None` if the invitation is answered or taken back.
        by: Option<DisplayName>,
    },
    /// The room is set up in another way.
    Setting {
        /// Which setting.
        setting: &'static str,
        /// Its new value, in words.
        value: String,
    },
    /// Reactions in the room since the last such line.
    Reactions {
        /// How many of each.
        counts: BTreeMap<Reaction, u32>,
    },
    /// The token runs out soon, and the connection with it.
    TokenExpires {
        /// Seconds until then.
        in_s: u32,
    },
    /// The relay will close the connection.
    Moving {
        /// Where to go on, if it says.
        to: Option<String>,
        /// Milliseconds until it closes.
        within_ms: u32,
    },
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
            Self::Profile { profile } => f.write_str(heard_by(*profile)),
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
            Self::Moderated(moderated) => f.write_str(&sentence_about_you(moderated)),
            Self::YouMay { gained, lost } => write_rights(f, gained, lost),
            Self::Invited { by: Some(by) } => write!(f, "{by} invites you to speak"),
            Self::Invited { by: None } => write!(f, "the invitation to speak is over"),
            Self::Setting { setting, value } => write!(f, "the room is set to {setting}: {value}"),
            Self::Reactions { counts } => {
                let each = counts
                    .iter()
                    .map(|(reaction, count)| format!("{} × {count}", words::reaction(*reaction)));
                write!(f, "reactions: {}", each.collect::<Vec<_>>().join(", "))
            }
            Self::TokenExpires { in_s } => {
                write!(f, "your token runs out in {in_s} s, and the connection with it")
            }
            Self::Moving { to: Some(to), .. } => write!(f, "the relay moves us to {to}"),
            Self::Moving { to: None, within_ms } => {
                write!(f, "the relay stops within {} s", within_ms.div_ceil(1_000))
            }
        }
    }
}

fn write_rights(
    f: &mut fmt::Formatter<'_>,
    gained: &[Permission],
    lost: &[Permission],
) -> fmt::Result {
    let list =
        |set: &[Permission]| set.iter().map(|one| one.infinitive()).collect::<Vec<_>>().join(", ");
    match (gained.is_empty(), lost.is_empty()) {
        (false, true) => write!(f, "you may {} now", list(gained)),
        (true, _) => write!(f, "you may no longer {}", list(lost)),
        (false, false) => write!(f, "you may {} now, and no longer {}", list(gained), list(lost)),
    }
}

/// How the room is heard by a profile.
const fn heard_by(profile: Profile) -> &'static str {
    match profile {
        Profile::Live | Profile::Unknown => "you hear the room live now",
        Profile::Audience => "you hear the room a little later now, as its audience does",
        Profile::Reliable => "you hear the room over streams now, whole and later",
    }
}

fn as_text<S: Serializer>(id: &ParticipantId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A decision about you: action, end, reason, and how to appeal.
fn sentence_about_you(moderated: &Moderated) -> String {
    let by = moderated.by.as_ref().map_or("the relay", DisplayName::as_str);
    let what = moderated.action.map_or("did what only a later version can name", about_you);
    let until = match moderated.until_s {
        0 => String::new(),
        until_s => format!(" until {}", words::utc(until_s)),
    };
    let why = match moderated.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let entry = match moderated.entry {
        0 => String::new(),
        entry => format!(" (log entry {entry}; `tribune appeal create` can appeal against it)"),
    };
    format!("{by} {what}{until}{why}{entry}")
}

/// An action on you, as the continuation of its actor's name.
const fn about_you(action: LogAction) -> &'static str {
    match action {
        LogAction::RoomCreated => "created the room",
        LogAction::RoomOpened => "opened the room",
        LogAction::RoomEnded => "ended the room",
        LogAction::RoomChanged => "changed the room",
        LogAction::Locked => "locked the room",
        LogAction::Unlocked => "unlocked the room",
        LogAction::AskedToMute => "asked you to mute",
        LogAction::Silenced => "silenced you",
        LogAction::Unsilenced => "lets you be heard again",
        LogAction::AllSilenced => "silenced everybody",
        LogAction::AllUnsilenced => "lets everybody be heard again",
        LogAction::RemovedFromStage => "moved you off the stage",
        LogAction::Kicked => "removed you from the room",
        LogAction::Banned => "banned you from the room",
        LogAction::Unbanned => "lifted your ban",
        LogAction::BanRanOut => "let your ban run out",
        LogAction::HandGranted => "granted your hand",
        LogAction::HandDenied => "denied your hand",
        LogAction::HandsCleared => "lowered all hands",
        LogAction::HandsClosed => "closed the queue of hands",
        LogAction::HandsOpened => "opened the queue of hands",
        LogAction::InvitedToSpeak => "invited you to speak",
        LogAction::RoleChanged => "changed your role",
        LogAction::PermissionChanged => "changed what you may do",
        LogAction::HostHandedOver => "handed the room over to you",
        LogAction::HostSucceeded => "made you the host",
        LogAction::InvitationMade => "made an invitation for you",
        LogAction::Appealed => "noted your appeal",
        LogAction::AppealUpheld => "upheld your appeal",
        LogAction::AppealRejected => "rejected your appeal",
        LogAction::TextHidden => "hid a text of yours",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_says_who_what_until_when_why_and_how_to_appeal() {
        let ban = Moderated {
            action: Some(LogAction::Banned),
            by: Some("Ada".parse().unwrap()),
            reason: "spam".parse().unwrap(),
            entry: 12,
            until_s: 1_800_000_000,
        };
        let change = Change::Moderated(ban.clone());
        assert_eq!(
            change.to_string(),
            "Ada banned you from the room until 2027-01-15 08:00:00 UTC: spam \
             (log entry 12; `tribune appeal create` can appeal against it)"
        );
        let json = serde_json::to_value(&change).unwrap();
        assert_eq!((&json["event"], &json["action"]), (&"moderated".into(), &"banned".into()));
        assert_eq!((&json["entry"], &json["by"]), (&12.into(), &"Ada".into()));
        let bare = Moderated { by: None, reason: Note::default(), entry: 0, until_s: 0, ..ban };
        assert_eq!(Change::Moderated(bare).to_string(), "the relay banned you from the room");
    }

    #[test]
    fn permissions_and_reactions_are_sentences() {
        let may = Change::YouMay { gained: vec![Permission::Kick], lost: vec![Permission::React] };
        assert_eq!(
            may.to_string(),
            "you may remove somebody from the room now, and no longer send a reaction"
        );
        let counts = BTreeMap::from([(Reaction::Clap, 12), (Reaction::Wow, 1)]);
        let reactions = Change::Reactions { counts };
        assert_eq!(reactions.to_string(), "reactions: clap × 12, wow × 1");
        let json = serde_json::to_string(&reactions).unwrap();
        assert_eq!(json, r#"{"event":"reactions","counts":{"clap":12,"wow":1}}"#);
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

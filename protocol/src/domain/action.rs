//! Actions of the log, for the origin, which writes them, and for reports.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::invalid_text::InvalidText;

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// An action. The words are those of the wire, of exports and of the hash, and closed for
        /// version 1 of the log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum LogAction {
            $($(#[$doc])* $variant,)*
        }

        impl LogAction {
            /// Every action, in the order in which reports list them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The action's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

actions! {
    /// The room was set up, before or as it was opened.
    RoomCreated = "room_created",
    /// The room began.
    RoomOpened = "room_opened",
    /// The room was closed for good.
    RoomEnded = "room_ended",
    /// A setting of the room was changed; the detail says which.
    RoomChanged = "room_changed",
    /// Nobody else may come in.
    Locked = "locked",
    /// Others may come in again.
    Unlocked = "unlocked",
    /// A speaker was asked to close the microphone.
    AskedToMute = "asked_to_mute",
    /// A speaker's frames are dropped everywhere.
    Silenced = "silenced",
    /// A speaker is heard again.
    Unsilenced = "unsilenced",
    /// The frames of all speakers but the moderators are dropped everywhere.
    AllSilenced = "all_silenced",
    /// All speakers are heard again.
    AllUnsilenced = "all_unsilenced",
    /// A speaker lost the right to speak, and stays in the room.
    RemovedFromStage = "removed_from_stage",
    /// A participant was put out of the room.
    Kicked = "kicked",
    /// A subject or address may not come in, for the duration or until it is lifted.
    Banned = "banned",
    /// A ban was lifted.
    Unbanned = "unbanned",
    /// A ban's duration is over.
    BanRanOut = "ban_ran_out",
    /// A hand was answered with the right to speak.
    HandGranted = "hand_granted",
    /// A hand was turned down.
    HandDenied = "hand_denied",
    /// All hands were lowered.
    HandsCleared = "hands_cleared",
    /// No more hands are taken.
    HandsClosed = "hands_closed",
    /// Hands are taken again.
    HandsOpened = "hands_opened",
    /// A participant was asked to come on the stage.
    InvitedToSpeak = "invited_to_speak",
    /// A participant has another role; the detail says which.
    RoleChanged = "role_changed",
    /// A participant has a permission more or fewer; the detail says which.
    PermissionChanged = "permission_changed",
    /// The host made somebody else the host.
    HostHandedOver = "host_handed_over",
    /// The host was gone too long, and somebody else became the host.
    HostSucceeded = "host_succeeded",
    /// An invitation to the room was made.
    InvitationMade = "invitation_made",
    /// The target of an action asks that it be taken back; the entry is about the action's entry.
    Appealed = "appealed",
    /// The action is taken back; the entry is about the appeal's entry.
    AppealUpheld = "appeal_upheld",
    /// The action stands; the entry is about the appeal's entry.
    AppealRejected = "appeal_rejected",
    /// A message or question of the audience was hidden.
    TextHidden = "text_hidden",
}

impl FromStr for LogAction {
    type Err = InvalidText;

    fn from_str(word: &str) -> Result<Self, InvalidText> {
        let found = Self::ALL.iter().find(|action| action.as_str() == word);
        found.copied().ok_or_else(|| InvalidText::new("action", word, "is not known"))
    }
}

impl fmt::Display for LogAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_wire() {
        for action in LogAction::ALL {
            let wire = ciborium::Value::serialized(action).unwrap();
            assert_eq!(wire.as_text(), Some(action.as_str()));
            assert_eq!(action.as_str().parse::<LogAction>().unwrap(), *action);
        }
        let unknown = "Banned".parse::<LogAction>().unwrap_err();
        assert_eq!(unknown.to_string(), "action \"Banned\" is not known");
    }
}

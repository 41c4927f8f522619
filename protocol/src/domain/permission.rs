//! Permissions and sets of them. The permissions of each role are in the origin's
//! policy table; a participant is told its own set.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::InvalidName;

macro_rules! permissions {
    ($($(#[$doc:meta])* $permission:ident: $word:literal, $infinitive:literal;)*) => {
        /// Something that a participant may or may not do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Permission {
            $($(#[$doc])* $permission,)*
        }

        impl Permission {
            /// All of them, in the order of the policy table.
            pub const ALL: &[Self] = &[$(Self::$permission),*];

            /// The permission as it is written on the wire, in a policy file and on the command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$permission => $word,)*
                }
            }

            /// The right in words, after "may".
            #[must_use]
            pub const fn infinitive(self) -> &'static str {
                match self {
                    $(Self::$permission => $infinitive,)*
                }
            }
        }
    };
}

permissions! {
    /// Hearing the room.
    Listen: "listen", "listen to the room";
    /// Holding a track on the stage.
    Speak: "speak", "come in as a speaker";
    /// Raising, changing and lowering one's own hand.
    RaiseHand: "raise_hand", "raise a hand";
    /// Sending a reaction.
    React: "react", "send a reaction";
    /// Saying whether one's own microphone is off.
    MuteSelf: "mute_self", "mute themselves";
    /// Giving the right to speak back.
    LeaveStage: "leave_stage", "leave the stage";
    /// Accepting or declining an invitation to speak.
    AnswerInvite: "answer_invite", "answer an invitation to speak";
    /// Seeing the settings of the room, and its stage.
    ShowRoom: "show_room", "see how the room is set up";
    /// Attaching an appeal to a decision about the sender.
    Appeal: "appeal", "appeal";
    /// Seeing the queue of hands.
    SeeHands: "see_hands", "see the queue of hands";
    /// Lowering somebody else's hand.
    LowerHand: "lower_hand", "lower the hand of somebody else";
    /// Giving the right to speak to a raised hand.
    Grant: "grant", "grant the right to speak";
    /// Denying a hand.
    Deny: "deny", "deny a hand";
    /// Lowering all hands.
    ClearHands: "clear_hands", "lower all hands";
    /// Asking somebody to come on the stage.
    Invite: "invite", "invite somebody to speak";
    /// Asking for a microphone to be switched off.
    AskMute: "ask_mute", "ask somebody to mute";
    /// Having somebody's frames dropped, or letting them pass again.
    Silence: "silence", "silence somebody";
    /// The same for everybody on the stage of lower rank.
    SilenceAll: "silence_all", "silence everybody";
    /// Moving somebody off the stage.
    RemoveFromStage: "remove_from_stage", "move somebody off the stage";
    /// Removing from the room.
    Kick: "kick", "remove somebody from the room";
    /// Keeping out for a time, and lifting that.
    Ban: "ban", "ban somebody";
    /// Reading the list of bans.
    SeeBans: "see_bans", "see the bans";
    /// Changing somebody's role, up to one's own rank.
    SetRole: "set_role", "change a role";
    /// Giving or taking a single permission.
    SetPermission: "set_permission", "change permissions";
    /// Making somebody else the host.
    HandOver: "hand_over", "hand the room over";
    /// Making invitations to the room.
    MakeInvitation: "make_invitation", "make an invitation";
    /// Locking and unlocking the room.
    Lock: "lock", "lock the room";
    /// Changing any other setting of the room.
    SetRoom: "set_room", "change the room's settings";
    /// Reading the room's log.
    ReadLog: "read_log", "read the log";
    /// Answering an appeal.
    AnswerAppeal: "answer_appeal", "answer an appeal";
    /// Seeing how single listeners hear.
    SeeListeners: "see_listeners", "see how single listeners hear";
    /// Opening the room, or creating it ahead of time.
    OpenRoom: "open_room", "open the room";
    /// Making a share link.
    Share: "share", "share the room";
    /// Writing a message to the stage.
    Write: "write", "write to the stage";
    /// Asking a question.
    Ask: "ask", "ask a question";
    /// Voting for questions.
    Vote: "vote", "vote for a question";
    /// Hiding messages and questions, and closing questions.
    HideText: "hide_text", "hide what somebody has written";
    /// Reading the statistics of the room.
    SeeStatistics: "see_statistics", "see the statistics";
    /// Ending the room.
    EndRoom: "end_room", "end the room";
}

/// A set of permissions. On the wire an array of words; unknown ones are passed over.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<PermissionWord>", into = "Vec<Permission>")]
pub struct PermissionSet(u64);

impl Permission {
    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == word)
    }
}

impl PermissionSet {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// The set of those.
    #[must_use]
    pub const fn of(permissions: &[Permission]) -> Self {
        Self::NONE.with(permissions)
    }

    /// This set and those.
    #[must_use]
    pub const fn with(mut self, permissions: &[Permission]) -> Self {
        let mut at = 0;
        while at < permissions.len() {
            self.0 |= 1 << permissions[at] as u64;
            at += 1;
        }
        self
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u64) != 0
    }

    /// The union.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The difference.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of the other is in this one.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As [`Self::is_empty`], for serde.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    pub(crate) const fn is_empty_ref(&self) -> bool {
        self.is_empty()
    }

    /// The permissions in it, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Permission {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::of_word(text).ok_or_else(|| InvalidName::new("permission", text, "is not one"))
    }
}

impl fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::as_str)).finish()
    }
}

impl From<PermissionSet> for Vec<Permission> {
    fn from(set: PermissionSet) -> Self {
        set.iter().collect()
    }
}

/// A permission, or a word of a later version. Read by hand: an error of serde's for each unknown word
/// would cost a list of all that are known.
struct PermissionWord(Option<Permission>);

impl<'de> Deserialize<'de> for PermissionWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl serde::de::Visitor<'_> for Word {
            type Value = PermissionWord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a permission's word")
            }

            fn visit_str<E>(self, word: &str) -> Result<PermissionWord, E> {
                Ok(PermissionWord(Permission::of_word(word)))
            }
        }
        deserializer.deserialize_str(Word)
    }
}

impl From<Vec<PermissionWord>> for PermissionSet {
    fn from(words: Vec<PermissionWord>) -> Self {
        let known = words.into_iter().filter_map(|PermissionWord(known)| known);
        known.fold(Self::NONE, |set, permission| set.with(&[permission]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_what_they_print_and_fit_the_set() {
        assert!(Permission::ALL.len() <= 64);
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse::<Permission>().unwrap(), *permission);
            assert_eq!(PermissionSet::of(&[*permission]).iter().collect::<Vec<_>>(), [*permission]);
        }
        assert!("fly".parse::<Permission>().is_err());
    }

    #[test]
    fn unknown_words_are_passed_over() {
        let words = ciborium::Value::Array(vec!["kick".into(), "fly".into(), "ban".into()]);
        let set: PermissionSet = words.deserialized().unwrap();
        assert_eq!(set, PermissionSet::of(&[Permission::Kick, Permission::Ban]));
        let numbers = ciborium::Value::Array(vec![1.into()]);
        assert!(numbers.deserialized::<PermissionSet>().is_err());
    }
}

//! Decisions about single persons, as relays act by them and as their target is told.

use serde::{Deserialize, Serialize};

use super::action::LogAction;
use super::permission::PermissionSet;
use super::person::PersonKey;
use super::role::Role;
use super::settings::is_default;
use crate::ids::{DisplayName, Note};

/// Ruling of the origin about a person, as every relay of the room holds it, so that their edge acts by it,
/// wherever that is. Relays know persons by their keys only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// The person.
    pub who: PersonKey,
    /// They may not be in the room.
    #[serde(default, skip_serializing_if = "is_default")]
    pub barred: bool,
    /// Tokens of theirs that were issued up to then do not let in, seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tokens_after_s: u64,
    /// Their role, over the one of their token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Permissions that they have besides those of their role.
    #[serde(default, skip_serializing_if = "PermissionSet::is_empty_ref")]
    pub allow: PermissionSet,
    /// Permissions of their role that they do not have.
    #[serde(default, skip_serializing_if = "PermissionSet::is_empty_ref")]
    pub deny: PermissionSet,
    /// The moderator who has invited them to the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited_by: Option<DisplayName>,
    /// The log's entry of the decision; 0: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub entry: u64,
    /// Until when they are barred, seconds since the Unix epoch; 0: until it is lifted. For people:
    /// the origin takes the ruling back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub until_s: u64,
    /// The action behind the ruling, for them to read; only when the ruling is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub news: Option<Moderated>,
}

impl Ruling {
    /// A ruling that says nothing yet.
    #[must_use]
    pub fn about(who: PersonKey) -> Self {
        Self {
            who,
            barred: false,
            tokens_after_s: 0,
            role: None,
            allow: PermissionSet::NONE,
            deny: PermissionSet::NONE,
            invited_by: None,
            entry: 0,
            until_s: 0,
            news: None,
        }
    }
}

/// An action on a participant, as they are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moderated {
    /// The action, in a word of the log; `None` for a word of a later version.
    #[serde(with = "action_or_later")]
    pub action: Option<LogAction>,
    /// The actor; absent for the relay itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<DisplayName>,
    /// The reason; may be empty.
    #[serde(default)]
    pub reason: Note,
    /// The log's entry: an appeal names it.
    pub entry: u64,
    /// Until when, seconds since the Unix epoch; 0: until it is lifted, or it does not last.
    #[serde(default)]
    pub until_s: u64,
}

/// A later version of the log has words that are not known here. They are no reason to leave a room.
mod action_or_later {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::LogAction;

    pub(super) fn serialize<S: Serializer>(
        action: &Option<LogAction>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(action.map_or("unknown", LogAction::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<LogAction>, D::Error> {
        Ok(String::deserialize(deserializer)?.parse().ok())
    }
}

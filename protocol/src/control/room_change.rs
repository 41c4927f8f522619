//! Change of a room's settings, and the permission that it takes.

use serde::{Deserialize, Serialize};

use crate::domain::access::Access;
use crate::domain::permission::Permission;
use crate::domain::settings::Duplicates;
#[cfg(doc)]
use crate::domain::settings::RoomSettings;
use crate::ids::Note;

/// Settings to be changed. Absent ones stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoomChange {
    /// See [`RoomSettings::title`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Note>,
    /// See [`RoomSettings::starts_s`]; 0 takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_s: Option<u64>,
    /// See [`RoomSettings::listed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<bool>,
    /// See [`RoomSettings::access`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// See [`RoomSettings::locked`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// See [`RoomSettings::capacity`]; 0 takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// See [`RoomSettings::stage_size`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_size: Option<u8>,
    /// See [`RoomSettings::hands_closed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hands_closed: Option<bool>,
    /// See [`RoomSettings::hand_slow_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_slow_s: Option<u32>,
    /// See [`RoomSettings::reaction_slow_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaction_slow_s: Option<u32>,
    /// See [`RoomSettings::duplicates`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Duplicates>,
    /// See [`RoomSettings::audience_from`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience_from: Option<u32>,
    /// See [`RoomSettings::playout_delay_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playout_delay_ms: Option<u16>,
    /// See [`RoomSettings::duration_s`]; 0 takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
    /// See [`RoomSettings::pinned`]; the empty text takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Note>,
    /// See [`RoomSettings::texts`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<bool>,
    /// See [`RoomSettings::questions`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questions: Option<bool>,
    /// See [`RoomSettings::text_slow_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_slow_s: Option<u32>,
}

impl RoomChange {
    /// Permission that the change takes: locking, and opening or closing the queue of hands, are not
    /// the host's alone.
    #[must_use]
    pub const fn permission(&self) -> Permission {
        let Self {
            title,
            starts_s,
            listed,
            access,
            locked,
            capacity,
            stage_size,
            hands_closed,
            hand_slow_s,
            reaction_slow_s,
            duplicates,
            audience_from,
            playout_delay_ms,
            duration_s,
            pinned,
            texts,
            questions,
            text_slow_s,
        } = self;
        let others = title.is_some()
            || starts_s.is_some()
            || listed.is_some()
            || access.is_some()
            || capacity.is_some()
            || stage_size.is_some()
            || hand_slow_s.is_some()
            || reaction_slow_s.is_some()
            || duplicates.is_some()
            || audience_from.is_some()
            || playout_delay_ms.is_some()
            || duration_s.is_some()
            || pinned.is_some();
        // Slow mode is a moderator's tool, as hiding is.
        let texts = texts.is_some() || questions.is_some() || text_slow_s.is_some();
        if texts && !others && locked.is_none() && hands_closed.is_none() {
            return Permission::HideText;
        }
        match (others || texts, locked.is_some(), hands_closed.is_some()) {
            (false, true, false) => Permission::Lock,
            (false, false, true) => Permission::ClearHands,
            (true, _, _) | (false, true, true) | (false, false, false) => Permission::SetRoom,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_permission_to_change_settings_depends_on_the_change() {
        let lock = RoomChange { locked: Some(true), ..RoomChange::default() };
        let close = RoomChange { hands_closed: Some(true), ..RoomChange::default() };
        let both = RoomChange { hands_closed: Some(true), ..lock.clone() };
        let more = RoomChange { capacity: Some(1), ..lock.clone() };
        assert_eq!(lock.permission(), Permission::Lock);
        assert_eq!(close.permission(), Permission::ClearHands);
        for change in [both, more, RoomChange::default()] {
            assert_eq!(change.permission(), Permission::SetRoom);
        }
    }
}

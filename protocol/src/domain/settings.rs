//! Settings of a room.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::Access;
use crate::ids::Note;
use crate::limits::{DEFAULT_PLAYOUT_DELAY, MAX_PLAYOUT_DELAY, MAX_STAGE, MIN_PLAYOUT_DELAY};

/// Settings of a room. Part of its state, so that every relay of it acts by them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomSettings {
    /// The title; may be empty.
    #[serde(skip_serializing_if = "is_default")]
    pub title: Note,
    /// The planned beginning, in seconds since the Unix epoch; 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub starts_s: u64,
    /// Whether it is in the list of public rooms.
    #[serde(skip_serializing_if = "is_default")]
    pub listed: bool,
    /// Access. Default: by token.
    #[serde(skip_serializing_if = "is_token")]
    pub access: Access,
    /// No new participants, except those that may lock it.
    #[serde(skip_serializing_if = "is_default")]
    pub locked: bool,
    /// The most participants; 0: no limit.
    #[serde(skip_serializing_if = "is_default")]
    pub capacity: u32,
    /// Places on the stage, 1 to 32.
    #[serde(skip_serializing_if = "is_full_stage")]
    pub stage_size: u8,
    /// No hands are taken.
    #[serde(skip_serializing_if = "is_default")]
    pub hands_closed: bool,
    /// Seconds from one raising of a hand to the next by the same participant.
    #[serde(skip_serializing_if = "is_default")]
    pub hand_slow_s: u32,
    /// Seconds from one reaction to the next by the same participant; 0: the relay's own rate.
    #[serde(skip_serializing_if = "is_default")]
    pub reaction_slow_s: u32,
    /// Policy for a second session of a subject.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicates: Duplicates,
    /// Listeners from which on those who join are given `audience`, unless they ask for another profile;
    /// 0: as the relay has it.
    #[serde(skip_serializing_if = "is_default")]
    pub audience_from: u32,
    /// Least delay of playout in `audience`, in milliseconds, 200 to 2,000; 0: 500.
    #[serde(skip_serializing_if = "is_default")]
    pub playout_delay_ms: u16,
    /// The planned duration, in seconds, up to a day; 0: not said.
    #[serde(skip_serializing_if = "is_default")]
    pub duration_s: u32,
    /// A link or note that everybody sees; may be empty.
    #[serde(skip_serializing_if = "is_default")]
    pub pinned: Note,
    /// Whether the audience may write messages to the stage.
    #[serde(skip_serializing_if = "is_default")]
    pub texts: bool,
    /// Whether the audience may ask questions, and vote for them.
    #[serde(skip_serializing_if = "is_default")]
    pub questions: bool,
    /// Seconds from one message or question to the next by the same participant; 0: the relay's own rate.
    #[serde(skip_serializing_if = "is_default")]
    pub text_slow_s: u32,
}

/// Policy for a subject that joins while another session of it is in the room. Guests have a subject for
/// each session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The newer session takes the place of the older one.
    #[default]
    Replace,
    /// The newer session is refused.
    Refuse,
    /// That many sessions at the same time; a further one is refused.
    Allow(u8),
}

impl RoomSettings {
    /// Least delay of playout in `audience`.
    #[must_use]
    pub fn playout_delay(&self) -> Duration {
        match self.playout_delay_ms {
            0 => DEFAULT_PLAYOUT_DELAY,
            delay_ms => {
                Duration::from_millis(delay_ms.into()).clamp(MIN_PLAYOUT_DELAY, MAX_PLAYOUT_DELAY)
            }
        }
    }
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            title: Note::default(),
            starts_s: 0,
            listed: false,
            access: Access::Token,
            locked: false,
            capacity: 0,
            stage_size: MAX_STAGE as u8,
            hands_closed: false,
            hand_slow_s: 0,
            reaction_slow_s: 0,
            duplicates: Duplicates::Replace,
            audience_from: 0,
            playout_delay_ms: 0,
            duration_s: 0,
            pinned: Note::default(),
            texts: false,
            questions: false,
            text_slow_s: 0,
        }
    }
}

/// Whether a field can be left out of the wire.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_token(access: &Access) -> bool {
    *access == Access::Token
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_full_stage(size: &u8) -> bool {
    usize::from(*size) == MAX_STAGE
}

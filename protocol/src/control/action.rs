//! Actions of participants, on their way to the origin.

use serde::{Deserialize, Serialize};

use super::command::Govern;
use crate::domain::role::Role;
use crate::ids::Note;

/// Action of a participant, on its way to the origin. The edge has checked their identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Comes in, with a role that needs the origin.
    Enter {
        /// The role wanted; the edge has seen the right to it.
        role: Role,
    },
    /// Is (still, or again) at the relay that says so; the origin answers with `you`.
    Present {},
    /// Has lost the connection; the place is kept for a while.
    Away {},
    /// Has left for good.
    Left {},
    /// Raises a hand.
    RaiseHand {
        /// The note on it.
        #[serde(default)]
        note: Note,
    },
    /// Lowers the own hand.
    LowerHand {},
    /// Gives the right to speak back.
    LeaveStage {},
    /// Tells the state of one's own microphone.
    OwnMute {
        /// Whether it is off.
        muted: bool,
    },
    /// Asks a question.
    #[serde(rename = "ask_question")]
    Ask {
        /// The text.
        text: Note,
    },
    /// A request from inside the room.
    Govern {
        /// The request.
        act: Govern,
    },
    /// A request from outside the room.
    #[serde(rename = "errand")]
    OneShot {
        /// The request.
        act: Govern,
    },
    /// An action of a later version. Answered with `bad_request`.
    #[serde(other)]
    Unknown,
}

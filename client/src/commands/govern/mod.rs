//! Commands that govern a room: one per noun. Most send one-shot requests without joining; [`hand`] and
//! [`stage`] also act for the caller, by [`self_actions`].

pub(crate) mod appeal;
pub(crate) mod ban;
pub(crate) mod hand;
pub(crate) mod log;
pub(crate) mod person;
pub(crate) mod role;
pub(crate) mod room;
mod self_actions;
pub(crate) mod stage;
pub(crate) mod stats;

//! The copy of a room that every relay holds.

pub(in crate::room) mod attachments;
pub(in crate::room) mod handoff;
pub mod quality;
pub mod reactions;
pub(in crate::room) mod routing;
pub mod rulings;
pub mod state;

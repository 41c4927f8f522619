//! Decisions about a room, taken at its origin.

pub mod appeals;
pub mod commit;
pub mod effect;
pub mod hands;
pub mod moderation;
pub mod policy;
pub(in crate::room) mod record;
pub mod rulings;
pub mod settings;
pub(in crate::room) mod stage;
pub(in crate::room) mod state;

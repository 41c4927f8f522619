//! The participants of a room that are connected to this relay.

pub mod admission;
pub mod dispatch;
pub mod expiry;
pub mod members;
pub mod oneshot;
pub mod overload;
pub(in crate::room) mod pending;
pub mod person;

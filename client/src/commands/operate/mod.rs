//! Commands that observe rooms and relays: [`listeners`] asks a room's origin, [`top`] a relay's HTTP API.

pub(crate) mod listeners;
mod ranking;
pub(crate) mod top;

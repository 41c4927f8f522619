//! The commands: [`stay`] remains in a room with sound, [`govern`] decides something in it, [`operate`]
//! observes rooms and relays, [`token`] makes tokens. The files beside them are shared.

mod context;
pub(crate) mod govern;
pub(crate) mod man;
mod notices;
mod oneshot;
pub(crate) mod operate;
mod renewal;
mod signals;
pub(crate) mod stay;
mod terminal;
pub(crate) mod token;

pub(crate) use context::Context;

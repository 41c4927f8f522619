//! Threads, sockets and tasks that drive the machines of [`tribune_relay_core`].

pub(crate) mod certificates;
pub(crate) mod dials;
pub(crate) mod hub;
pub mod orders;
pub mod shard;
pub mod signals;
pub mod socket;

//! Threads, sockets and tasks that drive the machines of [`tribune_relay_core`].

pub mod dials;
pub mod shard;
pub mod signals;
pub mod socket;

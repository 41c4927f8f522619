//! Clients without a task each: pools that load a relay from one thread, with their sockets and
//! simulated round trips, and clients for measuring handshakes.

pub(crate) mod client_pool;
mod delay;
pub(crate) mod events;
pub(crate) mod join_client;
mod member;
mod members;
pub(crate) mod sockets;
pub(crate) mod target;

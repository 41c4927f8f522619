//! Sockets and simulated round trips for many participants in one thread.

pub(crate) mod delay;
pub(crate) mod sockets;

//! Path of a frame through one room on one shard. No clock, no I/O, no lock.
//!
//! [`ingress`] lets a frame in, [`ring`] keeps it, [`missed`] notes the frames that have not come,
//! [`select`] chooses the loudest tracks, [`bundle`] gathers the next datagram of a view, [`fanout`] gives it
//! to the view's connections.

pub mod bundle;
pub mod fanout;
pub mod ingress;
pub mod missed;
pub mod ring;
pub mod select;

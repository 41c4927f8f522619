//! Path of a frame through one room on one shard. No clock, no I/O, no lock.
//!
//! [`ingress`] lets a frame in and notes those that have not come, [`ring`] keeps it,
//! [`select`] chooses the loudest tracks, [`bundle`] gathers the next datagram of a [`view`], with frames sent
//! again by [`redundancy`], [`fanout`] gives it to the view's connections.

pub mod bundle;
pub mod fanout;
pub mod ingress;
mod redundancy;
pub mod ring;
pub mod select;
pub mod view;

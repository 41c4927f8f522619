//! The path of a frame through one room on one shard. No clock, no I/O, no lock.
//!
//! [`ingress`] lets a frame in, [`ring`] remembers it and [`missed`] what has not come, [`select`] says
//! who is heard, [`bundle`] gathers what a view sends next, [`fanout`] turns that into datagrams and names
//! who gets them.

pub mod bundle;
pub mod fanout;
pub mod ingress;
pub mod missed;
pub mod ring;
pub mod select;

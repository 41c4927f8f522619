//! Place of a relay in the tree: its uplink to the parent, and the relays below. Pure; used by the hub.
//!
//! * [`uplink`] — dial, backoff, failover, and a second parent during a handoff
//! * [`target`], [`host_port`] — addresses to dial, and pauses between rounds
//! * [`children`] — relays below: admission, loops, depth
//! * [`query`] — queries along the tree, and their answers

pub mod children;
pub mod host_port;
pub mod query;
pub mod target;
pub mod uplink;

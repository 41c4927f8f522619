//! A relay's place in the tree: the way to the parent and the relays below. Pure; the hub calls it.
//!
//! * [`uplink`] — reaching a parent, losing it, taking the standby, moving to another
//! * [`target`], [`host_port`] — where to dial, and how long to wait between rounds
//! * [`children`] — relays below: who may be one, loops, depth
//! * [`query`] — questions along the tree, and what comes back

pub mod children;
pub mod host_port;
pub mod query;
pub mod target;
pub mod uplink;

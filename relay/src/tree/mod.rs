//! A relay's place in the tree: the way to the parent and the relays below. Pure; the hub calls it.
//!
//! * [`attach`] — reaching a parent, losing it, taking the standby, moving to another
//! * [`target`] — where to dial, and how long to wait between rounds
//! * [`children`] — relays below: who may be one, loops, depth
//! * [`look`] — questions along the tree, and what comes back

pub mod attach;
pub mod children;
pub mod look;
pub mod target;

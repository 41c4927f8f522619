//! Screens, all pure: `tribune join` in [`model`] and [`draw`], `tribune top` in [`top`]. The terminal
//! itself is in [`crate::commands`].

pub(crate) mod draw;
pub(crate) mod model;
pub(crate) mod top;

//! The screens: that of `tribune join`, where [`model`] decides and [`draw`] shows, and that of `tribune
//! top` in [`top`]. All pure. The terminal itself is in [`crate::commands`].

pub(crate) mod draw;
pub(crate) mod model;
pub(crate) mod top;

//! The screen of `tribune join`: [`model`] decides, [`draw`] shows; both pure. The terminal itself is
//! in [`crate::commands::join`].

pub(crate) mod draw;
pub(crate) mod model;

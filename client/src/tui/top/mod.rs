//! Screen of `tribune top`, and its snapshot as text: [`tree`] orders relays, [`tables`] writes rows,
//! [`model`] handles keys, [`draw`] draws. All pure; the terminal and the relay are in
//! [`crate::commands::operate::top`].

pub(crate) mod draw;
pub(crate) mod model;
pub(crate) mod tables;
pub(crate) mod tree;

//! The screen of `tribune top`, and its figures as text: [`tree`] puts relays in their order, [`tables`]
//! writes rows, [`model`] decides what a key means, [`draw`] shows. All pure; the terminal and the relay
//! are in [`crate::commands::top`].

pub(crate) mod draw;
pub(crate) mod model;
pub(crate) mod tables;
pub(crate) mod tree;

//! Foundations of the end-to-end tests. Nothing of it is part of Tribune.

pub mod demo;
mod fingerprint;
pub mod hubs;
pub mod page;
pub mod process;
mod schedule;
pub mod sim;

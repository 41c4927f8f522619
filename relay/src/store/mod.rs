//! Stores with a disk under them, and the thread that carries requests out.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod memory_tests;
mod sqlite;
mod statistics;
pub mod worker;

pub use sqlite::SqliteStore;

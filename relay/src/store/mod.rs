//! Stores with a disk under them, and the thread that carries requests out.

#[cfg(test)]
mod case;
#[cfg(test)]
mod conformance;
mod files;
#[cfg(test)]
mod memory_tests;
mod sqlite;
mod statistics;
#[cfg(test)]
mod statistics_conformance;
pub mod worker;

pub use sqlite::SqliteStore;

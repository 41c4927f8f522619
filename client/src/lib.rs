//! The library under the `tribune` command.

pub mod audio;

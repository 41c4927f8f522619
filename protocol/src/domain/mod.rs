//! Terms that messages, tokens, logs and decisions share.

pub mod access;
pub mod attributes;
pub mod permission;
pub mod person;
pub mod room;

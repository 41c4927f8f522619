//! Terms that messages, tokens, logs and decisions share.

pub mod access;
pub mod action;
pub mod attributes;
pub mod audience_text;
pub mod ban;
pub mod invalid_text;
pub mod key;
pub mod permission;
pub mod person;
pub mod profile;
pub mod protection;
pub mod reaction;
pub mod role;
pub mod room;
pub mod ruling;
pub mod settings;
pub mod share;
pub mod stage;
pub mod target;
pub mod way;

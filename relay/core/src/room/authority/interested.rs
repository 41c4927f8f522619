//! Persons who asked to be told of an announced room: each counts once, and is kept as a hash.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tribune_protocol::codes::ErrorCode;
use tribune_protocol::domain::person::PersonKey;

use super::effect::Refusal;

/// Persons who are remembered: 8 bytes each of the room's record.
const MAX_INTERESTED: usize = 50_000;

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::room) struct Interested {
    persons: BTreeSet<u64>,
    /// It has changed since the record was stored.
    #[serde(skip)]
    is_new: bool,
}

impl Interested {
    /// Adds a person, or takes them off.
    ///
    /// # Errors
    /// [`ErrorCode::QueueFull`]
    pub(super) fn set(&mut self, who: PersonKey, on: bool) -> Result<(), Refusal> {
        let [a, b, c, d, e, f, g, h, ..] = who.0;
        let person = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        if on && self.persons.len() >= MAX_INTERESTED && !self.persons.contains(&person) {
            let message = format!("{MAX_INTERESTED} people asked already, and no more are noted.");
            return Err(Refusal::new(ErrorCode::QueueFull, message));
        }
        self.is_new |= if on { self.persons.insert(person) } else { self.persons.remove(&person) };
        Ok(())
    }

    /// Number of persons.
    pub(super) fn len(&self) -> u64 {
        self.persons.len() as u64
    }

    /// Whether the record lacks a change.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    /// The record has all.
    pub(super) const fn note_stored(&mut self) {
        self.is_new = false;
    }
}

//! Moderation log of a room: decisions with actor, target and reason. SPEC.md section 12.
//!
//! The origin writes entries with a [`Chain`]: each names the hash of the one before and is signed
//! with the origin's [`LogKey`]. Anybody with the entries and a signed [`Head`] can [`verify()`] that
//! nothing was changed, left out, put in or cut off. [`export`] makes files of a log that people read
//! and that can be verified byte for byte. Pure: no clock, no I/O, no randomness.
//!
//! * [`entry`] — an entry, and the sentence it makes
//! * [`signed`] — entries and heads as they are stored and sent
//! * [`chain`] — entries tied together and signed
//! * [`verify`](mod@verify), [`fault`] — the check of a log, and its outcomes
//! * [`export`] — JSON, CSV and a page that can be printed

mod canonical;
pub mod chain;
pub mod entry;
pub mod export;
pub mod fault;
pub mod signed;
mod time;
pub mod verify;

pub use crate::domain::action::LogAction;
pub use crate::domain::key::{Hash, LogKey, LogPublicKey, Signature};
pub use chain::{Chain, Draft};
pub use entry::{Address, Detail, Entry, Party};
pub use export::{Export, Format, verify_bytes};
pub use fault::{EntryFault, Fault, HeadFault};
pub use signed::{Head, SignedEntry};
pub use time::{span, utc};
pub use verify::{Verified, Verifier, verify};

//! A room's moderation log: what was decided, by whom, about whom and why. SPEC.md section 12.
//!
//! The origin writes entries with a [`Chain`]: each names the hash of the one before and is signed
//! with the origin's [`LogKey`]. Whoever holds the entries and a signed [`Head`] can [`verify()`] that
//! nothing was changed, left out, put in or cut off. [`export`] makes files of a log that people read
//! and that can be verified byte for byte. Pure: no clock, no I/O, no randomness.
//!
//! * [`entry`] — an entry, and the sentence it makes
//! * [`chain`] — how entries are tied together and signed
//! * [`verify`](mod@verify) — whether they are
//! * [`export`] — JSON, CSV and a page that can be printed

mod canonical;
pub mod chain;
pub mod entry;
pub mod export;
mod time;
pub mod verify;

pub use crate::domain::action::LogAction;
pub use crate::domain::key::{Hash, LogKey, LogPublicKey, Signature};
pub use chain::{Chain, Draft, Head, SignedEntry};
pub use entry::{Address, Detail, Entry, Party};
pub use export::{Export, Format, verify_bytes};
pub use time::{span, utc};
pub use verify::{EntryFault, Fault, HeadFault, Verified, Verifier, verify};

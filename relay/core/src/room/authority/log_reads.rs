//! Readings of a room's log: the requests under way, and the page that answers one.

use std::collections::BTreeMap;

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::LogPage;
use tribune_protocol::ids::{ByteString, Subject};
use tribune_protocol::limits::MAX_LOG_PAGE_BYTES;
use tribune_protocol::log::{LogKey, Party, SignedEntry};

use super::effect::{Asker, Refusal};
use super::ledger::Ledger;
use crate::store::{self, StoreError};

/// Readings of the log under way at the same time.
const MAX_READS: usize = 64;
/// Entries read at once: as many as fit a message, and for a reader who gets the own ones only, a
/// part of the log that is read in a moment.
pub(super) const ENTRIES_A_READ: usize = 64;

/// Requests to read the log that wait for the store, at most [`MAX_READS`].
#[derive(Debug, Default)]
pub(super) struct LogReads {
    open: BTreeMap<u64, Reading>,
    next_ticket: u64,
}

/// A request to read the log.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) asker: Asker,
    /// Subject whose entries are read, if not all.
    pub(super) only: Option<Subject>,
}

impl LogReads {
    /// Notes a request. Returns the ticket that comes back with the page.
    pub(super) fn open(&mut self, reading: Reading) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.open.insert(ticket, reading);
        ticket
    }

    /// The request of a ticket; it is over.
    pub(super) fn close(&mut self, ticket: u64) -> Option<Reading> {
        self.open.remove(&ticket)
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MAX_READS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// Answer to a reading, whatever came of it.
///
/// # Errors
/// A refusal, if the log cannot be read.
pub(super) fn answered(
    result: Result<store::LogPage, StoreError>,
    only: Option<&Subject>,
    ledger: &Ledger,
    key: &LogKey,
    at_ms: u64,
) -> Result<LogPage, Refusal> {
    match result {
        Ok(page) => Ok(answer(&page, only, ledger, key, at_ms)),
        Err(error) => {
            let message = format!("The log cannot be read: {error}.");
            Err(Refusal::new(ErrorCode::NotDurable, message))
        }
    }
}

/// The answer to a reading: as many entries as fit a message, and the signed head of the log if they
/// reach the end of the log.
fn answer(
    page: &store::LogPage,
    only: Option<&Subject>,
    ledger: &Ledger,
    key: &LogKey,
    at_ms: u64,
) -> LogPage {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let mut next = page.rows.first().map_or(page.total + 1, |row| row.number);
    for row in &page.rows {
        if only.is_none_or(|subject| concerns(&row.bytes, subject)) {
            bytes += row.bytes.len() + 3;
            if bytes > MAX_LOG_PAGE_BYTES {
                break;
            }
            entries.push(ByteString(row.bytes.to_vec()));
        }
        next = row.number + 1;
    }
    // Entries may have been added since: the head is of the part that was read.
    let is_whole = only.is_none() && next > ledger.entries();
    let head = is_whole.then(|| ledger.head(key, at_ms).to_bytes());
    LogPage { entries, next, head: head.map(ByteString), own_only: only.is_some() }
}

/// Whether an entry is about a subject, or by it.
fn concerns(bytes: &[u8], subject: &Subject) -> bool {
    SignedEntry::from_bytes(bytes).is_ok_and(|signed| {
        let is = |party: &Party| party.subject.as_ref() == Some(subject);
        is(&signed.entry.actor) || signed.entry.target.as_ref().is_some_and(is)
    })
}

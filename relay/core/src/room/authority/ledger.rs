//! The durable part of a room, as far as it is stored: its record and the end of its signed log.

use bytes::Bytes;
use tribune_protocol::ids::RoomName;
use tribune_protocol::log::{Chain, Draft, Head, LogKey, SignedEntry};

use crate::store::LogRow;

/// The durable part of a room: its record and the end of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The record, as [`Authority`](super::commit::Authority) wrote it.
    pub record: Bytes,
    /// The last entry of the log.
    pub last: Option<Bytes>,
    /// Statistics of the newest run.
    pub statistics: Option<Bytes>,
}

/// The record and the chain of signed entries, as they are or will be in the store.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    chain: Chain,
    last: Option<Bytes>,
    record: Option<Bytes>,
}

impl Ledger {
    /// The ledger of a room of which nothing was ever stored.
    pub(super) fn new(room: RoomName) -> Self {
        Self { chain: Chain::new(room), last: None, record: None }
    }

    /// The ledger of a room that was kept.
    ///
    /// # Errors
    /// A sentence, if the last entry cannot be read.
    pub(super) fn resume(room: RoomName, kept: &Kept) -> Result<Self, String> {
        let chain = match &kept.last {
            Some(bytes) => {
                let last = SignedEntry::from_bytes(bytes).map_err(|error| error.to_string())?;
                Chain::resume(&last)
            }
            None => Chain::new(room),
        };
        Ok(Self { chain, last: kept.last.clone(), record: Some(kept.record.clone()) })
    }

    /// Signs the drafts of a decision. Returns the ledger once they and the record are stored, and the
    /// rows to store.
    pub(super) fn append(
        &self,
        key: &LogKey,
        drafts: Vec<Draft>,
        record: Bytes,
    ) -> (Self, Vec<LogRow>) {
        let mut chain = self.chain.clone();
        let mut rows = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let signed = chain.append(key, draft);
            let bytes = Bytes::from(signed.to_bytes());
            rows.push(LogRow { number: signed.entry.number, bytes });
        }
        let last = rows.last().map(|row| row.bytes.clone()).or_else(|| self.last.clone());
        (Self { chain, last, record: Some(record) }, rows)
    }

    /// Entries of the log.
    pub(super) fn entries(&self) -> u64 {
        self.chain.entries()
    }

    /// The signed head of the log.
    pub(super) fn head(&self, key: &LogKey, at_ms: u64) -> Head {
        self.chain.head(key, at_ms)
    }

    /// The part to keep; `None` if nothing was ever stored.
    pub(super) fn kept(&self) -> Option<Kept> {
        Some(Kept { record: self.record.clone()?, last: self.last.clone(), statistics: None })
    }
}

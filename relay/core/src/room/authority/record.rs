//! The record of a room: everything that a restarted origin needs to go on with it, as one CBOR map.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{DisplayName, ParticipantId, Subject};

use super::docket::Docket;
use super::interested::Interested;
use super::people::Person;
use super::ruling_book::RulingBook;
use super::run_list::RunList;
use super::silenced::SilencedLeavers;

/// The form that is written. A reader refuses a later one.
pub(super) const FORM: u32 = 1;

/// The durable part of a room's state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Always [`FORM`].
    pub(super) form: u32,
    pub(super) phase: Phase,
    pub(super) settings: RoomSettings,
    pub(super) stage: Vec<StageEntry>,
    /// Everybody on the stage.
    pub(super) people: Vec<(ParticipantId, Person)>,
    pub(super) host: Option<Subject>,
    pub(super) rulings: RulingBook,
    pub(super) docket: Docket,
    pub(super) silenced_leavers: SilencedLeavers,
    pub(super) next_track: u32,
    /// Number of runs so far.
    #[serde(default)]
    pub(super) run: u32,
    #[serde(default)]
    pub(super) host_name: Option<DisplayName>,
    #[serde(default)]
    pub(super) interested: Interested,
    #[serde(default)]
    pub(super) runs: RunList,
}

impl Record {
    /// The bytes to store.
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(1_024);
        match ciborium::into_writer(self, &mut out) {
            Ok(()) => Bytes::from(out),
            Err(error) => unreachable!("a vector takes every record: {error}"),
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// A clause, if it is no record or one of a later form.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = ciborium::from_reader(bytes)
            .map_err(|error| format!("its record is unreadable: {error}"))?;
        if record.form != FORM {
            return Err(format!(
                "its record has form {}, and this relay reads {FORM}",
                record.form
            ));
        }
        Ok(record)
    }
}

//! What is stored of a room: everything that a restarted origin needs to go on with it, as one CBOR
//! map. Used by [`crate::room::authority::commit`].

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tribune_protocol::domain::room::Phase;
use tribune_protocol::domain::settings::RoomSettings;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{ParticipantId, Subject};
use tribune_protocol::limits::RECONNECT_GRACE;

use crate::room::authority::appeals::Docket;
use crate::room::authority::moderation::SilencedLeavers;
use crate::room::authority::rulings::Rulings;
use crate::room::authority::state::{House, Person};

/// The form that is written. A reader refuses a later one.
const FORM: u32 = 1;
/// Tracks that may have been given since the last record: coming in as a speaker is not stored.
const TRACKS_SKIPPED: u32 = 10_000;

#[derive(Serialize, Deserialize)]
struct Record {
    form: u32,
    phase: Phase,
    settings: RoomSettings,
    stage: Vec<StageEntry>,
    people: Vec<(ParticipantId, Person)>,
    host: Option<Subject>,
    rulings: Rulings,
    docket: Docket,
    silenced_leavers: SilencedLeavers,
    next_track: u32,
}

/// The record of a room.
pub(in crate::room) fn write(house: &House) -> Bytes {
    let on_stage = |who: &ParticipantId| house.state.on_stage(*who).is_some();
    let people = house.people.iter().filter(|(who, _)| on_stage(who));
    let record = Record {
        form: FORM,
        phase: house.state.phase,
        settings: house.state.settings.clone(),
        stage: house.state.stage.clone(),
        people: people.map(|(who, person)| (*who, person.clone())).collect(),
        host: house.host.clone(),
        rulings: house.rulings.clone(),
        docket: house.docket.clone(),
        silenced_leavers: house.silenced_leavers.clone(),
        next_track: house.next_track,
    };
    let mut out = Vec::with_capacity(1_024);
    match ciborium::into_writer(&record, &mut out) {
        Ok(()) => Bytes::from(out),
        Err(error) => unreachable!("a vector takes every record: {error}"),
    }
}

/// Reads a record into a new house.
///
/// # Errors
/// A clause, if it is no record or one of a later form.
pub(in crate::room) fn read(bytes: &[u8], house: &mut House) -> Result<(), String> {
    let record: Record = ciborium::from_reader(bytes)
        .map_err(|error| format!("its record is unreadable: {error}"))?;
    if record.form != FORM {
        return Err(format!("its record has form {}, and this relay reads {FORM}", record.form));
    }
    house.state.phase = record.phase;
    house.state.settings = record.settings;
    house.state.stage = record.stage;
    house.people = record.people.into_iter().collect::<BTreeMap<_, _>>();
    house.host = record.host;
    house.rulings = record.rulings;
    house.docket = record.docket;
    house.silenced_leavers = record.silenced_leavers;
    house.next_track = record.next_track.saturating_add(TRACKS_SKIPPED);
    Ok(())
}

impl House {
    /// The origin has been away: whoever was on the stage has to come back.
    pub(in crate::room) fn restored(&mut self, now: Instant) {
        self.outbox.begin();
        for entry in &mut self.state.stage {
            entry.away = true;
            self.away.push_back((entry.participant, now + RECONNECT_GRACE));
        }
        if self.state.phase == Phase::Announced {
            self.wait_for_host(now);
        }
        for ruling in self.rulings.all() {
            self.outbox.rule(ruling.who, Some(ruling));
        }
        self.outbox.publish();
        self.settle(now);
    }
}

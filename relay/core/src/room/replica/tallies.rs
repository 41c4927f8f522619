//! Tallies on their way to the origin: this relay's own, and those of the relays below, which are passed on as they
//! come and kept for the next parent; and the sketch of distinct persons. Part of
//! [`crate::room::replica::Replica`].

use std::collections::BTreeMap;
use std::time::Instant;

use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::ids::{ByteString, Channel, RelayId, Subject};
use tribune_protocol::limits::{MAX_RELAYS_COUNTED, SKETCH_PERIOD, STAY_PERIOD, TALLY_PERIOD};
use tribune_protocol::statistics::tally::RelayTally;

use crate::outbox::Outbox;
use crate::room::persons::{NoSketch, Persons};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    own: Sent,
    below: BTreeMap<RelayId, RelayTally>,
    persons: Persons,
    sketch: SentSketch,
}

/// Own tally, as far as it has been sent.
#[derive(Debug, Default)]
struct Sent {
    tally: Option<RelayTally>,
    at: Option<Instant>,
}

/// Sketch, as far as it has been sent.
#[derive(Debug, Default)]
struct SentSketch {
    bytes: Vec<u8>,
    at: Option<Instant>,
    is_old: bool,
}

impl Tallies {
    /// When the own tally is to be sent: soon if something `has_changed`, and later if only
    /// time `runs_on` for those inside. The first one from `epoch` on.
    pub(crate) fn due(&self, epoch: Instant, has_changed: bool, runs_on: bool) -> Option<Instant> {
        let period = if has_changed {
            TALLY_PERIOD
        } else if runs_on {
            STAY_PERIOD
        } else {
            return None;
        };
        Some(self.own.at.map_or(epoch, |at| at + period))
    }

    /// Notes that the own tally is sent. Gives what is new in it, in pieces.
    pub(crate) fn send(&mut self, now: Instant, tally: RelayTally) -> Vec<RelayTally> {
        let pieces = tally.since(self.own.tally.as_ref());
        self.own = Sent { tally: Some(tally), at: Some(now) };
        pieces
    }

    /// Takes a tally of a relay below. Whether it is to be passed on: it is of this run, and its relay is one of those
    /// that are kept apart.
    pub(crate) fn take(&mut self, tally: RelayTally, run: u32) -> bool {
        let is_full = self.below.len() >= MAX_RELAYS_COUNTED;
        match self.below.get_mut(&tally.relay) {
            _ if tally.run != run => false,
            Some(known) if known.life == tally.life && known.run == run => {
                known.update(tally);
                true
            }
            Some(known) if known.run == run && known.life > tally.life => false,
            Some(known) => {
                *known = tally;
                true
            }
            None if is_full => false,
            None => {
                self.below.insert(tally.relay, tally);
                true
            }
        }
    }

    /// Adds a person of this relay.
    pub(crate) fn add_person(&mut self, subject: &Subject) {
        self.persons.add(subject);
        self.sketch.is_old = true;
    }

    /// Adds the persons of a relay below.
    ///
    /// # Errors
    /// [`NoSketch`]
    pub(crate) fn merge_persons(&mut self, bytes: &[u8]) -> Result<(), NoSketch> {
        self.sketch.is_old |= self.persons.merge(bytes)?;
        Ok(())
    }

    /// When the sketch is to be sent; the first one from `epoch` on.
    pub(crate) fn sketch_due(&self, epoch: Instant) -> Option<Instant> {
        self.sketch.is_old.then(|| self.sketch.at.map_or(epoch, |at| at + SKETCH_PERIOD))
    }

    /// The sketch, if it has others in it than the one sent last.
    pub(crate) fn take_sketch(&mut self, now: Instant) -> Option<ByteString> {
        if !std::mem::take(&mut self.sketch.is_old) || self.persons.is_empty() {
            return None;
        }
        let bytes = self.persons.to_bytes();
        if bytes == self.sketch.bytes {
            return None;
        }
        self.sketch.bytes.clone_from(&bytes);
        self.sketch.at = Some(now);
        Some(ByteString(bytes))
    }

    /// A new parent knows nothing: it is told of the relays below, and of this one with the next tally.
    pub(crate) fn begin_anew(&mut self, channel: Channel, run: u32, out: &mut Outbox) {
        self.own = Sent::default();
        self.sketch = SentSketch { is_old: !self.persons.is_empty(), ..SentSketch::default() };
        for tally in self.below.values().filter(|tally| tally.run == run) {
            // Time has passed since it came; what comes next from there sets that right.
            for tally in tally.since(None) {
                out.to_parent(&ToParent::Tally { channel, tally });
            }
        }
    }

    /// Another run of the room: nothing of the one before counts.
    pub(crate) fn begin_run(&mut self) {
        *self = Self::default();
    }
}

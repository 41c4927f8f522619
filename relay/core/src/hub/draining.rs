//! A relay that is to end: nobody new, and everybody here is told where to go. And one that has as
//! many participants as it is meant to: the next ones are told where else there is room.

use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::ToChild;
use tribune_protocol::ids::RoomName;

use super::Hub;
use super::participants::Sender;
use crate::messages::ShardSet;
use crate::room::Room;
use crate::room::edge::overload::Overload;

/// A drain that has begun.
#[derive(Debug, Clone)]
pub(super) struct Drain {
    step: DrainStep,
    /// The place that was named to those who are to go.
    to: Option<String>,
}

/// How far a drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DrainStep {
    /// Participants and children may go by themselves until then.
    Until(Instant),
    /// Nobody is left, or the time is over.
    Over,
    /// The owner knows.
    Told,
}

impl Hub {
    /// The relay is to end: nobody new, and everybody here is told to go to `to` within that time. Without
    /// a place it is the one of the settings, without a time that of the settings. Said again, it goes
    /// by the later call, except that a place that was named before stays if none is named now.
    pub fn handle_drain(&mut self, now: Instant, to: Option<String>, within: Option<Duration>) {
        let before = match self.drain.take() {
            Some(Drain { step: DrainStep::Until(_), to }) => to,
            Some(over) => {
                self.drain = Some(over);
                return;
            }
            None => self.config.drain_to.clone(),
        };
        let to = to.or(before);
        let within = within.unwrap_or(self.config.drain_timeout);
        self.drain = Some(Drain { step: DrainStep::Until(now + within), to: to.clone() });
        let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let moved = ToParticipant::Moved { to: to.clone(), within_ms };
        let all = ShardSet((0..self.config.shards).fold(0, |set, shard| set | 1 << (shard & 63)));
        for (id, room) in &self.rooms {
            self.out.to_participants(*id, all, &moved);
            // Who is about to come in hears nothing of the room yet.
            for link in room.joining_links() {
                self.out.to_participant(link, None, &moved);
            }
            self.counters.moved += room.members() as u64;
        }
        for link in self.children.links() {
            self.out.to_child(link, &ToChild::GoAway { to: to.clone(), within_ms });
        }
        self.settle(now);
    }

    /// Where everybody is sent, and how much time is left.
    pub(super) fn drain_as_it_is(&self, now: Instant) -> (Option<String>, Duration) {
        let to = self.drain.as_ref().and_then(|drain| drain.to.clone());
        let left = self.drain_until().map(|until| until.saturating_duration_since(now));
        (to, left.unwrap_or_default())
    }

    /// Until when those who are here may go by themselves, while the relay drains.
    pub(super) fn drain_until(&self) -> Option<Instant> {
        match self.drain.as_ref()?.step {
            DrainStep::Until(until) => Some(until),
            DrainStep::Over | DrainStep::Told => None,
        }
    }

    /// Ends the drain once nobody is left, or the time is over.
    pub(super) fn check_drained(&mut self, now: Instant) {
        let nobody = self.participants.is_empty() && self.errands.is_empty();
        let alone = nobody && self.children.is_empty();
        if let Some(Drain { step, .. }) = &mut self.drain
            && let DrainStep::Until(until) = *step
            && (alone || now >= until)
        {
            *step = DrainStep::Over;
        }
    }

    /// Whether the relay can end, for whoever asks first.
    pub(super) fn take_drained(&mut self) -> bool {
        match &mut self.drain {
            Some(Drain { step: step @ DrainStep::Over, .. }) => {
                *step = DrainStep::Told;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn refuse_drained(&mut self, from: Sender) -> bool {
        let Some(Drain { to, .. }) = &self.drain else { return false };
        let moved = ToParticipant::Moved { to: to.clone(), within_ms: 0 };
        self.out.to_participant(from.link, None, &moved);
        self.refuse(from, ErrorCode::Draining, "This relay is draining.");
        true
    }

    /// What somebody is told who would be one too many, if they are. Who has a place here already is
    /// known to the room.
    pub(super) fn overload(&mut self) -> Option<Overload> {
        let capacity = self.config.capacity.filter(|most| self.participants.len() >= *most)?;
        // Among the connections are some that were refused and have not gone yet.
        let inside: usize = self.rooms.values().map(Room::members).sum();
        if inside < capacity {
            return None;
        }
        let places = &self.config.redirect_to;
        let to = places.get(self.redirected % places.len().max(1)).cloned();
        self.redirected = self.redirected.wrapping_add(1);
        Some(Overload { to })
    }

    /// Refuses at once who would be one too many and cannot have a place: nothing is known here of the
    /// room, and they say that they have none.
    pub(super) fn refuse_overload(
        &mut self,
        from: Sender,
        room: &RoomName,
        returning: bool,
        overload: Option<&Overload>,
    ) -> bool {
        let Some(overload) = overload.filter(|_| !returning && !self.names.contains_key(room))
        else {
            return false;
        };
        self.counters.joins_redirected += u64::from(overload.to.is_some());
        let refusal = overload.refusal();
        if let Some(moved) = overload.moved() {
            self.out.to_participant(from.link, None, &moved);
        }
        self.refuse(from, refusal.code, &refusal.text);
        true
    }
}

//! What operators see of the hub: its counters, and how each room is.

use std::time::Instant;

use super::Hub;
use crate::counters::{HubCounters, RoomMetrics, TrunkState};
use crate::room::Room;

impl Hub {
    /// What the hub has counted, and how things stand.
    pub fn counters(&mut self) -> &HubCounters {
        let counters = &mut self.counters;
        counters.rooms = self.rooms.len() as u64;
        counters.participants = self.participants.len() as u64;
        counters.listeners = self.rooms.values().map(Room::listeners).sum();
        counters.stage = self.rooms.values().map(|room| room.state().stage.len() as u64).sum();
        counters.hands = self.rooms.values().map(|room| room.hands() as u64).sum();
        counters.rulings = self.rooms.values().map(|room| room.rulings() as u64).sum();
        counters.children = self.children.len() as u64;
        counters.attached = u64::from(self.attach.parent().is_some());
        counters.depth = self.attach.path().len() as u64;
        counters.draining = u64::from(self.drain.is_some());
        counters.capacity = self.config.capacity.unwrap_or(0) as u64;
        counters.trunk_state = Some(self.attach.stage());
        if self.attach.parent().is_none() {
            counters.trunk_rtt_us = 0;
        }
        counters.control_sent.clone_from(self.out.sent());
        counters
    }

    /// How far the way to a parent is.
    #[must_use]
    pub const fn trunk_state(&self) -> TrunkState {
        self.attach.stage()
    }

    /// How each room is, and how it is heard at this relay and below.
    pub fn room_metrics(&self, now: Instant) -> impl Iterator<Item = RoomMetrics<'_>> {
        self.rooms.values().map(move |room| {
            let heard = room.quality(now);
            let latency = heard.and_then(|heard| heard.latency);
            RoomMetrics {
                room: room.name(),
                listeners: room.listeners(),
                stage: room.state().stage.len() as u64,
                hands: room.hands() as u64,
                reports: heard.map_or(0, |heard| heard.reports),
                latency_p50_us: latency.map(|latency| latency.p50),
                latency_p99_us: latency.map(|latency| latency.p99),
                loss_ppm: heard.map(|heard| heard.frames.loss_ppm()),
                concealed_ppm: heard.map(|heard| heard.frames.concealed_ppm()),
            }
        })
    }
}

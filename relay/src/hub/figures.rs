//! What operators see of the hub: its counters, and how each room is.

use super::Hub;
use crate::ops::metrics::{HubCounters, RoomFigures};
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
        counters.trunk_state = Some(self.attach.stage());
        if self.attach.parent().is_none() {
            counters.trunk_rtt_us = 0;
        }
        counters.control_sent.clone_from(self.out.sent());
        counters
    }

    /// How each room is. Nobody reports yet, so nothing is known of what listeners hear.
    pub fn room_figures(&self) -> impl Iterator<Item = RoomFigures<'_>> {
        self.rooms.values().map(|room| RoomFigures {
            room: room.name(),
            listeners: room.listeners(),
            stage: room.state().stage.len() as u64,
            hands: room.hands() as u64,
            reports: 0,
            latency_p50_us: None,
            latency_p99_us: None,
            loss_ppm: None,
            concealed_ppm: None,
        })
    }
}

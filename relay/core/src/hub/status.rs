//! Status of a relay and of its rooms, as operators, other relays and metrics are told it.

use std::time::Instant;

use tribune_protocol::control::query::RelayStatus;
use tribune_protocol::quality::Quality;
use tribune_protocol::quality::report::Report;

use super::config::HubConfig;
use super::rooms::Rooms;
use crate::counters::load::Load;
use crate::counters::{HubCounters, RoomMetrics};
use crate::quality::RecentQuality;
use crate::query::{Answer, RoomGlance};
use crate::room::Room;
use crate::tree::children::Children;
use crate::tree::uplink::Uplink;

/// Load and quality of this relay, kept for those who ask.
#[derive(Debug)]
pub(super) struct SelfKnowledge {
    started: Instant,
    load: Load,
    /// Reports of this relay's participants since it started.
    heard: Quality,
    recent: RecentQuality,
}

/// Parts of a hub that its status is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) config: &'a HubConfig,
    pub(super) rooms: &'a Rooms,
    pub(super) uplink: &'a Uplink,
    pub(super) children: &'a Children,
    pub(super) knowledge: &'a SelfKnowledge,
    /// Connections with a participant.
    pub(super) participants: usize,
    pub(super) draining: bool,
    /// Last estimates of a trunk; zero until the first one.
    pub(super) trunk_rtt_us: u64,
    pub(super) clock_error_us: u64,
}

impl SelfKnowledge {
    pub(super) fn new(started: Instant) -> Self {
        let (heard, recent) = (Quality::default(), RecentQuality::default());
        Self { started, load: Load::default(), heard, recent }
    }

    /// Takes the load of the relay's shards.
    pub(super) fn set_load(&mut self, load: Load) {
        self.load = load;
    }

    /// Adds the report of a participant of this relay.
    pub(super) fn add_report(&mut self, now: Instant, report: &Report) {
        self.heard.add(report);
        self.recent.add(now, report);
    }

    /// Reports of this relay's participants since it started.
    pub(super) const fn heard(&self) -> &Quality {
        &self.heard
    }
}

impl Facts<'_> {
    /// Status of this relay.
    pub(super) fn relay(&self, now: Instant) -> RelayStatus {
        let path = self.uplink.path();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let SelfKnowledge { started, load, recent, heard: _ } = self.knowledge;
        let known = |us: u64| u32::try_from(us).ok().filter(|us| *us > 0);
        let attached = self.uplink.parent().is_some();
        RelayStatus {
            relay: self.config.relay,
            name: self.config.name.clone(),
            parent: path.len().checked_sub(2).map(|above| path[above]),
            depth: u8::try_from(path.len()).unwrap_or(u8::MAX),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: now.saturating_duration_since(*started).as_secs(),
            participants: count(self.participants),
            capacity: self.config.capacity.map(count),
            listeners: self.rooms.values().map(Room::listeners).sum(),
            rooms: count(self.rooms.len()),
            children: count(self.children.len()),
            draining: self.draining,
            load_ppm: load.busy_ppm,
            frames_in: load.frames_in,
            frames_out: load.frames_out,
            drops: load.drops.iter().map(|(cause, rate)| ((*cause).to_owned(), *rate)).collect(),
            missing_ppm: load.missing_ppm,
            trunk_rtt_us: known(self.trunk_rtt_us).filter(|_| attached),
            clock_error_us: match self.uplink.is_origin() {
                true => Some(0),
                false => known(self.clock_error_us),
            },
            quality: recent.quality(now).summary(),
        }
    }

    /// Writes the present numbers into the counters.
    pub(super) fn count(&self, counters: &mut HubCounters) {
        let Self { rooms, uplink, .. } = self;
        counters.rooms = rooms.len() as u64;
        counters.participants = self.participants as u64;
        counters.listeners = rooms.values().map(Room::listeners).sum();
        counters.stage = rooms.values().map(|room| room.state().stage.len() as u64).sum();
        counters.hands = rooms.values().map(|room| room.hands() as u64).sum();
        counters.rulings = rooms.values().map(|room| room.rulings() as u64).sum();
        counters.protected_rooms = rooms.values().filter(|room| room.is_protected()).count() as u64;
        counters.children = self.children.len() as u64;
        counters.attached = u64::from(uplink.parent().is_some());
        counters.depth = uplink.path().len() as u64;
        counters.draining = u64::from(self.draining);
        counters.capacity = self.config.capacity.unwrap_or(0) as u64;
        counters.trunk_state = Some(uplink.stage());
        if uplink.parent().is_none() {
            counters.trunk_rtt_us = 0;
        }
    }
}

/// The rooms with the most listeners.
pub(super) fn rooms_with_most(rooms: &Rooms, now: Instant, limit: usize) -> Answer {
    let mut order: Vec<&Room> = rooms.values().collect();
    order.sort_by_key(|room| (std::cmp::Reverse(room.listeners()), room.name().clone()));
    let rooms = order.iter().take(limit).map(|room| glance(room, now)).collect();
    Answer::Rooms { total: order.len(), rooms }
}

/// Status of a room.
pub(super) fn glance(room: &Room, now: Instant) -> RoomGlance {
    let state = room.state();
    RoomGlance {
        room: state.room.clone(),
        phase: state.phase,
        title: state.settings.title.clone(),
        listeners: room.listeners(),
        stage: state.stage.clone(),
        hands: room.is_origin().then(|| room.hands()),
        is_origin: room.is_origin(),
        quality: room.quality(now),
    }
}

/// Metrics of a room, at this relay and below.
pub(super) fn room_metrics(room: &Room, now: Instant) -> RoomMetrics<'_> {
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
}

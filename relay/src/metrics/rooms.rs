//! Series of rooms, the only ones whose label comes from outside. Their number is bounded: the largest
//! rooms have series of their own, all others share those of [`OTHER`].

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, Opts, Registry};
use tribune_protocol::ids::RoomName;
use tribune_relay_core::counters::RoomMetrics;

use super::{MILLION, register};

/// The label of all rooms without one of their own, added up. No room is called so: names begin with a
/// letter or a digit.
const OTHER: &str = "_other";
/// Series of one room, at most.
pub(super) const SERIES_PER_ROOM: usize = COUNTS.len() + 2 + SHARES.len();
/// Weight of listeners, in tenths, for a room that has series and for one that has none: hysteresis, so
/// that two equal rooms do not take turns.
const KEEPS: u64 = 11;
const TAKES: u64 = 10;

/// A number that adds up over rooms.
struct Count {
    name: &'static str,
    help: &'static str,
    read: fn(&RoomMetrics<'_>) -> u64,
}

#[rustfmt::skip]
const COUNTS: [Count; 4] = [
    Count { name: "tribune_relay_room_listeners", help: "Listeners of a room, at this relay and below it.", read: |f| f.listeners },
    Count { name: "tribune_relay_room_stage_participants", help: "Participants of a room with the right to speak.", read: |f| f.stage },
    Count { name: "tribune_relay_room_hands", help: "Hands raised in a room of which this is the origin.", read: |f| f.hands },
    Count { name: "tribune_relay_room_reports", help: "Participants of a room who have reported in the last minute, at this relay and below it.", read: |f| f.reports },
];

/// A ratio. The other rooms have none: a bad one among them would not show in the mean of all.
struct Share {
    name: &'static str,
    help: &'static str,
    read: fn(&RoomMetrics<'_>) -> Option<u32>,
}

#[rustfmt::skip]
const SHARES: [Share; 2] = [
    Share { name: "tribune_relay_room_loss_ratio", help: "Share of frames that a room's listeners lost in the last minute.", read: |f| f.loss_ppm },
    Share { name: "tribune_relay_room_concealed_ratio", help: "Share of frames that a room's listeners had to fill in in the last minute.", read: |f| f.concealed_ppm },
];

/// Accessor of a latency.
type Read = fn(&RoomMetrics<'_>) -> Option<u32>;

/// The label `quantile` of latencies, as Prometheus's summaries have it.
const QUANTILES: [(&str, Read); 2] =
    [("0.5", |f| f.latency_p50_us), ("0.99", |f| f.latency_p99_us)];

/// The series of rooms.
#[derive(Debug)]
pub(super) struct RoomSeries {
    /// Rooms with series of their own at the same time.
    places: usize,
    counts: Vec<GaugeVec>,
    latency: GaugeVec,
    shares: Vec<GaugeVec>,
    /// Rooms that have series of their own now.
    labelled: Mutex<BTreeSet<RoomName>>,
}

impl RoomSeries {
    /// Without a room; [`OTHER`] is there from the start.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(registry, GaugeVec::new(Opts::new(name, help), labels))
        };
        let counts = COUNTS.iter().map(|count| gauges(count.name, count.help, &["room"]));
        let shares = SHARES.iter().map(|share| gauges(share.name, share.help, &["room"]));
        let series = Self {
            places: 0,
            counts: counts.collect::<Result<_, _>>()?,
            shares: shares.collect::<Result<_, _>>()?,
            latency: gauges(
                "tribune_relay_room_latency_seconds",
                "From the microphone to the ear of a room's listeners, in the last minute.",
                &["room", "quantile"],
            )?,
            labelled: Mutex::default(),
        };
        series.publish(&[]);
        Ok(series)
    }

    /// Bounds the rooms that have series of their own.
    pub(super) const fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    /// Takes all rooms as they are now.
    pub(super) fn publish(&self, rooms: &[RoomMetrics<'_>]) {
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order: Vec<&RoomMetrics<'_>> = rooms.iter().collect();
        if order.len() > self.places && self.places > 0 {
            let rank = |room: &RoomMetrics<'_>| {
                let has = labelled.contains(room.room);
                let weight = if has { KEEPS } else { TAKES };
                (Reverse(room.listeners.saturating_mul(weight)), !has)
            };
            order.select_nth_unstable_by(self.places - 1, |a, b| {
                (rank(a), a.room).cmp(&(rank(b), b.room))
            });
        }
        let (own, others) = order.split_at(self.places.min(order.len()));
        let kept: BTreeSet<RoomName> = own.iter().map(|room| room.room.clone()).collect();
        for gone in labelled.difference(&kept) {
            self.remove(gone.as_str());
        }
        *labelled = kept;
        for room in own {
            self.show(room);
        }
        for (gauges, count) in self.counts.iter().zip(&COUNTS) {
            let sum: u64 = others.iter().map(|room| (count.read)(room)).sum();
            gauges.with_label_values(&[OTHER]).set(sum as f64);
        }
    }

    fn show(&self, room: &RoomMetrics<'_>) {
        let name = room.room.as_str();
        for (gauges, count) in self.counts.iter().zip(&COUNTS) {
            gauges.with_label_values(&[name]).set((count.read)(room) as f64);
        }
        for (gauges, share) in self.shares.iter().zip(&SHARES) {
            set_or_remove(gauges, &[name], (share.read)(room));
        }
        for (quantile, read) in QUANTILES {
            set_or_remove(&self.latency, &[name, quantile], read(room));
        }
    }

    fn remove(&self, room: &str) {
        // A series that was never shown cannot be removed, which is no error.
        for gauges in self.counts.iter().chain(&self.shares) {
            let _ = gauges.remove_label_values(&[room]);
        }
        for (quantile, _) in QUANTILES {
            let _ = self.latency.remove_label_values(&[room, quantile]);
        }
    }
}

/// A value in millionths; without one there is no series.
fn set_or_remove(gauges: &GaugeVec, labels: &[&str], millionths: Option<u32>) {
    match millionths {
        Some(value) => gauges.with_label_values(labels).set(f64::from(value) / MILLION),
        None => {
            let _ = gauges.remove_label_values(labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prometheus::{Encoder, TextEncoder};

    use super::*;

    /// Rooms by name with their listeners, published to a registry with so many places.
    struct Rooms {
        registry: Registry,
        series: RoomSeries,
    }

    impl Rooms {
        fn new(places: usize) -> Self {
            let registry = Registry::new();
            let mut series = RoomSeries::register(&registry).unwrap();
            series.set_places(places);
            Self { registry, series }
        }

        fn publish(&self, listeners: &[(&str, u64)]) {
            let names: Vec<RoomName> =
                listeners.iter().map(|(name, _)| name.parse().unwrap()).collect();
            let rooms: Vec<_> = names.iter().zip(listeners).map(|(n, (_, l))| of(n, *l)).collect();
            self.series.publish(&rooms);
        }

        fn text(&self) -> String {
            let mut text = Vec::new();
            TextEncoder::new().encode(&self.registry.gather(), &mut text).unwrap();
            String::from_utf8(text).unwrap()
        }

        /// Rooms with series, and their listeners.
        fn shown(&self) -> BTreeMap<String, f64> {
            let text = self.text();
            let series = text.lines().filter_map(|line| {
                let line = line.strip_prefix("tribune_relay_room_listeners{room=\"")?;
                let (room, value) = line.split_once("\"} ")?;
                Some((room.to_owned(), value.parse().unwrap()))
            });
            series.collect()
        }
    }

    fn of(room: &RoomName, listeners: u64) -> RoomMetrics<'_> {
        RoomMetrics {
            room,
            listeners,
            stage: 2,
            hands: 1,
            reports: 0,
            latency_p50_us: None,
            latency_p99_us: None,
            loss_ppm: None,
            concealed_ppm: None,
        }
    }

    fn shown(rooms: &[(&str, f64)]) -> BTreeMap<String, f64> {
        rooms.iter().map(|(room, listeners)| ((*room).to_owned(), *listeners)).collect()
    }

    #[test]
    fn the_largest_have_series_and_the_others_are_added_up() {
        let rooms = Rooms::new(2);
        assert_eq!(rooms.shown(), shown(&[("_other", 0.0)]));
        rooms.publish(&[("a", 5), ("b", 50), ("c", 7), ("d", 7)]);
        assert_eq!(rooms.shown(), shown(&[("b", 50.0), ("c", 7.0), ("_other", 12.0)]));
        assert!(rooms.text().contains("tribune_relay_room_hands{room=\"_other\"} 2"));
        // Those that have gone have no series any more.
        rooms.publish(&[("a", 5)]);
        assert_eq!(rooms.shown(), shown(&[("a", 5.0), ("_other", 0.0)]));
        rooms.publish(&[]);
        assert_eq!(rooms.shown(), shown(&[("_other", 0.0)]));
    }

    #[test]
    fn a_place_is_lost_to_a_clearly_larger_room_only() {
        let rooms = Rooms::new(1);
        rooms.publish(&[("b", 100)]);
        for challenger in [90, 101, 110] {
            rooms.publish(&[("b", 100), ("a", challenger)]);
            assert!(rooms.shown().contains_key("b"), "{challenger}");
        }
        rooms.publish(&[("b", 100), ("a", 111)]);
        assert_eq!(rooms.shown(), shown(&[("a", 111.0), ("_other", 100.0)]));
    }

    #[test]
    fn without_places_all_are_others() {
        let rooms = Rooms::new(0);
        rooms.publish(&[("a", 5), ("b", 50)]);
        assert_eq!(rooms.shown(), shown(&[("_other", 55.0)]));
    }

    #[test]
    fn quality_is_shown_where_there_is_some() {
        let rooms = Rooms::new(2);
        let name: RoomName = "a".parse().unwrap();
        let mut room = of(&name, 3);
        room.latency_p50_us = Some(40_000);
        room.latency_p99_us = Some(150_000);
        room.loss_ppm = Some(2_500);
        rooms.series.publish(&[room]);
        let text = rooms.text();
        for line in [
            "tribune_relay_room_latency_seconds{quantile=\"0.5\",room=\"a\"} 0.04",
            "tribune_relay_room_latency_seconds{quantile=\"0.99\",room=\"a\"} 0.15",
            "tribune_relay_room_loss_ratio{room=\"a\"} 0.0025",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
        assert!(!text.contains("tribune_relay_room_concealed_ratio{"), "{text}");
        rooms.series.publish(&[of(&name, 3)]);
        assert!(!rooms.text().contains("quantile"));
        rooms.series.publish(&[room]);
        rooms.series.publish(&[]);
        assert!(!rooms.text().contains("room=\"a\""));
    }
}

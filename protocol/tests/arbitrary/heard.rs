//! Any word about how a room is heard, and about how relays are.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use tribune_protocol::control::participant::ListenerReports;
use tribune_protocol::control::query::{RelayStatus, TreeAnswer, TreeQuery};
use tribune_protocol::domain::profile::Profile;
use tribune_protocol::quality::Quality;
use tribune_protocol::quality::report::{ListenerReport, Ranking, Report};

use super::{name, participant, relay, role, room};

pub(super) fn report() -> impl Strategy<Value = Report> {
    let frames = any::<[u32; 7]>();
    let delays = any::<[u32; 3]>();
    let latency = any::<[Option<u32>; 3]>();
    (frames, delays, latency).prop_map(|(frames, delays, latency)| {
        let [received, lost, repaired, answered, concealed, late, runs] = frames;
        let [buffer_us, jitter_us, rtt_us] = delays;
        let [latency_us, latency_max_us, latency_error_us] = latency;
        Report {
            received,
            lost,
            repaired,
            answered,
            concealed,
            late,
            runs,
            buffer_us,
            jitter_us,
            rtt_us,
            latency_us,
            latency_max_us,
            latency_error_us,
            is_delayed: false,
        }
    })
}

pub(super) fn quality() -> impl Strategy<Value = Quality> {
    vec(report(), 0..20).prop_map(|reports| {
        let mut quality = Quality::default();
        reports.iter().for_each(|report| quality.add(report));
        quality
    })
}

pub(super) fn listener_reports() -> impl Strategy<Value = ListenerReports> {
    (quality(), vec(listener(), 0..4), any::<u32>()).prop_map(|(quality, listeners, missing)| {
        ListenerReports { room: quality.summary(), listeners, missing }
    })
}

pub(super) fn about() -> impl Strategy<Value = TreeQuery> {
    prop_oneof![
        Just(TreeQuery::Relays {}),
        (room(), any::<u8>(), ranking()).prop_map(|(room, worst, by)| TreeQuery::Listeners {
            room,
            worst,
            by
        }),
        (room(), participant())
            .prop_map(|(room, participant)| TreeQuery::Listener { room, participant }),
        Just(TreeQuery::Unknown),
    ]
}

pub(super) fn sight() -> impl Strategy<Value = TreeAnswer> {
    (vec(relay_status(), 0..4), vec(listener(), 0..4), any::<u32>())
        .prop_map(|(relays, listeners, missing)| TreeAnswer { relays, listeners, missing })
}

pub(super) fn ranking() -> impl Strategy<Value = Ranking> {
    prop_oneof![8 => prop::sample::select(Ranking::ALL.to_vec()), 1 => Just(Ranking::Unknown)]
}

fn listener() -> impl Strategy<Value = ListenerReport> {
    let profile = prop::sample::select(Profile::ALL.to_vec());
    (participant(), name(), role(), name(), profile, any::<u32>(), report()).prop_map(
        |(participant, name, role, relay, profile, age_ms, report)| ListenerReport {
            participant,
            name,
            role,
            relay,
            profile,
            age_ms,
            report,
        },
    )
}

fn relay_status() -> impl Strategy<Value = RelayStatus> {
    let place = (relay(), name(), option::of(relay()), any::<u8>(), "[ -~]{0,32}");
    let load = (any::<[u32; 8]>(), any::<[u64; 2]>(), any::<[Option<u32>; 3]>(), any::<bool>());
    let drops = btree_map("[a-z_]{1,20}", any::<u32>(), 0..4);
    (place, load, drops, quality()).prop_map(|(place, load, drops, quality)| {
        let (relay, name, parent, depth, version) = place;
        let (counts, [uptime_s, listeners], optional, draining) = load;
        let [participants, rooms, children, load_ppm, frames_in, frames_out, missing_ppm, _] =
            counts;
        let [capacity, trunk_rtt_us, clock_error_us] = optional;
        RelayStatus {
            relay,
            name,
            parent,
            depth,
            version,
            uptime_s,
            participants,
            capacity,
            listeners,
            rooms,
            children,
            draining,
            load_ppm,
            frames_in,
            frames_out,
            drops,
            missing_ppm,
            trunk_rtt_us,
            clock_error_us,
            quality: quality.summary(),
        }
    })
}

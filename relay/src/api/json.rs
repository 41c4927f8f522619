//! What the HTTP side answers, as JSON. Times are whole microseconds (`_us`), shares are millionths
//! (`_ppm`), ids 16 hexadecimal digits; what is not known is `null`.

use serde_json::{Map, Value, json};
use tribune_protocol::control::query::{RelayStatus, TreeAnswer};
use tribune_protocol::domain::room::StageEntry;
use tribune_protocol::quality::report::{ListenerReport, Report};
use tribune_protocol::quality::{QualitySummary, Spread};

use tribune_relay_core::query::{RoomGlance, Status};

/// `GET /api/status`.
pub(super) fn status(status: &Status) -> Value {
    let vitals = &status.relay;
    json!({
        "relay": vitals.relay.to_string(),
        "name": vitals.name.to_string(),
        "version": vitals.version,
        "role": if status.is_origin { "origin" } else { "relay" },
        "readiness": status.readiness.as_str(),
        "depth": vitals.depth,
        "path": status.path.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "parent": status.parent.as_ref().map(ToString::to_string),
        "vitals": self::vitals(vitals),
    })
}

/// `GET /api/tree`.
pub(super) fn tree(sight: &TreeAnswer, is_rooted: bool) -> Value {
    json!({
        "complete": is_rooted && sight.missing == 0,
        "rooted": is_rooted,
        "missing": sight.missing,
        "relays": sight.relays.iter().map(vitals).collect::<Vec<_>>(),
    })
}

/// `GET /api/rooms`.
pub(super) fn rooms(total: usize, rooms: &[RoomGlance]) -> Value {
    json!({ "total": total, "rooms": rooms.iter().map(glance).collect::<Vec<_>>() })
}

/// `GET /api/rooms/NAME`.
pub(super) fn room(room: &RoomGlance) -> Value {
    let mut value = glance(room);
    value["speakers"] = room.stage.iter().map(speaker).collect();
    value
}

/// `GET /api/rooms/NAME/listeners`.
pub(super) fn listeners(sight: &TreeAnswer) -> Value {
    json!({
        "complete": sight.missing == 0,
        "missing": sight.missing,
        "listeners": sight.listeners.iter().map(listener).collect::<Vec<_>>(),
    })
}

/// `GET /api/rooms/NAME/listeners/ID`.
pub(super) fn listener(listener: &ListenerReport) -> Value {
    let Report {
        received,
        lost,
        repaired,
        concealed,
        late,
        buffer_us,
        jitter_us,
        rtt_us,
        latency_us,
        latency_max_us,
        latency_error_us,
    } = listener.report;
    json!({
        "participant": listener.participant.to_string(),
        "name": listener.name.to_string(),
        "role": listener.role.to_string(),
        "relay": listener.relay.to_string(),
        "age_ms": listener.age_ms,
        "report": {
            "received": received,
            "lost": lost,
            "repaired": repaired,
            "concealed": concealed,
            "late": late,
            "buffer_us": buffer_us,
            "jitter_us": jitter_us,
            "rtt_us": rtt_us,
            "latency_us": latency_us,
            "latency_max_us": latency_max_us,
            "latency_error_us": latency_error_us,
        },
    })
}

fn vitals(vitals: &RelayStatus) -> Value {
    let drops: Map<String, Value> =
        vitals.drops.iter().map(|(cause, rate)| (cause.clone(), (*rate).into())).collect();
    json!({
        "relay": vitals.relay.to_string(),
        "name": vitals.name.to_string(),
        "parent": vitals.parent.map(|parent| parent.to_string()),
        "depth": vitals.depth,
        "version": vitals.version,
        "uptime_s": vitals.uptime_s,
        "participants": vitals.participants,
        "capacity": vitals.capacity,
        "listeners": vitals.listeners,
        "rooms": vitals.rooms,
        "children": vitals.children,
        "draining": vitals.draining,
        "load_ppm": vitals.load_ppm,
        "frames_in_per_s": vitals.frames_in,
        "frames_out_per_s": vitals.frames_out,
        "dropped_per_s": vitals.drops.values().map(|rate| u64::from(*rate)).sum::<u64>(),
        "drops": drops,
        "missing_ppm": vitals.missing_ppm,
        "trunk_rtt_us": vitals.trunk_rtt_us,
        "clock_error_us": vitals.clock_error_us,
        "quality": vitals.quality.as_ref().map(quality),
    })
}

fn glance(room: &RoomGlance) -> Value {
    json!({
        "room": room.room.to_string(),
        "phase": room.phase,
        "title": room.title.to_string(),
        "listeners": room.listeners,
        "stage": room.stage.len(),
        "hands": room.hands,
        "origin": room.is_origin,
        "quality": room.quality.as_ref().map(quality),
    })
}

fn speaker(entry: &StageEntry) -> Value {
    json!({
        "participant": entry.participant.to_string(),
        "name": entry.name.to_string(),
        "role": entry.role.to_string(),
        "track": entry.track.0,
        "silenced": entry.silenced,
        "muted": entry.muted,
        "away": entry.away,
    })
}

fn quality(summary: &QualitySummary) -> Value {
    let frames = &summary.frames;
    json!({
        "reports": summary.reports,
        "received": frames.received,
        "lost": frames.lost,
        "repaired": frames.repaired,
        "concealed": frames.concealed,
        "late": frames.late,
        "loss_ppm": frames.loss_ppm(),
        "concealed_ppm": frames.concealed_ppm(),
        "latency_us": spread(summary.latency),
        "latency_error_us": summary.latency_error_us,
        "jitter_us": spread(summary.jitter),
        "buffer_us": spread(summary.buffer),
        "rtt_us": spread(summary.round_trip),
    })
}

fn spread(spread: Option<Spread>) -> Value {
    match spread {
        Some(Spread { p50, p99, mean }) => json!({ "p50": p50, "p99": p99, "mean": mean }),
        None => Value::Null,
    }
}

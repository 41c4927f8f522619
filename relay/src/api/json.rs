//! Answers of the HTTP side as JSON. Times are whole microseconds (`_us`), shares are millionths
//! (`_ppm`), ids 16 hexadecimal digits; unknown values are `null`.

use serde_json::{Map, Value, json};
use tribune_protocol::control::query::{RelayStatus, TreeAnswer};
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::quality::report::{ListenerReport, Report};
use tribune_protocol::quality::{QualitySummary, Spread};
use tribune_relay_core::query::{RoomGlance, Status};

/// `GET /api/status`.
pub(super) fn status(status: &Status) -> Value {
    let relay = &status.relay;
    json!({
        "relay": relay.relay.to_string(),
        "name": relay.name.to_string(),
        "version": relay.version,
        "role": if status.is_origin { "origin" } else { "relay" },
        "readiness": status.readiness.as_str(),
        "depth": relay.depth,
        "path": status.path.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "parent": status.parent.as_ref().map(ToString::to_string),
        "vitals": relay_status(relay),
    })
}

/// `GET /api/tree`.
pub(super) fn tree(answer: &TreeAnswer, is_rooted: bool) -> Value {
    json!({
        "complete": is_rooted && answer.missing == 0,
        "rooted": is_rooted,
        "missing": answer.missing,
        "relays": answer.relays.iter().map(relay_status).collect::<Vec<_>>(),
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
pub(super) fn listeners(answer: &TreeAnswer) -> Value {
    json!({
        "complete": answer.missing == 0,
        "missing": answer.missing,
        "listeners": answer.listeners.iter().map(listener).collect::<Vec<_>>(),
    })
}

/// `GET /api/rooms/NAME/listeners/ID`.
pub(super) fn listener(listener: &ListenerReport) -> Value {
    let Report {
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
        // The edge's own note; it does not travel.
        is_delayed: _,
    } = listener.report;
    json!({
        "participant": listener.participant.to_string(),
        "name": listener.name.to_string(),
        "role": listener.role.to_string(),
        "relay": listener.relay.to_string(),
        "profile": listener.profile.as_str(),
        "age_ms": listener.age_ms,
        "report": {
            "received": received,
            "lost": lost,
            "repaired": repaired,
            "answered": answered,
            "concealed": concealed,
            "late": late,
            "runs": runs,
            "buffer_us": buffer_us,
            "jitter_us": jitter_us,
            "rtt_us": rtt_us,
            "latency_us": latency_us,
            "latency_max_us": latency_max_us,
            "latency_error_us": latency_error_us,
        },
    })
}

fn relay_status(relay: &RelayStatus) -> Value {
    let drops: Map<String, Value> =
        relay.drops.iter().map(|(cause, rate)| (cause.clone(), (*rate).into())).collect();
    json!({
        "relay": relay.relay.to_string(),
        "name": relay.name.to_string(),
        "parent": relay.parent.map(|parent| parent.to_string()),
        "depth": relay.depth,
        "version": relay.version,
        "uptime_s": relay.uptime_s,
        "participants": relay.participants,
        "capacity": relay.capacity,
        "listeners": relay.listeners,
        "rooms": relay.rooms,
        "children": relay.children,
        "draining": relay.draining,
        "load_ppm": relay.load_ppm,
        "frames_in_per_s": relay.frames_in,
        "frames_out_per_s": relay.frames_out,
        "dropped_per_s": relay.drops.values().map(|rate| u64::from(*rate)).sum::<u64>(),
        "drops": drops,
        "missing_ppm": relay.missing_ppm,
        "trunk_rtt_us": relay.trunk_rtt_us,
        "clock_error_us": relay.clock_error_us,
        "quality": relay.quality.as_ref().map(quality),
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
        "runs": frames.runs,
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

//! A listener's statistics: a JSON line a second, a status line for people, a summary.

use serde::Serialize;

use crate::commands::stay::receiver::Receiver;
use crate::session::Link;

/// Inputs of a line of statistics.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// Seconds since joining.
    pub(super) t_s: f64,
    pub(super) reconnects: u32,
    pub(super) link: Link,
    pub(super) receiver: &'a Receiver,
}

/// One line. Counters count from the start.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    summary: bool,
    t_s: f64,
    received: u64,
    lost: u64,
    late: u64,
    duplicates: u64,
    concealed: u64,
    recovered: u64,
    dropped: u64,
    undecodable: u64,
    lengthened_ms: f64,
    shortened_ms: f64,
    buffer_ms: f64,
    target_ms: f64,
    jitter_ms: f64,
    rtt_ms: Option<f64>,
    e2e_ms: Latency,
    speakers: usize,
    listeners: u64,
    depth: u8,
    reconnects: u32,
    tracks: Vec<Track>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    error_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Track {
    track: u32,
    name: Option<String>,
    received: u64,
    /// `null` before the first frame.
    last_received_unix_ms: Option<u64>,
    silenced: bool,
    /// Frames received after the room announced that the speaker is silenced.
    #[serde(skip_serializing_if = "Option::is_none")]
    received_silenced: Option<u64>,
    /// Time from that announcement to the last frame, in ms; 0 if none followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    silenced_after_ms: Option<f64>,
}

impl Report<'_> {
    /// The line of this second.
    pub(super) fn line(&self) -> Line {
        let stats = self.receiver.stats();
        let view = self.receiver.view();
        Line {
            summary: false,
            t_s: round(self.t_s),
            received: stats.received,
            lost: stats.lost,
            late: stats.late,
            duplicates: stats.duplicate,
            concealed: stats.concealed,
            recovered: stats.recovered,
            dropped: stats.dropped + self.link.dropped_frames,
            undecodable: stats.undecodable,
            lengthened_ms: round(stats.lengthened_ms),
            shortened_ms: round(stats.shortened_ms),
            buffer_ms: round(stats.buffer_ms),
            target_ms: round(stats.target_ms),
            jitter_ms: round(stats.jitter_ms),
            rtt_ms: self.link.round_trip.map(|rtt| round(rtt.as_secs_f64() * 1_000.0)),
            e2e_ms: Latency {
                p50: self.receiver.latency_ms(50.0).map(round),
                p95: self.receiver.latency_ms(95.0).map(round),
                p99: self.receiver.latency_ms(99.0).map(round),
                error_ms: self.receiver.latency_error_ms().map(round),
            },
            speakers: view.stage().len(),
            listeners: view.listeners(),
            depth: view.depth(),
            reconnects: self.reconnects,
            tracks: self.tracks(),
        }
    }

    /// The last line.
    pub(super) fn summary(&self) -> Line {
        Line { summary: true, ..self.line() }
    }

    fn tracks(&self) -> Vec<Track> {
        let view = self.receiver.view();
        let tracks = self.receiver.tracks().iter();
        tracks
            .filter(|(track, record)| record.received > 0 || view.on_track(**track).is_some())
            .map(|(track, record)| Track {
                track: track.0,
                name: record.name.as_ref().map(ToString::to_string),
                received: record.received,
                last_received_unix_ms: (record.received > 0)
                    .then_some(record.last_received_us / 1_000),
                silenced: record.silenced_at_us.is_some(),
                received_silenced: record.silenced_at_us.map(|_| record.received_silenced),
                silenced_after_ms: record
                    .silenced_at_us
                    .map(|at| round(record.last_received_us.saturating_sub(at) as f64 / 1_000.0)),
            })
            .collect()
    }
}

/// Status line for people.
pub(super) fn status_line(report: &Report<'_>) -> String {
    let line = report.line();
    let latency = match (line.e2e_ms.p50, line.e2e_ms.p99) {
        (Some(p50), Some(p99)) => format!("{p50:.0}/{p99:.0} ms"),
        _ => "unknown".to_owned(),
    };
    let rtt = line.rtt_ms.map_or_else(|| "unknown".to_owned(), |rtt| format!("{rtt:.1} ms"));
    format!(
        "{:.0} s · {} on stage, {} listening · {} frames, {} lost, {} late, {} concealed · \
         buffer {:.0} ms, jitter {:.1} ms, round trip {rtt}, latency p50/p99 {latency}",
        line.t_s,
        line.speakers,
        line.listeners,
        line.received,
        line.lost,
        line.late,
        line.concealed,
        line.buffer_ms,
        line.jitter_ms,
    )
}

/// Rounds to microseconds, the resolution of the measurement.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

//! Quality summary at the origin of a load's first room, after the listeners' reports have travelled up
//! the tree. Read over the HTTP API of the first relay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tribune_protocol::limits::REPORT_PERIOD;

use super::reporting::{FIRST_ROOM, ReportSum};
use super::spec::room_name;
use crate::relay_process::get;

/// Time beyond the relays' own report periods, for a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Period in which the origin is polled.
const ASK_PERIOD: Duration = Duration::from_millis(250);

/// Summary of the origin beside the sums of the reports that were sent.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct OriginReports {
    /// Reports that arrived. Relays keep half a minute to a minute of them, so a longer run shows only the
    /// last ones.
    pub(crate) reports: u64,
    /// Reports that the room's listeners sent.
    pub(crate) reports_sent: u64,
    /// Frames received, by the reports that arrived.
    pub(crate) frames_received: u64,
    /// The same by the reports that were sent.
    pub(crate) frames_received_sent: u64,
    /// Frames lost, by the reports that arrived.
    pub(crate) frames_lost: u64,
    /// The same by the reports that were sent.
    pub(crate) frames_lost_sent: u64,
    /// Mean latency of the reports that arrived, in whole microseconds.
    pub(crate) mean_latency_us: Option<f64>,
    /// Mean over the reports that were sent, for the same frames by the generator's own stamps.
    pub(crate) mean_by_stamp_us: Option<f64>,
    /// 99th percentile of the latencies' error bounds, in microseconds.
    pub(crate) latency_error_us: Option<u32>,
    /// From the end of the speech until all reports had arrived or the wait ended, in seconds.
    pub(crate) waited_seconds: f64,
}

/// Fields of `GET /api/rooms/NAME` that are read.
#[derive(Debug, Default, Deserialize)]
struct Room {
    quality: Option<Quality>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Quality {
    reports: u64,
    received: u64,
    lost: u64,
    latency_us: Option<Spread>,
    latency_error_us: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Spread {
    mean: u32,
}

impl OriginReports {
    /// Polls until every report has arrived: each relay may hold reports back for a report period.
    /// `pause` waits until an instant.
    ///
    /// # Errors
    /// The relay gives no valid answer, or `pause` fails.
    pub(crate) fn await_all(
        http: SocketAddr,
        depth: u8,
        sent: &ReportSum,
        pause: &mut dyn FnMut(Instant) -> Result<()>,
    ) -> Result<Self> {
        let began = Instant::now();
        let until = began + REPORT_PERIOD * u32::from(depth) + PATIENCE;
        loop {
            let quality = quality(http)?;
            if quality.reports >= sent.reports || Instant::now() >= until {
                return Ok(Self::new(quality, sent, began.elapsed()));
            }
            pause(Instant::now() + ASK_PERIOD)?;
        }
    }

    /// Time until the reports arrived, in words.
    pub(crate) fn age(&self) -> String {
        let seconds = self.waited_seconds;
        if self.reports >= self.reports_sent {
            format!("there {seconds:.1} s after the speech")
        } else {
            format!("after {seconds:.1} s; it keeps a minute at most")
        }
    }

    fn new(quality: Quality, sent: &ReportSum, waited: Duration) -> Self {
        Self {
            reports: quality.reports,
            reports_sent: sent.reports,
            frames_received: quality.received,
            frames_received_sent: sent.received,
            frames_lost: quality.lost,
            frames_lost_sent: sent.lost,
            mean_latency_us: quality.latency_us.map(|spread| spread.mean.into()),
            mean_by_stamp_us: sent.mean_by_stamp_us(),
            latency_error_us: quality.latency_error_us,
            waited_seconds: waited.as_secs_f64(),
        }
    }
}

fn quality(http: SocketAddr) -> Result<Quality> {
    let path = format!("/api/rooms/{}", room_name(FIRST_ROOM));
    let answer = get(http, &path)?;
    ensure!(answer.status == "200", "http://{http}{path} answers {}", answer.status);
    let room: Room = serde_json::from_str(&answer.body)
        .with_context(|| format!("http://{http}{path} answers what is no room"))?;
    Ok(room.quality.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_relay_answers_is_read() {
        let text = r#"{"room":"bench-0","quality":{"reports":3,"received":700,"lost":2,"loss_ppm":1,
            "latency_us":{"p50":1,"p99":9,"mean":4200},"latency_error_us":900,"jitter_us":null}}"#;
        let room: Room = serde_json::from_str(text).unwrap();
        let waited = Duration::from_millis(1_500);
        let origin = OriginReports::new(room.quality.unwrap(), &ReportSum::default(), waited);
        assert_eq!((origin.reports, origin.frames_received, origin.frames_lost), (3, 700, 2));
        assert_eq!(origin.mean_latency_us, Some(4_200.0));
        assert_eq!(origin.latency_error_us, Some(900));
        assert_eq!(origin.age(), "there 1.5 s after the speech");
        let silent: Room = serde_json::from_str(r#"{"room":"bench-0","quality":null}"#).unwrap();
        let quality = silent.quality.unwrap_or_default();
        assert_eq!((quality.reports, quality.latency_us.is_some()), (0, false));
    }
}

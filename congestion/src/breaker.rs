//! Circuit breaker of a path, after RFC 8083. Pure.
//!
//! Its section 4.3 ends media that are sent ten times as fast as TCP would: more than 10 · s / (R · √(2p/3)),
//! with packets of s bytes, a round trip of R and a share p of packets lost. A flow of audio is 50 packets a
//! second, so that s cancels out, and trunks that carry a thousand flows are judged as one is:
//! R · √(2p/3) > 0.2 s. A path with a short queue never has that round trip; it is taken for full where it
//! loses more than two packets in five, which no path does that is merely bad.

use std::time::{Duration, Instant};

/// Time over which loss is measured.
const INTERVAL: Duration = Duration::from_secs(1);
/// Intervals in a row that a path must have failed. RFC 8083 section 4.3 asks for three at least; one track
/// is 50 packets an interval, of which 30 % loss makes more than 40 % one time in sixteen.
const FAILED_INTERVALS: u8 = 5;
/// Bound of R · √(2p/3), in seconds.
const TCP_FACTOR_S: f64 = 0.2;
/// Share of bytes lost above which a path is full.
const FULL_LOSS: f64 = 0.4;
/// Bytes in an interval below which nothing is concluded: a dozen packets.
const LEAST_BYTES: u64 = 1_500;
/// Time after which the path is tried again.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    began: Instant,
    delivered_bytes: u64,
    lost_bytes: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failed_intervals: u8 },
    Open { until: Instant },
}

impl Breaker {
    pub(crate) fn new(now: Instant) -> Self {
        let state = State::Closed { failed_intervals: 0 };
        Self { began: now, delivered_bytes: 0, lost_bytes: 0, state }
    }

    /// Whether the path does not carry the media.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Takes bytes that were lost.
    pub(crate) const fn handle_lost(&mut self, bytes: u64) {
        self.lost_bytes += bytes;
    }

    /// Takes bytes that arrived. Returns whether the breaker opens now.
    pub(crate) fn handle_delivered(
        &mut self,
        now: Instant,
        bytes: u64,
        round_trip: Duration,
    ) -> bool {
        self.delivered_bytes += bytes;
        if now.saturating_duration_since(self.began) < INTERVAL {
            return false;
        }
        let all = self.delivered_bytes + self.lost_bytes;
        let loss = self.lost_bytes as f64 / all.max(1) as f64;
        let is_failed = all >= LEAST_BYTES
            && (loss > FULL_LOSS
                || round_trip.as_secs_f64() * (loss * 2.0 / 3.0).sqrt() > TCP_FACTOR_S);
        (self.began, self.delivered_bytes, self.lost_bytes) = (now, 0, 0);
        self.state = match self.state {
            State::Closed { failed_intervals } if is_failed => {
                let failed_intervals = failed_intervals + 1;
                if failed_intervals >= FAILED_INTERVALS {
                    State::Open { until: now + OPEN_FOR }
                } else {
                    State::Closed { failed_intervals }
                }
            }
            State::Open { until } if now < until => return false,
            State::Closed { .. } | State::Open { .. } => State::Closed { failed_intervals: 0 },
        };
        self.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after which a path with this loss and round trip is given up, of 30.
    fn opens_after(loss: f64, round_trip_ms: u64) -> Option<u64> {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        (1..=1_500).find_map(|n| {
            let now = start + Duration::from_millis(20 * n);
            // Losses are spread evenly.
            if ((n * 7) % 100) as f64 >= loss * 100.0 {
                let opens =
                    breaker.handle_delivered(now, 110, Duration::from_millis(round_trip_ms));
                return opens.then_some(n / 50);
            }
            breaker.handle_lost(110);
            None
        })
    }

    #[test]
    fn bad_paths_are_used_and_full_ones_are_not() {
        for (loss, round_trip_ms) in [(0.0, 3_000), (0.1, 200), (0.3, 60), (0.3, 400)] {
            assert_eq!(opens_after(loss, round_trip_ms), None, "{loss} {round_trip_ms}");
        }
        for (loss, round_trip_ms) in [(0.5, 10), (0.3, 600), (0.1, 900)] {
            assert_eq!(opens_after(loss, round_trip_ms), Some(5), "{loss} {round_trip_ms}");
        }
    }

    #[test]
    fn it_is_tried_again() {
        let start = Instant::now();
        let mut breaker = Breaker::new(start);
        let mut opened = 0;
        for s in 1..=30 {
            breaker.handle_lost(2_000);
            let now = start + Duration::from_secs(s);
            opened += u32::from(breaker.handle_delivered(now, 1_000, Duration::from_millis(60)));
        }
        assert_eq!(opened, 2, "at 5 and 20 s");
    }
}

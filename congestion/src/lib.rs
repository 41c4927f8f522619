//! Congestion control of live audio: a [`Controller`] for both ends of a connection.
//!
//! Audio has the rate that the room makes, whatever is lost: to fall silent mends no path, and the listener
//! hears it. So a reserve of the window is the media's own, always; what is sent beside it (control, states
//! of rooms) has a window after RFC 9438 (Cubic) on top, which loss makes smaller. Datagrams leave before
//! stream data in each packet, so bulk yields. A path that does not carry the media is found by a circuit
//! breaker after RFC 8083: the reserve is closed for a while, and the media have to do with the rest.

mod breaker;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{
    Controller, ControllerFactory, ControllerMetrics, Cubic, CubicConfig,
};

use self::breaker::Breaker;

/// Time without any acknowledgement after which nobody is there, and packets are not worth being kept.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// Settings of [`LiveAudio`], and what its connections have in common.
#[derive(Debug)]
pub struct LiveAudioConfig {
    reserve_bytes: u64,
    opened: AtomicU64,
    bulk: Arc<CubicConfig>,
}

/// The controller of one path. See the crate's documentation.
pub struct LiveAudio {
    config: Arc<LiveAudioConfig>,
    /// In place: what each packet asks for is in the same memory.
    bulk: Cubic,
    breaker: Breaker,
    /// When the oldest packet that is not acknowledged yet may have been sent; `None`: none is.
    waiting_since: Option<Instant>,
    stalled: bool,
}

impl LiveAudioConfig {
    /// Keeps `reserve_bytes` of each window for media: as much as it makes in the time that
    /// acknowledgements take.
    #[must_use]
    pub fn new(reserve_bytes: u64) -> Self {
        let (opened, bulk) = (AtomicU64::new(0), Arc::default());
        Self { reserve_bytes, opened, bulk }
    }

    /// How many circuit breakers have opened since this was called last, over all connections.
    #[must_use]
    pub fn take_opened(&self) -> u64 {
        self.opened.swap(0, Ordering::Relaxed)
    }
}

impl ControllerFactory for LiveAudioConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(LiveAudio {
            bulk: Cubic::new(Arc::clone(&self.bulk), now, current_mtu),
            config: self,
            breaker: Breaker::new(now),
            waiting_since: None,
            stalled: false,
        })
    }
}

impl Controller for LiveAudio {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.bulk.on_sent(now, bytes, last_packet_number);
        let since = *self.waiting_since.get_or_insert(now);
        self.stalled = now.saturating_duration_since(since) > STALLED_AFTER;
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.bulk.on_ack(now, sent, bytes, app_limited, rtt);
        (self.waiting_since, self.stalled) = (None, false);
        if self.breaker.handle_delivered(now, bytes, rtt.get()) {
            self.config.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.bulk.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.bulk.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        self.breaker.handle_lost(lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.bulk.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let reserve =
            if self.stalled || self.breaker.is_open() { 0 } else { self.config.reserve_bytes };
        reserve + self.bulk.window()
    }

    /// `congestion_window` is the part for what is not media, for its sender to keep to.
    fn metrics(&self) -> ControllerMetrics {
        self.bulk.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            config: Arc::clone(&self.config),
            bulk: self.bulk.clone(),
            breaker: self.breaker.clone(),
            waiting_since: self.waiting_since,
            stalled: self.stalled,
        })
    }

    fn initial_window(&self) -> u64 {
        self.config.reserve_bytes + self.bulk.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl fmt::Debug for LiveAudio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveAudio")
            .field("window", &self.window())
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE_BYTES: u64 = 64 * 1024;

    #[test]
    fn loss_leaves_the_reserve_alone_and_shrinks_the_rest() {
        let (now, config) = (Instant::now(), Arc::new(LiveAudioConfig::new(RESERVE_BYTES)));
        let mut controller = Arc::clone(&config).build(now, 1_200);
        let before = controller.window();
        for n in 1..100 {
            let at = now + Duration::from_millis(20 * n);
            controller.on_sent(at, 100, n);
            controller.on_congestion_event(at, at, false, 100);
        }
        assert!(controller.window() >= RESERVE_BYTES);
        assert!(controller.window() < before);
        assert!(controller.metrics().congestion_window < 3 * 1_200);
    }

    #[test]
    fn where_nobody_answers_the_reserve_closes() {
        let (now, config) = (Instant::now(), Arc::new(LiveAudioConfig::new(RESERVE_BYTES)));
        let mut controller = config.build(now, 1_200);
        for ms in (0..=3_000).step_by(20) {
            controller.on_sent(now + Duration::from_millis(ms), 100, ms / 20);
        }
        assert!(controller.window() > RESERVE_BYTES);
        controller.on_sent(now + STALLED_AFTER + Duration::from_millis(20), 100, 151);
        assert!(controller.window() < RESERVE_BYTES);
    }
}

//! Settings of a simulated relay.

use std::time::Duration;

use crate::sim::clock::HostClock;

/// The settings of a relay.
#[derive(Debug, Clone)]
pub struct RelaySpec {
    /// Number of shards.
    pub shards: u8,
    /// Its clock, by which everything in it runs, timeouts too.
    pub clock: HostClock,
    /// Tracks heard at the same time.
    pub top_n: usize,
    /// Listeners from which on new ones are given `audience`; 0: never.
    pub audience_from: u32,
    /// Destination of participants and children when it drains.
    pub drain_to: Option<String>,
    /// Drain timeout.
    pub drain_timeout: Duration,
    /// Whether its store outlives a kill: it has a data directory.
    pub has_data: bool,
    /// Messages of other shards that can wait for one, as in `run`.
    pub message_queue: usize,
    /// CPU time of a packet received. A relay that is busy lets packets wait.
    pub packet_cost: Duration,
    /// CPU time of a connection attempt answered.
    pub handshake_cost: Duration,
}

impl Default for RelaySpec {
    fn default() -> Self {
        Self {
            shards: 1,
            clock: HostClock::default(),
            top_n: tribune_protocol::limits::DEFAULT_TOP_N,
            audience_from: 0,
            drain_to: None,
            drain_timeout: Duration::from_secs(5),
            has_data: false,
            message_queue: 4 * 1024,
            packet_cost: Duration::ZERO,
            handshake_cost: Duration::ZERO,
        }
    }
}

//! How hard a relay works at the moment: rates, out of what its shards have counted. Pure; whoever
//! publishes the counters feeds it, and hands the result to the hub.

use std::collections::BTreeMap;

/// Rates over the last second or so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    /// The share of time that the busiest shard is at work, in millionths.
    pub busy_ppm: u32,
    /// Frames received a second.
    pub frames_in: u32,
    /// Frames passed on a second, once for each connection that they go to.
    pub frames_out: u32,
    /// Frames not passed on a second, by cause; causes without any are left out.
    pub drops: BTreeMap<&'static str, u32>,
    /// Frames that other relays should have sent and that were missing when the next one came, in
    /// millionths.
    pub missing_ppm: u32,
    /// Round trip to the parent, in microseconds; `None` without one.
    pub trunk_rtt_us: Option<u32>,
}

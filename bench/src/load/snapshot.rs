//! Counters of the system and of the load at one instant; a span is the difference of two.

use std::time::{Duration, Instant};

use anyhow::Result;
use tribune_bench::accounting::{
    machine_cpu, machine_drops, process_cpu, process_drops, thread_cpu,
};

use super::shared::Shared;
use super::spec::Topology;
use crate::pool::client_pool::Received;

/// Totals at one instant.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) at: Instant,
    pub(crate) relay_cpu: Option<Duration>,
    /// CPU of the relays above the edge.
    pub(crate) above_cpu: Duration,
    pub(crate) own_cpu: Duration,
    /// CPU of each listeners' thread.
    pub(crate) threads_cpu: Vec<Duration>,
    pub(crate) machine_cpu: Duration,
    pub(crate) machine_drops: u64,
    pub(crate) own_drops: u64,
    pub(crate) relay_drops: u64,
    pub(crate) frames: u64,
    pub(crate) datagrams: u64,
    /// UDP packets that listeners received.
    pub(crate) received: Received,
}

impl Snapshot {
    /// Reads all counters.
    ///
    /// # Errors
    /// A process is gone, or there is no /proc.
    pub(crate) fn take(topology: &Topology, shared: &Shared) -> Result<Self> {
        let own = std::process::id();
        let threads = shared.listener_threads()?;
        let (mut above_cpu, mut relay_drops) = (Duration::ZERO, 0);
        for pid in &topology.above {
            above_cpu += process_cpu(*pid)?;
            relay_drops += process_drops(*pid)?;
        }
        relay_drops += topology.edge_pid.map(process_drops).transpose()?.unwrap_or(0);
        Ok(Self {
            at: Instant::now(),
            relay_cpu: topology.edge_pid.map(process_cpu).transpose()?,
            above_cpu,
            own_cpu: process_cpu(own)?,
            threads_cpu: threads.iter().map(|thread| thread_cpu(*thread)).collect::<Result<_>>()?,
            machine_cpu: machine_cpu()?,
            machine_drops: machine_drops()?,
            own_drops: process_drops(own)?,
            relay_drops,
            frames: shared.frames(),
            datagrams: shared.datagrams(),
            received: shared.received(),
        })
    }
}

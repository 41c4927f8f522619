//! Participants of a load and the relays that they join.

use std::net::SocketAddr;
use std::time::Duration;

use tribune_relay::tls::ServerTrust;

use crate::relay_process::{RelayChain, RelayProcess};
use crate::swarm::Target;

/// Who takes part, and from where.
#[derive(Debug, Clone)]
pub(crate) struct LoadSpec {
    /// Listeners in all.
    pub(crate) listeners: u32,
    /// Speakers of each room.
    pub(crate) speakers: u16,
    /// Rooms that the listeners are dealt over.
    pub(crate) rooms: u16,
    /// Opus bytes of a frame.
    pub(crate) frame_bytes: u16,
    /// Joins begun in a second.
    pub(crate) join_rate: u32,
    /// Threads of listeners.
    pub(crate) threads: u8,
    /// Listeners on each socket.
    pub(crate) per_socket: u32,
    /// Round trip of the listeners to the relay.
    pub(crate) rtt: Duration,
    /// Sockets of others in this process.
    pub(crate) other_sockets: usize,
    /// Whether all ask for the origin's time, speakers tell it and listeners report.
    pub(crate) reports: bool,
}

impl LoadSpec {
    /// Sockets of the listeners.
    pub(crate) fn listener_sockets(&self) -> u32 {
        let threads = u32::from(self.threads);
        let of = |thread: u32| (self.listeners + threads - 1 - thread) / threads;
        (0..threads).map(|thread| of(thread).div_ceil(self.per_socket)).sum()
    }
}

/// The relays that a fleet is at.
#[derive(Debug, Clone)]
pub(crate) struct Topology {
    /// Where speakers are.
    pub(crate) root: Target,
    /// Where listeners are.
    pub(crate) edge: Target,
    /// The edge's process, if it is known.
    pub(crate) edge_pid: Option<u32>,
    /// The processes of the relays above it.
    pub(crate) above: Vec<u32>,
    /// The HTTP side of the relay where speakers are, if it is known.
    pub(crate) root_http: Option<SocketAddr>,
}

impl Topology {
    /// A chain of relays that this process has started.
    pub(crate) fn of(relays: &RelayChain) -> Self {
        let target = |relay: &RelayProcess| Target {
            address: relay.address(),
            name: "localhost".to_owned(),
            trust: ServerTrust::Pinned(relay.fingerprint()),
        };
        Self {
            root: target(relays.root()),
            edge: target(relays.edge()),
            edge_pid: Some(relays.edge().pid()),
            above: relays.above_edge(),
            root_http: Some(relays.root().http()),
        }
    }
}

/// What a room of a load is called.
pub(crate) fn room_name(room: u16) -> String {
    format!("bench-{room}")
}

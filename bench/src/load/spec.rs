//! Participants of a load and the relays that they join.

use std::net::SocketAddr;
use std::time::Duration;

use tribune_protocol::domain::profile::Profile;
use tribune_relay::tls::ServerTrust;

use crate::pool::target::Target;
use crate::relay_process::{RelayChain, RelayProcess};

/// Participants of a load.
#[derive(Debug, Clone)]
pub(crate) struct LoadSpec {
    /// Listeners in all.
    pub(crate) listeners: u32,
    /// Speakers per room.
    pub(crate) speakers: u16,
    /// Rooms over which the listeners are spread.
    pub(crate) rooms: u16,
    /// Opus bytes per frame.
    pub(crate) frame_bytes: u16,
    /// Joins begun per second.
    pub(crate) join_rate: u32,
    /// Listeners' threads.
    pub(crate) threads: u8,
    /// Listeners on each socket.
    pub(crate) per_socket: u32,
    /// Round trip of the listeners to the relay.
    pub(crate) rtt: Duration,
    /// Packets of the listeners that are lost once all are in, in percent in each direction.
    pub(crate) loss: u8,
    /// Further sockets of this process.
    pub(crate) other_sockets: usize,
    /// Whether participants probe the origin's time, speakers send capture times and listeners report.
    pub(crate) reports: bool,
    /// Profile of the listeners.
    pub(crate) profile: Profile,
    /// Listeners that come as browsers.
    pub(crate) web: u32,
}

impl LoadSpec {
    /// Sockets of the listeners.
    pub(crate) fn listener_sockets(&self) -> u32 {
        let threads = u32::from(self.threads);
        let of = |thread: u32| (self.listeners + threads - 1 - thread) / threads;
        (0..threads).map(|thread| of(thread).div_ceil(self.per_socket)).sum()
    }
}

/// Relays that a fleet joins.
#[derive(Debug, Clone)]
pub(crate) struct Topology {
    /// Relay of the speakers.
    pub(crate) root: Target,
    /// Relay of the listeners.
    pub(crate) edge: Target,
    /// Process of the edge, if known.
    pub(crate) edge_pid: Option<u32>,
    /// HTTP address of the edge, if known.
    pub(crate) edge_http: Option<SocketAddr>,
    /// Processes of the relays above the edge.
    pub(crate) above: Vec<u32>,
    /// HTTP address of the root, if known.
    pub(crate) root_http: Option<SocketAddr>,
}

impl Topology {
    /// Topology of a chain that this process has started.
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
            edge_http: Some(relays.edge().http()),
            above: relays.above_edge(),
            root_http: Some(relays.root().http()),
        }
    }
}

/// Name of a load's room.
pub(crate) fn room_name(room: u16) -> String {
    format!("bench-{room}")
}

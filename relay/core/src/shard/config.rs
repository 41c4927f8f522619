//! Configuration of a shard, and the packets that it gives to its driver.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn_proto::{ClientConfig, EndpointConfig, ServerConfig};
use tribune_congestion::LiveAudioConfig;

use super::steering::SteeringKey;
use crate::clock::WallClock;
use crate::link::bridge::BridgeKey;
use crate::messages::ShardId;

/// Configuration of a shard.
#[derive(Debug)]
pub struct ShardConfig {
    /// Number of the shard.
    pub id: ShardId,
    /// QUIC as the endpoint sees it; its connection IDs come from [`super::steering::ShardCids`].
    pub endpoint: Arc<EndpointConfig>,
    /// For connections that come in.
    pub server: Arc<ServerConfig>,
    /// For trunks to parents, by their place on the list; each may be trusted for another reason.
    pub clients: Vec<ClientConfig>,
    /// Congestion control of the connections; counts its circuit breakers.
    pub congestion: Arc<LiveAudioConfig>,
    /// Shared by the relay's shards.
    pub steering: SteeringKey,
    /// Proof of connections that carry a WebSocket of this relay.
    pub bridge: BridgeKey,
    /// Reading of the system's clock at some instant.
    pub wall: WallClock,
    /// Tracks heard at the same time.
    pub top_n: usize,
    /// Connections at the same time.
    pub max_connections: usize,
}

/// A packet to be sent. The buffer is reused: see [`super::Shard::poll_transmit`].
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Destination; `None` in a fresh buffer.
    pub destination: Option<SocketAddr>,
    /// The packet.
    pub payload: Vec<u8>,
}

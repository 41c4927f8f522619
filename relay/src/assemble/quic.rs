//! QUIC endpoints of the shards.

use std::sync::Arc;

use anyhow::Result;
use quinn_proto::{ClientConfig, EndpointConfig, ServerConfig};
use tribune_congestion::LiveAudioConfig;
use tribune_relay_core::clock::WallClock;
use tribune_relay_core::link::bridge::BridgeKey;
use tribune_relay_core::messages::ShardId;
use tribune_relay_core::shard::ShardConfig;
use tribune_relay_core::shard::keys::MasterKeys;
use tribune_relay_core::shard::limits::{accepting_transport, congestion, dialling_transport};
use tribune_relay_core::shard::steering::{ShardCids, SteeringKey};

use super::random::random;
use crate::config::Config;
use crate::identity::master_keys;
use crate::tls::{Certificates, server_crypto, trunk_client_crypto};

/// The part that the endpoints of all shards share.
pub(super) struct Quic {
    keys: MasterKeys,
    server: Arc<ServerConfig>,
    clients: Vec<ClientConfig>,
    congestion: Arc<LiveAudioConfig>,
    steering: SteeringKey,
    bridge: BridgeKey,
    wall: WallClock,
}

impl Quic {
    /// Keys, certificates and transport parameters by the configuration.
    ///
    /// # Errors
    /// A sentence about a file that cannot be used.
    pub(super) fn new(
        config: &Config,
        certificates: &Certificates,
        wall: WallClock,
    ) -> Result<Self> {
        let keys = master_keys(config.data.as_deref())?;
        let congestion = congestion();
        let mut server = ServerConfig::new(server_crypto(config, certificates)?, keys.retry_key());
        server.transport_config(accepting_transport(Arc::clone(&congestion)));
        let clients = config.parents.iter().map(|parent| {
            let mut client = ClientConfig::new(trunk_client_crypto(config, certificates, parent)?);
            client.transport_config(dialling_transport(Arc::clone(&congestion)));
            Ok(client)
        });
        let clients = clients.collect::<Result<_>>()?;
        let (steering, bridge) = (keys.steering(), BridgeKey::new(random()?));
        Ok(Self { keys, server: Arc::new(server), clients, congestion, steering, bridge, wall })
    }

    /// Key by which shards know connections that carry WebSockets of this relay.
    pub(super) const fn bridge(&self) -> &BridgeKey {
        &self.bridge
    }

    /// The configuration of one shard. Shard 0 dials parents.
    ///
    /// # Errors
    /// A sentence, if the system gives no random numbers.
    pub(super) fn shard_config(&mut self, config: &Config, id: ShardId) -> Result<ShardConfig> {
        let mut endpoint = EndpointConfig::new(self.keys.reset_key());
        let (steering, seed) = (self.steering, random()?);
        endpoint.cid_generator(move || Box::new(ShardCids::new(id, steering, seed)));
        Ok(ShardConfig {
            id,
            endpoint: Arc::new(endpoint),
            server: Arc::clone(&self.server),
            clients: if id == ShardId(0) { self.clients.clone() } else { Vec::new() },
            congestion: Arc::clone(&self.congestion),
            steering,
            bridge: self.bridge.clone(),
            wall: self.wall,
            top_n: config.top_n,
            max_connections: config.max_connections.div_ceil(usize::from(config.shards.get())),
        })
    }
}

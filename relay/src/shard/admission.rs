//! How connections begin: those that come in wait for their turn, so that a storm of joins does not
//! delay a frame; the trunk to the parent is dialled.

use std::net::SocketAddr;
use std::time::Instant;

use quinn_proto::{Connection, ConnectionHandle, Incoming};
use tribune_protocol::limits::JOIN_TIMEOUT;

use super::Shard;
use super::connection::{Peer, PeerKind};
use super::limits::{ADMITTED_PER_TURN, INCOMING_WAITING, RETRY_ABOVE};
use crate::crossing::{DialId, LinkId, ShardEvent};
use crate::ops::metrics::HandshakeResult;

impl Shard {
    /// Queues a connection attempt, or refuses it if too many wait.
    pub(super) fn handle_incoming(&mut self, incoming: Incoming) {
        let full = self.incoming.len() >= INCOMING_WAITING
            || self.endpoint.open_connections() >= self.config.max_connections;
        if !full {
            self.incoming.push_back(incoming);
            return;
        }
        self.counters.handshakes.count(HandshakeResult::Refused, 1);
        let mut reply = Vec::new();
        let transmit = self.endpoint.refuse(incoming, &mut reply);
        self.reply(transmit.destination, reply, transmit.size);
    }

    /// Answers a few of the attempts that wait.
    pub(super) fn admit(&mut self, now: Instant) {
        for _ in 0..ADMITTED_PER_TURN {
            let Some(incoming) = self.incoming.pop_front() else { return };
            let mut reply = Vec::new();
            if self.handshaking >= RETRY_ABOVE && incoming.may_retry() {
                self.counters.handshakes.count(HandshakeResult::Retried, 1);
                if let Ok(transmit) = self.endpoint.retry(incoming, &mut reply) {
                    self.reply(transmit.destination, reply, transmit.size);
                }
                continue;
            }
            match self.endpoint.accept(incoming, now, &mut reply, None) {
                Ok((handle, conn)) => {
                    let slot = self.insert(now, handle, conn, PeerKind::Arriving);
                    self.drive(now, slot);
                }
                Err(error) => {
                    self.counters.handshakes.count(HandshakeResult::Failed, 1);
                    if let Some(transmit) = error.response {
                        self.reply(transmit.destination, reply, transmit.size);
                    }
                }
            }
        }
    }

    /// Begins a trunk to a parent.
    pub(super) fn dial(
        &mut self,
        now: Instant,
        dial: DialId,
        parent: usize,
        address: SocketAddr,
        name: &str,
    ) {
        let Some(client) = self.config.clients.get(parent).cloned() else {
            let why = "this relay has no such parent".to_owned();
            self.events.push_back(ShardEvent::DialFailed { dial, why });
            return;
        };
        match self.endpoint.connect(now, client, address, name) {
            Ok((handle, conn)) => {
                let slot = self.insert(now, handle, conn, PeerKind::Dialling(dial));
                self.drive(now, slot);
            }
            Err(error) => {
                let why = error.to_string();
                self.events.push_back(ShardEvent::DialFailed { dial, why });
            }
        }
    }

    fn insert(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        conn: Connection,
        kind: PeerKind,
    ) -> u32 {
        let slot = handle.0;
        if self.peers.len() <= slot {
            self.peers.resize_with(slot + 1, || None);
        }
        self.generation = self.generation.wrapping_add(1);
        let link = LinkId { shard: self.config.id, slot: slot as u32, generation: self.generation };
        let mut peer = Peer::new(now, conn, link, kind);
        peer.speak_by = Some(now + JOIN_TIMEOUT);
        self.peers[slot] = Some(Box::new(peer));
        self.handshaking += 1;
        link.slot
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use bytes::BytesMut;
    use quinn_proto::{ClientConfig, Endpoint, EndpointConfig, ServerConfig};
    use tribune_protocol::ALPN_PARTICIPANT;

    use super::*;
    use crate::crossing::{Packet, ShardId};
    use crate::identity::MasterKeys;
    use crate::shard::limits::accepting_transport;
    use crate::shard::steering::ShardCids;
    use crate::shard::{Outgoing, ShardConfig, WallClock};
    use crate::tls::{ServerTrust, TlsIdentity, client_crypto, server_crypto_for};

    #[test]
    fn a_storm_of_joins_takes_a_few_handshakes_of_each_turn() {
        const JOINS: u16 = 22;
        let now = Instant::now();
        let mut shard = shard(now);
        let arrivals = (1..=JOINS).map(|port| first_packet(now, port));
        for packet in arrivals.collect::<Vec<_>>() {
            shard.handle_packet(now, packet);
        }
        let mut answered = BTreeSet::new();
        let mut out = Outgoing::default();
        for turn in 1.. {
            shard.handle_timeout(now);
            while shard.poll_transmit(now, &mut out) {
                answered.insert(out.destination);
            }
            let expected = (turn * ADMITTED_PER_TURN).min(usize::from(JOINS));
            assert_eq!(answered.len(), expected, "after {turn} turns");
            if expected == usize::from(JOINS) {
                break;
            }
            assert_eq!(shard.poll_timeout(now), Some(now), "the others are next, without a pause");
        }
    }

    fn shard(now: Instant) -> Shard {
        let keys = MasterKeys::load(None).unwrap();
        let identity = TlsIdentity::ephemeral("test").unwrap();
        let crypto = server_crypto_for(&identity, None).unwrap();
        let mut server = ServerConfig::new(crypto, keys.retry_key());
        server.transport_config(accepting_transport());
        let mut endpoint = EndpointConfig::new(keys.reset_key());
        let steering = keys.steering();
        endpoint.cid_generator(move || Box::new(ShardCids::new(ShardId(0), steering, [1; 32])));
        Shard::new(ShardConfig {
            id: ShardId(0),
            endpoint: Arc::new(endpoint),
            server: Arc::new(server),
            clients: Vec::new(),
            steering,
            wall: WallClock { at: now, unix_us: 0 },
            top_n: 4,
            max_connections: 100,
        })
    }

    /// What a client begins with.
    fn first_packet(now: Instant, port: u16) -> Packet {
        let crypto = client_crypto(ALPN_PARTICIPANT, ServerTrust::Anything, None).unwrap();
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
        let relay: SocketAddr = ([127, 0, 0, 1], 4433).into();
        let client = ClientConfig::new(crypto);
        let (_, mut conn) = endpoint.connect(now, client, relay, "localhost").unwrap();
        let mut bytes = Vec::new();
        assert!(conn.poll_transmit(now, 1, &mut bytes).is_some());
        let remote = ([127, 0, 0, 1], port).into();
        Packet { remote, local_ip: None, ecn: None, payload: BytesMut::from(&bytes[..]) }
    }
}

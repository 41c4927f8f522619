//! Connection attempts at a shard: a storm of them takes a few handshakes of each turn.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{ClientConfig, Endpoint, EndpointConfig, ServerConfig};
use tribune_protocol::ALPN_PARTICIPANT;

use tribune_relay::identity::master_keys;
use tribune_relay::tls::{ServerTrust, TlsIdentity, client_crypto, server_crypto_for};
use tribune_relay_core::clock::WallClock;
use tribune_relay_core::link::bridge::BridgeKey;
use tribune_relay_core::messages::{Packet, ShardId};
use tribune_relay_core::shard::limits::{ADMITTED_PER_TURN, accepting_transport, congestion};
use tribune_relay_core::shard::steering::ShardCids;
use tribune_relay_core::shard::{Outgoing, Shard, ShardConfig};

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
    let keys = master_keys(None).expect("fresh keys take no file");
    let identity = TlsIdentity::ephemeral("test").expect("a certificate can be made");
    let crypto = server_crypto_for(&identity, None).expect("the certificate suits TLS");
    let congestion = congestion();
    let mut server = ServerConfig::new(crypto, keys.retry_key());
    server.transport_config(accepting_transport(Arc::clone(&congestion)));
    let mut endpoint = EndpointConfig::new(keys.reset_key());
    let steering = keys.steering();
    endpoint.cid_generator(move || Box::new(ShardCids::new(ShardId(0), steering, [1; 32])));
    Shard::new(ShardConfig {
        id: ShardId(0),
        endpoint: Arc::new(endpoint),
        server: Arc::new(server),
        clients: Vec::new(),
        congestion,
        steering,
        bridge: BridgeKey::new([2; 32]),
        wall: WallClock { at: now, unix_us: 0 },
        top_n: 4,
        max_connections: 100,
    })
}

/// First packet of a client.
fn first_packet(now: Instant, port: u16) -> Packet {
    let crypto = client_crypto(ALPN_PARTICIPANT, ServerTrust::Anything, None)
        .expect("trusting anything takes no file");
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
    let relay: SocketAddr = ([127, 0, 0, 1], 4433).into();
    let client = ClientConfig::new(crypto);
    let (_, mut conn) = endpoint.connect(now, client, relay, "localhost").expect("the name is one");
    let mut bytes = Vec::new();
    assert!(conn.poll_transmit(now, 1, &mut bytes).is_some());
    let remote = ([127, 0, 0, 1], port).into();
    Packet { remote, local_ip: None, ecn: None, payload: BytesMut::from(&bytes[..]) }
}

//! How connections begin: those that come in wait for their turn, so that a storm of joins does not
//! delay a frame; the trunk to the parent is dialled.

use std::net::SocketAddr;
use std::time::Instant;

use quinn_proto::{Connection, ConnectionHandle, Incoming};
use tribune_protocol::limits::JOIN_TIMEOUT;

use super::Shard;
use super::connection::{Peer, PeerKind};
use super::limits::{ADMITTED_PER_TURN, INCOMING_WAITING, RETRY_ABOVE};
use crate::counters::HandshakeResult;
use crate::messages::{DialId, LinkId, ShardEvent};

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

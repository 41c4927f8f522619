//! Steering of packets to the shard that owns their connection. The kernel spreads packets by address; a connection that was
//! born on one shard and whose packets now arrive at another (a NAT gave it a new port, or this
//! relay dialled it) is found by its connection ID, whose first byte names the owner.
//!
//! A client's first packets carry an ID of its own making, which must not be taken for ours: the
//! last three bytes are a keyed check of the first five.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::messages::ShardId;

/// Bytes of a connection ID: the owner, four random ones, three of check.
pub const CID_BYTES: usize = 8;
const CHECKED_BYTES: usize = 5;

/// The secret that all shards of a relay check connection IDs with.
#[derive(Debug, Clone, Copy)]
pub struct SteeringKey(pub u64);

impl SteeringKey {
    /// The shard that issued the connection ID of a packet, if one of this relay did.
    #[must_use]
    pub fn owner(self, packet: &[u8]) -> Option<ShardId> {
        let long_header = *packet.first()? & 0x80 != 0;
        // RFC 8999: a long header has the version and the ID's length in front of the ID.
        let start = if long_header { 6 } else { 1 };
        if long_header && usize::from(*packet.get(5)?) != CID_BYTES {
            return None;
        }
        let cid = packet.get(start..start + CID_BYTES)?;
        self.is_ours(cid).then(|| ShardId(cid[0]))
    }

    fn is_ours(self, cid: &[u8]) -> bool {
        cid.len() == CID_BYTES && cid[CHECKED_BYTES..] == self.check(&cid[..CHECKED_BYTES])
    }

    fn check(self, bytes: &[u8]) -> [u8; 3] {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher.write(bytes);
        let [a, b, c, ..] = hasher.finish().to_be_bytes();
        [a, b, c]
    }
}

/// Issues the connection IDs of one shard.
#[derive(Debug)]
pub struct ShardCids {
    shard: ShardId,
    key: SteeringKey,
    rng: StdRng,
}

impl ShardCids {
    /// A generator for `shard`. The same seed gives the same IDs.
    #[must_use]
    pub fn new(shard: ShardId, key: SteeringKey, seed: [u8; 32]) -> Self {
        Self { shard, key, rng: StdRng::from_seed(seed) }
    }
}

impl ConnectionIdGenerator for ShardCids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut cid = [self.shard.0; CID_BYTES];
        self.rng.fill_bytes(&mut cid[1..CHECKED_BYTES]);
        let check = self.key.check(&cid[..CHECKED_BYTES]);
        cid[CHECKED_BYTES..].copy_from_slice(&check);
        ConnectionId::new(&cid)
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        if self.key.is_ours(cid) { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_owner_and_a_foreign_one_nobody() {
        let key = SteeringKey(7);
        let mut cids = ShardCids::new(ShardId(3), key, [1; 32]);
        let cid = cids.generate_cid();
        assert!(cids.validate(&cid).is_ok());
        let short = [&[0x40], &cid[..], &[0; 20]].concat();
        assert_eq!(key.owner(&short), Some(ShardId(3)));
        let long = [&[0xc0, 0, 0, 0, 1, 8], &cid[..], &[0; 20]].concat();
        assert_eq!(key.owner(&long), Some(ShardId(3)));
        assert_eq!(SteeringKey(8).owner(&short), None);
        assert_eq!(key.owner(&short[..6]), None);
        let mut foreign = short;
        foreign[4] ^= 1;
        assert_eq!(key.owner(&foreign), None);
    }
}

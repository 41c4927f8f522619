//! Shapes of trees that many tests begin with.

use std::time::Duration;

use super::{HubNet, RelayNo};

/// Time limit for a tree to attach.
const SETTLES: Duration = Duration::from_secs(20);

/// Relays, the origin first.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The root.
    pub origin: RelayNo,
    /// All, the origin first, each after its parents.
    pub relays: Vec<RelayNo>,
    /// Those with no relay below.
    pub leaves: Vec<RelayNo>,
}

impl Tree {
    /// One origin, two mid relays, four leaves; each leaf has the other mid relay as standby.
    pub fn of_seven(net: &mut HubNet, shards: u8) -> Self {
        let origin = net.relay(&[], shards);
        let [a, b] = [(); 2].map(|()| net.relay(&[origin], shards));
        let leaves = [[a, b], [a, b], [b, a], [b, a]].map(|parents| net.relay(&parents, shards));
        let relays = [origin, a, b].into_iter().chain(leaves).collect();
        Self { origin, relays, leaves: leaves.to_vec() }.up(net)
    }

    /// Relays one below the other; each has the one above its parent as standby.
    pub fn chain(net: &mut HubNet, length: usize, shards: u8) -> Self {
        let mut relays: Vec<RelayNo> = Vec::new();
        for _ in 0..length {
            let parents: Vec<_> = relays.iter().rev().take(2).copied().collect();
            relays.push(net.relay(&parents, shards));
        }
        let leaves = relays[length - 1..].to_vec();
        Self { origin: relays[0], relays, leaves }.up(net)
    }

    /// The relays that have a parent.
    #[must_use]
    pub fn below(&self) -> &[RelayNo] {
        &self.relays[1..]
    }

    fn up(self, net: &mut HubNet) -> Self {
        let is_up = |net: &HubNet| net.relays().all(|relay| net.is_attached(relay));
        assert!(net.run_until(SETTLES, is_up), "the tree does not come up");
        self
    }
}

//! The demo's relays: an origin, two below it, two below each of these.

use anyhow::Result;

use crate::process::{Relay, RelayOptions, Scratch};

/// They end in this order: leaves first.
pub(super) struct Tree {
    pub(super) leaves: [Relay; 4],
    pub(super) mids: [Relay; 2],
    pub(super) origin: Relay,
}

impl Tree {
    pub(super) fn start(scratch: &Scratch) -> Result<Self> {
        let origin = RelayOptions::new("origin").start(scratch)?;
        let mid = |name: &str| RelayOptions::new(name).parent(&origin).start(scratch);
        let mids = [mid("mid-1")?, mid("mid-2")?];
        let leaf = |name: &str, first: &Relay, standby: &Relay| {
            RelayOptions::new(name).parent(first).parent(standby).start(scratch)
        };
        let leaves = [
            leaf("leaf-1", &mids[0], &mids[1])?,
            leaf("leaf-2", &mids[0], &mids[1])?,
            leaf("leaf-3", &mids[1], &mids[0])?,
            leaf("leaf-4", &mids[1], &mids[0])?,
        ];
        Ok(Self { leaves, mids, origin })
    }

    /// The leaf that is farthest from the first one.
    pub(super) fn far_leaf(&self) -> &Relay {
        &self.leaves[3]
    }

    pub(super) fn picture(&self) -> String {
        let at = |relay: &Relay| format!("{:6} {}", relay.name(), relay.address());
        let mids = self.mids.iter().zip(self.leaves.chunks(2));
        let mut text = format!("{}\n", at(&self.origin));
        for (mid, leaves) in mids {
            text.push_str(&format!("  {}\n", at(mid)));
            for leaf in leaves {
                text.push_str(&format!("    {}\n", at(leaf)));
            }
        }
        text
    }
}

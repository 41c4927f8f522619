//! Relays below this one: their admission, and the rooms that each has on its channels. Used by the hub.
//! A relay that is already on the way from the origin to here would close a loop; a tree deeper
//! than eight is refused.

use std::collections::BTreeMap;

use tribune_protocol::codes::CloseCode;
use tribune_protocol::ids::{Channel, DisplayName, RelayId};
use tribune_protocol::limits::MAX_TREE_DEPTH;

use crate::messages::{LinkId, RoomId};

/// Children of one relay at the same time. A parent that feeds more has no CPU left for its own.
pub const MAX_CHILDREN: usize = 256;

/// Rooms that one child may be subscribed to at the same time.
const MAX_CHANNELS_PER_CHILD: usize = 10_000;

/// The relays below.
#[derive(Debug, Default)]
pub struct Children {
    by_link: BTreeMap<LinkId, ChildRelay>,
}

/// A relay below.
#[derive(Debug)]
pub struct ChildRelay {
    /// Its id.
    pub relay: RelayId,
    /// Its display name.
    pub name: DisplayName,
    /// Levels from it down to its deepest leaf, at least 1.
    pub height: u8,
    /// Rooms that it is subscribed to.
    pub channels: BTreeMap<Channel, RoomId>,
}

impl Children {
    /// Takes a relay as a child. Gives the older trunk of the same relay, which is dead.
    ///
    /// # Errors
    /// The close code, if it would close a loop, make the tree too deep, or is one too many.
    pub fn admit(
        &mut self,
        link: LinkId,
        relay: RelayId,
        name: DisplayName,
        height: u8,
        path: &[RelayId],
        own: RelayId,
    ) -> Result<Option<LinkId>, CloseCode> {
        if relay == own || path.contains(&relay) {
            return Err(CloseCode::TrunkLoop);
        }
        if path.len() + usize::from(height.max(1)) > MAX_TREE_DEPTH {
            return Err(CloseCode::TreeTooDeep);
        }
        let older = self.by_link.iter().find(|(_, child)| child.relay == relay);
        let older = older.map(|(link, _)| *link);
        if older.is_none() && self.by_link.len() >= MAX_CHILDREN {
            return Err(CloseCode::TrunkUnauthorised);
        }
        let height = height.max(1);
        let child = ChildRelay { relay, name, height, channels: BTreeMap::new() };
        self.by_link.insert(link, child);
        Ok(older)
    }

    /// The child behind a trunk.
    pub fn get_mut(&mut self, link: LinkId) -> Option<&mut ChildRelay> {
        self.by_link.get_mut(&link)
    }

    /// The child behind a trunk.
    #[must_use]
    pub fn get(&self, link: LinkId) -> Option<&ChildRelay> {
        self.by_link.get(&link)
    }

    /// Levels below a child that may subscribe a room on that channel: the channel is free, and the child
    /// has less than 10,000 rooms.
    #[must_use]
    pub fn may_subscribe(&self, link: LinkId, channel: Channel) -> Option<u8> {
        let child = self.get(link)?;
        let full = child.channels.len() >= MAX_CHANNELS_PER_CHILD;
        (!full && !child.channels.contains_key(&channel)).then_some(child.height)
    }

    /// Takes a child out.
    pub fn remove(&mut self, link: LinkId) -> Option<ChildRelay> {
        self.by_link.remove(&link)
    }

    /// All of them, with their trunks.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &ChildRelay)> {
        self.by_link.iter().map(|(link, child)| (*link, child))
    }

    /// All trunks to children.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.by_link.keys().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_link.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_link.is_empty()
    }

    /// Levels from this relay down to the deepest leaf, both counted.
    #[must_use]
    pub fn height(&self) -> u8 {
        self.by_link.values().map(|child| child.height).max().unwrap_or(0).saturating_add(1)
    }

    /// The children that have become too deep, or part of a loop, since the way to here has changed.
    /// With a way to the origin, depth is judged at the eighth level alone: were every level to judge
    /// by height, all of them would part at once. Without one, height is what ends a circle.
    #[must_use]
    pub fn misplaced(&self, path: &[RelayId]) -> Vec<(LinkId, CloseCode)> {
        let too_deep = |child: &ChildRelay| match path.len() {
            0 => usize::from(child.height) > MAX_TREE_DEPTH,
            depth => depth >= MAX_TREE_DEPTH,
        };
        let judge = |child: &ChildRelay| {
            if path.contains(&child.relay) {
                Some(CloseCode::TrunkLoop)
            } else if too_deep(child) {
                Some(CloseCode::TreeTooDeep)
            } else {
                None
            }
        };
        self.by_link.iter().filter_map(|(link, child)| Some((*link, judge(child)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::ShardId;

    #[test]
    fn loops_and_depth_are_refused() {
        let mut children = Children::default();
        let link = |slot| LinkId { shard: ShardId(0), slot, generation: slot };
        let name: DisplayName = "child".parse().unwrap();
        let path: Vec<_> = (1..=6).map(RelayId).collect();
        let mut admit = |slot, relay, height| {
            children.admit(link(slot), RelayId(relay), name.clone(), height, &path, RelayId(6))
        };
        assert_eq!(admit(1, 6, 1), Err(CloseCode::TrunkLoop));
        assert_eq!(admit(1, 3, 1), Err(CloseCode::TrunkLoop));
        assert_eq!(admit(1, 7, 3), Err(CloseCode::TreeTooDeep));
        assert_eq!(admit(1, 7, 2), Ok(None));
        assert_eq!(admit(2, 7, 2), Ok(Some(link(1))));
        assert_eq!(children.height(), 3);
        let deeper: Vec<_> = (1..=7).map(RelayId).collect();
        assert!(children.misplaced(&deeper).contains(&(link(2), CloseCode::TrunkLoop)));
    }
}

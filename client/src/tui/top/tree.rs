//! Relays in tree order, for any response. Pure.
//!
//! The response is collected while relays start, stop and move: a parent can be missing, two can name
//! each other, one can appear twice. Each relay is shown once all the same.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use tribune_protocol::ids::RelayId;

use crate::status::answer::Relay;

/// Deepest indented level; the protocol allows a depth of 8, and a deeper response is wrong.
const LEVELS_INDENTED: usize = 12;

/// A relay at its position in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Branch<'a> {
    pub(crate) relay: &'a Relay,
    /// Tree lines in front of its name.
    pub(crate) lead: String,
    /// Whether its parent is missing from the response: it did not answer, or is moving.
    pub(crate) is_orphan: bool,
}

/// All relays, each below its parent, siblings sorted by `order`.
pub(crate) fn branches(
    relays: &[Relay],
    order: impl Fn(&Relay, &Relay) -> Ordering,
) -> Vec<Branch<'_>> {
    let mut known = HashSet::new();
    let mut sorted: Vec<&Relay> = relays.iter().filter(|relay| known.insert(relay.relay)).collect();
    sorted.sort_by(|a, b| order(a, b));
    let mut children: HashMap<RelayId, Vec<&Relay>> = HashMap::new();
    let mut roots = Vec::new();
    for &relay in &sorted {
        match relay.parent {
            Some(parent) if known.contains(&parent) => {
                children.entry(parent).or_default().push(relay);
            }
            Some(_) | None => roots.push(relay),
        }
    }
    // Relays with a parent come last: usually only the origin has none.
    roots.sort_by_key(|relay| relay.parent.is_some());
    let mut shown = HashSet::new();
    let mut branches = Vec::with_capacity(sorted.len());
    for root in roots {
        climb(root, &children, &mut shown, &mut branches);
    }
    // Only relays whose parents form a circle are left.
    for relay in sorted {
        if !shown.contains(&relay.relay) {
            climb(relay, &children, &mut shown, &mut branches);
        }
    }
    branches
}

/// Adds a relay without a known parent, and its subtree.
fn climb<'a>(
    root: &'a Relay,
    children: &HashMap<RelayId, Vec<&'a Relay>>,
    shown: &mut HashSet<RelayId>,
    branches: &mut Vec<Branch<'a>>,
) {
    let is_orphan = root.parent.is_some();
    let mut waiting = vec![(root, String::new(), String::new(), 0)];
    while let Some((relay, lead, below, level)) = waiting.pop() {
        if !shown.insert(relay.relay) {
            continue;
        }
        branches.push(Branch { relay, lead, is_orphan: is_orphan && level == 0 });
        let Some(next) = children.get(&relay.relay) else { continue };
        let next: Vec<&Relay> =
            next.iter().copied().filter(|child| !shown.contains(&child.relay)).collect();
        // Pushed in reverse: the last sibling is popped last.
        for (from_last, child) in next.into_iter().rev().enumerate() {
            let (mut lead, mut further) = (below.clone(), below.clone());
            if level < LEVELS_INDENTED {
                let (here, there) = if from_last == 0 { ("└ ", "  ") } else { ("├ ", "│ ") };
                lead.push_str(here);
                further.push_str(there);
            }
            waiting.push((child, lead, further, level + 1));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A relay that is at rest.
    pub(crate) fn relay(id: u64, parent: Option<u64>) -> Relay {
        Relay {
            relay: RelayId(id),
            name: format!("r{id}").parse().unwrap(),
            parent: parent.map(RelayId),
            depth: 1,
            version: "0.1.0".to_owned(),
            uptime_s: 60,
            participants: 0,
            capacity: None,
            listeners: 0,
            rooms: 0,
            children: 0,
            draining: false,
            load_ppm: 0,
            frames_in_per_s: 0,
            frames_out_per_s: 0,
            dropped_per_s: 0,
            drops: BTreeMap::new(),
            missing_ppm: 0,
            trunk_rtt_us: None,
            clock_error_us: None,
            quality: None,
        }
    }

    fn drawn(relays: &[Relay]) -> Vec<String> {
        let branches = branches(relays, |a, b| a.name.cmp(&b.name));
        let mark = |orphan| if orphan { "?" } else { "" };
        branches
            .iter()
            .map(|branch| format!("{}{}{}", branch.lead, branch.relay.name, mark(branch.is_orphan)))
            .collect()
    }

    #[test]
    fn relays_stand_below_their_parents() {
        let relays = [
            relay(5, Some(2)),
            relay(3, Some(1)),
            relay(1, None),
            relay(4, Some(2)),
            relay(2, Some(1)),
        ];
        assert_eq!(drawn(&relays), ["r1", "├ r2", "│ ├ r4", "│ └ r5", "└ r3"]);
    }

    #[test]
    fn a_relay_whose_parent_is_not_there_is_shown_as_an_orphan_after_the_tree() {
        let relays = [relay(1, Some(9)), relay(2, Some(1)), relay(3, None)];
        assert_eq!(drawn(&relays), ["r3", "r1?", "└ r2"]);
    }

    #[test]
    fn circles_end_and_doubles_are_shown_once() {
        let relays = [relay(1, Some(2)), relay(2, Some(1)), relay(3, Some(3)), relay(1, None)];
        assert_eq!(drawn(&relays), ["r1?", "└ r2", "r3?"]);
    }

    #[test]
    fn a_long_chain_is_not_indented_for_ever() {
        let relays: Vec<Relay> = (0..2_048).map(|id| relay(id, id.checked_sub(1))).collect();
        let drawn = drawn(&relays);
        assert_eq!(drawn.len(), 2_048);
        assert!(drawn.iter().all(|line| line.chars().count() < 40));
    }

    proptest! {
        /// For any parents: each relay appears once, and after its parent if that
        /// is above it.
        #[test]
        fn each_relay_is_shown_once(parents in prop::collection::vec(prop::option::of(0u64..12), 0..12)) {
            let relays: Vec<Relay> =
                parents.iter().enumerate().map(|(id, parent)| relay(id as u64, *parent)).collect();
            let branches = branches(&relays, |a, b| a.relay.cmp(&b.relay));
            let mut ids: Vec<u64> = branches.iter().map(|branch| branch.relay.relay.0).collect();
            for (at, branch) in branches.iter().enumerate() {
                if !branch.lead.is_empty() {
                    let parent = branch.relay.parent.unwrap().0;
                    prop_assert!(ids[..at].contains(&parent));
                }
            }
            ids.sort_unstable();
            prop_assert_eq!(ids, (0..parents.len() as u64).collect::<Vec<_>>());
        }
    }
}

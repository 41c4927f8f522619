//! Tallies of all relays in one run, and their sums. A relay that has started again counts from zero: what it had
//! before stays.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tribune_protocol::domain::audience_text::QuestionId;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::share::ShareId;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::RelayId;
use tribune_protocol::limits::{MAX_RELAYS_COUNTED, MAX_STATISTICS_ROWS, STAY_PERIOD};
use tribune_protocol::statistics::tally::{RelayTally, ShareCount};
use tribune_protocol::statistics::{LinkStatistics, RelayStatistics, ShareStatistics};

/// Milliseconds for which the time of those inside runs on after a tally, two and a half periods: a relay that says
/// nothing for so long has nobody any more.
const RUNS_ON_MS: u64 = STAY_PERIOD.as_millis() as u64 * 5 / 2;

/// See the module's documentation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Relays(BTreeMap<RelayId, Counted>);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Counted {
    now: RelayTally,
    /// When the last tally came, in Unix milliseconds.
    at_ms: u64,
    /// Earlier lives of the relay.
    former: Option<Box<RelayTally>>,
}

impl Relays {
    /// Takes a tally. Whether it counts.
    pub(super) fn take(&mut self, at_ms: u64, tally: RelayTally) -> bool {
        let is_full = self.0.len() >= MAX_RELAYS_COUNTED;
        match self.0.get_mut(&tally.relay) {
            Some(counted) if counted.now.life == tally.life => {
                counted.now.update(tally);
                counted.at_ms = at_ms;
                true
            }
            Some(counted) if counted.now.life < tally.life => {
                let before = std::mem::replace(&mut counted.now, tally);
                match &mut counted.former {
                    Some(former) => add(former, before),
                    None => counted.former = Some(Box::new(before)),
                }
                counted.at_ms = at_ms;
                true
            }
            Some(_) => false,
            None if is_full => false,
            None => {
                self.0.insert(tally.relay, Counted { now: tally, at_ms, former: None });
                true
            }
        }
    }

    /// Joins at all relays.
    pub(super) fn joins(&self) -> u64 {
        self.tallies().flat_map(|tally| tally.joins.values()).sum()
    }

    /// Stays that are over.
    pub(super) fn leaves(&self) -> u64 {
        let gone: u64 = self.tallies().filter_map(|tally| tally.gone).sum();
        let resumed: u64 = self.tallies().filter_map(|tally| tally.resumed).sum();
        gone.saturating_sub(resumed)
    }

    /// Joins by way of arrival.
    pub(super) fn ways(&self) -> BTreeMap<Way, u64> {
        sum_maps(self.tallies().map(|tally| &tally.joins))
    }

    /// Reactions by kind.
    pub(super) fn reactions(&self) -> BTreeMap<Reaction, u64> {
        sum_maps(self.tallies().map(|tally| &tally.reactions))
    }

    /// Messages written.
    pub(super) fn texts(&self) -> u64 {
        self.tallies().filter_map(|tally| tally.texts).sum()
    }

    /// Votes for each question, those taken back left out.
    pub(super) fn votes(&self) -> BTreeMap<QuestionId, u64> {
        let mut votes = sum_maps(self.tallies().map(|tally| &tally.votes));
        for (question, count) in sum_maps(self.tallies().map(|tally| &tally.withdrawn)) {
            let given = votes.entry(question).or_default();
            *given = given.saturating_sub(count);
        }
        votes
    }

    /// Stays that were as long as each length of the retention curve.
    pub(super) fn stayed(&self) -> Vec<u64> {
        sum_lists(self.tallies().map(|tally| &tally.stayed))
    }

    /// Joins as long ago as each length of the retention curve.
    pub(super) fn old_enough(&self) -> Vec<u64> {
        sum_lists(self.tallies().map(|tally| &tally.old_enough))
    }

    /// Time of all stays up to now, in milliseconds.
    pub(super) fn listened_ms(&self, at_ms: u64) -> u64 {
        self.0.values().map(|counted| counted.listened_ms(at_ms)).sum()
    }

    /// Relays, the most joins first, and how many are left out.
    pub(super) fn rows(&self, at_ms: u64) -> (Vec<RelayStatistics>, u32) {
        let mut rows: Vec<RelayStatistics> =
            self.0.values().map(|counted| counted.row(at_ms)).collect();
        rows.sort_by(|a, b| b.joins.cmp(&a.joins).then(a.relay.cmp(&b.relay)));
        let more = rows.len().saturating_sub(MAX_STATISTICS_ROWS);
        rows.truncate(MAX_STATISTICS_ROWS);
        (rows, u32::try_from(more).unwrap_or(u32::MAX))
    }

    /// Joins by share link.
    pub(super) fn shares(&self) -> ShareStatistics {
        let generations = sum_lists(self.tallies().map(|tally| &tally.generations));
        let joins = generations.iter().sum();
        let mut links = self.links();
        links.sort_by(|a, b| b.joins.cmp(&a.joins).then(a.share.cmp(&b.share)));
        links.truncate(MAX_STATISTICS_ROWS);
        let shown: u64 = links.iter().map(|link| link.joins).sum();
        ShareStatistics { joins, generations, links, other: joins - shown.min(joins) }
    }

    /// Joins by each share link that relays keep apart.
    pub(super) fn links(&self) -> Vec<LinkStatistics> {
        let mut links: BTreeMap<ShareId, LinkStatistics> = BTreeMap::new();
        for ShareCount { share, joins } in self.tallies().flat_map(|tally| &tally.shares) {
            let link = links.entry(share.id).or_insert_with(|| LinkStatistics {
                share: share.id,
                parent: share.parent,
                generation: share.generation,
                tag: share.tag.clone(),
                joins: 0,
            });
            link.joins += joins;
        }
        links.into_values().collect()
    }

    fn tallies(&self) -> impl Iterator<Item = &RelayTally> {
        self.0
            .values()
            .flat_map(|counted| std::iter::once(&counted.now).chain(counted.former.as_deref()))
    }
}

impl Counted {
    fn listened_ms(&self, at_ms: u64) -> u64 {
        let former = self.former.as_ref().and_then(|former| former.listened_ms).unwrap_or(0);
        let since_ms = at_ms.saturating_sub(self.at_ms).min(RUNS_ON_MS);
        let running = self.now.inside.unwrap_or(0).saturating_mul(since_ms);
        former.saturating_add(self.now.listened_ms.unwrap_or(0)).saturating_add(running)
    }

    fn row(&self, at_ms: u64) -> RelayStatistics {
        let lives = std::iter::once(&self.now).chain(self.former.as_deref());
        RelayStatistics {
            relay: self.now.relay,
            name: self.now.name.clone(),
            joins: lives.flat_map(|tally| tally.joins.values()).sum(),
            listened_s: self.listened_ms(at_ms) / 1_000,
        }
    }
}

/// Adds the counts of a life that is over to those before.
fn add(sum: &mut RelayTally, life: RelayTally) {
    let both = |a: Option<u64>, b: Option<u64>| Some(a.unwrap_or(0) + b.unwrap_or(0));
    sum.listened_ms = both(sum.listened_ms, life.listened_ms);
    sum.texts = both(sum.texts, life.texts);
    sum.gone = both(sum.gone, life.gone);
    sum.resumed = both(sum.resumed, life.resumed);
    sum.joins = sum_maps([&sum.joins, &life.joins].into_iter());
    sum.reactions = sum_maps([&sum.reactions, &life.reactions].into_iter());
    sum.votes = sum_maps([&sum.votes, &life.votes].into_iter());
    sum.withdrawn = sum_maps([&sum.withdrawn, &life.withdrawn].into_iter());
    sum.stayed = sum_lists([&sum.stayed, &life.stayed].into_iter());
    sum.old_enough = sum_lists([&sum.old_enough, &life.old_enough].into_iter());
    sum.generations = sum_lists([&sum.generations, &life.generations].into_iter());
    for ShareCount { share, joins } in life.shares {
        let joins = joins + sum.joins_by(share.id);
        sum.raise_share(ShareCount { share, joins });
    }
}

fn sum_maps<'a, K: Ord + Copy + 'a>(
    maps: impl Iterator<Item = &'a BTreeMap<K, u64>>,
) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for (key, count) in maps.flatten() {
        *sums.entry(*key).or_default() += count;
    }
    sums
}

fn sum_lists<'a>(lists: impl Iterator<Item = &'a Vec<u64>>) -> Vec<u64> {
    let mut sums: Vec<u64> = Vec::new();
    for list in lists {
        if sums.len() < list.len() {
            sums.resize(list.len(), 0);
        }
        sums.iter_mut().zip(list).for_each(|(sum, count)| *sum += count);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(life: u64, joins: u64, inside: u64, listened_ms: u64) -> RelayTally {
        RelayTally {
            joins: BTreeMap::from([(Way::Browser, joins)]),
            inside: Some(inside),
            listened_ms: Some(listened_ms),
            ..RelayTally::unchanged(RelayId(1), "edge".parse().unwrap(), life, 1)
        }
    }

    #[test]
    fn a_relay_that_starts_again_adds_to_what_it_had() {
        let mut relays = Relays::default();
        assert!(relays.take(0, tally(1, 3, 2, 1_000)));
        assert!(relays.take(5, tally(2, 1, 1, 10)));
        assert!(!relays.take(6, tally(1, 4, 2, 1_500)), "a life that is over");
        assert!(relays.take(7, tally(3, 1, 0, 20)));
        assert_eq!((relays.joins(), relays.listened_ms(7)), (5, 1_030));
        assert_eq!(relays.rows(7).0[0].joins, 5);
    }

    #[test]
    fn time_runs_on_until_a_relay_is_silent_for_too_long() {
        let mut relays = Relays::default();
        relays.take(1_000, tally(1, 2, 2, 500));
        assert_eq!(relays.listened_ms(3_000), 500 + 2 * 2_000);
        assert_eq!(relays.listened_ms(1_000_000), 500 + 2 * RUNS_ON_MS);
    }
}

//! Tally of one relay: what it has counted in one run of a room, as sums since the run began there. Sums, not
//! differences: one that is lost is made good by the next, and one that comes twice counts once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{RETENTION_S, bounded};
use crate::domain::audience_text::QuestionId;
use crate::domain::reaction::Reaction;
use crate::domain::share::{Share, ShareId};
use crate::domain::way::Way;
use crate::ids::{DisplayName, RelayId};
use crate::limits::{MAX_QUESTIONS_VOTED, MAX_SHARE_GENERATION, MAX_SHARES_COUNTED};

/// Share links in one message: with their tags they fit.
const SHARES_A_MESSAGE: usize = 100;
/// Questions with their votes in one message.
const VOTES_A_MESSAGE: usize = 400;

/// Counts of one relay in one run of a room. What is left out has not changed since the last tally.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayTally {
    /// The relay.
    pub relay: RelayId,
    /// Its name.
    pub name: DisplayName,
    /// Life of the relay's room, in milliseconds since the Unix epoch at its start: a relay that has started again
    /// counts from zero.
    pub life: u64,
    /// The run: a tally of another run than the present one counts for nothing.
    pub run: u32,
    /// Participants inside, whose time runs on; those whose connection is lost for less than 30 s included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<u64>,
    /// Time of all stays up to now, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listened_ms: Option<u64>,
    /// Joins by way of arrival.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub joins: BTreeMap<Way, u64>,
    /// Stays that are over, or go on at another relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
    /// Stays that go on here after another relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<u64>,
    /// Stays that have been as long as each of [`super::RETENTION_S`].
    #[serde(
        default,
        deserialize_with = "bounded::list::<{ RETENTION_S.len() }, _, _>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub stayed: Vec<u64>,
    /// Joins as long ago as each of [`super::RETENTION_S`]: stays that could have been as long.
    #[serde(
        default,
        deserialize_with = "bounded::list::<{ RETENTION_S.len() }, _, _>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub old_enough: Vec<u64>,
    /// Reactions by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reactions: BTreeMap<Reaction, u64>,
    /// Messages written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<u64>,
    /// Votes given, by question; of the last 1,000 questions voted for.
    #[serde(
        default,
        deserialize_with = "bounded::map::<MAX_QUESTIONS_VOTED, _, _, _>",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub votes: BTreeMap<QuestionId, u64>,
    /// Votes taken back, by question.
    #[serde(
        default,
        deserialize_with = "bounded::map::<MAX_QUESTIONS_VOTED, _, _, _>",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub withdrawn: BTreeMap<QuestionId, u64>,
    /// Joins by generation of the share link, from the first.
    #[serde(
        default,
        deserialize_with = "bounded::list::<{ MAX_SHARE_GENERATION as usize }, _, _>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub generations: Vec<u64>,
    /// Joins by share link; at most 256 in all.
    #[serde(
        default,
        deserialize_with = "bounded::list::<MAX_SHARES_COUNTED, _, _>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub shares: Vec<ShareCount>,
}

/// Joins by one share link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareCount {
    /// The link.
    pub share: Share,
    /// Joins by it.
    pub joins: u64,
}

impl RelayTally {
    /// A tally in which nothing has changed.
    #[must_use]
    pub const fn unchanged(relay: RelayId, name: DisplayName, life: u64, run: u32) -> Self {
        Self {
            relay,
            name,
            life,
            run,
            inside: None,
            listened_ms: None,
            joins: BTreeMap::new(),
            gone: None,
            resumed: None,
            stayed: Vec::new(),
            old_enough: Vec::new(),
            reactions: BTreeMap::new(),
            texts: None,
            votes: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            generations: Vec::new(),
            shares: Vec::new(),
        }
    }

    /// Takes over what a later tally of the same life says. Counts never go back, so that an older one that comes
    /// late changes nothing.
    pub fn update(&mut self, later: Self) {
        let Self { relay: _, name, life: _, run: _, inside, listened_ms, joins, stayed, .. } =
            &later;
        self.name.clone_from(name);
        if listened_ms >= &self.listened_ms {
            self.inside = inside.or(self.inside);
            self.listened_ms = listened_ms.or(self.listened_ms);
        }
        raise_all(&mut self.joins, joins);
        self.gone = self.gone.max(later.gone);
        self.resumed = self.resumed.max(later.resumed);
        raise_each(&mut self.stayed, stayed);
        raise_each(&mut self.old_enough, &later.old_enough);
        raise_all(&mut self.reactions, &later.reactions);
        self.texts = self.texts.max(later.texts);
        for (own, later) in
            [(&mut self.votes, &later.votes), (&mut self.withdrawn, &later.withdrawn)]
        {
            raise_all(own, later);
            while own.len() > MAX_QUESTIONS_VOTED {
                own.pop_first();
            }
        }
        raise_each(&mut self.generations, &later.generations);
        for count in later.shares {
            self.raise_share(count);
        }
    }

    /// Changes since an earlier tally of the same run and life, in pieces that fit a message each: at least
    /// one.
    #[must_use]
    pub fn since(&self, earlier: Option<&Self>) -> Vec<Self> {
        let none = Self::unchanged(self.relay, self.name.clone(), self.life, self.run);
        let same = |earlier: &&Self| earlier.life == self.life && earlier.run == self.run;
        let earlier = earlier.filter(same).unwrap_or(&none);
        let changed = |count: &&ShareCount| earlier.joins_by(count.share.id) != count.joins;
        let shares: Vec<ShareCount> = self.shares.iter().filter(changed).cloned().collect();
        let shares = shares
            .chunks(SHARES_A_MESSAGE)
            .map(|shares| Self { shares: shares.to_vec(), ..none.clone() });
        let votes = chunks(&changes(&self.votes, &earlier.votes));
        let votes = votes.into_iter().map(|votes| Self { votes, ..none.clone() });
        let withdrawn = chunks(&changes(&self.withdrawn, &earlier.withdrawn));
        let withdrawn = withdrawn.into_iter().map(|withdrawn| Self { withdrawn, ..none.clone() });
        let first = Self {
            inside: self.inside,
            listened_ms: self.listened_ms,
            joins: changes(&self.joins, &earlier.joins),
            gone: self.gone.filter(|_| self.gone != earlier.gone),
            resumed: self.resumed.filter(|_| self.resumed != earlier.resumed),
            stayed: unless_same(&self.stayed, &earlier.stayed),
            old_enough: unless_same(&self.old_enough, &earlier.old_enough),
            reactions: changes(&self.reactions, &earlier.reactions),
            texts: self.texts.filter(|_| self.texts != earlier.texts),
            generations: unless_same(&self.generations, &earlier.generations),
            ..none.clone()
        };
        std::iter::once(first).chain(shares).chain(votes).chain(withdrawn).collect()
    }

    /// Joins by one link so far.
    #[must_use]
    pub fn joins_by(&self, share: ShareId) -> u64 {
        self.shares.iter().find(|count| count.share.id == share).map_or(0, |count| count.joins)
    }

    /// Takes over a later count of a link. Of too many, the one with the fewest joins makes room.
    pub fn raise_share(&mut self, later: ShareCount) {
        let found = self.shares.iter().position(|count| count.share.id == later.share.id);
        match found {
            Some(at) => self.shares[at].joins = self.shares[at].joins.max(later.joins),
            None if self.shares.len() < MAX_SHARES_COUNTED => self.shares.push(later),
            None => {
                let least = self.shares.iter_mut().min_by_key(|count| count.joins);
                if let Some(least) = least.filter(|least| least.joins < later.joins) {
                    *least = later;
                }
            }
        }
    }
}

fn chunks(votes: &BTreeMap<QuestionId, u64>) -> Vec<BTreeMap<QuestionId, u64>> {
    let votes: Vec<_> = votes.iter().map(|(question, count)| (*question, *count)).collect();
    votes.chunks(VOTES_A_MESSAGE).map(|votes| votes.iter().copied().collect()).collect()
}

fn unless_same(counts: &[u64], earlier: &[u64]) -> Vec<u64> {
    if counts == earlier { Vec::new() } else { counts.to_vec() }
}

fn changes<K: Ord + Copy>(
    counts: &BTreeMap<K, u64>,
    earlier: &BTreeMap<K, u64>,
) -> BTreeMap<K, u64> {
    let changed = |(key, count): &(&K, &u64)| earlier.get(*key) != Some(*count);
    counts.iter().filter(changed).map(|(key, count)| (*key, *count)).collect()
}

fn raise_all<K: Ord + Copy>(counts: &mut BTreeMap<K, u64>, later: &BTreeMap<K, u64>) {
    for (key, count) in later {
        let own = counts.entry(*key).or_default();
        *own = (*own).max(*count);
    }
}

fn raise_each(counts: &mut Vec<u64>, later: &[u64]) {
    if counts.len() < later.len() {
        counts.resize(later.len(), 0);
    }
    for (own, count) in counts.iter_mut().zip(later) {
        *own = (*own).max(*count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> RelayTally {
        RelayTally::unchanged(RelayId(1), "edge".parse().unwrap(), 1, 1)
    }

    #[test]
    fn what_is_left_out_stays_and_what_is_older_changes_nothing() {
        let mut sum = tally();
        let first = RelayTally {
            inside: Some(3),
            listened_ms: Some(500),
            joins: BTreeMap::from([(Way::Browser, 3)]),
            stayed: vec![2, 1],
            ..tally()
        };
        sum.update(first.clone());
        let later =
            RelayTally { joins: BTreeMap::from([(Way::Share, 1)]), stayed: vec![3], ..tally() };
        sum.update(later);
        assert_eq!(sum.joins, BTreeMap::from([(Way::Browser, 3), (Way::Share, 1)]));
        assert_eq!((sum.stayed.as_slice(), sum.inside), (&[3, 1][..], Some(3)));
        sum.update(RelayTally { inside: Some(1), listened_ms: Some(900), ..tally() });
        let before = sum.clone();
        sum.update(first);
        assert_eq!(sum, before);
    }
}

//! Counts of this relay in one run of a room, as the tally that it sends up: stays and ways of arrival, joins by share
//! link, reactions, messages, votes. Used by [`super::Edge`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tribune_protocol::domain::audience_text::QuestionId;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::share::Share;
use tribune_protocol::domain::way::Way;
use tribune_protocol::ids::{DisplayName, ParticipantId, RelayId};
use tribune_protocol::limits::{
    MAX_QUESTIONS_VOTED, MAX_SHARE_GENERATION, MAX_SHARES_COUNTED, STAY_PERIOD,
};
use tribune_protocol::statistics::tally::{RelayTally, ShareCount};

use super::stays::Stays;

/// Votes of persons that a relay remembers, so that nobody votes twice: a vote each of 100,000 listeners for ten
/// questions. Beyond it nobody votes.
const MAX_VOTES_REMEMBERED: usize = 1_000_000;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Counts {
    life: u64,
    run: u32,
    stays: Stays,
    joins: BTreeMap<Way, u64>,
    generations: Vec<u64>,
    shares: Vec<ShareCount>,
    reactions: BTreeMap<Reaction, u64>,
    texts: u64,
    votes: Votes,
    /// When lengths of stays were in a tally last: they change all the time, and are told as seldom as time is.
    lengths_at: Option<Instant>,
    /// Something has changed but the time, since the last [`Self::take_changed`].
    changed: bool,
}

/// Arrival of a participant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrival {
    /// Way, where it is not by a share link.
    pub(crate) way: Option<Way>,
    /// The share link, checked.
    pub(crate) share: Option<Share>,
    /// Time for which the stay has lasted elsewhere.
    pub(crate) stayed: Option<Duration>,
}

#[derive(Debug, Default)]
struct Votes {
    /// Votes in force, by question and the first half of the person's key.
    cast: BTreeSet<(QuestionId, u64)>,
    given: BTreeMap<QuestionId, u64>,
    withdrawn: BTreeMap<QuestionId, u64>,
}

impl Counts {
    /// No counts of a run. `life`: Unix time of now, in milliseconds.
    pub(crate) const fn new(now: Instant, life: u64, run: u32) -> Self {
        Self {
            life,
            run,
            stays: Stays::new(now),
            joins: BTreeMap::new(),
            generations: Vec::new(),
            shares: Vec::new(),
            reactions: BTreeMap::new(),
            texts: 0,
            votes: Votes {
                cast: BTreeSet::new(),
                given: BTreeMap::new(),
                withdrawn: BTreeMap::new(),
            },
            lengths_at: None,
            changed: false,
        }
    }

    /// When the counts began.
    pub(crate) const fn epoch(&self) -> Instant {
        self.stays.epoch()
    }

    /// The run that is counted.
    pub(crate) const fn run(&self) -> u32 {
        self.run
    }

    /// Somebody has come in.
    pub(crate) fn arrive(&mut self, now: Instant, who: ParticipantId, arrival: Arrival) {
        self.changed = true;
        let Arrival { way, share, stayed } = arrival;
        if !self.stays.begin(now, who, stayed) {
            return;
        }
        let way = if share.is_some() { Way::Share } else { way.unwrap_or(Way::Unknown) };
        *self.joins.entry(way).or_default() += 1;
        if let Some(share) = share {
            self.count_share(share);
        }
    }

    /// Somebody has left, or the connection is lost.
    pub(crate) fn leave(&mut self, now: Instant, who: ParticipantId, is_lost: bool) {
        self.changed = true;
        self.stays.end(now, who, is_lost);
    }

    /// Everybody has left: the run is over.
    pub(crate) fn leave_all(&mut self, now: Instant) {
        self.changed = true;
        self.lengths_at = None;
        self.stays.end_all(now);
    }

    /// A reaction of a participant here.
    pub(crate) fn react(&mut self, reaction: Reaction) {
        self.changed = true;
        *self.reactions.entry(reaction).or_default() += 1;
    }

    /// A message of a participant here.
    pub(crate) fn write(&mut self) {
        self.changed = true;
        self.texts += 1;
    }

    /// A vote of a participant here, given or taken back. Whether that changes anything.
    pub(crate) fn vote(&mut self, who: PersonKey, question: QuestionId, on: bool) -> bool {
        let is_change = self.votes.vote(who, question, on);
        self.changed |= is_change;
        is_change
    }

    /// Whether time changes the tally: somebody is inside, or may come back.
    pub(crate) fn runs_on(&self) -> bool {
        self.stays.inside() > 0 || self.stays.has_lost()
    }

    /// The whole tally is to be sent, for nobody knows it.
    pub(crate) const fn note_unsent(&mut self) {
        self.changed |= self.run != 0;
        self.lengths_at = None;
    }

    /// Life and number of messages: they make ids of messages.
    pub(crate) const fn text_seed(&self) -> (u64, u64) {
        (self.life, self.texts)
    }

    /// Whether something has changed but the time.
    pub(crate) const fn has_changed(&self) -> bool {
        self.changed
    }

    /// The whole tally up to now; changes from here on are new.
    pub(crate) fn tally(&mut self, now: Instant, relay: RelayId, name: DisplayName) -> RelayTally {
        self.changed = false;
        let listened = self.stays.listened(now).as_millis();
        let with_lengths = self.lengths_at.is_none_or(|at| now >= at + STAY_PERIOD);
        let (mut stayed, mut old_enough) = (Vec::new(), Vec::new());
        if with_lengths {
            self.lengths_at = Some(now);
            stayed = self.stays.reached(now).to_vec();
            old_enough = self.stays.old_enough(now).to_vec();
        }
        RelayTally {
            inside: Some(self.stays.inside()),
            listened_ms: Some(u64::try_from(listened).unwrap_or(u64::MAX)),
            gone: Some(self.stays.gone(now)),
            resumed: Some(self.stays.resumed()),
            joins: self.joins.clone(),
            stayed,
            old_enough,
            reactions: self.reactions.clone(),
            texts: Some(self.texts),
            votes: self.votes.given.clone(),
            withdrawn: self.votes.withdrawn.clone(),
            generations: self.generations.clone(),
            shares: self.shares.clone(),
            ..RelayTally::unchanged(relay, name, self.life, self.run)
        }
    }

    fn count_share(&mut self, share: Share) {
        let generation = usize::from(share.generation.clamp(1, MAX_SHARE_GENERATION));
        if self.generations.len() < generation {
            self.generations.resize(generation, 0);
        }
        self.generations[generation - 1] += 1;
        let found = self.shares.iter().position(|count| count.share.id == share.id);
        match found {
            Some(at) => self.shares[at].joins += 1,
            None if self.shares.len() < MAX_SHARES_COUNTED => {
                self.shares.push(ShareCount { share, joins: 1 });
            }
            // The link with the fewest joins makes room: it stays in the sums by generation.
            None => {
                if let Some(least) = self.shares.iter_mut().min_by_key(|count| count.joins) {
                    *least = ShareCount { share, joins: 1 };
                }
            }
        }
    }
}

impl Votes {
    fn vote(&mut self, who: PersonKey, question: QuestionId, on: bool) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = who.0;
        let vote = (question, u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        if !on {
            let is_change = self.cast.remove(&vote);
            if is_change {
                *self.withdrawn.entry(question).or_default() += 1;
            }
            return is_change;
        }
        if self.cast.len() >= MAX_VOTES_REMEMBERED || !self.cast.insert(vote) {
            return false;
        }
        if !self.given.contains_key(&question) && self.given.len() >= MAX_QUESTIONS_VOTED {
            self.forget_first();
        }
        *self.given.entry(question).or_default() += 1;
        true
    }

    /// Forgets the votes for the first question: of so many it has long been closed.
    fn forget_first(&mut self) {
        let Some((question, _)) = self.given.pop_first() else { return };
        self.withdrawn.remove(&question);
        self.cast = self.cast.split_off(&(QuestionId(question.0 + 1), 0));
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::domain::share::{ShareKey, ShareTag};
    use tribune_protocol::ids::Subject;
    use tribune_protocol::log::LogKey;

    use super::*;

    fn counts() -> Counts {
        Counts::new(Instant::now(), 1, 1)
    }

    fn tally(counts: &mut Counts) -> RelayTally {
        counts.tally(Instant::now(), RelayId(1), "edge".parse().unwrap())
    }

    fn share(who: u64) -> Share {
        let key = ShareKey::of(&LogKey::from_seed(&[7; 32]), &"stage".parse().unwrap());
        let sharer = Subject::guest(ParticipantId(who));
        Share::new(&key, &sharer, None, ShareTag::default())
    }

    #[test]
    fn a_person_votes_once_for_a_question() {
        let mut counts = counts();
        let (question, ada) = (QuestionId(1), PersonKey([1; 16]));
        assert!(counts.vote(ada, question, true));
        assert!(!counts.vote(ada, question, true), "a second vote");
        assert!(counts.vote(PersonKey([2; 16]), question, true));
        assert!(counts.vote(ada, question, false));
        assert!(!counts.vote(ada, question, false), "nothing to take back");
        let tally = tally(&mut counts);
        assert_eq!((tally.votes[&question], tally.withdrawn[&question]), (2, 1));
    }

    #[test]
    fn a_million_links_cost_what_256_do() {
        let mut counts = counts();
        let famous = share(u64::MAX);
        let now = Instant::now();
        for guest in 0..100_000 {
            let share = if guest % 10 == 0 { famous.clone() } else { share(guest) };
            let arrival = Arrival { share: Some(share), ..Arrival::default() };
            counts.arrive(now, ParticipantId(guest), arrival);
            counts.leave(now, ParticipantId(guest), false);
        }
        let tally = tally(&mut counts);
        assert_eq!(tally.shares.len(), MAX_SHARES_COUNTED);
        assert_eq!((tally.joins_by(famous.id), tally.generations[0]), (10_000, 100_000));
        assert_eq!(tally.joins, BTreeMap::from([(Way::Share, 100_000)]));
    }
}

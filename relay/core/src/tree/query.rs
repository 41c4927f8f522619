//! Queries about relays and listeners on their way along the tree: the asker, the relays still to
//! answer, and the answer so far. Pure; the hub asks and answers. SPEC.md section 8.21.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tribune_protocol::control::query::{TreeAnswer, TreeQuery};
use tribune_protocol::ids::{ParticipantId, RequestId};
use tribune_protocol::limits::MAX_RELAYS_SEEN;

use crate::messages::{LinkId, RoomId};
use crate::quality::worst_first;

/// Queries that a relay works on at the same time: some people's screens, and their tools.
const MAX_QUERIES: usize = 64;
/// Time for one level of the tree to answer. A child gets that much for each level from it down, so
/// that a relay next to a broken one answers before those above give it up.
const LEVEL_PATIENCE: Duration = Duration::from_millis(500);
/// Time for the root to answer: down a tree of eight levels and up again.
const ROOT_PATIENCE: Duration = Duration::from_secs(5);

/// Sender of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// Another relay, by its number of the query.
    Relay {
        /// The trunk.
        link: LinkId,
        /// Its number there.
        number: u32,
    },
    /// Somebody in a room of which this relay is the origin.
    Room {
        /// The room.
        room: RoomId,
        /// The participant.
        to: ParticipantId,
        /// Their request.
        request: Option<RequestId>,
    },
    /// An operator, over HTTP.
    Operator(Ticket),
}

/// Number of an operator's query, given by the HTTP side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A query that has been answered, as far as it will be.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its sender.
    pub asker: Asker,
    /// The query.
    pub about: TreeQuery,
    /// The answer.
    pub answer: TreeAnswer,
    /// It was for the root to answer, and the root has not.
    pub without_root: bool,
}

/// Relay that a query goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Askable {
    /// A child, with the levels from it down to its deepest leaf.
    Child(LinkId, u8),
    /// The parent, for the whole tree.
    Parent(LinkId),
}

/// All queries that are open.
#[derive(Debug, Default)]
pub struct TreeQueries {
    open: BTreeMap<u32, OpenQuery>,
    next: u32,
    done: VecDeque<Answered>,
}

#[derive(Debug)]
struct OpenQuery {
    asker: Asker,
    about: TreeQuery,
    answer: TreeAnswer,
    waiting: BTreeSet<(LinkId, Instant)>,
    asks_root: bool,
}

impl TreeQueries {
    /// Takes up a query that this relay answers by `own` and by the answers of others. Gives the number
    /// under which to ask them; `None` if there is nobody to ask, or too many queries are open: then the
    /// answer is there already.
    pub fn open(
        &mut self,
        now: Instant,
        asker: Asker,
        about: TreeQuery,
        own: TreeAnswer,
        others: &[Askable],
    ) -> Option<u32> {
        let mut query = OpenQuery {
            asker,
            about,
            answer: TreeAnswer::default(),
            waiting: BTreeSet::new(),
            asks_root: false,
        };
        if self.open.len() >= MAX_QUERIES {
            query.answer.missing = 1;
            self.done.push_back(query.finish());
            return None;
        }
        query.take(own);
        for other in others {
            match other {
                Askable::Child(link, height) => {
                    let patience = LEVEL_PATIENCE * u32::from((*height).max(1));
                    query.waiting.insert((*link, now + patience));
                }
                Askable::Parent(link) => {
                    query.asks_root = true;
                    query.waiting.insert((*link, now + ROOT_PATIENCE));
                }
            }
        }
        if query.waiting.is_empty() {
            self.done.push_back(query.finish());
            return None;
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(number, query);
        Some(number)
    }

    /// Part of an answer. One that nobody waits for is ignored.
    pub fn handle_answer(&mut self, link: LinkId, number: u32, answer: TreeAnswer, more: bool) {
        let Some(query) = self.open.get_mut(&number) else { return };
        let Some(waiting) = query.waiting.iter().find(|(from, _)| *from == link).copied() else {
            return;
        };
        query.take(answer);
        if !more {
            query.waiting.remove(&waiting);
            query.asks_root = false;
            self.finish_if_answered(number);
        }
    }

    /// A trunk is gone, and the answers over it with it.
    pub fn handle_lost(&mut self, link: LinkId) {
        self.give_up(|(from, _)| *from == link);
        self.open.retain(
            |_, query| !matches!(query.asker, Asker::Relay { link: asker, .. } if asker == link),
        );
    }

    /// Gives up what has been waited for long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.give_up(|(_, until)| *until <= now);
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().flat_map(|query| &query.waiting).map(|(_, until)| *until).min()
    }

    /// The next query that has been answered.
    pub fn poll_answered(&mut self) -> Option<Answered> {
        self.done.pop_front()
    }

    fn give_up(&mut self, is_late: impl Fn(&(LinkId, Instant)) -> bool) {
        for number in self.open.keys().copied().collect::<Vec<_>>() {
            let Some(query) = self.open.get_mut(&number) else { continue };
            let before = query.waiting.len();
            query.waiting.retain(|waiting| !is_late(waiting));
            let gone = u32::try_from(before - query.waiting.len()).unwrap_or(u32::MAX);
            query.answer.missing = query.answer.missing.saturating_add(gone);
            self.finish_if_answered(number);
        }
    }

    fn finish_if_answered(&mut self, number: u32) {
        if self.open.get(&number).is_some_and(|query| query.waiting.is_empty())
            && let Some(query) = self.open.remove(&number)
        {
            self.done.push_back(query.finish());
        }
    }
}

impl OpenQuery {
    fn take(&mut self, answer: TreeAnswer) {
        let TreeAnswer { relays, listeners, missing } = answer;
        let sum = &mut self.answer;
        let room = MAX_RELAYS_SEEN.saturating_sub(sum.relays.len());
        let beyond = u32::try_from(relays.len().saturating_sub(room)).unwrap_or(u32::MAX);
        sum.missing = sum.missing.saturating_add(missing).saturating_add(beyond);
        sum.relays.extend(relays.into_iter().take(room));
        sum.listeners.extend(listeners);
        sum.listeners = match &self.about {
            TreeQuery::Listeners { worst, by, .. } => {
                worst_first(std::mem::take(&mut sum.listeners), *by, usize::from(*worst))
            }
            // In two places at once, while they move: the report that is newer.
            TreeQuery::Listener { .. } => std::mem::take(&mut sum.listeners)
                .into_iter()
                .min_by_key(|l| l.age_ms)
                .into_iter()
                .collect(),
            TreeQuery::Relays {} | TreeQuery::Unknown => Vec::new(),
        };
    }

    fn finish(self) -> Answered {
        let Self { asker, about, answer, waiting: _, asks_root } = self;
        Answered { asker, about, answer, without_root: asks_root }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::domain::profile::Profile;
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::quality::report::{ListenerReport, Ranking, Report};

    use super::*;
    use crate::messages::ShardId;

    const ME: Asker = Asker::Operator(Ticket(1));

    fn link(slot: u32) -> LinkId {
        LinkId { shard: ShardId(0), slot, generation: slot }
    }

    fn about() -> TreeQuery {
        TreeQuery::Listeners { room: "stage".parse().unwrap(), worst: 2, by: Ranking::Lost }
    }

    fn answer(lost: &[u32]) -> TreeAnswer {
        let listener = |lost: &u32| ListenerReport {
            participant: ParticipantId((*lost).into()),
            name: "Ada".parse().unwrap(),
            role: Role::Listener,
            relay: "leaf".parse().unwrap(),
            profile: Profile::Live,
            age_ms: 0,
            report: Report { received: 100, lost: *lost, ..Report::default() },
        };
        TreeAnswer { listeners: lost.iter().map(listener).collect(), ..TreeAnswer::default() }
    }

    fn lost(answered: &Answered) -> Vec<u32> {
        answered.answer.listeners.iter().map(|listener| listener.report.lost).collect()
    }

    #[test]
    fn the_worst_of_all_parts_are_kept() {
        let now = Instant::now();
        let mut queries = TreeQueries::default();
        let children = [Askable::Child(link(1), 1), Askable::Child(link(2), 2)];
        let number = queries.open(now, ME, about(), answer(&[5, 1]), &children).unwrap();
        queries.handle_answer(link(1), number, answer(&[9, 3]), true);
        queries.handle_answer(link(3), number, answer(&[99]), false);
        queries.handle_answer(link(1), number, answer(&[4]), false);
        queries.handle_answer(link(1), number, answer(&[98]), false);
        assert_eq!(queries.poll_answered(), None);
        queries.handle_answer(link(2), number, answer(&[7]), false);
        let answered = queries.poll_answered().unwrap();
        assert_eq!((lost(&answered), answered.answer.missing), (vec![9, 7], 0));
    }

    #[test]
    fn who_does_not_answer_is_counted_and_not_waited_for() {
        let now = Instant::now();
        let mut queries = TreeQueries::default();
        let children = [Askable::Child(link(1), 1), Askable::Child(link(2), 3)];
        let number = queries.open(now, ME, about(), answer(&[5]), &children).unwrap();
        assert_eq!(queries.poll_timeout(), Some(now + LEVEL_PATIENCE));
        queries.handle_timeout(now + LEVEL_PATIENCE);
        assert_eq!(queries.poll_timeout(), Some(now + 3 * LEVEL_PATIENCE));
        queries.handle_lost(link(2));
        let answered = queries.poll_answered().unwrap();
        assert_eq!((lost(&answered), answered.answer.missing), (vec![5], 2));
        queries.handle_answer(link(2), number, answer(&[9]), false);
        assert_eq!(queries.poll_answered(), None);
    }

    #[test]
    fn a_root_that_is_silent_is_told_apart() {
        let now = Instant::now();
        let mut queries = TreeQueries::default();
        let parent = [Askable::Parent(link(1))];
        queries.open(now, ME, TreeQuery::Relays {}, TreeAnswer::default(), &parent).unwrap();
        queries.handle_timeout(now + ROOT_PATIENCE);
        assert!(queries.poll_answered().unwrap().without_root);
        let number =
            queries.open(now, ME, TreeQuery::Relays {}, TreeAnswer::default(), &parent).unwrap();
        queries.handle_answer(link(1), number, TreeAnswer::default(), false);
        assert!(!queries.poll_answered().unwrap().without_root);
    }

    #[test]
    fn questions_are_bounded_and_go_with_their_asker() {
        let now = Instant::now();
        let mut queries = TreeQueries::default();
        let child = [Askable::Child(link(1), 1)];
        for number in 0..MAX_QUERIES as u32 {
            let asker = Asker::Relay { link: link(2), number };
            assert!(queries.open(now, asker, about(), TreeAnswer::default(), &child).is_some());
        }
        assert_eq!(queries.open(now, ME, about(), answer(&[1]), &child), None);
        let answered = queries.poll_answered().unwrap();
        assert_eq!((lost(&answered), answered.answer.missing), (vec![], 1));
        queries.handle_lost(link(2));
        assert_eq!(queries.poll_timeout(), None);
        assert!(queries.open(now, ME, about(), TreeAnswer::default(), &child).is_some());
    }
}

//! Questions about relays and listeners on their way along the tree: who asked, who is still to answer,
//! and what has been seen so far. Pure; the hub asks and answers. SPEC.md section 8.21.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tribune_protocol::control::query::{TreeAnswer, TreeQuery};
use tribune_protocol::ids::{ParticipantId, RequestId};
use tribune_protocol::limits::MAX_RELAYS_SEEN;

use crate::messages::{LinkId, RoomId};
use crate::quality::worst_first;

/// Questions that a relay works on at the same time: some people's screens, and their tools.
const MAX_LOOKS: usize = 64;
/// How long one level of the tree may take to answer. A child gets that much for each level from it down,
/// so that a relay next to a broken one answers before those above give it up.
const LEVEL_PATIENCE: Duration = Duration::from_millis(500);
/// How long the root may take: down a tree of eight levels and up again.
const ROOT_PATIENCE: Duration = Duration::from_secs(5);

/// Who wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// Another relay, by its number of the question.
    Relay {
        /// The trunk.
        link: LinkId,
        /// Its number there.
        number: u32,
    },
    /// Somebody in a room of which this relay is the origin.
    Room {
        /// Which room.
        room: RoomId,
        /// Who.
        to: ParticipantId,
        /// Their request.
        request: Option<RequestId>,
    },
    /// An operator, over HTTP.
    Operator(Ticket),
}

/// An operator's question, numbered by whoever passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A question that has been answered, as far as it will be.
#[derive(Debug, PartialEq, Eq)]
pub struct Looked {
    /// Who wants to know.
    pub asker: Asker,
    /// What was asked.
    pub about: TreeQuery,
    /// What there is to see.
    pub sight: TreeAnswer,
    /// Whether it was for the root to answer, and the root has not.
    pub without_root: bool,
}

/// Whom a question goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Askable {
    /// A child, with the levels from it down to its deepest leaf.
    Child(LinkId, u8),
    /// The parent, for the whole tree.
    Parent(LinkId),
}

/// All questions that are open.
#[derive(Debug, Default)]
pub struct TreeQueries {
    open: BTreeMap<u32, Look>,
    next: u32,
    done: VecDeque<Looked>,
}

#[derive(Debug)]
struct Look {
    asker: Asker,
    about: TreeQuery,
    sight: TreeAnswer,
    waiting: BTreeSet<(LinkId, Instant)>,
    asks_root: bool,
}

impl TreeQueries {
    /// Takes up a question that this relay answers by `own` and by what others see. Gives the number under
    /// which to ask them; `None` if there is nobody to ask, or no room for the question: then the answer
    /// is there already.
    pub fn open(
        &mut self,
        now: Instant,
        asker: Asker,
        about: TreeQuery,
        own: TreeAnswer,
        others: &[Askable],
    ) -> Option<u32> {
        let mut look = Look {
            asker,
            about,
            sight: TreeAnswer::default(),
            waiting: BTreeSet::new(),
            asks_root: false,
        };
        if self.open.len() >= MAX_LOOKS {
            look.sight.missing = 1;
            self.done.push_back(look.finish());
            return None;
        }
        look.take(own);
        for other in others {
            match other {
                Askable::Child(link, height) => {
                    let patience = LEVEL_PATIENCE * u32::from((*height).max(1));
                    look.waiting.insert((*link, now + patience));
                }
                Askable::Parent(link) => {
                    look.asks_root = true;
                    look.waiting.insert((*link, now + ROOT_PATIENCE));
                }
            }
        }
        if look.waiting.is_empty() {
            self.done.push_back(look.finish());
            return None;
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(number, look);
        Some(number)
    }

    /// A part of an answer. One that nobody waits for is passed over.
    pub fn handle_seen(&mut self, link: LinkId, number: u32, sight: TreeAnswer, more: bool) {
        let Some(look) = self.open.get_mut(&number) else { return };
        let Some(waiting) = look.waiting.iter().find(|(from, _)| *from == link).copied() else {
            return;
        };
        look.take(sight);
        if !more {
            look.waiting.remove(&waiting);
            look.asks_root = false;
            self.finish_if_answered(number);
        }
    }

    /// A trunk is gone, and with it what was to come over it.
    pub fn handle_lost(&mut self, link: LinkId) {
        self.give_up(|(from, _)| *from == link);
        self.open.retain(
            |_, look| !matches!(look.asker, Asker::Relay { link: asker, .. } if asker == link),
        );
    }

    /// What has been waited for long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.give_up(|(_, until)| *until <= now);
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.open.values().flat_map(|look| &look.waiting).map(|(_, until)| *until).min()
    }

    /// The next question that has been answered.
    pub fn poll_looked(&mut self) -> Option<Looked> {
        self.done.pop_front()
    }

    fn give_up(&mut self, is_late: impl Fn(&(LinkId, Instant)) -> bool) {
        for number in self.open.keys().copied().collect::<Vec<_>>() {
            let Some(look) = self.open.get_mut(&number) else { continue };
            let before = look.waiting.len();
            look.waiting.retain(|waiting| !is_late(waiting));
            let gone = u32::try_from(before - look.waiting.len()).unwrap_or(u32::MAX);
            look.sight.missing = look.sight.missing.saturating_add(gone);
            self.finish_if_answered(number);
        }
    }

    fn finish_if_answered(&mut self, number: u32) {
        if self.open.get(&number).is_some_and(|look| look.waiting.is_empty())
            && let Some(look) = self.open.remove(&number)
        {
            self.done.push_back(look.finish());
        }
    }
}

impl Look {
    fn take(&mut self, sight: TreeAnswer) {
        let TreeAnswer { relays, listeners, missing } = sight;
        let seen = &mut self.sight;
        let room = MAX_RELAYS_SEEN.saturating_sub(seen.relays.len());
        let beyond = u32::try_from(relays.len().saturating_sub(room)).unwrap_or(u32::MAX);
        seen.missing = seen.missing.saturating_add(missing).saturating_add(beyond);
        seen.relays.extend(relays.into_iter().take(room));
        seen.listeners.extend(listeners);
        seen.listeners = match &self.about {
            TreeQuery::Listeners { worst, by, .. } => {
                worst_first(std::mem::take(&mut seen.listeners), *by, usize::from(*worst))
            }
            // In two places at once, while they move: the report that is newer.
            TreeQuery::Listener { .. } => std::mem::take(&mut seen.listeners)
                .into_iter()
                .min_by_key(|l| l.age_ms)
                .into_iter()
                .collect(),
            TreeQuery::Relays {} | TreeQuery::Unknown => Vec::new(),
        };
    }

    fn finish(self) -> Looked {
        let Self { asker, about, sight, waiting: _, asks_root } = self;
        Looked { asker, about, sight, without_root: asks_root }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::domain::room::Role;
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

    fn sight(lost: &[u32]) -> TreeAnswer {
        let listener = |lost: &u32| ListenerReport {
            participant: ParticipantId((*lost).into()),
            name: "Ada".parse().unwrap(),
            role: Role::Listener,
            relay: "leaf".parse().unwrap(),
            age_ms: 0,
            report: Report { received: 100, lost: *lost, ..Report::default() },
        };
        TreeAnswer { listeners: lost.iter().map(listener).collect(), ..TreeAnswer::default() }
    }

    fn lost(looked: &Looked) -> Vec<u32> {
        looked.sight.listeners.iter().map(|listener| listener.report.lost).collect()
    }

    #[test]
    fn the_worst_of_all_parts_are_kept() {
        let now = Instant::now();
        let mut looks = TreeQueries::default();
        let children = [Askable::Child(link(1), 1), Askable::Child(link(2), 2)];
        let number = looks.open(now, ME, about(), sight(&[5, 1]), &children).unwrap();
        looks.handle_seen(link(1), number, sight(&[9, 3]), true);
        looks.handle_seen(link(3), number, sight(&[99]), false);
        looks.handle_seen(link(1), number, sight(&[4]), false);
        looks.handle_seen(link(1), number, sight(&[98]), false);
        assert_eq!(looks.poll_looked(), None);
        looks.handle_seen(link(2), number, sight(&[7]), false);
        let looked = looks.poll_looked().unwrap();
        assert_eq!((lost(&looked), looked.sight.missing), (vec![9, 7], 0));
    }

    #[test]
    fn who_does_not_answer_is_counted_and_not_waited_for() {
        let now = Instant::now();
        let mut looks = TreeQueries::default();
        let children = [Askable::Child(link(1), 1), Askable::Child(link(2), 3)];
        let number = looks.open(now, ME, about(), sight(&[5]), &children).unwrap();
        assert_eq!(looks.poll_timeout(), Some(now + LEVEL_PATIENCE));
        looks.handle_timeout(now + LEVEL_PATIENCE);
        assert_eq!(looks.poll_timeout(), Some(now + 3 * LEVEL_PATIENCE));
        looks.handle_lost(link(2));
        let looked = looks.poll_looked().unwrap();
        assert_eq!((lost(&looked), looked.sight.missing), (vec![5], 2));
        looks.handle_seen(link(2), number, sight(&[9]), false);
        assert_eq!(looks.poll_looked(), None);
    }

    #[test]
    fn a_root_that_is_silent_is_told_apart() {
        let now = Instant::now();
        let mut looks = TreeQueries::default();
        let parent = [Askable::Parent(link(1))];
        looks.open(now, ME, TreeQuery::Relays {}, TreeAnswer::default(), &parent).unwrap();
        looks.handle_timeout(now + ROOT_PATIENCE);
        assert!(looks.poll_looked().unwrap().without_root);
        let number =
            looks.open(now, ME, TreeQuery::Relays {}, TreeAnswer::default(), &parent).unwrap();
        looks.handle_seen(link(1), number, TreeAnswer::default(), false);
        assert!(!looks.poll_looked().unwrap().without_root);
    }

    #[test]
    fn questions_are_bounded_and_go_with_their_asker() {
        let now = Instant::now();
        let mut looks = TreeQueries::default();
        let child = [Askable::Child(link(1), 1)];
        for number in 0..MAX_LOOKS as u32 {
            let asker = Asker::Relay { link: link(2), number };
            assert!(looks.open(now, asker, about(), TreeAnswer::default(), &child).is_some());
        }
        assert_eq!(looks.open(now, ME, about(), sight(&[1]), &child), None);
        let looked = looks.poll_looked().unwrap();
        assert_eq!((lost(&looked), looked.sight.missing), (vec![], 1));
        looks.handle_lost(link(2));
        assert_eq!(looks.poll_timeout(), None);
        assert!(looks.open(now, ME, about(), TreeAnswer::default(), &child).is_some());
    }
}

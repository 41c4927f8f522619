//! Requests of this relay's participants that are on their way to the origin. Used by
//! [`crate::room::Room`].
//!
//! A participant may come in again, here or at another relay, while an answer to its old connection
//! is on its way, and both connections count their requests from 1. On the trunk each request
//! therefore bears a number of this relay, by which its answer finds the connection that asked, or
//! nobody. What is not answered when the way to the origin is lost is answered here.

use std::collections::{BTreeMap, BTreeSet};

use tribune_protocol::ids::{ParticipantId, RequestId};

use crate::messages::LinkId;

/// Requests of one room on one relay at the same time. An origin that is there answers within a
/// second or two, so these are a hundred participants who ask as fast as their edge lets them.
const MAX_OPEN: usize = 1_000;

/// A request that has not been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::room) struct Open {
    pub(in crate::room) who: ParticipantId,
    pub(in crate::room) link: LinkId,
    pub(in crate::room) asked: Asked,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::room) enum Asked {
    /// To come in; the join itself is kept with the member.
    Join,
    /// Something else, under the participant's own number.
    Other(RequestId),
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::room) struct Requests {
    next: u32,
    open: BTreeMap<RequestId, Open>,
    /// Those that went to a parent that is about to be let go of.
    aged: BTreeSet<RequestId>,
}

impl Requests {
    /// Counts from there. Two relays that begin far apart do not take each other's answers.
    pub(in crate::room) const fn count_from(&mut self, first: u32) {
        self.next = first;
    }

    /// Numbers a request; `None` if too many wait.
    pub(in crate::room) fn open(&mut self, open: Open) -> Option<RequestId> {
        if self.open.len() >= MAX_OPEN {
            return None;
        }
        let number = RequestId(self.next);
        self.next = self.next.wrapping_add(1);
        self.open.insert(number, open);
        Some(number)
    }

    /// There is another way to the origin beside the one that all of these went. Joins go the new one.
    pub(in crate::room) fn age(&mut self) {
        self.open.retain(|_, open| open.asked != Asked::Join);
        self.aged = self.open.keys().copied().collect();
    }

    /// As [`Self::lose`], for those that went the old way before [`Self::age`].
    pub(in crate::room) fn lose_aged(&mut self) -> Vec<(LinkId, RequestId)> {
        let aged = std::mem::take(&mut self.aged);
        let lost = aged.iter().filter_map(|number| self.open.remove(number));
        lost.filter_map(Open::waits).collect()
    }

    /// The request that an answer with that number belongs to, if it waits.
    pub(in crate::room) fn close(&mut self, number: RequestId) -> Option<Open> {
        self.open.remove(&number)
    }

    /// A connection is gone, and waits for nothing any more.
    pub(in crate::room) fn forget(&mut self, link: LinkId) {
        self.open.retain(|_, open| open.link != link);
    }

    /// The way to the origin is lost, and the answers with it. Joins are asked again.
    pub(in crate::room) fn lose(&mut self) -> impl Iterator<Item = (LinkId, RequestId)> + use<> {
        std::mem::take(&mut self.open).into_values().filter_map(Open::waits)
    }
}

impl Open {
    /// Who waits for the answer, if it cannot be had by asking again.
    const fn waits(self) -> Option<(LinkId, RequestId)> {
        match self.asked {
            Asked::Join => None,
            Asked::Other(request) => Some((self.link, request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::ShardId;

    fn open(slot: u32, asked: Asked) -> Open {
        let link = LinkId { shard: ShardId(0), slot, generation: 1 };
        Open { who: ParticipantId(1), link, asked }
    }

    #[test]
    fn an_answer_finds_its_request_once_and_no_other() {
        let mut requests = Requests::default();
        requests.count_from(u32::MAX);
        let join = requests.open(open(1, Asked::Join)).unwrap();
        let other = requests.open(open(2, Asked::Other(RequestId(1)))).unwrap();
        assert_eq!((join, other), (RequestId(u32::MAX), RequestId(0)));
        assert_eq!(requests.close(RequestId(1)), None);
        assert_eq!(requests.close(other), Some(open(2, Asked::Other(RequestId(1)))));
        assert_eq!(requests.close(other), None);
        requests.forget(open(1, Asked::Join).link);
        assert_eq!(requests.close(join), None);
    }

    #[test]
    fn what_is_lost_is_named_and_what_is_too_much_is_not_taken() {
        let mut requests = Requests::default();
        for request in 1..=MAX_OPEN as u32 {
            assert!(requests.open(open(request, Asked::Other(RequestId(request)))).is_some());
        }
        assert_eq!(requests.open(open(1, Asked::Join)), None);
        assert_eq!(requests.lose().count(), MAX_OPEN);
        assert!(requests.open(open(1, Asked::Join)).is_some());
        assert_eq!(requests.lose().count(), 0, "a join is asked again");
    }

    #[test]
    fn what_went_the_old_way_is_lost_with_it_unless_it_is_answered() {
        let mut requests = Requests::default();
        let [answered, waiting] =
            [1, 2].map(|n| requests.open(open(n, Asked::Other(RequestId(n)))).unwrap());
        let join = requests.open(open(3, Asked::Join)).unwrap();
        requests.age();
        assert_eq!(requests.close(join), None, "a join is asked again");
        let newer = requests.open(open(4, Asked::Other(RequestId(4)))).unwrap();
        assert!(requests.close(answered).is_some(), "an answer comes by either way");
        assert_eq!(requests.lose_aged(), [(open(2, Asked::Join).link, RequestId(2))]);
        assert_eq!(requests.close(waiting), None);
        assert!(requests.close(newer).is_some());
    }
}

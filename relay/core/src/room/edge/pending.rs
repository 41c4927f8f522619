//! Pending requests: sent to the origin by participants of this relay, and not answered yet.
//!
//! A participant may come in again, here or at another relay, while an answer to its old connection
//! is on its way, and both connections count their requests from 1. On the trunk each request
//! therefore bears a number of this relay, by which its answer finds the connection that asked, or
//! nobody. Requests without an answer when the way to the origin is lost are answered here.

use std::collections::{BTreeMap, BTreeSet};

use tribune_protocol::ids::{ParticipantId, RequestId};

use crate::messages::LinkId;

/// Pending requests of one room on one relay. An origin that is there answers within a
/// second or two, so these are a hundred participants who ask as fast as their edge lets them.
const MAX_OPEN: usize = 1_000;

/// A request without an answer as yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PendingRequest {
    pub(crate) who: ParticipantId,
    pub(crate) link: LinkId,
    pub(crate) asked: Asked,
}

/// Kind of a pending request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A join; its details are kept with the member.
    Join,
    /// Another request, under the participant's own number.
    Other(RequestId),
}

/// All pending requests, by their number on the trunk.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    next: u32,
    open: BTreeMap<RequestId, PendingRequest>,
    /// Sent to a parent that is about to be left.
    aged: BTreeSet<RequestId>,
}

impl Pending {
    /// Sets the next number. Relays that begin far apart do not take each other's answers.
    pub(crate) const fn count_from(&mut self, first: u32) {
        self.next = first;
    }

    /// Numbers a request; `None` if too many wait.
    pub(crate) fn open(&mut self, open: PendingRequest) -> Option<RequestId> {
        if self.open.len() >= MAX_OPEN {
            return None;
        }
        let number = RequestId(self.next);
        self.next = self.next.wrapping_add(1);
        self.open.insert(number, open);
        Some(number)
    }

    /// Another way to the origin is there beside the one that all of these went. Joins go the new way.
    pub(crate) fn age(&mut self) {
        self.open.retain(|_, open| open.asked != Asked::Join);
        self.aged = self.open.keys().copied().collect();
    }

    /// As [`Self::lose`], for those that went the old way before [`Self::age`].
    pub(crate) fn lose_aged(&mut self) -> Vec<(LinkId, RequestId)> {
        let aged = std::mem::take(&mut self.aged);
        let lost = aged.iter().filter_map(|number| self.open.remove(number));
        lost.filter_map(PendingRequest::waits).collect()
    }

    /// The request that an answer with that number belongs to, if it waits.
    pub(crate) fn close(&mut self, number: RequestId) -> Option<PendingRequest> {
        self.open.remove(&number)
    }

    /// A connection is gone, and waits for nothing any more.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.open.retain(|_, open| open.link != link);
    }

    /// The way to the origin is lost, and the answers with it. Gives the requests to be refused; joins
    /// are asked again.
    pub(crate) fn lose(&mut self) -> impl Iterator<Item = (LinkId, RequestId)> + use<> {
        std::mem::take(&mut self.open).into_values().filter_map(PendingRequest::waits)
    }
}

impl PendingRequest {
    /// Connection that waits for the answer, if it cannot be had by asking again.
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

    fn open(slot: u32, asked: Asked) -> PendingRequest {
        let link = LinkId { shard: ShardId(0), slot, generation: 1 };
        PendingRequest { who: ParticipantId(1), link, asked }
    }

    #[test]
    fn an_answer_finds_its_request_once_and_no_other() {
        let mut pending = Pending::default();
        pending.count_from(u32::MAX);
        let join = pending.open(open(1, Asked::Join)).unwrap();
        let other = pending.open(open(2, Asked::Other(RequestId(1)))).unwrap();
        assert_eq!((join, other), (RequestId(u32::MAX), RequestId(0)));
        assert_eq!(pending.close(RequestId(1)), None);
        assert_eq!(pending.close(other), Some(open(2, Asked::Other(RequestId(1)))));
        assert_eq!(pending.close(other), None);
        pending.forget(open(1, Asked::Join).link);
        assert_eq!(pending.close(join), None);
    }

    #[test]
    fn what_is_lost_is_named_and_what_is_too_much_is_not_taken() {
        let mut pending = Pending::default();
        for request in 1..=MAX_OPEN as u32 {
            assert!(pending.open(open(request, Asked::Other(RequestId(request)))).is_some());
        }
        assert_eq!(pending.open(open(1, Asked::Join)), None);
        assert_eq!(pending.lose().count(), MAX_OPEN);
        assert!(pending.open(open(1, Asked::Join)).is_some());
        assert_eq!(pending.lose().count(), 0, "a join is asked again");
    }

    #[test]
    fn what_went_the_old_way_is_lost_with_it_unless_it_is_answered() {
        let mut pending = Pending::default();
        let [answered, waiting] =
            [1, 2].map(|n| pending.open(open(n, Asked::Other(RequestId(n)))).unwrap());
        let join = pending.open(open(3, Asked::Join)).unwrap();
        pending.age();
        assert_eq!(pending.close(join), None, "a join is asked again");
        let newer = pending.open(open(4, Asked::Other(RequestId(4)))).unwrap();
        assert!(pending.close(answered).is_some(), "an answer comes by either way");
        assert_eq!(pending.lose_aged(), [(open(2, Asked::Join).link, RequestId(2))]);
        assert_eq!(pending.close(waiting), None);
        assert!(pending.close(newer).is_some());
    }
}

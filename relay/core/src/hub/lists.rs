//! Lists of public rooms: asked of any relay, answered by the origin. Questions go up a trunk in order
//! and their answers come down in the same, so that nothing has to be numbered.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use tribune_protocol::codes::{CloseCode, ErrorCode};
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::domain::room::Listing;
use tribune_protocol::ids::{RequestId, RoomName};
use tribune_protocol::limits::MAX_ROOMS_A_MESSAGE;

use super::Hub;
use super::participants::Sender;
use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::room::edge::refusal::unavailable;

/// Questions that are under way on one trunk at the same time; as many of this relay's participants
/// wait besides. More of them are refused as `overloaded`, and a child that asks more is none to talk
/// to.
const MAX_QUESTIONS: usize = 64;
/// Bytes of rooms in one answer: what is left of 16 KiB beside the envelope.
const PAGE_BYTES: usize = 15 * 1024;
/// Bytes of a room in a list without its texts.
const LISTING_BYTES: usize = 64;
/// How long a participant waits for a list.
const LIST_PATIENCE: Duration = Duration::from_secs(5);

/// Questions that the parent has not answered, and the public rooms of an origin.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// In order. The first `asked` are under way.
    waiting: VecDeque<Question>,
    asked: usize,
    listed: BTreeSet<RoomName>,
}

#[derive(Debug)]
struct Question {
    asker: Asker,
    after: Option<RoomName>,
    until: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Participant {
        link: LinkId,
        request: Option<RequestId>,
    },
    Child(LinkId),
    /// Nobody waits any more; the answer comes all the same.
    Nobody,
}

impl Lists {
    pub(super) fn note(&mut self, room: RoomName, is_listed: bool) {
        if is_listed {
            self.listed.insert(room);
        } else {
            self.listed.remove(&room);
        }
    }

    /// When the first participant gives up.
    pub(super) fn due(&self) -> Option<Instant> {
        let waits = |question: &&Question| matches!(question.asker, Asker::Participant { .. });
        self.waiting.iter().find(waits).map(|question| question.until)
    }

    fn count(&self, is: impl Fn(Asker) -> bool) -> usize {
        self.waiting.iter().filter(|question| is(question.asker)).count()
    }

    /// Asks the parent, as far as the trunk takes it.
    fn ask(&mut self, out: &mut Outbox) {
        while out.parent().is_some() && self.asked < MAX_QUESTIONS {
            let Some(question) = self.waiting.get(self.asked) else { return };
            out.to_parent(&ToParent::ListRooms { after: question.after.clone() });
            self.asked += 1;
        }
    }
}

impl Hub {
    /// A participant wants a list.
    pub(super) fn handle_list(&mut self, now: Instant, from: Sender, after: Option<RoomName>) {
        if self.attach.is_origin() {
            let (rooms, more) = self.list(after);
            return self.out.to_participant(
                from.link,
                from.request,
                &ToParticipant::Rooms { rooms, more },
            );
        }
        if self.lists.count(|asker| matches!(asker, Asker::Participant { .. })) >= MAX_QUESTIONS {
            let text = format!("{MAX_QUESTIONS} lists of rooms are under way at this relay.");
            let answer = ToParticipant::Err { code: ErrorCode::Overloaded, message: text };
            return self.out.to_participant(from.link, from.request, &answer);
        }
        let asker = Asker::Participant { link: from.link, request: from.request };
        self.lists.waiting.push_back(Question { asker, after, until: now + LIST_PATIENCE });
        self.lists.ask(&mut self.out);
    }

    /// A child wants a list.
    pub(super) fn handle_list_below(
        &mut self,
        now: Instant,
        link: LinkId,
        after: Option<RoomName>,
    ) {
        if self.children.get(link).is_none() {
            return;
        }
        if self.attach.is_origin() {
            let (rooms, more) = self.list(after);
            return self.out.to_child(link, &ToChild::Rooms { rooms, more });
        }
        if self.lists.count(|asker| asker == Asker::Child(link)) >= MAX_QUESTIONS {
            let text = "more lists of rooms at the same time than a trunk takes";
            self.out.close(link, CloseCode::ProtocolViolation, text);
            return self.drop_child(now, link);
        }
        let asker = Asker::Child(link);
        self.lists.waiting.push_back(Question { asker, after, until: now + LIST_PATIENCE });
        self.lists.ask(&mut self.out);
    }

    /// The parent answers the first question that is under way.
    pub(super) fn handle_rooms(&mut self, rooms: Vec<Listing>, more: bool) {
        if self.lists.asked == 0 {
            return;
        }
        self.lists.asked -= 1;
        match self.lists.waiting.pop_front().map(|question| question.asker) {
            Some(Asker::Participant { link, request }) => {
                let message = ToParticipant::Rooms { rooms, more };
                self.out.to_participant(link, request, &message);
            }
            Some(Asker::Child(link)) => self.out.to_child(link, &ToChild::Rooms { rooms, more }),
            Some(Asker::Nobody) | None => {}
        }
        self.lists.ask(&mut self.out);
    }

    /// The trunk to the parent is new: all questions are asked again.
    pub(super) fn ask_lists_again(&mut self) {
        self.lists.waiting.retain(|question| question.asker != Asker::Nobody);
        self.lists.asked = 0;
        self.lists.ask(&mut self.out);
    }

    /// A child is gone, and its questions with it.
    pub(super) fn forget_lists(&mut self, child: LinkId) {
        for question in &mut self.lists.waiting {
            if question.asker == Asker::Child(child) {
                question.asker = Asker::Nobody;
            }
        }
    }

    /// Tells participants who have waited too long.
    pub(super) fn give_up_lists(&mut self, now: Instant) {
        for question in &mut self.lists.waiting {
            if let Asker::Participant { link, request } = question.asker
                && question.until <= now
            {
                question.asker = Asker::Nobody;
                self.out.to_participant(link, request, &unavailable());
            }
        }
    }

    /// Public rooms of this origin behind that name, and whether there are more.
    fn list(&self, after: Option<RoomName>) -> (Vec<Listing>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut rooms, mut bytes) = (Vec::new(), 0);
        for name in self.lists.listed.range((from, Bound::Unbounded)) {
            let Some(listing) = self.room(name).and_then(crate::room::Room::listing) else {
                continue;
            };
            bytes += LISTING_BYTES + listing.room.as_str().len() + listing.title.as_str().len();
            if rooms.len() == MAX_ROOMS_A_MESSAGE || bytes > PAGE_BYTES {
                return (rooms, true);
            }
            rooms.push(listing);
        }
        (rooms, false)
    }
}

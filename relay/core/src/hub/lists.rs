//! Lists of public rooms: asked of any relay, answered by the origin. Questions go up a trunk in order
//! and their answers come down in the same, so that nothing has to be numbered.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use tribune_protocol::codes::ErrorCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::domain::room::Listing;
use tribune_protocol::ids::{RequestId, RoomName};
use tribune_protocol::limits::MAX_ROOMS_A_MESSAGE;

use super::rooms::Rooms;
use crate::messages::LinkId;
use crate::outbox::Outbox;
use crate::room::Room;
use crate::room::edge::refusal::{Refusal, unavailable};

/// Questions under way on one trunk; as many of this relay's participants wait besides. More of them
/// are refused as `overloaded`, and a child that asks more is closed.
const MAX_QUESTIONS: usize = 64;
/// Bytes of rooms in one answer: the rest of 16 KiB beside the envelope.
const PAGE_BYTES: usize = 15 * 1024;
/// Bytes of a room in a list without its texts.
const LISTING_BYTES: usize = 96;
/// Time for which a participant waits for a list.
const LIST_PATIENCE: Duration = Duration::from_secs(5);

/// Questions that the parent has not answered, and the public rooms of an origin.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// In order. The first `asked` are under way.
    waiting: VecDeque<Question>,
    asked: usize,
    listed: BTreeSet<RoomName>,
}

/// A child asks for more lists at the same time than a trunk takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyQuestions;

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
    /// Notes whether a room of this origin is public.
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

    /// A participant asks for a list that the origin has to answer.
    pub(super) fn ask_for_participant(
        &mut self,
        now: Instant,
        link: LinkId,
        request: Option<RequestId>,
        after: Option<RoomName>,
        out: &mut Outbox,
    ) {
        if self.count(|asker| matches!(asker, Asker::Participant { .. })) >= MAX_QUESTIONS {
            let text = format!("{MAX_QUESTIONS} lists of rooms are under way at this relay.");
            let refusal = Refusal::new(ErrorCode::Overloaded, text);
            return out.to_participant(link, request, &refusal.message());
        }
        self.push(now, Asker::Participant { link, request }, after, out);
    }

    /// A child asks for a list that the origin has to answer.
    ///
    /// # Errors
    /// [`TooManyQuestions`].
    pub(super) fn ask_for_child(
        &mut self,
        now: Instant,
        link: LinkId,
        after: Option<RoomName>,
        out: &mut Outbox,
    ) -> Result<(), TooManyQuestions> {
        if self.count(|asker| asker == Asker::Child(link)) >= MAX_QUESTIONS {
            return Err(TooManyQuestions);
        }
        self.push(now, Asker::Child(link), after, out);
        Ok(())
    }

    /// The parent answers the first question that is under way.
    pub(super) fn handle_answer(&mut self, rooms: Vec<Listing>, more: bool, out: &mut Outbox) {
        if self.asked == 0 {
            return;
        }
        self.asked -= 1;
        match self.waiting.pop_front().map(|question| question.asker) {
            Some(Asker::Participant { link, request }) => {
                let message = ToParticipant::Rooms { rooms, more };
                out.to_participant(link, request, &message);
            }
            Some(Asker::Child(link)) => out.to_child(link, &ToChild::Rooms { rooms, more }),
            Some(Asker::Nobody) | None => {}
        }
        self.ask(out);
    }

    /// The trunk to the parent is new: all questions are asked again.
    pub(super) fn ask_again(&mut self, out: &mut Outbox) {
        self.waiting.retain(|question| question.asker != Asker::Nobody);
        self.asked = 0;
        self.ask(out);
    }

    /// A child is gone, and its questions with it.
    pub(super) fn forget_child(&mut self, child: LinkId) {
        for question in &mut self.waiting {
            if question.asker == Asker::Child(child) {
                question.asker = Asker::Nobody;
            }
        }
    }

    /// Refuses participants who have waited too long.
    pub(super) fn give_up(&mut self, now: Instant, out: &mut Outbox) {
        for question in &mut self.waiting {
            if let Asker::Participant { link, request } = question.asker
                && question.until <= now
            {
                question.asker = Asker::Nobody;
                out.to_participant(link, request, &unavailable());
            }
        }
    }

    /// Public rooms of this origin behind that name, and whether there are more.
    pub(super) fn page(&self, rooms: &Rooms, after: Option<RoomName>) -> (Vec<Listing>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut page, mut bytes) = (Vec::new(), 0);
        for name in self.listed.range((from, Bound::Unbounded)) {
            let Some(listing) = rooms.named(name).and_then(Room::listing) else { continue };
            let host = listing.host.as_ref().map_or(0, |host| host.as_str().len());
            let texts = listing.room.as_str().len() + listing.title.as_str().len() + host;
            bytes += LISTING_BYTES + texts;
            if page.len() == MAX_ROOMS_A_MESSAGE || bytes > PAGE_BYTES {
                return (page, true);
            }
            page.push(listing);
        }
        (page, false)
    }

    fn count(&self, is: impl Fn(Asker) -> bool) -> usize {
        self.waiting.iter().filter(|question| is(question.asker)).count()
    }

    fn push(&mut self, now: Instant, asker: Asker, after: Option<RoomName>, out: &mut Outbox) {
        self.waiting.push_back(Question { asker, after, until: now + LIST_PATIENCE });
        self.ask(out);
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

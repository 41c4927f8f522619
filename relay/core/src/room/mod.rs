//! One room on one relay. Pure; the hub calls it, and its effects go into the [`Outbox`].
//!
//! Three wings, which know nothing of each other:
//!
//! * [`authority`] — decisions, taken at the origin alone
//! * [`replica`] — copy of the room that every relay holds: state, confirmation, rulings, routes, counts
//! * [`edge`] — participants connected to this relay: joins, requests, rights, tokens
//!
//! [`Room`] joins them: constructors and clock are here, the ways up and down the tree in `routing`, participants'
//! joins, requests and departures in `lifecycle`, counts in [`counting`] and `audience`. The edge reads the replica
//! through a [`view`]; both compute with [`person_rulings`]. [`names`] and [`context`] are shared by all.

mod audience;
pub mod authority;
pub mod context;
pub(crate) mod counting;
pub mod edge;
mod effects;
mod lifecycle;
pub mod names;
pub(crate) mod person_rulings;
mod persons;
pub mod replica;
mod routing;
#[cfg(test)]
mod tests;
mod tokens;
pub(crate) mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::query::{TreeAnswer, TreeQuery};
use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::domain::room::{Listing, Phase, RoomState};
use tribune_protocol::ids::{Channel, DisplayName, ParticipantId, Revision, RoomName};
use tribune_protocol::limits::MAX_LISTENERS_A_MESSAGE;
use tribune_protocol::quality::QualitySummary;

use self::authority::commit::{Authority, Kept};
use self::context::RoomContext;
use self::counting::Counting;
use self::edge::Edge;
pub use self::effects::RoomReply;
use self::replica::{Replica, StageHere};
use self::view::RoomView;
use crate::messages::{LinkId, RoomId};
use crate::outbox::Outbox;

/// Time for which a relay keeps a room that nobody here or below wants, so that one listener's
/// reconnect does not take it down and up again.
pub const IDLE_LINGER: Duration = Duration::from_secs(10);
/// Time for which a room that is over waits for the last counts of its relays below.
const CLOSING_PATIENCE: Duration = Duration::from_secs(3);

/// A room on this relay.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    context: Arc<RoomContext>,
    /// At the origin alone.
    authority: Option<Box<Authority>>,
    replica: Replica,
    edge: Edge,
    idle_since: Option<Instant>,
    /// Until when a room that is over waits for the counts of its relays below.
    closing: Option<Instant>,
}

impl Room {
    /// The room at its origin, with its authority's state.
    #[must_use]
    pub fn origin(
        id: RoomId,
        authority: Authority,
        context: Arc<RoomContext>,
        now: Instant,
        out: &mut Outbox,
    ) -> Self {
        let (state, revision) = (authority.state().clone(), authority.revision());
        let replica = Replica::at_origin(id, state, revision, now);
        let mut room = Self::new(id, Some(Box::new(authority)), replica, context, now);
        room.relist(out);
        effects::carry_out(&mut room, now, out);
        room
    }

    /// The room on another relay; [`Self::attach_parent`] comes next, as soon as there is a parent.
    #[must_use]
    pub fn below(id: RoomId, name: RoomName, context: Arc<RoomContext>, now: Instant) -> Self {
        let replica = Replica::below(id, RoomState::absent(name), now);
        Self::new(id, None, replica, context, now)
    }

    fn new(
        id: RoomId,
        authority: Option<Box<Authority>>,
        replica: Replica,
        context: Arc<RoomContext>,
        now: Instant,
    ) -> Self {
        Self {
            id,
            context,
            authority,
            replica,
            edge: Edge::new(now),
            idle_since: Some(now),
            closing: None,
        }
    }

    /// Numbers the requests that go to the origin from there on; far from where other relays begin.
    pub const fn number_requests_from(&mut self, first: u32) {
        self.edge.number_requests_from(first);
    }

    /// The room's name.
    #[must_use]
    pub const fn name(&self) -> &RoomName {
        &self.replica.state().room
    }

    /// State in force here.
    #[must_use]
    pub const fn state(&self) -> &RoomState {
        self.replica.state()
    }

    /// Revision of [`Self::state`].
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.replica.revision()
    }

    /// Number of participants on this relay.
    #[must_use]
    pub fn members(&self) -> usize {
        self.edge.len()
    }

    /// Number of participants without a role, here and below.
    #[must_use]
    pub fn listeners(&self) -> u64 {
        self.replica.listeners(self.edge.listeners(self.replica.state()))
    }

    /// Whether a participant is a member here with that connection, or about to be.
    #[must_use]
    pub fn has_member(&self, who: ParticipantId, link: LinkId) -> bool {
        self.edge.connection(who) == Some(link)
    }

    /// Number of raised hands; 0 on a relay that is not the origin.
    #[must_use]
    pub fn hands(&self) -> usize {
        self.authority.as_ref().map_or(0, |authority| authority.hands())
    }

    /// Number of rulings about persons that are held here.
    #[must_use]
    pub fn rulings(&self) -> usize {
        self.replica.rulings().len()
    }

    /// Whether this relay decides about the room.
    #[must_use]
    pub const fn is_origin(&self) -> bool {
        self.authority.is_some()
    }

    /// The room's channel on the trunk to the parent.
    #[must_use]
    pub fn channel(&self) -> Option<Channel> {
        self.replica.channel()
    }

    /// Whether the former parent is still kept beside the new one.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.replica.handoff().parent().is_some()
    }

    /// Relays below that carry the room, with the levels below each.
    pub fn carriers(&self) -> impl Iterator<Item = (LinkId, u8)> {
        self.replica.carriers()
    }

    /// Connections of those about to join.
    pub(crate) fn joining_links(&self) -> impl Iterator<Item = LinkId> {
        self.edge.joining_links()
    }

    /// Record and log end to be stored, at the origin; `None` if nothing was ever stored.
    #[must_use]
    pub fn keep(&self) -> Option<Kept> {
        self.authority.as_ref()?.keep()
    }

    /// Entry in the list of public rooms; `None` if it is not public, or not decided here.
    #[must_use]
    pub fn listing(&self) -> Option<Listing> {
        self.authority.as_ref()?.listing()
    }

    /// Quality at this relay and below, over the last minute; `None` without a report.
    #[must_use]
    pub fn quality(&self, now: Instant) -> Option<QualitySummary> {
        self.replica.quality(now)
    }

    /// Whether speakers are asked for protection, by this relay as the origin.
    pub(crate) fn is_protected(&self) -> bool {
        self.is_origin() && self.replica.protection() != Default::default()
    }

    /// Answer of this relay alone to a query about listeners.
    #[must_use]
    pub fn local_answer(&self, now: Instant, about: &TreeQuery, relay: &DisplayName) -> TreeAnswer {
        let mut listeners = self.edge.reports(self.view(), now, about, relay);
        listeners.truncate(MAX_LISTENERS_A_MESSAGE);
        TreeAnswer { listeners, ..TreeAnswer::default() }
    }

    /// The tree below a child has become deeper, or flatter.
    pub fn handle_height(&mut self, link: LinkId, height: u8) {
        self.replica.set_height(link, height);
    }

    /// A reply of the store.
    pub fn handle_store(&mut self, now: Instant, reply: RoomReply, out: &mut Outbox) {
        if let Some(authority) = &mut self.authority {
            match reply {
                RoomReply::Decided(result) => authority.handle_stored(now, result),
                RoomReply::Log { ticket, result } => authority.handle_log(now, ticket, result),
                RoomReply::Kept(result) => authority.counts().handle_stored(now, result),
                RoomReply::Statistics { ticket, result } => {
                    authority.counts().handle_read(ticket, result);
                }
            }
        }
        effects::carry_out(self, now, out);
        self.note_idle(now);
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if let Some(authority) = &mut self.authority {
            authority.handle_timeout(now);
        }
        effects::carry_out(self, now, out);
        self.send_count(now, out);
        self.replica.send_reactions(now, out);
        self.replica.send_quality(now, out);
        self.counting(now).send(out);
        self.check_closing(now, out);
        if self.replica.decide_protection(now, out) {
            self.edge.tell_protection(&self.stage_here(), self.replica.protection(), out);
        }
        self.replica.check_subscribers(now, out);
        self.check_handoff(now, out);
        tokens::check(self, now, out);
        self.edge.give_up_joins(now, out);
        self.edge.one_shots().give_up(now, out);
        self.note_idle(now);
    }

    /// When to call [`Self::handle_timeout`], or to ask [`Self::is_done`], next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let authority = self.authority.as_deref();
        let counting = counting::due(&self.edge, &self.replica, &self.context, authority);
        let decision = authority.and_then(Authority::poll_timeout);
        let count = self.replica.count_due(self.edge.listeners(self.replica.state()));
        let (replica, edge) = (self.replica.due(), self.edge.due(&self.context.wall));
        let due = [decision, self.idle_until(), count, counting, self.closing, replica, edge];
        due.into_iter().flatten().min()
    }

    /// Whether the hub can forget the room: nobody has wanted it for a while.
    #[must_use]
    pub fn is_done(&self, now: Instant) -> bool {
        self.idle_until().is_some_and(|until| now >= until)
    }

    /// Takes over a state: here first, then below.
    fn apply(&mut self, now: Instant, revision: Revision, state: RoomState, out: &mut Outbox) {
        let before = self.replica.replace(revision, state);
        self.counting(now).follow_state(before.phase, out);
        self.closing = self.closing.filter(|_| self.state().phase == Phase::Ended);
        self.send_routes(now, out);
        self.replica.send_state_to_all(now, out);
        let touched = before.stage.iter().chain(&self.state().stage).map(|entry| entry.participant);
        for who in touched.collect::<Vec<_>>() {
            self.follow_rights(who, out);
        }
        self.follow_rulings(now, out);
        if before.stage != self.state().stage {
            let stage = ToParticipant::Stage { stage: self.state().stage.clone() };
            out.to_participants(self.id, self.replica.shards(), &stage);
        }
        if before.settings != self.state().settings && self.edge.inside() > 0 {
            let info = ToParticipant::Room(self.view().info(self.listeners_in_tree()));
            out.to_participants(self.id, self.replica.shards(), &info);
        }
        self.relist(out);
        if self.state().phase == Phase::Ended && before.phase == Phase::Live {
            self.end(now, out);
        }
        self.proceed_all(now, out);
        self.proceed_one_shots(now, out);
        self.check_in_force(now, out);
    }

    /// Lets go of a room that is over, once all relays below have said what they have counted.
    fn check_closing(&mut self, now: Instant, out: &mut Outbox) {
        let Some(until) = self.closing else { return };
        let is_counted = !self.replica.has_subscribers();
        if let Some(authority) = self.authority.as_mut().filter(|_| is_counted) {
            authority.counts().write(now);
        }
        if is_counted || until <= now {
            self.closing = None;
            out.over(self.id);
        }
    }

    /// Parts that counts go through, for one input.
    pub(crate) fn counting(&mut self, now: Instant) -> Counting<'_> {
        Counting {
            now,
            id: self.id,
            context: &self.context,
            edge: &mut self.edge,
            replica: &mut self.replica,
            authority: self.authority.as_deref_mut(),
        }
    }

    /// At the origin, the list of public rooms follows the state.
    fn relist(&self, out: &mut Outbox) {
        if self.is_origin() {
            out.listed(self.name().clone(), self.listing().is_some());
        }
    }

    /// Sends the number of listeners, if it is time: upwards or, at the origin, downwards.
    fn send_count(&mut self, now: Instant, out: &mut Outbox) {
        let listeners = self.listeners();
        if self.replica.counts().due(listeners).is_none_or(|due| now < due) {
            return;
        }
        self.replica.counts().note_sent(now, listeners);
        if let Some(authority) = &mut self.authority {
            authority.handle_audience(now, listeners);
            self.handle_count(listeners, out);
            effects::carry_out(self, now, out);
        } else if let Some(channel) = self.replica.channel() {
            out.to_parent(&ToParent::Audience { channel, listeners });
        }
    }

    /// Deadline of a room that nobody wants. One that is not open is not kept at all: made-up names
    /// cost nothing. At the origin an open one ends by the authority.
    fn idle_until(&self) -> Option<Instant> {
        let since = self.idle_since?;
        match (&self.authority, self.replica.state().phase) {
            _ if self.closing.is_some() => None,
            (Some(authority), _) if authority.is_busy() => None,
            (_, Phase::Absent | Phase::Ended) => Some(since),
            (None, Phase::Live | Phase::Announced) => Some(since + IDLE_LINGER),
            (Some(_), Phase::Live | Phase::Announced) => None,
        }
    }

    fn note_idle(&mut self, now: Instant) {
        if self.edge.is_idle() && !self.replica.has_subscribers() {
            self.idle_since.get_or_insert(now);
        } else {
            self.idle_since = None;
        }
    }

    fn view(&self) -> RoomView<'_> {
        RoomView::new(&self.replica, &self.context)
    }

    fn stage_here(&self) -> StageHere {
        self.edge.stage_here(self.replica.state())
    }

    /// Listeners in the whole tree, as far as this relay knows.
    fn listeners_in_tree(&self) -> u64 {
        self.replica.listeners_in_tree(self.edge.listeners(self.replica.state()))
    }
}

//! One room on one relay: who is here, which relays below want it, and the state that its origin
//! says. Pure; the hub calls it, and what it wants done goes into the [`Outbox`].
//!
//! Every relay of a room runs this machine. On the origin it holds the [`Authority`] that decides; on
//! the others it passes what participants do upwards and what the origin says downwards.
//!
//! * `passing`, `hosting` — actions on their way up and answers on their way down; connections and counts
//! * [`door`], [`names`] — joining; which names are taken for each other
//! * [`members`], [`acts`] — participants of this relay: what they hear and ask for, leaving
//! * [`person`] — who they are, by what they have shown
//! * `requests` — which connection waits for which of the origin's answers
//! * [`errands`] — requests of people who do not come in
//! * [`replica`], [`rulings`] — the state, and what is ruled about persons: putting it in force,
//!   passing it on, confirming it
//! * `moving` — a new parent beside the old one, somebody who is at home elsewhere: without a gap
//! * [`reactions`], [`expiry`] — reactions added up, tokens that run out
//! * [`hearing`] — how well it is heard: reports folded, and passed on upwards
//! * [`authority`], [`permissions`], [`hands`], [`moderation`], [`effect`] — the origin's decisions

pub mod authority;
pub mod context;
pub mod edge;
pub mod names;
pub mod replica;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::room::{Phase, RoomState};
use tribune_protocol::ids::{Channel, ParticipantId, Revision, RoomName};

use crate::messages::{LinkId, RoomId, ShardCommand, ShardId};
use crate::outbox::Outbox;
use crate::room::authority::commit::Authority;
use crate::room::context::RoomContext;
use crate::room::edge::expiry::Expiries;
use crate::room::edge::members::{Lost, Member};
use crate::room::edge::oneshot::Errands;
use crate::room::edge::pending::Requests;
use crate::room::replica::attachments::{Counts, Host};
use crate::room::replica::handoff::{FormerParent, Homes};
use crate::room::replica::quality::Hearing;
use crate::room::replica::reactions::Reactions;
use crate::room::replica::rulings::Rulings;
use crate::room::replica::state::{Child, Held};

/// How long a relay keeps a room that nobody here or below wants, so that one listener's reconnect
/// does not take it down and up again.
pub const IDLE_LINGER: Duration = Duration::from_secs(10);

/// A room on this relay.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    setup: Arc<RoomContext>,
    /// This relay's part.
    place: Place,
    state: RoomState,
    revision: Revision,
    rulings: Rulings,
    members: BTreeMap<ParticipantId, Member>,
    /// Those who are in, by the keys that rulings know them by: three each.
    persons: BTreeSet<(PersonKey, ParticipantId)>,
    expiries: Expiries,
    lost: Lost,
    errands: Errands,
    reactions: Reactions,
    /// How it is heard here and below; nothing until somebody says.
    hearing: Option<Box<Hearing>>,
    children: BTreeMap<LinkId, Child>,
    /// Those below a child who have done something that the origin knows of.
    homes: BTreeMap<ParticipantId, LinkId>,
    homes_of_stage: Homes,
    former_parent: Option<FormerParent>,
    /// Connections of the room per shard, and the revision that is in force there.
    hosts: BTreeMap<ShardId, Host>,
    /// Answers that wait until a revision is in force everywhere.
    held: Vec<Held>,
    counts: Counts,
    idle_since: Option<Instant>,
    /// Members that hear the room.
    inside: u64,
    /// Joins under way, oldest first, and when they are given up.
    joining: VecDeque<(Instant, ParticipantId)>,
    requests: Requests,
}

/// A relay's part in a room.
#[derive(Debug)]
enum Place {
    /// It decides.
    Origin(Box<Authority>),
    /// It follows. `link` is the trunk that the room is subscribed on, if there is one, and `known`
    /// whether a state has come from there.
    Below { link: Option<(LinkId, Channel)>, known: bool, confirmed: Revision },
}

impl Room {
    /// The room on the relay that is its origin, as its authority has it.
    #[must_use]
    pub fn origin(
        id: RoomId,
        authority: Authority,
        setup: Arc<RoomContext>,
        now: Instant,
        out: &mut Outbox,
    ) -> Self {
        let (state, revision) = (authority.state().clone(), authority.revision());
        let place = Place::Origin(Box::new(authority));
        let mut room = Self::new(id, state, setup, now, place);
        room.revision = revision;
        room.relist(out);
        room.drain_authority(now, out);
        room
    }

    /// The room on another relay; [`Self::attach_parent`] comes next, as soon as there is a parent.
    #[must_use]
    pub fn below(id: RoomId, name: RoomName, setup: Arc<RoomContext>, now: Instant) -> Self {
        let place = Place::Below { link: None, known: false, confirmed: Revision(0) };
        Self::new(id, RoomState::absent(name), setup, now, place)
    }

    fn new(
        id: RoomId,
        state: RoomState,
        setup: Arc<RoomContext>,
        now: Instant,
        place: Place,
    ) -> Self {
        Self {
            id,
            setup,
            place,
            state,
            revision: Revision(0),
            rulings: Rulings::default(),
            persons: BTreeSet::new(),
            expiries: Expiries::default(),
            lost: Lost::default(),
            errands: Errands::default(),
            reactions: Reactions::default(),
            hearing: None,
            members: BTreeMap::new(),
            children: BTreeMap::new(),
            homes: BTreeMap::new(),
            homes_of_stage: Homes::default(),
            former_parent: None,
            hosts: BTreeMap::new(),
            held: Vec::new(),
            counts: Counts { said: 0, say_from: Some(now), whole_tree: 0 },
            idle_since: Some(now),
            inside: 0,
            joining: VecDeque::new(),
            requests: Requests::default(),
        }
    }

    /// Numbers the requests that go to the origin from there on; far from where other relays begin.
    pub const fn number_requests_from(&mut self, first: u32) {
        self.requests.count_from(first);
    }

    /// The room's name.
    #[must_use]
    pub const fn name(&self) -> &RoomName {
        &self.state.room
    }

    /// The state in force here.
    #[must_use]
    pub const fn state(&self) -> &RoomState {
        &self.state
    }

    /// The revision of [`Self::state`].
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Participants on this relay.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Participants without a role, here and below.
    #[must_use]
    pub fn listeners(&self) -> u64 {
        let is_in = |who| self.members.get(who).is_some_and(Member::is_in);
        let on_stage = self.state.stage.iter().filter(|entry| is_in(&entry.participant)).count();
        let below = self.children.values().map(|child| child.listeners);
        below.fold(self.inside.saturating_sub(on_stage as u64), u64::saturating_add)
    }

    /// Whether somebody is a member here, or about to be.
    #[must_use]
    pub fn has_member(&self, who: ParticipantId, link: LinkId) -> bool {
        self.members.get(&who).is_some_and(|member| member.link() == link)
    }

    /// Raised hands; 0 on a relay that is not the origin.
    #[must_use]
    pub fn hands(&self) -> usize {
        match &self.place {
            Place::Origin(authority) => authority.hands(),
            Place::Below { .. } => 0,
        }
    }

    /// Whether this relay decides about the room.
    #[must_use]
    pub const fn is_origin(&self) -> bool {
        matches!(self.place, Place::Origin(_))
    }

    /// The channel on the trunk to the parent.
    #[must_use]
    pub const fn channel(&self) -> Option<Channel> {
        match &self.place {
            Place::Below { link: Some((_, channel)), .. } => Some(*channel),
            Place::Below { link: None, .. } | Place::Origin(_) => None,
        }
    }

    /// Whether the hub can forget the room: nobody has wanted it for a while.
    #[must_use]
    pub fn is_done(&self, now: Instant) -> bool {
        self.idle_until().is_some_and(|until| now >= until)
    }

    /// Until when the room is kept though nobody wants it. One that is not open is not kept at all:
    /// names that somebody makes up cost nothing. On the origin an open one ends by the authority.
    fn idle_until(&self) -> Option<Instant> {
        let since = self.idle_since?;
        match (&self.place, self.state.phase) {
            (Place::Origin(authority), _) if authority.is_busy() => None,
            (_, Phase::Absent | Phase::Ended) => Some(since),
            (Place::Below { .. }, Phase::Live | Phase::Announced) => Some(since + IDLE_LINGER),
            (Place::Origin(_), Phase::Live | Phase::Announced) => None,
        }
    }

    /// The trunk to the parent is there: subscribes, and tells the origin who is here.
    pub fn attach_parent(
        &mut self,
        now: Instant,
        link: LinkId,
        channel: Channel,
        out: &mut Outbox,
    ) {
        self.lose_requests(out);
        self.subscribe(now, link, channel, out);
    }

    /// The trunk to the parent is gone. What is here goes on among itself.
    pub fn detach_parent(&mut self, now: Instant, out: &mut Outbox) {
        self.release_parent(now, out);
        let Place::Below { link: parent, .. } = &mut self.place else { return };
        let Some((link, _)) = parent.take() else { return };
        self.lose_requests(out);
        self.homes_of_stage.forget(link);
        self.unhost(link, out);
        self.send_routes(now, out);
    }

    /// The parent has another way to the origin, or none: what was asked by the old one is lost.
    pub fn handle_path(&mut self, now: Instant, has_way: bool, out: &mut Outbox) {
        self.lose_requests(out);
        if has_way {
            self.proceed_all(now, out);
        }
    }

    /// The relay lets go of the room.
    pub fn leave_parent(&mut self, now: Instant, out: &mut Outbox) {
        if let Some(channel) = self.channel() {
            out.to_parent(&ToParent::Unsubscribe { channel });
        }
        self.detach_parent(now, out);
        for shard in self.hosts.keys() {
            out.shard(*shard, ShardCommand::Forget { room: self.id });
        }
    }

    /// What time brings.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if let Place::Origin(authority) = &mut self.place {
            authority.handle_timeout(now);
        }
        self.drain_authority(now, out);
        self.say_counts(now, out);
        self.say_reactions(now, out);
        self.say_quality(now, out);
        self.check_children(now, out);
        self.check_moves(now, out);
        self.check_tokens(now, out);
        self.give_up_joins(now, out);
        self.give_up_errands(now, out);
    }

    /// When to call [`Self::handle_timeout`], or to ask [`Self::is_done`], next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let decision = match &self.place {
            Place::Origin(authority) => authority.poll_timeout(),
            Place::Below { .. } => None,
        };
        let said = [self.count_due(), self.reactions.due(), self.quality_due(), self.move_due()];
        let idle = self.idle_until();
        let lag = self.children.values().filter_map(Child::confirm_by).min();
        let join = self.joining.front().map(|(by, _)| *by);
        let due = [decision, idle, lag, join, self.token_due(), self.errands.due()];
        due.into_iter().chain(said).flatten().min()
    }

    /// Whether the origin's state is in force here, or can come no more for now.
    fn is_known(&self) -> bool {
        match &self.place {
            Place::Origin(_) => true,
            Place::Below { link, known, .. } => link.is_some() && *known,
        }
    }

    fn note_idle(&mut self, now: Instant) {
        if self.members.is_empty() && self.children.is_empty() && self.errands.is_empty() {
            self.idle_since.get_or_insert(now);
        } else {
            self.idle_since = None;
        }
    }
}

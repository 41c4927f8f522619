//! The state of a room as its origin says: put in force on this relay's shards, passed on to the
//! relays below, and confirmed upwards once it is in force there too. Used by [`crate::room::Room`].
//!
//! The confirmation is what a moderator's silence waits for: when it is acknowledged, no relay of the
//! room lets a frame of the silenced track through.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tribune_protocol::codes::CloseCode;
use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::{Action, Credentials, ToChild, ToParent};
use tribune_protocol::domain::room::{Phase, RoomState};
use tribune_protocol::ids::{Channel, ParticipantId, RequestId, Revision};

use crate::messages::{Hears, LinkId, ShardCommand, ShardId, TrackRoute};
use crate::outbox::Outbox;
use crate::room::edge::expiry::Expiries;
use crate::room::{Place, Room};

/// How long one level of the tree may take to confirm a state. A child with relays below it gets
/// that much for each level, so that the relay next to a broken one acts before those above it.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(1);

/// Changes that a child can be behind and each have a time to be confirmed by: as many as a room of
/// moderators makes in that time. Of more, the next one counts that is sent after it has caught up.
const MAX_UNCONFIRMED: usize = 64;

/// A relay below that wants the room.
#[derive(Debug)]
pub struct Child {
    pub(in crate::room) channel: Channel,
    pub(in crate::room) listeners: u64,
    confirmed: Revision,
    /// What it was sent and has not confirmed, and when it has to have, oldest first.
    unconfirmed: VecDeque<(Revision, Instant)>,
    /// Levels from the child down to its deepest leaf.
    height: u8,
    /// When it last said how it is heard there.
    pub(in crate::room) quality_at: Option<Instant>,
}

/// An answer that waits until a revision is in force everywhere.
#[derive(Debug)]
pub(in crate::room) struct Held {
    pub(in crate::room) revision: Revision,
    pub(in crate::room) to: ParticipantId,
    pub(in crate::room) request: Option<RequestId>,
    pub(in crate::room) message: ToParticipant,
}

/// What somebody below does.
#[derive(Debug)]
pub struct Act {
    /// Who.
    pub who: ParticipantId,
    /// The request to be answered.
    pub request: Option<RequestId>,
    /// What the edge knows of them.
    pub by: Option<Credentials>,
    /// What.
    pub action: Action,
}

impl Child {
    pub(in crate::room) const fn height(&self) -> u8 {
        self.height
    }

    pub(in crate::room) fn confirm_by(&self) -> Option<Instant> {
        self.unconfirmed.front().map(|(_, by)| *by)
    }

    /// It has been sent that, or is behind it. Each change has its own time: a stream of them excuses no
    /// child that confirms none, and costs none that keeps up.
    fn expect(&mut self, now: Instant, revision: Revision) {
        let patience = CONFIRM_PATIENCE * u32::from(self.height.max(1));
        let is_told = self.unconfirmed.back().is_some_and(|(last, _)| *last >= revision);
        if self.confirmed < revision && !is_told && self.unconfirmed.len() < MAX_UNCONFIRMED {
            self.unconfirmed.push_back((revision, now + patience));
        }
    }

    fn confirm(&mut self, now: Instant, revision: Revision, newest: Revision) {
        self.confirmed = revision;
        self.unconfirmed.retain(|(sent, _)| *sent > revision);
        if self.unconfirmed.is_empty() {
            self.expect(now, newest);
        }
    }
}

impl Room {
    /// The parent says what the state is.
    pub fn handle_state(
        &mut self,
        now: Instant,
        revision: Revision,
        state: RoomState,
        out: &mut Outbox,
    ) {
        let Place::Below { link, known, .. } = &mut self.place else { return };
        if revision < self.revision {
            // A parent that has lost its way to the origin knows less than this relay does: what has
            // been decided meanwhile stays in force here. It gets its confirmation all the same, and
            // its news count once it has caught up.
            if let Some((_, channel)) = *link {
                out.to_parent(&ToParent::Applied { channel, revision });
            }
            return;
        }
        *known = true;
        self.note_awaited(revision);
        self.apply(now, revision, state, out);
    }

    /// Something for one participant, from the parent.
    pub fn handle_deliver(
        &mut self,
        now: Instant,
        to: ParticipantId,
        request: Option<RequestId>,
        message: ToParticipant,
        out: &mut Outbox,
    ) {
        self.deliver(now, to, request, message, out);
    }

    /// A relay below wants the room.
    pub fn handle_subscribe(
        &mut self,
        now: Instant,
        link: LinkId,
        channel: Channel,
        height: u8,
        out: &mut Outbox,
    ) {
        if self.children.contains_key(&link) {
            self.handle_unsubscribe(now, link, out);
        }
        let confirmed = Revision(0);
        let child = Child {
            channel,
            listeners: 0,
            confirmed,
            unconfirmed: VecDeque::new(),
            height,
            quality_at: None,
        };
        self.children.insert(link, child);
        self.host(link, Hears::Trunk(channel), out);
        let known = match &self.place {
            Place::Origin(_) => true,
            Place::Below { known, .. } => *known || self.revision > Revision(0),
        };
        if known {
            self.send_rulings(link, channel, out);
            self.send_state(now, link, out);
        }
    }

    /// A relay below wants the room no more, or is gone.
    pub fn handle_unsubscribe(&mut self, now: Instant, link: LinkId, out: &mut Outbox) {
        if self.children.remove(&link).is_none() {
            return;
        }
        self.homes_of_stage.forget(link);
        self.unhost(link, out);
        let gone: Vec<_> = self.homes.iter().filter(|(_, home)| **home == link).collect();
        let gone: Vec<_> = gone.into_iter().map(|(who, _)| *who).collect();
        for who in gone {
            self.homes.remove(&who);
            self.act(now, who, None, None, Action::Away {}, out);
        }
        self.errands.forget_below(link);
        self.send_routes(now, out);
        self.note_idle(now);
        self.say_counts(now, out);
        self.check_in_force(now, out);
    }

    /// The tree below a child has become deeper, or less deep.
    pub fn handle_height(&mut self, link: LinkId, height: u8) {
        if let Some(child) = self.children.get_mut(&link) {
            child.height = height;
        }
    }

    /// A relay below says how many listen there.
    pub fn handle_audience(&mut self, now: Instant, link: LinkId, count: u64, out: &mut Outbox) {
        if let Some(child) = self.children.get_mut(&link) {
            child.listeners = count;
        }
        self.say_counts(now, out);
    }

    /// A relay below has put a revision in force, and so have all below it.
    pub fn handle_applied(
        &mut self,
        now: Instant,
        link: LinkId,
        revision: Revision,
        out: &mut Outbox,
    ) {
        // What is above the state here is left from another life of the origin.
        if let Some(child) = self.children.get_mut(&link).filter(|_| revision <= self.revision) {
            child.confirm(now, revision, self.revision);
            self.check_in_force(now, out);
        }
    }

    /// Somebody below a child does something.
    pub fn handle_act(&mut self, now: Instant, link: LinkId, act: Act, out: &mut Outbox) {
        let Act { who, request, by, action } = act;
        if !self.children.contains_key(&link) {
            return;
        }
        match action {
            Action::Away {} | Action::Left {} => {
                // It has come back by another way: this is the old one speaking.
                if self.homes.get(&who) != Some(&link) {
                    return;
                }
                self.homes.remove(&who);
                self.send_routes(now, out);
            }
            // It has been on its way while they moved: it counts, and says nothing about where they are.
            Action::RaiseHand { .. }
            | Action::LowerHand {}
            | Action::LeaveStage {}
            | Action::OwnMute { .. }
            | Action::Govern { .. }
                if self.homes_of_stage.has_left(now, who, link) => {}
            Action::Enter { .. }
            | Action::Present {}
            | Action::RaiseHand { .. }
            | Action::LowerHand {}
            | Action::LeaveStage {}
            | Action::OwnMute { .. }
            | Action::Govern { .. }
            | Action::Unknown => {
                if self.members.contains_key(&who) {
                    self.handle_replaced(now, who, out);
                }
                self.set_home(now, who, Some(link), out);
            }
            Action::OneShot { .. } => self.note_errand(now, who, request, link),
        }
        self.act(now, who, request, by, action, out);
    }

    /// A shard has put a revision's routes in force.
    pub fn handle_in_force(
        &mut self,
        now: Instant,
        shard: ShardId,
        revision: Revision,
        out: &mut Outbox,
    ) {
        if let Some(host) = self.hosts.get_mut(&shard).filter(|_| revision <= self.revision) {
            host.in_force = Some(revision);
        }
        self.check_in_force(now, out);
    }

    /// Takes over a state: here first, then below.
    pub(in crate::room) fn apply(
        &mut self,
        now: Instant,
        revision: Revision,
        state: RoomState,
        out: &mut Outbox,
    ) {
        let before = std::mem::replace(&mut self.state, state);
        self.revision = revision;
        self.send_routes(now, out);
        let children: Vec<_> = self.children.keys().copied().collect();
        for link in children {
            self.send_state(now, link, out);
        }
        let touched = before.stage.iter().chain(&self.state.stage).map(|entry| entry.participant);
        for who in touched.collect::<Vec<_>>() {
            self.follow_stage(who, out);
        }
        self.follow_rulings(now, out);
        if before.stage != self.state.stage {
            let stage = ToParticipant::Stage { stage: self.state.stage.clone() };
            out.to_participants(self.id, self.shards(), &stage);
        }
        if before.settings != self.state.settings && self.inside > 0 {
            let info = ToParticipant::Room(self.info());
            out.to_participants(self.id, self.shards(), &info);
        }
        self.relist(out);
        if self.state.phase == Phase::Ended && before.phase == Phase::Live {
            self.end(out);
        }
        self.proceed_all(now, out);
        self.proceed_errands(now, out);
        self.check_in_force(now, out);
    }

    /// On the origin, the list of public rooms follows the state.
    pub(in crate::room) fn relist(&self, out: &mut Outbox) {
        if matches!(self.place, Place::Origin(_)) {
            out.listed(self.state.room.clone(), self.listing().is_some());
        }
    }

    /// The revision that is in force on all shards here and at all relays below.
    pub(in crate::room) fn in_force(&self) -> Revision {
        let shards = self.hosts.values().map(|host| host.in_force.unwrap_or(Revision(0)));
        let children = self.children.values().map(|child| child.confirmed);
        shards.chain(children).min().unwrap_or(self.revision).min(self.revision)
    }

    /// Releases answers that waited, and confirms upwards.
    pub(in crate::room) fn check_in_force(&mut self, now: Instant, out: &mut Outbox) {
        let reached = self.in_force();
        let (released, held) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.revision <= reached);
        self.held = held;
        let released: Vec<Held> = released;
        for Held { to, request, message, .. } in released {
            self.deliver(now, to, request, message, out);
        }
        if let Place::Below { link: Some((_, channel)), known: true, confirmed } = &mut self.place
            && *confirmed < reached
        {
            *confirmed = reached;
            out.to_parent(&ToParent::Applied { channel: *channel, revision: reached });
        }
        self.follow_in_force(now, out);
        self.note_idle(now);
    }

    /// Names the children that did not confirm in time.
    pub(in crate::room) fn check_children(&mut self, now: Instant, out: &mut Outbox) {
        for (link, child) in &mut self.children {
            if child.confirm_by().is_some_and(|by| by <= now) {
                child.unconfirmed.clear();
                out.lagging(*link);
            }
        }
    }

    /// Gives all shards of the room the routes as they are now.
    pub(in crate::room) fn send_routes(&mut self, now: Instant, out: &mut Outbox) {
        self.note_homes(now);
        let tracks = self.routes();
        for shard in self.hosts.keys() {
            let (room, revision, tracks) = (self.id, self.revision, Arc::clone(&tracks));
            out.shard(*shard, ShardCommand::Routes { room, revision, tracks });
        }
    }

    /// Where each track is at home, seen from here.
    pub(in crate::room) fn routes(&self) -> Arc<[TrackRoute]> {
        let route = |entry: &tribune_protocol::domain::room::StageEntry| TrackRoute {
            track: entry.track,
            home: self.home_of(entry.participant),
            former: self.former_home_of(entry.participant),
            silenced: entry.silenced,
        };
        self.state.stage.iter().map(route).collect()
    }

    fn send_state(&mut self, now: Instant, link: LinkId, out: &mut Outbox) {
        let Some(child) = self.children.get_mut(&link) else { return };
        let (channel, revision) = (child.channel, self.revision);
        child.expect(now, revision);
        // Before the state, by which joins go on: the capacity of the room is held against it.
        let count = self.counts.whole_tree;
        if child.confirmed == Revision(0) && count > 0 {
            out.to_child(link, &ToChild::Listeners { channel, count });
        }
        out.to_child(link, &ToChild::State { channel, revision, state: self.state.clone() });
    }

    /// The room is over: everybody here goes. Relays below have been told by the state.
    fn end(&mut self, out: &mut Outbox) {
        out.over(self.id);
        for member in self.members.values() {
            let code = CloseCode::RoomEnded;
            out.close(member.link(), code, code.to_string());
        }
        self.members.clear();
        self.persons.clear();
        self.expiries = Expiries::default();
        self.inside = 0;
    }
}

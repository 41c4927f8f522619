//! Copy of a room that every relay holds: its state, confirmation by shards and children, rulings,
//! routes and counts. Used by [`crate::room::Room`].
//!
//! * [`state`] — the state, taken over and passed on
//! * [`subscription`] — the parent it comes from; none at the origin
//! * [`confirmation`] — children, the revisions they confirm, answers that wait for it
//! * [`rulings`] — copy of the origin's rulings about persons
//! * [`routing`], [`handoff`] — homes of participants; moves without a gap
//! * [`attachments`] — connections per shard, counts of listeners
//! * [`quality`], [`reactions`] — reports folded, reactions added up
//! * [`tallies`], [`audience_texts`] — counts and messages of the audience on their way
//! * [`protection`] — what speakers are to protect against, by the reports

mod attachments;
pub(crate) mod audience_texts;
mod confirmation;
mod handoff;
mod protection;
mod quality;
mod reactions;
pub mod routing;
pub mod rulings;
mod state;
mod subscription;
mod tallies;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::control::trunk::ToChild;
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::room::RoomState;
use tribune_protocol::domain::stage::StageEntry;
use tribune_protocol::ids::{Channel, ParticipantId, RequestId, Revision};
use tribune_protocol::quality::report::Report;
use tribune_protocol::quality::{Quality, QualitySummary};

use self::attachments::{Attachments, ListenerCounts};
use self::audience_texts::AudienceTexts;
pub(crate) use self::confirmation::HeldAnswer;
use self::confirmation::{HeldAnswers, Subscribers};
use self::handoff::Handoff;
pub(crate) use self::handoff::HandoffEnd;
use self::protection::RoomProtection;
use self::quality::RoomQuality;
use self::reactions::Reactions;
use self::routing::Homes;
use self::rulings::RulingsCopy;
use self::subscription::Subscription;
use self::tallies::Tallies;
use crate::messages::{
    FormerHome, LinkId, RoomId, ShardCommand, ShardId, ShardSet, TrackRoute, ViewKey,
};
use crate::outbox::Outbox;

/// Connections of the participants of this relay who are on the stage.
pub(crate) type StageHere = BTreeMap<ParticipantId, LinkId>;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Replica {
    id: RoomId,
    state: RoomState,
    revision: Revision,
    /// `None` at the origin.
    subscription: Option<Subscription>,
    subscribers: Subscribers,
    held: HeldAnswers,
    rulings: RulingsCopy,
    homes: Homes,
    handoff: Handoff,
    attachments: Attachments,
    counts: ListenerCounts,
    quality: RoomQuality,
    protection: RoomProtection,
    reactions: Reactions,
    tallies: Tallies,
    texts: AudienceTexts,
}

impl Replica {
    /// Replica at the origin, with the authority's state.
    pub(crate) fn at_origin(
        id: RoomId,
        state: RoomState,
        revision: Revision,
        now: Instant,
    ) -> Self {
        Self { revision, subscription: None, ..Self::below(id, state, now) }
    }

    /// Replica at another relay, without a parent as yet.
    pub(crate) fn below(id: RoomId, state: RoomState, now: Instant) -> Self {
        Self {
            id,
            state,
            revision: Revision(0),
            subscription: Some(Subscription::default()),
            subscribers: Subscribers::default(),
            held: HeldAnswers::default(),
            rulings: RulingsCopy::default(),
            homes: Homes::default(),
            handoff: Handoff::default(),
            attachments: Attachments::default(),
            counts: ListenerCounts::new(now),
            quality: RoomQuality::default(),
            protection: RoomProtection::default(),
            reactions: Reactions::default(),
            tallies: Tallies::default(),
            texts: AudienceTexts::default(),
        }
    }

    /// State in force here.
    pub(crate) const fn state(&self) -> &RoomState {
        &self.state
    }

    /// Revision of [`Self::state`].
    pub(crate) const fn revision(&self) -> Revision {
        self.revision
    }

    /// Copy of the rulings.
    pub(crate) const fn rulings(&self) -> &RulingsCopy {
        &self.rulings
    }

    /// Whether a participant is on the stage.
    pub(crate) fn is_on_stage(&self, who: ParticipantId) -> bool {
        self.state.on_stage(who).is_some()
    }

    /// Shards with connections of the room.
    pub(crate) fn shards(&self) -> ShardSet {
        self.attachments.set()
    }

    /// Whether a relay below is subscribed at all.
    pub(crate) fn has_subscribers(&self) -> bool {
        !self.subscribers.is_empty()
    }

    /// Whether that relay is subscribed.
    pub(crate) fn is_subscriber(&self, link: LinkId) -> bool {
        self.subscribers.contains(link)
    }

    /// The room's channel on the trunk to a relay below.
    pub(crate) fn channel_below(&self, link: LinkId) -> Option<Channel> {
        self.subscribers.channel(link)
    }

    /// Sends a message of the origin to a relay below, for somebody there.
    pub(crate) fn deliver_below(
        &self,
        link: LinkId,
        participant: ParticipantId,
        request: Option<RequestId>,
        message: ToParticipant,
        out: &mut Outbox,
    ) {
        if let Some(channel) = self.channel_below(link) {
            out.to_child(link, &ToChild::Deliver { channel, participant, request, message });
        }
    }

    /// Relays below that carry the room, with the levels below each.
    pub(crate) fn carriers(&self) -> impl Iterator<Item = (LinkId, u8)> {
        self.subscribers.heights()
    }

    /// Notes the levels below a relay.
    pub(crate) fn set_height(&mut self, link: LinkId, height: u8) {
        self.subscribers.set_height(link, height);
    }

    /// Listeners at this relay, and at all below.
    pub(crate) fn listeners(&self, here: u64) -> u64 {
        self.subscribers.listeners().fold(here, u64::saturating_add)
    }

    /// Listeners in the whole tree: as the origin says, at least those known here.
    pub(crate) fn listeners_in_tree(&self, here: u64) -> u64 {
        self.counts.whole_tree().max(self.listeners(here))
    }

    /// Counts of listeners.
    pub(crate) const fn counts(&mut self) -> &mut ListenerCounts {
        &mut self.counts
    }

    /// When a count of listeners is to be sent.
    pub(crate) fn count_due(&self, here: u64) -> Option<Instant> {
        self.counts.due(self.listeners(here))
    }

    /// Notes the listeners at a relay below.
    pub(crate) fn set_listeners_below(&mut self, link: LinkId, count: u64) {
        self.subscribers.set_listeners(link, count);
    }

    /// Reactions that wait to be sent on.
    pub(crate) const fn reactions(&mut self) -> &mut Reactions {
        &mut self.reactions
    }

    /// Tallies on their way up.
    pub(crate) const fn tallies(&mut self) -> &mut Tallies {
        &mut self.tallies
    }

    /// Tallies on their way up, to be read.
    pub(crate) const fn tallies_sent(&self) -> &Tallies {
        &self.tallies
    }

    /// Messages of the audience, to be read.
    pub(crate) const fn texts_waiting(&self) -> &AudienceTexts {
        &self.texts
    }

    /// Messages of the audience, and questions.
    pub(crate) const fn texts(&mut self) -> &mut AudienceTexts {
        &mut self.texts
    }

    /// Adds the report of a participant of this relay.
    pub(crate) fn add_report(&mut self, now: Instant, report: &Report) {
        self.quality.add(now, report, self.subscription.is_some());
        if self.subscription.is_none() {
            self.protection.policy().handle_report(now, report);
        }
    }

    /// Adds the fold of a relay below. Whether it counts.
    pub(crate) fn merge_quality(&mut self, now: Instant, link: LinkId, quality: &Quality) -> bool {
        if quality.is_empty() || !self.subscribers.accept_quality(now, link) {
            return false;
        }
        self.quality.merge(now, quality, self.subscription.is_some());
        if self.subscription.is_none() {
            self.protection.policy().handle_quality(now, quality);
        }
        true
    }

    /// Quality of the room at this relay and below, over the last minute.
    pub(crate) fn quality(&self, now: Instant) -> Option<QualitySummary> {
        self.quality.summary(now)
    }

    /// Protection that the room's speakers are asked for.
    pub(crate) const fn protection(&self) -> Protection {
        self.protection.current()
    }

    /// Shard that keeps frames of the room, where `shard` has none of it until now.
    pub(crate) fn keeper_for(&self, shard: ShardId) -> Option<ShardId> {
        self.attachments.keeper_for(shard)
    }

    /// Attaches a connection to the room: it hears the room from now on.
    pub(crate) fn attach(
        &mut self,
        link: LinkId,
        view: ViewKey,
        here: &StageHere,
        out: &mut Outbox,
    ) {
        let room = self.id;
        if self.attachments.add(link.shard) {
            let (revision, tracks) = (self.revision, self.routes(here));
            out.shard(link.shard, ShardCommand::Routes { room, revision, tracks });
            self.attachments.announce(room, out);
        }
        out.shard(link.shard, ShardCommand::Attach { link, room, view });
    }

    /// Detaches a connection from the room, whose home it is no more.
    pub(crate) fn detach(&mut self, link: LinkId, out: &mut Outbox) {
        self.handoff.forget(link);
        let room = self.id;
        out.shard(link.shard, ShardCommand::Detach { link, room });
        if self.attachments.remove(link.shard) {
            out.shard(link.shard, ShardCommand::Forget { room });
            self.attachments.announce(room, out);
        }
    }

    /// Has all shards forget the room.
    pub(crate) fn forget_shards(&self, out: &mut Outbox) {
        for shard in self.attachments.shards() {
            out.shard(shard, ShardCommand::Forget { room: self.id });
        }
    }

    /// Gives all shards of the room the present routes.
    pub(crate) fn send_routes(&mut self, now: Instant, here: &StageHere, out: &mut Outbox) {
        let on_stage = self.state.stage.iter().map(|entry| entry.participant);
        let homes = on_stage.filter_map(|who| Some((who, self.home(who, here)?))).collect();
        self.handoff.note_homes(now, homes);
        let tracks = self.routes(here);
        for shard in self.attachments.shards() {
            let (room, revision, tracks) = (self.id, self.revision, Arc::clone(&tracks));
            out.shard(shard, ShardCommand::Routes { room, revision, tracks });
        }
    }

    /// Child below which a participant is known to be, with the room's channel there.
    pub(crate) fn way_down(&self, to: ParticipantId) -> Option<(LinkId, Channel)> {
        let link = self.homes.get(to)?;
        Some((link, self.subscribers.channel(link)?))
    }

    /// Child below which a participant is known to be.
    pub(crate) fn home_below(&self, who: ParticipantId) -> Option<LinkId> {
        self.homes.get(who)
    }

    /// Participants known to be below.
    pub(crate) fn actors_below(&self) -> impl Iterator<Item = ParticipantId> {
        self.homes.participants()
    }

    /// Participants known to be below one child.
    pub(crate) fn actors_below_child(&self, child: LinkId) -> Vec<ParticipantId> {
        self.homes.below(child)
    }

    /// Forgets where a participant was: it has gone.
    pub(crate) fn forget_home(&mut self, who: ParticipantId) {
        self.homes.set(who, None);
    }

    /// Notes the child below which a participant is now, or that it is below none, and tells the child
    /// before that it has been replaced. Whether the home has changed.
    pub(crate) fn move_home(
        &mut self,
        now: Instant,
        who: ParticipantId,
        home: Option<LinkId>,
        out: &mut Outbox,
    ) -> bool {
        let before = self.homes.set(who, home);
        if before == home {
            return false;
        }
        self.handoff.note_move(now, who, before);
        if let Some(link) = before
            && let Some(channel) = self.channel_below(link)
        {
            out.to_child(link, &ToChild::Replaced { channel, participant: who });
        }
        true
    }

    /// Handoffs under way.
    pub(crate) const fn handoff(&self) -> &Handoff {
        &self.handoff
    }

    /// Home and state of each track, seen from here.
    fn routes(&self, here: &StageHere) -> Arc<[TrackRoute]> {
        let route = |entry: &StageEntry| TrackRoute {
            track: entry.track,
            home: self.home(entry.participant, here),
            former: self.former_home(entry.participant, here),
            silenced: entry.silenced,
        };
        self.state.stage.iter().map(route).collect()
    }

    /// Connection of a participant on the stage, or the trunk on whose side it is.
    fn home(&self, who: ParticipantId, here: &StageHere) -> Option<LinkId> {
        let here = here.get(&who).copied();
        here.or_else(|| self.homes.get(who)).or_else(|| self.parent())
    }

    /// Home from which frames are let in besides.
    fn former_home(&self, who: ParticipantId, here: &StageHere) -> Option<FormerHome> {
        let (home, parent) = (self.home(who, here), self.parent());
        if let Some(link) = self.handoff.parent()
            && home.is_some()
            && home == parent
        {
            return Some(FormerHome { link, hears: false });
        }
        let link = self.handoff.former_home(who).filter(|link| Some(*link) != home)?;
        Some(FormerHome { link, hears: true })
    }

    fn parent(&self) -> Option<LinkId> {
        self.subscription.as_ref()?.trunk().map(|(link, _)| link)
    }
}

//! Confirmation of a room's state by the relays below, and the answers that wait for it. Part of
//! [`crate::room::replica::Replica`].
//!
//! A moderator's silence waits for it: once acknowledged, no relay of the room lets a frame of the
//! silenced track through.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tribune_protocol::control::participant::ToParticipant;
use tribune_protocol::ids::{Channel, ParticipantId, RequestId, Revision};
use tribune_protocol::limits::MIN_REPORT_PERIOD;

use crate::messages::LinkId;

/// Time for one level of the tree to confirm a state. A child with relays below it gets that much for
/// each level, so that the relay next to a broken one acts before those above it.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(1);
/// Unconfirmed changes of a child with a deadline each: as many as a room of moderators makes in that
/// time. Of more, the next one counts that is sent after the child has caught up.
const MAX_UNCONFIRMED: usize = 64;

/// Relays below that are subscribed to the room.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    by_link: BTreeMap<LinkId, Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    channel: Channel,
    listeners: u64,
    confirmed: Revision,
    /// Revisions sent and not confirmed, with their deadlines, oldest first.
    unconfirmed: VecDeque<(Revision, Instant)>,
    /// Levels from the child down to its deepest leaf.
    height: u8,
    /// Time of its last quality report.
    quality_at: Option<Instant>,
}

/// Answer that waits until a revision is in force everywhere.
#[derive(Debug)]
pub(crate) struct HeldAnswer {
    pub(crate) revision: Revision,
    pub(crate) to: ParticipantId,
    pub(crate) request: Option<RequestId>,
    pub(crate) message: ToParticipant,
}

/// Answers held back, in the order in which the origin gave them. As many as the origin decides within
/// the patience for confirmations.
#[derive(Debug, Default)]
pub(crate) struct HeldAnswers(Vec<HeldAnswer>);

impl HeldAnswers {
    /// Holds an answer back.
    pub(crate) fn push(&mut self, answer: HeldAnswer) {
        self.0.push(answer);
    }

    /// Releases the answers whose revision is in force.
    pub(crate) fn release(&mut self, reached: Revision) -> Vec<HeldAnswer> {
        let (released, held) =
            std::mem::take(&mut self.0).into_iter().partition(|held| held.revision <= reached);
        self.0 = held;
        released
    }
}

impl Subscribers {
    /// Adds a relay, which knows no state yet.
    pub(crate) fn insert(&mut self, link: LinkId, channel: Channel, height: u8) {
        let (listeners, confirmed, unconfirmed) = (0, Revision(0), VecDeque::new());
        let subscriber =
            Subscriber { channel, listeners, confirmed, unconfirmed, height, quality_at: None };
        self.by_link.insert(link, subscriber);
    }

    /// Removes a relay. Whether it was subscribed.
    pub(crate) fn remove(&mut self, link: LinkId) -> bool {
        self.by_link.remove(&link).is_some()
    }

    /// Whether a relay is subscribed.
    pub(crate) fn contains(&self, link: LinkId) -> bool {
        self.by_link.contains_key(&link)
    }

    /// Whether no relay is subscribed.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_link.is_empty()
    }

    /// The room's channel on the trunk to a relay.
    pub(crate) fn channel(&self, link: LinkId) -> Option<Channel> {
        self.by_link.get(&link).map(|subscriber| subscriber.channel)
    }

    /// Trunks with the room's channel on each.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (LinkId, Channel)> {
        self.by_link.iter().map(|(link, subscriber)| (*link, subscriber.channel))
    }

    /// Trunks with the levels below each.
    pub(crate) fn heights(&self) -> impl Iterator<Item = (LinkId, u8)> {
        self.by_link.iter().map(|(link, subscriber)| (*link, subscriber.height))
    }

    /// Notes that the tree below a relay has become deeper or flatter.
    pub(crate) fn set_height(&mut self, link: LinkId, height: u8) {
        if let Some(subscriber) = self.by_link.get_mut(&link) {
            subscriber.height = height;
        }
    }

    /// Listeners at all subscribed relays and below.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = u64> {
        self.by_link.values().map(|subscriber| subscriber.listeners)
    }

    /// Notes the number of listeners at a relay and below.
    pub(crate) fn set_listeners(&mut self, link: LinkId, count: u64) {
        if let Some(subscriber) = self.by_link.get_mut(&link) {
            subscriber.listeners = count;
        }
    }

    /// Whether a relay's quality report counts: it is subscribed, and its last one is not too recent.
    pub(crate) fn accept_quality(&mut self, now: Instant, link: LinkId) -> bool {
        let Some(subscriber) = self.by_link.get_mut(&link) else { return false };
        if subscriber.quality_at.is_some_and(|at| now < at + MIN_REPORT_PERIOD) {
            return false;
        }
        subscriber.quality_at = Some(now);
        true
    }

    /// A state is about to be sent to a relay. Gives the channel, and whether it is the first state.
    pub(crate) fn expect(
        &mut self,
        now: Instant,
        link: LinkId,
        revision: Revision,
    ) -> Option<(Channel, bool)> {
        let subscriber = self.by_link.get_mut(&link)?;
        subscriber.expect(now, revision);
        Some((subscriber.channel, subscriber.confirmed == Revision(0)))
    }

    /// A relay has a revision in force, and so have all below it. Whether it is subscribed.
    pub(crate) fn confirm(
        &mut self,
        now: Instant,
        link: LinkId,
        revision: Revision,
        newest: Revision,
    ) -> bool {
        let Some(subscriber) = self.by_link.get_mut(&link) else { return false };
        subscriber.confirm(now, revision, newest);
        true
    }

    /// Revision confirmed by each relay.
    pub(crate) fn confirmed(&self) -> impl Iterator<Item = Revision> {
        self.by_link.values().map(|subscriber| subscriber.confirmed)
    }

    /// First deadline of a confirmation.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.by_link.values().filter_map(Subscriber::confirm_by).min()
    }

    /// Relays that did not confirm in time, each named once.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<LinkId> {
        let mut late = Vec::new();
        for (link, subscriber) in &mut self.by_link {
            if subscriber.confirm_by().is_some_and(|by| by <= now) {
                subscriber.unconfirmed.clear();
                late.push(*link);
            }
        }
        late
    }
}

impl Subscriber {
    fn confirm_by(&self) -> Option<Instant> {
        self.unconfirmed.front().map(|(_, by)| *by)
    }

    /// Sets the deadline of a revision. Each change has its own: a stream of them excuses no relay
    /// that confirms none, and costs none that keeps up.
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

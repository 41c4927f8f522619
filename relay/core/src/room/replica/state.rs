//! State of a room as its origin says: taken over, put in force on this relay's shards, passed on to
//! the relays below, and confirmed upwards once it is in force there too.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use tribune_protocol::control::participant::{Heard, ToParticipant};
use tribune_protocol::control::trunk::{ToChild, ToParent};
use tribune_protocol::domain::person::PersonKey;
use tribune_protocol::domain::protection::Protection;
use tribune_protocol::domain::reaction::Reaction;
use tribune_protocol::domain::room::RoomState;
use tribune_protocol::domain::ruling::Ruling;
use tribune_protocol::ids::{Channel, Revision};

use super::audience_texts::AudienceTexts;
use super::confirmation::HeldAnswer;
use super::handoff::HandoffEnd;
use super::rulings::{TooManyRulings, send_pages};
use super::subscription::Subscription;
use super::{Replica, StageHere};
use crate::messages::{Hears, LinkId, ShardId, ViewKey};
use crate::outbox::Outbox;

impl Replica {
    /// The room's channel on the trunk to the parent.
    pub(crate) fn channel(&self) -> Option<Channel> {
        self.subscription.as_ref()?.trunk().map(|(_, channel)| channel)
    }

    /// Whether the origin's state is in force here: at the origin always, elsewhere once it has come
    /// from the present parent.
    pub(crate) fn is_current(&self) -> bool {
        self.subscription.as_ref().is_none_or(Subscription::is_current)
    }

    /// Begins the subscription at a parent. The caller announces who is here, then calls
    /// [`Self::finish_subscribe`].
    pub(crate) fn subscribe(
        &mut self,
        link: LinkId,
        channel: Channel,
        here: &StageHere,
        out: &mut Outbox,
    ) {
        let Some(subscription) = &mut self.subscription else { return };
        let heard = subscription.take_heard();
        subscription.attach(link, channel);
        self.protection.begin_anew();
        let room = self.state.room.clone();
        out.to_parent(&ToParent::Subscribe { channel, room, heard });
        self.attach(link, ViewKey::live(Hears::Trunk(channel)), here, out);
    }

    /// Tells a new parent how many listen, and the shards their routes.
    pub(crate) fn finish_subscribe(
        &mut self,
        now: Instant,
        channel: Channel,
        listeners: u64,
        here: &StageHere,
        out: &mut Outbox,
    ) {
        out.to_parent(&ToParent::Audience { channel, listeners });
        self.counts.note_sent_to_new_parent(listeners);
        self.send_routes(now, here, out);
    }

    /// Notes the last frames that came from a parent that is gone.
    pub(crate) fn note_last_heard(&mut self, heard: Vec<Heard>) {
        if let Some(subscription) = &mut self.subscription {
            subscription.note_heard(heard);
        }
    }

    /// The trunk to the parent is gone. Gives its link, if there was one.
    pub(crate) fn lose_parent(&mut self) -> Option<LinkId> {
        self.subscription.as_mut()?.detach()
    }

    /// Keeps the present parent, if there is one, as the former one: for its frames alone.
    pub(crate) fn keep_former_parent(&mut self, out: &mut Outbox) {
        let Some(subscription) = &self.subscription else { return };
        let Some((link, channel)) = subscription.trunk() else { return };
        let confirmed = subscription.confirmed();
        let sent = if subscription.has_state() { self.revision } else { confirmed };
        self.handoff.keep_parent((link, channel), confirmed, sent);
        let listeners = 0;
        out.to_relay_above(link, &ToParent::Audience { channel, listeners });
    }

    /// Unsubscribes at the former parent. Gives its link, if there was one.
    pub(crate) fn leave_former_parent(&mut self, out: &mut Outbox) -> Option<LinkId> {
        let (link, channel) = self.handoff.take_parent()?;
        out.to_relay_above(link, &ToParent::Unsubscribe { channel });
        Some(link)
    }

    /// The former parent has sent a state. It counts on being told when as much is in force here.
    pub(crate) fn handle_former_state(&mut self, revision: Revision, out: &mut Outbox) {
        self.handoff.note_former_state(revision);
        self.confirm_to_former(out);
    }

    /// Whether a state of the parent is to be taken over.
    ///
    /// A parent that has lost its way to the origin knows less than this relay does: what has been
    /// decided meanwhile stays in force here. It gets its confirmation all the same, and its news
    /// count once it has caught up.
    pub(crate) fn accept_state(&mut self, revision: Revision, out: &mut Outbox) -> bool {
        let Some(subscription) = &mut self.subscription else { return false };
        if revision < self.revision {
            if let Some((_, channel)) = subscription.trunk() {
                out.to_parent(&ToParent::Applied { channel, revision });
            }
            return false;
        }
        subscription.note_state();
        self.handoff.note_new_state(revision);
        true
    }

    /// Replaces the state. Gives the one before.
    pub(crate) fn replace(&mut self, revision: Revision, state: RoomState) -> RoomState {
        self.revision = revision;
        std::mem::replace(&mut self.state, state)
    }

    /// Another run begins.
    pub(crate) fn begin_run(&mut self) {
        self.tallies.begin_run();
        self.texts = AudienceTexts::default();
    }

    /// Relays below, with the room's channel on each trunk.
    pub(crate) fn channels_below(&self) -> Vec<(LinkId, Channel)> {
        self.subscribers.channels().collect()
    }

    /// Sends the state to all relays below.
    pub(crate) fn send_state_to_all(&mut self, now: Instant, out: &mut Outbox) {
        let children: Vec<_> = self.subscribers.channels().map(|(link, _)| link).collect();
        for link in children {
            self.send_state(now, link, out);
        }
    }

    /// Adds a relay below, which is sent the rulings and the state if they are known.
    pub(crate) fn add_subscriber(
        &mut self,
        now: Instant,
        (link, channel): (LinkId, Channel),
        height: u8,
        here: &StageHere,
        out: &mut Outbox,
    ) {
        self.subscribers.insert(link, channel, height);
        self.attach(link, ViewKey::live(Hears::Trunk(channel)), here, out);
        let known = match &self.subscription {
            None => true,
            Some(subscription) => subscription.has_state() || self.revision > Revision(0),
        };
        if known {
            self.rulings.send_all(link, channel, out);
            self.send_state(now, link, out);
        }
    }

    /// Removes a relay below. Whether it was subscribed.
    pub(crate) fn remove_subscriber(&mut self, link: LinkId, out: &mut Outbox) -> bool {
        let was_there = self.subscribers.remove(link);
        if was_there {
            self.detach(link, out);
        }
        was_there
    }

    /// A relay below confirms a revision. Whether that is news.
    pub(crate) fn confirm_below(&mut self, now: Instant, link: LinkId, revision: Revision) -> bool {
        // A revision above the one here is left from another life of the origin.
        revision <= self.revision && self.subscribers.confirm(now, link, revision, self.revision)
    }

    /// A shard has put a revision's routes in force.
    pub(crate) fn confirm_shard(&mut self, shard: ShardId, revision: Revision) {
        if revision <= self.revision {
            self.attachments.confirm(shard, revision);
        }
    }

    /// Revision in force on all shards here and at all relays below.
    pub(crate) fn in_force(&self) -> Revision {
        let confirmed = self.attachments.in_force().chain(self.subscribers.confirmed());
        confirmed.min().unwrap_or(self.revision).min(self.revision)
    }

    /// Holds an answer back until its revision is in force.
    pub(crate) fn hold(&mut self, answer: HeldAnswer) {
        self.held.push(answer);
    }

    /// Releases the answers whose revision is in force.
    pub(crate) fn release(&mut self, reached: Revision) -> Vec<HeldAnswer> {
        self.held.release(reached)
    }

    /// Confirms a revision to the parent.
    pub(crate) fn confirm_to_parent(&mut self, reached: Revision, out: &mut Outbox) {
        let Some(subscription) = &mut self.subscription else { return };
        if let Some(channel) = subscription.confirm(reached) {
            out.to_parent(&ToParent::Applied { channel, revision: reached });
        }
    }

    /// More may be in force here and below: the former parent is told as far as it has asked, and is
    /// kept for a moment more once the new one's state is in force.
    pub(crate) fn follow_in_force(&mut self, now: Instant, out: &mut Outbox) {
        self.handoff.note_in_force(now, self.in_force());
        self.confirm_to_former(out);
    }

    /// Names the relays below that did not confirm in time.
    pub(crate) fn check_subscribers(&mut self, now: Instant, out: &mut Outbox) {
        for link in self.subscribers.take_late(now) {
            out.lagging(link);
        }
    }

    /// Takes rulings of the origin, and passes them on. They are in force with the next state.
    ///
    /// # Errors
    /// [`TooManyRulings`]: the sender is not to be followed.
    pub(crate) fn take_rulings(
        &mut self,
        reset: bool,
        rulings: &[Ruling],
        lifted: &[PersonKey],
        out: &mut Outbox,
    ) -> Result<(), TooManyRulings> {
        self.rulings.take(reset, rulings, lifted)?;
        for (link, channel) in self.subscribers.channels() {
            send_pages(link, channel, reset, rulings.iter(), lifted, out);
        }
        Ok(())
    }

    /// Persons with changed rulings, once the state has come that these belong to.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<PersonKey> {
        self.rulings.take_touched()
    }

    /// Forgets news about persons that have been told.
    pub(crate) fn forget_news(&mut self, touched: &BTreeSet<PersonKey>) {
        self.rulings.forget_news(touched);
    }

    /// Takes the origin's count of listeners in the whole tree, and passes it on.
    pub(crate) fn spread_count(&mut self, count: u64, out: &mut Outbox) {
        self.counts.set_whole_tree(count);
        out.to_participants(self.id, self.shards(), &ToParticipant::Listeners { count });
        for (link, channel) in self.subscribers.channels() {
            out.to_child(link, &ToChild::Listeners { channel, count });
        }
    }

    /// Passes on the reactions of the whole tree.
    pub(crate) fn spread_reactions(&self, counts: BTreeMap<Reaction, u32>, out: &mut Outbox) {
        for (link, channel) in self.subscribers.channels() {
            out.to_child(link, &ToChild::Reactions { channel, counts: counts.clone() });
        }
        out.to_participants(self.id, self.shards(), &ToParticipant::Reactions { counts });
    }

    /// Sends reactions on, if it is time: upwards or, on the origin, downwards.
    pub(crate) fn send_reactions(&mut self, now: Instant, out: &mut Outbox) {
        let Some(counts) = self.reactions.take_due(now) else { return };
        match &self.subscription {
            None => self.spread_reactions(counts, out),
            Some(subscription) => {
                // Without a parent they are dropped: applause that nobody can hear is over.
                if let Some((_, channel)) = subscription.trunk() {
                    out.to_parent(&ToParent::Reactions { channel, counts });
                }
            }
        }
    }

    /// Sends the quality of the room upwards, if it is time.
    pub(crate) fn send_quality(&mut self, now: Instant, out: &mut Outbox) {
        let Some(channel) = self.channel() else { return };
        if let Some(quality) = self.quality.take_unsent(now) {
            out.to_parent(&ToParent::Quality { channel, quality });
        }
    }

    /// At the origin, decides what the room's speakers are to protect against, if it is time. Whether they are
    /// to be told.
    pub(crate) fn decide_protection(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let is_news = self.protection.decide(now);
        self.spread_protection(is_news, out)
    }

    /// Takes the parent's word about protection, and passes it on.
    pub(crate) fn take_protection(&mut self, protection: Protection, out: &mut Outbox) {
        let is_news = self.protection.handle_protect(protection);
        self.spread_protection(is_news, out);
    }

    /// The parent has said the state: what it has not said about protection before that is nothing.
    pub(crate) fn check_protection_told(&mut self, out: &mut Outbox) {
        let is_news = self.protection.handle_state();
        self.spread_protection(is_news, out);
    }

    fn spread_protection(&self, is_news: bool, out: &mut Outbox) -> bool {
        let protection = self.protection.current();
        if is_news {
            for (link, channel) in self.subscribers.channels() {
                out.to_child(link, &ToChild::Protect { channel, protection });
            }
        }
        is_news
    }

    /// When something is to be sent or given up next, counts of listeners aside.
    pub(crate) fn due(&self) -> Option<Instant> {
        // Without a parent there is nobody to send the quality to.
        let quality = self.channel().and_then(|_| self.quality.due());
        let (handoff, subscribers) = (self.handoff.due(), self.subscribers.due());
        let due = [self.reactions.due(), quality, self.protection.due(), handoff, subscribers];
        due.into_iter().flatten().min()
    }

    /// The part of a handoff that is over by now.
    pub(crate) fn handoff_over(&self, now: Instant) -> Option<HandoffEnd> {
        self.handoff.over(now)
    }

    fn send_state(&mut self, now: Instant, link: LinkId, out: &mut Outbox) {
        let revision = self.revision;
        let Some((channel, is_first)) = self.subscribers.expect(now, link, revision) else {
            return;
        };
        // Before the state, by which joins go on: the capacity of the room is held against it.
        let count = self.counts.whole_tree();
        if is_first && count > 0 {
            out.to_child(link, &ToChild::Listeners { channel, count });
        }
        let protection = self.protection.current();
        if is_first && protection != Protection::default() {
            out.to_child(link, &ToChild::Protect { channel, protection });
        }
        out.to_child(link, &ToChild::State { channel, revision, state: self.state.clone() });
    }

    fn confirm_to_former(&mut self, out: &mut Outbox) {
        let reached = self.in_force();
        if let Some((link, channel, revision)) = self.handoff.confirm(reached) {
            out.to_relay_above(link, &ToParent::Applied { channel, revision });
        }
    }
}

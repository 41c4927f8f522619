//! Moves without a gap. Somebody on the stage has come to be at home on another side: for a moment
//! frames of the side before are let in too. The relay itself has another parent: until what that one
//! says is in force here and below, the parent before is kept for its frames. Used by [`crate::room::Room`].
//!
//! Nobody else gets in by that: the former home is that very participant's, it counts only while they
//! are on the stage, and a silence is asked before either home.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::ids::{Channel, ParticipantId, Revision};

use crate::messages::{FormerHome, Hears, LinkId};
use crate::outbox::Outbox;
use crate::room::edge::members::Member;
use crate::room::{Place, Room};

/// How long frames of a former home are let in. The news of a move takes some hops of the tree to get
/// everywhere; until then each relay has them from the one side or the other.
const HOME_GRACE: Duration = Duration::from_secs(2);
/// How long a former parent is kept once the new one's state is in force: the news of those who speak
/// below gets to the relay where both ways meet within that, and what is on its way gets here.
const OVERLAP: Duration = Duration::from_secs(1);

/// Where those on the stage are at home, and where they were until a moment ago. As small as the stage.
#[derive(Debug, Default)]
pub(in crate::room) struct Homes {
    now: BTreeMap<ParticipantId, LinkId>,
    before: BTreeMap<ParticipantId, (LinkId, Instant)>,
    /// The children below which somebody who acts was until a moment ago, on the stage or not.
    left: BTreeMap<ParticipantId, (LinkId, Instant)>,
}

/// The parent before the one that the room is subscribed at now, while it is kept.
#[derive(Debug)]
pub(in crate::room) struct FormerParent {
    pub(in crate::room) link: LinkId,
    channel: Channel,
    /// What it has been told is in force here and below.
    confirmed: Revision,
    /// The last state that it has sent: what it waits to be told of.
    sent: Revision,
    /// The first state of the new parent that counts.
    awaited: Option<Revision>,
    /// Until when it is kept; `None` while that state is not in force.
    until: Option<Instant>,
}

impl Homes {
    /// Takes over where everybody is at home now, and notes who has moved.
    fn note(&mut self, now: Instant, homes: BTreeMap<ParticipantId, LinkId>) {
        self.before.retain(|who, (link, until)| {
            homes.get(who).is_some_and(|home| home != link) && *until > now
        });
        for (who, before) in &self.now {
            if homes.get(who).is_some_and(|home| home != before) {
                self.before.insert(*who, (*before, now + HOME_GRACE));
            }
        }
        self.now = homes;
    }

    /// When the first former home counts no more.
    pub(in crate::room) fn due(&self) -> Option<Instant> {
        self.before.values().map(|(_, until)| *until).min()
    }

    pub(in crate::room) fn former(&self, who: ParticipantId) -> Option<LinkId> {
        self.before.get(&who).map(|(link, _)| *link)
    }

    /// Somebody has turned up elsewhere than below that child.
    pub(in crate::room) fn note_move(
        &mut self,
        now: Instant,
        who: ParticipantId,
        before: Option<LinkId>,
    ) {
        self.left.retain(|_, (_, until)| *until > now);
        if let Some(child) = before {
            self.left.insert(who, (child, now + HOME_GRACE));
        }
    }

    /// Whether somebody was below that child until a moment ago, and is not now.
    pub(in crate::room) fn has_left(
        &self,
        now: Instant,
        who: ParticipantId,
        child: LinkId,
    ) -> bool {
        self.left.get(&who).is_some_and(|(left, until)| *left == child && *until > now)
    }

    /// A connection or trunk is gone.
    pub(in crate::room) fn forget(&mut self, link: LinkId) {
        self.now.retain(|_, now| *now != link);
        self.before.retain(|_, (before, _)| *before != link);
        self.left.retain(|_, (before, _)| *before != link);
    }
}

impl Room {
    /// Another parent is there beside the one that the room is subscribed at: subscribes there, and
    /// keeps the old one for its frames. What is asked from now on goes the new way; answers come by
    /// both.
    pub fn move_parent(&mut self, now: Instant, link: LinkId, channel: Channel, out: &mut Outbox) {
        let Place::Below { link: parent, known, confirmed } = &self.place else { return };
        let Some((old, old_channel)) = *parent else {
            return self.attach_parent(now, link, channel, out);
        };
        let (known, confirmed) = (*known, *confirmed);
        self.release_parent(now, out);
        self.former_parent = Some(FormerParent {
            link: old,
            channel: old_channel,
            confirmed,
            sent: if known { self.revision } else { confirmed },
            awaited: None,
            until: None,
        });
        let listeners = 0;
        out.to_relay_above(old, &ToParent::Audience { channel: old_channel, listeners });
        self.requests.age();
        self.ask_joins_again();
        self.subscribe(now, link, channel, out);
    }

    /// Whether the old parent is still kept beside the new one.
    #[must_use]
    pub const fn is_moving(&self) -> bool {
        self.former_parent.is_some()
    }

    /// The old parent says what the state is. What counts is what the new one says; but the old one
    /// counts on being told when this relay has as much in force.
    pub fn handle_former_state(&mut self, revision: Revision, out: &mut Outbox) {
        if let Some(former) = &mut self.former_parent {
            former.sent = revision;
            former.confirmed = former.confirmed.min(Revision(revision.0.saturating_sub(1)));
        }
        self.confirm_to_former(out);
    }

    /// Lets go of the old parent, if there is one.
    pub fn release_parent(&mut self, now: Instant, out: &mut Outbox) {
        let Some(former) = self.former_parent.take() else { return };
        out.to_relay_above(former.link, &ToParent::Unsubscribe { channel: former.channel });
        self.homes_of_stage.forget(former.link);
        self.unhost(former.link, out);
        self.lose_aged_requests(out);
        self.send_routes(now, out);
    }

    /// What time brings: a former parent or former homes that count no more.
    pub(in crate::room) fn check_moves(&mut self, now: Instant, out: &mut Outbox) {
        let kept = self.former_parent.as_ref().and_then(|former| former.until);
        if kept.is_some_and(|until| until <= now) {
            self.release_parent(now, out);
        } else if self.homes_of_stage.due().is_some_and(|due| due <= now) {
            self.send_routes(now, out);
        }
    }

    /// When [`Self::check_moves`] has something to do next.
    pub(in crate::room) fn move_due(&self) -> Option<Instant> {
        let kept = self.former_parent.as_ref().and_then(|former| former.until);
        [kept, self.homes_of_stage.due()].into_iter().flatten().min()
    }

    /// A state of the new parent has been taken over.
    pub(in crate::room) fn note_awaited(&mut self, revision: Revision) {
        if let Some(former) = &mut self.former_parent {
            former.awaited.get_or_insert(revision);
        }
    }

    /// Something more may be in force here and below: the old parent is told as far as it has asked,
    /// and is kept for a moment more once the new one's state is among it.
    pub(in crate::room) fn follow_in_force(&mut self, now: Instant, out: &mut Outbox) {
        let reached = self.in_force();
        if let Some(former) = &mut self.former_parent
            && former.until.is_none()
            && former.awaited.is_some_and(|awaited| awaited <= reached)
        {
            former.until = Some(now + OVERLAP);
        }
        self.confirm_to_former(out);
    }

    /// Confirms nothing that is not in force, and nothing that the old parent has not sent: it would
    /// take that for another life of the origin.
    fn confirm_to_former(&mut self, out: &mut Outbox) {
        let reached = self.in_force();
        let Some(former) = &mut self.former_parent else { return };
        let revision = former.sent.min(reached);
        if former.confirmed < revision {
            former.confirmed = revision;
            let channel = former.channel;
            out.to_relay_above(former.link, &ToParent::Applied { channel, revision });
        }
    }

    /// Notes where those on the stage are at home now.
    pub(in crate::room) fn note_homes(&mut self, now: Instant) {
        let on_stage = self.state.stage.iter().map(|entry| entry.participant);
        let homes = on_stage.filter_map(|who| Some((who, self.home_of(who)?))).collect();
        self.homes_of_stage.note(now, homes);
    }

    /// The connection of somebody here, or the trunk on whose side they are.
    pub(in crate::room) fn home_of(&self, who: ParticipantId) -> Option<LinkId> {
        // Nobody speaks by a connection that has not been let in.
        let here = self.members.get(&who).filter(|member| member.is_in()).map(Member::link);
        here.or_else(|| self.homes.get(&who).copied()).or_else(|| self.parent_link())
    }

    /// From where else their frames are let in.
    pub(in crate::room) fn former_home_of(&self, who: ParticipantId) -> Option<FormerHome> {
        let (home, parent) = (self.home_of(who), self.parent_link());
        if let Some(former) = &self.former_parent
            && home.is_some()
            && home == parent
        {
            return Some(FormerHome { link: former.link, hears: false });
        }
        let link = self.homes_of_stage.former(who).filter(|link| Some(*link) != home)?;
        Some(FormerHome { link, hears: true })
    }

    const fn parent_link(&self) -> Option<LinkId> {
        match &self.place {
            Place::Below { link: Some((link, _)), .. } => Some(*link),
            Place::Below { link: None, .. } | Place::Origin(_) => None,
        }
    }

    pub(in crate::room) fn subscribe(
        &mut self,
        now: Instant,
        link: LinkId,
        channel: Channel,
        out: &mut Outbox,
    ) {
        let Place::Below { link: parent, known, confirmed } = &mut self.place else { return };
        *parent = Some((link, channel));
        *known = false;
        *confirmed = Revision(0);
        let room = self.state.room.clone();
        out.to_parent(&ToParent::Subscribe { channel, room, heard: Vec::new() });
        self.host(link, Hears::Trunk(channel), out);
        self.announce_actors(out);
        let listeners = self.listeners();
        out.to_parent(&ToParent::Audience { channel, listeners });
        self.counts.said = listeners;
        self.send_routes(now, out);
    }
}

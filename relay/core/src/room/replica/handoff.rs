//! Handoff without a gap. A speaker has moved to another side of this relay: for a moment frames of the
//! former side are let in too. The relay has another parent: until the new parent's state is in force
//! here and below, the former one is kept for its frames. Part of [`crate::room::replica::Replica`].
//!
//! This admits no one else: the former home is that very participant's, it counts only while they are
//! on the stage, and a silence is checked before either home.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::ids::{Channel, ParticipantId, Revision};

use crate::messages::LinkId;

/// Time for which frames of a former home are let in. The news of a move takes some hops of the tree to
/// get everywhere; until then each relay has the frames from one side or the other.
const HOME_GRACE: Duration = Duration::from_secs(2);
/// Time for which a former parent is kept once the new one's state is in force: within it the news of
/// the speakers below reaches the relay where both ways meet, and frames in flight arrive.
const OVERLAP: Duration = Duration::from_secs(1);

/// Former homes of speakers, and the former parent.
#[derive(Debug, Default)]
pub(crate) struct Handoff {
    homes: StageHomes,
    parent: Option<FormerParent>,
}

/// Work that a handoff has left, and whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandoffEnd {
    /// The former parent is not needed any more.
    Parent,
    /// A former home counts no more.
    Home,
}

/// Homes of the stage, now and until a moment ago. As small as the stage.
#[derive(Debug, Default)]
struct StageHomes {
    now: BTreeMap<ParticipantId, LinkId>,
    before: BTreeMap<ParticipantId, (LinkId, Instant)>,
    /// Children that participants who act have left a moment ago, on the stage or not.
    left: BTreeMap<ParticipantId, (LinkId, Instant)>,
}

/// Parent before the present one, while it is kept.
#[derive(Debug)]
struct FormerParent {
    link: LinkId,
    channel: Channel,
    /// Confirmed to it as in force here and below.
    confirmed: Revision,
    /// The last state that it has sent: it waits for that one's confirmation.
    sent: Revision,
    /// First state of the new parent that counts.
    awaited: Option<Revision>,
    /// End of the overlap; `None` while that state is not in force.
    until: Option<Instant>,
}

impl Handoff {
    /// Keeps a former parent. `confirmed`, `sent`: revisions confirmed to it, and received from it.
    pub(crate) fn keep_parent(
        &mut self,
        (link, channel): (LinkId, Channel),
        confirmed: Revision,
        sent: Revision,
    ) {
        let (awaited, until) = (None, None);
        self.parent = Some(FormerParent { link, channel, confirmed, sent, awaited, until });
    }

    /// Trunk to the former parent, while it is kept.
    pub(crate) fn parent(&self) -> Option<LinkId> {
        self.parent.as_ref().map(|former| former.link)
    }

    /// Stops keeping the former parent.
    pub(crate) fn take_parent(&mut self) -> Option<(LinkId, Channel)> {
        self.parent.take().map(|former| (former.link, former.channel))
    }

    /// The former parent has sent a state, and counts on its confirmation.
    pub(crate) fn note_former_state(&mut self, revision: Revision) {
        if let Some(former) = &mut self.parent {
            former.sent = revision;
            former.confirmed = former.confirmed.min(Revision(revision.0.saturating_sub(1)));
        }
    }

    /// A state of the new parent has come.
    pub(crate) fn note_new_state(&mut self, revision: Revision) {
        if let Some(former) = &mut self.parent {
            former.awaited.get_or_insert(revision);
        }
    }

    /// A revision is in force here and below: the overlap begins once the new parent's state is.
    pub(crate) fn note_in_force(&mut self, now: Instant, reached: Revision) {
        if let Some(former) = &mut self.parent
            && former.until.is_none()
            && former.awaited.is_some_and(|awaited| awaited <= reached)
        {
            former.until = Some(now + OVERLAP);
        }
    }

    /// Confirmation due to the former parent. Nothing is confirmed that is not in force, and nothing
    /// that it has not sent: it would take that for another life of the origin.
    pub(crate) fn confirm(&mut self, reached: Revision) -> Option<(LinkId, Channel, Revision)> {
        let former = self.parent.as_mut()?;
        let revision = former.sent.min(reached);
        if former.confirmed >= revision {
            return None;
        }
        former.confirmed = revision;
        Some((former.link, former.channel, revision))
    }

    /// Takes over the present homes of the stage, and notes the changes.
    pub(crate) fn note_homes(&mut self, now: Instant, homes: BTreeMap<ParticipantId, LinkId>) {
        let StageHomes { now: known, before, left: _ } = &mut self.homes;
        before.retain(|who, (link, until)| {
            homes.get(who).is_some_and(|home| home != link) && *until > now
        });
        for (who, former) in &*known {
            if homes.get(who).is_some_and(|home| home != former) {
                before.insert(*who, (*former, now + HOME_GRACE));
            }
        }
        *known = homes;
    }

    /// Former home of a participant on the stage.
    pub(crate) fn former_home(&self, who: ParticipantId) -> Option<LinkId> {
        self.homes.before.get(&who).map(|(link, _)| *link)
    }

    /// A participant has left that child for another side.
    pub(crate) fn note_move(&mut self, now: Instant, who: ParticipantId, before: Option<LinkId>) {
        let left = &mut self.homes.left;
        left.retain(|_, (_, until)| *until > now);
        if let Some(child) = before {
            left.insert(who, (child, now + HOME_GRACE));
        }
    }

    /// Whether a participant has left that child a moment ago, and is elsewhere now.
    pub(crate) fn has_left(&self, now: Instant, who: ParticipantId, child: LinkId) -> bool {
        self.homes.left.get(&who).is_some_and(|(left, until)| *left == child && *until > now)
    }

    /// A connection or trunk is gone.
    pub(crate) fn forget(&mut self, link: LinkId) {
        self.homes.now.retain(|_, now| *now != link);
        self.homes.before.retain(|_, (before, _)| *before != link);
        self.homes.left.retain(|_, (before, _)| *before != link);
    }

    /// The part of a handoff that is over by now, the parent's first.
    pub(crate) fn over(&self, now: Instant) -> Option<HandoffEnd> {
        if self.overlap_until().is_some_and(|until| until <= now) {
            Some(HandoffEnd::Parent)
        } else if self.home_until().is_some_and(|until| until <= now) {
            Some(HandoffEnd::Home)
        } else {
            None
        }
    }

    /// When [`Self::over`] is to be asked next.
    pub(crate) fn due(&self) -> Option<Instant> {
        [self.overlap_until(), self.home_until()].into_iter().flatten().min()
    }

    fn overlap_until(&self) -> Option<Instant> {
        self.parent.as_ref().and_then(|former| former.until)
    }

    fn home_until(&self) -> Option<Instant> {
        self.homes.before.values().map(|(_, until)| *until).min()
    }
}

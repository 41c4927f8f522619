//! How well a room is heard: participants' reports, kept one each and folded; what relays below have
//! folded, added; the sum passed on upwards. Used by [`crate::room::Room`].

use std::time::{Duration, Instant};

use tribune_protocol::control::participant::{ListenerReports, ToParticipant};
use tribune_protocol::control::query::{TreeAnswer, TreeQuery};
use tribune_protocol::control::trunk::ToParent;
use tribune_protocol::ids::{DisplayName, ParticipantId, RequestId};
use tribune_protocol::limits::{MAX_LISTENERS_A_MESSAGE, MIN_REPORT_PERIOD, REPORT_PERIOD};
use tribune_protocol::quality::report::{ListenerReport, Ranking, Report};
use tribune_protocol::quality::{Quality, QualitySummary};

use crate::messages::{Hears, LinkId};
use crate::outbox::{Noted, Outbox};
use crate::room::{Place, Room};

/// Half of the time over which "how it is heard at the moment" is told: long enough for a dozen reports of
/// each listener, short enough to see what has just happened.
const HALF_WINDOW: Duration = Duration::from_secs(30);

/// Reports of the last half to whole minute.
#[derive(Debug, Default)]
pub struct Recent {
    current: Quality,
    before: Quality,
    /// When `current` began.
    since: Option<Instant>,
}

/// What a room's relay keeps of how the room is heard, at it and below.
#[derive(Debug, Default)]
pub(in crate::room) struct Hearing {
    recent: Recent,
    /// What the parent has not been told yet.
    unsaid: Quality,
    say_from: Option<Instant>,
}

impl Recent {
    /// Adds a report.
    pub fn add(&mut self, now: Instant, report: &Report) {
        self.turn(now);
        self.current.add(report);
    }

    /// Adds what others have folded.
    pub fn merge(&mut self, now: Instant, quality: &Quality) {
        self.turn(now);
        self.current.merge(quality);
    }

    /// All of them.
    #[must_use]
    pub fn quality(&self, now: Instant) -> Quality {
        let age = self.since.map_or(Duration::MAX, |since| now.saturating_duration_since(since));
        let mut quality = Quality::default();
        if age < 2 * HALF_WINDOW {
            quality.merge(&self.current);
        }
        if age < HALF_WINDOW {
            quality.merge(&self.before);
        }
        quality
    }

    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age < HALF_WINDOW {
            return;
        }
        let current = std::mem::take(&mut self.current);
        self.before = if age < 2 * HALF_WINDOW { current } else { Quality::default() };
        self.since = Some(now);
    }
}

impl Hearing {
    /// What waits to be said. The first of it is waited for too: reports of many who came at once make
    /// one sum.
    fn unsaid(&mut self, now: Instant) -> &mut Quality {
        self.say_from.get_or_insert(now + REPORT_PERIOD);
        &mut self.unsaid
    }
}

impl Room {
    /// A member says how it hears. What comes too soon, or from somebody who hears nothing, does not count.
    pub fn handle_report(
        &mut self,
        now: Instant,
        who: ParticipantId,
        report: &Report,
        out: &mut Outbox,
    ) {
        let hears = self.hears(who) != Hears::Nothing;
        let member = self.members.get_mut(&who).filter(|member| member.is_in());
        let Some(member) = member.filter(|member| {
            let soon = |(at, _): &(Instant, Report)| now < *at + MIN_REPORT_PERIOD;
            hears && !member.report.as_ref().is_some_and(soon)
        }) else {
            return out.note(Noted::ReportRefused);
        };
        let report = report.bounded();
        member.report = Some((now, report));
        out.note(Noted::Reported(report));
        let hearing = self.hearing.get_or_insert_default();
        hearing.recent.add(now, &report);
        if matches!(self.place, Place::Below { .. }) {
            hearing.unsaid(now).add(&report);
        }
        self.say_quality(now, out);
    }

    /// A relay below says how the room has been heard there.
    pub fn handle_quality_below(
        &mut self,
        now: Instant,
        link: LinkId,
        quality: &Quality,
        out: &mut Outbox,
    ) {
        let Some(child) = self.children.get_mut(&link) else { return };
        if child.quality_at.is_some_and(|at| now < at + MIN_REPORT_PERIOD) || quality.is_empty() {
            return;
        }
        child.quality_at = Some(now);
        let hearing = self.hearing.get_or_insert_default();
        hearing.recent.merge(now, quality);
        if matches!(self.place, Place::Below { .. }) {
            hearing.unsaid(now).merge(quality);
        }
        self.say_quality(now, out);
    }

    /// How the room is heard at this relay and below, over the last minute; `None` if nobody has said.
    #[must_use]
    pub fn quality(&self, now: Instant) -> Option<QualitySummary> {
        self.hearing.as_ref()?.recent.quality(now).summary()
    }

    /// What members of this relay have said of how they hear, as far as it is asked for.
    #[must_use]
    pub fn sight(&self, now: Instant, about: &TreeQuery, relay: &DisplayName) -> TreeAnswer {
        let mut listeners = match about {
            TreeQuery::Listeners { worst, by, .. } => {
                let everybody = self.members.keys().copied();
                let reports = everybody.filter_map(|who| self.listener(now, who, relay));
                worst_first(reports.collect(), *by, usize::from(*worst))
            }
            TreeQuery::Listener { participant, .. } => {
                self.listener(now, *participant, relay).into_iter().collect()
            }
            TreeQuery::Relays {} | TreeQuery::Unknown => Vec::new(),
        };
        listeners.truncate(MAX_LISTENERS_A_MESSAGE);
        TreeAnswer { listeners, ..TreeAnswer::default() }
    }

    /// The relays below that carry the room, each with the levels below it.
    pub fn carriers(&self) -> impl Iterator<Item = (LinkId, u8)> {
        self.children.iter().map(|(link, child)| (*link, child.height()))
    }

    /// Answers somebody who asked about single listeners.
    pub fn handle_seen(
        &mut self,
        now: Instant,
        to: ParticipantId,
        request: Option<RequestId>,
        sight: TreeAnswer,
        out: &mut Outbox,
    ) {
        let TreeAnswer { listeners, missing, relays: _ } = sight;
        let reports = ListenerReports { room: self.quality(now), listeners, missing };
        self.deliver(now, to, request, ToParticipant::ListenerReports(reports), out);
    }

    pub(in crate::room) fn quality_due(&self) -> Option<Instant> {
        let hearing = self.hearing.as_ref().filter(|hearing| !hearing.unsaid.is_empty())?;
        // Without a parent there is nobody to tell.
        self.channel().and(hearing.say_from)
    }

    /// Says upwards how the room has been heard since, if it is time.
    pub(in crate::room) fn say_quality(&mut self, now: Instant, out: &mut Outbox) {
        let Some(channel) = self.channel() else { return };
        let Some(hearing) = self.hearing.as_mut().filter(|hearing| !hearing.unsaid.is_empty())
        else {
            return;
        };
        if hearing.say_from.is_some_and(|from| now < from) {
            return;
        }
        hearing.say_from = Some(now + REPORT_PERIOD);
        let quality = std::mem::take(&mut hearing.unsaid);
        out.to_parent(&ToParent::Quality { channel, quality });
    }

    fn listener(
        &self,
        now: Instant,
        who: ParticipantId,
        relay: &DisplayName,
    ) -> Option<ListenerReport> {
        let member = self.members.get(&who)?;
        let (at, report) = member.report?;
        let age = now.saturating_duration_since(at).as_millis();
        Some(ListenerReport {
            participant: who,
            name: member.name.clone(),
            role: self.role_now(who),
            relay: relay.clone(),
            age_ms: u32::try_from(age).unwrap_or(u32::MAX),
            report,
        })
    }
}

/// The worst of them by a measure, the worst first; of equals the one with the lower id.
#[must_use]
pub fn worst_first(
    mut listeners: Vec<ListenerReport>,
    by: Ranking,
    count: usize,
) -> Vec<ListenerReport> {
    let key = |listener: &ListenerReport| {
        (std::cmp::Reverse(by.of(&listener.report)), listener.participant)
    };
    if count < listeners.len() {
        // A room can have tens of thousands here: only the few that are wanted are put in order.
        listeners.select_nth_unstable_by_key(count, key);
        listeners.truncate(count);
    }
    listeners.sort_by_key(key);
    listeners
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tribune_protocol::domain::room::Role;

    use super::*;

    fn listener(id: u64, concealed: u32) -> ListenerReport {
        let report = Report { received: 1_000, concealed, ..Report::default() };
        ListenerReport {
            participant: ParticipantId(id),
            name: "Ada".parse().unwrap(),
            role: Role::Listener,
            relay: "leaf".parse().unwrap(),
            age_ms: 0,
            report,
        }
    }

    proptest! {
        #[test]
        fn the_worst_are_those_at_the_front_of_all_in_order(
            concealed in prop::collection::vec(0u32..50, 0..60), count in 0usize..40,
        ) {
            let all: Vec<_> =
                concealed.iter().zip(0..).map(|(concealed, id)| listener(id, *concealed)).collect();
            let whole = worst_first(all.clone(), Ranking::Concealed, usize::MAX);
            prop_assert!(whole.is_sorted_by_key(|l| (std::cmp::Reverse(l.report.concealed), l.participant)));
            let some = worst_first(all, Ranking::Concealed, count);
            prop_assert_eq!(&some[..], &whole[..count.min(whole.len())]);
        }
    }

    #[test]
    fn what_is_recent_is_forgotten_after_a_minute() {
        let start = Instant::now();
        let report = Report { received: 1, ..Report::default() };
        let mut recent = Recent::default();
        assert!(recent.quality(start).is_empty());
        recent.add(start, &report);
        recent.add(start + Duration::from_secs(29), &report);
        recent.add(start + Duration::from_secs(31), &report);
        let after = |s| recent.quality(start + Duration::from_secs(s)).reports;
        assert_eq!((after(32), after(60), after(62), after(92)), (3, 3, 1, 0));
        recent.add(start + Duration::from_secs(200), &report);
        assert_eq!(recent.quality(start + Duration::from_secs(201)).reports, 1);
    }
}

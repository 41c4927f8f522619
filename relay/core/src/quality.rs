//! Listeners' reports as a relay keeps them: folded over the last minute, and ranked. Used by rooms, by
//! the hub and by [`crate::tree::query`].

use std::time::{Duration, Instant};

use tribune_protocol::quality::Quality;
use tribune_protocol::quality::report::{ListenerReport, Ranking, Report};

/// Half of the window of "recent": long enough for a dozen reports of each listener, short enough to
/// show what has just happened.
const HALF_WINDOW: Duration = Duration::from_secs(30);

/// Reports of the last 30 to 60 seconds.
#[derive(Debug, Default)]
pub struct RecentQuality {
    current: Quality,
    before: Quality,
    /// Start of `current`.
    since: Option<Instant>,
}

impl RecentQuality {
    /// Adds a report.
    pub fn add(&mut self, now: Instant, report: &Report) {
        self.turn(now);
        self.current.add(report);
    }

    /// Adds reports folded elsewhere.
    pub fn merge(&mut self, now: Instant, quality: &Quality) {
        self.turn(now);
        self.current.merge(quality);
    }

    /// Fold of all recent reports.
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

/// The worst listeners by a measure, the worst first; of equals the one with the lower id.
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
    use tribune_protocol::domain::profile::Profile;
    use tribune_protocol::domain::role::Role;
    use tribune_protocol::ids::ParticipantId;

    use super::*;

    fn listener(id: u64, concealed: u32) -> ListenerReport {
        let report = Report { received: 1_000, concealed, ..Report::default() };
        ListenerReport {
            participant: ParticipantId(id),
            name: "Ada".parse().unwrap(),
            role: Role::Listener,
            relay: "leaf".parse().unwrap(),
            profile: Profile::Live,
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
        let mut recent = RecentQuality::default();
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

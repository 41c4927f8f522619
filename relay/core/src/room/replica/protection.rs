//! Protection that a room's speakers are asked for: decided at the origin by the listeners' reports, known
//! at every relay. Part of [`crate::room::replica::Replica`]. SPEC.md section 8.22.
//!
//! The worst tenth of the listeners decides, so that one who says what is not true decides nothing in a
//! room of any size; in a small room each listener counts, and the bounds of [`Protection`] are what a lie
//! can cost. Pure: `now` is a parameter.

use std::time::{Duration, Instant};

use tribune_protocol::domain::protection::Protection;
use tribune_protocol::limits::REPORT_PERIOD;
use tribune_protocol::quality::protection_filter::{Losses, ProtectionFilter};
use tribune_protocol::quality::report::Report;
use tribune_protocol::quality::{Measure, Quality};

/// Time between two decisions: two reports of each listener.
const DECISION_PERIOD: Duration = Duration::from_secs(2 * REPORT_PERIOD.as_secs());
/// Time without a word about losses after which they are taken for over.
const FORGET: Duration = Duration::from_secs(60);
/// Share of reports that the loss protected against is not above: all but the worst tenth.
const LOSS_QUANTILE: f64 = 0.9;
/// Share of reports with losses whose runs are no longer than those protected against.
const RUN_QUANTILE: f64 = 0.5;

/// The protection as it is known here.
#[derive(Debug, Default)]
pub(crate) struct RoomProtection {
    current: Protection,
    /// The parent has said it, or begun to say what is in force without it.
    is_told: bool,
    /// At the origin, from the first report on.
    policy: Option<Box<ProtectionPolicy>>,
}

impl RoomProtection {
    /// The protection that speakers are asked for.
    pub(crate) const fn current(&self) -> Protection {
        self.current
    }

    /// The policy, at the origin.
    pub(crate) fn policy(&mut self) -> &mut ProtectionPolicy {
        self.policy.get_or_insert_default()
    }

    /// When the policy decides next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.policy.as_ref()?.due()
    }

    /// Takes the policy's decision. Whether it is another one.
    pub(crate) fn decide(&mut self, now: Instant) -> bool {
        let decided = self.policy.as_mut().and_then(|policy| policy.poll_decision(now));
        decided.is_some_and(|protection| self.replace(protection))
    }

    /// Another parent is asked from now on.
    pub(crate) const fn begin_anew(&mut self) {
        self.is_told = false;
    }

    /// The parent says what to protect against. Whether that is another protection.
    pub(crate) fn handle_protect(&mut self, protection: Protection) -> bool {
        self.is_told = true;
        self.replace(protection.bounded())
    }

    /// The parent says the room's state: what has not been said before the first one is nothing. Whether that
    /// is another protection.
    pub(crate) fn handle_state(&mut self) -> bool {
        let was_told = std::mem::replace(&mut self.is_told, true);
        !was_told && self.replace(Protection::default())
    }

    fn replace(&mut self, protection: Protection) -> bool {
        std::mem::replace(&mut self.current, protection) != protection
    }
}

/// Decision about a room's protection.
#[derive(Debug, Default)]
pub(crate) struct ProtectionPolicy {
    /// Reports since the last decision.
    reports: Quality,
    /// When they are looked at.
    due: Option<Instant>,
    filter: ProtectionFilter,
    /// Time of the last decision that was by reports of somebody who heard somebody.
    heard_at: Option<Instant>,
}

impl ProtectionPolicy {
    /// Adds a participant's report.
    pub(crate) fn handle_report(&mut self, now: Instant, report: &Report) {
        self.reports.add(report);
        self.due.get_or_insert(now + DECISION_PERIOD);
    }

    /// Adds a child's fold.
    pub(crate) fn handle_quality(&mut self, now: Instant, quality: &Quality) {
        self.reports.merge(quality);
        self.due.get_or_insert(now + DECISION_PERIOD);
    }

    /// When [`Self::poll_decision`] has something to say.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The protection from now on, if it is time to decide.
    pub(crate) fn poll_decision(&mut self, now: Instant) -> Option<Protection> {
        self.due.filter(|due| *due <= now)?;
        let reports = std::mem::take(&mut self.reports);
        let quantile = |measure, share| reports.of(measure).quantile(measure, share);
        if let Some(loss_ppm) = quantile(Measure::Loss, LOSS_QUANTILE) {
            let run_length = quantile(Measure::RunLength, RUN_QUANTILE);
            self.filter.handle_losses(now, Losses { loss_ppm, run_length });
            self.heard_at = Some(now);
        } else if self.heard_at.is_none_or(|at| now.saturating_duration_since(at) >= FORGET) {
            self.filter.forget();
        }
        let protection = self.filter.protection();
        // Without protection there is nothing to end, and the next report sets the time.
        let goes_on = protection != Protection::default();
        self.due = goes_on.then_some(now + DECISION_PERIOD);
        Some(protection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SINGLE: Protection = Protection::Single { loss_percent: 10 };
    const BURSTS: Protection = Protection::Bursts { loss_percent: 10, span_ms: 240 };

    /// Loss of a listener of 250 frames, in frames and runs.
    type Loss = (u32, u32);
    /// 8 % at random.
    const RANDOM: Loss = (20, 18);
    /// 8 % in bursts of three.
    const IN_BURSTS: Loss = (20, 7);
    const NONE: Loss = (0, 0);

    /// An audience that reports every five seconds.
    struct Audience {
        policy: ProtectionPolicy,
        now: Instant,
        changes: Vec<Protection>,
    }

    impl Audience {
        fn new() -> Self {
            Self { policy: ProtectionPolicy::default(), now: Instant::now(), changes: Vec::new() }
        }

        fn pass(&mut self, seconds: u64, listeners: &[Loss]) -> Protection {
            for second in 0..seconds {
                if second % 5 == 0 {
                    for (lost, runs) in listeners {
                        let (lost, runs) = (*lost, *runs);
                        let report =
                            Report { received: 250 - lost, lost, runs, ..Report::default() };
                        self.policy.handle_report(self.now, &report);
                    }
                }
                self.now += SECOND;
                let before = self.policy.filter.protection();
                if let Some(now) = self.policy.poll_decision(self.now)
                    && now != before
                {
                    self.changes.push(now);
                }
            }
            self.policy.filter.protection()
        }
    }

    #[test]
    fn what_is_lost_decides_what_is_protected_against() {
        for (loss, wanted) in [
            (NONE, Protection::default()),
            ((1, 1), Protection::default()),
            ((4, 4), Protection::Single { loss_percent: 5 }),
            (RANDOM, SINGLE),
            ((80, 55), Protection::Single { loss_percent: 20 }),
            ((10, 5), Protection::Bursts { loss_percent: 5, span_ms: 120 }),
            (IN_BURSTS, BURSTS),
            ((20, 0), SINGLE), // of an older version
        ] {
            let mut audience = Audience::new();
            assert_eq!(audience.pass(10, &[loss]), wanted, "{loss:?}");
        }
    }

    #[test]
    fn it_ends_half_a_minute_after_the_loss() {
        let mut audience = Audience::new();
        assert_eq!(audience.pass(30, &[RANDOM]), SINGLE);
        assert_eq!(audience.pass(39, &[NONE]), SINGLE);
        assert_eq!(audience.pass(11, &[NONE]), Protection::default());
        assert_eq!(audience.changes.len(), 2);
        let due = audience.policy.due().expect("a report waits");
        assert!(due > audience.now && due < audience.now + DECISION_PERIOD);
    }

    #[test]
    fn a_spell_without_loss_does_not_end_it() {
        let mut audience = Audience::new();
        audience.pass(10, &[IN_BURSTS]);
        for _ in 0..10 {
            audience.pass(20, &[NONE]);
            audience.pass(10, &[IN_BURSTS]);
        }
        assert_eq!(audience.changes, [BURSTS]);
    }

    #[test]
    fn silence_keeps_it_for_a_minute() {
        let mut audience = Audience::new();
        audience.pass(10, &[RANDOM]);
        assert_eq!(audience.pass(50, &[]), SINGLE);
        assert_eq!(audience.pass(60, &[]), Protection::default());
        assert_eq!(audience.policy.due(), None, "nothing is to be decided");
    }

    /// Ten of a hundred say what is worst for the others, in each round something else.
    #[test]
    fn a_tenth_that_lies_decides_nothing() {
        for honest in [NONE, RANDOM, IN_BURSTS] {
            let wanted = Audience::new().pass(10, &[honest; 90]);
            let mut audience = Audience::new();
            audience.pass(10, &[honest; 100]);
            for lie in [(249, 1), (0, 0), (249, 249), (0, 0), (125, 1)] {
                let mut all = vec![honest; 90];
                all.extend([lie; 10]);
                assert_eq!(audience.pass(40, &all), wanted, "{honest:?} {lie:?}");
            }
            assert!(audience.changes.len() <= 1, "{honest:?}: {:?}", audience.changes);
        }
    }

    #[test]
    fn a_new_parent_that_says_nothing_before_its_state_wants_nothing() {
        let mut known = RoomProtection::default();
        assert!(known.handle_protect(BURSTS));
        assert!(!known.handle_state(), "the next state of the same parent");
        known.begin_anew();
        assert!(!known.handle_protect(BURSTS));
        assert!(!known.handle_state());
        assert_eq!(known.current(), BURSTS);
        known.begin_anew();
        assert!(known.handle_state());
        assert_eq!(known.current(), Protection::default());
        let wild = Protection::Bursts { loss_percent: 255, span_ms: u16::MAX };
        assert!(known.handle_protect(wild));
        assert_eq!(known.current(), Protection::Bursts { loss_percent: 20, span_ms: 240 });
    }
}

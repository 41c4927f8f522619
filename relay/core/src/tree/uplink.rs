//! Uplink to one parent: dial, greet, attached; failover to the next one on the list when it is lost,
//! with a backoff when none answers. A parent that stops soon is kept until another has been found
//! beside it. Used by the hub.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use tribune_protocol::codes::CloseCode;
use tribune_protocol::ids::{DisplayName, RelayId};

use super::target::{Search, Target, pause, targets};
use crate::counters::TrunkState;
use crate::messages::{DialId, LinkId};
use crate::tree::host_port::HostPort;

/// Time for a parent from the first packet to `welcome`.
const GREETING_PATIENCE: Duration = Duration::from_secs(5);
/// Time for which a parent may be without a way to the origin before another is tried.
const ROOTLESS_PATIENCE: Duration = Duration::from_secs(10);

/// See the module's documentation. A relay without parents is an origin and stays one.
#[derive(Debug)]
pub struct Uplink {
    own: RelayId,
    parents: Vec<HostPort>,
    state: State,
    /// The parent that is tried, or was attached last, by its place on the list.
    next: usize,
    /// Attempts since the last success.
    failures: u32,
    dials: u32,
    rng: StdRng,
}

/// State of the uplink.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Origin,
    /// Without a parent.
    Seeking {
        target: Target,
        step: Step,
    },
    Attached(Attached),
}

/// Step of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Pausing { until: Instant },
    Dialling { dial: DialId, until: Instant },
    Greeting { link: LinkId, until: Instant },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Attached {
    link: LinkId,
    target: Target,
    path: Vec<RelayId>,
    name: DisplayName,
    rootless: Option<Instant>,
    /// The parent stops soon, and there are others to try.
    handoff: Option<Handoff>,
}

/// Attempt at another parent beside the one that stops.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Handoff {
    search: Search,
    step: Step,
}

/// Effect for the hub to carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachEffect {
    /// Dial a parent.
    Dial {
        /// The attempt.
        dial: DialId,
        /// The parent.
        target: Target,
    },
    /// Say `hello`.
    Greet {
        /// The trunk.
        link: LinkId,
    },
    /// The trunk is up: subscribe the rooms.
    Attached {
        /// The trunk.
        link: LinkId,
    },
    /// Another trunk is up beside the one to a parent that stops: move the rooms, then close that one.
    Moved {
        /// The trunk to the parent that stops.
        from: LinkId,
        /// The new one.
        to: LinkId,
    },
    /// The way from the origin to here has changed: tell the children.
    PathChanged,
    /// The trunk is lost, or given up: detach the rooms.
    Lost {
        /// The trunk.
        link: LinkId,
        /// Code to close it with, if it is still open.
        close: Option<CloseCode>,
    },
    /// Close a trunk that was not attached yet.
    GiveUp {
        /// The trunk.
        link: LinkId,
        /// Code to close it with.
        close: CloseCode,
    },
}

impl Uplink {
    /// A relay with parents to choose from, in order. The seed spreads the pauses.
    #[must_use]
    pub fn new(own: RelayId, parents: Vec<HostPort>, now: Instant, seed: [u8; 32]) -> Self {
        let state = if parents.is_empty() {
            State::Origin
        } else {
            State::Seeking { target: Target::on_list(0), step: Step::Pausing { until: now } }
        };
        let rng = StdRng::from_seed(seed);
        Self { own, parents, state, next: 0, failures: 0, dials: 0, rng }
    }

    /// Whether the relay has no parents: it is the origin of its rooms.
    #[must_use]
    pub fn is_origin(&self) -> bool {
        self.state == State::Origin
    }

    /// The trunk to the parent, while attached.
    #[must_use]
    pub const fn parent(&self) -> Option<LinkId> {
        match &self.state {
            State::Attached(attached) => Some(attached.link),
            State::Origin | State::Seeking { .. } => None,
        }
    }

    /// State of the uplink, for metrics.
    #[must_use]
    pub const fn stage(&self) -> TrunkState {
        match &self.state {
            State::Origin => TrunkState::Origin,
            State::Seeking { step: Step::Pausing { .. }, .. } => TrunkState::Pausing,
            State::Seeking { step: Step::Dialling { .. }, .. } => TrunkState::Dialling,
            State::Seeking { step: Step::Greeting { .. }, .. } => TrunkState::Greeting,
            State::Attached(Attached { handoff: None, .. }) => TrunkState::Attached,
            State::Attached(Attached { handoff: Some(_), .. }) => TrunkState::Moving,
        }
    }

    /// Display name of the parent.
    #[must_use]
    pub const fn parent_name(&self) -> Option<&DisplayName> {
        match &self.state {
            State::Attached(attached) => Some(&attached.name),
            State::Origin | State::Seeking { .. } => None,
        }
    }

    /// The relays from the origin down to this one; empty while there is no way to the origin.
    #[must_use]
    pub fn path(&self) -> Vec<RelayId> {
        match &self.state {
            State::Origin => vec![self.own],
            State::Attached(Attached { path, .. }) if !path.is_empty() => {
                path.iter().copied().chain([self.own]).collect()
            }
            State::Attached(_) | State::Seeking { .. } => Vec::new(),
        }
    }

    /// The next step, if it is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<AttachEffect> {
        match self.cloned_step() {
            Some((target, Step::Pausing { until })) if until <= now => {
                let dial = DialId(self.dials);
                self.dials = self.dials.wrapping_add(1);
                self.set_step(Step::Dialling { dial, until: now + GREETING_PATIENCE });
                return Some(AttachEffect::Dial { dial, target });
            }
            Some((_, Step::Dialling { until, .. })) if until <= now => self.fail(now),
            Some((_, Step::Greeting { link, until })) if until <= now => {
                self.fail(now);
                return Some(AttachEffect::GiveUp { link, close: CloseCode::Done });
            }
            Some(_) | None => {}
        }
        let due = self.rootless_until().is_some_and(|until| until <= now);
        let link = self.parent().filter(|_| due)?;
        self.lose(now);
        Some(AttachEffect::Lost { link, close: Some(CloseCode::Done) })
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let step = self.step().map(|(_, step)| match step {
            Step::Pausing { until }
            | Step::Dialling { until, .. }
            | Step::Greeting { until, .. } => *until,
        });
        [step, self.rootless_until()].into_iter().flatten().min()
    }

    /// The trunk is up. One of an earlier attempt is closed.
    pub fn handle_dialled(&mut self, now: Instant, dial: DialId, link: LinkId) -> AttachEffect {
        if !self.is_dialling(dial) {
            return AttachEffect::GiveUp { link, close: CloseCode::Done };
        }
        self.set_step(Step::Greeting { link, until: now + GREETING_PATIENCE });
        AttachEffect::Greet { link }
    }

    /// The parent did not answer.
    pub fn handle_dial_failed(&mut self, now: Instant, dial: DialId) {
        if self.is_dialling(dial) {
            self.fail(now);
        }
    }

    /// The parent takes this relay.
    pub fn handle_welcome(
        &mut self,
        now: Instant,
        from: LinkId,
        path: Vec<RelayId>,
        name: DisplayName,
    ) -> Option<AttachEffect> {
        let (target, step) = self.step()?;
        if !matches!(step, Step::Greeting { link, .. } if *link == from) {
            return None;
        }
        let (target, old) = (target.clone(), self.parent());
        if path.contains(&self.own) {
            self.fail(now);
            return Some(AttachEffect::GiveUp { link: from, close: CloseCode::TrunkLoop });
        }
        // Without a way to the origin it is worse than the one that has not stopped yet.
        if old.is_some() && path.is_empty() {
            self.fail(now);
            return Some(AttachEffect::GiveUp { link: from, close: CloseCode::Done });
        }
        self.failures = 0;
        self.next = target.parent;
        let rootless = path.is_empty().then_some(now);
        let handoff = None;
        self.state =
            State::Attached(Attached { link: from, target, path, name, rootless, handoff });
        Some(match old {
            Some(old) => AttachEffect::Moved { from: old, to: from },
            None => AttachEffect::Attached { link: from },
        })
    }

    /// The parent's own place has changed.
    pub fn handle_path(
        &mut self,
        now: Instant,
        from: LinkId,
        new: Vec<RelayId>,
    ) -> Option<AttachEffect> {
        let State::Attached(attached) = &mut self.state else { return None };
        if attached.link != from || attached.path == new {
            return None;
        }
        if new.contains(&self.own) {
            self.lose(now);
            let close = Some(CloseCode::TrunkLoop);
            return Some(AttachEffect::Lost { link: from, close });
        }
        attached.rootless = new.is_empty().then_some(now);
        attached.path = new;
        Some(AttachEffect::PathChanged)
    }

    /// The trunk is gone.
    pub fn handle_closed(&mut self, now: Instant, gone: LinkId) -> Option<AttachEffect> {
        if self.parent() == Some(gone) {
            self.lose(now);
            return Some(AttachEffect::Lost { link: gone, close: None });
        }
        let (_, step) = self.step()?;
        if matches!(step, Step::Greeting { link, .. } if *link == gone) {
            self.fail(now);
        }
        None
    }

    /// The parent stops soon: another is looked for beside it, first the one that it names. Without any other
    /// it is kept until it closes the trunk.
    pub fn handle_go_away(
        &mut self,
        now: Instant,
        from: LinkId,
        to: Option<&str>,
    ) -> Option<AttachEffect> {
        let State::Attached(attached) = &mut self.state else { return None };
        if attached.link != from {
            return None;
        }
        let targets = targets(&self.parents, &attached.target, to);
        // Said again, with the same place: the search goes on as it is.
        if attached.handoff.as_ref().is_some_and(|handoff| handoff.search.is_of(&targets)) {
            return None;
        }
        let step = Step::Pausing { until: now };
        let handoff = Search::new(targets).map(|search| Handoff { search, step });
        match std::mem::replace(&mut attached.handoff, handoff).map(|handoff| handoff.step) {
            Some(Step::Greeting { link, .. }) => {
                Some(AttachEffect::GiveUp { link, close: CloseCode::Done })
            }
            // A dial that is under way is closed when it is up.
            Some(Step::Pausing { .. } | Step::Dialling { .. }) | None => None,
        }
    }

    /// The attempt that is under way, if there is one.
    fn step(&self) -> Option<(&Target, &Step)> {
        match &self.state {
            State::Origin => None,
            State::Seeking { target, step } => Some((target, step)),
            State::Attached(attached) => {
                let handoff = attached.handoff.as_ref()?;
                Some((handoff.search.target()?, &handoff.step))
            }
        }
    }

    fn cloned_step(&self) -> Option<(Target, Step)> {
        self.step().map(|(target, step)| (target.clone(), step.clone()))
    }

    fn set_step(&mut self, new: Step) {
        match &mut self.state {
            State::Origin => {}
            State::Seeking { step, .. } => *step = new,
            State::Attached(attached) => {
                if let Some(handoff) = &mut attached.handoff {
                    handoff.step = new;
                }
            }
        }
    }

    fn is_dialling(&self, wanted: DialId) -> bool {
        let step = self.step().map(|(_, step)| step);
        matches!(step, Some(Step::Dialling { dial, .. }) if *dial == wanted)
    }

    fn rootless_until(&self) -> Option<Instant> {
        let State::Attached(Attached { rootless: Some(since), .. }) = &self.state else {
            return None;
        };
        (self.parents.len() > 1).then(|| *since + ROOTLESS_PATIENCE)
    }

    /// The parent is lost. An attempt that is under way beside it goes on.
    fn lose(&mut self, now: Instant) {
        if let Some((target, step)) = self.cloned_step()
            && !matches!(step, Step::Pausing { .. })
        {
            self.next = target.parent;
            self.state = State::Seeking { target, step };
            return;
        }
        let step = Step::Pausing { until: now };
        self.state = State::Seeking { target: Target::on_list(self.next), step };
        self.fail(now);
    }

    /// On to the next parent; after a whole round in vain, with a pause.
    fn fail(&mut self, now: Instant) {
        match &mut self.state {
            State::Origin => {}
            State::Seeking { target, step } => {
                self.next = (self.next + 1) % self.parents.len().max(1);
                self.failures = self.failures.saturating_add(1);
                let rounds = self.failures as usize / self.parents.len().max(1);
                *target = Target::on_list(self.next);
                *step = Step::Pausing { until: now + pause(&mut self.rng, rounds) };
            }
            State::Attached(attached) => {
                let Some(Handoff { search, step }) = &mut attached.handoff else { return };
                *step = Step::Pausing { until: now + search.fail(&mut self.rng) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tribune_protocol::limits::MAX_PLACE_BYTES;

    use super::super::target::{FIRST_PAUSE, LONGEST_PAUSE};
    use super::*;
    use crate::messages::ShardId;

    #[test]
    fn a_parent_that_stops_is_kept_until_another_has_taken_the_relay() {
        let mut relay = Relay::new(2);
        let first = relay.attach(0, &[1]);
        assert_eq!(relay.attach.handle_go_away(relay.now, first, None), None);
        assert_eq!(
            (relay.attach.parent(), relay.attach.stage()),
            (Some(first), TrunkState::Moving)
        );
        let (target, second) = relay.greet();
        assert_eq!(target, Target::on_list(1));
        assert_eq!(relay.attach.parent(), Some(first), "no welcome yet");
        assert_eq!(relay.attach.path(), [RelayId(1), RelayId(9)]);
        let effect = relay.welcome(second, &[2, 3]);
        assert_eq!(effect, Some(AttachEffect::Moved { from: first, to: second }));
        assert_eq!(
            (relay.attach.parent(), relay.attach.stage()),
            (Some(second), TrunkState::Attached)
        );
        assert_eq!(relay.attach.path(), [RelayId(2), RelayId(3), RelayId(9)]);
        // What the old one still says is nothing to this machine.
        assert_eq!(relay.attach.handle_path(relay.now, first, Vec::new()), None);
        assert_eq!(relay.attach.handle_go_away(relay.now, first, None), None);
        assert_eq!(relay.attach.handle_closed(relay.now, first), None);
        assert_eq!(relay.attach.parent(), Some(second));
    }

    #[test]
    fn the_place_that_a_parent_names_comes_first() {
        let named = |to: &str| {
            let mut relay = Relay::new(3);
            let first = relay.attach(0, &[1]);
            relay.attach.handle_go_away(relay.now, first, Some(to));
            (0..4).map(|_| relay.dial_in_vain()).collect::<Vec<_>>()
        };
        let [second, third] = [1, 2].map(Target::on_list);
        let elsewhere = Target { parent: 0, to: Some("elsewhere:1".parse().unwrap()) };
        let all = [&elsewhere, &second, &third, &elsewhere].map(Clone::clone);
        assert_eq!(named("elsewhere:1"), all);
        // One of the list is dialled as that, with what it is trusted for.
        assert_eq!(named("PARENT-2:4433")[..2], [third.clone(), second.clone()]);
        // The parent itself, what is no place, and what is too long say nothing.
        let long = format!("{}:1", "a.".repeat(MAX_PLACE_BYTES / 2));
        for to in ["parent-0:4433", "no place", &long] {
            assert_eq!(named(to)[..2], [second.clone(), third.clone()], "{to}");
        }
    }

    #[test]
    fn without_another_place_a_parent_that_stops_is_kept_until_it_closes() {
        let mut relay = Relay::new(1);
        let only = relay.attach(0, &[1]);
        assert_eq!(relay.attach.handle_go_away(relay.now, only, None), None);
        assert_eq!(relay.attach.poll_timeout(), None);
        assert_eq!(
            (relay.attach.parent(), relay.attach.stage()),
            (Some(only), TrunkState::Attached)
        );
        let lost = relay.attach.handle_closed(relay.now, only);
        assert_eq!(lost, Some(AttachEffect::Lost { link: only, close: None }));
    }

    #[test]
    fn whoever_cannot_take_the_relay_is_not_moved_to() {
        let mut relay = Relay::new(2);
        let first = relay.attach(0, &[1]);
        relay.attach.handle_go_away(relay.now, first, None);
        // Below the relay itself, without a way to the origin, closed at once, silent, not reachable.
        for what in 0..5 {
            let before = relay.now;
            let effect = if what == 4 {
                relay.dial_in_vain();
                None
            } else {
                let (_, link) = relay.greet();
                match what {
                    0 => relay.welcome(link, &[1, 9, 2]),
                    1 => relay.welcome(link, &[]),
                    2 => relay.attach.handle_closed(relay.now, link),
                    _ => {
                        relay.now += GREETING_PATIENCE;
                        relay.attach.handle_timeout(relay.now)
                    }
                }
            };
            let code = match effect {
                Some(AttachEffect::GiveUp { close, .. }) => Some(close),
                other => {
                    assert_eq!(other, None);
                    None
                }
            };
            let done = Some(CloseCode::Done);
            assert_eq!(code, [Some(CloseCode::TrunkLoop), done, None, done, None][what]);
            assert_eq!(relay.attach.parent(), Some(first));
            let pause = relay.attach.poll_timeout().unwrap() - relay.now;
            assert!(pause >= FIRST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
            relay.now += pause;
            assert!(relay.now > before);
        }
        let (_, second) = relay.greet();
        assert!(matches!(relay.welcome(second, &[1]), Some(AttachEffect::Moved { .. })));
    }

    #[test]
    fn an_attempt_that_is_under_way_when_the_parent_closes_goes_on() {
        let mut relay = Relay::new(2);
        let first = relay.attach(0, &[1]);
        relay.attach.handle_go_away(relay.now, first, Some("elsewhere:1"));
        let (_, second) = relay.greet();
        let lost = relay.attach.handle_closed(relay.now, first);
        assert_eq!(lost, Some(AttachEffect::Lost { link: first, close: None }));
        assert_eq!(relay.attach.stage(), TrunkState::Greeting);
        let effect = relay.welcome(second, &[1]);
        assert_eq!(effect, Some(AttachEffect::Attached { link: second }));
        // From a place that is not on the list, the way leads back to the list.
        relay.attach.handle_closed(relay.now, second);
        assert_eq!(relay.dial_in_vain(), Target::on_list(1));
    }

    #[test]
    fn another_place_is_taken_up_at_once_and_the_same_one_changes_nothing() {
        let mut relay = Relay::new(1);
        let first = relay.attach(0, &[1]);
        relay.attach.handle_go_away(relay.now, first, Some("one:1"));
        let (_, one) = relay.greet();
        assert_eq!(relay.attach.handle_go_away(relay.now, first, Some("one:1")), None);
        let effect = relay.attach.handle_go_away(relay.now, first, Some("two:2"));
        assert_eq!(effect, Some(AttachEffect::GiveUp { link: one, close: CloseCode::Done }));
        assert_eq!(relay.welcome(one, &[1]), None);
        let (target, _) = relay.greet();
        assert_eq!(target.to, Some("two:2".parse().unwrap()));
    }

    #[test]
    fn a_lost_parent_is_followed_by_the_standby_at_once() {
        let mut relay = Relay::new(2);
        let first = relay.attach(0, &[1]);
        assert_eq!(relay.attach.path(), [RelayId(1), RelayId(9)]);
        let lost = relay.attach.handle_closed(relay.now, first);
        assert_eq!(lost, Some(AttachEffect::Lost { link: first, close: None }));
        assert!(relay.attach.path().is_empty());
        relay.attach(1, &[1]);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let mut relay = Relay::new(2);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let Some(AttachEffect::Dial { dial, .. }) = relay.attach.handle_timeout(relay.now)
            else {
                panic!("a dial is due")
            };
            relay.attach.handle_dial_failed(relay.now, dial);
            let until = relay.attach.poll_timeout().unwrap();
            pauses.push(until - relay.now);
            relay.now = until;
        }
        assert_eq!(pauses[0], Duration::ZERO);
        assert!(pauses[1] >= FIRST_PAUSE / 2);
        assert!(pauses[39] > LONGEST_PAUSE / 3 && pauses.iter().all(|p| *p <= LONGEST_PAUSE));
    }

    #[test]
    fn a_path_with_oneself_in_it_is_a_loop() {
        let mut relay = Relay::new(1);
        let link = relay.attach(0, &[1]);
        let path = vec![RelayId(1), RelayId(9), RelayId(2)];
        let effect = relay.attach.handle_path(relay.now, link, path);
        let close = Some(CloseCode::TrunkLoop);
        assert_eq!(effect, Some(AttachEffect::Lost { link, close }));
        assert_eq!(relay.attach.parent(), None);
    }

    #[test]
    fn a_parent_that_says_nothing_is_given_up() {
        let mut relay = Relay::new(1);
        let Some(AttachEffect::Dial { dial, .. }) = relay.attach.handle_timeout(relay.now) else {
            panic!("a dial is due")
        };
        let link = LinkId { shard: ShardId(0), slot: 1, generation: 1 };
        relay.attach.handle_dialled(relay.now, dial, link);
        relay.now += GREETING_PATIENCE;
        let close = CloseCode::Done;
        let effect = relay.attach.handle_timeout(relay.now);
        assert_eq!(effect, Some(AttachEffect::GiveUp { link, close }));
    }

    #[test]
    fn a_rootless_parent_is_left_for_another() {
        let mut relay = Relay::new(2);
        let link = relay.attach(0, &[]);
        assert_eq!(relay.attach.handle_timeout(relay.now), None);
        relay.now += ROOTLESS_PATIENCE;
        let close = Some(CloseCode::Done);
        assert_eq!(
            relay.attach.handle_timeout(relay.now),
            Some(AttachEffect::Lost { link, close })
        );
    }

    struct Relay {
        attach: Uplink,
        now: Instant,
        links: u32,
    }

    impl Relay {
        fn new(parents: usize) -> Self {
            let now = Instant::now();
            let parents = (0..parents).map(|n| format!("parent-{n}:4433").parse().unwrap());
            let attach = Uplink::new(RelayId(9), parents.collect(), now, [0; 32]);
            Self { attach, now, links: 0 }
        }

        /// Waits until a dial is due, and lets it fail.
        fn dial_in_vain(&mut self) -> Target {
            self.now = self.now.max(self.attach.poll_timeout().expect("something is due"));
            let Some(AttachEffect::Dial { dial, target }) = self.attach.handle_timeout(self.now)
            else {
                panic!("a dial is due")
            };
            self.attach.handle_dial_failed(self.now, dial);
            target
        }

        /// A dial that is due comes up.
        fn greet(&mut self) -> (Target, LinkId) {
            let Some(AttachEffect::Dial { dial, target }) = self.attach.handle_timeout(self.now)
            else {
                panic!("a dial is due")
            };
            self.links += 1;
            let link = LinkId { shard: ShardId(0), slot: self.links, generation: self.links };
            let effect = self.attach.handle_dialled(self.now, dial, link);
            assert_eq!(effect, AttachEffect::Greet { link });
            (target, link)
        }

        fn welcome(&mut self, link: LinkId, path: &[u64]) -> Option<AttachEffect> {
            let path = path.iter().copied().map(RelayId).collect();
            self.attach.handle_welcome(self.now, link, path, "parent".parse().unwrap())
        }

        fn attach(&mut self, parent: usize, path: &[u64]) -> LinkId {
            let (target, link) = self.greet();
            assert_eq!(target, Target::on_list(parent));
            assert_eq!(self.welcome(link, path), Some(AttachEffect::Attached { link }));
            link
        }
    }
}

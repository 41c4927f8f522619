//! The way to a parent: dial, greet, attached; when it is lost, the next one on the list, and when
//! none answers, a pause that grows. Used by the hub.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tribune_protocol::codes::CloseCode;
use tribune_protocol::ids::{DisplayName, RelayId};

use crate::crossing::{DialId, LinkId};
use crate::ops::metrics::TrunkState;

/// The pause after the first round of parents of which none answered; doubles each round.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: an origin that comes back is found within that.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a parent may take from the first packet to `welcome`.
const GREETING_PATIENCE: Duration = Duration::from_secs(5);
/// How long a parent may be without a way to the origin before another is tried.
const ROOTLESS_PATIENCE: Duration = Duration::from_secs(10);

/// The machine. A relay without parents is an origin and stays one.
#[derive(Debug)]
pub struct Attach {
    own: RelayId,
    parents: usize,
    state: State,
    /// The parent to try next.
    next: usize,
    /// Attempts since the last success.
    failures: u32,
    dials: u32,
    rng: StdRng,
}

/// Where the relay stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Origin,
    Pausing { until: Instant },
    Dialling { dial: DialId, until: Instant },
    Greeting { link: LinkId, until: Instant },
    Attached { link: LinkId, path: Vec<RelayId>, name: DisplayName, rootless: Option<Instant> },
}

/// What the hub has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachEffect {
    /// Dial the parent with that place on the list.
    Dial {
        /// The attempt.
        dial: DialId,
        /// Which parent.
        parent: usize,
    },
    /// Say `hello`.
    Greet {
        /// On which trunk.
        link: LinkId,
    },
    /// The trunk is up: subscribe the rooms.
    Attached {
        /// Which trunk.
        link: LinkId,
    },
    /// The way from the origin to here has changed: tell the children.
    PathChanged,
    /// The trunk is lost, or given up: detach the rooms.
    Lost {
        /// Which trunk.
        link: LinkId,
        /// How to close it, if it is still open.
        close: Option<CloseCode>,
    },
    /// Close a trunk that was not attached yet.
    GiveUp {
        /// Which trunk.
        link: LinkId,
        /// How.
        close: CloseCode,
    },
}

impl Attach {
    /// A relay with a number of parents to choose from, in order. The seed spreads the pauses.
    #[must_use]
    pub fn new(own: RelayId, parents: usize, now: Instant, seed: [u8; 32]) -> Self {
        let state = if parents == 0 { State::Origin } else { State::Pausing { until: now } };
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
            State::Attached { link, .. } => Some(*link),
            State::Origin
            | State::Pausing { .. }
            | State::Dialling { .. }
            | State::Greeting { .. } => None,
        }
    }

    /// How far the way to a parent is.
    #[must_use]
    pub const fn stage(&self) -> TrunkState {
        match &self.state {
            State::Origin => TrunkState::Origin,
            State::Pausing { .. } => TrunkState::Pausing,
            State::Dialling { .. } => TrunkState::Dialling,
            State::Greeting { .. } => TrunkState::Greeting,
            State::Attached { .. } => TrunkState::Attached,
        }
    }

    /// What the parent is called.
    #[must_use]
    pub const fn parent_name(&self) -> Option<&DisplayName> {
        match &self.state {
            State::Attached { name, .. } => Some(name),
            State::Origin
            | State::Pausing { .. }
            | State::Dialling { .. }
            | State::Greeting { .. } => None,
        }
    }

    /// The relays from the origin down to this one; empty while there is no way to the origin.
    #[must_use]
    pub fn path(&self) -> Vec<RelayId> {
        match &self.state {
            State::Origin => vec![self.own],
            State::Attached { path, .. } if !path.is_empty() => {
                path.iter().copied().chain([self.own]).collect()
            }
            State::Attached { .. }
            | State::Pausing { .. }
            | State::Dialling { .. }
            | State::Greeting { .. } => Vec::new(),
        }
    }

    /// The next step, if it is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<AttachEffect> {
        match &self.state {
            State::Pausing { until } if *until <= now => {
                let dial = DialId(self.dials);
                self.dials = self.dials.wrapping_add(1);
                self.state = State::Dialling { dial, until: now + GREETING_PATIENCE };
                Some(AttachEffect::Dial { dial, parent: self.next })
            }
            State::Dialling { until, .. } if *until <= now => {
                self.fail(now);
                None
            }
            State::Greeting { link, until } if *until <= now => {
                let link = *link;
                self.fail(now);
                Some(AttachEffect::GiveUp { link, close: CloseCode::Done })
            }
            State::Attached { link, rootless: Some(since), .. }
                if self.parents > 1 && *since + ROOTLESS_PATIENCE <= now =>
            {
                let link = *link;
                self.fail(now);
                Some(AttachEffect::Lost { link, close: Some(CloseCode::Done) })
            }
            State::Origin
            | State::Pausing { .. }
            | State::Dialling { .. }
            | State::Greeting { .. }
            | State::Attached { .. } => None,
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Pausing { until }
            | State::Dialling { until, .. }
            | State::Greeting { until, .. } => Some(*until),
            State::Attached { rootless: Some(since), .. } if self.parents > 1 => {
                Some(*since + ROOTLESS_PATIENCE)
            }
            State::Attached { .. } | State::Origin => None,
        }
    }

    /// The trunk is up; what was dialled in vain before is closed.
    pub fn handle_dialled(&mut self, now: Instant, dial: DialId, link: LinkId) -> AttachEffect {
        if matches!(self.state, State::Dialling { dial: wanted, .. } if wanted == dial) {
            self.state = State::Greeting { link, until: now + GREETING_PATIENCE };
            return AttachEffect::Greet { link };
        }
        AttachEffect::GiveUp { link, close: CloseCode::Done }
    }

    /// The parent did not answer.
    pub fn handle_dial_failed(&mut self, now: Instant, dial: DialId) {
        if matches!(self.state, State::Dialling { dial: wanted, .. } if wanted == dial) {
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
        if !matches!(self.state, State::Greeting { link, .. } if link == from) {
            return None;
        }
        if path.contains(&self.own) {
            self.fail(now);
            return Some(AttachEffect::GiveUp { link: from, close: CloseCode::TrunkLoop });
        }
        self.failures = 0;
        let rootless = path.is_empty().then_some(now);
        self.state = State::Attached { link: from, path, name, rootless };
        Some(AttachEffect::Attached { link: from })
    }

    /// The parent's own place has changed.
    pub fn handle_path(
        &mut self,
        now: Instant,
        from: LinkId,
        new: Vec<RelayId>,
    ) -> Option<AttachEffect> {
        let State::Attached { link, path, rootless, .. } = &mut self.state else { return None };
        if *link != from || *path == new {
            return None;
        }
        if new.contains(&self.own) {
            self.fail(now);
            let close = Some(CloseCode::TrunkLoop);
            return Some(AttachEffect::Lost { link: from, close });
        }
        *rootless = new.is_empty().then_some(now);
        *path = new;
        Some(AttachEffect::PathChanged)
    }

    /// The trunk is gone.
    pub fn handle_closed(&mut self, now: Instant, gone: LinkId) -> Option<AttachEffect> {
        match &self.state {
            State::Greeting { link, .. } if *link == gone => {
                self.fail(now);
                None
            }
            State::Attached { link, .. } if *link == gone => {
                self.fail(now);
                Some(AttachEffect::Lost { link: gone, close: None })
            }
            State::Origin
            | State::Pausing { .. }
            | State::Dialling { .. }
            | State::Greeting { .. }
            | State::Attached { .. } => None,
        }
    }

    /// The parent stops soon: the next one on the list is taken at once.
    pub fn handle_go_away(&mut self, now: Instant, from: LinkId) -> Option<AttachEffect> {
        if self.parent() != Some(from) {
            return None;
        }
        self.fail(now);
        Some(AttachEffect::Lost { link: from, close: Some(CloseCode::Done) })
    }

    /// On to the next parent; after a whole round in vain, with a pause.
    fn fail(&mut self, now: Instant) {
        self.next = (self.next + 1) % self.parents.max(1);
        self.failures = self.failures.saturating_add(1);
        let rounds = self.failures as usize / self.parents.max(1);
        let pause = match rounds {
            0 => Duration::ZERO,
            rounds => {
                let doubled = FIRST_PAUSE * (1u32 << (rounds - 1).min(10));
                doubled.min(LONGEST_PAUSE).mul_f64(self.rng.random_range(0.5..1.0))
            }
        };
        self.state = State::Pausing { until: now + pause };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crossing::ShardId;

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
        attach: Attach,
        now: Instant,
        links: u32,
    }

    impl Relay {
        fn new(parents: usize) -> Self {
            let now = Instant::now();
            Self { attach: Attach::new(RelayId(9), parents, now, [0; 32]), now, links: 0 }
        }

        fn attach(&mut self, parent: usize, path: &[u64]) -> LinkId {
            let effect = self.attach.handle_timeout(self.now);
            let Some(AttachEffect::Dial { dial, parent: dialled }) = effect else {
                panic!("a dial is due")
            };
            assert_eq!(dialled, parent);
            self.links += 1;
            let link = LinkId { shard: ShardId(0), slot: self.links, generation: self.links };
            self.attach.handle_dialled(self.now, dial, link);
            let path = path.iter().copied().map(RelayId).collect();
            let name = "parent".parse().unwrap();
            let effect = self.attach.handle_welcome(self.now, link, path, name);
            assert_eq!(effect, Some(AttachEffect::Attached { link }));
            link
        }
    }
}

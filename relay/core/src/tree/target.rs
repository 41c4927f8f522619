//! Targets of a relay's dials: the parents of its list, an address that one of them names; and the pauses
//! between the rounds. Used by [`super::uplink`].

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tribune_protocol::limits::MAX_PLACE_BYTES;

use crate::tree::host_port::HostPort;

/// The pause after the first round of parents of which none answered; doubles each round.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: an origin that comes back is found within that.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Address to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Place of the parent on the list. For an address that is not on it, the parent that named it: it is
    /// checked in the same way.
    pub parent: usize,
    /// An address that is not on the list.
    pub to: Option<HostPort>,
}

impl Target {
    /// A parent of the list.
    #[must_use]
    pub const fn on_list(parent: usize) -> Self {
        Self { parent, to: None }
    }
}

/// Search through targets in their order, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    /// At least one.
    targets: Vec<Target>,
    /// Place of the present one.
    at: usize,
    failures: u32,
}

impl Search {
    /// A search that begins with the first target; `None` without any.
    pub(super) fn new(targets: Vec<Target>) -> Option<Self> {
        (!targets.is_empty()).then_some(Self { targets, at: 0, failures: 0 })
    }

    /// The present target.
    pub(super) fn target(&self) -> Option<&Target> {
        self.targets.get(self.at)
    }

    /// Whether it goes through these targets.
    pub(super) fn is_of(&self, targets: &[Target]) -> bool {
        self.targets == targets
    }

    /// On to the next target. Gives the pause before it: none until a whole round was in vain.
    pub(super) fn fail(&mut self, rng: &mut StdRng) -> Duration {
        let count = self.targets.len().max(1);
        self.at = (self.at + 1) % count;
        self.failures = self.failures.saturating_add(1);
        pause(rng, self.failures as usize / count)
    }
}

/// Targets beside a parent that stops and may have named an address.
pub(super) fn targets(parents: &[HostPort], current: &Target, to: Option<&str>) -> Vec<Target> {
    let to = to.filter(|to| to.len() <= MAX_PLACE_BYTES).and_then(|to| to.parse::<HostPort>().ok());
    let named = to.map(|to| match parents.iter().position(|parent| parent.is_same(&to)) {
        Some(parent) => Target::on_list(parent),
        None => Target { parent: current.parent, to: Some(to) },
    });
    let count = parents.len();
    let others = (1..=count).map(|next| Target::on_list((current.parent + next) % count));
    let mut all: Vec<Target> = Vec::new();
    for target in named.into_iter().chain(others) {
        if target != *current && !all.contains(&target) {
            all.push(target);
        }
    }
    all
}

/// Pause after so many rounds in vain.
pub(super) fn pause(rng: &mut StdRng, rounds: usize) -> Duration {
    match rounds {
        0 => Duration::ZERO,
        rounds => {
            let doubled = FIRST_PAUSE * (1u32 << (rounds - 1).min(10));
            doubled.min(LONGEST_PAUSE).mul_f64(rng.random_range(0.5..1.0))
        }
    }
}

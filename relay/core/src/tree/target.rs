//! Where a relay dials: the parents of its list, a place that one of them names, and the pauses between
//! the rounds. Used by [`super::attach`].

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tribune_protocol::limits::MAX_PLACE_BYTES;

use crate::tree::host_port::HostPort;

/// The pause after the first round of parents of which none answered; doubles each round.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: an origin that comes back is found within that.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Where to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The parent with that place on the list. For a place that is not on it, the one that named it:
    /// it is checked in the same way.
    pub parent: usize,
    /// A place that is not on the list.
    pub to: Option<HostPort>,
}

impl Target {
    /// A parent of the list.
    #[must_use]
    pub const fn on_list(parent: usize) -> Self {
        Self { parent, to: None }
    }
}

/// Where a relay can go from a parent that stops and may have named a place.
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

/// How long to wait after so many rounds in vain.
pub(super) fn pause(rng: &mut StdRng, rounds: usize) -> Duration {
    match rounds {
        0 => Duration::ZERO,
        rounds => {
            let doubled = FIRST_PAUSE * (1u32 << (rounds - 1).min(10));
            doubled.min(LONGEST_PAUSE).mul_f64(rng.random_range(0.5..1.0))
        }
    }
}

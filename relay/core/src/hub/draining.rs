//! Drain of a relay that is to end, and the relays named to participants beyond its capacity.

use std::time::{Duration, Instant};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Draining {
    drain: Option<Drain>,
    /// Participants that a relay was named to in turn.
    redirected: usize,
}

/// A drain that has begun.
#[derive(Debug, Clone)]
struct Drain {
    step: DrainStep,
    /// Relay named to those who are to go.
    to: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DrainStep {
    /// Participants and children may go by themselves until then.
    Until(Instant),
    /// Nobody is left, or the time is over.
    Over,
    /// The owner knows.
    Told,
}

impl Draining {
    /// Begins a drain, or changes the one under way: a relay named before stays if none is named now.
    /// Gives the relay to name; `None` if the drain is over.
    pub(super) fn begin(
        &mut self,
        until: Instant,
        to: Option<String>,
        default_to: Option<&String>,
    ) -> Option<Option<String>> {
        let before = match &self.drain {
            Some(Drain { step: DrainStep::Until(_), to }) => to.clone(),
            Some(Drain { step: DrainStep::Over | DrainStep::Told, .. }) => return None,
            None => default_to.cloned(),
        };
        let to = to.or(before);
        self.drain = Some(Drain { step: DrainStep::Until(until), to: to.clone() });
        Some(to)
    }

    /// Whether a drain has begun.
    pub(super) const fn has_begun(&self) -> bool {
        self.drain.is_some()
    }

    /// Relay named to those who are to go.
    pub(super) fn to(&self) -> Option<String> {
        self.drain.as_ref().and_then(|drain| drain.to.clone())
    }

    /// End of the drain, while it is under way.
    pub(super) fn until(&self) -> Option<Instant> {
        match self.drain.as_ref()?.step {
            DrainStep::Until(until) => Some(until),
            DrainStep::Over | DrainStep::Told => None,
        }
    }

    /// Time left of the drain.
    pub(super) fn left(&self, now: Instant) -> Duration {
        let left = self.until().map(|until| until.saturating_duration_since(now));
        left.unwrap_or_default()
    }

    /// Ends the drain once nobody is left, or the time is over.
    pub(super) fn check(&mut self, now: Instant, nobody_left: bool) {
        if let Some(Drain { step, .. }) = &mut self.drain
            && let DrainStep::Until(until) = *step
            && (nobody_left || now >= until)
        {
            *step = DrainStep::Over;
        }
    }

    /// Whether the drain is over; said once.
    pub(super) const fn take_over(&mut self) -> bool {
        match &mut self.drain {
            Some(Drain { step: step @ DrainStep::Over, .. }) => {
                *step = DrainStep::Told;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Relay for the next participant beyond the capacity, each of `places` in turn.
    pub(super) fn next_place(&mut self, places: &[String]) -> Option<String> {
        let to = places.get(self.redirected % places.len().max(1)).cloned();
        self.redirected = self.redirected.wrapping_add(1);
        to
    }
}

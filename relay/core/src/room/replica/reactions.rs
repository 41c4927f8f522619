//! Reactions on their way to the origin: added up at each relay and sent upwards once a second at
//! most; the origin sends the totals downwards as often. The senders stay anonymous, and the traffic
//! does not grow with the audience. Part of [`crate::room::replica::Replica`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tribune_protocol::domain::reaction::Reaction;

/// Shortest pause between two messages with reactions.
const REACTION_PERIOD: Duration = Duration::from_secs(1);

/// Reactions that have not been sent on.
#[derive(Debug, Default)]
pub(crate) struct Reactions {
    waiting: BTreeMap<Reaction, u32>,
    /// Earliest time of the next message.
    send_from: Option<Instant>,
}

impl Reactions {
    /// When the sums are to be sent on next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.send_from.filter(|_| !self.waiting.is_empty())
    }

    /// Adds a number of reactions of one kind.
    pub(crate) fn add(&mut self, now: Instant, reaction: Reaction, count: u32) {
        if reaction == Reaction::Unknown || count == 0 {
            return;
        }
        let waiting = self.waiting.entry(reaction).or_default();
        *waiting = waiting.saturating_add(count);
        self.send_from.get_or_insert(now);
    }

    /// Sums to be sent on, if it is time.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<BTreeMap<Reaction, u32>> {
        self.due().filter(|due| *due <= now)?;
        self.send_from = Some(now + REACTION_PERIOD);
        Some(std::mem::take(&mut self.waiting))
    }
}
